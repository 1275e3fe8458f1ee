"""URLs on the site that never expire and redirect users who may read the file to a new signed link.

For the default storage, add `path("media/", include("s3kit.links.urls"))` to your URLconf. For another storage, add
`path("documents/", include(links.patterns("documents")))`.
"""

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import storages
from django.urls import NoReverseMatch, URLPattern, path, reverse

from s3kit.deployment import s3_aliases
from s3kit.links.access import is_authenticated, is_staff
from s3kit.links.cookies import delete_cookies, set_cookies

__all__ = [
    "delete_cookies",
    "is_authenticated",
    "is_staff",
    "lasting_url",
    "patterns",
    "set_cookies",
]

_NAME = "s3kit_link"


def patterns(storage: str = "default") -> list[URLPattern]:
    """Return URL patterns for the files of a storage, an alias in STORAGES, for `include()`."""
    from s3kit.links.views import follow

    return [path("<path:name>", follow, {"storage": storage}, name=_NAME)]


def lasting_url(name: str, storage: str = "default") -> str:
    """Return the URL of a file on the site, which never expires. Makes no request.

    `storage` is an alias in STORAGES, on S3 or not. Raises ImproperlyConfigured if the URLconf has no URL for it.
    """
    found: Any = storages[storage]
    if hasattr(found, "lasting_url"):
        return str(found.lasting_url(name))
    try:
        return _reverse(storage, name)
    except NoReverseMatch:
        raise ImproperlyConfigured(_missing(storage)) from None


def address(storage: Any, name: str) -> str:
    """Return the URL of a file in one of the library's storages.

    If the URLconf has no URL for the storage's alias, use the URL of another storage in STORAGES with the same files.
    """
    found = {alias: storages[alias] for alias in s3_aliases()}
    aliases = [alias for alias, each in found.items() if each is storage]
    aliases += [alias for alias, each in found.items() if each is not storage and _same_files(each, storage)]
    for alias in aliases:
        try:
            return _reverse(alias, name)
        except NoReverseMatch:
            continue
    raise ImproperlyConfigured(_missing(aliases[0] if aliases else "default"))


def _reverse(alias: str, name: str) -> str:
    return reverse(_NAME, kwargs={"name": name, "storage": alias})


def _same_files(one: Any, other: Any) -> bool:
    a, b = one.location_as(""), other.location_as("")
    return bool((a.kind, a.bucket, a.prefix, a.target.where) == (b.kind, b.bucket, b.prefix, b.target.where))


def _missing(alias: str) -> str:
    include = '"s3kit.links.urls"' if alias == "default" else f"links.patterns({alias!r})"
    return (
        f"The URLconf has no URL for the files of STORAGES[{alias!r}]: add"
        f' path("media/", include({include})) to urlpatterns.'
    )
