"""The local S3 server: its address, and the site's access key.

The folder `S3KIT_LOCAL_DIR` (var/s3) contains `endpoint` (the server's address), `credentials` and `root` (the site's
key and root's, as AWS shared credentials files), and `lock`, which the server holds while it runs.
"""

import configparser
from functools import lru_cache
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError

from s3kit.deployment import Key
from s3kit.options import conf

DEFAULT_ENDPOINT = "http://127.0.0.1:9000"


class LocalServerNotRunningError(CommandError, ImproperlyConfigured):
    """The site needs the local S3 server, which isn't running. Commands print this as an error message."""

    def __init__(self) -> None:
        super().__init__(
            "The local S3 server is not running: start it with `make run` or `python manage.py s3 serve`."
        )


def here() -> tuple[str, Key | None]:
    """Return the server's address and the site's key; without a server, the default address and None."""
    folder = conf.local_dir
    try:
        endpoint = (folder / "endpoint").read_text("ascii").strip()
        if not is_locked(folder / "lock"):  # the server was killed
            return DEFAULT_ENDPOINT, None
    except OSError:
        return DEFAULT_ENDPOINT, None
    file = folder / "credentials"
    try:
        return endpoint, _key(file, file.stat().st_mtime_ns)
    except OSError:  # the server's first start, before it has made the site's user
        return endpoint, None


def current() -> tuple[str, Key]:
    """Return the server's address and the site's key; raise LocalServerNotRunningError without a server."""
    endpoint, key = here()
    if key is None:
        raise LocalServerNotRunningError
    return endpoint, key


def is_locked(lock: Path) -> bool:
    """Return whether a running server holds the lock of its folder."""
    try:
        import fcntl
    except ImportError:  # on Windows, which has no local server
        return False
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@lru_cache(maxsize=4)
def _key(file: Path, _changed: int) -> Key | None:
    return read_key(file)


def read_key(file: Path) -> Key | None:
    """Return the key in an AWS shared credentials file, or None if there is none."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(file)
        section = parser["default"]
        return Key(section["aws_access_key_id"], section["aws_secret_access_key"])
    except (configparser.Error, KeyError):
        return None
