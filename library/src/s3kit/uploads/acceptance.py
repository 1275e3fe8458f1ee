"""Acceptance: check an uploaded file and store it at its final key, at most once.

The browser sends a file to a key under `pending/`, where it expires. `accepting` claims its ticket, checks the file,
and copies exactly the version that it checked. `finish` does that before the form is posted, so no transaction waits
for S3; `s3kit.uploads.files` then closes the ticket in the transaction that writes the row. Code that writes the row
itself can do both within `accepting`. A ticket results in at most one row and no orphaned file, even if requests are
repeated or processes are killed.
"""

import io
import json
import posixpath
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from botocore.exceptions import ClientError
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.files.base import File
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from s3kit.storages.names import UniqueName
from s3kit.uploads import pending
from s3kit.uploads.errors import (
    IncompleteError,
    InProgressError,
    RejectedError,
    StaleError,
    UnavailableError,
    UnknownTicketError,
)
from s3kit.uploads.kinds import Kind, storage_of
from s3kit.uploads.models import Ticket
from s3kit.uploads.pending import Ranges, code_of
from s3kit.uploads.tickets import (
    abort_copy,
    check_open,
    claimable,
    parts_arrived,
    parts_of,
    pending_of,
    remove_copy,
    remove_pending,
    s3_errors,
    user_of,
)

Result = TypeVar("Result")


class _SentFile(Ranges):
    """A sent file that can be read. Raises UnavailableError if S3 fails, as everywhere in this module."""

    def __init__(self, ticket: Ticket, etag: str) -> None:
        super().__init__(pending_of(ticket), etag, ticket.size)
        self._ticket = ticket

    def fetch(self, length: int) -> bytes:
        with s3_errors(self._ticket):
            return super().fetch(length)


class Accepting:
    """A claimed ticket and its file, which has arrived and passed the kind's check."""

    def __init__(self, ticket: Ticket, claim: uuid.UUID, etag: str) -> None:
        self.ticket = ticket
        self.done = False
        self.instead: File[Any] | None = None
        """The file that the kind's check returned, to be stored instead of the original."""
        self._claim, self._etag = claim, etag
        self._ranges = _SentFile(ticket, etag)
        self.file = UploadedFile(
            io.BufferedReader(self._ranges, pending.READ_BLOCK),
            name=ticket.name,
            content_type=ticket.content_type,
            size=ticket.size,
        )
        """Seekable and read-only. Reads fetch READ_BLOCK bytes of the version that was checked."""

    def reject(self, message: str) -> None:
        """Close the ticket, delete the file, and raise RejectedError with this message for the user.

        If S3 failed while the file was being read, the check is void: the ticket stays open, and UnavailableError is
        raised instead.
        """
        if self._ranges.failed:
            raise UnavailableError
        message = message[: Ticket._meta.get_field("rejection").max_length]
        if self._row().update(state=Ticket.State.REJECTED, rejection=message, claim=None):
            remove_pending(self.ticket)
        raise RejectedError(message)

    def clean(self, function: Callable[["UploadedFile[Any]"], Result]) -> Result:
        """Return the result of calling the function with the file. If it raises ValidationError, reject the file."""
        try:
            return function(self.file)
        except ValidationError as error:
            self.reject(" ".join(error.messages))
            raise  # for the type checker: `reject` raises

    def keep(self) -> str:
        """Store the file at its final key and return the name for a FileField.

        The file is copied within S3, unless the kind's check returned another file. It gets the headers and the ACL
        that the storage gives to a file of this name. Call this before the transaction that writes the row. Raises
        InProgressError if another request has claimed the ticket, and UnavailableError if S3 fails.
        """
        ticket = self.ticket
        if self.instead is not None:
            ticket.target = (
                posixpath.splitext(ticket.target)[0] + posixpath.splitext(self.instead.name or "")[1]
            )
        ticket.stored_size = ticket.size if self.instead is None else self.instead.size
        changes = {"target": ticket.target, "stored_size": ticket.stored_size}
        if not self._row().update(kept=True, claimed_at=timezone.now(), **changes):
            raise InProgressError
        ticket.kept = True
        storage = storage_of(ticket.storage)
        if self.instead is not None:
            with s3_errors(ticket, quick=False):
                return storage.save(UniqueName(ticket.target), self.instead)
        parameters = storage.write_parameters(UniqueName(ticket.target), self.file)
        with s3_errors(ticket, quick=False):
            abort_copy(ticket)  # started by a process that was killed
            try:
                pending_of(ticket).copy(
                    storage.key(ticket.target),
                    etag=self._etag,
                    size=ticket.size,
                    parameters=parameters,
                    begun=self._copying,
                )
            except ClientError as error:
                if code_of(error) != "PreconditionFailed":
                    raise
                # The file was sent again in the meantime, and the new version hasn't been checked.
                raise IncompleteError(
                    _("The file changed while it was being checked. Please try again.")
                ) from error
        return ticket.target

    def _copying(self, upload_id: str) -> None:
        self.ticket.copy_id = upload_id
        if not self._row().update(copy_id=upload_id):
            raise InProgressError

    def finished(self) -> None:
        """Mark the ticket as finished: the file is at its final key and waits for its row."""
        self._close(Ticket.State.FINISHED)

    def accepted(self) -> None:
        """Mark the ticket as accepted. Call this in the transaction that writes the row.

        Raises InProgressError, which rolls the transaction back, if another request has claimed the ticket.
        """
        self._close(Ticket.State.ACCEPTED)

    def _close(self, state: Ticket.State) -> None:
        if not self._row().update(state=state, claim=None, copy_id=""):
            raise InProgressError
        self.done = True

    def _row(self) -> QuerySet[Ticket]:
        return _claimed(self.ticket, self._claim)


@contextmanager
def accepting(ticket: Ticket) -> Iterator[Accepting]:
    """Claim the ticket, check the file that was sent, and yield it so that the caller can write a row.

    If the block ends without `accepted()`, by an exception or otherwise, the claim is released and the copy that `keep`
    made is removed, so the ticket can be used again. Raises an UploadError if the file can't be accepted, and
    RuntimeError within a transaction, because other processes wouldn't see the claim.
    """
    ticket.refresh_from_db()
    kind = kind_of_ticket(ticket)
    if not kind.allows(user_of(ticket)):
        raise UnknownTicketError
    check_open(ticket)
    claim = uuid.uuid4()
    if not _claim(ticket, claim):
        ticket.refresh_from_db()
        check_open(ticket)
        raise InProgressError
    try:
        held = _examined(ticket, claim, kind)
        yield held
    except BaseException:  # including SystemExit
        _release(ticket, claim)
        raise
    if held.done:
        remove_pending(ticket)
    else:
        _release(ticket, claim)


def finish(ticket: Ticket) -> None:
    """Check the file that was sent and store it at its final key, ready for a form that posts its token.

    Does nothing if the ticket is already finished. Raises the same errors as `accepting`.
    """
    ticket.refresh_from_db()
    if ticket.state == Ticket.State.FINISHED:
        check_open(ticket)
        return
    with accepting(ticket) as held:
        held.keep()
        held.finished()
    ticket.refresh_from_db()


def kind_of_ticket(ticket: Ticket) -> Kind:
    """Return the rules of a ticket. Raise StaleError if a deploy has changed a function that they refer to."""
    try:
        return Kind.unpacked(json.loads(ticket.rules))
    except (ImproperlyConfigured, TypeError) as error:
        raise StaleError from error


def _claim(ticket: Ticket, claim: uuid.UUID) -> bool:
    """Claim the ticket. Return whether it could be claimed."""
    rows = claimable(ticket)
    try:
        with transaction.atomic(using=rows.db, durable=True):
            return bool(rows.update(state=Ticket.State.CLAIMED, claim=claim, claimed_at=timezone.now()))
    except RuntimeError as error:
        raise RuntimeError(
            "accepting() was called within a transaction, which hides the claim from other processes. Call it"
            " outside of transaction.atomic(), and decorate the view with @transaction.non_atomic_requests."
        ) from error


def _claimed(ticket: Ticket, claim: uuid.UUID) -> QuerySet[Ticket]:
    """Return the ticket's row if it has this claim."""
    return Ticket.objects.filter(pk=ticket.pk, state=Ticket.State.CLAIMED, claim=claim)


def _release(ticket: Ticket, claim: uuid.UUID) -> None:
    """Reopen the ticket and remove the copy, unless the ticket is closed or claimed by another request."""
    row = _claimed(ticket, claim)
    # Renew the claim first, so that no other process makes the copy while it is being deleted.
    if row.update(claimed_at=timezone.now()):
        left = row.filter(kept=True).exists() and not remove_copy(ticket)
        row.update(state=Ticket.State.OPEN, claim=None, kept=left, **({} if left else {"copy_id": ""}))
    elif ticket.kept:
        # The ticket was closed in the meantime and its copy removed, perhaps before the copy was complete.
        closed = Ticket.objects.filter(
            pk=ticket.pk, state__in=(Ticket.State.REJECTED, Ticket.State.CANCELLED)
        )
        closed.update(kept=True)


def _examined(ticket: Ticket, claim: uuid.UUID, kind: Kind) -> Accepting:
    """Check the file and return the claimed ticket."""
    sent = pending_of(ticket)
    with s3_errors(ticket):
        found = sent.head()
        etags = parts_arrived(ticket) if found is None and ticket.part_size else None
    if etags is not None and len(etags) == len(parts_of(ticket)):
        with s3_errors(ticket, quick=False):
            # Use S3's own list of parts, not one from the browser.
            sent.complete(etags)
            found = sent.head()
    if found is None:
        raise IncompleteError
    held = Accepting(ticket, claim, found["ETag"])
    if (found["ContentLength"], found["ContentType"]) != (ticket.size, ticket.content_type):
        held.reject(_("The file that was sent is not the one that was chosen. Please start again."))
    held.instead = held.clean(kind.checked)
    return held
