"""The local S3 server: where it is, and whose key the site has there.

The folder `S3KIT_LOCAL_DIR` (var/s3) holds `endpoint`, the server's address as long as it runs, and
`credentials`, the site's key in the form of an AWS shared credentials file.
"""

import configparser
from functools import lru_cache
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from s3kit.deployment import Key
from s3kit.options import conf

DEFAULT_ENDPOINT = "http://127.0.0.1:9000"


class LocalServerNotRunningError(ImproperlyConfigured):
    """The local S3 server is needed, and it is not running."""

    def __init__(self) -> None:
        super().__init__(
            "The local S3 server is not running: start it with `make run`, or with"
            " `python manage.py s3 serve`."
        )


def here() -> tuple[str, Key | None]:
    """Return the server's address and the site's key; without a server, where it would be, and None."""
    folder = conf.local_dir
    try:
        endpoint = (folder / "endpoint").read_text("ascii").strip()
        file = folder / "credentials"
        return endpoint, _key(file, file.stat().st_mtime_ns)
    except OSError:
        return DEFAULT_ENDPOINT, None


def current() -> tuple[str, Key]:
    """Return the server's address and the site's key; raise LocalServerNotRunningError without a server."""
    endpoint, key = here()
    if key is None:
        raise LocalServerNotRunningError
    return endpoint, key


@lru_cache(maxsize=4)
def _key(file: Path, _changed: int) -> Key | None:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(file)
        section = parser["default"]
        return Key(section["aws_access_key_id"], section["aws_secret_access_key"])
    except (configparser.Error, KeyError):
        return None
