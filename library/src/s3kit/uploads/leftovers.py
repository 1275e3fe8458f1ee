"""Leftover uploads: `manage.py s3 tickets` lists and removes them, and so does `manage.py release`.

An upload is left over once it has expired without a row. Its ticket is closed before anything is deleted, so it can't
be accepted any more, and a file is never deleted if a row of any model has it.
"""

import time
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, models, router, transaction
from django.db.models import Case, F, Q, QuerySet, Value, When
from django.utils import timezone

from s3kit import errors
from s3kit.progress import Progress, Report, listed
from s3kit.uploads import tickets
from s3kit.uploads.kinds import storage_of
from s3kit.uploads.models import Ticket
from s3kit.uploads.pending import FAILURES, Pending, remove_all

BATCH = 500  # tickets with two objects each: S3's limit for DeleteObjects is 1,000
THREADS = 16
LEFTOVER = "leftover"

_STATE = Ticket.State
_DENIED = "Use credentials with the permissions that `manage.py s3 policy --role web` prints."


def under_way() -> QuerySet[Any]:
    """Return the uploads that are unfinished or left over; `shown` is the state, or LEFTOVER."""
    shown = Case(When(_left(), then=Value(LEFTOVER)), default=F("state"), output_field=models.CharField())
    closed = Q(state=_STATE.ACCEPTED) | Q(state__in=(_STATE.REJECTED, _STATE.CANCELLED), kept=False)
    return Ticket.objects.exclude(closed).annotate(shown=shown)


def _idle() -> Q:
    """Return the condition that no process is working on the ticket."""
    return Q(claimed_at=None) | Q(claimed_at__lt=timezone.now() - tickets.CLAIM_LIFE)


def _usable() -> Q:
    return Q(state__in=(_STATE.OPEN, _STATE.FINISHED)) | (_idle() & Q(state=_STATE.CLAIMED))


def _left() -> Q:
    # Another storage may still be copying the file of a cancelled ticket: see `DirectFile.accept`.
    closed = Q(state__in=(_STATE.REJECTED, _STATE.CANCELLED), kept=True)
    return Q(expires_at__lte=timezone.now()) & (_usable() | (_idle() & closed))


def _forgettable() -> Q:
    closed = Q(state__in=(_STATE.REJECTED, _STATE.CANCELLED), kept=False) | Q(state=_STATE.ACCEPTED)
    return tickets.is_old() & closed


@dataclass
class Cleaned(Report):
    """What a run removed."""

    uploads: int = 0
    """Closed uploads whose objects are removed."""
    size: int = 0
    """The declared size of these uploads in bytes."""
    rows: int = 0
    """Deleted rows of old tickets."""
    settled: int = 0
    """Tickets of killed processes, for which it is now clear whether a row has the file."""
    busy: int = 0
    """Selected uploads that another process is using."""
    errors: dict[str, str] = field(default_factory=dict)
    """Why a ticket's objects were not removed, by the ticket's ID."""
    fix: str = ""
    is_complete: bool = True
    """False if the run ran out of time."""
    started: float = field(default_factory=time.monotonic)

    @property
    def is_empty(self) -> bool:
        """Return whether there was nothing to do."""
        return not (self.uploads or self.rows or self.settled or self.errors or self.busy)

    def as_text(self) -> str:
        """Return the summary line."""
        seconds = time.monotonic() - self.started
        busy = f" {self.busy:,} skipped, because another process is using them;" if self.busy else ""
        more = "" if self.is_complete else " There is more: run `manage.py s3 tickets --clean`."
        return (
            f"{self.uploads:,} uploads removed, {self.rows:,} old tickets deleted, {self.settled:,} settled,"
            f" {len(self.errors):,} failed;{busy} {seconds:.1f} s.{more}"
        )

    def failures(self) -> str:
        """Return what failed, "" if nothing did."""
        title = f"Files of {len(self.errors):,} uploads were not removed:"
        return listed(title, self.errors.items(), *([self.fix] if self.fix else [])) if self.errors else ""


def clean(progress: Progress = lambda *_: None, *, seconds: float | None = None) -> Cleaned:
    """Settle the tickets of killed processes, remove leftover uploads, and delete the rows of old tickets.

    With `seconds`, no batch begins after that time. Objects that S3 doesn't remove are in the report, and the next run
    tries again. If S3 fails for all files of a storage, the run skips that storage from then on.
    """
    work = _Work(progress, seconds)
    work.settle()
    work.total = Ticket.objects.filter(_left() | _forgettable()).count()
    work.end(_left())
    # Delete objects again that may have been created since: by a link that was still valid, or by a running copy.
    work.forget()
    return work.report


def expire(selected: QuerySet[Ticket], progress: Progress = lambda *_: None) -> Cleaned:
    """Close these uploads now, and remove what was sent. Skip those that a process is accepting."""
    work = _Work(progress, None)
    work.total = selected.count()
    chosen = Q(pk__in=selected.order_by().values("pk"))
    work.end(_usable(), chosen)
    work.report.busy = Ticket.objects.filter(
        chosen, state__in=(_STATE.OPEN, _STATE.FINISHED, _STATE.CLAIMED, _STATE.SAVING)
    ).count()
    return work.report


def in_rows(names: Collection[str]) -> set[str]:
    """Return those of these file names that a row of any model has."""
    found: set[str] = set()
    for model in apps.get_models(include_auto_created=True):
        alias = router.db_for_write(model)
        if not model._meta.can_migrate(alias):  # a proxy or an unmanaged model
            continue
        for each in model._meta.local_concrete_fields:
            if isinstance(each, models.FileField):
                rows = model._base_manager.using(alias).filter(**{f"{each.attname}__in": names})
                found.update(rows.values_list(each.attname, flat=True))
    return found


class _Work:
    """A run of `clean` or `expire`."""

    def __init__(self, progress: Progress, seconds: float | None) -> None:
        self.report = Cleaned()
        self.total, self._done, self._progress = 0, 0, progress
        self._until = float("inf") if seconds is None else time.monotonic() + seconds
        self._failed: dict[str, str] = {}  # storages that failed, and why

    def settle(self) -> None:
        """Settle the tickets whose process was killed while it was saving a row."""
        for ids in self._batches(_idle() & Q(state=_STATE.SAVING)):
            for ticket in Ticket.objects.filter(pk__in=ids):
                tickets.settle(ticket)
                self.report.settled += ticket.state != _STATE.SAVING

    def end(self, wanted: Q, chosen: Q = Q()) -> None:  # noqa: B008 -- a constant
        """Close the tickets that meet both conditions, and remove what was sent."""
        for ids in self._batches(wanted & chosen):
            closed = self._closed(ids, wanted)
            if taken := in_rows([each.target for each in closed if each.kept]):
                # Should not happen. Keep the file rather than break the row.
                rows = [each.pk for each in closed if each.target in taken]
                Ticket.objects.filter(pk__in=rows).update(state=_STATE.ACCEPTED, claim=None)
                self.report.settled += len(rows)
            removed = self._remove([each for each in closed if each.target not in taken])
            self.report.uploads += len(removed)
            self.report.size += sum(each.size for each in removed)
            done = Ticket.objects.filter(pk__in=[each.pk for each in removed])
            done.update(kept=False, upload_id="", copy_id="", claim=None)
            self.report.rows += done.filter(tickets.is_old()).delete()[0]

    def forget(self) -> None:
        """Delete the rows of old tickets, and objects that have appeared at their keys since they were closed."""
        for ids in self._batches(_forgettable()):
            removed = self._remove(list(Ticket.objects.filter(pk__in=ids)))
            gone = Ticket.objects.filter(_forgettable(), pk__in=[each.pk for each in removed])
            self.report.rows += gone.delete()[0]

    def _batches(self, wanted: Q) -> Iterator[list[uuid.UUID]]:
        """Yield the IDs of matching tickets, BATCH at a time, in one pass over the table."""
        rows = Ticket.objects.filter(wanted).order_by("pk")
        ids: list[uuid.UUID] = []
        while not ids or len(ids) == BATCH:
            if time.monotonic() > self._until:
                self.report.is_complete = False
                return
            more = rows.filter(pk__gt=ids[-1]) if ids else rows
            ids = list(more.values_list("pk", flat=True)[:BATCH])
            if not ids:
                return
            yield ids
            self._done += len(ids)
            self._progress(self._done, max(self.total, self._done), f"{self._done:,} uploads")

    def _closed(self, ids: Sequence[uuid.UUID], wanted: Q) -> list[Ticket]:
        """Close those of these tickets that still meet the condition, and return them.

        A ticket that another transaction is accepting is skipped; on databases without SKIP LOCKED, wait for that
        transaction, after which the ticket doesn't meet the condition.
        """
        run, now = uuid.uuid4(), timezone.now()
        rows = Ticket.objects.filter(wanted, pk__in=ids)
        with transaction.atomic(using=rows.db):
            if connections[rows.db].features.has_select_for_update_skip_locked:
                free = rows.select_for_update(skip_locked=True)
                rows = rows.filter(pk__in=list(free.values_list("pk", flat=True)))
            rows.update(state=_STATE.CANCELLED, claim=run, claimed_at=None)
            closed = Ticket.objects.filter(pk__in=ids, claim=run)
            closed.filter(expires_at__gt=now).update(expires_at=now)
        return list(closed)

    def _remove(self, closed: Sequence[Ticket]) -> list[Ticket]:
        """Remove the objects of closed tickets, and return the tickets without any objects left."""
        by_storage: dict[str, list[Ticket]] = defaultdict(list)
        for each in closed:
            # A file that was sent with a form has no objects at all.
            by_storage[each.storage if each.content_type else ""].append(each)
        removed = by_storage.pop("", [])
        for alias, some in by_storage.items():
            failed = self._remove_from(alias, some)
            removed += [each for each in some if each.pk not in failed]
            if failed:
                Ticket.objects.filter(pk__in=failed).exclude(state=_STATE.ACCEPTED).update(
                    kept=True, claim=None
                )
                self.report.errors |= {str(key): reason for key, reason in failed.items()}
        return removed

    def _remove_from(self, alias: str, some: Sequence[Ticket]) -> dict[uuid.UUID, str]:
        """Remove the objects of these tickets, and return why some were not removed."""
        try:
            storage = storage_of(alias)
        except ImproperlyConfigured as error:
            # An accepted file is in use, even if it has been moved to another storage.
            return {each.pk: str(error) for each in some if each.state != _STATE.ACCEPTED}
        if alias in self._failed:
            return {each.pk: self._failed[alias] for each in some}
        where = storage.target, storage.named_bucket
        keys = {each.key: each for each in some}
        parts: list[tuple[Ticket, Pending]] = []
        for each in some:
            if each.state != _STATE.ACCEPTED:  # else the row has the file at the target
                target = storage.key(each.target)
                keys[target] = each
                parts += [
                    (each, Pending(*where, each.key, each.upload_id)),
                    (each, Pending(*where, target, each.copy_id)),
                ]
        try:
            with ThreadPoolExecutor(THREADS) as pool:
                said = zip(parts, pool.map(_aborted, [each for _ticket, each in parts]), strict=True)
                failed = {ticket.pk: reason for (ticket, _each), reason in said if reason}
            failed |= {keys[key].pk: reason for key, reason in remove_all(*where, list(keys)).items()}
        except FAILURES as error:
            self.report.fix = errors.explain(error, storage.bucket_name, role="web")
            failed = dict.fromkeys((each.pk for each in some), errors.reason(error))
        if len(failed) == len(some):
            self._failed[alias] = next(iter(failed.values()))
        if "AccessDenied" in failed.values():
            self.report.fix = self.report.fix or _DENIED
        return failed


def _aborted(upload: Pending) -> str:
    """Abort a multipart upload if there is one; return why that failed, or ""."""
    try:
        if upload.upload_id:
            upload.abort()
    except ClientError as error:
        return errors.reason(error)
    return ""
