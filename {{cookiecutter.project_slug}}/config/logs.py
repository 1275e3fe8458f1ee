"""What the site logs, and how: as text to read, or as one JSON object a line (DJANGO_LOG_FORMAT).

The settings and gunicorn.conf.py take the same configuration, so that a server speaks with one voice. Lines
of the access log go to stdout, all others to stderr.

A JSON line holds `time` (RFC 3339, UTC), `level`, `logger`, `message`, and `exception` where there is one.
During a request it also holds `request_id`, `method`, `path`, and where known `status` and `user_id`. No line
holds a query string, and links in messages lose their signatures.
"""

import json
import logging
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from django.core.exceptions import ImproperlyConfigured
from django.utils.decorators import sync_and_async_middleware

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest, HttpResponse

# Asked every few seconds by load balancers: not worth a line of the access log while the answer is 200.
PROBES = frozenset({"/healthz", "/readyz"})

# A request's name, as proxies give it; anything else in X-Request-ID gets a new one.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._~:=+/@-]{1,128}")

# What makes a signed link valid, in the names of S3 and of CloudFront.
_SIGNATURE = re.compile(
    r"([?&](?:X-Amz-Signature|X-Amz-Security-Token|Signature|Policy)=)[^&\s\"'<>]+", re.IGNORECASE
)

_request: ContextVar["HttpRequest | None"] = ContextVar("request", default=None)


def configuration(kind: str) -> dict[str, Any]:
    """Return the `dictConfig` of a format, "plain" or "json"; raise ImproperlyConfigured for any other."""
    if kind not in {"plain", "json"}:
        raise ImproperlyConfigured(f"DJANGO_LOG_FORMAT is {kind!r}: set it to plain or json.")
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "plain": {"()": "config.logs.PlainFormatter"},
            "json": {"()": "config.logs.JsonFormatter"},
        },
        "filters": {"no probes": {"()": "config.logs.NoProbes"}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": kind},
            "stdout": {"class": "logging.StreamHandler", "formatter": kind, "stream": "ext://sys.stdout"},
        },
        "root": {"handlers": ["stderr"], "level": "INFO"},
        "loggers": {
            # Django would mail errors to ADMINS, which nobody has set, and print none of them with debug off.
            "django": {"handlers": [], "level": "INFO"},
            # It would say at each start where it found the credentials.
            "botocore.credentials": {"level": "WARNING"},
            # Django leaves it to the server to drop the body of an answer to HEAD; gunicorn does, and tells.
            "gunicorn.http.wsgi": {"level": "ERROR"},
            # Their levels are gunicorn's own option.
            "gunicorn.error": {"handlers": ["stderr"], "propagate": False},
            "gunicorn.access": {"handlers": ["stdout"], "filters": ["no probes"], "propagate": False},
        },
    }


class NoProbes(logging.Filter):
    """Keep health checks that were answered with 200 out of gunicorn's access log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the line is kept."""
        atoms = _access(record)
        return atoms is None or atoms["U"] not in PROBES or atoms["s"] != "200"


class PlainFormatter(logging.Formatter):
    """Lines for people. Only a traceback continues on further lines."""

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname} {name}: {message}", style="{")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the lines of its traceback."""
        return _SIGNATURE.sub(r"\1...", super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 -- logging's own name
        """Return the line. What a visitor sends in a path or a header can't start another one."""
        if atoms := _access(record):
            record.message = (
                f'{atoms["h"]} "{atoms["m"]} {quote(_path(atoms))} {atoms["H"]}"'
                f" {atoms['s']} {atoms['B']} bytes {atoms['M']} ms {json.dumps(atoms['a'])}"
            )
        return super().formatMessage(record)


class JsonFormatter(logging.Formatter):
    """One JSON object a line, for programs. It is ASCII, so that no byte of it can be unreadable."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
        }
        if atoms := _access(record):
            line |= _of_access(atoms)
        else:
            line |= {"message": _SIGNATURE.sub(r"\1...", record.getMessage())} | _of_request(record)
        if record.exc_info:
            line["exception"] = _SIGNATURE.sub(r"\1...", self.formatException(record.exc_info))
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        return json.dumps(line, default=str)


def _access(record: logging.LogRecord) -> Mapping[str, Any] | None:
    """Return what gunicorn knows of a request, by the letters of its access_log_format, or None."""
    known = record.name == "gunicorn.access" and isinstance(record.args, Mapping)
    return record.args if known else None  # type: ignore[return-value]


def _path(atoms: Mapping[str, Any]) -> str:
    return unquote(str(atoms["{raw_uri}e"]).partition("?")[0])


def _of_access(atoms: Mapping[str, Any]) -> dict[str, Any]:
    path = _path(atoms)
    found = {
        "message": f"{atoms['m']} {path} {atoms['s']}",
        "request_id": atoms["{x-request-id}o"],
        "method": atoms["m"],
        "path": path,
        "status": int(atoms["s"]),
        "bytes": atoms["B"],
        "milliseconds": atoms["M"],
        "remote": atoms["h"],
        "forwarded_for": atoms["{x-forwarded-for}i"],
        "user_agent": atoms["a"],
    }
    return {name: value for name, value in found.items() if value != "-"}


def _of_request(record: logging.LogRecord) -> dict[str, Any]:
    """Return what is known of the request during which the record was made; nothing is looked up for it."""
    request: Any = getattr(record, "request", None)
    if not hasattr(request, "META"):  # runserver's is a socket
        request = _request.get()
    if request is None:
        return {}
    found = {
        "request_id": getattr(request, "request_id", None),
        "method": request.method,
        "path": request.path,
        "status": getattr(record, "status_code", None),
        # What AuthenticationMiddleware has kept: request.user itself would ask the database.
        "user_id": getattr(
            getattr(request, "_cached_user", None) or getattr(request, "_acached_user", None), "pk", None
        ),
    }
    return {name: value for name, value in found.items() if value is not None}


@contextmanager
def _during(request: "HttpRequest") -> "Iterator[str]":
    given = request.headers.get("X-Request-ID", "")
    name = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    request.request_id = name  # type: ignore[attr-defined]
    token = _request.set(request)
    try:
        yield name
    finally:
        _request.reset(token)


@sync_and_async_middleware
def request_id(get_response: Callable[..., Any]) -> Callable[..., "HttpResponse | Awaitable[HttpResponse]"]:
    """Middleware: name each request, by its X-Request-ID or anew, in log lines and in the answer's header."""
    if iscoroutinefunction(get_response):

        async def named_async(request: "HttpRequest") -> "HttpResponse":
            with _during(request) as name:
                response: HttpResponse = await get_response(request)
            response["X-Request-ID"] = name
            return response

        return named_async

    def named(request: "HttpRequest") -> "HttpResponse":
        with _during(request) as name:
            response: HttpResponse = get_response(request)
        response["X-Request-ID"] = name
        return response

    return named
