"""The app's entry in INSTALLED_APPS."""

from django.apps import AppConfig


class UploadsConfig(AppConfig):
    """Uploads that browsers send straight to S3."""

    name = "s3kit.uploads"
    label = "s3kit_uploads"
    verbose_name = "Uploads to S3"
    default_auto_field = "django.db.models.BigAutoField"
