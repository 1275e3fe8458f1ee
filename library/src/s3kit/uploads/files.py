"""The files that forms get for tokens: uploaded files that are already at their final keys."""

import io
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from django.core.files.storage import Storage
from django.core.files.uploadedfile import UploadedFile
from django.db import connections, router, transaction
from django.dispatch import Signal
from django.utils import timezone
from django.utils.translation import gettext as _

from s3kit.storages.names import Stored
from s3kit.uploads import pending, rows
from s3kit.uploads.acceptance import kind_of_ticket
from s3kit.uploads.errors import ForbiddenError, IncompleteError, StaleError, UnknownTicketError, UploadError
from s3kit.uploads.kinds import Kind, kind_of, storage_of, too_large, wrong_type
from s3kit.uploads.models import Ticket
from s3kit.uploads.options import option
from s3kit.uploads.tickets import check_open, count, has_row, s3_errors, user_of

accepted = Signal()
"""Sent when a row with the file has been committed, with `ticket`, and with `name` in the storage `ticket.storage`."""


class DirectFile(Stored, UploadedFile):
    """A file that the browser has sent to S3. Save it like any uploaded file: with a model, or with a storage.

    The storage that it was sent to only returns its name; any other storage reads it and stores a copy. `name` is the
    user's file name, `size` is in bytes. Reads fetch blocks of `s3kit.uploads.pending.READ_BLOCK` bytes from S3. Saving
    raises AlreadyAcceptedError, InProgressError, or ExpiredError if the ticket is no longer available.
    """

    def __init__(self, ticket: Ticket) -> None:
        storage = storage_of(ticket.storage)
        self.ticket = ticket
        sent = pending.Pending(storage.target, storage.named_bucket, storage.key(ticket.target))
        super().__init__(
            io.BufferedReader(_StoredFile(ticket, sent), pending.READ_BLOCK),
            name=_with_extension(ticket.name, ticket.target),
            content_type=str(storage.write_parameters(ticket.target)["ContentType"]),
            size=ticket.stored_size,
        )

    def accept(self, storage: Storage, max_length: int | None) -> str | None:
        """Close the ticket and return the file's name in the storage, or None if the storage must store a copy.

        In a transaction of the ticket's database, both the row and the ticket are written or neither is. A transaction
        of the ticket's database that doesn't include the row can't guarantee that, so the row gets a copy then.
        """
        ours = storage_of(self.ticket.storage)
        using = router.db_for_write(Ticket)
        in_atomic_block, same = connections[using].in_atomic_block, self.database in {"", using}
        together = in_atomic_block and same
        fits = max_length is None or len(self.ticket.target) <= max_length
        usable = storage == ours and fits and (same or not in_atomic_block)
        # Without a transaction, the row is written later. Then `confirm` is called, or `tickets.settle` finds the row.
        self.is_saving = usable and bool(self.row) and not together
        if self.is_saving:
            connections[self.database].ensure_connection()  # an error must not leave a claim
        state = Ticket.State
        # If another storage stores a copy, the original stays at its target until it is cleaned up.
        new = state.SAVING if self.is_saving else state.ACCEPTED if usable else state.CANCELLED
        finished = Ticket.objects.using(using).filter(pk=self.ticket.pk, state=state.FINISHED)
        now = timezone.now()
        if not finished.filter(expires_at__gt=now).update(
            state=new, row=f"{self.row}@{self.database}" if self.row else "", claimed_at=now
        ):
            self.ticket.refresh_from_db()
            check_open(self.ticket)
            raise IncompleteError
        if not usable:
            return None
        if self.is_saving:
            self._claimed = now, connections[self.database].connection
            rows.unconfirmed.files.append(self)
        else:
            transaction.on_commit(self._announce, using=using, robust=True)
        return self.ticket.target

    def end(self) -> None:
        """Accept the ticket if its row exists, or reopen it, after this thread's save has ended.

        Waits for the next `rows.end_saves` while the row's database has an open transaction, which may roll the row
        back. If the connection was lost, the database may still write the row, so `tickets.settle` decides later.
        """
        claimed_at, connection = self._claimed
        database = connections[self.database]
        if database.in_atomic_block:
            rows.unconfirmed.files.append(self)
            return
        saving = Ticket.objects.filter(pk=self.ticket.pk, state=Ticket.State.SAVING, claimed_at=claimed_at)
        claimed = saving.first()
        written = claimed and has_row(claimed)
        # Only on the same connection is the save over for the database, too.
        if claimed is None or database.connection is not connection:
            return
        if written:
            self.confirm()
        else:
            saving.update(state=Ticket.State.FINISHED)

    def confirm(self) -> None:
        """Accept the ticket, because the row has been written."""
        with suppress(ValueError):
            rows.unconfirmed.files.remove(self)
        self.is_saving = False
        state = Ticket.State
        # FINISHED, if writing took so long that another process assumed this one was killed.
        late = (state.SAVING, state.FINISHED)
        Ticket.objects.filter(pk=self.ticket.pk, state__in=late).update(state=state.ACCEPTED)
        self._announce()

    def _announce(self) -> None:
        accepted.send_robust(Ticket, ticket=self.ticket, name=self.ticket.target)


class _StoredFile(pending.Ranges):
    """The file at its final key. No other file ever has that key, so no ETag is compared."""

    def __init__(self, ticket: Ticket, sent: pending.Pending) -> None:
        super().__init__(sent, "", ticket.stored_size)
        self._ticket = ticket

    def fetch(self, length: int) -> bytes:
        with s3_errors(self._ticket):
            return super().fetch(length)


def sent_file(token: str, kinds: Sequence[Kind], user: Any = None) -> DirectFile:
    """Return the file of a token; it must have been sent under the rules of one of these kinds.

    `user` is the user who posts the form, or None if unknown. In a transaction, the ticket is locked until the
    transaction ends. Raises an UploadError if there is no such file.
    """
    rows.end_saves()
    ticket = Ticket.of_token(token)
    if ticket is None or (user is not None and ticket.user_id != user.pk):
        raise UnknownTicketError
    _lock(ticket)
    check_open(ticket)
    if ticket.state != Ticket.State.FINISHED:
        raise IncompleteError
    if ticket.rules not in [kind.text() for kind in kinds]:
        raise StaleError(_("The rules have changed since this file was sent. Please choose it again."))
    if not kind_of_ticket(ticket).allows(user_of(ticket)):
        raise UnknownTicketError
    return DirectFile(ticket)


def resolve(given: Any, kinds: Sequence[Kind], *, user: Any, form_max_bytes: int | None) -> Any:
    """Return the file for the value of a field: the file of a token, or an uploaded file that follows the same rules.

    `user` is the user who posts it, or None if unknown. An uploaded file counts against the user's limits. Raises
    UploadError or ValidationError, each with a code.
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
        # Before the check, which is the expensive part.
        count(user, given)
    found = kind.checked(given)
    return given if found is None else found


def only_once(file: Any, uses: dict[Any, str], place: str) -> Any:
    """Record in `uses` that a form has the file at this place, and return the file.

    Raises UploadError if the form also has it at another place, since saving it there would fail.
    """
    if isinstance(file, DirectFile) and uses.setdefault(file.ticket.pk, place) != place:
        raise UploadError(
            _("This upload is used more than once. Please choose the file again."), code="repeated"
        )
    return file


def _lock(ticket: Ticket) -> None:
    """Wait for another transaction that is accepting the same ticket, and reload the ticket."""
    tickets = Ticket.objects.select_for_update()
    if connections[tickets.db].in_atomic_block:
        ticket.refresh_from_db(from_queryset=tickets)


def _with_extension(name: str, target: str) -> str:
    """Return the user's file name with the extension of the stored file."""
    root, dot, _extension = name.rpartition(".")
    return f"{root or name}.{target.rpartition('.')[2]}" if dot else name
