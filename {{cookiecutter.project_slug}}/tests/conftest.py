"""What every test can count on: no connection leaves this machine."""

import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import pytest

pytest_plugins = ["tests.ministack", "tests.doctored"]


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
        yield
