"""The WSGI entry point: `config.wsgi:application`."""

import os

from django.core.wsgi import get_wsgi_application
from s3kit.storages.static import require_manifest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_wsgi_application()

# Without the manifest of static files every page would fail, so the server does not start.
require_manifest()
