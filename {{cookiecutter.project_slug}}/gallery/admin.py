"""Pictures and films in the admin: to look up, to describe better, to delete."""

from django.contrib import admin
from django.http import HttpRequest

from gallery.models import Picture


@admin.register(Picture)
class PictureAdmin(admin.ModelAdmin):
    """Pictures, newest first."""

    list_display = ("alt", "width", "height", "uploaded_by", "created_at")
    list_select_related = ("uploaded_by",)
    search_fields = ("alt",)
    date_hierarchy = "created_at"
    # A new file comes by the gallery's own form, which checks it and takes its EXIF away.
    readonly_fields = ("image", "film", "width", "height", "uploaded_by", "created_at")

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Return False: nobody adds pictures here."""
        return False
