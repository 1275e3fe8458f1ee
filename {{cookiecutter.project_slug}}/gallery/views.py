"""The gallery's pages: everyone can view them, and users with permission can add and delete pictures."""

import logging

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.core.paginator import Paginator
from django.db import transaction
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe
from s3kit.serving.bodies import takes_files

from gallery.forms import FORM_MAX_BYTES, PictureForm
from gallery.models import Picture

logger = logging.getLogger(__name__)

PICTURES_PER_PAGE = 12
NOT_SAVED = "The file could not be saved. Please try again in a minute."


@require_safe
def home(request):
    """Show the pictures, newest first."""
    page = Paginator(Picture.objects.all(), PICTURES_PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "gallery/home.html", {"page": page})


@takes_files(FORM_MAX_BYTES)
@login_required
@permission_required("gallery.add_picture", raise_exception=True)
@require_http_methods(["GET", "HEAD", "POST"])
def add_picture(request):
    """Show the form, and add the posted picture or video."""
    form = PictureForm(request.POST or None, request.FILES or None, user=request.user)
    if form.is_valid():
        try:
            with transaction.atomic():
                picture = form.save()
        except Exception:  # each storage raises different errors
            logger.exception("A picture or video could not be saved")
            form.add_error(None, NOT_SAVED)
        else:
            messages.success(request, f"The {picture.what} was added.")
            return redirect("home")
    return render(request, "gallery/add.html", {"form": form})


@login_required
@permission_required("gallery.delete_picture", raise_exception=True)
@require_http_methods(["GET", "HEAD", "POST"])
def delete_picture(request, pk):
    """Ask for confirmation, and delete the picture on POST."""
    picture = get_object_or_404(Picture, pk=pk)
    if request.method != "POST":
        return render(request, "gallery/delete.html", {"picture": picture})
    picture.delete()
    messages.success(request, f"The {picture.what} was deleted.")
    return redirect("home")
