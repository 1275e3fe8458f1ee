"""What load balancers ask: `/healthz` (this process answers) and `/readyz` (pages would work).

Both answer GET and HEAD over plain http and on any Host, without session or cookie, and are never cached.
`/readyz` looks at the database, and whether the manifest of static files is loaded; it asks nothing of S3.
Its 503 names what is failing; why is in the log only.
"""

import logging
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from inspect import iscoroutinefunction
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connections
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.utils.decorators import sync_and_async_middleware
from django.utils.log import log_response

from s3.static import manifest_is_loaded

logger = logging.getLogger(__name__)

# Seconds: a database that has not answered by then is no use to a page; and how long an answer is good for,
# so that visitors can't make the database work by asking for /readyz.
LIMIT, KEPT = 3, 1


class _Database:
    """Asks the database on a connection of its own, in a thread of its own, one at a time.

    So a server that accepts connections and says nothing holds up one thread, whoever asks and how often.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = 0.0
        self._answer: Future[None] | None = None

    def check(self) -> None:
        """Return if the database has answered within the last second, or does so in time; raise otherwise."""
        with self._lock:
            now = time.monotonic()
            if self._answer is None or (self._answer.done() and now > self._asked + KEPT):
                self._asked, self._answer = now, Future()
                # Not a pool's thread: Python would wait for it at the end of the process.
                threading.Thread(target=self._ask, args=(self._answer,), daemon=True).start()
            answer = self._answer
        answer.result(LIMIT)

    @staticmethod
    def _ask(answer: "Future[None]") -> None:
        try:
            connection = connections["default"].copy()
            if connection.vendor == "postgresql":
                connection.settings_dict["OPTIONS"]["connect_timeout"] = LIMIT
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1")
            finally:
                connection.close()
        except Exception as error:  # noqa: BLE001 -- it is raised where somebody waits for the answer
            answer.set_exception(error)
        else:
            answer.set_result(None)


_database = _Database()


def failing() -> dict[str, str]:
    """Return what keeps pages from working, by its name, with the reason."""
    found = {}
    try:
        _database.check()
    except TimeoutError:
        found["database"] = f"no answer within {LIMIT} seconds"
    except Exception as error:  # noqa: BLE001 -- whatever it is, the database is of no use
        found["database"] = " ".join(f"{type(error).__name__}: {error}".split())
    if not manifest_is_loaded():
        found["static files"] = "no manifest is loaded"
    return found


def _answer(request: HttpRequest) -> HttpResponse | None:
    """Return the answer to a health check, None for any other request."""
    if request.path_info not in {"/healthz", "/readyz"}:
        return None
    if request.method not in {"GET", "HEAD"}:
        response: HttpResponse = HttpResponseNotAllowed(["GET", "HEAD"])
    elif request.path_info == "/readyz" and (found := failing()):
        response = JsonResponse({"status": "not ready", "failing": list(found)}, status=503)
        why = "; ".join(f"{name}: {reason}" for name, reason in found.items())
        log_response("Not ready: %s", why, response=response, request=request, logger=logger, level="warning")
    else:
        response = JsonResponse({"status": "ok"})
    if request.method == "HEAD":
        response.content = b""
    response["Cache-Control"] = "no-store"
    return response


@sync_and_async_middleware
def health(get_response: Callable[..., Any]) -> Callable[..., "HttpResponse | Awaitable[HttpResponse]"]:
    """Middleware, the first of all: none of the others may redirect, refuse or mark a health check."""
    if iscoroutinefunction(get_response):
        # Not in the one thread that all sync code shares: a database that hangs would hold it up.
        answer = sync_to_async(_answer, thread_sensitive=False)

        async def answered_async(request: HttpRequest) -> HttpResponse:
            response: HttpResponse = await answer(request) or await get_response(request)
            return response

        return answered_async

    def answered(request: HttpRequest) -> HttpResponse:
        response: HttpResponse = _answer(request) or get_response(request)
        return response

    return answered
