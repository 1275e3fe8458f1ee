"""The ASGI entry point: `config.asgi:application`."""

import os

from django.core.asgi import get_asgi_application
from s3kit.serving.bodies import limited
from s3kit.serving.start import start

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


application = limited(start(get_asgi_application))
