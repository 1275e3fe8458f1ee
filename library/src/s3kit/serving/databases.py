"""SQLite databases that other users of the machine can't read."""

import os
import sqlite3
from contextlib import suppress
from typing import Any


def make_private(path: Any) -> None:
    """Create a file that only its owner can read and write, if it is missing.

    One that exists is not opened: closing it again would release the locks that SQLite holds on it.
    """
    with suppress(OSError):  # whoever opens it says what is wrong
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


class PrivateDatabase(sqlite3.Connection):
    """A connection to a new file that is private: `OPTIONS = {"factory": PrivateDatabase}`.

    SQLite gives the files beside it (-wal, -shm) the same mode.
    """

    def __init__(self, database: Any, *args: Any, **options: Any) -> None:
        """Create the file if it is missing, and connect."""
        if not str(database).startswith((":memory:", "file:")):
            make_private(database)
        super().__init__(database, *args, **options)
