"""Collect static files with Django's own code into a stage, from which `s3kit.publishing.publish` uploads."""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from django.contrib.staticfiles.management.commands import collectstatic
from django.core.files.base import ContentFile, File
from django.core.files.storage import FileSystemStorage, Storage
from django.core.management.base import CommandError, CommandParser

if TYPE_CHECKING:
    from s3kit.publishing.graph import Unresolved
    from s3kit.storages.static import StaticStorage

CHUNK = 256 * 1024  # bytes to read at once


class Source(NamedTuple):
    """The content of a file: a path, or bytes if it was rewritten. `digest` is its SHA-256."""

    body: Path | bytes
    size: int
    digest: str

    @classmethod
    def of(cls, body: bytes) -> Self:
        """Return the source of content in memory."""
        return cls(body, len(body), hashlib.sha256(body).hexdigest())

    @classmethod
    def on_disk(cls, path: Path) -> Self:
        """Return the source of a file on disk, which is read now and again when it is uploaded."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return cls(path, file.tell(), digest)

    @classmethod
    def found(cls, storage: Storage, path: str) -> Self:
        """Return the source of the file that a finder's storage has at `path`.

        Only files in a plain folder stay on disk. Any other file is read into memory: it may be a member of an archive,
        be generated when it is opened, or disappear when it is closed.
        """
        ordinary: Any = FileSystemStorage
        if isinstance(storage, ordinary) and type(storage)._open is ordinary._open:
            return cls.on_disk(Path(storage.path(path)).absolute())
        with storage.open(path) as content:
            return cls.of(content.read())

    def open(self) -> "File[Any]":
        """Return the content as a Django file."""
        return ContentFile(self.body) if isinstance(self.body, bytes) else File(self.body.open("rb"))


class Stage:
    """The files that Django has collected, under plain names, and those that post-processing made of them.

    Files on disk are read again when they are uploaded; rewritten files are in memory.
    """

    def __init__(self) -> None:
        self.plain: dict[str, Source] = {}
        self.derived: dict[str, Source] = {}
        self.prehashed: set[str] = set()
        """Plain names that a bundler made from the content: they are final names too."""
        self.unresolved: list[Unresolved] = []

    def add(self, name: str, source: Source) -> None:
        """Add a collected file."""
        self.plain[name.replace("\\", "/")] = source

    def source(self, name: str) -> Source:
        """Return the source of a name; raise FileNotFoundError if there is none."""
        found = self.derived.get(name) or self.plain.get(name)
        if found is None:
            raise FileNotFoundError(name)
        return found


class Collecting(collectstatic.Command):
    """Django's command, which collects into the stage of a static storage."""

    def copy_file(self, path: str, prefixed_path: str, source_storage: Storage) -> None:
        """Add a file that a finder has found. Django's own method copies it, and needs a path on disk."""
        if not hasattr(self.storage, "staged"):
            super().copy_file(path, prefixed_path, source_storage)
            return
        self.log(f"Copying '{path}'", level=2)
        self.storage.staged().add(prefixed_path, Source.found(source_storage, path))
        self.copied_files.append(prefixed_path)


def collect(storage: "StaticStorage") -> Stage:
    """Return the site's static files, collected silently with collectstatic's default options.

    Raises CommandError for a reference to a missing file if `strict_references` is set.
    """
    command = Collecting(stdout=io.StringIO(), stderr=io.StringIO(), no_color=True)
    command.storage = storage
    parser = CommandParser()
    command.add_arguments(parser)
    command.set_options(**vars(parser.parse_args([])), verbosity=0)
    with storage.staging() as stage, missing_files_as_lines():
        command.collect()
    return stage


@contextmanager
def missing_files_as_lines() -> Iterator[None]:
    """Turn a post-processing error into CommandError, which has no traceback."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        raise CommandError("\n".join([str(error), *getattr(error, "__notes__", [])])) from error
