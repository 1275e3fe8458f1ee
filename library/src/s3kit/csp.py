"""Where a page's files come from, as sources for a Content-Security-Policy, and what some pages may do besides.

The policy in the settings names three kinds of files by the words below, and the middleware has addresses put
in their place. They are those that the storages give to pages, worked out without a request. Each ends at the
prefix of its kind and not at the host: where one host serves static files and uploads (one bucket, an
endpoint, one CDN), an upload is still no script.

S3KIT_CSP_ADDITIONS adds sources for some pages: for other people's admin themes, editors and API pages, whose
scripts have no nonces.
"""

import re
from collections.abc import Callable, Mapping
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

# For S3KIT_CSP_ADDITIONS: what pages need whose scripts and styles are inline. Never for a whole site.
INLINE = {"script-src": ["'unsafe-inline'"], "style-src": ["'unsafe-inline'"]}

_WORD = re.compile(r"\{[a-z-]+\}")

# Directives, and those that browsers look at where a policy lacks one: CSP Level 3, 6.8.3. A directive comes after
# those that it falls back on.
DIRECTIVES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("base-uri", "form-action", "frame-ancestors"), ()),
    **dict.fromkeys(("script-src", "style-src", "img-src", "font-src", "media-src"), ("default-src",)),
    **dict.fromkeys(("connect-src", "child-src", "manifest-src", "object-src"), ("default-src",)),
    **dict.fromkeys(("script-src-elem", "script-src-attr"), ("script-src", "default-src")),
    **dict.fromkeys(("style-src-elem", "style-src-attr"), ("style-src", "default-src")),
    "frame-src": ("child-src", "default-src"),
    "worker-src": ("child-src", "script-src", "default-src"),
}

_SOURCE = re.compile(r"[^\s;,]+")
# Beside one of these, browsers ignore 'unsafe-inline'.
_STRICTER = re.compile(r"'(?:nonce-.*|sha(?:256|384|512)-.*|strict-dynamic)'", re.IGNORECASE)


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
    return (*dict.fromkeys(sources), *(storage.address() for storage in media))


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


def all_additions() -> dict[str, dict[str, list[str]]]:
    """Return S3KIT_CSP_ADDITIONS: for each path or name, sources by directive.

    Raises ImproperlyConfigured for a key that would be every page, for what is no directive with sources, and for
    what is no source.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for key, directives in (getattr(settings, "S3KIT_CSP_ADDITIONS", None) or {}).items():
        where = f"S3KIT_CSP_ADDITIONS[{key!r}]"
        if not key.strip("/"):
            raise ImproperlyConfigured(f"{where} is every page: change the site's own policy instead.")
        if "/" in key[1:] and not key.startswith("/"):
            raise ImproperlyConfigured(
                f"{where} is no name of the URL configuration. Write a path as '/{key}'."
            )
        if not isinstance(directives, Mapping):
            raise ImproperlyConfigured(
                f"{where} is {directives!r}: set it to a dict of directives, as csp.INLINE."
            )
        for name, sources in directives.items():
            if name not in DIRECTIVES:
                allowed = ", ".join(sorted(DIRECTIVES))
                raise ImproperlyConfigured(f"{where} names {name!r}. These can be added to: {allowed}.")
            listed = [sources] if isinstance(sources, str) else [*sources]
            for source in listed:
                if not isinstance(source, str) or not _SOURCE.fullmatch(source):
                    raise ImproperlyConfigured(
                        f"{where}[{name!r}] has {source!r}: list each source by itself."
                    )
            found.setdefault(key, {})[name] = listed
    return found


def additions(request: HttpRequest) -> dict[str, list[str]]:
    """Return what S3KIT_CSP_ADDITIONS adds to the policy of a request's page: sources by directive.

    A key of the setting is a path that begins with a slash, and that covers what is below it if it ends in one
    too; or a name from the URL configuration: of an app, of a namespace, or of a view with its namespaces. A
    request that no view answered, as one that a middleware redirects, has a path only.
    """
    names: set[str] = set()
    if match := request.resolver_match:
        names = {*match.app_names, *match.namespaces, match.view_name}
    found: dict[str, list[str]] = {}
    for key, directives in all_additions().items():
        is_below = key.endswith("/") and request.path_info.startswith(key)
        if (request.path_info == key or is_below) if key.startswith("/") else key in names:
            for name, sources in directives.items():
                found.setdefault(name, []).extend(sources)
    return found


def widened(policy: str, more: Mapping[str, list[str]]) -> str:
    """Return the policy with more sources, each in its directive.

    A directive that the policy lacks begins with the sources that browsers use in its place; where everything is
    allowed without it, it is left out, because naming some sources would forbid the others. 'unsafe-inline' takes
    the place of nonces and hashes, beside which browsers ignore it.
    """
    if not more:
        return policy
    if "," in policy:  # several policies, each of which a page must meet
        return ", ".join(widened(each, more) for each in policy.split(","))
    found: dict[str, list[str]] = {}
    for name, *sources in map(str.split, filter(str.strip, policy.split(";"))):
        found.setdefault(name.lower(), sources)
    for name in sorted(more, key=list(DIRECTIVES).index):
        there = next((found[place] for place in (name, *DIRECTIVES[name]) if place in found), None)
        if there is not None:
            unsafe = "'unsafe-inline'" in more[name]
            kept = [each for each in there if each != "'none'" and not (unsafe and _STRICTER.fullmatch(each))]
            found[name] = list(dict.fromkeys([*kept, *more[name]]))
    return "; ".join(" ".join((name, *sources)) for name, sources in found.items())


class SourcesMiddleware:
    """Add S3KIT_CSP_ADDITIONS to the policy that another middleware has set, and replace the three words in it.

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
        return _filled_in(request, self.get_response(request))

    async def _answer(self, request: HttpRequest) -> HttpResponseBase:
        return _filled_in(request, await self.get_response(request))


def _filled_in(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    for header in ("Content-Security-Policy", "Content-Security-Policy-Report-Only"):
        if header in response:
            response[header] = fill_in(widened(response[header], additions(request)))
    return response
