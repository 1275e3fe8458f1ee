"""If S3 hangs or is down, uploads fail in seconds, and a worker's other threads keep responding."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)
from django.core.files.base import ContentFile

from s3kit import clients
from s3kit.storages import MediaStorage
from tests.processes import free_port, until

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def in_request(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make all threads act as if they handle a request, with new clients."""
    monkeypatch.setattr(clients, "in_request", lambda: True)
    clients.forget()
    yield
    clients.forget()


class Hanging:
    """A server that accepts and counts connections, reads data, and never responds."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                self.connections.append(self.socket.accept()[0])
            except OSError:
                return

    def close(self) -> None:
        with suppress(OSError):  # closed before
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for connection in self.connections:
            connection.close()


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    server = Hanging()
    yield server
    server.close()


def storage_at(endpoint: str) -> Any:
    return MediaStorage(bucket_name="example", region_name="eu-central-1", endpoint_url=endpoint)


def test_timeouts_total_seconds_for_pages_and_minutes_for_commands() -> None:
    target = storage_at("http://127.0.0.1:9").target
    page, command = clients.web(target).meta.config, clients.command(target).meta.config
    assert page.retries["total_max_attempts"] * max(page.connect_timeout, page.read_timeout) <= 15
    assert command.retries["total_max_attempts"] * command.read_timeout >= 300
    assert clients.once(target).meta.config.retries["total_max_attempts"] == 1


def test_upload_without_a_response_fails_after_a_few_attempts(
    hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "WEB_READ_TIMEOUT", 0.2)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    with pytest.raises(ReadTimeoutError):
        storage_at(hanging.url).save("a.txt", ContentFile(b"x"))
    until(lambda: len(hanging.connections) == clients.WEB_ATTEMPTS)


def test_upload_to_a_closed_port_fails() -> None:
    with pytest.raises((EndpointConnectionError, ConnectTimeoutError)):
        storage_at(f"http://127.0.0.1:{free_port()}").save("a.txt", ContentFile(b"x"))


def test_upload_fails_immediately_while_too_many_others_wait(
    hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a worker's four threads, at most three wait for S3. The fourth fails uploads immediately, and serves pages."""
    monkeypatch.setattr(clients, "TURN", 0.1)
    monkeypatch.setattr(clients, "WEB_READ_TIMEOUT", 300)
    monkeypatch.setattr(clients, "WEB_ATTEMPTS", 1)
    storage = storage_at(hanging.url)

    def save(_: int) -> BaseException | None:
        try:
            storage.save("a.txt", ContentFile(b"x"))
        except ConnectionClosedError as error:
            return error
        return None

    with ThreadPoolExecutor(clients.UPLOADS_AT_ONCE + 1) as pool:
        waiting = [pool.submit(save, number) for number in range(clients.UPLOADS_AT_ONCE)]
        until(lambda: len(hanging.connections) == clients.UPLOADS_AT_ONCE)
        with pytest.raises(clients.NotAnsweringError, match="3 uploads of this process"):
            storage.save("b.txt", ContentFile(b"x"))
        assert not any(future.done() for future in waiting)
        hanging.close()
        for future in waiting:
            assert isinstance(future.result(), ConnectionClosedError)


def test_failed_uploads_release_their_slots(hanging: Hanging, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "WEB_READ_TIMEOUT", 0.05)
    monkeypatch.setattr(clients, "WEB_ATTEMPTS", 1)
    storage = storage_at(hanging.url)
    for _ in range(clients.UPLOADS_AT_ONCE + 1):
        with pytest.raises(ReadTimeoutError):
            storage.save("a.txt", ContentFile(b"x"))
