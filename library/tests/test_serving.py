"""A site on the internet: slow clients, large bodies, visitors' addresses, and the server's output."""

import asyncio
import http.client
import json
import logging
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings
from django.test.client import FakePayload
from django.urls import path

from s3kit.serving import MAX_BODY, bodies, start
from s3kit.serving.addresses import client_address
from s3kit.serving.databases import PrivateDatabase
from tests.processes import ROOT, environment

APPLICATION = '''
def application(environ, start_response):
    """Return the size of the body, or 413 if it is unread and large, as the middleware does."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if environ["PATH_INFO"] != "/files" and (length > 256 * 1024 or "HTTP_TRANSFER_ENCODING" in environ):
        start_response("413 Too large", [("Content-Length", "0")])
        return [b""]
    answer = b"%d" % len(environ["wsgi.input"].read(length))
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]
'''
CONFIGURATION = """
from s3kit.serving import worker
from s3kit.serving.hooks import on_starting, pre_request
worker_class = "s3kit.serving.worker.Worker"
workers, threads, keepalive, control_socket_disable = 1, 2, 60, True
worker_connections = 40
worker.SECONDS = {seconds}
"""
HEAD = b"POST / HTTP/1.1\r\nHost: site\r\n"


@contextmanager
def gunicorn(folder: Path, seconds: float) -> Iterator[int]:
    """Serve APPLICATION with two threads, and return the port."""
    (folder / "application.py").write_text(APPLICATION)
    (folder / "gunicorn.conf.py").write_text(CONFIGURATION.format(seconds=seconds))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "application", "--bind", f"fd://{listener.fileno()}"],
            cwd=folder,
            pass_fds=[listener.fileno()],
            env=environment(),
        )
        try:
            yield listener.getsockname()[1]
        finally:
            process.terminate()
            assert process.wait(60) == 0


def answer(port: int, method: str = "GET", address: str = "/", **request: Any) -> tuple[int, bytes]:
    """Return the status and body of a request over a new connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request(method, address, **request)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


SLOW = {
    "idle": HEAD + b"\r\n",
    "nothing": b"",
    "head": HEAD + b"X-Slow: ",
    "body": HEAD + b"Content-Length: 1000\r\n\r\nx",
    "body with a zero-padded length": HEAD + b"Content-Length: " + b"0" * 30 + b"1000\r\n\r\nx",
    "body that waits for 100 Continue": HEAD + b"Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n",
    "large body": HEAD + b"Content-Length: 600000000\r\n\r\nx",
    "endless body": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "second request": HEAD + b"\r\n" + HEAD + b"X-Slow: ",
}


@pytest.mark.slow
def test_slow_clients_do_not_block_the_server(tmp_path: Path) -> None:
    """Many more slow clients than threads and connections: each sends a byte now and then, as long as it can."""
    stop = threading.Event()
    with gunicorn(tmp_path, seconds=30) as port:
        assert answer(port) == (200, b"0")
        slow = []
        for sent in SLOW.values():
            for _ in range(10):
                slow.append(socket.create_connection(("127.0.0.1", port)))
                slow[-1].sendall(sent)

        def drip() -> None:
            while not stop.wait(0.1):
                for client in slow:
                    with suppress(OSError):
                        client.send(b"x")

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            for _ in range(20):
                assert answer(port) == (200, b"0")
            assert answer(port, "POST", body=b"x" * MAX_BODY) == (200, b"%d" % MAX_BODY)
        finally:
            stop.set()
            dripping.join()
            for client in slow:
                client.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nothing", "head", "body", "large body", "files"])
def test_slow_client_is_disconnected(tmp_path: Path, kind: str) -> None:
    length = MAX_BODY + 1_000
    sent = SLOW.get(kind) or b"POST /files HTTP/1.1\r\nHost: site\r\nContent-Length: %d\r\n\r\n" % length
    with gunicorn(tmp_path, seconds=0.5) as port, socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(0.1)
        client.sendall(sent if kind != "nothing" else b"")
        until, received = time.monotonic() + 120, None
        while received != b"":
            assert time.monotonic() < until
            try:
                client.send(b"x")
                received = client.recv(1000)
            except TimeoutError:
                continue
            except OSError:
                break


@pytest.mark.slow
def test_other_requests_are_served_normally(tmp_path: Path) -> None:
    with gunicorn(tmp_path, seconds=60) as port:
        assert answer(port, "POST", body=b"abc") == (200, b"3")
        large = 3 * MAX_BODY
        assert answer(port, "POST", "/files", body=b"x" * large) == (200, b"%d" % large)
        assert answer(port, "POST", body=b"x" * large, headers={"Connection": "close"})[0] == 413
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        for size in (10, 0, 100_000, MAX_BODY):  # several on one connection
            connection.request("POST", "/", body=b"x" * size)
            assert connection.getresponse().read() == b"%d" % size
        connection.close()
        with socket.create_connection(("127.0.0.1", port), timeout=120) as client:
            for part in (HEAD[:9], HEAD[9:] + b"Expect: 100-continue\r\nContent-Length: 2\r", b"\n\r\n"):
                client.sendall(part)
                time.sleep(0.1)
            assert client.recv(1000).startswith(b"HTTP/1.1 100 ")
            pipelined = HEAD + b"Content-Length: 3\r\n\r\nabc" + HEAD + b"Connection: close\r\n\r\n"
            client.sendall(b"ab" + pipelined)
            received = b""
            while data := client.recv(1000):
                received += data
            assert received.count(b"HTTP/1.1 200 OK") == 3
            assert [line for line in received.split(b"\r\n\r\n") if line[:1].isdigit()]


# Bodies


def home(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("fine")


urlpatterns = [path("files/", bodies.takes_files(MAX_BODY)(lambda request: home(request))), path("", home)]


class User:
    def __init__(self, *, known: bool = False) -> None:
        self.is_authenticated = self.is_staff = known


@override_settings(ROOT_URLCONF=__name__)
@pytest.mark.parametrize(
    ("page", "known", "size", "status"),
    [
        ("/", False, MAX_BODY, 200),
        ("/", True, MAX_BODY + 1, 413),
        ("/missing/", True, MAX_BODY + 1, 413),
        ("/files/", False, MAX_BODY + 1, 413),
        ("/files/", True, 2 * MAX_BODY, 200),
        ("/files/", True, 2 * MAX_BODY + 1, 413),
        ("/files/", True, "chunked", 413),
    ],
)
def test_large_bodies_are_rejected_unless_the_view_takes_files(
    page: str, known: bool, size: int | str, status: int
) -> None:
    length = {"HTTP_TRANSFER_ENCODING": size} if size == "chunked" else {"CONTENT_LENGTH": str(size)}
    request = RequestFactory().generic("POST", page, **{"wsgi.input": FakePayload()} | length)
    request.user = User(known=known)  # type: ignore[assignment]
    assert bodies.limit(home)(request).status_code == status


@override_settings(ROOT_URLCONF=__name__)
@pytest.mark.parametrize("length", [[(b"content-length", b"%d" % (10 * MAX_BODY))], []])
def test_asgi_does_not_buffer_large_bodies(length: list[tuple[bytes, bytes]]) -> None:
    read: list[bytes] = []
    sent: list[Any] = []

    async def django(_scope: Any, receive: Any, _send: Any) -> None:
        while (message := await receive())["type"] == "http.request":
            read.append(message["body"])

    async def receive() -> Any:
        return {"type": "http.request", "body": b"x" * 100_000, "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message.get("status"))

    asyncio.run(
        bodies.limited(django)({"type": "http", "path": "/missing/", "headers": length}, receive, send)
    )
    assert sum(map(len, read)) <= (0 if length else MAX_BODY)
    assert sent == ([413, None] if length else [])


# Other behavior


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (None, "203.0.113.1", "192.0.2.1"),
        (1, "203.0.113.1, 198.51.100.1", "198.51.100.1"),
        (2, "203.0.113.1, 2001:db8::7, 198.51.100.1", "2001:db8::"),
        (1, "nonsense", None),
        (1, None, "192.0.2.1"),
    ],
)
def test_client_address_trusts_only_the_configured_proxies(
    proxies: int | None, forwarded: str | None, expected: str | None
) -> None:
    headers = {"X-Forwarded-For": forwarded} if forwarded else None
    request = RequestFactory().get("/", headers=headers, REMOTE_ADDR="192.0.2.1")
    with override_settings(AXES_IPWARE_PROXY_COUNT=proxies):
        assert client_address(request) == expected


def test_sqlite_files_are_readable_only_by_their_owner(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        connection = sqlite3.connect(tmp_path / "db.sqlite3", factory=PrivateDatabase)
        connection.executescript("PRAGMA journal_mode=WAL; CREATE TABLE a (b);")
        modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
        connection.close()
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(["db.sqlite3", "db.sqlite3-wal", "db.sqlite3-shm"], 0o600)
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        sqlite3.connect(tmp_path / "missing" / "db.sqlite3", factory=PrivateDatabase)


@override_settings(DEBUG=True)
def test_server_does_not_start_in_debug_mode(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SystemExit) as stopped:
        start.start(dict)
    assert stopped.value.code == 3
    (record,) = caplog.records
    assert record.levelno == logging.CRITICAL
    assert "set DJANGO_DEBUG=false" in record.getMessage()


PRINTS = """
import json, logging.config, sys, threading, warnings
from s3kit.logging import capture

class Json(logging.Formatter):
    def format(self, record):
        return json.dumps([record.name, super().format(record)])

capture(streams=True)
handler = {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.__stderr__"}
logging.config.dictConfig({
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": Json}},
    "filters": {"once": {"()": "s3kit.logging.OncePerPlace"}},
    "handlers": {"stderr": handler},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {"py.warnings": {"filters": ["once"]}},
})
warnings.simplefilter("always")
for number in range(1000):
    warnings.warn(f"odd tag {number}")
print("printed")
print("no end", end="", file=sys.stderr, flush=True)
logging.info("%d", "logging itself fails")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
class Broken:
    def __del__(self):
        1 / 0
Broken()
raise RuntimeError("the last words")
"""


def test_output_warnings_and_exceptions_are_logged(tmp_path: Path) -> None:
    (tmp_path / "prints.py").write_text(PRINTS)
    done = subprocess.run(
        [sys.executable, "prints.py"],
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(ROOT / "src")),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    text = str(lines)
    for words in ("printed", "no end", "Logging error", "the last words", "odd tag 0", "Broken"):
        assert words in text
    assert "odd tag 1" not in text
    assert text.count("ZeroDivisionError") == 2
    assert done.stdout == ""
