"""A threaded gunicorn worker that gives a request to a thread only when the request has arrived completely.

gunicorn's own worker hands each connection to a thread, which reads as slowly as the client sends. So as many slow
clients as there are threads block the site, and no setting prevents that. This worker reads requests in the event loop.
"""

import re
import socket
import time
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

from s3kit.serving import MAX_BODY

MAX_HEAD = 64 * 1024
SECONDS = 15  # for a request to arrive
BYTES_A_SECOND = 50_000  # the minimum for a body larger than MAX_BODY, which a thread reads
LINGER = 2  # seconds for a client to read its response before the connection is closed

LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*0*(\d{1,15})[ \t]*\r\n", re.IGNORECASE)
EXPECT = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE)


class Arrival:
    """The data of a request that has arrived so far. A body without a Content-Length is ignored, as Django does."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.head = self.length = 0

    def add(self, data: bytes) -> None:
        """Append data, and look for the end of the request's head."""
        searched = max(0, len(self.data) - 3)
        self.data += data
        if not self.head and (end := self.data.find(b"\r\n\r\n", searched)) >= 0:
            self.head = end + 4
            length = LENGTH.search(self.data, 0, end + 2)
            self.length = int(length[1]) if length else 0

    @property
    def is_complete(self) -> bool:
        """Whether the request is complete, or its body is too large to be kept in memory."""
        return self.head > 0 and (self.length > MAX_BODY or len(self.data) >= self.head + self.length)


class Worker(ThreadWorker):  # type: ignore[misc]
    """A worker that slow clients can't block."""

    def init_process(self) -> None:
        """Run the worker. Idle and slow connections may only use a part of worker_connections."""
        self.max_keepalived = self.worker_connections // 2
        self.max_waiting = max(1, self.worker_connections // 4)
        self.waiting: dict[TConn, float] = {}  # deadlines of connections that the event loop reads
        self.reading: dict[TConn, float] = {}  # deadlines of connections that a thread reads
        super().init_process()

    def wait(self, conn: TConn, seconds: float, receive: Any) -> None:
        """For some seconds, let the event loop call `receive` with the connection when it has data."""
        if len(self.waiting) >= self.max_waiting:
            self.drop(next(iter(self.waiting)))  # the one that has waited longest
        conn.sock.setblocking(False)
        self.waiting[conn] = time.monotonic() + seconds
        self.poller.register(conn.sock, EVENT_READ, lambda _socket: receive(conn))

    def read(self, conn: TConn) -> bytes | None:
        """Return available bytes, b"" at the end of the connection, or None if there are none yet."""
        try:
            return bytes(conn.sock.recv(64 * 1024))
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def done(self, conn: TConn) -> None:
        """Stop reading a connection."""
        del self.waiting[conn]
        self.poller.unregister(conn.sock)

    def drop(self, conn: TConn) -> None:
        """Close a connection."""
        self.done(conn)
        self.nr_conns -= 1
        conn.close()

    def enqueue_req(self, conn: TConn) -> None:
        """Read a request in the event loop, instead of giving its connection to a thread immediately."""
        if self.cfg.is_ssl:
            super().enqueue_req(conn)
            return
        arrival = Arrival()
        self.wait(conn, SECONDS, partial(self.collect, arrival))
        if conn.parser and (ahead := conn.parser.unreader.take_buffered()):  # read with the previous request
            self.take(arrival, conn, ahead)

    def collect(self, arrival: Arrival, conn: TConn) -> None:
        """Read available data of a request."""
        if (data := self.read(conn)) is not None:
            self.take(arrival, conn, data)

    def take(self, arrival: Arrival, conn: TConn, data: bytes) -> None:
        """Add data to a request, and give it to a thread when it is complete."""
        had_head = arrival.head
        arrival.add(data)
        if not data or (not arrival.head and len(arrival.data) > MAX_HEAD):
            self.drop(conn)
        elif arrival.is_complete:
            self.done(conn)
            if (missing := arrival.head + arrival.length - len(arrival.data)) > 0:
                self.reading[conn] = time.monotonic() + SECONDS + missing / BYTES_A_SECOND
            conn.init()
            conn.parser.unreader.unread(bytes(arrival.data))
            super().enqueue_req(conn)
        elif arrival.head > had_head and EXPECT.search(arrival.data, 0, arrival.head):
            with suppress(OSError):
                conn.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def finish_request(self, conn: TConn, fs: "Future[Any]") -> None:
        """Keep the connection, or close it when the client has its response, without blocking the event loop."""
        self.reading.pop(conn, None)
        if self.cfg.is_ssl or (not fs.cancelled() and not fs.exception() and fs.result()):
            super().finish_request(conn, fs)
        elif conn.sock.fileno() < 0:  # closed after an error
            self.nr_conns -= 1
        else:
            with suppress(OSError):
                conn.sock.shutdown(socket.SHUT_WR)
            self.wait(conn, LINGER, self.discard)

    def discard(self, conn: TConn) -> None:
        """Read and discard data until the client closes the connection."""
        if self.read(conn) == b"":
            self.drop(conn)

    def murder_pending(self) -> None:
        """Close connections whose deadline has passed."""
        super().murder_pending()
        now = time.monotonic()
        for conn in [conn for conn, end in self.waiting.items() if end < now]:
            self.drop(conn)
        for conn in [conn for conn, end in self.reading.items() if end < now]:
            with suppress(OSError):
                conn.sock.shutdown(socket.SHUT_RD)
            del self.reading[conn]
