"""One release at a time: a lock that belongs to a database."""

import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db.backends.base.base import BaseDatabaseWrapper

# Any number would do that nobody else takes for a lock in the same database.
KEY = zlib.crc32(b"manage.py release")

_ASK_AGAIN_AFTER = 0.5  # seconds


class LockedError(Exception):
    """The lock was not free in time."""


@contextmanager
def locked(connection: BaseDatabaseWrapper, wait: float, tell: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of a database; it falls with this process, however that one ends.

    Waits up to `wait` seconds, after one call of `tell`; raises LockedError where that was not enough. On
    PostgreSQL it is an advisory lock, on SQLite a lock on a file beside the database; other databases, and
    SQLite in memory, have none.
    """
    hold = {"postgresql": _on_postgresql, "sqlite": _on_sqlite}.get(connection.vendor, _without)
    with hold(connection) as take:
        end, told = time.monotonic() + wait, False
        while not take():
            if not told:
                tell()
                told = True
            if time.monotonic() >= end:
                raise LockedError
            time.sleep(_ASK_AGAIN_AFTER)
        yield


@contextmanager
def _on_postgresql(connection: BaseDatabaseWrapper) -> Iterator[Callable[[], bool]]:
    # A connection of its own: migrations may close theirs. Asking again and again, because one that waits in
    # pg_advisory_lock() is a transaction, for whose end the other's CREATE INDEX CONCURRENTLY would wait.
    own = connection.copy()

    def take() -> bool:
        with own.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [KEY])
            return bool(cursor.fetchone()[0])

    try:
        yield take
    finally:
        own.close()


@contextmanager
def _on_sqlite(connection: BaseDatabaseWrapper) -> Iterator[Callable[[], bool]]:
    if connection.is_in_memory_db():  # type: ignore[attr-defined]
        yield lambda: True
        return
    try:
        import fcntl
    except ImportError:  # on Windows, where a release of SQLite has no lock
        yield lambda: True
        return
    # The file stays: whoever removed it could remove one that somebody has just locked.
    with Path(f"{connection.settings_dict['NAME']}.release").open("w") as file:

        def take() -> bool:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        yield take


@contextmanager
def _without(_connection: BaseDatabaseWrapper) -> Iterator[Callable[[], bool]]:
    yield lambda: True
