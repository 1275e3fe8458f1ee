"""The gallery's entry in INSTALLED_APPS."""

from django.apps import AppConfig


class GalleryConfig(AppConfig):
    """The example gallery."""

    name = "gallery"

    def ready(self):
        """Tell the library which files browsers may send to S3."""
        from s3kit import uploads

        from gallery.kinds import KINDS

        uploads.register(*KINDS)
