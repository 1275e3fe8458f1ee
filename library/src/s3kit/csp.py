"""Content-Security-Policy sources for static files and uploads, and additional sources for some pages.

The policy in the settings contains the placeholders below, and the middleware replaces them with the URLs that the
storages use in pages; this needs no request. Each source includes the prefix, not just the host: if one host serves
both static files and uploads (the same bucket, endpoint, or CDN), an upload can't be used as a script.

S3KIT_CSP_ADDITIONS adds sources for some pages, such as third-party admin themes, editors, and API pages, whose scripts
have no nonces.
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

# The settings import this module, so it imports the storages, which read settings, inside of functions.

STATIC_FILES = "{static-files}"
UPLOADS = "{uploads}"
# The bucket itself, to which browsers send direct uploads; a CDN's domain is for reading only.
DIRECT_UPLOADS = "{direct-uploads}"

# For S3KIT_CSP_ADDITIONS: sources for pages with inline scripts and styles. Never use it for a whole site.
INLINE = {"script-src": ["'unsafe-inline'"], "style-src": ["'unsafe-inline'"]}

_WORD = re.compile(r"\{[a-z-]+\}")

# Directives and their fallbacks (CSP Level 3, 6.8.3). A directive comes after its fallbacks.
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
# If a directive has one of these, browsers ignore 'unsafe-inline'.
_STRICTER = re.compile(r"'(?:nonce-.*|sha(?:256|384|512)-.*|strict-dynamic)'", re.IGNORECASE)


def fill_in(policy: str) -> str:
    """Return the policy with URLs instead of the three placeholders.

    With wrong settings, which system checks report, a placeholder is removed. A directive without a source allows
    nothing.
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
    # With DEBUG on, runserver serves them: see StaticStorage.url.
    if settings.DEBUG or storage is None:
        return (_local_source(settings.STATIC_URL),)
    return (storage.address(),)


def uploads() -> tuple[str, ...]:
    """Return the sources of uploads: their prefixes on S3 or its CDN; the site itself for local files.

    They don't depend on access: sources ignore the query string, which contains the signature. Lasting URLs are on the
    site.
    """
    found = _storages()
    media = [storage for storage in found.values() if storage.kind == "media"]
    sources = ["'self'"] if any(storage.links == "site" for storage in media) else []
    sources += [] if "default" in found else [_local_source(settings.MEDIA_URL)]
    return (*dict.fromkeys(sources), *(storage.address() for storage in media))


def direct_uploads() -> tuple[str, ...]:
    """Return the sources to which a browser may upload: the media buckets, even behind a CDN; none for local files.

    Buckets without direct uploads are left out.
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


def _local_source(url: str) -> str:
    """Return the source of local files: the site itself, or the host in the URL."""
    return url if urlsplit(url).netloc else "'self'"


def all_additions() -> dict[str, dict[str, list[str]]]:
    """Return S3KIT_CSP_ADDITIONS: for each path or name, sources by directive.

    Raises ImproperlyConfigured for a key that matches every page, and for an invalid key, directive, or source.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for key, directives in (getattr(settings, "S3KIT_CSP_ADDITIONS", None) or {}).items():
        where = f"S3KIT_CSP_ADDITIONS[{key!r}]"
        if not key.strip("/"):
            raise ImproperlyConfigured(f"{where} matches every page: change the site's own policy instead.")
        if "/" in key[1:] and not key.startswith("/"):
            raise ImproperlyConfigured(
                f"{where} is not a name in the URLconf. To match a path, write '/{key}'."
            )
        if not isinstance(directives, Mapping):
            raise ImproperlyConfigured(
                f"{where} is {directives!r}: set it to a dict of directives, such as csp.INLINE."
            )
        for name, sources in directives.items():
            if name not in DIRECTIVES:
                allowed = ", ".join(sorted(DIRECTIVES))
                raise ImproperlyConfigured(f"{where} has {name!r}: choose one of {allowed}.")
            listed = [sources] if isinstance(sources, str) else [*sources]
            for source in listed:
                if not isinstance(source, str) or not _SOURCE.fullmatch(source):
                    raise ImproperlyConfigured(
                        f"{where}[{name!r}] has {source!r}: make each source a separate item."
                    )
            found.setdefault(key, {})[name] = listed
    return found


def additions(request: HttpRequest) -> dict[str, list[str]]:
    """Return the sources by directive that S3KIT_CSP_ADDITIONS adds for a request.

    A key of the setting is a path that begins with a slash, which includes everything below it if it also ends in a
    slash; or a name from the URLconf: of an app, of a namespace, or of a view with its namespaces. Only a path matches
    a request that didn't reach a view, such as one that a middleware redirects.
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

    If the policy lacks the directive, it is added with the sources of its fallback. If it has no fallback either,
    everything is allowed, and the directive is left out, because it would restrict the page. 'unsafe-inline' replaces
    nonces and hashes, because with these, browsers ignore it.
    """
    if not more:
        return policy
    if "," in policy:  # several policies, all of which apply
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
    """Add S3KIT_CSP_ADDITIONS to the policy that another middleware has set, and replace its placeholders.

    In MIDDLEWARE, put it before that middleware: django-csp's, or Django's own (6.0 and later).
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[..., Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """Return the response with the changed policy."""
        if self.is_async:
            return self._async_call(request)
        return _with_sources(request, self.get_response(request))

    async def _async_call(self, request: HttpRequest) -> HttpResponseBase:
        return _with_sources(request, await self.get_response(request))


def _with_sources(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    for header in ("Content-Security-Policy", "Content-Security-Policy-Report-Only"):
        if header in response:
            response[header] = fill_in(widened(response[header], additions(request)))
    return response
