"""Acceptance: checks an uploaded file and lets the caller write a row for it, at most once.

A sent file is stored under `pending/`, where it expires. `accepting` checks it, copies exactly the version that
it checked to its final key, and lets the caller write the row and close the ticket in one transaction. So a
ticket leads to at most one row and no orphaned file, even if requests are repeated or processes killed.
"""

import io
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from botocore.exceptions import ClientError
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
from django.utils import timezone

from s3kit.storages.names import UniqueName
from s3kit.uploads import pending
from s3kit.uploads.errors import (
    IncompleteError,
    InProgressError,
    RejectedError,
    UnavailableError,
    UnknownTicketError,
)
from s3kit.uploads.kinds import Kind, registered, storage_of
from s3kit.uploads.models import Ticket
from s3kit.uploads.pending import Ranges, code_of
from s3kit.uploads.tickets import (
    answers,
    check_open,
    claimable,
    parts_arrived,
    parts_of,
    pending_of,
    remove_copy,
    remove_pending,
)

Result = TypeVar("Result")


class _Answered(Ranges):
    """A sent file being read. A failing S3 raises UnavailableError, as everywhere in this module."""

    def __init__(self, ticket: Ticket, etag: str) -> None:
        super().__init__(pending_of(ticket), etag, ticket.size)
        self._ticket = ticket

    def fetch(self, length: int) -> bytes:
        with answers(self._ticket):
            return super().fetch(length)


class Accepting:
    """A claimed ticket and its file, which has arrived and passed the kind's check."""

    def __init__(self, ticket: Ticket, claim: uuid.UUID, etag: str) -> None:
        self.ticket = ticket
        self.done = False
        self._claim, self._etag = claim, etag
        self._ranges = _Answered(ticket, etag)
        self.file = UploadedFile(
            io.BufferedReader(self._ranges, pending.READ_BLOCK),
            name=ticket.name,
            content_type=ticket.content_type,
            size=ticket.size,
        )
        """Seekable and read-only. Reads fetch READ_BLOCK bytes of the version that was checked."""

    def reject(self, sentence: str) -> None:
        """Close the ticket, delete the file and raise RejectedError with this sentence for the user.

        If S3 failed while the file was read, the file was not really judged: the ticket stays open, and
        UnavailableError is raised instead.
        """
        if self._ranges.failed:
            raise UnavailableError
        sentence = sentence[: Ticket._meta.get_field("rejection").max_length]
        if self._mine().update(state=Ticket.State.REJECTED, rejection=sentence, claim=None):
            remove_pending(self.ticket)
        raise RejectedError(sentence)

    def clean(self, function: Callable[["UploadedFile[Any]"], Result]) -> Result:
        """Return the result of calling the function with the file. If it raises ValidationError, reject the file."""
        try:
            return function(self.file)
        except ValidationError as error:
            self.reject(" ".join(error.messages))
            raise  # for the type checker: `reject` raises

    def keep(self) -> str:
        """Copy the file to its final key, within S3, and return the name for a FileField.

        The copy gets the headers and the ACL that the storage gives to a file of this name. Call this before the
        transaction that writes the row. Raises InProgressError if another request has taken over the ticket,
        and UnavailableError if S3 fails.
        """
        if not self._mine().update(kept=True, claimed_at=timezone.now()):
            raise InProgressError
        ticket = self.ticket
        storage = storage_of(ticket.storage)
        parameters = storage.write_parameters(UniqueName(ticket.target), self.file)
        with answers(ticket, quick=False):
            try:
                pending_of(ticket).copy(
                    storage.key(ticket.target), etag=self._etag, size=ticket.size, parameters=parameters
                )
            except ClientError as error:
                if code_of(error) != "PreconditionFailed":
                    raise
                # The form was sent again meanwhile, and the new version has not been checked.
                raise IncompleteError("The file changed while it was checked. Please try again.") from error
        return ticket.target

    def accepted(self) -> None:
        """Mark the ticket as accepted. Call this in the transaction that writes the row.

        Raises InProgressError, which rolls the transaction back, if another request has taken over the ticket.
        """
        if not self._mine().update(state=Ticket.State.ACCEPTED, claim=None):
            raise InProgressError
        self.done = True

    def _mine(self) -> QuerySet[Ticket]:
        return _claimed(self.ticket, self._claim)


@contextmanager
def accepting(ticket: Ticket) -> Iterator[Accepting]:
    """Claim the ticket, check the file that was sent, and yield it so that the caller can write a row.

    If the block ends without `accepted()`, by an exception or otherwise, the claim is released and the copy that
    `keep` made is removed, so that the ticket can be tried again. Don't enter the block within a transaction:
    other processes must see the claim. Raises the UploadError that says why the file can't be accepted.
    """
    ticket.refresh_from_db()
    kind = registered(ticket.kind)
    if kind is None or not kind.may_upload(ticket.user):
        raise UnknownTicketError
    check_open(ticket)
    claim = uuid.uuid4()
    if not claimable(ticket).update(state=Ticket.State.CLAIMED, claim=claim, claimed_at=timezone.now()):
        ticket.refresh_from_db()
        check_open(ticket)
        raise InProgressError
    try:
        held = _examined(ticket, claim, kind)
        yield held
    except BaseException:  # whatever it is, including SystemExit, others may use the ticket again
        _release(ticket, claim)
        raise
    if held.done:
        remove_pending(ticket)
    else:
        _release(ticket, claim)


def _claimed(ticket: Ticket, claim: uuid.UUID) -> QuerySet[Ticket]:
    """Return the ticket's row while this claim holds it."""
    return Ticket.objects.filter(pk=ticket.pk, state=Ticket.State.CLAIMED, claim=claim)


def _release(ticket: Ticket, claim: uuid.UUID) -> None:
    """Reopen the ticket and remove the copy, unless the ticket is closed or claimed by another request."""
    mine = _claimed(ticket, claim)
    # Renew the claim first: nobody may make the copy while it is being deleted.
    if mine.update(claimed_at=timezone.now()):
        left = mine.filter(kept=True).exists() and not remove_copy(ticket)
        mine.update(state=Ticket.State.OPEN, claim=None, kept=left)


def _examined(ticket: Ticket, claim: uuid.UUID, kind: Kind) -> Accepting:
    """Return the claimed ticket once the file has passed all checks."""
    sent = pending_of(ticket)
    with answers(ticket):
        found = sent.head()
        etags = parts_arrived(ticket) if found is None and ticket.part_size else None
    if etags is not None and len(etags) == len(parts_of(ticket)):
        with answers(ticket, quick=False):
            # Use the list of S3 itself, so that nothing depends on what the browser says.
            sent.complete(etags)
            found = sent.head()
    if found is None:
        raise IncompleteError
    held = Accepting(ticket, claim, found["ETag"])
    if (found["ContentLength"], found["ContentType"]) != (ticket.size, ticket.content_type):
        held.reject("The file that arrived is not the one that was announced. Please start again.")
    if kind.check:
        try:
            kind.check(held.file)
        except ValidationError as error:
            held.reject(" ".join(error.messages))
        held.file.seek(0)
    return held
