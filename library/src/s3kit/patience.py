"""How long a web request waits for S3, and how many of a process's threads may wait at once.

A command can wait for minutes; a page's visitor can't, and each thread that waits answers nobody else. The
limits of a connection and of silence are in `s3/client.py`. Here are those that botocore has no setting for,
set by its events:

- S3 is not asked again once a call has taken RETRY_WITHIN, so that a call does not wait for silence twice;
- a body goes out at MIN_RATE at least, after GRACE;
- while WAITING calls have heard nothing for STUCK_AFTER, a further one fails at once. So with S3 hanging, a
  process with more threads than that still answers every other page.
"""

import threading
import time
from typing import Any

from botocore.exceptions import BotoCoreError, ReadTimeoutError

RETRY_WITHIN = 5.0  # seconds
GRACE = 10.0  # seconds
MIN_RATE = 512 * 1024  # bytes a second
WAITING = 3  # one less than the threads of a worker
STUCK_AFTER = 2.0  # seconds


class NotAnsweringError(BotoCoreError):  # type: ignore[misc]
    """S3 keeps so many calls of this process waiting that no further one is made."""

    fmt = "S3 does not answer: {waiting} calls of this process wait for it already"


class TooSlowError(Exception):
    """The body of a request goes out too slowly; botocore raises its HTTPClientError from it."""


class _Call:
    """A call on its way: when something last moved, and until when its body must have gone out."""

    def __init__(self, size: int) -> None:
        self.moved = time.monotonic()
        self.until = self.moved + GRACE + size / MIN_RATE

    @property
    def is_stuck(self) -> bool:
        return time.monotonic() - self.moved > STUCK_AFTER


class _Paced:
    """The body of a request that notes its progress; reading it fails when the line is too slow."""

    def __init__(self, body: Any, call: _Call) -> None:
        self._body, self._call = body, call

    def read(self, *size: int) -> Any:
        self._call.moved = now = time.monotonic()
        if now > self._call.until:
            raise TooSlowError(f"S3 takes the upload at less than {MIN_RATE // 1024} KiB a second")
        return self._body.read(*size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)


class Limits:
    """The limits, over all calls of one client."""

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}
        self._changed = threading.Condition()

    def attach(self, client: Any) -> None:
        """Bind a boto3 client to the limits."""
        events = client.meta.events
        events.register("before-call.s3", self._begin)
        events.register("before-send.s3", self._enter)
        events.register("response-received.s3", self._leave)
        events.register_first("needs-retry.s3", self._may_retry)

    def _begin(self, context: dict[str, Any], **_kwargs: Any) -> None:
        context["begun"] = time.monotonic()

    def _may_retry(self, request_dict: dict[str, Any], caught_exception: Any, **_kwargs: Any) -> bool | None:
        """Return False for no, else None, which leaves the answer to botocore."""
        late = time.monotonic() - request_dict["context"]["begun"] > RETRY_WITHIN
        return False if late or isinstance(caught_exception, NotAnsweringError) else None

    def _enter(self, request: Any, **_kwargs: Any) -> None:
        with self._changed:
            # Of calls that begin together none is stuck yet: the last one waits to see. Twice as long as that
            # takes, because the others may go on sending meanwhile; those that then still do keep nobody out.
            until = time.monotonic() + 2 * STUCK_AFTER
            while len(self._calls) >= WAITING and time.monotonic() < until:
                if sum(other.is_stuck for other in self._calls.values()) >= WAITING:
                    raise NotAnsweringError(waiting=len(self._calls))
                self._changed.wait(0.1)
            call = _Call(int(request.headers.get("Content-Length") or 0))
            self._calls[threading.get_ident()] = call
        if hasattr(request.body, "read"):
            request.body = _Paced(request.body, call)

    def _leave(self, **_kwargs: Any) -> None:
        with self._changed:
            self._calls.pop(threading.get_ident(), None)
            self._changed.notify_all()


def not_after_silence(caught_exception: Any, **_kwargs: Any) -> bool | None:
    """Return False, for no further try, after silence; else None, which leaves the answer to botocore."""
    return False if isinstance(caught_exception, ReadTimeoutError) else None
