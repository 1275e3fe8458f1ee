"""What keeps an upload from going on: for users a sentence, for scripts a word and a status."""


class UploadError(Exception):
    """An upload does not go on; the text is a sentence for the user.

    `status` is the HTTP status of it, `code` a word for scripts, `retry_after` seconds, or None where waiting
    does not help.
    """

    status = 400
    code = "refused"
    sentence = "This upload is not possible."

    def __init__(self, sentence: str = "", *, retry_after: int | None = None) -> None:
        super().__init__(sentence or self.sentence)
        self.retry_after = retry_after


class RefusedError(UploadError):
    """The file is of a kind or size that is not taken, or was found to be no good."""


class UnknownTicketError(UploadError):
    """There is no such ticket, or it is somebody else's, which is not told."""

    status, code = 404, "unknown"
    sentence = "This upload is not known here. Please start it again."


class ExpiredError(UploadError):
    """The ticket's time is over, or it was cancelled."""

    status, code = 410, "expired"
    sentence = "This upload took too long, and its time is over. Please start it again."


class AlreadyAcceptedError(UploadError):
    """The ticket has done its work: answer as after a success."""

    status, code = 409, "accepted"
    sentence = "This upload was accepted already."


class InProgressError(UploadError):
    """Another request is accepting the same ticket."""

    status, code = 409, "in_progress"
    sentence = "This upload is being checked. Please wait a moment."

    def __init__(self) -> None:
        super().__init__(retry_after=2)


class IncompleteError(UploadError):
    """Not everything has arrived on S3."""

    status, code = 409, "incomplete"
    sentence = "The file has not arrived completely. Please try again."


class RateLimitedError(UploadError):
    """The user has begun too much."""

    status, code = 429, "rate_limited"


class UnavailableError(UploadError):
    """S3 did not answer, or refused; the reason is in the log."""

    status, code = 503, "unavailable"
    sentence = "The file store does not answer just now. Please try again in a minute."

    def __init__(self) -> None:
        super().__init__(retry_after=60)
