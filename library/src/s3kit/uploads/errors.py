"""The errors of uploads: a message for users, and a code and an HTTP status for programs."""

from django.core.exceptions import BadRequest
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class UploadError(Exception):
    """An upload can't continue. Its text is a message for the user.

    `status` is the HTTP status of the response, and `code` identifies the error. `retry_after` is in seconds, or None
    if waiting doesn't help.

    Subclasses that saving a file can raise are also a BadRequest, so if two requests save the same upload at once, the
    second gets a 400 instead of a server error.
    """

    status = 400
    code = "rejected"
    message: str | Promise = _("This upload is not possible.")

    def __init__(self, message: str = "", *, code: str = "", retry_after: int | None = None) -> None:
        super().__init__(str(message or self.message))
        self.code = code or self.code
        self.retry_after = retry_after


class RejectedError(UploadError):
    """The file has a type or size that is not accepted, or its content did not pass the check."""


class InvalidError(UploadError):
    """The request doesn't follow the protocol."""

    code = "invalid"
    message = _("This request is malformed.")


class LoginRequiredError(UploadError):
    """The user is not logged in."""

    status, code = 401, "login_required"
    message = _("You are logged out. Please log in again.")


class ForbiddenError(UploadError):
    """The user may not upload this kind of file."""

    status, code = 403, "forbidden"
    message = _("You are not allowed to upload files here.")


class StaleError(UploadError):
    """The rules in the page are too old, or have changed since the file was sent."""

    status, code = 403, "stale"
    message = _("This page is too old. Please reload it and try again.")


class UnknownTicketError(UploadError):
    """The ticket does not exist or belongs to another user; the response doesn't say which."""

    status, code = 404, "unknown"
    message = _("This upload does not exist. Please start it again.")


class ExpiredError(UploadError, BadRequest):
    """The ticket has expired or was cancelled."""

    status, code = 410, "expired"
    message = _("This upload took too long and has expired. Please start it again.")


class AlreadyAcceptedError(UploadError, BadRequest):
    """The ticket has already been accepted."""

    status, code = 409, "accepted"
    message = _("This upload has already been accepted.")


class InProgressError(UploadError, BadRequest):
    """Another request is finishing or accepting the same ticket."""

    status, code = 409, "in_progress"
    message = _("This upload is being checked. Please wait a moment.")

    def __init__(self) -> None:
        super().__init__(retry_after=2)


class IncompleteError(UploadError, BadRequest):
    """S3 does not have the whole file."""

    status, code = 409, "incomplete"
    message = _("The file has not been sent completely. Please try again.")


class RateLimitedError(UploadError):
    """The user has started too many uploads, or too large ones."""

    status, code = 429, "rate_limited"


class UnavailableError(UploadError):
    """S3 did not respond or denied the request, or the file could not be checked. The log says why."""

    status, code = 503, "unavailable"
    message = _("The file storage is not responding. Please try again in a minute.")

    def __init__(self, message: str = "") -> None:
        super().__init__(message, retry_after=60)
