"""The WSGI entry point: `config.wsgi:application`."""

import os

from django.core.wsgi import get_wsgi_application
from s3kit.serving.start import start

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


application = start(get_wsgi_application)
