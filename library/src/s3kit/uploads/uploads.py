"""Uploads that browsers send straight to S3: Django issues a ticket, S3 takes the bytes, Django checks them.

The server alone decides key, type, size, access and time: they are in what it signs. Up to PART_FROM bytes go
in one form (a presigned POST), more in parts, each signed with its Content-Length. What arrives lies under
`pending/`, which expires, and is nothing yet. `accepting` looks at it, copies just the version it looked at
to its place among the media, and lets the caller's row and the ticket change in one transaction, so that a
ticket makes one row at most, whatever is sent twice, cut off or killed on the way.

Sources of the rules: Amazon S3 API reference, "POST Policy" and "Authenticating Requests: Using Query
Parameters"; S3 User Guide, "Amazon S3 multipart upload limits": parts of 5 MiB to 5 GiB, the last one may be
smaller, 10,000 at most.
"""

import io
import logging
import posixpath
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation, ValidationError
from django.core.files.storage import storages
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.db.models import Q, QuerySet, Sum
from django.template.defaultfilters import filesizeformat
from django.utils import timezone

from s3kit import clients, errors
from s3kit.storages.media import MediaStorage
from s3kit.uploads import pending
from s3kit.uploads.models import Ticket
from s3kit.uploads.pending import REFUSALS, Pending, Ranges, code_of, signed_form, signed_part

logger = logging.getLogger(__name__)

MIB = 2**20

PART_FROM = 16 * MIB  # a larger file goes in parts
PART = 16 * MIB  # of bytes: a cut connection costs that much at most, and 5 GB are 320 requests
MAX_PARTS = 10_000  # S3's own limit
BATCH = 16  # parts whose links are handed out at once

# The lifecycle rule removes what is under pending/ after a day, and not a second before it is over.
TICKET_LIFE = timedelta(hours=23)
KEPT_LIFE = timedelta(days=1)  # of the row after that: a late question still gets its answer
# A claim that is older belongs to a process that was killed.
CLAIM_LIFE = timedelta(minutes=10)

TICKETS_PER_HOUR = 100  # of one user
OPEN_BYTES = 20 * 2**30  # of all tickets of a user that are under way


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


@dataclass(frozen=True)
class Kind:
    """A kind of file that may be uploaded.

    `extensions` are in lower case and without a dot. `folder` is where `Accepting.keep` puts the file, in
    media names; blank for files that the caller makes anew. `max_length` is that of the FileField which holds
    the name. `check` looks into the file and raises ValidationError with sentences for the user.
    """

    name: str
    extensions: tuple[str, ...]
    max_bytes: int
    folder: str = ""
    max_length: int = 100
    check: "Callable[[UploadedFile[Any]], object] | None" = None

    def takes(self, file_name: str) -> bool:
        """Tell whether the file's extension is one of this kind."""
        return posixpath.splitext(file_name)[1].lower().removeprefix(".") in self.extensions


def kind_of(file_name: str, kinds: Iterable[Kind]) -> Kind | None:
    """Return the first of the kinds that takes the file, by its extension."""
    return next((kind for kind in kinds if kind.takes(file_name)), None)


def available() -> bool:
    """Tell whether uploads can go straight to S3: the default storage is there."""
    return isinstance(storages["default"], MediaStorage)


# ------------------------------------------------------------------------------------------- tickets


def begin(user: AbstractBaseUser, kind: Kind, *, name: str, size: int) -> Ticket:
    """Return a new ticket for a file of `size` bytes that the user calls `name`.

    Raises RefusedError for a name, a type or a size that is not taken, RateLimitedError where the user has
    begun TICKETS_PER_HOUR in the last hour or has OPEN_BYTES under way, UnavailableError. What old tickets
    have left behind goes in passing.
    """
    storage = _storage()
    # Control characters and halves of characters, which no database takes, are no part of a name.
    name = "".join(c for c in str(name).replace("\\", "/").rpartition("/")[2] if c.isprintable()).strip()
    if not name or len(name) > 255:
        raise RefusedError("This file needs a name of 1 to 255 characters.")
    if not kind.takes(name):
        listed = ", ".join(f".{extension}" for extension in kind.extensions)
        raise RefusedError(f"Files of this type are not taken here. Please choose one of {listed}.")
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise RefusedError("This file is empty.")
    if size > kind.max_bytes:
        limit = filesizeformat(kind.max_bytes)
        raise RefusedError(f"This file is too large ({filesizeformat(size)}). The limit is {limit}.")
    try:
        target = storage.get_available_name(posixpath.join(kind.folder, name), kind.max_length)
    except SuspiciousFileOperation as error:
        raise RefusedError("This file's name can't be used. Please rename the file.") from error
    ticket = Ticket(
        user_id=user.pk,
        kind=kind.name,
        name=name,
        content_type=storage.write_parameters(target)["ContentType"],
        size=size,
        part_size=0 if size <= PART_FROM else part_size(size),
        target=target if kind.folder else "",
        expires_at=timezone.now() + TICKET_LIFE,
    )
    _sweep()
    with transaction.atomic():
        # Of two requests of one user the second counts when the first has written its row.
        users = get_user_model()._default_manager.select_for_update()
        list(users.filter(pk=user.pk).values_list("pk"))
        _limit(user, size)
        ticket.save(force_insert=True)
    if ticket.part_size:
        try:
            with _answers():
                ticket.upload_id = _pending(ticket).begin(ticket.content_type)
        except UnavailableError:
            ticket.delete()
            raise
        ticket.save(update_fields=["upload_id"])
    return ticket


def part_size(size: int) -> int:
    """Return the size of a file's parts: PART, or more MiB where MAX_PARTS would not be enough."""
    smallest = -(-size // MAX_PARTS)
    return max(PART, -(-smallest // MIB) * MIB)


def ticket(user: AbstractBaseUser, ticket_id: uuid.UUID | str) -> Ticket:
    """Return a ticket of the user; raise UnknownTicketError for anybody else's, and where there is none."""
    try:
        return Ticket.objects.get(pk=ticket_id, user_id=user.pk)
    except (Ticket.DoesNotExist, ValidationError):
        raise UnknownTicketError from None


def sending(ticket: Ticket) -> dict[str, Any]:
    """Return what a browser needs to send the file, or what is missing of it, as data for JSON.

    `complete` says that S3 has everything; else there is either `post` (the address and the fields of a form,
    whose last field is to be the file, called `file`) or `parts`: the next BATCH that S3 has not, each with
    its number, the bytes of the file from `start` to before `end`, and the address to PUT them to. All of it
    is good for LINK_LIFE seconds and is made anew at each call.

    Raises the UploadError that says why the ticket is not open.
    """
    _check_open(ticket)
    post = parts = None
    with _answers():
        arrived = _arrived(ticket) if ticket.part_size else None
        if arrived is not None:
            missing = [(number, *span) for number, span in _parts(ticket).items() if number not in arrived]
            complete, received = not missing, ticket.size - sum(end - start for _, start, end in missing)
            parts = [_link(ticket, *part) for part in missing[:BATCH]] or None
        else:
            complete = _pending(ticket).head() is not None
            received = ticket.size if complete else 0
            if ticket.part_size and not complete:
                raise ExpiredError
            if not complete:
                post = signed_form(_storage().bucket_name, ticket.key, ticket.content_type, ticket.size)
    return {
        "id": str(ticket.id),
        "state": ticket.state,
        "expires": ticket.expires_at.isoformat(),
        "size": ticket.size,
        "received": received,
        "complete": complete,
        "post": post,
        "parts": parts,
    }


def cancel(ticket: Ticket) -> None:
    """Close the ticket, and remove what it has sent; what can't be removed expires.

    Raises AlreadyAcceptedError, or InProgressError, where it is too late.
    """
    changed = _claimable(ticket).update(state=Ticket.State.CANCELLED, claim=None)
    ticket.refresh_from_db()
    if not changed and ticket.state in {Ticket.State.ACCEPTED, Ticket.State.CLAIMED}:
        _check_open(ticket)
    if changed:
        _remove_pending(ticket)


def _check_open(ticket: Ticket) -> None:
    """Raise what is to be said of a ticket that can't be used (any more)."""
    state = Ticket.State
    if ticket.state == state.ACCEPTED:
        raise AlreadyAcceptedError
    if ticket.state == state.REFUSED:
        raise RefusedError(ticket.refusal)
    if ticket.state == state.CANCELLED:
        raise ExpiredError("This upload was cancelled. Please start it again.")
    if ticket.state == state.CLAIMED and not _is_stale(ticket):
        raise InProgressError
    if ticket.expires_at <= timezone.now():
        raise ExpiredError


def _is_stale(ticket: Ticket) -> bool:
    return ticket.claimed_at is None or ticket.claimed_at < timezone.now() - CLAIM_LIFE


def _claimable(ticket: Ticket) -> QuerySet[Ticket]:
    """Return the ticket's row, if it is open or its claim is that of a process which was killed."""
    state = Ticket.State
    stale = Q(state=state.CLAIMED, claimed_at__lt=timezone.now() - CLAIM_LIFE)
    return Ticket.objects.filter(Q(state=state.OPEN) | stale, pk=ticket.pk)


def _limit(user: AbstractBaseUser, size: int) -> None:
    """Raise RateLimitedError where the user may not begin another upload of this size now."""
    now, hour = timezone.now(), timedelta(hours=1)
    mine = Ticket.objects.filter(user_id=user.pk)
    lately = mine.filter(created_at__gt=now - hour).order_by("-created_at")
    # The one that must be an hour old for another to be allowed.
    if (last := lately[TICKETS_PER_HOUR - 1 : TICKETS_PER_HOUR].first()) is not None:
        wait = _seconds(last.created_at + hour - now)
        raise RateLimitedError(
            f"You have started {TICKETS_PER_HOUR} uploads within an hour."
            f" Please try again in {_minutes(wait)}.",
            retry_after=wait,
        )
    state = Ticket.State
    under_way = mine.filter(state__in=(state.OPEN, state.CLAIMED), expires_at__gt=now)
    sent = under_way.aggregate(sum=Sum("size"))["sum"] or 0
    if sent + size > OPEN_BYTES:
        first = under_way.order_by("expires_at").first()
        raise RateLimitedError(
            f"Your unfinished uploads and this one exceed {filesizeformat(OPEN_BYTES)}."
            " Please finish or cancel one of them first.",
            retry_after=_seconds(first.expires_at - now) if first else None,
        )


def _seconds(span: timedelta) -> int:
    return max(int(span.total_seconds()) + 1, 1)


def _minutes(seconds: int) -> str:
    minutes = -(-seconds // 60)
    return f"{minutes} minute{'s' * (minutes != 1)}"


def _sweep() -> None:
    """Delete the rows of old tickets, and the copies of acceptances that were killed before their row."""
    old = Ticket.objects.filter(expires_at__lt=timezone.now() - KEPT_LIFE)
    for left in old.filter(kept=True).exclude(state=Ticket.State.ACCEPTED)[:10]:
        if _remove_copy(left):
            Ticket.objects.filter(pk=left.pk).update(kept=False)
    old.filter(Q(kept=False) | Q(state=Ticket.State.ACCEPTED)).delete()


# ------------------------------------------------------------------------------------------- S3


def _storage() -> MediaStorage:
    storage = storages["default"]
    if not isinstance(storage, MediaStorage):
        raise ImproperlyConfigured("Uploads go straight to S3 only with USE_S3 on: ask available() first.")
    return storage


@contextmanager
def _answers() -> Iterator[None]:
    """Turn what boto3 raises into UnavailableError, its reason into a line of the log."""
    try:
        yield
    except REFUSALS as error:
        bucket = _storage().bucket_name
        known = isinstance(error, ClientError | BotoCoreError)
        text = errors.explain(error, bucket, role="web") if known else f"{bucket}: no answer of an S3"
        logger.exception("An upload straight to S3 failed: %s", text)
        raise UnavailableError from error


def _pending(ticket: Ticket) -> Pending:
    return Pending(_storage().bucket_name, ticket.key, ticket.upload_id)


def _parts(ticket: Ticket) -> dict[int, tuple[int, int]]:
    """Return where each part starts and ends, by number."""
    step, starts = ticket.part_size, range(0, ticket.size, ticket.part_size)
    return {number: (start, min(start + step, ticket.size)) for number, start in enumerate(starts, 1)}


def _arrived(ticket: Ticket) -> dict[int, str] | None:
    """Return the ETags of the parts that S3 has, by number; None where the upload is over or given up."""
    return _pending(ticket).parts({number: end - start for number, (start, end) in _parts(ticket).items()})


def _link(ticket: Ticket, number: int, start: int, end: int) -> dict[str, Any]:
    bucket = _storage().bucket_name
    url = signed_part(bucket, ticket.key, ticket.upload_id, number, end - start)
    return {"number": number, "start": start, "end": end, "url": url}


def _remove_pending(ticket: Ticket) -> None:
    """Remove what was sent, as far as S3 answers: the rest expires."""
    try:
        _pending(ticket).remove()
    except REFUSALS as error:
        logger.warning("%s stays until it expires: %s", ticket.key, error)


def _remove_copy(ticket: Ticket) -> bool:
    """Remove what `keep` has copied; tell whether S3 did so."""
    try:
        Pending(_storage().bucket_name, _media_key(ticket)).remove()
    except REFUSALS as error:
        logger.warning("The copy %s could not be removed: %s", ticket.target, error)
        return False
    return True


def _media_key(ticket: Ticket) -> str:
    return f"{clients.MEDIA_PREFIX}{ticket.target}"


class _Answered(Ranges):
    """An upload that is read; where S3 fails that is an UnavailableError, as everywhere here."""

    def fetch(self, length: int) -> bytes:
        with _answers():
            return super().fetch(length)


# ------------------------------------------------------------------------------------------- acceptance


class Accepting:
    """A claimed ticket and its file, which S3 has and the kind's check has passed."""

    def __init__(self, ticket: Ticket, claim: uuid.UUID, etag: str) -> None:
        self.ticket = ticket
        self.done = False
        self._claim, self._etag = claim, etag
        self._ranges = _Answered(_pending(ticket), etag, ticket.size)
        self.file = UploadedFile(
            io.BufferedReader(self._ranges, pending.READ_BLOCK),
            name=ticket.name,
            content_type=ticket.content_type,
            size=ticket.size,
        )
        """Seekable and read-only; a read fetches READ_BLOCK bytes of the version that was checked."""

    def refuse(self, sentence: str) -> None:
        """Close the ticket and delete what was sent, because the file is no good; raises RefusedError.

        Where S3 failed while the file was read, that was no judgement: raises UnavailableError, and the
        ticket stays open.
        """
        if self._ranges.failed:
            raise UnavailableError
        sentence = sentence[: Ticket._meta.get_field("refusal").max_length]
        if self._mine().update(state=Ticket.State.REFUSED, refusal=sentence, claim=None):
            _remove_pending(self.ticket)
        raise RefusedError(sentence)

    def keep(self) -> str:
        """Copy the file, on S3, to its place among the media; return the name for a FileField.

        It gets the headers and the ACL that the storage gives to a file of this name. Call it before the
        transaction that writes the row. Raises InProgressError where the claim was lost, UnavailableError.
        """
        if not self._mine().update(kept=True, claimed_at=timezone.now()):
            raise InProgressError
        ticket = self.ticket
        parameters = _storage().write_parameters(ticket.target, self.file)
        with _answers():
            try:
                _pending(ticket).copy(
                    _media_key(ticket), etag=self._etag, size=ticket.size, parameters=parameters
                )
            except ClientError as error:
                if code_of(error) != "PreconditionFailed":
                    raise
                # The form was sent again since: what is there now has not been checked.
                raise IncompleteError("The file changed while it was checked. Please try again.") from error
        return ticket.target

    def accepted(self) -> None:
        """Mark the ticket: call it in the transaction that writes the row.

        Raises InProgressError, so that the transaction is rolled back, where the claim was lost meanwhile.
        """
        if not self._mine().update(state=Ticket.State.ACCEPTED, claim=None):
            raise InProgressError
        self.done = True

    def _mine(self) -> QuerySet[Ticket]:
        return _claimed(self.ticket, self._claim)


@contextmanager
def accepting(ticket: Ticket, kind: Kind) -> Iterator[Accepting]:
    """Claim the ticket, complete and check what was sent, and hand it out to make a row of it.

    Left without `accepted()`, by an exception or otherwise, it gives the claim back and removes what `keep`
    has copied: the ticket can be tried again. It must not be entered within a transaction, because other
    processes are to see the claim. Raises the UploadError that says what is in the way.
    """
    if kind.name != ticket.kind:
        raise UnknownTicketError
    ticket.refresh_from_db()
    _check_open(ticket)
    claim = uuid.uuid4()
    if not _claimable(ticket).update(state=Ticket.State.CLAIMED, claim=claim, claimed_at=timezone.now()):
        ticket.refresh_from_db()
        _check_open(ticket)
        raise InProgressError
    try:
        held = _examined(ticket, claim, kind)
        yield held
    except BaseException:  # also the end of the process: whatever it is, others may go on with the ticket
        _give_back(ticket, claim)
        raise
    if held.done:
        _remove_pending(ticket)
    else:
        _give_back(ticket, claim)


def _claimed(ticket: Ticket, claim: uuid.UUID) -> QuerySet[Ticket]:
    """Return the ticket's row, as long as it is in the hands of this claim."""
    return Ticket.objects.filter(pk=ticket.pk, state=Ticket.State.CLAIMED, claim=claim)


def _give_back(ticket: Ticket, claim: uuid.UUID) -> None:
    """Open the ticket again, unless it is closed or in other hands by now; a copy that was kept goes."""
    mine = _claimed(ticket, claim)
    # Renewed first: while the copy is deleted nobody else may make it.
    if mine.update(claimed_at=timezone.now()):
        left = mine.filter(kept=True).exists() and not _remove_copy(ticket)
        mine.update(state=Ticket.State.OPEN, claim=None, kept=left)


def _examined(ticket: Ticket, claim: uuid.UUID, kind: Kind) -> Accepting:
    """Return the claimed ticket, after all that can be said against the file was asked."""
    with _answers():
        pending = _pending(ticket)
        found = pending.head()
        if found is None and ticket.part_size:
            arrived = _arrived(ticket)
            if arrived is None or len(arrived) != len(_parts(ticket)):
                raise IncompleteError
            # As S3 itself lists them: nothing that the browser says of them is needed.
            pending.complete(arrived)
            found = pending.head()
        if found is None:
            raise IncompleteError
    held = Accepting(ticket, claim, found["ETag"])
    if (found["ContentLength"], found["ContentType"]) != (ticket.size, ticket.content_type):
        held.refuse("What has arrived is not the file that was announced. Please start again.")
    if kind.check:
        try:
            kind.check(held.file)
        except ValidationError as error:
            held.refuse(" ".join(error.messages))
        held.file.seek(0)
    return held
