"""A lock in the database, so that only one release runs at a time."""

import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db.backends.base.base import BaseDatabaseWrapper

from s3kit.serving.databases import make_private

# Any number that no other advisory lock in the same database uses.
KEY = zlib.crc32(b"manage.py release")

_RETRY_AFTER = 0.5  # seconds


class LockedError(Exception):
    """The lock was not released in time."""


@contextmanager
def locked(connection: BaseDatabaseWrapper, wait: float, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of a database. It is also released if this process is killed.

    If the lock is taken, calls `on_wait` once, waits up to `wait` seconds, and then raises LockedError. The lock is an
    advisory lock on PostgreSQL, and a file next to the database on SQLite. Other databases, and SQLite in memory, have
    no lock.
    """
    hold = {"postgresql": _on_postgresql, "sqlite": _on_sqlite}.get(connection.vendor, _without)
    with hold(connection) as take:
        end, is_waiting = time.monotonic() + wait, False
        while not take():
            if not is_waiting:
                on_wait()
                is_waiting = True
            if time.monotonic() >= end:
                raise LockedError
            time.sleep(_RETRY_AFTER)
        yield


@contextmanager
def _on_postgresql(connection: BaseDatabaseWrapper) -> Iterator[Callable[[], bool]]:
    # A separate connection, because migrations may close the default one. It polls, because a session that waits in
    # pg_advisory_lock() keeps a transaction open, for which CREATE INDEX CONCURRENTLY would wait.
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
    # A separate SQLite database, because its locks work on every platform and end with the process. The file isn't
    # deleted, because another release may have locked it by then.
    path = f"{connection.settings_dict['NAME']}.release"
    make_private(path)  # or any user of the machine could hold the lock forever
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
