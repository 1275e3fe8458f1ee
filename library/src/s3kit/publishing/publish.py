"""Upload the collected static files in an order that never breaks the live site.

A listing of the bucket and the live manifest show what is missing. Hashed names are uploaded first, then plain names,
and the manifest last. No object is ever deleted, and no hashed object is replaced while its content is right. If a run
fails or is killed, the old manifest stays live, and the next run uploads the rest. A copy of each manifest is stored
before it goes live: see `s3kit.publishing.history`.

Whether an object is right depends on:
- its fingerprint in the live manifest, if the listing shows the ETag that is recorded with it. The ETag is only a token
  that shows whether another program has replaced the object. It is never compared with a computed hash, because the
  output of gzip differs between builds of zlib, and with KMS an ETag isn't a hash.
- without a record, as after a run that was killed: the object's headers and its content, which is downloaded. The
  SHA-256 in its metadata isn't proof, because anyone who can write the object can write that too.
"""

import gzip
import hashlib
import io
import json
import logging
import mimetypes
import re
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple

from botocore.exceptions import ClientError

from s3kit import clients, errors
from s3kit.deployment import Location
from s3kit.progress import Progress, listed
from s3kit.publishing import history
from s3kit.publishing.collect import CHUNK, Source, Stage

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.store import S3Store

    from s3kit.storages.static import StaticStorage

IMMUTABLE = "public, max-age=31536000, immutable"
# The content under a plain name can change; pages may be five minutes behind.
SHORT = "public, max-age=300"
NO_CACHE = "no-cache"

# Latency limits small files; bandwidth and memory limit large ones.
CONCURRENCY = 64
LARGE = 1024 * 1024  # bytes: files of this size or more are streamed from disk, CONCURRENCY_LARGE at a time
CONCURRENCY_LARGE = 2
PART = 8 * 1024 * 1024  # bytes: larger files are uploaded in parts of this size, PARTS_AT_ONCE at a time
PARTS_AT_ONCE = 2
RETRY_PAUSES = (0.1, 0.5, 2)  # seconds
GIVE_UP_AFTER = 50  # failures
POLL_INTERVAL = 0.5  # seconds between checks for a running prune

# Types that browsers are strict about, or that differ between Python versions. All others are from Python's own table,
# never from the machine's mime.types.
CONTENT_TYPES = {
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".css": "text/css",
    ".csv": "text/csv",
    ".eot": "application/vnd.ms-fontobject",
    ".geojson": "application/geo+json",
    ".htm": "text/html",
    ".html": "text/html",
    ".ico": "image/vnd.microsoft.icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".jsonld": "application/ld+json",
    ".m4a": "audio/mp4",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".mp4": "video/mp4",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".ogv": "video/ogg",
    ".opus": "audio/ogg",
    ".otf": "font/otf",
    ".rss": "application/rss+xml",
    ".svg": "image/svg+xml",
    ".svgz": "image/svg+xml",
    ".ttc": "font/collection",
    ".ttf": "font/ttf",
    ".txt": "text/plain",
    ".vtt": "text/vtt",
    ".wasm": "application/wasm",
    ".weba": "audio/webm",
    ".webm": "video/webm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xhtml": "application/xhtml+xml",
    ".xml": "application/xml",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}
_python_types = mimetypes.MimeTypes()
_TEXT = re.compile(r"text/.*|.*[/+](json|xml|yaml)")

_log = logging.getLogger(__name__)


class PublishError(errors.StoppedError):
    """Static files could not be published."""


def content_type(name: str) -> str:
    """Return the Content-Type for a file name, the same on every machine; text is UTF-8."""
    suffix = PurePosixPath(name).suffix.lower()
    found = CONTENT_TYPES.get(suffix)
    if found is None:
        guessed, encoding = _python_types.guess_type(f"file{suffix}")
        found = "application/octet-stream" if encoding or not guessed else guessed
    return f"{found}; charset=utf-8" if found.startswith("text/") else found


class _TakenError(Exception):
    """An object of that name exists, or is being uploaded."""


class Headers(NamedTuple):
    """How an object is stored.

    `encoding`: "gzip" compresses the file if that makes it smaller; "gzipped" means it is already compressed.
    """

    content_type: str
    cache_control: str
    encoding: Literal["", "gzip", "gzipped"]

    @classmethod
    def of(cls, name: str, cache_control: str, *, compress: bool = True) -> "Headers":
        """Return the headers for a name; `compress` is off behind a CDN, which compresses better."""
        kind = content_type(name)
        if name.lower().endswith(".svgz"):
            return cls(kind, cache_control, "gzipped")
        return cls(kind, cache_control, "gzip" if compress and _TEXT.fullmatch(kind) else "")


class Stored(NamedTuple):
    """An object in the bucket: its stored (maybe compressed) size in bytes, and its ETag."""

    size: int
    etag: str | None


@dataclass
class Item:
    """An object to publish: its name below the prefix, its content, and its headers.

    `state`: "right" needs nothing, "missing" and "outdated" need an upload, with "unclear" the object must be read.
    """

    name: str
    source: Source
    headers: Headers
    immutable: bool
    prehashed: bool = False
    """Whether a bundler made the name from the content."""
    state: Literal["right", "missing", "outdated", "unclear"] = "missing"
    stored: Stored | None = None

    @property
    def fingerprint(self) -> str:
        """Return a hash of the content and, for a plain name, of the headers.

        Compression differs between deploys with and without a CDN, which is no reason to replace a hashed object.
        """
        parts = (self.source.digest,) if self.immutable else (self.source.digest, *self.headers)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


@dataclass
class Live:
    """The content of the bucket: objects by their name below the prefix, and the manifest, {} if there is none."""

    objects: dict[str, Stored]
    manifest: dict[str, Any]
    written: datetime | None = None

    @property
    def names(self) -> set[str]:
        """Return the names in the manifest."""
        try:
            return history.names(self.manifest)
        except ValueError:
            return set()

    @property
    def has_copy(self) -> bool:
        """Return whether the bucket has a copy of the manifest."""
        digest = history.hash_of(self.manifest)
        return any(history.hash_in(name) == digest for name in self.objects)

    def classify(self, item: Item) -> None:
        """Set the item's state."""
        records = self.manifest.get("s3", {}).get("hashed" if item.immutable else "plain", {})
        stored = item.stored = self.objects.get(item.name)
        match records.get(item.name):
            case _ if stored is None:
                item.state = "missing"
            case [fingerprint, str(etag)] if etag == stored.etag:
                item.state = "right" if fingerprint == item.fingerprint else "outdated"
            case _:  # no record, one of an older version, or another program has replaced the object
                item.state = "unclear"


@dataclass
class Summary:
    """The result of a run, or with `dry_run` what it would do. `bytes` are those sent."""

    files: int
    dry_run: bool
    uploaded: int = 0
    unchanged: int = 0
    bytes: int = 0
    manifest: Literal["unchanged", "new", "none"] = "unchanged"
    started: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        verb = "to upload" if self.dry_run else "uploaded"
        return (
            f"{self.files:,} files as {self.uploaded + self.unchanged:,} objects: {self.uploaded:,} {verb}, "
            f"{self.unchanged:,} unchanged, {self.bytes:,} bytes in {time.monotonic() - self.started:.1f} s; "
            f"manifest: {self.manifest}."
        )


def planned(stage: Stage, paths: dict[str, str], *, compress: bool = True) -> list[Item]:
    """Return the objects to publish for the collected files, hashed ones first.

    `paths` maps plain names to final names; intermediate files of post-processing are left out.
    """

    def item(name: str, source: Source, cache_control: str) -> Item:
        headers = Headers.of(name, cache_control, compress=compress)
        return Item(name, source, headers, cache_control == IMMUTABLE, prehashed=name in stage.prehashed)

    # If a storage's file_hash returns None for a file, the file keeps its name and isn't immutable.
    hashed = {final for name, final in paths.items() if final != name or name in stage.prehashed}
    items = [item(name, stage.source(name), IMMUTABLE) for name in sorted(hashed)]
    for name in sorted(stage.plain.keys() - hashed):
        source = stage.source(name) if paths.get(name) == name else stage.plain[name]
        items.append(item(name, source, SHORT))
    return items


def replaced(manifest: dict[str, Any], etags: Mapping[str, str]) -> set[str]:
    """Return the names whose ETag in a listing differs from the one in the manifest."""
    records = manifest.get("s3", {})
    recorded = [*records.get("hashed", {}).items(), *records.get("plain", {}).items()]
    # Older versions recorded only the size of a hashed file.
    return {name for name, record in recorded if isinstance(record, list) and etags.get(name) != record[1]}


def read_live(location: Location, manifest_name: str) -> Live:
    """Return the content of the bucket: one request for each 1,000 objects, and one for the manifest.

    Raises PublishError if there are no credentials, no bucket, or no permission to list it.
    """
    with _explain_errors(location):
        store = clients.obstore_store(location.target, location.bucket)
        with ThreadPoolExecutor(1) as pool:
            manifest = pool.submit(_live_manifest, store, location, manifest_name)
            objects = _listed(store, location)
            return Live(objects, *manifest.result())


def _listed(store: "S3Store", location: Location) -> dict[str, Stored]:
    import obstore
    from obstore.exceptions import InvalidPathError

    try:
        return {
            meta["path"].removeprefix(location.prefix): Stored(meta["size"], _token(meta["e_tag"]))
            for batch in obstore.list(store, location.prefix, chunk_size=1000)
            for meta in batch
        }
    except InvalidPathError:
        return _listed_by_boto3(location)


def _listed_by_boto3(location: Location) -> dict[str, Stored]:
    """Return the objects of a bucket with keys that obstore can't read, such as `static//x`."""
    pages = clients.command(location.target).get_paginator("list_objects_v2")
    owner = clients.owner_arguments(location.target)
    return {
        meta["Key"].removeprefix(location.prefix): Stored(meta["Size"], _token(meta["ETag"]))
        for page in pages.paginate(Bucket=location.bucket, Prefix=location.prefix, **owner)
        for meta in page.get("Contents", ())
    }


def _live_manifest(store: "S3Store", location: Location, name: str) -> tuple[dict[str, Any], datetime | None]:
    import obstore

    with _explain_errors(location, "GetObject"):
        try:
            response = obstore.get(store, location.prefix + name)
            found = json.loads(bytes(response.bytes()))
        except (FileNotFoundError, ValueError):  # missing or invalid: publish everything
            return {}, None
    return (found, response.meta["last_modified"]) if isinstance(found, dict) else ({}, None)


def _token(etag: str | None) -> str | None:
    return etag.strip('"') if etag else None


class Publisher:
    """A run that reads the content of the bucket in the background while Django collects, and then uploads."""

    def __init__(self, storage: "StaticStorage") -> None:
        self.location = storage.described("staticfiles")
        self.manifest_name = storage.manifest_name
        self._pool = ThreadPoolExecutor(1)
        self._live = self._pool.submit(read_live, self.location, self.manifest_name)
        self._started = time.monotonic()

    def publish(self, stage: Stage, *, dry_run: bool = False, progress: Progress) -> Summary:
        """Upload the staged files that the bucket lacks; with `dry_run` only count them.

        Raises PublishError with the files that failed and S3's error code; the manifest isn't written then.
        """
        live = self._live.result()
        manifest = None
        if self.manifest_name in stage.derived:
            manifest = json.loads(stage.derived.pop(self.manifest_name).body)  # type: ignore[arg-type]
        paths = manifest["paths"] if manifest else {}
        items = planned(stage, paths, compress=not self.location.custom_domain)
        for item in items:
            live.classify(item)

        summary = Summary(files=len(stage.plain), dry_run=dry_run, started=self._started)
        total = sum(item.state != "right" for item in items)
        upload = _Upload(self.location, summary, progress, total)
        upload.run([item for item in items if item.immutable])
        upload.run([item for item in items if not item.immutable])

        if manifest is None:
            summary.manifest = "unchanged" if live.manifest else "none"
            return summary
        _record(manifest, items)
        if manifest != live.manifest:
            summary.manifest = "new"
            if not dry_run:
                upload.copies(manifest, live)
                unnamed = live.objects.keys() - live.names
                if upload.rescue([item for item in items if item.name in unnamed]):
                    _record(manifest, items)
                # This makes the new files live.
                upload.write(self.manifest_name, manifest, {"Cache-Control": NO_CACHE})
        return summary


def _record(manifest: dict[str, Any], items: list[Item]) -> None:
    """Add the records that the next deploy compares with to the manifest."""
    records: dict[str, dict[str, Any]] = {"hashed": {}, "plain": {}}
    for item in items:
        if item.stored:
            records["hashed" if item.immutable else "plain"][item.name] = [item.fingerprint, item.stored.etag]
    manifest["s3"] = records


class _Upload:
    """The uploads of a run."""

    def __init__(self, location: Location, summary: Summary, progress: Progress, total: int) -> None:
        self.location = location
        self.store = clients.obstore_store(location.target, location.bucket)
        # Some servers respond to If-None-Match with 501; then it is left out, which is safe because concurrent uploads
        # of a hashed name have the same content. Without `max_retries=0`, obstore would retry after a 501 for seconds.
        self.conditional = location.target.provider.conditional_writes is not False
        self.once = clients.obstore_store(location.target, location.bucket, max_retries=0)
        self.summary = summary
        self.progress = progress
        self.total = total
        self.done = 0

    def run(self, items: Iterable[Item]) -> None:
        """Upload the items; raise PublishError at the end if any failed."""
        expected: tuple[type[Exception], ...] = (*errors.of_s3(), PublishError, ValueError)
        failures: list[tuple[str, Exception]] = []
        with ThreadPoolExecutor(CONCURRENCY) as small, ThreadPoolExecutor(CONCURRENCY_LARGE) as large:
            running: dict[Future[int | None], Item] = {}
            for item in items:
                if item.state == "right":
                    self.summary.unchanged += 1
                else:
                    pool = large if item.source.size >= LARGE else small
                    running[pool.submit(self._process, item)] = item
            try:
                for future in as_completed(running):
                    try:
                        self._count(running[future], future.result())
                    except expected as error:
                        failures.append((self._key(running[future].name), error))
                        if len(failures) >= GIVE_UP_AFTER:
                            break
            finally:  # also on Ctrl-C
                small.shutdown(wait=False, cancel_futures=True)
                large.shutdown(wait=False, cancel_futures=True)
        if failures:
            raise PublishError(self._failed(failures))

    def _key(self, name: str) -> str:
        return self.location.prefix + name

    def _count(self, item: Item, sent: int | None) -> None:
        self.done += 1
        verb = "Unchanged"
        if sent is None:
            self.summary.unchanged += 1
        else:
            self.summary.uploaded += 1
            self.summary.bytes += sent
            verb = "Would upload" if self.summary.dry_run else "Uploaded"
        self.progress(self.done, self.total, f"{verb} {self._key(item.name)}")

    def _process(self, item: Item) -> int | None:
        """Upload an item if necessary; return the bytes sent, or None if the object was right."""
        if item.state == "unclear" and self._matches(item):
            item.state = "right"
            return None
        if self.summary.dry_run:
            return 0
        return self._put(item)

    def _matches(self, item: Item) -> bool:
        """Read an object and return whether it matches the item; False if it doesn't exist."""
        import obstore

        try:
            found = obstore.get(self.store, self._key(item.name))
        except FileNotFoundError:  # deleted since the listing
            return False
        headers, (kind, cache_control, encoding) = found.attributes, item.headers
        packed = headers.get("Content-Encoding", "")
        if headers.get("sha256") != item.source.digest or headers.get("Content-Type") != kind:
            return False
        if found.meta["size"] > item.source.size:  # compression never makes an object larger
            return False
        encodings = {"gzip": {"gzip", ""}, "gzipped": {"gzip"}, "": {""}}[encoding]
        if (not item.immutable or item.prehashed) and headers.get("Cache-Control") != cache_control:
            return False
        if not item.immutable and packed not in encodings:
            return False
        # Keep the ETag of the listing, because the next run compares with a listing too.
        item.stored = item.stored or Stored(found.meta["size"], _token(found.meta["e_tag"]))
        return self._has_content(found, item)

    def _has_content(self, found: "GetResult", item: Item) -> bool:
        with tempfile.SpooledTemporaryFile(LARGE) as body:
            for chunk in found.stream(min_chunk_size=CHUNK):
                body.write(chunk)
            body.seek(0)
            unpack = found.attributes.get("Content-Encoding") == "gzip" and item.headers.encoding != "gzipped"
            content: Any = gzip.GzipFile(fileobj=body, mode="rb") if unpack else body
            return _digest(content, item.source.size) == item.source.digest

    def _put(self, item: Item) -> int | None:
        """Upload an item; return the bytes sent, or None if another deploy has uploaded it."""
        with _body(item) as (body, size, encoding):
            send = partial(self._send, item, body, size, encoding)
            # Don't replace a hashed name that another deploy has uploaded since the listing.
            for pause in RETRY_PAUSES if item.immutable and item.state == "missing" else ():
                try:
                    item.stored = Stored(size, self._create(send))
                except _TakenError:
                    if self._matches(item):
                        return None
                    time.sleep(pause)
                else:
                    return size
            if item.prehashed:
                self._check_name(item)
            item.stored = Stored(size, send(self.store, create=False))
            return size

    def _check_name(self, item: Item) -> None:
        """Raise PublishError if the bucket has different content under a bundler's hashed name."""
        import obstore

        try:
            found = obstore.get(self.store, self._key(item.name))
        except FileNotFoundError:
            return
        if found.meta["size"] > item.source.size or not self._has_content(found, item):
            raise PublishError(
                f"{item.name} is already published with different content, and browsers cache it for a year: configure"
                " the bundler to put a hash of the content into the name, or remove the file from `prehashed`."
            )

    def _create(self, send: Callable[..., str | None]) -> str | None:
        """Upload an object that must not exist yet, and return its ETag; raise _TakenError if it exists."""
        if self.conditional and self.location.target.endpoint:
            try:
                return send(self.once, create=True)
            except errors.of_s3() as error:
                if errors.is_not_implemented(error):
                    self.conditional = False
                elif not errors.is_passing(error):
                    raise
        if self.conditional:
            return _with_retries(lambda: send(self.store, create=True))
        return send(self.store, create=False)

    def _send(
        self, item: Item, body: bytes | Path, size: int, encoding: str, store: "S3Store", *, create: bool
    ) -> str | None:
        """Upload a body and return its ETag; with `create`, raise _TakenError if the key exists."""
        if size > PART and isinstance(body, Path):
            return self._send_parts(item, body, encoding, create=create)
        import obstore
        from obstore.exceptions import AlreadyExistsError

        attributes = {
            "Content-Type": item.headers.content_type,
            "Cache-Control": item.headers.cache_control,
            "sha256": item.source.digest,
        }
        if encoding:
            attributes["Content-Encoding"] = encoding
        try:
            result = obstore.put(
                store,
                self._key(item.name),
                body,
                attributes=attributes,
                mode="create" if create else "overwrite",
                use_multipart=False,
            )
        except AlreadyExistsError as error:
            raise _TakenError from error
        return _token(result["e_tag"])

    def _send_parts(self, item: Item, body: Path, encoding: str, *, create: bool) -> str | None:
        """Upload a file in parts with boto3, because obstore doesn't support conditional multipart uploads."""
        from boto3.s3.transfer import TransferConfig, create_transfer_manager

        s3 = (clients.creating if create else clients.command)(self.location.target)
        arguments = {
            "ContentType": item.headers.content_type,
            "CacheControl": item.headers.cache_control,
            "Metadata": {"sha256": item.source.digest},
        } | ({"ContentEncoding": encoding} if encoding else {})
        bucket, key = self.location.bucket, self._key(item.name)
        config = TransferConfig(
            multipart_threshold=PART,
            multipart_chunksize=PART,
            max_concurrency=PARTS_AT_ONCE,
            preferred_transfer_client="classic",
        )
        try:
            with create_transfer_manager(s3, config) as transfer:
                transfer.upload(str(body), bucket, key, extra_args=arguments).result()
        except ClientError as error:
            if errors.is_taken(error):
                raise _TakenError from error
            raise
        return _token(s3.head_object(Bucket=bucket, Key=key)["ETag"])

    def copies(self, manifest: dict[str, Any], live: Live) -> None:
        """Store a copy of the new manifest, and of the live one if it has none."""
        replaces = {}
        if live.names:
            replaces = {history.REPLACES: history.hash_of(live.manifest)}
            if not live.has_copy:
                since = live.written or datetime.now(UTC)
                attributes = {"Cache-Control": IMMUTABLE, history.SINCE: since.isoformat()}
                self.write(history.copy_name(live.manifest, since), live.manifest, attributes)
        elif not live.objects:
            replaces = {history.REPLACES: history.NOTHING}
        headers = {"Cache-Control": IMMUTABLE} | replaces
        self.write(history.copy_name(manifest, datetime.now(UTC)), manifest, headers)

    def rescue(self, items: list[Item]) -> bool:
        """Upload again those of these objects that a prune has deleted; return whether there were any.

        Called after the copy of the manifest has been written; `s3kit.publishing.history` says why this is enough.
        """
        if not items:
            return False
        with _explain_errors(self.location):
            self._await_prune()
            objects = _listed(self.store, self.location)
        gone = [item for item in items if item.name not in objects]
        for item in gone:
            if item.state == "right":
                self.summary.unchanged -= 1
            else:
                self.summary.uploaded -= 1
            item.state, item.stored = "missing", None
        self.total += len(gone)
        self.run(gone)
        return bool(gone)

    def _await_prune(self) -> None:
        """Wait until all batches of a prune that may have begun before this call have ended."""
        target, seen = self.location.target, None
        while True:
            response = clients.command(target).list_objects_v2(
                Bucket=self.location.bucket,
                Prefix=self._key(history.MARKERS),
                **clients.owner_arguments(target),
            )
            now = parsedate_to_datetime(response["ResponseMetadata"]["HTTPHeaders"]["date"])
            until = {
                entry["Key"]: entry["LastModified"] + history.LAPSE
                for entry in response.get("Contents", ())
                if history.is_marker(entry["Key"].removeprefix(self.location.prefix))
            }
            running = {key for key, end in until.items() if now < end}
            if seen is None and running:
                _log.warning(
                    "Waiting for `manage.py s3 prune` to remove its marker %s; if prune was killed, until %s.",
                    " and ".join(sorted(running)),
                    f"{max(until[key] for key in running):%H:%M} UTC",
                )
            # Batches that begin from now on will read the copy of the manifest.
            seen = running if seen is None else seen & running
            if not seen:
                return
            time.sleep(POLL_INTERVAL)

    def write(self, name: str, manifest: dict[str, Any], attributes: dict[str, str]) -> None:
        """Write the live manifest or a copy."""
        import obstore

        key, body = self._key(name), json.dumps(manifest).encode()
        attributes = {"Content-Type": "application/json"} | attributes
        try:
            obstore.put(self.store, key, body, attributes=attributes, use_multipart=False)
        except errors.of_s3() as error:
            raise PublishError(self._failed([(key, error)])) from error
        self.summary.bytes += len(body)

    def _failed(self, failures: list[tuple[str, Exception]]) -> str:
        """Return the message for failed uploads, with the fix for the first, which is usually the fix for all."""
        end = ["The others were not tried."] if len(failures) >= GIVE_UP_AFTER else []
        first = failures[0][1]
        operation = "GetObject" if "performing GET" in str(first) else "PutObject"
        end.append(errors.explain(first, self.location.bucket, role="deploy", operation=operation))
        end.append(
            "The manifest was not written, so the old one stays live. Run the command again to upload the rest."
        )
        named = [(key, errors.reason(error)) for key, error in failures]
        return listed(f"{len(failures)} static files could not be uploaded:", named, *end)


def _with_retries(send: Callable[[], str | None]) -> str | None:
    """Return what `send` returns; send a request again that got no response, after each pause in RETRY_PAUSES.

    obstore doesn't retry a request with If-None-Match, because S3 may have carried out the first one and then rejects
    the second. That raises _TakenError here, and the caller finds that the object is right.
    """
    from obstore.exceptions import GenericError

    for pause in RETRY_PAUSES:
        try:
            return send()
        except GenericError as error:
            if errors.code(error):  # S3 has responded
                raise
            time.sleep(pause)
    return send()


def _digest(content: IO[bytes], size: int) -> str:
    """Return the SHA-256 of content, "" if it is larger than `size` or can't be decompressed."""
    digest = hashlib.sha256()
    try:
        while chunk := content.read(CHUNK):
            digest.update(chunk)
            size -= len(chunk)
            if size < 0:
                return ""
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return ""
    return digest.hexdigest()


@contextmanager
def _body(item: Item) -> Iterator[tuple[bytes | Path, int, str]]:
    """Yield the body to send (bytes, or a path for a large file), its size, and its Content-Encoding.

    Raises PublishError if the file has changed since its hashed name was made.
    """
    source, wish = item.source, item.headers.encoding
    body = source.body
    if isinstance(body, Path):
        path, body = body, body.read_bytes() if source.size < LARGE else body
        with io.BytesIO(body) if isinstance(body, bytes) else body.open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != source.digest:
                raise PublishError(f"{path} changed after it was collected: run this command again.")
    if wish != "gzip":
        yield body, source.size, "gzip" if wish == "gzipped" else ""
    elif isinstance(body, bytes):
        packed = b"".join(_gzip([body]))
        if len(packed) < len(body):
            yield packed, len(packed), "gzip"
        else:
            yield body, len(body), ""
    else:
        with tempfile.NamedTemporaryFile(prefix="collectstatic-") as file:
            with body.open("rb") as original:
                for chunk in _gzip(iter(lambda: original.read(CHUNK), b"")):
                    file.write(chunk)
            file.flush()
            size = file.tell()
            if size < source.size:
                yield Path(file.name), size, "gzip"
            else:
                yield body, source.size, ""


def _gzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    # zlib's gzip header has neither a name nor a time, so the bytes are the same on every run.
    packer = zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    for chunk in chunks:
        yield packer.compress(chunk)
    yield packer.flush()


@contextmanager
def _explain_errors(location: Location, operation: str = "ListObjectsV2") -> Iterator[None]:
    """Turn errors of reading the bucket into PublishError."""
    try:
        yield
    except errors.of_s3() as error:
        text = errors.explain(error, location.bucket, role="deploy", operation=operation)
        raise PublishError(text) from error
