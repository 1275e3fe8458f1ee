"""The app's entry in INSTALLED_APPS."""

from django.apps import AppConfig


class S3Config(AppConfig):
    """Static files and uploads on Amazon S3."""

    name = "s3"

    def ready(self) -> None:
        """Register the system checks."""
        from s3kit import checks  # noqa: F401
