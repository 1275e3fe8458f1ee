"""The gallery's pages: everyone can look, and who has the permissions can add and delete."""

import logging

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.core.paginator import Paginator
from django.http import JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe
from s3kit import uploads
from s3kit.serving.bodies import takes_files

from gallery.forms import DescriptionForm, PictureForm
from gallery.kinds import FILM, FILM_MAX_BYTES_BY_FORM, KINDS, clean_picture
from gallery.models import NotStoredError, Picture

logger = logging.getLogger(__name__)

PICTURES_PER_PAGE = 12
NOT_STORED = "The file could not be saved, so nothing was added. Please try again in a minute."


@require_safe
def home(request):
    """Show the pictures, newest first."""
    page = Paginator(Picture.objects.all(), PICTURES_PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "gallery/home.html", {"page": page})


@takes_files(FILM_MAX_BYTES_BY_FORM)
@login_required
@permission_required("gallery.add_picture", raise_exception=True)
@require_http_methods(["GET", "HEAD", "POST"])
def add_picture(request):
    """Show the form and add what is posted.

    The page's script prefers JSON: {"url": where to go} or {"errors": lists by field}. In place of a file that it
    has sent to S3, it posts a ticket.
    """
    if ticket := request.POST.get("ticket"):
        return add_sent(request, ticket)
    direct = uploads.available()
    wants_json = request.get_preferred_type(["text/html", "application/json"]) == "application/json"
    data = (request.POST, request.FILES) if request.method == "POST" else ()
    form = PictureForm(*data, instance=Picture(uploaded_by=request.user), direct=direct)
    if request.method == "POST" and form.is_valid():
        try:
            form.save()
        except NotStoredError:
            logger.exception("A file was not saved")
            form.add_error(None, NOT_STORED)
        else:
            messages.success(request, f"The {form.instance.what} was added.")
            return JsonResponse({"url": reverse("home")}) if wants_json else redirect("home")
    if request.method == "POST" and wants_json:
        return JsonResponse({"errors": form.errors.get_json_data()})
    context = {"form": form, "direct": direct, "kinds": KINDS, "form_limit": FILM_MAX_BYTES_BY_FORM}
    return render(request, "gallery/add.html", context)


@uploads.answers_in_json(accepted="home")
def add_sent(request, ticket_id):
    """Add the file that the browser has sent to S3, and answer in JSON."""
    ticket = uploads.ticket(request.user, ticket_id)
    form = DescriptionForm(request.POST, instance=Picture(uploaded_by=request.user))
    if not form.is_valid():
        return JsonResponse({"errors": form.errors.get_json_data()}, status=400)
    picture = form.instance
    try:
        with uploads.accepting(ticket) as upload:
            if ticket.kind == FILM.name:
                picture.film = upload.keep()
            else:
                picture.image = upload.clean(clean_picture)
            picture.save(also=upload.accepted)
    except NotStoredError:
        logger.exception("A file was not saved")
        form.add_error(None, NOT_STORED)
        return JsonResponse({"errors": form.errors.get_json_data()}, status=503)
    messages.success(request, f"The {picture.what} was added.")
    return JsonResponse({"url": reverse("home")})


@login_required
@permission_required("gallery.delete_picture", raise_exception=True)
@require_http_methods(["GET", "HEAD", "POST"])
def delete_picture(request, pk):
    """Ask whether to delete a picture, and delete it when the answer is posted."""
    picture = get_object_or_404(Picture, pk=pk)
    if request.method != "POST":
        return render(request, "gallery/delete.html", {"picture": picture})
    picture.delete()
    messages.success(request, f"The {picture.what} was deleted.")
    return redirect("home")
