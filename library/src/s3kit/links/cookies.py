"""CloudFront signed cookies, which let a browser read all files of a storage at plain URLs."""

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
    """Set the cookies that let the browser read all files of a storage, an alias in STORAGES, from CloudFront.

    They are session cookies, and CloudFront accepts them for at most `querystring_expire` seconds. Raises
    ImproperlyConfigured if the storage is not private or not behind CloudFront.
    """
    found: Any = storages[storage]
    for name, value in found.signed_cookies().items():
        response.set_cookie(name, value, **_cookie_scope(found), secure=True, httponly=True, samesite="Lax")
    # Keep shared caches from sending the cookies to other users.
    patch_cache_control(response, private=True)
    patch_vary_headers(response, ["Cookie"])


def delete_cookies(response: HttpResponseBase, storage: str = "default") -> None:
    """Delete the cookies of a storage, for example after a logout."""
    for name in ("CloudFront-Policy", "CloudFront-Signature", "CloudFront-Key-Pair-Id"):
        response.delete_cookie(name, **_cookie_scope(storages[storage]), samesite="Lax")


def _cookie_scope(storage: Any) -> dict[str, Any]:
    location = storage.location_as("")
    # The path keeps them out of requests for static files, and separates them from those of another storage.
    return {"domain": location.cookie_domain or None, "path": f"/{quote(location.prefix)}"}


class CookiesMiddleware(MiddlewareMixin):
    """Set the cookies of each storage with `links="cookies"` if the site's rule lets the user read all its files.

    Calls the rule (S3KIT_LINKS_PERMISSION) with an empty name, and deletes the cookies of users whom it denies. Only
    responses of type text/html get cookies. Add it to MIDDLEWARE after AuthenticationMiddleware.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Set or delete the cookies."""
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        for alias in s3_aliases() if is_page else ():
            location = storages[alias].location_as(alias)  # type: ignore[attr-defined]
            if location.links != "cookies" or not location.custom_domain:  # the local server has no domain
                continue
            if allowed(request, "", alias):
                set_cookies(response, alias)
            elif request.COOKIES.get(settings.SESSION_COOKIE_NAME):
                delete_cookies(response, alias)
        return response
