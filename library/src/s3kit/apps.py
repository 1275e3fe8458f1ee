"""The app's entry in INSTALLED_APPS."""

import os
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import AppRegistryNotReady, ImproperlyConfigured

# STATIC_URL and MEDIA_URL as the site's settings have them, where `set_addresses` has replaced them.
plain_addresses: dict[str, Any] = {}

# Names the folder of a run of tests to the processes that it starts without forking: see `s3kit.isolation`.
TESTS_FOLDER = "S3KIT_TESTS_FOLDER"


class S3KitConfig(AppConfig):
    """Static files and uploads on Amazon S3. The app has no models."""

    name = "s3kit"
    verbose_name = "Amazon S3"

    def __init__(self, app_name: str, app_module: Any) -> None:
        super().__init__(app_name, app_module)
        set_addresses()  # before models are imported, whose packages copy the settings

    def ready(self) -> None:
        """Register the system checks, notice requests, and keep the tests' processes from real buckets."""
        from s3kit import checks  # noqa: F401
        from s3kit.serving import requests

        requests.watch()
        if os.environ.get(TESTS_FOLDER):
            from s3kit import isolation

            isolation.join()


def set_addresses() -> None:
    """Set STATIC_URL and MEDIA_URL to the addresses of the storages, for packages that build addresses of their own.

    With DEBUG on they stay as they are, and so does one that names a host, or whose storage is not on S3.
    """
    if settings.DEBUG:
        return
    from s3kit.local.errors import LocalServerError

    for alias, setting in (("staticfiles", "STATIC_URL"), ("default", "MEDIA_URL")):
        try:
            found = _address(alias) if "//" not in str(getattr(settings, setting)) else ""
        except (AppRegistryNotReady, ImportError, ImproperlyConfigured, LocalServerError, ValueError):
            continue  # what is wrong with a storage is for the checks to say
        if found:
            plain_addresses[setting] = getattr(settings, setting)
            setattr(settings, setting, found)


def _address(alias: str) -> str:
    """Return the address below which a storage has its files under their names, "" for one that is not on S3."""
    from django.core.files.storage import storages

    from s3kit.deployment import s3_aliases

    # Other storages are not even made: Django's would read its manifest now, and keep what it found.
    storage: Any = storages[alias] if alias in s3_aliases() else None
    return str(storage.address()) if storage else ""
