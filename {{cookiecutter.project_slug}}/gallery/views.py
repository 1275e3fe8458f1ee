"""The gallery's pages: everybody looks, staff add and delete."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from gallery.forms import PictureForm
from gallery.models import NotStoredError, Picture

logger = logging.getLogger(__name__)

PICTURES_PER_PAGE = 12
NOT_STORED = "The picture could not be stored just now, so nothing was added. Please try again in a minute."


def staff_only(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Send anonymous visitors to the login page; answer 403 to everybody else who is not staff."""

    @login_required
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_staff:
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return guarded


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Show the pictures, newest first; a page that does not exist (any more) is the nearest that does."""
    page = Paginator(Picture.objects.all(), PICTURES_PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "gallery/home.html", {"page": page})


@staff_only
@require_http_methods(["GET", "HEAD", "POST"])
def add_picture(request: HttpRequest) -> HttpResponse:
    """Show the form that adds a picture, and add the one that is posted.

    A client that prefers JSON (the page's own script) gets {"url": where to go} or {"errors": lists by
    field}; any other (a browser without scripts) is redirected, or gets the form again.
    """
    if request.method != "POST":
        return render(request, "gallery/add.html", {"form": PictureForm()})

    wants_json = request.get_preferred_type(["text/html", "application/json"]) == "application/json"
    form = PictureForm(request.POST, request.FILES)
    if form.is_valid():
        form.instance.uploaded_by = request.user
        try:
            form.save()
        except NotStoredError:
            logger.exception("A picture was not stored")
            form.add_error(None, NOT_STORED)
        else:
            messages.success(request, "The picture was added.")
            return JsonResponse({"url": reverse("home")}) if wants_json else redirect("home")
    if wants_json:
        return JsonResponse({"errors": form.errors.get_json_data()})
    return render(request, "gallery/add.html", {"form": form})


@staff_only
@require_http_methods(["GET", "HEAD", "POST"])
def delete_picture(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask whether to delete a picture, and delete it when the answer is posted."""
    picture = get_object_or_404(Picture, pk=pk)
    if request.method != "POST":
        return render(request, "gallery/delete.html", {"picture": picture})
    picture.delete()
    messages.success(request, "The picture was deleted.")
    return redirect("home")
