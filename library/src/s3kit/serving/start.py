"""Start a site, for its WSGI and ASGI entry points: `application = start(get_wsgi_application)`."""

import logging
import sys
from collections.abc import Callable
from typing import TypeVar

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from s3kit.storages.static import require_manifest

Application = TypeVar("Application")
BOOT_ERROR = 3  # gunicorn stops, where it would start another worker after any other exit code


def start(get_application: Callable[[], Application]) -> Application:
    """Return Django's application. Log one line and exit if the site must not or cannot start."""
    try:
        _require_no_debug()
        application = get_application()
        require_manifest()  # without the manifest of static files, every page would fail
    except ImproperlyConfigured as error:
        logging.getLogger(__name__).critical("The site does not start. %s", error)
        sys.exit(BOOT_ERROR)
    return application


def _require_no_debug() -> None:
    if settings.DEBUG:  # its error pages show the settings to every visitor
        raise ImproperlyConfigured(
            "DEBUG is on, and only `manage.py runserver` and `s3 run` serve in debug mode: set DJANGO_DEBUG=false."
        )
