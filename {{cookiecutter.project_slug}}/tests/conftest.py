"""What every test can count on: no connection leaves this machine."""

import ipaddress
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import obstore
import pytest
from django.apps import apps

pytest_plugins = ["tests.ministack", "tests.doctored", "tests.processes", "tests.csp_headers"]

# Where the example was removed, an update of the template still brings those of its tests that are new.
# Django is asked, not Python: a deleted app often leaves a folder with compiled files, which can be imported.
if not apps.is_installed("gallery"):
    collect_ignore_glob = ["test_gallery*.py"]


class ConnectionRefusedByTestsError(ConnectionError):
    """A test tried to reach an address that is not on this machine."""


def _refuse_unless_loopback(address: Any) -> None:
    if not isinstance(address, tuple):  # a Unix socket's path
        return
    host = str(address[0])
    try:
        allowed = ipaddress.ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        allowed = host == "localhost"
    if not allowed:
        raise ConnectionRefusedByTestsError(f"Tests may only connect to this machine, not to {host}")


@pytest.fixture(autouse=True, scope="session")
def only_loopback() -> Iterator[None]:
    """Fail every connection and every look-up of a name beyond loopback."""
    with pytest.MonkeyPatch.context() as patch:
        for method in ("connect", "connect_ex"):
            original = getattr(socket.socket, method)

            def guarded(self: socket.socket, address: Any, original: Any = original) -> Any:
                _refuse_unless_loopback(address)
                return original(self, address)

            patch.setattr(socket.socket, method, guarded)

        look_up = socket.getaddrinfo

        def guarded_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
            if host not in (None, "", b""):
                _refuse_unless_loopback((host.decode() if isinstance(host, bytes) else host,))
            return look_up(host, *args, **kwargs)

        patch.setattr(socket, "getaddrinfo", guarded_look_up)

        # obstore's connections are not Python's: its requests are stopped where Python makes them.
        for function in ("copy", "delete", "get", "get_range", "head", "list", "list_with_delimiter", "put"):
            for name in (function, f"{function}_async"):
                if request := getattr(obstore, name, None):

                    def guarded_request(store: Any, *args: Any, request: Any = request, **kwargs: Any) -> Any:
                        endpoint = urlsplit(store.config["endpoint"])
                        proxy = None if proxy_bypass(endpoint.netloc) else getproxies().get(endpoint.scheme)
                        _refuse_unless_loopback((urlsplit(proxy).hostname if proxy else endpoint.hostname,))
                        return request(store, *args, **kwargs)

                    patch.setattr(obstore, name, guarded_request)
        yield
