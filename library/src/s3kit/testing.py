"""A pytest plugin for the tests of any site: add `pytest_plugins = ["s3kit.testing"]` to the top-level conftest.py.

botocore and obstore can't send requests to other machines, whatever the settings and the environment are. Uploads go to
a temporary folder: the library's storages in STORAGES are replaced with storages on disk.

- `s3kit_block_sockets = true` in pytest's configuration blocks all connections to other machines, not only those to S3.
  `s3kit_allow_hosts` lists hosts that are allowed, such as a database server.
- The fixture `local_s3` gives a test the site's own storages on a strict local S3 server. Its buckets are configured as
  `manage.py s3 apply` would, and are empty when the test begins.
"""

import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from s3kit import isolation
from s3kit.isolation import BlockedByTestsError

if TYPE_CHECKING:
    from s3kit.local.server import LocalServer

__all__ = ["BlockedByTestsError"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options for pytest's configuration file."""
    parser.addini("s3kit_block_sockets", "block connections to other machines", type="bool", default=False)
    parser.addini("s3kit_allow_hosts", "hosts that tests may connect to", type="args", default=[])


@pytest.fixture(autouse=True, scope="session")
def s3kit_no_requests(pytestconfig: pytest.Config) -> Iterator[None]:
    """Block every request of botocore and obstore to another machine and, if configured, every connection."""
    with isolation.no_requests(), pytest.MonkeyPatch.context() as patch:
        if pytestconfig.getini("s3kit_block_sockets"):
            _guard_sockets(patch, set(pytestconfig.getini("s3kit_allow_hosts")))
        yield


def _guard_sockets(patch: pytest.MonkeyPatch, allowed: set[str]) -> None:
    for method in ("connect", "connect_ex"):
        original = getattr(socket.socket, method)

        def guarded(self: socket.socket, address: Any, original: Any = original) -> Any:
            if isinstance(address, tuple):  # else the path of a Unix socket
                isolation.check_host(address[0], allowed)
            return original(self, address)

        patch.setattr(socket.socket, method, guarded)
    look_up = socket.getaddrinfo

    def guarded_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        isolation.check_host(host, allowed)
        found = look_up(host, *args, **kwargs)
        allowed.update(str(entry[4][0]) for entry in found)  # the addresses of an allowed name
        return found

    patch.setattr(socket, "getaddrinfo", guarded_look_up)


@pytest.fixture(autouse=True, scope="session")
def s3kit_on_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[isolation.Originals]:
    """Replace the library's storages with storages on disk, with uploads in a temporary folder."""
    with isolation.on_disk(tmp_path_factory.mktemp("media")) as site:
        yield site


@pytest.fixture(scope="session")
def s3kit_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator["LocalServer"]:
    """Yield a strict local S3 server that all tests share."""
    from s3kit.local.server import running

    with running(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def local_s3(
    s3kit_server: "LocalServer",
    s3kit_on_disk: isolation.Originals,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> "LocalServer":
    """Use the site's own storages on the local S3 server, with configured and empty buckets; return the server."""
    from s3kit.local.prepare import prepare

    settings.S3KIT_LOCAL_DIR = s3kit_server.data
    settings.USE_S3 = "local"
    settings.STORAGES = s3kit_on_disk.storages
    for field, storage in s3kit_on_disk.fields:
        monkeypatch.setattr(field, "storage", storage)
    deployment = prepare(s3kit_server)
    root = s3kit_server.client()
    pages = root.get_paginator("list_objects_v2")
    for bucket in deployment.buckets:
        for page in pages.paginate(Bucket=bucket.name):
            for entry in page.get("Contents", ()):
                root.delete_object(Bucket=bucket.name, Key=entry["Key"])
    return s3kit_server
