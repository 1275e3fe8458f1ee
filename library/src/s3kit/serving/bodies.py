"""Limits on the bodies of requests, which Django would write to disk before it knows the user."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template import TemplateDoesNotExist
from django.urls import Resolver404, resolve

from s3kit.serving import MAX_BODY

ADMIN_MAX_BODY = 100 * 1024**2

GetResponse = Callable[[HttpRequest], HttpResponse]
View = TypeVar("View", bound=Callable[..., Any])


def takes_files(max_bytes: int) -> Callable[[View], View]:
    """Let logged-in users send files of up to `max_bytes` to a view: `@takes_files(10 * 1024**2)`."""

    def mark(view: View) -> View:
        view.max_body = max_bytes + MAX_BODY  # type: ignore[attr-defined]
        return view

    return mark


def max_body(path: str, user: Any = None) -> int:
    """Return the largest body in bytes that a path accepts from a user; without a user, from any user."""
    try:
        match = resolve(path)
    except Resolver404:
        return MAX_BODY
    if "admin" in match.app_names:
        return ADMIN_MAX_BODY if user is None or user.is_staff else MAX_BODY
    limit = getattr(match.func, "max_body", MAX_BODY)
    return limit if user is None or user.is_authenticated else MAX_BODY


def limit(get_response: GetResponse) -> GetResponse:
    """Middleware that responds with 413 if the body is too large or has no Content-Length."""

    def middleware(request: HttpRequest) -> HttpResponse:
        length = str(request.META.get("CONTENT_LENGTH") or 0)
        if "HTTP_TRANSFER_ENCODING" in request.META or not length.isdecimal():
            return _rejected(request)
        if int(length) > MAX_BODY and int(length) > max_body(request.path_info, request.user):
            return _rejected(request)
        return get_response(request)

    return middleware


def _rejected(request: HttpRequest) -> HttpResponse:
    try:
        return render(request, "413.html", status=413)
    except TemplateDoesNotExist:
        return HttpResponse("The request is too large.", status=413, content_type="text/plain")


def limited(application: Any) -> Any:
    """Return an ASGI application with these limits; under ASGI, Django reads the body before any middleware runs.

    The user isn't known yet, so the path's limit for any user applies. A body without a Content-Length is cut off at
    the limit.
    """

    async def limited(scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        left = max_body(scope["path"]) if scope["type"] == "http" else 0
        lengths = [int(value) for name, value in scope.get("headers", ()) if name == b"content-length"]

        async def receive_limited() -> Any:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            return message if left >= 0 else {"type": "http.disconnect"}

        if any(length > left for length in lengths):
            await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body"})
        else:
            await application(scope, receive_limited, send)

    return limited
