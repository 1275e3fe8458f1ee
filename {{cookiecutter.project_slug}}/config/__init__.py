"""The site's settings, URLs, and WSGI and ASGI entry points."""
