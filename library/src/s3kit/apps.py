"""The app configuration."""

import os
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import AppRegistryNotReady, ImproperlyConfigured

# The site's own STATIC_URL and MEDIA_URL, if `set_addresses` has replaced them.
plain_addresses: dict[str, Any] = {}

# Passes a test run's folder to processes that it starts without forking: see `s3kit.isolation`.
TESTS_FOLDER = "S3KIT_TESTS_FOLDER"


class S3KitConfig(AppConfig):
    """Static files and uploads on Amazon S3. The app has no models."""

    name = "s3kit"
    verbose_name = "Amazon S3"

    def __init__(self, app_name: str, app_module: Any) -> None:
        super().__init__(app_name, app_module)
        set_addresses()  # before models are imported: their packages may copy the settings

    def ready(self) -> None:
        """Register the system checks, track requests, and isolate the processes of a test run."""
        from s3kit import checks  # noqa: F401
        from s3kit.serving import requests

        requests.watch()
        if os.environ.get(TESTS_FOLDER):
            from s3kit import isolation

            isolation.join()


def set_addresses() -> None:
    """Set STATIC_URL and MEDIA_URL to the storages' addresses, for packages that build URLs from them.

    Skips both with DEBUG on, and a setting that names a host or whose storage isn't on S3.
    """
    if settings.DEBUG:
        return
    from s3kit.local.errors import LocalServerError

    for alias, setting in (("staticfiles", "STATIC_URL"), ("default", "MEDIA_URL")):
        try:
            found = _address(alias) if "//" not in str(getattr(settings, setting)) else ""
        except (AppRegistryNotReady, ImportError, ImproperlyConfigured, LocalServerError, ValueError):
            continue  # the system checks report it
        if found:
            plain_addresses[setting] = getattr(settings, setting)
            setattr(settings, setting, found)


def _address(alias: str) -> str:
    """Return the base URL of a storage's files, or "" if it isn't on S3."""
    from django.core.files.storage import storages

    from s3kit.deployment import s3_aliases

    # Don't instantiate other storages: Django's would read and cache its manifest now.
    storage: Any = storages[alias] if alias in s3_aliases() else None
    return str(storage.address()) if storage else ""
