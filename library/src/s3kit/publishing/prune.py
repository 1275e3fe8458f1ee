"""Removing the static objects that no page asks for any more: `manage.py s3 prune`.

What stays, whatever its age: all that the live manifest names, the last `keep` kept manifests, and those that
were in force or replaced within the last `days` days. What is younger than `days` days stays too, by S3's
own clock, and everything outside the storage's prefix. The manifest of a past deploy goes when it need not be
kept.

`s3kit.publishing.history` says why this does no harm to a deploy that runs at the same time.
"""

import json
import re
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from s3kit import clients, errors
from s3kit.deployment import Location
from s3kit.progress import Progress, Report, listed
from s3kit.publishing import history

KEEP = 10  # manifests
DAYS = 30
BATCH = 1000  # keys: as many as S3 takes in one DeleteObjects
IN_TIME = 60  # seconds: a batch that has not asked for its deletions by then is begun anew
TRIES = 3
PAUSE = 2  # seconds
THREADS = 16

_LATE = "not tried, for want of time"
# What XML 1.0 can't carry, or carries as something else. In an address it is encoded.
_NOT_IN_XML = re.compile(r"[\x00-\x1f\ufffe\uffff]")


class PruneError(errors.StoppedError):
    """Nothing more could be removed."""


class Object(NamedTuple):
    """An object of the bucket; `size` in bytes."""

    key: str
    size: int
    modified: datetime


class _Copy(NamedTuple):
    """What a kept manifest says: the names that it needs, and the hash of the one that it replaced.

    The latter is history.NOTHING where there was none, and "" where it is not on record; then it was in force
    since `since`, or, for None, since the copy was written.
    """

    names: set[str]
    replaces: str
    since: datetime | None


@dataclass(frozen=True)
class Needed:
    """What has to stay: names below the prefix, and the keys of the manifests to be kept.

    `unknown_before`: what was in force until then is not on record, though it may have been of late.
    """

    names: set[str]
    manifests: set[str]
    unknown_before: datetime | None


@dataclass
class PruneReport(Report):
    """What was found, and with `delete` done. Sizes in bytes."""

    location: Location
    keep: int
    days: int
    delete: bool
    needed: Needed
    found: list[Object]
    removed: int = 0
    removed_bytes: int = 0
    spared: int = 0
    """Needed by a deploy that came in between."""
    failed: list[tuple[str, str]] = field(default_factory=list)
    has_versions: bool = False

    def as_text(self) -> str:
        """Return the report for people; with `delete` off it has a line for each object."""
        lines = [
            f"{each.size:>12,}  {each.modified:%Y-%m-%d}  {errors.printable(each.key)}"
            for each in self.found
            if not self.delete
        ]
        files, manifests = len(self.needed.names), len(self.needed.manifests)
        lines.append(
            f"Kept in {self.location.bucket}/{self.location.prefix}: {_count(files, 'file')} that the live"
            f" manifest and {_count(manifests, 'copy', 'copies')} of earlier ones name, and everything younger than"
            f" {_count(self.days, 'day')}."
        )
        size = sum(each.size for each in self.found)
        if since := self.needed.unknown_before:
            until = f"{since + timedelta(days=self.days):%Y-%m-%d %H:%M} UTC"
            lines.append(
                f"Which manifest was live before {since:%Y-%m-%d %H:%M} UTC is not on record, so nothing is"
                f" known to be unused for {_count(self.days, 'day')}: run this again after {until}."
            )
        elif not self.found:
            lines.append("Nothing to remove.")
        elif self.delete:
            spared = f", {self.spared:,} spared for a new deploy" if self.spared else ""
            count = f"{self.removed:,} of {_count(len(self.found), 'object')} removed{spared}"
            lines.append(f"{count}, {self.removed_bytes:,} bytes.")
        else:
            lines.append(
                f"{_count(len(self.found), 'object')} to remove, {size:,} bytes. To remove them, add --delete."
            )
        if self.has_versions:
            lines.append(
                "The bucket keeps versions: what was removed is still stored, and paid for, until a lifecycle"
                " rule for noncurrent versions removes it."
            )
        return "\n".join(lines)

    def failures(self) -> str:
        """Return what failed, "" for nothing."""
        if not self.failed:
            return ""
        rejected: Any = {"Error": {"Code": self.failed[0][1], "Message": ""}, "ResponseMetadata": {}}
        error = ClientError(rejected, "DeleteObject")
        again = errors.is_passing(error) or self.failed[0][1] == _LATE
        fix = "Run this again." if again else errors.explain(error, self.location.bucket, role="prune")
        return listed(f"{_count(len(self.failed), 'object')} could not be removed:", self.failed, fix)

    def as_data(self) -> dict[str, Any]:
        """Return the report for machines."""
        unknown = self.needed.unknown_before
        return {
            "storage": self.location.alias,
            "bucket": self.location.bucket,
            "prefix": self.location.prefix,
            "delete": self.delete,
            "keep": self.keep,
            "days": self.days,
            "manifests": sorted(self.needed.manifests),
            "unknown_before": unknown.isoformat() if unknown else None,
            "found": [
                {"key": each.key, "bytes": each.size, "modified": each.modified.isoformat()}
                for each in self.found
            ],
            "removed": self.removed,
            "removed_bytes": self.removed_bytes,
            "spared": self.spared,
            "failed": dict(self.failed),
            "has_versions": self.has_versions,
        }


def _count(number: int, noun: str, several: str = "") -> str:
    return f"{number:,} {noun if number == 1 else several or f'{noun}s'}"


def prune(
    location: Location,
    manifest_name: str,
    *,
    keep: int = KEEP,
    days: int = DAYS,
    delete: bool = False,
    progress: Progress,
) -> PruneReport:
    """Find the objects of a static location that nothing needs, and with `delete` remove them.

    `keep` and `days` are 1 at least. Raises PruneError where there is no live manifest, or S3 rejects a
    request; single objects that could not be removed are in the report.
    """
    try:
        pruner = _Pruner(location, manifest_name, keep=keep, days=days)
        return pruner.run(delete=delete, progress=progress)
    except (ClientError, BotoCoreError) as error:
        raise PruneError(errors.explain(error, location.bucket, role="prune")) from error


class _Pruner:
    def __init__(self, location: Location, manifest_name: str, *, keep: int, days: int) -> None:
        self.location, self.prefix = location, location.prefix
        self.manifest = location.prefix + manifest_name
        self.bucket = {"Bucket": location.bucket, **clients.owner_arguments(location.target)}
        self.keep, self.days = keep, days
        self.s3 = clients.command(location.target)
        # botocore must not send a deletion again, since it does not look at the time.
        self.once = clients.once(location.target)
        self.now = self._clock()
        self.old = self.now - timedelta(days=days)
        self._copies: dict[Object, _Copy] = {}

    def run(self, *, delete: bool, progress: Progress) -> PruneReport:
        needed = self._needed()
        found = [each for each in self._list(self.prefix) if self._can_go(each, needed)]
        report = PruneReport(self.location, self.keep, self.days, delete, needed, found)
        for start in range(0, len(found) if delete else 0, BATCH):
            self._remove(found[start : start + BATCH], report)
            done = min(start + BATCH, len(found))
            progress(done, len(found), f"Removed up to {found[done - 1].key}")
        return report

    # What there is

    def _clock(self) -> datetime:
        """Return S3's time, by which objects are dated."""
        answer = self.s3.list_objects_v2(**self.bucket, Prefix=self.prefix, MaxKeys=1)
        return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])

    def _hash(self, each: Object) -> str:
        """Return the hash in the key of a kept manifest, "" for any other object."""
        return history.hash_in(each.key.removeprefix(self.prefix))

    def _list(self, prefix: str, first: str = "", last: str = "") -> Iterator[Object]:
        """List the objects with a prefix in the order of their keys, or of those a range."""
        # S3 begins after a key, which need not be there.
        after = {"StartAfter": first[:-1]} if first else {}
        for page in self.s3.get_paginator("list_objects_v2").paginate(**self.bucket, Prefix=prefix, **after):
            for entry in page.get("Contents", ()):
                yield Object(entry["Key"], entry["Size"], entry["LastModified"])
            if last and page.get("Contents") and page["Contents"][-1]["Key"] >= last:
                return

    def _needed(self) -> Needed:
        """Read the manifests; raise PruneError where one that counts can't be read."""
        found = [each for each in self._list(self.prefix + history.FOLDER) if self._hash(each)]
        # By S3's clock; the one in the key is that of a machine which deployed.
        copies = sorted(found, key=lambda each: (each.modified, each.key))
        young = [each for each in copies if each.modified > self.old]
        by_hash = {self._hash(each): each for each in copies}
        stays = dict.fromkeys([*copies[-self.keep :], *young])
        live, written = self._live()
        unknown = []
        if written > self.old and history.hash_of(live) not in map(self._hash, young):
            unknown.append(written)  # by something that keeps no copies
        for each, copy in zip(young, self._read(young), strict=True):
            replaced = by_hash.get(copy.replaces)
            if replaced:
                stays[replaced] = None
            elif copy.replaces != history.NOTHING and (copy.since or each.modified) > self.old:
                unknown.append(copy.since or each.modified)
        names = history.names(live).union(*(copy.names for copy in self._read(list(stays))))
        return Needed(names, {each.key for each in stays}, max(unknown, default=None))

    def _live(self) -> tuple[dict[str, Any], datetime]:
        try:
            answer = self.s3.get_object(**self.bucket, Key=self.manifest)
            manifest = json.loads(answer["Body"].read())
            history.names(manifest)
        except self.s3.exceptions.NoSuchKey:
            raise PruneError(
                f"{self.manifest} does not exist, so nothing says what the site needs: run"
                " `manage.py collectstatic`. Nothing was removed."
            ) from None
        except ValueError as error:
            raise PruneError(
                f"{self.manifest} can't be read ({error}): run `manage.py collectstatic`."
                " Nothing was removed."
            ) from error
        return manifest, answer["LastModified"]

    def _read(self, copies: list[Object]) -> list[_Copy]:
        """Return what kept manifests say; each is asked for once."""
        new = [each for each in copies if each not in self._copies]
        with ThreadPoolExecutor(THREADS) as pool:
            self._copies.update(zip(new, pool.map(self._read_one, new), strict=True))
        return [self._copies[each] for each in copies]

    def _read_one(self, copy: Object) -> _Copy:
        answer = self.s3.get_object(**self.bucket, Key=copy.key)
        try:
            names = history.names(json.loads(answer["Body"].read()))
            since = answer["Metadata"].get(history.SINCE)
            in_force = datetime.fromisoformat(since).astimezone(UTC) if since else None
        except ValueError as error:
            raise PruneError(
                f"{copy.key} can't be read ({error}): delete it if nobody will roll back to it."
            ) from error
        return _Copy(names, answer["Metadata"].get(history.REPLACES, ""), in_force)

    def _can_go(self, each: Object, needed: Needed) -> bool:
        name = each.key.removeprefix(self.prefix)
        if history.is_marker(name):
            return each.modified < self.now - history.LAPSE
        if needed.unknown_before or each.modified > self.old:
            return False
        if each.key == self.manifest or each.key.endswith("/"):  # a folder, as consoles make them
            return False
        if self._hash(each):
            return each.key not in needed.manifests
        return name not in needed.names

    # What goes

    def _remove(self, batch: list[Object], report: PruneReport) -> None:
        """Remove a batch of objects, sorted by key, under a marker of its own."""
        for attempt in range(TRIES):
            time.sleep(PAUSE * attempt)
            marker = f"{self.prefix}{history.MARKERS}{secrets.token_hex(8)}"
            began = time.monotonic()
            self.s3.put_object(**self.bucket, Key=marker, Body=b"")
            answered = True
            try:
                needed = self._needed()
                keys = {each.key for each in batch}
                again = self._list(self.prefix, batch[0].key, batch[-1].key)
                going = [each for each in again if each.key in keys and self._can_go(each, needed)]
                if time.monotonic() - began > IN_TIME:
                    continue
                answered = False
                removed = self._delete(going, began + IN_TIME, report) if going else set()
                answered = True
            except ClientError as error:
                answered = True
                if not errors.is_passing(error) or attempt == TRIES - 1:
                    raise
            else:
                gone = [each for each in going if each.key in removed]
                report.needed = needed
                report.removed += len(gone)
                report.removed_bytes += sum(each.size for each in gone)
                report.spared += len(batch) - len(going)
                return
            finally:
                if answered:  # else it may still be at work: the marker lapses
                    self.s3.delete_object(**self.bucket, Key=marker)
        raise PruneError(
            f"S3 took more than {IN_TIME} seconds to list a part of {self.location.bucket}: try again later."
        )

    def _delete(self, going: list[Object], until: float, report: PruneReport) -> set[str]:
        """Delete the objects, those that are late excepted; return the keys that are gone."""
        alone = [each.key for each in going if _NOT_IN_XML.search(each.key)]
        in_list = [each.key for each in going if not _NOT_IN_XML.search(each.key)]
        answers: list[dict[str, Any]] = []
        try:
            if in_list:
                objects = [{"Key": key} for key in in_list]
                answer = self.once.delete_objects(**self.bucket, Delete={"Objects": objects})
                answers += [*answer.get("Deleted", ()), *answer.get("Errors", ())]
        except ClientError as error:
            if not errors.rejects_lists(error):
                raise
            alone += in_list
        with ThreadPoolExecutor(THREADS) as pool:
            answers += pool.map(lambda key: self._delete_one(key, until), alone)
        report.failed += [(each["Key"], each["Code"]) for each in answers if "Code" in each]
        report.has_versions |= any(each.get("DeleteMarker") for each in answers)
        return {each["Key"] for each in answers if "Code" not in each}

    def _delete_one(self, key: str, until: float) -> dict[str, Any]:
        """Do what DeleteObjects does, and return what it answers of a key."""
        if time.monotonic() > until:
            return {"Key": key, "Code": _LATE}
        try:
            return {
                "Key": key,
                "DeleteMarker": self.once.delete_object(**self.bucket, Key=key).get("DeleteMarker"),
            }
        except ClientError as error:
            return {"Key": key, "Code": error.response["Error"]["Code"]}
