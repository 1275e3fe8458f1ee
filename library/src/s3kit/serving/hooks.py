"""gunicorn server hooks, to import in gunicorn.conf.py."""

import os
import sys
from typing import Any

from s3kit.serving import MAX_BODY


def on_starting(server: Any) -> None:
    """Load the site once before the workers do, so that a single line says why it doesn't start.

    If several workers fail at once, gunicorn exits with its own traceback.
    """
    child = os.fork()
    if not child:
        code = 0
        try:
            server.app.wsgi()
        except SystemExit:  # s3kit.serving.start has logged the line
            code = 1
        finally:
            os._exit(code)
    if os.waitpid(child, 0)[1]:
        sys.exit(1)


def pre_request(_worker: Any, request: Any) -> None:
    """Close the connection after a request whose body may not have been read."""
    headers = dict(request.headers)
    if "TRANSFER-ENCODING" in headers or int(headers.get("CONTENT-LENGTH", 0)) > MAX_BODY:
        request.force_close()
