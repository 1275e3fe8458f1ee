"""Copying the uploads of an existing project from a local folder to the media bucket: `manage.py s3 push`.

`photos/a.jpg` of the folder becomes `media/photos/a.jpg`: names are what rows of the database hold, so they
stay as they are. Headers and ACL are those that MediaStorage gives to a file of that name.

One listing tells what is there. What is missing is sent; what has the same size is compared by the SHA-256 in
its metadata, or, where somebody else has put it there, by reading it. What differs is a conflict, and stays
unless `overwrite` is on. A second listing tells whether all has arrived. The folder is only read.
"""

import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError
from django.core.exceptions import SuspiciousFileOperation

from s3kit import clients, errors
from s3kit.progress import Progress
from s3kit.publishing.collect import CHUNK
from s3kit.publishing.publish import GIVE_UP_AFTER, NAMED_FAILURES
from s3kit.storages.media import MediaStorage

# Small files are limited by the way to S3 and back, large ones by the line and by memory.
CONCURRENCY = 32
LARGE = 8 * 1024 * 1024  # bytes: from here on a file goes up in parts of this size
CONCURRENCY_LARGE = 4
AHEAD = 4  # tasks that wait for each that runs: a million files are not a million tasks

SHA256 = "sha256"  # the metadata's name, as for static files


class PushError(Exception):
    """Nothing could be copied. The message is one line for people: what happened, and the cure."""


class File(NamedTuple):
    """A local file: its name as rows have it, which is its path in the folder, and its size in bytes."""

    name: str
    size: int


class TroubleError(Exception):
    """Why a file was not copied, in a few words for people."""


class ConflictError(TroubleError):
    """What is in the bucket differs from the file."""


@dataclass
class Report:
    """What a run did, or with `dry_run` would do. Bytes are those of the files that were sent."""

    bucket: str
    dry_run: bool
    verify: bool
    files: int = 0
    uploaded: int = 0
    unchanged: int = 0
    verified: int = 0
    bytes: int = 0
    conflicts: int = 0
    given_up: bool = False
    troubles: dict[str, str] = field(default_factory=dict)
    """By name: what was not copied and why, and what is in the bucket and differs."""
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0

    def as_text(self) -> str:
        """Return the closing line."""
        verb = "to upload" if self.dry_run else "uploaded"
        verified = f", {self.verified:,} read back and the same" if self.verify else ""
        return (
            f"{self.files:,} files: {self.uploaded:,} {verb}, {self.unchanged:,} unchanged{verified},"
            f" {len(self.troubles):,} not right; {self.bytes:,} bytes in {self.seconds:.1f} s."
        )

    def as_json(self) -> str:
        """Return the report for machines."""
        found = {name: value for name, value in vars(self).items() if name not in {"started", "troubles"}}
        return json.dumps(found | {"troubles": dict(sorted(self.troubles.items()))}, indent=2)

    def failures(self) -> str:
        """Return what is not right, "" for nothing: the first NAMED_FAILURES by name, and the cure."""
        if not self.troubles:
            return ""
        count = len(self.troubles)
        lines = [
            f"{count:,} {'file is' if count == 1 else 'files are'} not in {self.bucket} as in the folder:"
        ]
        lines += [f"  {_shown(name)}: {why}" for name, why in sorted(self.troubles.items())[:NAMED_FAILURES]]
        if count > NAMED_FAILURES:
            lines.append(f"  and {count - NAMED_FAILURES:,} more")
        if self.given_up:
            lines.append("The others were not tried.")
        if self.conflicts:
            lines.append("What differs was not overwritten: --overwrite replaces it by the local file.")
        else:
            lines.append("What is in the bucket is not sent again: another run does the rest.")
        return "\n".join(lines)


def push(
    source: Path,
    *,
    dry_run: bool = False,
    overwrite: bool = False,
    verify: bool = False,
    progress: Progress,
) -> Report:
    """Copy the files of a folder to the media bucket, and with `verify` read back every one.

    With `dry_run` nothing is written; `verify` then compares what is there. With `overwrite` objects that
    differ are replaced. What single files met is in the report. Raises PushError where there is no such
    folder or S3 can't be asked, and ImproperlyConfigured where settings are missing.
    """
    if not source.is_dir():
        raise PushError(f"{source} is no folder: name that of the uploads with --source.")
    run = _Push(source, dry_run=dry_run, overwrite=overwrite, verify=verify, progress=progress)
    try:
        return run.run()
    except (ClientError, BotoCoreError) as error:
        raise PushError(errors.explain(error, run.report.bucket, role="web")) from error


class _Push:
    def __init__(
        self, source: Path, *, dry_run: bool, overwrite: bool, verify: bool, progress: Progress
    ) -> None:
        self.source = source.resolve()
        self.dry_run, self.overwrite, self.verify = dry_run, overwrite, verify
        self.progress = progress
        self.storage = MediaStorage()  # of the settings, whether or not USE_S3 is on
        self.bucket = {"Bucket": str(self.storage.bucket_name), **clients.owner_arguments()}
        self.report = Report(self.storage.bucket_name, dry_run, verify)
        self.s3 = clients.client()

    def run(self) -> Report:
        report, listed = self.report, self._list()
        files = list(self._files(self.source, (self.source,)))
        report.files = len(files) + len(report.troubles)
        self._each(files, lambda file: self._settle(file, listed.get(_key(file))))
        if not (self.dry_run or report.given_up):
            self._compare(files)
        if self.verify and not report.given_up:
            self._each([file for file in files if file.name not in report.troubles], self._read_back)
        report.seconds = round(time.monotonic() - report.started, 1)
        return report

    def _list(self) -> dict[str, int]:
        """Return the sizes of the objects by key, a request for each 1,000."""
        pages = self.s3.get_paginator("list_objects_v2")
        return {
            entry["Key"]: entry["Size"]
            for page in pages.paginate(**self.bucket, Prefix=clients.MEDIA_PREFIX)
            for entry in page.get("Contents", ())
        }

    # The folder

    def _files(self, folder: Path, above: tuple[Path, ...]) -> Iterator[File]:
        """Yield the files in a folder that can be copied; the others are troubles. `above` leads to it."""
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self._tell(folder, f"can't be read: {error.strerror}")
            return
        for entry in entries:
            path = Path(entry.path)
            try:
                yield from self._look(path, above)
            except TroubleError as trouble:
                self._tell(path, str(trouble))
            except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
                self._tell(path, f"can't be read: {getattr(error, 'strerror', None) or error}")

    def _look(self, path: Path, above: tuple[Path, ...]) -> Iterator[File]:
        real = path.resolve(strict=True)
        if not real.is_relative_to(self.source):
            raise TroubleError("a link that leaves the folder")
        found = real.stat()
        if stat.S_ISDIR(found.st_mode):
            if real in above:
                raise TroubleError("a link to a folder that it is in")
            yield from self._files(path, (*above, real))
        elif stat.S_ISREG(found.st_mode):
            name = path.relative_to(self.source).as_posix()
            self._check(name)
            yield File(name, found.st_size)
        else:
            raise TroubleError("no file: a socket, a pipe or a device")

    def _check(self, name: str) -> None:
        """Raise TroubleError for a name that the site could not ask for."""
        try:
            key = self.storage.key(name)
        except SuspiciousFileOperation as error:
            raise TroubleError(str(error)) from None
        if key != clients.MEDIA_PREFIX + name:
            raise TroubleError(f"the site would look for {key}: rename it, also in the row")

    def _tell(self, path: Path, trouble: str) -> None:
        self.report.troubles[path.relative_to(self.source).as_posix()] = trouble

    # The tasks

    def _each(self, files: Iterable[File], do: Callable[[File], str]) -> None:
        """Do it to every file, many at a time; show what it returns, and note what goes wrong."""
        todo = list(files)
        running: dict[Future[str], File] = {}
        failed = done = 0
        with ThreadPoolExecutor(CONCURRENCY) as small, ThreadPoolExecutor(CONCURRENCY_LARGE) as large:
            try:
                for file in todo:
                    running[(large if file.size >= LARGE else small).submit(do, file)] = file
                    if len(running) < AHEAD * CONCURRENCY:
                        continue
                    done, failed = self._note(running, done, failed, len(todo))
                    if failed >= GIVE_UP_AFTER:
                        self.report.given_up = True
                        break
                while running and not self.report.given_up:
                    done, failed = self._note(running, done, failed, len(todo))
            finally:  # also on Ctrl-C
                small.shutdown(wait=False, cancel_futures=True)
                large.shutdown(wait=False, cancel_futures=True)

    def _note(self, running: dict[Future[str], File], done: int, failed: int, total: int) -> tuple[int, int]:
        """Take what is done out of the running; return how many are done, and have failed by S3's doing."""
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            file, done = running.pop(future), done + 1
            try:
                said = future.result()
                self._count(file, said)
            except TroubleError as trouble:
                said = self.report.troubles[file.name] = str(trouble)
                self.report.conflicts += isinstance(trouble, ConflictError)
            except ClientError as error:
                failed += 1
                said = self.report.troubles[file.name] = str(error.response["Error"]["Code"])
            except BotoCoreError as error:
                failed += 1
                said = self.report.troubles[file.name] = " ".join(str(error).split())
            except OSError as error:
                said = self.report.troubles[file.name] = f"can't be read: {error.strerror}"
            self.progress(done, total, f"{_shown(file.name)}: {said}")
        return done, failed

    def _count(self, file: File, said: str) -> None:
        report = self.report
        report.unchanged += said == _UNCHANGED
        report.verified += said == _SAME
        if said in {_UPLOADED, _TO_UPLOAD}:
            report.uploaded += 1
            report.bytes += file.size

    def _settle(self, file: File, size: int | None) -> str:
        """Copy a file if it is needed; `size` is that of the object, None for none."""
        digest, before = self._digest(file)
        wanted = self.storage.write_parameters(_key(file))
        if size is not None:
            difference = f"{size:,} bytes in the bucket, {file.size:,} here"
            if size == file.size:
                difference = self._difference(file, digest, wanted)
            if not difference:
                return _UNCHANGED
            if not self.overwrite:
                raise ConflictError(difference)
        if self.dry_run:
            return _TO_UPLOAD
        said = self._send(file, digest, wanted, create=size is None)
        if before != self._state(file) or before[0] != file.size:
            raise TroubleError("changed while it was copied")
        return said

    def _difference(self, file: File, digest: str, wanted: dict[str, Any]) -> str:
        """Return what is wrong with an object of the file's size, "" for nothing."""
        there = self.s3.head_object(**self.bucket, Key=_key(file))
        if (there["Metadata"].get(SHA256) or self._digest_there(file)) != digest:
            return "other content in the bucket"
        for name in ("ContentType", "ContentDisposition", "CacheControl"):
            if there.get(name) != wanted.get(name):
                return f"the same content, but {name} is {there.get(name)!r} and not {wanted.get(name)!r}"
        return ""

    def _send(self, file: File, digest: str, wanted: dict[str, Any], *, create: bool) -> str:
        """Upload a file; with `create` only where nothing is, as far as S3 can be told so."""
        arguments = wanted | {"Metadata": wanted.get("Metadata", {}) | {SHA256: digest}}
        with (self.source / file.name).open("rb") as content:
            if file.size >= LARGE:  # in parts, whose upload takes no condition
                owner = clients.owner_arguments()
                self.s3.upload_fileobj(
                    content,
                    self.bucket["Bucket"],
                    _key(file),
                    ExtraArgs=arguments | owner,
                    Config=self.storage.transfer_config,
                )
                return _UPLOADED
            condition = {"IfNoneMatch": "*"} if create else {}
            try:
                self.s3.put_object(**self.bucket, Key=_key(file), Body=content, **arguments, **condition)
            except ClientError as error:
                if error.response["Error"]["Code"] != "PreconditionFailed":
                    raise
                # Somebody else put it there since the listing, or a try of ours whose answer was lost.
                if difference := self._difference(file, digest, wanted):
                    raise ConflictError(difference) from None
        return _UPLOADED

    def _compare(self, files: list[File]) -> None:
        """Note what a new listing does not have as the folder has it."""
        listed = self._list()
        for file in files:
            size = listed.get(_key(file))
            if size != file.size and file.name not in self.report.troubles:
                self.report.troubles[file.name] = (
                    "not in the bucket after all" if size is None else f"{size:,} bytes in the bucket"
                )

    def _read_back(self, file: File) -> str:
        if self._digest_there(file) != self._digest(file)[0]:
            raise ConflictError("other content in the bucket")
        return _SAME

    def _digest_there(self, file: File) -> str:
        """Return the SHA-256 of the object's bytes, read back."""
        answer, digest = self.s3.get_object(**self.bucket, Key=_key(file)), hashlib.sha256()
        for chunk in answer["Body"].iter_chunks(CHUNK):
            digest.update(chunk)
        return digest.hexdigest()

    def _digest(self, file: File) -> tuple[str, tuple[int, int]]:
        """Return a file's SHA-256, and the state in which it had it."""
        before = self._state(file)
        with (self.source / file.name).open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest(), before

    def _state(self, file: File) -> tuple[int, int]:
        found = (self.source / file.name).stat()
        return found.st_size, found.st_mtime_ns


# What tasks say when all is well.
_UPLOADED, _TO_UPLOAD, _UNCHANGED, _SAME = "uploaded", "to upload", "unchanged", "the same"


def _key(file: File) -> str:
    return clients.MEDIA_PREFIX + file.name


def _shown(name: str) -> str:
    """Return a name that is fit for a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
