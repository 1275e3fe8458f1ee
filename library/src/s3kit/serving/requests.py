"""Whether code runs in a request, or in the background: in a command, a job, or a separate thread."""

import asyncio
import threading
from typing import Any

from django.core.signals import request_finished, request_started

# Under WSGI and ASGI, Django sends both signals in the thread that runs a request's synchronous code, and that thread
# handles no other request in between.
_thread = threading.local()
_watching = False


def watch() -> None:
    """Start to track requests. Until then, `in_request` always returns True."""
    global _watching
    _watching = True
    request_started.connect(_started, dispatch_uid=__name__)
    request_finished.connect(_finished, dispatch_uid=__name__)


def _started(**_more: Any) -> None:
    _thread.in_request = True


def _finished(**_more: Any) -> None:
    _thread.in_request = False


def in_request() -> bool:
    """Return whether the code runs in a request, or in an event loop, which must not be blocked for long.

    A thread that a view starts is in the background.
    """
    if not _watching or getattr(_thread, "in_request", False):
        return True
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
