"""The admin of pictures and videos, for editing descriptions and deleting."""

from django.contrib import admin
from django.shortcuts import redirect

from gallery.models import Picture


@admin.register(Picture)
class PictureAdmin(admin.ModelAdmin):
    """Pictures, newest first."""

    list_display = ("alt", "width", "height", "uploaded_by", "created_at")
    list_select_related = ("uploaded_by",)
    search_fields = ("alt",)
    date_hierarchy = "created_at"
    readonly_fields = ("image", "video", "width", "height", "uploaded_by", "created_at")

    def add_view(self, request, form_url="", extra_context=None):
        """Redirect to the gallery's form, because only that checks files and removes metadata."""
        return redirect("add_picture")
