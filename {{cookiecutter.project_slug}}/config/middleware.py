"""Health checks, and the headers that neither Django nor django-csp sets."""

import logging
from collections.abc import Callable

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from s3kit.storages.static import manifest_is_loaded

logger = logging.getLogger(__name__)

GetResponse = Callable[[HttpRequest], HttpResponse]

HEADERS = {
    # Pages depend on the user, and contain signed links that expire. Not no-store, which makes "Back" reload pages.
    "Cache-Control": "private, no-cache",
    # Other sites may not load this site's pages as images or scripts.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def health(get_response: GetResponse) -> GetResponse:
    """Respond to /healthz (this process runs) and /readyz (the database and the static files are available).

    It must come first in MIDDLEWARE, because load balancers use plain http and an IP address.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        if request.path not in ("/healthz", "/readyz"):
            return get_response(request)
        failing = failures() if request.path == "/readyz" else []
        status = {"status": "not ready", "failing": failing} if failing else {"status": "ok"}
        return JsonResponse(status, status=503 if failing else 200, headers={"Cache-Control": "no-store"})

    return middleware


def failures() -> list[str]:
    """Return what is not available, and log why. S3 is not checked, because a restart would not fix it."""
    found = []
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception:
        logger.warning("Not ready: the database is not available", exc_info=True)
        found.append("database")
    if not manifest_is_loaded():
        logger.warning("Not ready: no manifest of static files is loaded")
        found.append("static files")
    return found


def headers(get_response: GetResponse) -> GetResponse:
    """Add HEADERS to each response, unless a view has set them."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if settings.DEBUG and response.status_code == 400:
            response._csp_exempt = True  # type: ignore[attr-defined]  # Django's debug page has inline styles
        return response

    return middleware
