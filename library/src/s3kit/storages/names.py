"""How a name was made, which decides whether it can be taken and how long a file is kept: never how it looks.

The classes of names are texts, so that they pass through Django's `FileField` and `Storage.save()` unharmed. Copies and
pickles keep what they are; whatever else is done to them returns a plain `str`, which counts as a name that code chose.
"""

from typing import Any


class UniqueName(str):
    """A name with a random part, which nothing else has. `asked` is the same without that part."""

    __slots__ = ("asked", "is_stored")

    asked: str
    is_stored: bool
    """Whether a file was stored under it: a second one needs another name."""

    def __new__(cls, name: str, asked: str = "") -> "UniqueName":
        """Return the name."""
        made = super().__new__(cls, name)
        made.asked, made.is_stored = str(asked or name), False
        return made


class ChosenName(str):
    """A name that code asks `Storage.save()` for, of at most `max_length` characters if it is not None."""

    __slots__ = ("max_length",)

    max_length: int | None

    def __new__(cls, name: str, max_length: int | None = None) -> "ChosenName":
        """Return the name."""
        made = super().__new__(cls, name)
        made.max_length = max_length
        return made


class Stored:
    """A file that may be in a storage already, before `Storage.save()` is called with it.

    `row` is the field of the row that it is saved with, as app.Model.field, and `database` the alias of that row's.
    """

    row = database = ""
    is_saving = False
    """Whether it waits for `confirm`."""

    def accept(self, storage: Any, max_length: int | None) -> str | None:
        """Return its name if it is in this storage, of at most `max_length` characters; else None."""
        raise NotImplementedError

    def confirm(self) -> None:
        """Note that the row is written."""
