"""Where a page's files come from, as sources for a Content-Security-Policy.

The policy in the settings names three kinds of files by the words below, and the middleware has addresses put
in their place. They are those that the storages give to pages, worked out without a request. Each ends at the
prefix of its kind and not at the host: where one host serves static files and uploads (one bucket, an
endpoint, one CDN), an upload is still no script.
"""

import re
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

# The settings import this module, so it imports the storages, which read settings, where it needs them.

STATIC_FILES = "{static-files}"
UPLOADS = "{uploads}"
# The bucket itself, where a browser sends what it uploads past the site; a CDN's domain is for reading.
DIRECT_UPLOADS = "{direct-uploads}"

_WORD = re.compile(r"\{[a-z-]+\}")


def fill_in(policy: str) -> str:
    """Return the policy with addresses in the place of the three words.

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
    """Return the source of static files: `static/` on S3 or its CDN; the site itself for local files."""
    from django.core.files.storage import storages

    from s3kit.storages.static import StaticStorage, static_address

    # With debug on, runserver serves them, as StaticStorage.url says.
    if settings.DEBUG or not isinstance(storages["staticfiles"], StaticStorage):
        return (_of_local(settings.STATIC_URL),)
    return (static_address(),)


def uploads() -> tuple[str, ...]:
    """Return the source of uploads: `media/` on S3 or its CDN; the site itself for local files.

    AWS_MEDIA_ACCESS makes no difference: a signature is in a link's query, which sources don't look at.
    """
    storage = _media_storage()
    return (storage.plain_url("") if storage else _of_local(settings.MEDIA_URL),)


def direct_uploads() -> tuple[str, ...]:
    """Return where a browser may upload to: the media bucket, behind a CDN too; nothing for local files."""
    from s3kit import clients

    storage = _media_storage()
    if storage is None:
        return ()
    address = clients.bucket_url(storage.bucket_name)
    # A form is posted to the bare address, parts go to keys below it; in path style that takes two sources.
    return (address, f"{address}/") if urlsplit(address).path else (address,)


def _media_storage() -> Any:
    """Return the storage of uploads if it is on S3, else None."""
    from django.core.files.storage import storages

    storage = storages["default"]
    return storage if hasattr(storage, "plain_url") else None


def _of_local(url: str) -> str:
    """Return the source of files that a server beside the site has: on the site's own host, or another."""
    return url if urlsplit(url).netloc else "'self'"
