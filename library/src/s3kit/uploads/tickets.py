"""Tickets: each lets one user upload one file.

Only the server decides the key, type, size, access, and time limit, because it signs them. Files of up to PART_FROM
bytes are sent in a single request, larger ones in parts. Each request is a presigned PUT whose signature includes the
Content-Length. Form uploads (POST Object) aren't used, because several other servers don't support them.

Sources: Amazon S3 API reference, "Authenticating Requests: Using Query Parameters"; S3 User Guide, "Amazon S3 multipart
upload limits": at most 10,000 parts of 5 MiB to 5 GiB, of which the last one may be smaller.
"""

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import (
    FieldError,
    ImproperlyConfigured,
    ObjectDoesNotExist,
    SuspiciousFileOperation,
    ValidationError,
)
from django.core.files.uploadedfile import UploadedFile
from django.db import connections, router, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.connection import ConnectionDoesNotExist
from django.utils.translation import gettext as _

from s3kit import clients, errors
from s3kit.uploads import limits
from s3kit.uploads.errors import (
    AlreadyAcceptedError,
    ExpiredError,
    ForbiddenError,
    InProgressError,
    RateLimitedError,
    RejectedError,
    UnavailableError,
    UnknownTicketError,
)
from s3kit.uploads.kinds import Kind, storage_of
from s3kit.uploads.models import Ticket
from s3kit.uploads.pending import FAILURES, Pending

logger = logging.getLogger(__name__)

MIB = 2**20

PART_FROM = 16 * MIB  # larger files are sent in parts
PART = 16 * MIB  # bytes: at most this much is sent again after a lost connection, and 5 GiB take 320 requests
MAX_PARTS = 10_000  # S3's limit
BATCH = 16  # signed parts in each response

# The lifecycle rule removes objects under pending/ after a day, never earlier.
TICKET_LIFE = timedelta(hours=23)
KEPT_LIFE = timedelta(
    days=1
)  # for which a ticket's row stays after that, so that late requests get the right response
# An older claim is from a process that was killed.
CLAIM_LIFE = timedelta(minutes=10)


def begin(user: AbstractBaseUser, kind: Kind, *, name: str, size: int) -> Ticket:
    """Return a new ticket for a file of `size` bytes with the user's file name `name`.

    Raises ForbiddenError if the user may not upload this kind, RejectedError for a name, type, or size that is not
    accepted, RateLimitedError if the user has reached one of `s3kit.uploads.limits`, UnavailableError if S3 fails, and
    ImproperlyConfigured if the storage is not on S3 or has file_overwrite on.
    Also deletes the user's old tickets.
    """
    if not kind.allows(user):
        raise ForbiddenError
    storage = storage_of(kind.storage)
    if storage.file_overwrite:
        raise ImproperlyConfigured(
            f"STORAGES[{kind.storage!r}] has file_overwrite on, so an upload could replace or delete another file."
            " Check uploads.available() first."
        )
    # Drop control characters and lone surrogates, which databases reject.
    name = "".join(c for c in str(name).replace("\\", "/").rpartition("/")[2] if c.isprintable()).strip()
    if not name or len(name) > 255:
        raise RejectedError(_("The file's name must have 1 to 255 characters."), code="name")
    kind.check_announced(name, size)
    try:
        made = storage.generate_filename(kind.stored_name(user, name))
        target = storage.get_available_name(made, kind.max_length)
    except SuspiciousFileOperation as error:
        raise RejectedError(
            _("This file's name can't be used. Please rename the file."), code="name"
        ) from error
    ticket = Ticket(
        user_id=user.pk,
        rules=kind.text(),
        storage=kind.storage,
        name=name,
        content_type=storage.write_parameters(target)["ContentType"],
        size=size,
        part_size=0 if size <= PART_FROM else part_size(size),
        target=target,
        expires_at=timezone.now() + TICKET_LIFE,
    )
    _issue(user, ticket)
    if ticket.part_size:
        try:
            with s3_errors(ticket):
                ticket.upload_id = pending_of(ticket).begin(ticket.content_type)
        except UnavailableError:
            ticket.delete()
            raise
        ticket.save(update_fields=["upload_id"])
    return ticket


def count(user: AbstractBaseUser, upload: UploadedFile) -> None:
    """Count a file that was sent with a form, on S3 or not, against the user's limits.

    Raises ValidationError if the user has reached one of `s3kit.uploads.limits`. Call it in the form before the file is
    checked, which is the expensive part.
    """
    now = timezone.now()
    name = "".join(c for c in upload.name or "" if c.isprintable())[-255:]
    counted = Ticket(user_id=user.pk, rules="{}", name=name, size=upload.size or 0, expires_at=now)
    counted.state = Ticket.State.ACCEPTED
    try:
        _issue(user, counted)
    except RateLimitedError as error:
        raise ValidationError(str(error), code=error.code) from error


def _issue(user: AbstractBaseUser, ticket: Ticket) -> None:
    """Save a new ticket. Raise RateLimitedError if the user may not have it now."""
    users = get_user_model()._default_manager.using(router.db_for_write(get_user_model()))
    using = router.db_for_write(Ticket)
    # The ticket is committed before the lock is released, even if it is in another database.
    with transaction.atomic(using=users.db), transaction.atomic(using=using, savepoint=False):
        if not connections[using].features.has_select_for_update:
            # SQLite locks the whole database, and only waits for the lock if the transaction's first statement writes.
            Ticket.objects.filter(pk=ticket.pk).update(state=ticket.state)
        # Lock the user, so that the second of two concurrent requests counts the first one's row.
        list(users.select_for_update().filter(pk=user.pk).values_list("pk"))
        # Only this user's: `s3kit.uploads.leftovers` removes those of other users.
        Ticket.objects.filter(is_old(), user_id=user.pk, state=Ticket.State.ACCEPTED).delete()
        limits.check(user, ticket.size)
        ticket.save(force_insert=True)


def part_size(size: int) -> int:
    """Return the size of a file's parts: PART, or more if MAX_PARTS parts would not be enough."""
    smallest = -(-size // MAX_PARTS)
    return max(PART, -(-smallest // MIB) * MIB)


def ticket(user: AbstractBaseUser, ticket_id: uuid.UUID | str) -> Ticket:
    """Return the user's ticket. Raise UnknownTicketError if it does not exist or is another user's."""
    try:
        return Ticket.objects.get(pk=ticket_id, user_id=user.pk)
    except (Ticket.DoesNotExist, ValidationError):
        raise UnknownTicketError from None


def sending(ticket: Ticket) -> dict[str, Any]:
    """Return what a browser needs to send the file, or the rest of it, as data for JSON.

    `complete` is true once S3 has the whole file. Otherwise `parts` lists the next BATCH parts that S3 doesn't have:
    each with its number, the range of bytes from `start` up to `end`, the URL to PUT them to, and the headers to send.
    A small file is a single part. The links are valid for LINK_LIFE seconds; each call signs new ones.

    Raises an UploadError if the ticket is neither open nor finished.
    """
    check_open(ticket)
    if ticket.state == Ticket.State.FINISHED:
        return _as_data(ticket, received=ticket.size, complete=True, parts=None)
    parts = None
    with s3_errors(ticket):
        arrived = parts_arrived(ticket) if ticket.part_size else None
        if arrived is not None:
            missing = [(number, *span) for number, span in parts_of(ticket).items() if number not in arrived]
            complete, received = not missing, ticket.size - sum(end - start for _, start, end in missing)
            parts = [link(ticket, *part) for part in missing[:BATCH]] or None
        else:
            complete = pending_of(ticket).head() is not None
            received = ticket.size if complete else 0
            if ticket.part_size and not complete:
                raise ExpiredError
            if not complete:
                url, headers = pending_of(ticket).signed_put(ticket.content_type, ticket.size)
                parts = [{"number": 1, "start": 0, "end": ticket.size, "url": url, "headers": headers}]
    return _as_data(ticket, received=received, complete=complete, parts=parts)


def _as_data(ticket: Ticket, **progress: Any) -> dict[str, Any]:
    return {
        "id": str(ticket.id),
        "state": ticket.state,
        "expires": ticket.expires_at.isoformat(),
        "name": ticket.name,
        "size": ticket.size,
        **progress,
    }


def cancel(ticket: Ticket) -> None:
    """Close the ticket and remove what was sent. If S3 fails, it is removed later.

    Raises AlreadyAcceptedError or InProgressError if it is too late to cancel.
    """
    state = Ticket.State
    changed = claimable(ticket, state.OPEN, state.FINISHED).update(state=state.CANCELLED, claim=None)
    ticket.refresh_from_db()
    if not changed and ticket.state in {state.ACCEPTED, state.CLAIMED, state.SAVING}:
        check_open(ticket)
    if changed:
        remove_pending(ticket)
        if ticket.kept and remove_copy(ticket):
            Ticket.objects.filter(pk=ticket.pk).update(kept=False)


def check_open(ticket: Ticket) -> None:
    """Raise an UploadError unless the ticket is open or finished."""
    state = Ticket.State
    settle(ticket)
    if ticket.state == state.ACCEPTED:
        raise AlreadyAcceptedError
    if ticket.state == state.REJECTED:
        raise RejectedError(ticket.rejection)
    if ticket.state == state.CANCELLED:
        raise ExpiredError(_("This upload was cancelled. Please start it again."))
    if ticket.state in {state.CLAIMED, state.SAVING} and not is_stale(ticket):
        raise InProgressError
    if ticket.expires_at <= timezone.now():
        raise ExpiredError


def is_stale(ticket: Ticket) -> bool:
    """Return whether the claim is from a process that was killed."""
    return ticket.claimed_at is None or ticket.claimed_at < timezone.now() - CLAIM_LIFE


def settle(ticket: Ticket) -> None:
    """If a process was killed while it was saving the file's row, accept the ticket if the row exists, or reopen it."""
    if ticket.state == Ticket.State.SAVING and is_stale(ticket):
        left = Ticket.objects.filter(pk=ticket.pk, state=ticket.state, claimed_at=ticket.claimed_at)
        left.update(state=Ticket.State.ACCEPTED if has_row(ticket) else Ticket.State.FINISHED)
        ticket.refresh_from_db()


def has_row(ticket: Ticket) -> bool:
    """Return whether a row has the file; True if that can't be known because the model no longer exists."""
    path, _at, database = ticket.row.partition("@")
    model, _dot, field = path.rpartition(".")
    try:
        rows = apps.get_model(model)._base_manager.using(database).filter(**{field: ticket.target})
        return bool(rows.exists())
    except (LookupError, ValueError, FieldError, ConnectionDoesNotExist):
        return True


def claimable(ticket: Ticket, *states: str) -> QuerySet[Ticket]:
    """Return the ticket's row if it is in one of these states (default: open) or its claim is from a killed process."""
    state = Ticket.State
    stale = Q(state=state.CLAIMED, claimed_at__lt=timezone.now() - CLAIM_LIFE)
    return Ticket.objects.filter(Q(state__in=states or (state.OPEN,)) | stale, pk=ticket.pk)


def is_old() -> Q:
    """Return the condition that the ticket's row is no longer needed."""
    return Q(expires_at__lt=timezone.now() - KEPT_LIFE)


def user_of(ticket: Ticket) -> AbstractBaseUser | AnonymousUser:
    """Return the ticket's user, or AnonymousUser if the user was deleted."""
    try:
        return ticket.user
    except ObjectDoesNotExist:
        return AnonymousUser()


@contextmanager
def s3_errors(ticket: Ticket, *, quick: bool = True) -> Iterator[None]:
    """Turn boto3's errors into UnavailableError, and log the reason.

    `quick` requests are limited in number, so that a hanging S3 leaves threads for other pages.
    """
    try:
        with clients.in_turn() if quick else nullcontext():
            yield
    except FAILURES as error:
        bucket = storage_of(ticket.storage).bucket_name
        known = isinstance(error, ClientError | BotoCoreError)
        text = (
            errors.explain(error, bucket, role="web") if known else f"{bucket}: the response is not from S3"
        )
        logger.exception("A direct upload failed: %s", text)
        raise UnavailableError from error


def pending_of(ticket: Ticket) -> Pending:
    """Return the object that the browser sends."""
    storage = storage_of(ticket.storage)
    return Pending(storage.target, storage.named_bucket, ticket.key, ticket.upload_id)


def parts_of(ticket: Ticket) -> dict[int, tuple[int, int]]:
    """Return the start and end of each part, by number."""
    step, starts = ticket.part_size, range(0, ticket.size, ticket.part_size)
    return {number: (start, min(start + step, ticket.size)) for number, start in enumerate(starts, 1)}


def parts_arrived(ticket: Ticket) -> dict[int, str] | None:
    """Return the ETags of the parts that S3 has by number, or None if the upload was completed or aborted."""
    return pending_of(ticket).parts(
        {number: end - start for number, (start, end) in parts_of(ticket).items()}
    )


def link(ticket: Ticket, number: int, start: int, end: int) -> dict[str, Any]:
    """Return a part with the URL to send it to."""
    url = pending_of(ticket).signed_part(number, end - start)
    return {"number": number, "start": start, "end": end, "url": url, "headers": {}}


def remove_pending(ticket: Ticket) -> None:
    """Remove what was sent. If S3 fails, it expires instead."""
    try:
        pending_of(ticket).remove()
    except FAILURES as error:
        logger.warning("%s could not be removed, and stays until it expires: %s", ticket.key, error)


def abort_copy(ticket: Ticket) -> None:
    """Remove the parts of a copy that was not completed, if there are any."""
    if ticket.copy_id:
        storage = storage_of(ticket.storage)
        Pending(storage.target, storage.named_bucket, storage.key(ticket.target), ticket.copy_id).abort()


def remove_copy(ticket: Ticket) -> bool:
    """Remove the copy that `keep` made. Return whether that succeeded."""
    storage = storage_of(ticket.storage)
    try:
        abort_copy(ticket)
        Pending(storage.target, storage.named_bucket, storage.key(ticket.target)).remove()
    except FAILURES as error:
        logger.warning("The copy %s could not be removed: %s", ticket.target, error)
        return False
    return True
