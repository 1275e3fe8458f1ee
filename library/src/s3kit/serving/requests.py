"""Whether code runs for a visitor who waits, or in the background: a command, a job, a thread of its own."""

import asyncio
import threading
from typing import Any

from django.core.signals import request_finished, request_started

# Django sends both signals in the thread that runs a request's synchronous code, under WSGI and under ASGI, and gives
# that thread no second request meanwhile.
_thread = threading.local()
_watching = False


def watch() -> None:
    """Notice from now on when requests begin and end. Until then, `in_request` is always true."""
    global _watching
    _watching = True
    request_started.connect(_started, dispatch_uid=__name__)
    request_finished.connect(_finished, dispatch_uid=__name__)


def _started(**_more: Any) -> None:
    _thread.in_request = True


def _finished(**_more: Any) -> None:
    _thread.in_request = False


def in_request() -> bool:
    """Tell whether a visitor may be waiting: in a request, or in an event loop, which nothing may block for long.

    A thread that a view starts is in the background.
    """
    if not _watching or getattr(_thread, "in_request", False):
        return True
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
