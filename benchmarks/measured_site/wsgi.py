"""The WSGI application of the measured site, which logs each request when it ends."""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.core.wsgi import get_wsgi_application
from s3kit.uploads import pending

# As on AWS, where the site copies large files in parts, with more than one request.
pending.COPY_MOST = pending.COPY_FROM

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


def noting(wrapped: Application, log: str) -> Application:
    """Return the application, which appends a line of JSON to the log after each response."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        began, cpu = time.perf_counter(), time.process_time()
        answer = wrapped(environ, start_response)
        try:
            yield from answer
        finally:
            if (close := getattr(answer, "close", None)) is not None:
                close()
            note = {
                "request": f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}",
                "seconds": time.perf_counter() - began,
                "cpu": time.process_time() - cpu,
            }
            with open(log, "a", encoding="utf-8") as file:  # noqa: PTH123 -- appending in one write
                file.write(json.dumps(note) + "\n")

    return application


application = noting(get_wsgi_application(), os.environ["BENCH_LOG"])
