"""The ASGI entry point: `config.asgi:application`."""

import os

from django.core.asgi import get_asgi_application
from s3kit.storages.static import require_manifest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_asgi_application()

# Without the manifest of static files every page would fail, so the server does not start.
require_manifest()
