"""The logging configuration that Django and gunicorn share.

The access log goes to stdout, and everything else to stderr. The format is text, or JSON lines with
DJANGO_LOG_FORMAT=json. Both remove signatures from links to S3.
"""

import logging
from typing import Any

import log_request_id
from pythonjsonlogger.json import JsonFormatter
from s3kit.logging import WithoutSignatures

HEALTH_CHECKS = {"/healthz", "/readyz"}
CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), 127)}


class Plain(WithoutSignatures, logging.Formatter):
    """Formats a record as text, on one line unless it has a traceback."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Escape control characters, so a visitor's path or header can't forge a line."""
        return super().formatMessage(record).translate(CONTROLS)


class Json(WithoutSignatures, JsonFormatter):
    """Formats a record as JSON, with the method, path, and ID of its request."""

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: Any) -> None:
        """Add the request's fields."""
        super().add_fields(log_data, record, message_dict)
        # Don't log the request itself, which includes its query string.
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
            "once": {"()": "s3kit.logging.OncePerPlace"},
        },
        "handlers": {
            # Not sys.stderr, which s3kit.logging.capture replaces.
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
            "botocore.credentials": {"level": "WARNING"},  # at each start, it logs where it found them
            "gunicorn.http.wsgi": {"level": "ERROR"},  # it warns about each response to HEAD that has a body
            "py.warnings": {"filters": ["once"]},
            "gunicorn.error": {"handlers": ["stderr"], "propagate": False},
            "gunicorn.access": {"handlers": ["stdout"], "propagate": False},
        },
    }
