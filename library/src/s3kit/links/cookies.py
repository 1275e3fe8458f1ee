"""CloudFront's signed cookies: with them a browser reads all files of a storage by plain addresses."""

from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.core.files.storage import storages
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.deprecation import MiddlewareMixin

from s3kit.deployment import s3_aliases
from s3kit.links.access import allowed


def set_cookies(response: HttpResponseBase, storage: str = "default") -> None:
    """Let the browser that gets this response read all files of a storage, an alias in STORAGES, from CloudFront.

    The cookies end with the browser's session, and CloudFront takes them for `querystring_expire` seconds at
    most. Raises ImproperlyConfigured where the storage is not private or not behind CloudFront.
    """
    found: Any = storages[storage]
    for name, value in found.signed_cookies().items():
        response.set_cookie(name, value, **_where(found), secure=True, httponly=True, samesite="Lax")
    # A shared cache would give them to everybody.
    patch_cache_control(response, private=True)
    patch_vary_headers(response, ["Cookie"])


def delete_cookies(response: HttpResponseBase, storage: str = "default") -> None:
    """Take the cookies of a storage away from the browser that gets this response, as after a logout."""
    for name in ("CloudFront-Policy", "CloudFront-Signature", "CloudFront-Key-Pair-Id"):
        response.delete_cookie(name, **_where(storages[storage]), samesite="Lax")


def _where(storage: Any) -> dict[str, Any]:
    location = storage.location_as("")
    # The path keeps them out of requests for static files, and apart from those of another storage.
    return {"domain": location.cookie_domain or None, "path": f"/{quote(location.prefix)}"}


class CookiesMiddleware(MiddlewareMixin):
    """Give the cookies of each storage with `links="cookies"` to whoever the site's rule lets read all of it.

    The rule (S3KIT_LINKS_PERMISSION) is asked with an empty name. Whoever it denies loses them. The place in
    MIDDLEWARE is after AuthenticationMiddleware. Only pages carry them: answers of type text/html.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Set or delete the cookies."""
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        for alias in s3_aliases() if is_page else ():
            location = storages[alias].location_as(alias)  # type: ignore[attr-defined]
            if location.links != "cookies" or not location.custom_domain:  # as on the local server
                continue
            if allowed(request, "", alias):
                set_cookies(response, alias)
            elif request.COOKIES.get(settings.SESSION_COOKIE_NAME):
                delete_cookies(response, alias)
        return response
