"""Where a page's files come from, as sources for a Content-Security-Policy.

The policy in the settings names three kinds of files by the words below, and the middleware has addresses put
in their place. They are those that the storages give to pages, worked out without a request. Each ends at the
prefix of its kind and not at the host: where one host serves static files and uploads (one bucket, an
endpoint, one CDN), an upload is still no script.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from botocore.exceptions import BotoCoreError
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponseBase

# The settings import this module, so it imports the storages, which read settings, where it needs them.

STATIC_FILES = "{static-files}"
UPLOADS = "{uploads}"
# The bucket itself, where a browser sends what it uploads past the site; a CDN's domain is for reading.
DIRECT_UPLOADS = "{direct-uploads}"

_WORD = re.compile(r"\{[a-z-]+\}")


def fill_in(policy: str) -> str:
    """Return the policy with addresses instead of the three words.

    A word has none where the settings are wrong, of which the system checks and the storages themselves tell:
    a directive without a source allows nothing.
    """
    addresses = {word: _addresses(word) for word in set(_WORD.findall(policy))}
    if not addresses:
        return policy
    directives = []
    for directive in policy.split(";"):
        words: dict[str, None] = {}  # a set that keeps the order
        for word in directive.split():
            words.update(dict.fromkeys(addresses.get(word, (word,))))
        directives.append(" ".join(words))
    return "; ".join(directives)


def _addresses(word: str) -> tuple[str, ...]:
    known = {STATIC_FILES: static_files, UPLOADS: uploads, DIRECT_UPLOADS: direct_uploads}
    try:
        return known[word]() if word in known else (word,)
    except (ImproperlyConfigured, BotoCoreError):
        return ()


def static_files() -> tuple[str, ...]:
    """Return the source of static files: their prefix on S3 or its CDN; the site itself for local files."""
    storage = _storages().get("staticfiles")
    # With debug on, runserver serves them, as StaticStorage.url says.
    if settings.DEBUG or storage is None:
        return (_of_local(settings.STATIC_URL),)
    return (storage.address(),)


def uploads() -> tuple[str, ...]:
    """Return the sources of uploads: their prefixes on S3 or its CDN; the site itself for local files.

    The access makes no difference: a signature is in a link's query, which sources don't look at. Lasting
    addresses are the site's own.
    """
    found = _storages()
    media = [storage for storage in found.values() if storage.kind == "media"]
    sources = ["'self'"] if any(storage.links == "site" for storage in media) else []
    sources += [] if "default" in found else [_of_local(settings.MEDIA_URL)]
    return (*dict.fromkeys(sources), *(storage.plain_url("") for storage in media))


def direct_uploads() -> tuple[str, ...]:
    """Return where a browser may upload to: the media buckets, behind a CDN too; nothing for local files.

    Buckets that take no direct uploads are left out.
    """
    from s3kit import clients

    found: dict[str, None] = {}
    for storage in _storages().values():
        if storage.kind == "media" and storage.direct_uploads:
            address = clients.bucket_url(storage.target, storage.named_bucket)
            found[f"{address}/" if urlsplit(address).path else address] = None
    return tuple(found)


def _storages() -> dict[str, Any]:
    from s3kit.deployment import s3_storages

    return s3_storages()


def _of_local(url: str) -> str:
    """Return the source of files that a server beside the site has: on the site's own host, or another."""
    return url if urlsplit(url).netloc else "'self'"


class SourcesMiddleware:
    """Replace the three words by addresses, in the policy that another middleware has set.

    Its place is before that one in MIDDLEWARE: django-csp's, or Django's own from 6.0 on.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[..., Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """Answer the request."""
        if self.is_async:
            return self._answer(request)
        return _filled_in(self.get_response(request))

    async def _answer(self, request: HttpRequest) -> HttpResponseBase:
        return _filled_in(await self.get_response(request))


def _filled_in(response: HttpResponseBase) -> HttpResponseBase:
    for header in ("Content-Security-Policy", "Content-Security-Policy-Report-Only"):
        if header in response:
            response[header] = fill_in(response[header])
    return response
