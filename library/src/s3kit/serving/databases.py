"""SQLite databases that other users of the machine can't read."""

import os
import sqlite3
from contextlib import suppress
from typing import Any


def make_private(path: Any) -> None:
    """Create a file that only its owner can read and write, if it doesn't exist.

    An existing file isn't opened, because closing it would release the locks that SQLite holds on it.
    """
    with suppress(OSError):  # opening the database will report it
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


class PrivateDatabase(sqlite3.Connection):
    """A connection that creates its database file as private: `OPTIONS = {"factory": PrivateDatabase}`.

    SQLite gives the -wal and -shm files the same mode.
    """

    def __init__(self, database: Any, *args: Any, **options: Any) -> None:
        """Create the file if it doesn't exist, and connect."""
        if not str(database).startswith((":memory:", "file:")):
            make_private(database)
        super().__init__(database, *args, **options)
