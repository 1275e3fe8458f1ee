"""Classes of file names, which record where a name came from.

The class, not the form of a name, decides whether a name can be taken and how long browsers cache the file. The classes
are subclasses of `str`, so they pass through Django's `FileField` and `Storage.save()`. Copies and pickles keep the
class; any other operation returns a plain `str`, which is treated as a name that code chose.
"""

from typing import Any


class UniqueName(str):
    """A name that a random part makes unique. `asked` is the name without that part."""

    __slots__ = ("asked", "is_stored")

    asked: str
    is_stored: bool
    """Whether a file has been stored under it: a second file needs another name."""

    def __new__(cls, name: str, asked: str = "") -> "UniqueName":
        """Create the name."""
        made = super().__new__(cls, name)
        made.asked, made.is_stored = str(asked or name), False
        return made


class ChosenName(str):
    """A name that code passes to `Storage.save()`, of at most `max_length` characters if that is not None."""

    __slots__ = ("max_length",)

    max_length: int | None

    def __new__(cls, name: str, max_length: int | None = None) -> "ChosenName":
        """Create the name."""
        made = super().__new__(cls, name)
        made.max_length = max_length
        return made


class Stored:
    """A file that may already be in a storage when it is passed to `Storage.save()`.

    `row` is the model field that it is saved in, as app.Model.field, and `database` the alias of the row's database.
    """

    row = database = ""
    is_saving = False
    """Whether it is waiting for `confirm`."""

    def accept(self, storage: Any, max_length: int | None) -> str | None:
        """Return the file's name if the file is in this storage, at most `max_length` characters; else None."""
        raise NotImplementedError

    def confirm(self) -> None:
        """Record that the row has been written."""
