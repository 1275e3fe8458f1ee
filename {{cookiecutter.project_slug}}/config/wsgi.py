"""The WSGI entry point: `config.wsgi:application`."""

from django.core.wsgi import get_wsgi_application

from config.start import start

application = start(get_wsgi_application)
