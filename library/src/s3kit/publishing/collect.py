"""Collecting with Django's own code into a stage, from which `s3kit.publishing.publish` uploads."""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from django.core.files.base import ContentFile, File
from django.core.management.base import CommandError, CommandParser

if TYPE_CHECKING:
    from s3kit.storages.static import StaticStorage

CHUNK = 256 * 1024  # bytes read at once


class Source(NamedTuple):
    """The content of a file: on disk, or held because it was rewritten. `digest` is its SHA-256."""

    body: Path | bytes
    size: int
    digest: str

    def open(self) -> "File[Any]":
        """Return the content as a file of Django's."""
        return ContentFile(self.body) if isinstance(self.body, bytes) else File(self.body.open("rb"))


class Stage:
    """What Django has collected: plain names, and the names that its post-processing derived from them.

    Django's code takes it for the storage that it writes to. A file on disk stays there and is read again
    at its upload; text that was rewritten is held.
    """

    def __init__(self) -> None:
        self.plain: dict[str, Source] = {}
        self.derived: dict[str, Source] = {}
        self._folders = {"."}
        self._on_disk: dict[str, Source] = {}

    def add(self, name: str, content: "File[Any]", *, derived: bool) -> None:
        """Note a name and its content."""
        name = name.replace("\\", "/")
        (self.derived if derived else self.plain)[name] = self._source(content)
        if not derived:
            self._folders.update(str(folder) for folder in PurePosixPath(name).parents)

    def _source(self, content: "File[Any]") -> Source:
        path = getattr(content.file, "name", None)
        if not isinstance(path, str):  # held text, or a finder whose files are not on disk
            content.seek(0)
            body = content.read()
            return Source(body, len(body), hashlib.sha256(body).hexdigest())
        if path not in self._on_disk:
            digest, size = hashlib.sha256(), 0
            for chunk in content.chunks(CHUNK):
                digest.update(chunk)
                size += len(chunk)
            self._on_disk[path] = Source(Path(path).absolute(), size, digest.hexdigest())
        return self._on_disk[path]

    def exists(self, name: str) -> bool:
        """Return whether a file or a folder of that name was collected."""
        return name in self.derived or name in self.plain or name in self._folders

    def source(self, name: str) -> Source:
        """Return what a name holds; a folder raises IsADirectoryError, as on disk."""
        found = self.derived.get(name) or self.plain.get(name)
        if found is None:
            raise (IsADirectoryError if name in self._folders else FileNotFoundError)(name)
        return found

    def delete(self, name: str) -> None:
        """Forget a derived name; plain ones are the sources."""
        self.derived.pop(name, None)


def collect(storage: "StaticStorage") -> Stage:
    """Return the site's static files, collected silently and with collectstatic's default options.

    Raises CommandError for a reference to a missing file.
    """
    from django.contrib.staticfiles.management.commands.collectstatic import Command

    command = Command(stdout=io.StringIO(), stderr=io.StringIO(), no_color=True)
    command.storage = storage
    parser = CommandParser()
    command.add_arguments(parser)
    command.set_options(**vars(parser.parse_args([])), verbosity=0)
    with storage.staging() as stage, missing_files_as_lines():
        command.collect()
    return stage


@contextmanager
def missing_files_as_lines() -> Iterator[None]:
    """Turn Django's error for a reference to a missing file into CommandError, which has no traceback."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        raise CommandError("\n".join([str(error), *getattr(error, "__notes__", [])])) from error
