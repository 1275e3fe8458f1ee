"""A sent file as a form sees it: an uploaded file that is at its final key already."""

import io
from collections.abc import Sequence
from typing import Any

from django.core.files.storage import Storage
from django.core.files.uploadedfile import UploadedFile
from django.db import connections, router, transaction
from django.dispatch import Signal
from django.utils import timezone
from django.utils.translation import gettext as _

from s3kit.storages.names import Stored
from s3kit.uploads import pending
from s3kit.uploads.acceptance import kind_of_ticket
from s3kit.uploads.errors import ForbiddenError, IncompleteError, StaleError, UnknownTicketError
from s3kit.uploads.kinds import Kind, kind_of, storage_of, too_large, wrong_type
from s3kit.uploads.models import Ticket
from s3kit.uploads.options import option
from s3kit.uploads.tickets import answers, check_open, count, user_of

accepted = Signal()
"""Sent once a row with the file is committed, with `ticket`, and `name` in the storage `ticket.storage`."""


class DirectFile(Stored, UploadedFile):
    """A file that the browser has sent to S3. Save it as any uploaded file: with a model, or with a storage.

    The storage that it was sent to stores nothing and returns its name; every other reads it and stores a copy.
    `name` is the user's, `size` is in bytes. Reads fetch blocks of `s3kit.uploads.pending.READ_BLOCK` bytes from S3.
    Saving raises AlreadyAcceptedError, InProgressError or ExpiredError if the ticket is not to be had any more.
    """

    def __init__(self, ticket: Ticket) -> None:
        storage = storage_of(ticket.storage)
        self.ticket = ticket
        sent = pending.Pending(storage.target, storage.named_bucket, storage.key(ticket.target))
        super().__init__(
            io.BufferedReader(_Kept(ticket, sent), pending.READ_BLOCK),
            name=_with_extension(ticket.name, ticket.target),
            content_type=str(storage.write_parameters(ticket.target)["ContentType"]),
            size=ticket.stored_size,
        )

    def accept(self, storage: Storage, max_length: int | None) -> str | None:
        """Close the ticket and return the file's name in the storage, or None if it is to be stored there anew.

        In a transaction of the ticket's database, the row and the ticket are written both or not at all. A
        transaction that does not have the row could part them, so the row gets a copy of its own then.
        """
        ours = storage_of(self.ticket.storage)
        using = router.db_for_write(Ticket)
        in_atomic_block, same = connections[using].in_atomic_block, self.database in {"", using}
        together = in_atomic_block and same
        fits = max_length is None or len(self.ticket.target) <= max_length
        at_hand = storage == ours and fits and (same or not in_atomic_block)
        # Without a transaction the row comes afterwards: `confirm` is told, or a look at the rows tells.
        self.is_saving = at_hand and bool(self.row) and not together
        state = Ticket.State
        # What another storage copies stays at its target until it is cleaned up.
        new = state.SAVING if self.is_saving else state.ACCEPTED if at_hand else state.CANCELLED
        finished = Ticket.objects.using(using).filter(pk=self.ticket.pk, state=state.FINISHED)
        if not finished.filter(expires_at__gt=timezone.now()).update(
            state=new, row=f"{self.row}@{self.database}" if self.row else "", claimed_at=timezone.now()
        ):
            self.ticket.refresh_from_db()
            check_open(self.ticket)
            raise IncompleteError
        if not at_hand:
            return None
        if not self.is_saving:
            transaction.on_commit(self._announce, using=using, robust=True)
        return self.ticket.target

    def confirm(self) -> None:
        """Note that the row is written."""
        state = Ticket.State
        # Finished again, if it took so long that it was thought to be killed.
        late = (state.SAVING, state.FINISHED)
        Ticket.objects.filter(pk=self.ticket.pk, state__in=late).update(state=state.ACCEPTED)
        self._announce()

    def _announce(self) -> None:
        accepted.send_robust(Ticket, ticket=self.ticket, name=self.ticket.target)


class _Kept(pending.Ranges):
    """The file at its final key. Nothing else ever has that key, so no ETag is compared."""

    def __init__(self, ticket: Ticket, sent: pending.Pending) -> None:
        super().__init__(sent, "", ticket.stored_size)
        self._ticket = ticket

    def fetch(self, length: int) -> bytes:
        with answers(self._ticket):
            return super().fetch(length)


def sent_file(token: str, kinds: Sequence[Kind], user: Any = None) -> DirectFile:
    """Return the file of a token, which must have been sent under the rules of one of these kinds.

    `user` is the one who posts the form, if it is known. In a transaction, the ticket stays locked until its end.
    Raises the UploadError that says why there is no such file.
    """
    ticket = Ticket.of_token(token)
    if ticket is None or (user is not None and ticket.user_id != user.pk):
        raise UnknownTicketError
    _locked(ticket)
    check_open(ticket)
    if ticket.state != Ticket.State.FINISHED:
        raise IncompleteError
    if ticket.rules not in [kind.text() for kind in kinds]:
        raise StaleError(_("This file was sent under other rules. Please choose it again."))
    if not kind_of_ticket(ticket).allows(user_of(ticket)):
        raise UnknownTicketError
    return DirectFile(ticket)


def taken(given: Any, kinds: Sequence[Kind], *, user: Any, form_max_bytes: int | None) -> Any:
    """Return the file that a field was given: that of a token, or an uploaded file once it has met the same rules.

    `user` is the one who posts it, or None if that is not known. An uploaded file counts against their limits.
    Raises UploadError or ValidationError, each with a code.
    """
    if isinstance(given, str):
        return sent_file(given, kinds, user)
    kind = kind_of(given.name, kinds)
    if kind is None:
        raise wrong_type(kinds)
    if given.size > (limit := min(kind.limit, option("FORM_MAX_BYTES", form_max_bytes))):
        raise too_large(given.size, limit)
    if user is not None:
        if not kind.allows(user):
            raise ForbiddenError
        # Before the file is looked at, because that is what costs most.
        count(user, given)
    found = kind.checked(given)
    return given if found is None else found


def _locked(ticket: Ticket) -> None:
    """Wait for another transaction that accepts the same ticket, so that this one sees what came of it."""
    rows = Ticket.objects.select_for_update()
    if connections[rows.db].in_atomic_block:
        ticket.refresh_from_db(from_queryset=rows)


def _with_extension(name: str, target: str) -> str:
    """Return the user's name for the file with the extension under which it is stored."""
    root, dot, _extension = name.rpartition(".")
    return f"{root or name}.{target.rpartition('.')[2]}" if dot else name
