"""The gallery's pages: everybody looks, staff add and delete."""

import logging

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from gallery import films, tickets
from gallery.access import StaffRequest, staff_only
from gallery.forms import PictureForm
from gallery.models import NOT_STORED, NotStoredError, Picture
from s3 import uploads

logger = logging.getLogger(__name__)

PICTURES_PER_PAGE = 12


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Show the pictures, newest first; a page that does not exist (any more) is the nearest that does."""
    page = Paginator(Picture.objects.all(), PICTURES_PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "gallery/home.html", {"page": page})


@staff_only
@require_http_methods(["GET", "HEAD", "POST"])
def add_picture(request: StaffRequest) -> HttpResponse:
    """Show the form that adds a picture or a film, and add the one that is posted.

    A client that prefers JSON (the page's own script) gets {"url": where to go} or {"errors": lists by
    field}; any other (a browser without scripts) is redirected, or gets the form again. With a ticket in the
    place of the file, the file is the one that the script has sent to S3: see gallery.tickets.
    """
    direct = uploads.available()
    limit = films.MAX_BYTES if direct else films.MAX_BYTES_BY_FORM
    context = {"direct": direct, "form_limit": films.MAX_BYTES_BY_FORM}
    if request.method != "POST":
        return render(request, "gallery/add.html", {"form": PictureForm(film_limit=limit)} | context)
    if ticket := request.POST.get("ticket"):
        return tickets.add(request, ticket)

    wants_json = request.get_preferred_type(["text/html", "application/json"]) == "application/json"
    form = PictureForm(request.POST, request.FILES, film_limit=limit)
    if form.is_valid():
        form.instance.uploaded_by = request.user
        try:
            form.save()
        except NotStoredError:
            logger.exception("A file was not stored")
            form.add_error(None, NOT_STORED)
        else:
            messages.success(request, f"The {form.instance.what} was added.")
            return JsonResponse({"url": reverse("home")}) if wants_json else redirect("home")
    if wants_json:
        return JsonResponse({"errors": form.errors.get_json_data()})
    return render(request, "gallery/add.html", {"form": form} | context)


@staff_only
@require_http_methods(["GET", "HEAD", "POST"])
def delete_picture(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask whether to delete a picture, and delete it when the answer is posted."""
    picture = get_object_or_404(Picture, pk=pk)
    if request.method != "POST":
        return render(request, "gallery/delete.html", {"picture": picture})
    picture.delete()
    messages.success(request, f"The {picture.what} was deleted.")
    return redirect("home")
