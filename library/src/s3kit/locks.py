"""One release at a time: a lock that belongs to a database."""

import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db.backends.base.base import BaseDatabaseWrapper

from s3kit.serving.databases import make_private

# Any number will do that nothing else uses for an advisory lock in the same database.
KEY = zlib.crc32(b"manage.py release")

_ASK_AGAIN_AFTER = 0.5  # seconds


class LockedError(Exception):
    """The lock was not free in time."""


@contextmanager
def locked(connection: BaseDatabaseWrapper, wait: float, tell: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of a database. It is released when this process ends, in whatever way.

    Calls `tell` once if it has to wait, for up to `wait` seconds, and then raises LockedError. The lock is an
    advisory one on PostgreSQL, and that of a file beside the database on SQLite. Other databases, and SQLite in
    memory, have no lock.
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
    # A connection of its own, because migrations may close theirs. It polls, because a session that waits in
    # pg_advisory_lock() holds a transaction open, and CREATE INDEX CONCURRENTLY waits for those.
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
    # A database of its own, because its locks work on every platform and end with the process. The file stays:
    # deleting it could delete one that another release has just locked.
    path = f"{connection.settings_dict['NAME']}.release"
    make_private(path)  # or any user of the machine could hold the lock for ever
    own = sqlite3.connect(path, timeout=0, isolation_level=None)

    def take() -> bool:
        try:
            own.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            return False
        return True

    try:
        yield take
    finally:
        own.close()


@contextmanager
def _without(_connection: BaseDatabaseWrapper) -> Iterator[Callable[[], bool]]:
    yield lambda: True
