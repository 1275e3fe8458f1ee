"""The site's settings, URLs, and WSGI and ASGI entry points."""

MAX_BODY = 256 * 1024  # bytes of a request's body, except for views that take files (config/bodies.py)
