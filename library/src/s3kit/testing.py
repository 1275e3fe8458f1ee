"""A pytest plugin for the tests of any site: `pytest_plugins = ["s3kit.testing"]` in the top conftest.py.

With it, no request of botocore or obstore leaves the machine, whatever the settings and the shell say, and what
tests upload goes to a temporary folder: entries of STORAGES that are the library's become storages on disk.

- `s3kit_block_sockets = true` in pytest's configuration refuses every connection beyond this machine, not only
  those to S3; `s3kit_allow_hosts` lists hosts that may be connected to, such as a database's.
- The fixture `local_s3` gives a test the site's own storages, on a strict local S3 server whose buckets are
  prepared as `manage.py s3 apply` would; they are empty when the test begins.
"""

import ipaddress
import socket
from collections.abc import Collection, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import pytest

if TYPE_CHECKING:
    from s3kit.local.server import LocalServer

_OBSTORE = (
    *("copy", "delete", "get", "get_range", "get_ranges", "head", "list", "list_with_delimiter"),
    *("open_reader", "open_writer", "put", "rename"),
)


class BlockedByTestsError(ConnectionError):
    """A test tried to reach an address that is not on this machine."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options to pytest's configuration file."""
    parser.addini("s3kit_block_sockets", "refuse connections beyond this machine", type="bool", default=False)
    parser.addini("s3kit_allow_hosts", "hosts that tests may connect to", type="args", default=[])


@cache
def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.split("%")[0].strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _check(host: object, allowed: Collection[str] = ()) -> None:
    name = host.decode() if isinstance(host, bytes) else str(host or "localhost")
    if not _is_loopback(name) and name not in allowed:
        raise BlockedByTestsError(f"Tests may only connect to this machine, not to {name}")


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    proxy = None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)
    _check(urlsplit(proxy).hostname if proxy else parts.hostname)


@pytest.fixture(autouse=True, scope="session")
def s3kit_no_requests(pytestconfig: pytest.Config) -> Iterator[None]:
    """Fail every request of botocore and obstore beyond this machine, and on request every connection."""
    with pytest.MonkeyPatch.context() as patch:
        _guard_botocore(patch)
        _guard_obstore(patch)
        if pytestconfig.getini("s3kit_block_sockets"):
            _guard_sockets(patch, set(pytestconfig.getini("s3kit_allow_hosts")))
        yield


def _guard_botocore(patch: pytest.MonkeyPatch) -> None:
    from botocore.httpsession import URLLib3Session

    send = URLLib3Session.send

    def guarded(self: Any, request: Any) -> Any:
        _check_url(request.url)
        return send(self, request)

    patch.setattr(URLLib3Session, "send", guarded)


def _guard_obstore(patch: pytest.MonkeyPatch) -> None:
    import obstore

    # obstore's connections are not Python's: its requests are stopped where Python makes them.
    for function in _OBSTORE:
        for name in (function, f"{function}_async"):
            if request := getattr(obstore, name, None):

                def guarded(store: Any, *args: Any, request: Any = request, **kwargs: Any) -> Any:
                    if url := _obstore_url(store):
                        _check_url(url)
                    return request(store, *args, **kwargs)

                patch.setattr(obstore, name, guarded)


def _obstore_url(store: Any) -> str | None:
    """Return the URL that a store sends requests to; None for a store in memory or on disk."""
    from obstore.store import LocalStore, MemoryStore

    if isinstance(store, LocalStore | MemoryStore):
        return None
    config = getattr(store, "config", {})
    # Without an endpoint, a store asks its provider.
    return str(config.get("endpoint") or getattr(store, "url", None) or "https://s3.amazonaws.com")


def _guard_sockets(patch: pytest.MonkeyPatch, allowed: set[str]) -> None:
    for method in ("connect", "connect_ex"):
        original = getattr(socket.socket, method)

        def guarded(self: socket.socket, address: Any, original: Any = original) -> Any:
            if isinstance(address, tuple):  # else a Unix socket's path
                _check(address[0], allowed)
            return original(self, address)

        patch.setattr(socket.socket, method, guarded)
    look_up = socket.getaddrinfo

    def guarded_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        _check(host, allowed)
        found = look_up(host, *args, **kwargs)
        allowed.update(str(entry[4][0]) for entry in found)  # what an allowed name leads to
        return found

    patch.setattr(socket, "getaddrinfo", guarded_look_up)


@pytest.fixture(autouse=True, scope="session")
def s3kit_on_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Put the library's storages on disk while tests run, and uploads into a temporary folder.

    Returns STORAGES as the site has it.
    """
    from django.conf import settings
    from django.test.utils import override_settings
    from django.utils.module_loading import import_string

    from s3kit.storages.base import OnS3

    site, folder = dict(settings.STORAGES), tmp_path_factory.mktemp("media")
    tests: dict[str, Any] = {}
    for alias, entry in site.items():
        backend = import_string(entry["BACKEND"])
        tests[alias] = entry
        if isinstance(backend, type) and issubclass(backend, OnS3):
            static = backend.kind == "static"
            tests[alias] = (
                {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
                if static
                else {
                    "BACKEND": "django.core.files.storage.FileSystemStorage",
                    "OPTIONS": {"location": str(folder / alias), "base_url": f"/media/{alias}/"},
                }
            )
    with override_settings(STORAGES=tests, MEDIA_ROOT=str(folder)):
        yield site


@pytest.fixture(scope="session")
def s3kit_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator["LocalServer"]:
    """Return a strict local S3 server, one for all tests; it ends with them."""
    from s3kit.local.server import running

    with running(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def local_s3(s3kit_server: "LocalServer", s3kit_on_disk: dict[str, Any], settings: Any) -> "LocalServer":
    """Give the test the site's own storages, on the local S3 server, with prepared and empty buckets."""
    from s3kit.local.prepare import prepare

    settings.S3KIT_LOCAL_DIR = s3kit_server.data
    settings.USE_S3 = "local"
    settings.STORAGES = s3kit_on_disk
    deployment = prepare(s3kit_server)
    root = s3kit_server.client()
    pages = root.get_paginator("list_objects_v2")
    for bucket in deployment.buckets:
        for page in pages.paginate(Bucket=bucket.name):
            for entry in page.get("Contents", ()):
                root.delete_object(Bucket=bucket.name, Key=entry["Key"])
    return s3kit_server
