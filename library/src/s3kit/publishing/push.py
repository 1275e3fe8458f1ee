"""Copy the uploads of an existing project from a local folder to a media storage: `manage.py s3 push`.

`photos/a.jpg` in the folder becomes `photos/a.jpg` in the storage: database rows have these names, so they don't
change. Headers and ACL are those that MediaStorage gives to a file of that name.

A listing shows what the bucket has. Missing files are uploaded, on condition that they are still missing. Files of the
same size are compared by the SHA-256 in the object's metadata, or, if another program uploaded the object, by reading
it. A difference is a conflict: the object stays unless `overwrite` is on. A second listing shows whether all files have
arrived. The local folder is only read.

Other programs may write to the folder at the same time. So a file is opened from the folder down without following
symbolic links: a link that replaces a file or a folder after the scan is an error.
"""

import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError
from django.core.exceptions import SuspiciousFileOperation

from s3kit import clients, errors
from s3kit.progress import Progress, Report, listed
from s3kit.publishing.collect import CHUNK
from s3kit.publishing.publish import GIVE_UP_AFTER
from s3kit.storages.media import MediaStorage

# Latency limits small files; bandwidth and memory limit large ones.
CONCURRENCY = 32
LARGE = 8 * 1024 * 1024  # bytes: files of this size or more are uploaded in parts of this size
CONCURRENCY_LARGE = 4
AHEAD = 4  # queued tasks for each running one, so that a million files aren't a million tasks

RETRY_PAUSES = (0.1, 0.5, 2)  # seconds
_CAN_DESCEND = os.open in os.supports_dir_fd  # not on Windows

SHA256 = "sha256"  # the metadata's name, the same as for static files


class PushError(errors.StoppedError):
    """The folder could not be copied."""


class File(NamedTuple):
    """A local file: its name, which is its path in the folder, and its size in bytes.

    `real` is the path in the folder with symbolic links resolved.
    """

    name: str
    size: int
    real: Path


class FileError(Exception):
    """A file was not copied; the message says why in a few words."""


class ConflictError(FileError):
    """The object in the bucket differs from the file."""


@dataclass
class PushReport(Report):
    """The result of a run, or with `dry_run` what it would do. `bytes` are those of the uploaded files."""

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
    errors: dict[str, str] = field(default_factory=dict)
    """Why a file was not copied, or how the object differs, by name."""
    fix: str = ""
    """The explanation and the fix for the first file that S3 rejected."""
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0

    def as_text(self) -> str:
        """Return the summary line."""
        verb = "to upload" if self.dry_run else "uploaded"
        verified = f", {self.verified:,} read back and the same" if self.verify else ""
        return (
            f"{self.files:,} files: {self.uploaded:,} {verb}, {self.unchanged:,} unchanged{verified},"
            f" {len(self.errors):,} failed; {self.bytes:,} bytes in {self.seconds:.1f} s."
        )

    def failures(self) -> str:
        """Return what failed, "" if nothing did."""
        if not self.errors:
            return ""
        count = len(self.errors)
        files = "file differs or is" if count == 1 else "files differ or are"
        end = ["The others were not tried."] if self.given_up else []
        end += [self.fix] if self.fix else []
        if self.conflicts:
            end.append(
                "Objects that differ were not overwritten: --overwrite replaces them with the local files."
            )
        else:
            end.append("Run the command again: it skips files that are already in the bucket.")
        return listed(f"{count:,} {files} missing in {self.bucket}:", self.errors.items(), *end)


def push(
    source: Path,
    storage: MediaStorage,
    *,
    dry_run: bool = False,
    overwrite: bool = False,
    verify: bool = False,
    progress: Progress,
) -> PushReport:
    """Copy the files in a folder to a storage, and with `verify` read every one back.

    With `dry_run`, nothing is written, and `verify` compares existing objects. With `overwrite`, objects that differ
    are replaced. Errors of single files are in the report. Raises PushError if the folder doesn't exist or S3 doesn't
    respond.
    """
    if not source.is_dir():
        raise PushError(f"{source} is not a folder: set --source to the folder of the uploads.")
    run = _Push(source, storage, dry_run=dry_run, overwrite=overwrite, verify=verify, progress=progress)
    try:
        return run.run()
    except (ClientError, BotoCoreError) as error:
        raise PushError(errors.explain(error, run.report.bucket, role="web")) from error


class _Push:
    def __init__(
        self,
        source: Path,
        storage: MediaStorage,
        *,
        dry_run: bool,
        overwrite: bool,
        verify: bool,
        progress: Progress,
    ) -> None:
        self.source = source.resolve()
        self.root = -1  # its file descriptor
        self.dry_run, self.overwrite, self.verify = dry_run, overwrite, verify
        self.progress = progress
        self.storage, target = storage, storage.target
        self.owner = clients.owner_arguments(target)
        self.bucket = {"Bucket": storage.named_bucket, **self.owner}
        self.report = PushReport(storage.named_bucket, dry_run, verify)
        self.s3 = clients.command(target)

    def run(self) -> PushReport:
        if _CAN_DESCEND:
            self.root = os.open(self.source, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return self._run()
        finally:
            if _CAN_DESCEND:
                os.close(self.root)

    def _run(self) -> PushReport:
        report, there = self.report, self._list()
        files = list(self._files(self.source, (self.source,)))
        report.files = len(files) + len(report.errors)
        self._for_each(files, lambda file: self._process(file, there.get(self._key(file))))
        if not (self.dry_run or report.given_up):
            self._compare(files)
        if self.verify and not report.given_up:
            self._for_each([file for file in files if file.name not in report.errors], self._read_back)
        report.seconds = round(time.monotonic() - report.started, 1)
        return report

    def _list(self) -> dict[str, int]:
        """Return the sizes of the objects by key, with one request for each 1,000."""
        pages = self.s3.get_paginator("list_objects_v2")
        return {
            entry["Key"]: entry["Size"]
            for page in pages.paginate(**self.bucket, Prefix=self.storage.location)
            for entry in page.get("Contents", ())
        }

    def _key(self, file: File) -> str:
        return str(self.storage.location) + file.name

    # The folder

    def _files(self, folder: Path, above: tuple[Path, ...]) -> Iterator[File]:
        """Yield the files in a folder that can be copied; record errors of the others. `above` are its parents."""
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self._note_error(folder, f"can't be read: {error.strerror}")
            return
        for entry in entries:
            path = Path(entry.path)
            try:
                yield from self._scan(path, above)
            except FileError as error:
                self._note_error(path, str(error))
            except (OSError, RuntimeError) as error:  # RuntimeError: links in a cycle
                self._note_error(path, f"can't be read: {getattr(error, 'strerror', None) or error}")

    def _scan(self, path: Path, above: tuple[Path, ...]) -> Iterator[File]:
        real = path.resolve(strict=True)
        if not real.is_relative_to(self.source):
            raise FileError("a link to outside the folder")
        found = real.stat()
        if stat.S_ISDIR(found.st_mode):
            if real in above:
                raise FileError("a link to a parent folder")
            yield from self._files(path, (*above, real))
        elif stat.S_ISREG(found.st_mode):
            name = path.relative_to(self.source).as_posix()
            self._check(name)
            yield File(name, found.st_size, real.relative_to(self.source))
        else:
            raise FileError("not a regular file, but a socket, a pipe, or a device")

    def _check(self, name: str) -> None:
        """Raise FileError if the site would not find the file under this name."""
        try:
            key = self.storage.key(name)
        except SuspiciousFileOperation as error:
            raise FileError(str(error)) from None
        if key != self.storage.location + name:
            raise FileError(f"the site would look for {key}: rename the file, and update its database row")

    def _note_error(self, path: Path, error: str) -> None:
        self.report.errors[path.relative_to(self.source).as_posix()] = error

    # The tasks

    def _for_each(self, files: Iterable[File], do: Callable[[File], str]) -> None:
        """Call `do` for each file, many at a time; show what it returns, and record errors."""
        todo = list(files)
        running: dict[Future[str], File] = {}
        failed = done = 0
        with ThreadPoolExecutor(CONCURRENCY) as small, ThreadPoolExecutor(CONCURRENCY_LARGE) as large:
            try:
                for file in todo:
                    running[(large if file.size >= LARGE else small).submit(do, file)] = file
                    if len(running) < AHEAD * CONCURRENCY:
                        continue
                    done, failed = self._collect(running, done, failed, len(todo))
                    if failed >= GIVE_UP_AFTER:
                        self.report.given_up = True
                        break
                while running and not self.report.given_up:
                    done, failed = self._collect(running, done, failed, len(todo))
            finally:  # also on Ctrl-C
                small.shutdown(wait=False, cancel_futures=True)
                large.shutdown(wait=False, cancel_futures=True)

    def _collect(
        self, running: dict[Future[str], File], done: int, failed: int, total: int
    ) -> tuple[int, int]:
        """Remove finished tasks from `running`; return how many are done, and how many S3 has rejected."""
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            file, done = running.pop(future), done + 1
            try:
                said = future.result()
                self._count(file, said)
            except FileError as error:
                said = self.report.errors[file.name] = str(error)
                self.report.conflicts += isinstance(error, ConflictError)
            except (ClientError, BotoCoreError) as error:
                failed += 1
                said = self.report.errors[file.name] = " ".join(errors.reason(error).split())
                self.report.fix = self.report.fix or errors.explain(error, self.report.bucket, role="web")
            except OSError as error:
                said = self.report.errors[file.name] = f"can't be read: {error.strerror}"
            self.progress(done, total, f"{file.name}: {said}")
        return done, failed

    def _count(self, file: File, said: str) -> None:
        report = self.report
        report.unchanged += said == _UNCHANGED
        report.verified += said == _SAME
        if said in {_UPLOADED, _TO_UPLOAD}:
            report.uploaded += 1
            report.bytes += file.size

    def _process(self, file: File, size: int | None) -> str:
        """Copy a file if necessary; `size` is the object's, None if it doesn't exist."""
        with self._open(file) as content:
            before = _state(content)
            said = self._process_open(file, content, size)
        with self._open(file) as content:
            if before != _state(content) or before[0] != file.size:
                raise FileError("changed while it was being copied")
        return said

    def _process_open(self, file: File, content: BufferedReader, size: int | None) -> str:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
        wanted = self.storage.write_parameters(self._key(file))
        if size is not None:
            difference = f"{size:,} bytes in the bucket, {file.size:,} locally"
            if size == file.size:
                difference = self._difference(file, digest, wanted)
            if not difference:
                return _UNCHANGED
            if not self.overwrite:
                raise ConflictError(difference)
        if self.dry_run:
            return _TO_UPLOAD
        if size is None:
            return self._create(file, content, digest, wanted)
        return self._send(self.s3, file, content, digest, wanted)

    def _difference(self, file: File, digest: str, wanted: dict[str, Any]) -> str:
        """Return how an object of the file's size differs from the file, "" if it doesn't."""
        there = self.s3.head_object(**self.bucket, Key=self._key(file))
        if (there["Metadata"].get(SHA256) or self._digest_there(file)) != digest:
            return "different content in the bucket"
        for name in ("ContentType", "ContentDisposition", "CacheControl"):
            if there.get(name) != wanted.get(name):
                return f"the same content, but {name} is {there.get(name)!r}, not {wanted.get(name)!r}"
        return ""

    def _create(self, file: File, content: BufferedReader, digest: str, wanted: dict[str, Any]) -> str:
        """Upload a file if no object exists, which S3 ensures unless its provider has no conditional writes."""
        target = self.storage.target
        s3 = self.s3 if target.provider.conditional_writes is False else clients.creating(target)
        for pause in RETRY_PAUSES:
            try:
                return self._send(s3, file, content, digest, wanted)
            except ClientError as error:
                if not errors.is_taken(error):
                    raise
            # Another program has uploaded it since the listing, or an earlier attempt whose response was lost.
            try:
                difference = self._difference(file, digest, wanted)
            except ClientError as error:
                if error.response["Error"]["Code"] != "404":
                    raise
                time.sleep(pause)  # another upload is in progress
            else:
                if difference:
                    raise ConflictError(difference)
                return _UPLOADED
        raise FileError("another program is uploading it: try again")

    def _send(self, s3: Any, file: File, content: BufferedReader, digest: str, wanted: dict[str, Any]) -> str:
        arguments = wanted | {"Metadata": wanted.get("Metadata", {}) | {SHA256: digest}}
        content.seek(0)
        if file.size >= LARGE:
            s3.upload_fileobj(
                content,
                self.bucket["Bucket"],
                self._key(file),
                ExtraArgs=arguments | self.owner,
                Config=self.storage.transfer_config,
            )
        else:
            s3.put_object(**self.bucket, Key=self._key(file), Body=content, **arguments)
        return _UPLOADED

    def _compare(self, files: list[File]) -> None:
        """Record files that a new listing lacks or has with another size."""
        there = self._list()
        for file in files:
            size = there.get(self._key(file))
            if size != file.size and file.name not in self.report.errors:
                self.report.errors[file.name] = (
                    "missing in the bucket after the upload"
                    if size is None
                    else f"{size:,} bytes in the bucket"
                )

    def _read_back(self, file: File) -> str:
        with self._open(file) as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        if self._digest_there(file) != digest:
            raise ConflictError("different content in the bucket")
        return _SAME

    def _digest_there(self, file: File) -> str:
        """Return the SHA-256 of the object's bytes, read back."""
        response, digest = self.s3.get_object(**self.bucket, Key=self._key(file)), hashlib.sha256()
        for chunk in response["Body"].iter_chunks(CHUNK):
            digest.update(chunk)
        return digest.hexdigest()

    @contextmanager
    def _open(self, file: File) -> Iterator[BufferedReader]:
        """Open a file that the scan found; raise FileError if a link has replaced it or a parent folder since."""
        try:
            descriptor = self._descend(file.real)
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.ENOTDIR}:
                raise FileError("replaced with a link since the folder was listed") from None
            raise
        with os.fdopen(descriptor, "rb") as content:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise FileError("no longer a regular file")
            yield content

    def _descend(self, real: Path) -> int:
        """Return the file descriptor of a path in the folder, without following any link."""
        if not _CAN_DESCEND:
            path = self.source / real
            if path.resolve() != path:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        *folders, name = real.parts
        at = os.dup(self.root)
        try:
            for folder in folders:
                below = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
                os.close(at)
                at = below
            # Without O_NONBLOCK, opening a pipe would wait for its writer.
            return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
        finally:
            os.close(at)


def _state(content: BufferedReader) -> tuple[int, int, int]:
    """Return values that change when a file is modified or replaced."""
    found = os.fstat(content.fileno())
    return found.st_size, found.st_mtime_ns, found.st_ino


# What successful tasks return.
_UPLOADED, _TO_UPLOAD, _UNCHANGED, _SAME = "uploaded", "to upload", "unchanged", "the same"
