"""The WSGI application that a server such as gunicorn runs: `config.wsgi:application`."""

import os

from django.core.wsgi import get_wsgi_application

from s3.static import require_manifest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_wsgi_application()

# A server whose every page would be an error does not start.
require_manifest()
