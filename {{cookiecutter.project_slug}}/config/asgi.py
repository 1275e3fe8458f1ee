"""The ASGI entry point: `config.asgi:application`."""

from django.core.asgi import get_asgi_application

from config.bodies import limited
from config.start import start

application = limited(start(get_asgi_application))
