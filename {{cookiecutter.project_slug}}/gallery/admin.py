"""Pictures and films in the admin, to describe and to delete."""

from django.contrib import admin

from gallery.models import Picture


@admin.register(Picture)
class PictureAdmin(admin.ModelAdmin):
    """Pictures, newest first."""

    list_display = ("alt", "width", "height", "uploaded_by", "created_at")
    list_select_related = ("uploaded_by",)
    search_fields = ("alt",)
    date_hierarchy = "created_at"
    readonly_fields = ("image", "film", "width", "height", "uploaded_by", "created_at")

    def has_add_permission(self, request):
        """Return False: only the gallery's form checks files and removes their metadata."""
        return False
