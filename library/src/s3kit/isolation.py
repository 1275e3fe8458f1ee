"""Keeps tests away from real buckets, for `manage.py test` and for the pytest plugin.

botocore and obstore can't send requests to other machines, whatever the settings and the environment are. Uploads go to
a local folder: the library's storages in STORAGES and in file fields are replaced with storages on disk.
"""

import ipaddress
import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from s3kit.apps import TESTS_FOLDER, plain_addresses

_OBSTORE = (
    *("copy", "delete", "get", "get_range", "get_ranges", "head", "list", "list_with_delimiter"),
    *("open_reader", "open_writer", "put", "rename"),
)


class BlockedByTestsError(ConnectionError):
    """A test tried to connect to another machine."""


class Originals(NamedTuple):
    """The site's own values that are replaced while tests run: STORAGES, and the storages of file fields."""

    storages: dict[str, Any]
    fields: list[tuple[Any, Any]]


@contextmanager
def isolated() -> Iterator[None]:
    """Isolate this process and its child processes, with a temporary folder for uploads."""
    with tempfile.TemporaryDirectory(prefix="s3kit-tests-") as folder, ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, {TESTS_FOLDER: folder}))
        stack.enter_context(no_requests())
        stack.enter_context(on_disk(Path(folder)))
        yield


_joined = ExitStack()  # never closed: its patches stay until the process ends


def join() -> None:
    """Isolate this process if it is part of an isolated test run, such as a worker of `manage.py test --parallel`."""
    folder = Path(os.environ.get(TESTS_FOLDER, ""))
    if os.environ.get(TESTS_FOLDER) and folder.is_dir():
        _joined.enter_context(no_requests())
        _joined.enter_context(on_disk(folder))


@cache
def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.split("%")[0].strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def check_host(host: object, allowed: Collection[str] = ()) -> None:
    """Raise BlockedByTestsError unless the host is this machine or an allowed one."""
    name = host.decode() if isinstance(host, bytes) else str(host or "localhost")
    if not _is_loopback(name) and name not in allowed:
        raise BlockedByTestsError(f"Tests may only connect to this machine, not to {name}")


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    check_host(parts.hostname)  # even with a local proxy, which forwards to other machines
    proxy = getproxies().get(parts.scheme)
    if proxy and not proxy_bypass(parts.netloc):
        check_host(urlsplit(proxy).hostname)


@contextmanager
def no_requests() -> Iterator[None]:
    """Block every request of botocore and obstore to another machine."""
    import obstore
    from botocore.httpsession import URLLib3Session

    send = URLLib3Session.send

    def guarded_send(self: Any, request: Any) -> Any:
        _check_url(request.url)
        return send(self, request)

    with ExitStack() as stack:
        stack.enter_context(patch.object(URLLib3Session, "send", guarded_send))
        # obstore doesn't use Python's sockets, so its Python functions are patched.
        for name in (f"{function}{end}" for function in _OBSTORE for end in ("", "_async")):
            if request := getattr(obstore, name, None):
                stack.enter_context(patch.object(obstore, name, _guarded(request)))
        yield


def _guarded(request: Any) -> Any:
    def guarded(store: Any, *args: Any, **kwargs: Any) -> Any:
        if url := _obstore_url(store):
            _check_url(url)
        return request(store, *args, **kwargs)

    return guarded


def _obstore_url(store: Any) -> str | None:
    """Return the URL that a store sends requests to; None for a store in memory or on disk."""
    from obstore.store import LocalStore, MemoryStore

    if isinstance(store, LocalStore | MemoryStore):
        return None
    config = getattr(store, "config", {})
    # Without an endpoint, a store connects to its provider.
    return str(config.get("endpoint") or getattr(store, "url", None) or "https://s3.amazonaws.com")


@contextmanager
def on_disk(folder: Path) -> Iterator[Originals]:
    """Replace the library's storages with storages on disk, with uploads in this folder; yield the originals."""
    from django.conf import settings
    from django.test.utils import override_settings

    from s3kit.deployment import s3_aliases

    originals = Originals(dict(settings.STORAGES), [])
    tests = dict(originals.storages)
    for alias in s3_aliases():
        tests[alias] = _entry(alias, originals.storages[alias], folder)
    with override_settings(STORAGES=tests, MEDIA_ROOT=str(folder), **plain_addresses):
        for field, storage in _file_fields():
            originals.fields.append((field, storage))
            field.storage = _same_on_disk(storage, folder)
        try:
            yield originals
        finally:
            for field, storage in originals.fields:
                field.storage = storage


def _entry(alias: str, entry: dict[str, Any], folder: Path) -> dict[str, Any]:
    from django.utils.module_loading import import_string

    if import_string(entry["BACKEND"]).kind == "static":
        return {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    return {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": str(folder / alias), "base_url": f"/media/{alias}/"},
    }


def _file_fields() -> Iterator[tuple[Any, Any]]:
    """Yield the file fields that have one of the library's storages, and that storage."""
    from django.apps import apps
    from django.db.models import FileField

    from s3kit.storages.base import OnS3

    for model in apps.get_models(include_auto_created=True) if apps.models_ready else ():
        for field in model._meta.get_fields():
            # Not fields with the default storage, which has already been replaced.
            if isinstance(field, FileField) and isinstance(field.storage, OnS3):
                yield field, field.storage


def _same_on_disk(storage: Any, folder: Path) -> Any:
    from django.core.files.storage import FileSystemStorage

    where = f"{storage.bucket_name}/{storage.location}".strip("/")
    return FileSystemStorage(folder / where, base_url=f"/media/{where}/")
