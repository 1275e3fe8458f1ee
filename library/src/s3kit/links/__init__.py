"""Addresses on the site that never expire, each of which leads to a fresh link for whoever may read the file.

`path("media/", include("s3kit.links.urls"))` is for the default storage. Another one has addresses of its own:
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
    """Return the URLs of the files of a storage, an alias in STORAGES, for `include()`."""
    from s3kit.links.views import follow

    return [path("<path:name>", follow, {"storage": storage}, name=_NAME)]


def lasting_url(name: str, storage: str = "default") -> str:
    """Return the address of a file on the site, which never expires; no request is made.

    `storage` is an alias in STORAGES, on S3 or not. Raises ImproperlyConfigured where no URL leads to it.
    """
    found: Any = storages[storage]
    if hasattr(found, "lasting_url"):
        return str(found.lasting_url(name))
    try:
        return _reverse(storage, name)
    except NoReverseMatch:
        raise ImproperlyConfigured(_missing(storage)) from None


def address(storage: Any, name: str) -> str:
    """Return the address of a file of one of the library's storages, by its own alias or that of another entry.

    Other entries of STORAGES for the same files have other options, or were made by other people's code.
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
    here, there = one.location_as(""), other.location_as("")
    return bool(
        (here.kind, here.bucket, here.prefix, here.target.where)
        == (there.kind, there.bucket, there.prefix, there.target.where)
    )


def _missing(alias: str) -> str:
    include = '"s3kit.links.urls"' if alias == "default" else f"links.patterns({alias!r})"
    return (
        f"No URL of the site leads to the files of STORAGES[{alias!r}]: add"
        f' path("media/", include({include})) to the urlpatterns.'
    )
