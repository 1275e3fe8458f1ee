"""Delete static objects that no page uses any more: `manage.py s3 prune`.

Prune keeps, whatever their age, the objects in the live manifest, in the last `keep` manifests, and in those that were
live or replaced within the last `days` days. It also keeps objects younger than `days` days by S3's clock, and
everything outside the storage's prefix. It deletes the manifests of past deploys that it doesn't keep.

`s3kit.publishing.history` says why a deploy can run at the same time.
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
BATCH = 1000  # keys: S3's limit for DeleteObjects
BATCH_TIMEOUT = 60  # seconds: a batch that hasn't started to delete by then starts again
TRIES = 3
PAUSE = 2  # seconds
THREADS = 16

_TIMED_OUT = "not tried: out of time"
# Characters that XML 1.0 can't represent, or changes. In a URL they are encoded.
_NOT_IN_XML = re.compile(r"[\x00-\x1f\ufffe\uffff]")


class PruneError(errors.StoppedError):
    """Pruning had to stop."""


class Object(NamedTuple):
    """An object in the bucket; `size` is in bytes."""

    key: str
    size: int
    modified: datetime


class _Copy(NamedTuple):
    """A manifest's copy: the names in it, and the hash of the manifest that it replaced.

    `replaces` is history.NOTHING if there was none, and "" if it isn't recorded; then the manifest was live since
    `since` or, for None, since the copy was written.
    """

    names: set[str]
    replaces: str
    since: datetime | None


@dataclass(frozen=True)
class Needed:
    """What prune keeps: names below the prefix, and the keys of manifests.

    `unknown_before`: the time before which it isn't recorded which manifest was live, if that matters.
    """

    names: set[str]
    manifests: set[str]
    unknown_before: datetime | None


@dataclass
class PruneReport(Report):
    """The objects that were found, and with `delete` removed. Sizes are in bytes."""

    location: Location
    keep: int
    days: int
    delete: bool
    needed: Needed
    found: list[Object]
    removed: int = 0
    removed_bytes: int = 0
    spared: int = 0
    """Objects that a new deploy needs."""
    failed: list[tuple[str, str]] = field(default_factory=list)
    has_versions: bool = False

    def as_text(self) -> str:
        """Return the report as text; with `delete` off it lists each object on one line."""
        lines = [
            f"{each.size:>12,}  {each.modified:%Y-%m-%d}  {errors.printable(each.key)}"
            for each in self.found
            if not self.delete
        ]
        files, manifests = len(self.needed.names), len(self.needed.manifests)
        lines.append(
            f"Kept in {self.location.bucket}/{self.location.prefix}: {_count(files, 'file')} in the live"
            f" manifest and {_count(manifests, 'copy', 'copies')} of earlier ones, and everything younger than"
            f" {_count(self.days, 'day')}."
        )
        size = sum(each.size for each in self.found)
        if since := self.needed.unknown_before:
            until = f"{since + timedelta(days=self.days):%Y-%m-%d %H:%M} UTC"
            lines.append(
                f"It is not recorded which manifest was live before {since:%Y-%m-%d %H:%M} UTC, so no object is"
                f" known to be unused for {_count(self.days, 'day')}: run this command again after {until}."
            )
        elif not self.found:
            lines.append("Nothing to remove.")
        elif self.delete:
            spared = f", {self.spared:,} kept for a new deploy" if self.spared else ""
            count = f"{self.removed:,} of {_count(len(self.found), 'object')} removed{spared}"
            lines.append(f"{count}, {self.removed_bytes:,} bytes.")
        else:
            lines.append(
                f"{_count(len(self.found), 'object')} to remove, {size:,} bytes. To remove them, add --delete."
            )
        if self.has_versions:
            lines.append(
                "The bucket has versioning: it still stores, and AWS bills, removed objects until a lifecycle"
                " rule for noncurrent versions deletes them."
            )
        return "\n".join(lines)

    def failures(self) -> str:
        """Return what failed, "" if nothing did."""
        if not self.failed:
            return ""
        rejected: Any = {"Error": {"Code": self.failed[0][1], "Message": ""}, "ResponseMetadata": {}}
        error = ClientError(rejected, "DeleteObject")
        again = errors.is_passing(error) or self.failed[0][1] == _TIMED_OUT
        fix = (
            "Run this command again." if again else errors.explain(error, self.location.bucket, role="prune")
        )
        return listed(f"{_count(len(self.failed), 'object')} could not be removed:", self.failed, fix)

    def as_data(self) -> dict[str, Any]:
        """Return the report as data for JSON."""
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

    `keep` and `days` are at least 1. Raises PruneError if there is no live manifest or S3 rejects a request; single
    objects that could not be removed are in the report.
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
        # Without botocore's retries, which could delete after BATCH_TIMEOUT.
        self.once = clients.once(location.target)
        self.now = self._clock()
        self.old = self.now - timedelta(days=days)
        self._copies: dict[Object, _Copy] = {}

    def run(self, *, delete: bool, progress: Progress) -> PruneReport:
        needed = self._needed()
        found = [each for each in self._list(self.prefix) if self._is_removable(each, needed)]
        report = PruneReport(self.location, self.keep, self.days, delete, needed, found)
        for start in range(0, len(found) if delete else 0, BATCH):
            self._remove(found[start : start + BATCH], report)
            done = min(start + BATCH, len(found))
            progress(done, len(found), f"Removed up to {found[done - 1].key}")
        return report

    # Reading

    def _clock(self) -> datetime:
        """Return the time of S3's clock, which also dates the objects."""
        response = self.s3.list_objects_v2(**self.bucket, Prefix=self.prefix, MaxKeys=1)
        return parsedate_to_datetime(response["ResponseMetadata"]["HTTPHeaders"]["date"])

    def _hash(self, each: Object) -> str:
        """Return the hash in the key of a manifest's copy, "" for any other object."""
        return history.hash_in(each.key.removeprefix(self.prefix))

    def _list(self, prefix: str, first: str = "", last: str = "") -> Iterator[Object]:
        """Yield the objects with a prefix in the order of their keys, from `first` to (at least) `last` if given."""
        # StartAfter is exclusive, and its key needn't exist.
        after = {"StartAfter": first[:-1]} if first else {}
        for page in self.s3.get_paginator("list_objects_v2").paginate(**self.bucket, Prefix=prefix, **after):
            for entry in page.get("Contents", ()):
                yield Object(entry["Key"], entry["Size"], entry["LastModified"])
            if last and page.get("Contents") and page["Contents"][-1]["Key"] >= last:
                return

    def _needed(self) -> Needed:
        """Read the manifests; raise PruneError if a relevant one can't be read."""
        found = [each for each in self._list(self.prefix + history.FOLDER) if self._hash(each)]
        # By S3's clock: the time in the key is from the clock of the machine that deployed.
        copies = sorted(found, key=lambda each: (each.modified, each.key))
        young = [each for each in copies if each.modified > self.old]
        by_hash = {self._hash(each): each for each in copies}
        stays = dict.fromkeys([*copies[-self.keep :], *young])
        live, written = self._live()
        unknown = []
        if written > self.old and history.hash_of(live) not in map(self._hash, young):
            unknown.append(written)  # written by a tool that keeps no copies
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
            response = self.s3.get_object(**self.bucket, Key=self.manifest)
            manifest = json.loads(response["Body"].read())
            history.names(manifest)
        except self.s3.exceptions.NoSuchKey:
            raise PruneError(
                f"{self.manifest} does not exist, so it is unknown which objects the site needs: run"
                " `manage.py collectstatic`. Nothing was removed."
            ) from None
        except ValueError as error:
            raise PruneError(
                f"{self.manifest} can't be read ({error}): run `manage.py collectstatic`."
                " Nothing was removed."
            ) from error
        return manifest, response["LastModified"]

    def _read(self, copies: list[Object]) -> list[_Copy]:
        """Return the contents of manifest copies; each is requested only once."""
        new = [each for each in copies if each not in self._copies]
        with ThreadPoolExecutor(THREADS) as pool:
            self._copies.update(zip(new, pool.map(self._read_one, new), strict=True))
        return [self._copies[each] for each in copies]

    def _read_one(self, copy: Object) -> _Copy:
        response = self.s3.get_object(**self.bucket, Key=copy.key)
        try:
            names = history.names(json.loads(response["Body"].read()))
            since = response["Metadata"].get(history.SINCE)
            in_force = datetime.fromisoformat(since).astimezone(UTC) if since else None
        except ValueError as error:
            raise PruneError(
                f"{copy.key} can't be read ({error}): delete it if you won't roll back to that deploy."
            ) from error
        return _Copy(names, response["Metadata"].get(history.REPLACES, ""), in_force)

    def _is_removable(self, each: Object, needed: Needed) -> bool:
        name = each.key.removeprefix(self.prefix)
        if history.is_marker(name):
            return each.modified < self.now - history.LAPSE
        if needed.unknown_before or each.modified > self.old:
            return False
        if each.key == self.manifest or each.key.endswith("/"):  # a folder, as S3 consoles create them
            return False
        if self._hash(each):
            return each.key not in needed.manifests
        return name not in needed.names

    # Deleting

    def _remove(self, batch: list[Object], report: PruneReport) -> None:
        """Remove a batch of objects, sorted by key, under its own marker."""
        for attempt in range(TRIES):
            time.sleep(PAUSE * attempt)
            marker = f"{self.prefix}{history.MARKERS}{secrets.token_hex(8)}"
            began = time.monotonic()
            self.s3.put_object(**self.bucket, Key=marker, Body=b"")
            has_response = True
            try:
                needed = self._needed()
                keys = {each.key for each in batch}
                again = self._list(self.prefix, batch[0].key, batch[-1].key)
                going = [each for each in again if each.key in keys and self._is_removable(each, needed)]
                if time.monotonic() - began > BATCH_TIMEOUT:
                    continue
                has_response = False
                removed = self._delete(going, began + BATCH_TIMEOUT, report) if going else set()
                has_response = True
            except ClientError as error:
                has_response = True
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
                if has_response:  # else the deletion may still be running, and the marker has to expire
                    self.s3.delete_object(**self.bucket, Key=marker)
        raise PruneError(
            f"S3 took more than {BATCH_TIMEOUT} seconds to list part of {self.location.bucket}: try again later."
        )

    def _delete(self, going: list[Object], until: float, report: PruneReport) -> set[str]:
        """Delete the objects that can be deleted in time; return the keys that are deleted."""
        alone = [each.key for each in going if _NOT_IN_XML.search(each.key)]
        in_list = [each.key for each in going if not _NOT_IN_XML.search(each.key)]
        responses: list[dict[str, Any]] = []
        try:
            if in_list:
                objects = [{"Key": key} for key in in_list]
                response = self.once.delete_objects(**self.bucket, Delete={"Objects": objects})
                responses += [*response.get("Deleted", ()), *response.get("Errors", ())]
        except ClientError as error:
            if not errors.rejects_lists(error):
                raise
            alone += in_list
        with ThreadPoolExecutor(THREADS) as pool:
            responses += pool.map(lambda key: self._delete_one(key, until), alone)
        report.failed += [(each["Key"], each["Code"]) for each in responses if "Code" in each]
        report.has_versions |= any(each.get("DeleteMarker") for each in responses)
        return {each["Key"] for each in responses if "Code" not in each}

    def _delete_one(self, key: str, until: float) -> dict[str, Any]:
        """Delete one object; return an entry in the format of DeleteObjects."""
        if time.monotonic() > until:
            return {"Key": key, "Code": _TIMED_OUT}
        try:
            return {
                "Key": key,
                "DeleteMarker": self.once.delete_object(**self.bucket, Key=key).get("DeleteMarker"),
            }
        except ClientError as error:
            return {"Key": key, "Code": error.response["Error"]["Code"]}
