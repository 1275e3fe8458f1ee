"""Acceptance: looking at what a browser has sent, and making a row of it, once.

What arrives lies under `pending/`, which expires, and is nothing yet. `accepting` looks at it, copies just the
version it looked at to its place among the media, and lets the caller's row and the ticket change in one
transaction, so that a ticket makes one row at most, whatever is sent twice, cut off or killed on the way.
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

from s3kit.uploads import pending
from s3kit.uploads.errors import (
    IncompleteError,
    InProgressError,
    RefusedError,
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
    """An upload that is read; where S3 fails that is an UnavailableError, as everywhere here."""

    def __init__(self, ticket: Ticket, etag: str) -> None:
        super().__init__(pending_of(ticket), etag, ticket.size)
        self._ticket = ticket

    def fetch(self, length: int) -> bytes:
        with answers(self._ticket):
            return super().fetch(length)


class Accepting:
    """A claimed ticket and its file, which S3 has and the kind's check has passed."""

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
            remove_pending(self.ticket)
        raise RefusedError(sentence)

    def clean(self, function: Callable[["UploadedFile[Any]"], Result]) -> Result:
        """Return what the function makes of the file; where it raises ValidationError, refuse the file."""
        try:
            return function(self.file)
        except ValidationError as error:
            self.refuse(" ".join(error.messages))
            raise  # for the type checker: `refuse` raises

    def keep(self) -> str:
        """Copy the file, on S3, to its place among the media; return the name for a FileField.

        It gets the headers and the ACL that the storage gives to a file of this name. Call it before the
        transaction that writes the row. Raises InProgressError where the claim was lost, UnavailableError.
        """
        if not self._mine().update(kept=True, claimed_at=timezone.now()):
            raise InProgressError
        ticket = self.ticket
        storage = storage_of(ticket.storage)
        parameters = storage.write_parameters(ticket.target, self.file)
        with answers(ticket, quick=False):
            try:
                pending_of(ticket).copy(
                    storage.key(ticket.target), etag=self._etag, size=ticket.size, parameters=parameters
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
def accepting(ticket: Ticket) -> Iterator[Accepting]:
    """Claim the ticket, complete and check what was sent, and hand it out to make a row of it.

    Left without `accepted()`, by an exception or otherwise, it gives the claim back and removes what `keep`
    has copied: the ticket can be tried again. It must not be entered within a transaction, because other
    processes are to see the claim. Raises the UploadError that says what is in the way.
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
    except BaseException:  # also the end of the process: whatever it is, others may go on with the ticket
        _give_back(ticket, claim)
        raise
    if held.done:
        remove_pending(ticket)
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
        left = mine.filter(kept=True).exists() and not remove_copy(ticket)
        mine.update(state=Ticket.State.OPEN, claim=None, kept=left)


def _examined(ticket: Ticket, claim: uuid.UUID, kind: Kind) -> Accepting:
    """Return the claimed ticket, after all that can be said against the file was asked."""
    sent = pending_of(ticket)
    with answers(ticket):
        found = sent.head()
        etags = parts_arrived(ticket) if found is None and ticket.part_size else None
    if etags is not None and len(etags) == len(parts_of(ticket)):
        with answers(ticket, quick=False):
            # As S3 itself lists them: nothing that the browser says of them is needed.
            sent.complete(etags)
            found = sent.head()
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
