"""What the WSGI and ASGI entry points share."""

import logging
import os
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
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        if settings.DEBUG:  # its error pages show the settings to every visitor
            raise ImproperlyConfigured(
                "DJANGO_DEBUG is on, but only `make run` and `manage.py runserver` serve in debug mode:"
                " set DJANGO_DEBUG=false."
            )
        application = get_application()
        require_manifest()  # without the manifest of static files, every page would fail
    except ImproperlyConfigured as error:
        logging.getLogger("config").critical("The site does not start. %s", error)
        sys.exit(BOOT_ERROR)
    return application
