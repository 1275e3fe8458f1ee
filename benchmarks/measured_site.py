"""The generated project as gunicorn serves it for `benchmarks.uploads`: each request is noted when it ends.

The plain form takes films of any size here: otherwise there would be nothing to compare.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from config.wsgi import application as site
from gallery import forms

# Before the views are imported, which is at the first request.
forms.FORM_MAX_BYTES = forms.PictureForm.base_fields["file"].form_max_bytes = forms.FILM.max_bytes

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


def noting(wrapped: Application, log: str) -> Application:
    """Return the application; it appends a line of JSON to the log for each request that it has answered."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        began = time.perf_counter()
        answer = wrapped(environ, start_response)
        try:
            yield from answer
        finally:
            if (close := getattr(answer, "close", None)) is not None:
                close()
            note = {"path": environ["PATH_INFO"], "seconds": time.perf_counter() - began}
            with open(log, "a", encoding="utf-8") as file:  # noqa: PTH123 -- appending in one write
                file.write(json.dumps(note) + "\n")

    return application


application = noting(site, os.environ["BENCH_LOG"])
