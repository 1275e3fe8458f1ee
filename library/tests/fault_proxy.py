"""A loopback HTTP proxy in front of an S3 server, which counts requests and injects errors, delays, and aborts.

with FaultProxy(store.endpoint) as proxy:
    proxy.faults.append(Fault("PUT", r"/css/", status=503, code="SlowDown", times=2))
    settings.AWS_S3_ENDPOINT_URL = proxy.endpoint
"""

import contextlib
import html
import http.client
import os
import re
import socket
import struct
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal
from urllib.parse import unquote, urlsplit

PATIENCE = 300  # seconds to wait for a request, which may come late on a busy machine


@dataclass
class Fault:
    """A fault for requests with a method ("" for any) whose decoded path and query match a pattern.

    The fault starts with the `first` such request (counted from 1), affects each `every`-th from there,
    and ends after `times` requests (None: never). Without a status, a raw response, or a cut, the request is only
    delayed.
    """

    method: str = ""
    path: str = ""
    # Only requests with this header, in lower case.
    header: str = ""
    # Only requests without a header that matches this pattern, in lower case.
    lacks: str = ""
    first: int = 1
    every: int = 1
    times: int | None = None
    status: int = 0
    code: str = "InternalError"
    # The response's body, instead of an XML error with that code.
    body: str = ""
    # The raw response, sent byte by byte before the connection is closed.
    raw: bytes = b""
    # "before": nothing reaches the server. "after": the server handles the request, but the client gets no response.
    # "reset": like "before", with a TCP reset, as from a peer that lost the connection. "middle": a
    # reset after half of the body.
    cut: Literal["", "before", "middle", "after", "reset"] = ""
    delay: float = 0  # seconds
    # Until this event is set, the request hangs, and doesn't reach the server.
    hold: threading.Event | None = None
    seen: int = field(default=0, init=False)
    struck: int = field(default=0, init=False)

    def strikes(self, method: str, path: str, headers: Collection[str] = ()) -> bool:
        if (self.method and self.method != method) or not re.search(self.path, path):
            return False
        if self.header and self.header not in headers:
            return False
        if self.lacks and any(re.fullmatch(self.lacks, name) for name in headers):
            return False
        self.seen += 1
        due = self.seen >= self.first and (self.seen - self.first) % self.every == 0
        if not due or (self.times is not None and self.struck >= self.times):
            return False
        self.struck += 1
        return True


@dataclass(frozen=True)
class Request:
    """A received request. The path and query are decoded; the status is the response's, or 0 without one."""

    method: str
    path: str
    size: int
    headers: dict[str, str]
    status: int


class FaultProxy:
    """The proxy. `requests` contains the received requests, in the order of the responses.

    `rate` limits each client's bandwidth in bytes per second; 0 means no limit.
    """

    def __init__(self, upstream: str, rate: int = 0) -> None:
        parts = urlsplit(upstream)
        assert parts.hostname
        assert parts.port
        self.upstream = (parts.hostname, parts.port)
        self.rate = rate
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        # Days by which objects ("/bucket/key") look older in listings, until they are written again.
        self.aged: dict[str, int] = {}
        self.busy = 0
        self.busiest = 0
        self.hanging = 0
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def do(self) -> None:
                proxy._handle(self)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_OPTIONS = do  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_: object) -> None:  # a client that was killed
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        if rate:  # otherwise, the system would buffer much of what a client sends
            self._server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> "FaultProxy":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def count(self, method: str = "", path: str = "") -> int:
        """Return the number of requests with a method ("" for any) and a matching path."""
        return len(self.matching(method, path))

    def matching(self, method: str = "", path: str = "") -> list[Request]:
        """Return the requests with a method ("" for any) and a matching path."""
        with self._lock:
            return [r for r in self.requests if method in {"", r.method} and re.search(path, r.path)]

    def wait_for(self, count: int, method: str = "", path: str = "") -> None:
        """Wait for this number of matching requests; fail after five minutes."""
        until = time.monotonic() + PATIENCE
        while self.count(method, path) < count:
            assert time.monotonic() < until, f"{self.count(method, path)} requests, waited for {count}"
            time.sleep(0.005)

    def wait_for_hanging(self) -> None:
        """Wait until a request hangs on a fault's `hold`; fail after five minutes."""
        until = time.monotonic() + PATIENCE
        while not self.hanging:
            assert time.monotonic() < until, "no request hangs"
            time.sleep(0.005)

    def clear(self) -> None:
        """Forget faults and requests."""
        with self._lock:
            self.faults.clear()
            self.requests.clear()
            self.busiest = self.hanging = 0

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        size = int(handler.headers.get("Content-Length") or 0)
        body = self._read(handler, size // 2)
        path = unquote(handler.path)
        names = {name.lower() for name in handler.headers}
        with self._lock:
            early = [f for f in self.faults if f.cut == "middle"]
            fault = next((f for f in early if f.strikes(handler.command, path, names)), None)
        if not fault:
            body += self._read(handler, size - len(body))
            if len(body) < size:  # the client was killed during the request
                handler.close_connection = True
                return
        with self._lock:
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
            late = (f for f in self.faults if f.cut != "middle")
            fault = fault or next((f for f in late if f.strikes(handler.command, path, names)), None)
        came = Request(
            handler.command, path, size, {name.lower(): value for name, value in handler.headers.items()}, 0
        )
        try:
            if fault and fault.delay:
                time.sleep(fault.delay)
            if fault and fault.hold:
                with self._lock:
                    self.hanging += 1
                fault.hold.wait(PATIENCE)
            if fault and fault.cut in {"before", "middle", "reset"}:
                if fault.cut != "before":
                    linger = struct.pack("ii", 1, 0)
                    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    os.close(handler.connection.detach())  # close() waits for the file objects of the socket
                self._cut(handler)
            elif fault and fault.raw:
                handler.wfile.write(fault.raw)
                handler.close_connection = True
            elif fault and fault.status:
                came = self._note(came, fault.status)
                self._reject(handler, fault)
            else:
                got, content = self._forward(handler, body)
                if fault and fault.cut == "after":
                    self._cut(handler)
                else:
                    came = self._note(came, got.status)
                    self._answer(handler, got, content)
        finally:
            with self._lock:
                self.busy -= 1
            if not came.status:
                self._note(came, 0)

    def _read(self, handler: BaseHTTPRequestHandler, size: int) -> bytes:
        if not self.rate:
            return handler.rfile.read(size)
        body = bytearray()
        while chunk := handler.rfile.read(min(32 * 1024, size - len(body))):
            body += chunk
            time.sleep(len(chunk) / self.rate)
        return bytes(body)

    def _note(self, came: Request, status: int) -> Request:
        """Record a request before the response, because the client may count requests immediately afterwards."""
        noted = replace(came, status=status)
        with self._lock:
            self.requests.append(noted)
        return noted

    def _cut(self, handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        with contextlib.suppress(OSError):
            handler.connection.shutdown(socket.SHUT_RDWR)

    def _reject(self, handler: BaseHTTPRequestHandler, fault: Fault) -> None:
        error = f"<Error><Code>{fault.code}</Code><Message>As the test says.</Message></Error>"
        body = (fault.body or error).encode()
        handler.send_response(fault.status)
        handler.send_header("Content-Type", "application/xml")
        handler.send_header("Content-Length", str(len(body)))
        if origin := handler.headers.get("Origin"):  # S3 lets pages read error responses too
            handler.send_header("Access-Control-Allow-Origin", origin)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)

    def _forward(
        self, handler: BaseHTTPRequestHandler, body: bytes
    ) -> tuple[http.client.HTTPResponse, bytes]:
        upstream = http.client.HTTPConnection(*self.upstream, timeout=30)
        try:
            upstream.putrequest(handler.command, handler.path, skip_host=True, skip_accept_encoding=True)
            for name, value in handler.headers.items():  # including Host, which the signature covers
                if name.lower() not in {"connection", "expect"}:
                    upstream.putheader(name, value)
            upstream.putheader("Connection", "close")
            upstream.endheaders(body or None)
            got = upstream.getresponse()
            return got, self._age(handler, got.status, got.read())
        finally:
            upstream.close()

    def _answer(self, handler: BaseHTTPRequestHandler, got: http.client.HTTPResponse, content: bytes) -> None:
        handler.send_response_only(got.status)
        for name, value in got.getheaders():
            if name.lower() == "last-modified" and (days := self.aged.get(unquote(handler.path))):
                value = format_datetime(parsedate_to_datetime(value) - timedelta(days), usegmt=True)
            if name.lower() not in {"connection", "transfer-encoding", "content-length"}:
                handler.send_header(name, value)
        length = got.getheader("Content-Length") if handler.command == "HEAD" else None
        handler.send_header("Content-Length", length or str(len(content)))
        handler.end_headers()
        with contextlib.suppress(OSError):
            handler.wfile.write(content)

    def _age(self, handler: BaseHTTPRequestHandler, status: int, content: bytes) -> bytes:
        """Return a listing with the ages from `aged`."""
        path, _, query = unquote(handler.path).partition("?")
        if handler.command == "PUT" and status == 200:
            self.aged.pop(path, None)
        if not self.aged or "list-type" not in query:
            return content

        def older(found: re.Match[str]) -> str:
            days = self.aged.get(f"{path.rstrip('/')}/{html.unescape(unquote(found[2]))}", 0)
            modified = datetime.fromisoformat(found[4]) - timedelta(days)
            return f"{found[1]}{found[2]}{found[3]}{modified:%Y-%m-%dT%H:%M:%S.000Z}"

        pattern = r"(<Key>)([^<]*)(</Key>\s*<LastModified>)([^<]*)"
        return re.sub(pattern, older, content.decode()).encode()
