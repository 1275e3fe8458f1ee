"""Variables that every template has."""

from django.conf import settings
from django.http import HttpRequest


def site(request: HttpRequest) -> dict[str, str]:
    """Return the site's name as `site_title`. Django's login page has a `site_name` of its own."""
    return {"site_title": settings.SITE_NAME}
