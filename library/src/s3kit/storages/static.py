"""Static files on S3: names as Django's manifest storage makes them, addresses by the manifest.

`collectstatic` collects into a `Stage` instead of a storage: nothing is uploaded while files are hashed and
rewritten, and `s3kit.publishing.publish` uploads the outcome at the end. A web process only reads the manifest, once.
"""

import base64
import gzip
import json
import logging
import posixpath
import re
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, cached_property
from typing import Any, Self
from urllib.parse import quote, unquote, urlsplit

from django.conf import settings
from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import ManifestFilesMixin
from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.files.base import ContentFile, File
from django.core.files.storage import Storage, storages

from s3kit import clients
from s3kit.options import conf
from s3kit.publishing import bundles
from s3kit.publishing.collect import Source, Stage
from s3kit.publishing.graph import Graph
from s3kit.storages.base import OnS3

# A site whose manifest can't be read asks again after this many seconds, not at each page.
ASK_AGAIN_AFTER = 10.0
SCRIPTS = (".js", ".mjs")

_log = logging.getLogger(__name__)


class _RelativeAddresses(Storage):
    """What Django's mixin asks for an address, which it then unquotes and adds a fragment to."""

    def url(self, name: str | None) -> str:
        return quote(name or "", safe="/~")


class StaticStorage(OnS3, ManifestFilesMixin, _RelativeAddresses):
    """Django's manifest storage on S3, below one prefix of a bucket.

    Options: bucket_name, location ("static/"), custom_domain, cloudfront_distribution, and the others that
    `s3kit.options` lists.

    Turns names into addresses by the manifest, which is read once: from STATICFILES_MANIFEST if that file
    exists, else from the bucket. With DEBUG on, `url` returns plain names below STATIC_URL as Django's own
    storage does; `runserver` serves them from the source. Files get in only by `collectstatic`.
    """

    kind = "static"
    support_js_module_import_aggregation = True

    def __init__(self, **given: Any) -> None:
        self._begin(given)
        self._stage: Stage | None = None
        self._failure: tuple[float, ImproperlyConfigured] | None = None
        self._lock = threading.Lock()
        super().__init__()
        self._manifest: tuple[dict[str, str], str] | None = None
        self._manifest_text = ""

    def _apply(self, values: dict[str, Any]) -> None:
        self.strict_references = values["strict_references"]
        self.prehashed = tuple(values["prehashed"])
        self.bucket_name, self.location = self._location.bucket, self._location.prefix
        self.custom_domain = self._location.custom_domain

    def bound(self, *, local: bool | None) -> Self:
        """Return the storage bound to a target, with a manifest of its own."""
        other = super().bound(local=local)
        if other is not self:
            other._manifest, other._failure, other._lock = None, None, threading.Lock()
            for derived in ("_folders", "_integrities"):
                other.__dict__.pop(derived, None)
        return other

    # The manifest

    def load_manifest(self) -> Any:
        """Return nothing: a storage is also made where no page is, as in checks and in collectstatic."""
        return {}, ""

    def _loaded(self) -> tuple[dict[str, str], str]:
        with self._lock:
            if self._manifest is None:
                self._manifest = self._read()
            return self._manifest

    @property
    def has_manifest(self) -> bool:
        """Tell whether the manifest has been read; does not read it."""
        return self._manifest is not None

    def _read(self) -> tuple[dict[str, str], str]:
        if self._failure and time.monotonic() < self._failure[0]:
            raise self._failure[1].with_traceback(None)
        try:
            found: Any = super().load_manifest()
            return found[0], found[1]
        except (
            ImproperlyConfigured,
            ValueError,
        ) as error:  # ValueError is Django's: no JSON, another version
            cause = ImproperlyConfigured(f"{str(error).rstrip('.')}. {_cure()}")
            self._failure = (time.monotonic() + ASK_AGAIN_AFTER, cause)
            raise cause from error

    def read_manifest(self) -> str:
        """Return the manifest's text; raise ImproperlyConfigured where no place has it."""
        self._manifest_text = self._find_manifest()
        return self._manifest_text

    def _find_manifest(self) -> str:
        local = conf.manifest
        if local and local.exists():
            try:
                return local.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ImproperlyConfigured(
                    f"The manifest of static files {local} can't be read: {error}"
                ) from error
        # boto3, not obstore: its threads would not survive the fork of a server that loads the site first.
        from botocore.exceptions import BotoCoreError, ClientError

        target, bucket, key = self.target, self.named_bucket, self.location + self.manifest_name
        try:
            # Quick for background work too: pages wait for whoever reads the manifest.
            s3 = clients.quick(target)
            answer = s3.get_object(Bucket=bucket, Key=key, **clients.owner_arguments(target))
            return str(answer["Body"].read().decode())
        except (BotoCoreError, ClientError, UnicodeDecodeError) as error:
            missing = f"{local} does not exist, and " if local else ""
            why = str(error)
            if isinstance(error, BotoCoreError):  # no credentials, no network, a certificate
                from s3kit import errors

                why = errors.explain(error, role="web")
            raise ImproperlyConfigured(
                f"No manifest of static files: {missing}{key} of bucket {bucket} can't be read: {why}"
            ) from error

    @property
    def hashed_files(self) -> dict[str, str]:
        """Return hashed names by plain name."""
        return self._loaded()[0]

    @hashed_files.setter
    def hashed_files(self, value: dict[str, str]) -> None:
        self._manifest = (value, "")

    @property
    def manifest_hash(self) -> str:
        """Return the hash that changes with every change of the manifest."""
        return self._loaded()[1]

    @manifest_hash.setter
    def manifest_hash(self, value: str) -> None:
        self._manifest = (self.hashed_files, value)

    # Django's own attribute would be the storage of which `bound` makes a copy, and a cycle besides.
    @property
    def manifest_storage(self) -> "StaticStorage":
        """Return where the manifest is: among the static files."""
        return self

    @manifest_storage.setter
    def manifest_storage(self, _value: Any) -> None:
        pass

    def save_manifest(self) -> None:
        """Write the manifest, with the hashes of scripts in it besides what Django puts there."""
        super().save_manifest()
        staged = self.staged()
        manifest = json.loads(staged.source(self.manifest_name).open().read())
        # By name, so that the same tree gives the same bytes on each machine.
        manifest["paths"] = dict(sorted(manifest["paths"].items()))
        manifest["integrity"] = {
            name: _integrity(staged.source(hashed).digest)
            for name, hashed in manifest["paths"].items()
            if name.endswith(SCRIPTS)
        }
        self._save(self.manifest_name, ContentFile(json.dumps(manifest).encode()))

    @cached_property
    def _integrities(self) -> dict[str, str]:
        self._loaded()
        return dict(json.loads(self._manifest_text or "{}").get("integrity", {}))

    # Names and addresses

    def post_process(
        self, paths: Mapping[str, Any], dry_run: bool = False, **options: Any
    ) -> Iterator[tuple[str, str, bool]]:
        """Hash the collected files, and yield each one's plain and final name; the manifest is written at the end.

        Replaces Django's way of doing so; `s3kit.publishing.graph` says what differs. Raises
        ValueError for references of the project's own files to missing ones, where `strict_references` is set.
        """
        del options
        if dry_run:
            return
        stage = self.staged()
        stage.prehashed = bundles.hashed_names(stage, self.prehashed)
        graph = Graph(self, stage, [self.clean_name(name) for name in paths])
        stage.unresolved = graph.unresolved
        if self.strict_references and (wrong := graph.errors()):
            raise ValueError("\n".join(wrong))
        self.hashed_files = {}
        for name, final in graph.hashed():
            self.hashed_files[self.hash_key(name)] = final
            yield name, final, True
        self.save_manifest()

    def integrity(self, name: str) -> str:
        """Return what a browser shall find a script to be, in the form of the attribute `integrity`.

        It is empty with DEBUG on, for what is no script, and with a manifest of an older version.
        """
        return "" if settings.DEBUG else self._integrities.get(self.hash_key(unquote(name)), "")

    def stored_name(self, name: str) -> str:
        """Return the hashed name; where `manifest_strict` is off, a name without one stays as it is."""
        if not self.manifest_strict and self.hash_key(urlsplit(unquote(name)).path) not in self.hashed_files:
            return name  # Django would look for the file, which here means a request at each page
        return super().stored_name(name)

    def url(self, name: str | None, force: bool = False) -> str:
        """Return a file's address, percent-encoded; with DEBUG on and not `force`, the one of runserver.

        A leading slash is dropped, and a folder has its plain address. Raises ValueError for a name that the manifest
        lacks, and ImproperlyConfigured where no manifest can be read; while a module is imported, both give the plain
        address, because commands that make the manifest import the site's modules, too.
        """
        name = (name or "").lstrip("/")
        if settings.DEBUG and not force:
            _note_missing(name)
            return str(settings.STATIC_URL) + _quoted(unquote(name))
        try:
            return self.address() + _quoted(super().url(name, force))
        except (ValueError, ImproperlyConfigured) as error:
            if isinstance(error, ValueError) and unquote(name) in self._folders:
                return self.address() + _quoted(unquote(name))
            if not _is_importing():
                raise
            _log.warning("While modules are imported, %s has its plain address: %s", name, error)
            try:
                return self.address() + _quoted(unquote(name))
            except ImproperlyConfigured:  # where an image is built, no bucket is known
                return str(settings.STATIC_URL) + _quoted(unquote(name))

    @cached_property
    def _folders(self) -> set[str]:
        found: set[str] = set()
        for folder in map(posixpath.dirname, self.hashed_files):
            while folder and folder not in found:
                found.add(folder)
                folder = posixpath.dirname(folder)
        return found

    # Files

    @contextmanager
    def staging(self) -> Iterator[Stage]:
        """Collect into the stage that is handed out, as long as the context lasts."""
        self._stage = Stage()
        try:
            yield self._stage
        finally:
            self._stage = None

    def staged(self) -> Stage:
        """Return what has been collected so far; raise NotImplementedError outside of collectstatic."""
        if self._stage is None:
            raise NotImplementedError("Static files are written by `manage.py collectstatic` alone.")
        return self._stage

    def save(self, name: str | None, content: Any, max_length: int | None = None) -> str:
        """Add a file to those that are collected."""
        del max_length  # the keys of S3 are long enough for every path
        content.seek(0)
        self.staged().add(str(name), Source.of(content.read()))
        return str(name)

    def _save(self, name: str, content: "File[Any]") -> str:
        self.staged().derived[name] = Source.of(content.read())
        return name

    def delete(self, name: str) -> None:
        """Forget what post-processing derived; no object is ever deleted."""
        self.staged().derived.pop(name, None)

    def exists(self, name: str) -> bool:
        """Return whether the file was collected; outside of collectstatic, whether the object exists."""
        if self._stage is not None:
            return name in self._stage.derived or name in self._stage.plain
        from botocore.exceptions import ClientError

        target, key = self.target, self.location + name
        owner = clients.owner_arguments(target)
        try:
            clients.command(target).head_object(Bucket=self.named_bucket, Key=key, **owner)
        except ClientError as error:
            if error.response["Error"]["Code"] == "404":
                return False
            raise
        return True

    def _open(self, name: str, mode: str = "rb") -> "File[Any]":
        del mode
        if self._stage is not None:
            return self._stage.source(name).open()
        from botocore.exceptions import ClientError

        target, key = self.target, self.location + name
        owner = clients.owner_arguments(target)
        try:
            answer = clients.command(target).get_object(Bucket=self.named_bucket, Key=key, **owner)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                raise FileNotFoundError(key) from error
            raise
        body = answer["Body"].read()
        return ContentFile(
            gzip.decompress(body) if answer.get("ContentEncoding") == "gzip" else body, name=name
        )


def _integrity(digest: str) -> str:
    """Return a SHA-256, which comes in hexadecimal, as Subresource Integrity writes it."""
    return "sha256-" + base64.b64encode(bytes.fromhex(digest)).decode()


def _quoted(address: str) -> str:
    """Return a relative address with its path percent-encoded, and query and fragment as they are."""
    path, rest = re.fullmatch(r"([^?#]*)(.*)", address, re.DOTALL).groups()  # type: ignore[union-attr]
    return quote(path, safe="/~") + str(rest)


def _is_importing() -> bool:
    """Tell whether a module is just being imported."""
    return any(
        frame.f_code.co_filename.startswith("<frozen importlib") for frame, _ in traceback.walk_stack(None)
    )


@cache
def _note_missing(name: str) -> None:
    """Log a name that no finder knows: with DEBUG off, it would be an error. Says so once."""
    path = urlsplit(unquote(name)).path
    try:
        found = not path or finders.find(path)
    except SuspiciousFileOperation:
        found = None
    if not found:
        _log.warning("There is no static file %s: with DEBUG off, a page that names it fails.", path)


def _cure() -> str:
    return "Run `manage.py collectstatic`, or `manage.py s3 manifest` when the image is built."


def require_manifest() -> None:
    """Read the manifest if pages need it; raise ImproperlyConfigured, in one line, where there is none.

    For wsgi.py and asgi.py: a server that could only answer with errors does not start.
    """
    storage = storages["staticfiles"]
    if not settings.DEBUG and isinstance(storage, StaticStorage):
        _ = storage.hashed_files


def manifest_is_loaded() -> bool:
    """Tell whether pages can name their static files; asks nothing of S3."""
    storage = storages["staticfiles"]
    if settings.DEBUG or not isinstance(storage, ManifestFilesMixin):
        return True
    return storage.has_manifest if isinstance(storage, StaticStorage) else bool(storage.hashed_files)
