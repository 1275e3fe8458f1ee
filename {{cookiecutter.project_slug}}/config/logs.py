"""The logging configuration that Django and gunicorn share.

The access log goes to stdout, everything else to stderr: as text, or with DJANGO_LOG_FORMAT=json as one JSON
object a line. Links to S3 lose their signatures in both.
"""

import logging
import sys
import threading
from collections.abc import Iterable
from typing import Any

import log_request_id
from pythonjsonlogger.json import JsonFormatter
from s3kit.logging import WithoutSignatures

HEALTH_CHECKS = {"/healthz", "/readyz"}
CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), 127)}


class Plain(WithoutSignatures, logging.Formatter):
    """Text for people, where only a traceback has more than one line."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Escape control characters, so that a visitor's path or header can't forge a line."""
        return super().formatMessage(record).translate(CONTROLS)


class Json(WithoutSignatures, JsonFormatter):
    """JSON for programs, with the method, path and id of the request that a line belongs to."""

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: Any) -> None:
        """Add the request's fields."""
        super().add_fields(log_data, record, message_dict)
        # Not the request itself, which would be logged with its query string.
        request = log_data.pop("request", None)
        if hasattr(request, "method"):
            log_data |= {"method": request.method, "path": request.path}
        if request_id := getattr(log_request_id.local, "request_id", None):
            log_data["request_id"] = request_id


class NoHealthChecks(logging.Filter):
    """Keep successful health checks out of gunicorn's access log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log the record."""
        atoms = record.args
        return not isinstance(atoms, dict) or atoms["U"] not in HEALTH_CHECKS or atoms["s"] != "200"


class OncePerPlace(logging.Filter):
    """Log a warning of Python once for each line of code: one odd file could raise thousands, each a bit different."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the first words, which are file, line and category, are new."""
        place = ": ".join(record.getMessage().split(": ", 2)[:2])
        is_new = place not in self.seen
        self.seen.add(place)
        return is_new


class LoggedStream:
    """A stream for `print` and tracebacks that logs each line written to it."""

    encoding, errors = "utf-8", "backslashreplace"

    def __init__(self, name: str, level: int, stream: Any) -> None:
        """Log as `name`. What is written while a line is being logged goes to `stream`."""
        self.logger, self.level, self.stream = logging.getLogger(name), level, stream
        self.fileno = stream.fileno
        self.state = threading.local()

    def write(self, text: str) -> int:
        """Log the lines that the text completes."""
        if getattr(self.state, "busy", False):  # logging itself has failed
            return self.stream.write(text)
        *lines, self.state.rest = (getattr(self.state, "rest", "") + text).split("\n")
        self.state.busy = True
        for line in filter(str.strip, lines):
            self.logger.log(self.level, "%s", line)
        self.state.busy = False
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Log several texts."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Log a line that has no end."""
        if getattr(self.state, "rest", ""):
            self.write("\n")

    def isatty(self) -> bool:
        """Return False."""
        return False


def capture(log_format: str) -> None:
    """Log Python's warnings, and for JSON all else that a server and its libraries print."""
    logging.captureWarnings(True)
    if log_format != "json":
        return

    def uncaught(kind: Any, error: Any, trace: Any, source: Any = None) -> None:
        logging.getLogger("python").critical(
            "Uncaught exception in %r", source, exc_info=(kind, error, trace)
        )

    sys.excepthook = uncaught
    threading.excepthook = lambda raised: uncaught(*raised)
    sys.unraisablehook = lambda raised: uncaught(
        raised.exc_type, raised.exc_value, raised.exc_traceback, raised.object
    )
    for name, level, stream in (
        ("stdout", logging.INFO, sys.__stdout__),
        ("stderr", logging.ERROR, sys.__stderr__),
    ):
        setattr(sys, name, LoggedStream(name, level, stream))


def configuration(log_format: str) -> dict[str, Any]:
    """Return the configuration for a format, "plain" or "json"."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "plain": {"()": "config.logs.Plain", "fmt": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
            "json": {
                "()": "config.logs.Json",
                "fmt": "%(levelname)s %(name)s %(message)s",
                "timestamp": "time",
                "rename_fields": {"levelname": "level", "name": "logger", "exc_info": "exception"},
            },
        },
        "filters": {
            "no health checks": {"()": "config.logs.NoHealthChecks"},
            "once": {"()": "config.logs.OncePerPlace"},
        },
        "handlers": {
            # Not sys.stderr, which `capture` replaces.
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": log_format,
                "stream": "ext://sys.__stderr__",
            },
            "stdout": {
                "class": "logging.StreamHandler",
                "formatter": log_format,
                "filters": ["no health checks"],
                "stream": "ext://sys.__stdout__",
            },
        },
        "root": {"handlers": ["stderr"], "level": "INFO"},
        "loggers": {
            # By default, Django mails errors to ADMINS and prints none of them with debug off.
            "django": {"handlers": [], "level": "INFO"},
            "axes": {"level": "WARNING"},  # failed logins and locks
            "botocore.credentials": {"level": "WARNING"},  # it logs at each start where it found them
            "gunicorn.http.wsgi": {"level": "ERROR"},  # it warns of each answer to HEAD that has a body
            "py.warnings": {"filters": ["once"]},
            "gunicorn.error": {"handlers": ["stderr"], "propagate": False},
            "gunicorn.access": {"handlers": ["stdout"], "propagate": False},
        },
    }
