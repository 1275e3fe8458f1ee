"""Measure how many requests per second the in-memory server handles. No benchmark can exceed this rate.

python -m benchmarks.capacity PORT      prints the rate of PutObject requests with 5 kB over 32 connections
"""

import asyncio
import sys
import time
from functools import partial

CONNECTIONS = 32
SECONDS = 2.0
BODY = b"x" * 5000


class Client(asyncio.Protocol):
    """A connection that sends the next PutObject request as soon as it gets a response."""

    transport: asyncio.Transport

    def __init__(self, number: int) -> None:
        head = f"PUT /capacity/{number} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BODY)}\r\n\r\n"
        self.request = head.encode() + BODY
        self.done = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        """Count the response, which has no body, and send the next request."""
        if data.endswith(b"\r\n\r\n"):
            self.done += 1
            self.transport.write(self.request)


def _same(client: Client) -> Client:
    return client


async def measure(port: int) -> float:
    """Return the requests per second that the server on a port of 127.0.0.1 handles."""
    loop = asyncio.get_running_loop()
    clients = [Client(number) for number in range(CONNECTIONS)]
    for client in clients:
        await loop.create_connection(partial(_same, client), "127.0.0.1", port)
    before, began = sum(client.done for client in clients), time.perf_counter()
    await asyncio.sleep(SECONDS)
    rate = (sum(client.done for client in clients) - before) / (time.perf_counter() - began)
    for client in clients:
        client.transport.abort()
    return rate


if __name__ == "__main__":
    sys.stdout.write(f"{asyncio.run(measure(int(sys.argv[1]))):.0f}\n")
