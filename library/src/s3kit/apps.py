"""The app's entry in INSTALLED_APPS."""

from django.apps import AppConfig


class S3KitConfig(AppConfig):
    """Static files and uploads on Amazon S3. The app has no models."""

    name = "s3kit"
    verbose_name = "Amazon S3"

    def ready(self) -> None:
        """Register the system checks, notice requests, and keep the tests' processes from real buckets."""
        from s3kit import checks, isolation  # noqa: F401
        from s3kit.serving import requests

        requests.watch()
        isolation.join()
