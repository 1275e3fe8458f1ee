"""Uploads that browsers send straight to S3: Django issues a ticket, S3 takes the bytes, Django checks them.

`s3kit.uploads` is an app of its own because tickets are rows. A site registers the kinds of files that it
accepts, includes `s3kit.uploads.urls`, and accepts each uploaded file in a view of its own.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from s3kit.uploads.errors import (
    AlreadyAcceptedError,
    ExpiredError,
    IncompleteError,
    InProgressError,
    RateLimitedError,
    RejectedError,
    UnavailableError,
    UnknownTicketError,
    UploadError,
)

if TYPE_CHECKING:
    from s3kit.uploads.acceptance import Accepting, accepting
    from s3kit.uploads.kinds import Kind, available, kind_of, register
    from s3kit.uploads.tickets import begin, cancel, count, sending, ticket
    from s3kit.uploads.views import answers_in_json

__all__ = [
    "Accepting",
    "AlreadyAcceptedError",
    "ExpiredError",
    "InProgressError",
    "IncompleteError",
    "Kind",
    "RateLimitedError",
    "RejectedError",
    "UnavailableError",
    "UnknownTicketError",
    "UploadError",
    "accepting",
    "answers_in_json",
    "available",
    "begin",
    "cancel",
    "count",
    "kind_of",
    "register",
    "sending",
    "ticket",
]

# Imported on first use, because they need Django's apps to be ready.
_LAZY = {
    "kinds": ("Kind", "available", "kind_of", "register"),
    "tickets": ("begin", "cancel", "count", "sending", "ticket"),
    "acceptance": ("Accepting", "accepting"),
    "views": ("answers_in_json",),
}


def __getattr__(name: str) -> Any:
    for module, names in _LAZY.items():
        if name in names:
            return getattr(import_module(f"s3kit.uploads.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
