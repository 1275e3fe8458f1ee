"""Variables for all templates."""

from django.conf import settings
from django.http import HttpRequest


def site(request: HttpRequest) -> dict[str, str]:
    """Return the site's name as `site_title`. Django's login page already has a `site_name`."""
    return {"site_title": settings.SITE_NAME}
