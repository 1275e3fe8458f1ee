"""The app's entry in INSTALLED_APPS."""

from django.apps import AppConfig


class GalleryConfig(AppConfig):
    """The example gallery."""

    name = "gallery"
