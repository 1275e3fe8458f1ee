"""The view for lasting URLs."""

import posixpath
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.core.files.storage import storages
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_safe

from s3kit.links.access import allowed
from s3kit.storages import types


@require_safe
def follow(request: HttpRequest, name: str, storage: str) -> HttpResponseBase:
    """Redirect to a new link to a file if the site's rule lets this request read it; otherwise respond with 403.

    Responds with 404 only to names that no file can have: no request is made to S3, so the response doesn't reveal
    whether the file exists. If the storage is not on S3, the site sends the file itself.
    """
    if not _is_canonical(name):
        raise Http404(name)
    backend: Any = storages[storage]
    is_on_s3 = hasattr(backend, "signed_url")
    try:
        if is_on_s3:
            backend.key(name)
    except SuspiciousOperation as error:
        raise Http404(str(error)) from error
    # With DEBUG on, local files are public, as with Django's static().
    is_open = settings.DEBUG and not is_on_s3
    if not is_open and not allowed(request, name, storage):
        raise PermissionDenied
    response = _redirect(request, backend, name) if is_on_s3 else _file_response(backend, name)
    patch_vary_headers(response, ["Cookie"])
    return response


def _is_canonical(name: str) -> bool:
    """Return whether a name is in canonical form, so that the site's rule sees the name that S3 gets."""
    plain = posixpath.normpath(name)
    return (
        name == plain
        and not name.startswith(("/", "../"))
        and name not in {".", ".."}
        and not {"\\", "\0"} & {*name}
    )


def _redirect(request: HttpRequest, backend: Any, name: str) -> HttpResponse:
    # A browser with a cached redirect still has half of the link's lifetime, to seek in a video or resume a download.
    age = max(backend.seconds_left(name) // 2, 0)
    # A signature is valid for one method only.
    method = "HEAD" if request.method == "HEAD" else None
    response = HttpResponseRedirect(backend.signed_url(name, http_method=method))
    response.headers["Cache-Control"] = f"private, max-age={age}"
    return response


def _file_response(backend: Any, name: str) -> FileResponse:
    """Return a file that is not on S3, with the headers that it would have there."""
    try:
        file = backend.open(name)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise Http404(name) from error
    except SuspiciousOperation as error:
        raise Http404(str(error)) from error
    extension = posixpath.splitext(name)[1].lower().removeprefix(".")
    content_type, disposition = types.resolved({}, {}).of(extension)
    response = FileResponse(file, content_type=content_type or "application/octet-stream")
    response.headers["Content-Disposition"] = disposition
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "private, no-cache"
    return response
