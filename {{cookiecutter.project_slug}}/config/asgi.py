"""The ASGI application that a server such as uvicorn runs: `config.asgi:application`."""

import os

from django.core.asgi import get_asgi_application

from s3.static import require_manifest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_asgi_application()

# A server whose every page would be an error does not start.
require_manifest()
