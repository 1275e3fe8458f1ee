"""The storage for static files: Django's hashed names, and URLs from the manifest.

`collectstatic` collects into a `Stage`: nothing is uploaded while files are hashed and rewritten, and
`s3kit.publishing.publish` uploads the result at the end. A web process only reads the manifest, once.
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

# Seconds until the next attempt when the manifest can't be read, so that not every page tries.
RETRY_AFTER = 10.0
SCRIPTS = (".js", ".mjs")

_FIX = "Run `manage.py collectstatic`, or `manage.py s3 manifest` when you build the image."
_log = logging.getLogger(__name__)


class _RelativeAddresses(Storage):
    """Returns relative URLs to Django's mixin, which unquotes them and adds fragments."""

    def url(self, name: str | None) -> str:
        return quote(name or "", safe="/~")


class StaticStorage(OnS3, ManifestFilesMixin, _RelativeAddresses):
    """Django's manifest storage on S3, below one prefix of a bucket.

    Options: bucket_name, location ("static/"), custom_domain, cloudfront_distribution, and the others that
    `s3kit.options` lists.

    `url` uses the manifest, which is read once: from STATICFILES_MANIFEST if that file exists, else from the bucket.
    With DEBUG on, `url` returns plain names below STATIC_URL as Django's own storage does, and `runserver` serves them
    from the source. Only `collectstatic` writes files.
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
        """Return the storage bound to a target, with its own manifest."""
        other = super().bound(local=local)
        if other is not self:
            other._manifest, other._failure, other._lock = None, None, threading.Lock()
            for derived in ("_folders", "_integrities"):
                other.__dict__.pop(derived, None)
        return other

    # The manifest

    def load_manifest(self) -> Any:
        """Return an empty manifest: checks and collectstatic also create a storage, and need none."""
        return {}, ""

    def _loaded(self) -> tuple[dict[str, str], str]:
        with self._lock:
            if self._manifest is None:
                self._manifest = self._read()
            return self._manifest

    @property
    def has_manifest(self) -> bool:
        """Return whether the manifest has been read, without reading it."""
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
        ) as error:  # Django raises ValueError for invalid JSON and for another version
            cause = ImproperlyConfigured(f"{str(error).rstrip('.')}. {_FIX}")
            self._failure = (time.monotonic() + RETRY_AFTER, cause)
            raise cause from error

    def read_manifest(self) -> str:
        """Return the manifest's text; raise ImproperlyConfigured if it isn't found."""
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
        # boto3, not obstore, whose threads don't survive a fork: servers may load the site before they fork.
        from botocore.exceptions import BotoCoreError, ClientError

        target, bucket, key = self.target, self.named_bucket, self.location + self.manifest_name
        try:
            # Short timeouts in background work too: pages wait for the thread that reads the manifest.
            s3 = clients.quick(target)
            response = s3.get_object(Bucket=bucket, Key=key, **clients.owner_arguments(target))
            return str(response["Body"].read().decode())
        except (BotoCoreError, ClientError, UnicodeDecodeError) as error:
            missing = f"{local} does not exist, and " if local else ""
            why = str(error)
            if isinstance(error, BotoCoreError):  # no credentials, no network, or a certificate error
                from s3kit import errors

                why = errors.explain(error, role="web")
            raise ImproperlyConfigured(
                f"No manifest of static files: {missing}{key} in bucket {bucket} can't be read: {why}"
            ) from error

    @property
    def hashed_files(self) -> dict[str, str]:
        """Return the hashed names by plain name."""
        return self._loaded()[0]

    @hashed_files.setter
    def hashed_files(self, value: dict[str, str]) -> None:
        self._manifest = (value, "")

    @property
    def manifest_hash(self) -> str:
        """Return the hash of the manifest's content."""
        return self._loaded()[1]

    @manifest_hash.setter
    def manifest_hash(self, value: str) -> None:
        self._manifest = (self.hashed_files, value)

    # A property, because an attribute would be a reference cycle, and `bound` would copy it with the old storage.
    @property
    def manifest_storage(self) -> "StaticStorage":
        """Return the storage of the manifest, which is this one."""
        return self

    @manifest_storage.setter
    def manifest_storage(self, _value: Any) -> None:
        pass

    def save_manifest(self) -> None:
        """Write Django's manifest, with the hashes of scripts added."""
        super().save_manifest()
        staged = self.staged()
        manifest = json.loads(staged.source(self.manifest_name).open().read())
        # Sorted, so that the same tree gives the same bytes on every machine.
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

    # Names and URLs

    def post_process(
        self, paths: Mapping[str, Any], dry_run: bool = False, **options: Any
    ) -> Iterator[tuple[str, str, bool]]:
        """Hash the collected files, yield each one's plain and final name, and write the manifest at the end.

        Replaces Django's post-processing; `s3kit.publishing.graph` lists the differences. Raises ValueError if
        `strict_references` is set and one of the project's own files refers to a missing file.
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
        """Return the value of a script's `integrity` attribute.

        Returns "" with DEBUG on, for a file that isn't a script, and with a manifest of an older version.
        """
        return "" if settings.DEBUG else self._integrities.get(self.hash_key(unquote(name)), "")

    def stored_name(self, name: str) -> str:
        """Return the hashed name; with `manifest_strict` off, a name that the manifest lacks is returned unchanged."""
        if not self.manifest_strict and self.hash_key(urlsplit(unquote(name)).path) not in self.hashed_files:
            return name  # Django would look for the file, which would be a request to S3 for each page
        return super().stored_name(name)

    def url(self, name: str | None, force: bool = False) -> str:
        """Return a file's URL, percent-encoded; with DEBUG on and not `force`, its URL on runserver.

        Removes a leading slash, and returns the plain URL for a folder. Raises ValueError for a name that the manifest
        lacks, and ImproperlyConfigured if the manifest can't be read. While a module is being imported, both cases
        return the plain URL, because commands that write the manifest also import the site's modules.
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
            _log.warning("While modules are imported, %s has its plain URL: %s", name, error)
            try:
                return self.address() + _quoted(unquote(name))
            except ImproperlyConfigured:  # an image build has no bucket
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
        """Yield a stage that collects the files written within the context."""
        self._stage = Stage()
        try:
            yield self._stage
        finally:
            self._stage = None

    def staged(self) -> Stage:
        """Return what has been collected so far; raise NotImplementedError outside of collectstatic."""
        if self._stage is None:
            raise NotImplementedError("Only `manage.py collectstatic` writes static files.")
        return self._stage

    def save(self, name: str | None, content: Any, max_length: int | None = None) -> str:
        """Add a file to the stage."""
        del max_length  # S3's keys are long enough for every path
        content.seek(0)
        self.staged().add(str(name), Source.of(content.read()))
        return str(name)

    def _save(self, name: str, content: "File[Any]") -> str:
        self.staged().derived[name] = Source.of(content.read())
        return name

    def delete(self, name: str) -> None:
        """Remove a file that post-processing added to the stage; never deletes an object."""
        self.staged().derived.pop(name, None)

    def exists(self, name: str) -> bool:
        """Return whether the file is in the stage; outside of collectstatic, whether the object exists."""
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
            response = clients.command(target).get_object(Bucket=self.named_bucket, Key=key, **owner)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                raise FileNotFoundError(key) from error
            raise
        body = response["Body"].read()
        return ContentFile(
            gzip.decompress(body) if response.get("ContentEncoding") == "gzip" else body, name=name
        )


def _integrity(digest: str) -> str:
    """Return a hexadecimal SHA-256 in the format of Subresource Integrity."""
    return "sha256-" + base64.b64encode(bytes.fromhex(digest)).decode()


def _quoted(address: str) -> str:
    """Return a relative URL with its path percent-encoded; query string and fragment stay as they are."""
    path, rest = re.fullmatch(r"([^?#]*)(.*)", address, re.DOTALL).groups()  # type: ignore[union-attr]
    return quote(path, safe="/~") + str(rest)


def _is_importing() -> bool:
    """Return whether the caller runs while a module is being imported."""
    return any(
        frame.f_code.co_filename.startswith("<frozen importlib") for frame, _ in traceback.walk_stack(None)
    )


@cache
def _note_missing(name: str) -> None:
    """Log, once for each name, that no finder knows the file: with DEBUG off, it would be an error."""
    path = urlsplit(unquote(name)).path
    try:
        found = not path or finders.find(path)
    except SuspiciousFileOperation:
        found = None
    if not found:
        _log.warning("There is no static file %s: with DEBUG off, a page that uses it fails.", path)


def require_manifest() -> None:
    """Read the manifest if pages need it; raise ImproperlyConfigured, with a message on one line, if there is none.

    For wsgi.py and asgi.py: a server that could only return errors should not start.
    """
    storage = storages["staticfiles"]
    if not settings.DEBUG and isinstance(storage, StaticStorage):
        _ = storage.hashed_files


def manifest_is_loaded() -> bool:
    """Return whether pages can render their static file URLs; makes no request to S3."""
    storage = storages["staticfiles"]
    if settings.DEBUG or not isinstance(storage, ManifestFilesMixin):
        return True
    return storage.has_manifest if isinstance(storage, StaticStorage) else bool(storage.hashed_files)
