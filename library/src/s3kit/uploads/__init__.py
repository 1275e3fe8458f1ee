"""Uploads that browsers send straight to S3: Django issues a ticket, S3 receives the bytes, Django checks them.

`s3kit.uploads` is a separate app because tickets are rows. A site includes `s3kit.uploads.urls` and uses
`DirectFileField` or `DirectImageField` in its forms. The other names are for custom upload flows.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from s3kit.uploads.errors import (
    AlreadyAcceptedError,
    ExpiredError,
    ForbiddenError,
    IncompleteError,
    InProgressError,
    InvalidError,
    LoginRequiredError,
    RateLimitedError,
    RejectedError,
    StaleError,
    UnavailableError,
    UnknownTicketError,
    UploadError,
)

if TYPE_CHECKING:
    from s3kit.uploads.acceptance import Accepting, accepting, finish
    from s3kit.uploads.admin import DirectUploadsMixin
    from s3kit.uploads.fields import DirectFileField, DirectImageField
    from s3kit.uploads.files import DirectFile, accepted, sent_file
    from s3kit.uploads.kinds import Kind, available, kind_of, register
    from s3kit.uploads.tickets import begin, cancel, count, sending, ticket

__all__ = [
    "Accepting",
    "AlreadyAcceptedError",
    "DirectFile",
    "DirectFileField",
    "DirectImageField",
    "DirectUploadsMixin",
    "ExpiredError",
    "ForbiddenError",
    "InProgressError",
    "IncompleteError",
    "InvalidError",
    "Kind",
    "LoginRequiredError",
    "RateLimitedError",
    "RejectedError",
    "StaleError",
    "UnavailableError",
    "UnknownTicketError",
    "UploadError",
    "accepted",
    "accepting",
    "available",
    "begin",
    "cancel",
    "count",
    "finish",
    "kind_of",
    "register",
    "sending",
    "sent_file",
    "ticket",
]

# Imported on first use, because they need Django's apps to be ready.
_LAZY = {
    "kinds": ("Kind", "available", "kind_of", "register"),
    "tickets": ("begin", "cancel", "count", "sending", "ticket"),
    "acceptance": ("Accepting", "accepting", "finish"),
    "files": ("DirectFile", "accepted", "sent_file"),
    "fields": ("DirectFileField", "DirectImageField"),
    "admin": ("DirectUploadsMixin",),
}


def __getattr__(name: str) -> Any:
    for module, names in _LAZY.items():
        if name in names:
            return getattr(import_module(f"s3kit.uploads.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
