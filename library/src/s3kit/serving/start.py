"""Start a site, for its WSGI and ASGI entry points: `application = start(get_wsgi_application)`."""

import logging
import sys
from collections.abc import Callable
from typing import TypeVar

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from s3kit.storages.static import require_manifest

Application = TypeVar("Application")
BOOT_ERROR = 3  # makes gunicorn stop; after any other exit code it would start another worker


def start(get_application: Callable[[], Application]) -> Application:
    """Return Django's application. If the site must not or can't start, log one line and exit."""
    try:
        _require_no_debug()
        application = get_application()
        require_manifest()
    except ImproperlyConfigured as error:
        logging.getLogger(__name__).critical("The site does not start. %s", error)
        sys.exit(BOOT_ERROR)
    return application


def _require_no_debug() -> None:
    if settings.DEBUG:  # error pages would show the settings to every visitor
        raise ImproperlyConfigured(
            "DEBUG is on, which only `manage.py runserver` and `manage.py s3 run` allow: set DJANGO_DEBUG=false."
        )
