"""Collecting with Django's own code into a stage, from which `s3kit.publishing.publish` uploads."""

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

CHUNK = 256 * 1024  # bytes read at once


class Source(NamedTuple):
    """The content of a file: on disk, or held because it was rewritten. `digest` is its SHA-256."""

    body: Path | bytes
    size: int
    digest: str

    @classmethod
    def of(cls, body: bytes) -> Self:
        """Return the source of held content."""
        return cls(body, len(body), hashlib.sha256(body).hexdigest())

    @classmethod
    def on_disk(cls, path: Path) -> Self:
        """Return the source of a file, which is read here and once more at its upload."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return cls(path, file.tell(), digest)

    @classmethod
    def found(cls, storage: Storage, path: str) -> Self:
        """Return the source of what a finder's storage has at `path`.

        Only files of an ordinary folder are left where they are: others may be members of an archive, made when they
        are opened, or gone when they are closed.
        """
        ordinary: Any = FileSystemStorage
        if isinstance(storage, ordinary) and type(storage)._open is ordinary._open:
            return cls.on_disk(Path(storage.path(path)).absolute())
        with storage.open(path) as content:
            return cls.of(content.read())

    def open(self) -> "File[Any]":
        """Return the content as a file of Django's."""
        return ContentFile(self.body) if isinstance(self.body, bytes) else File(self.body.open("rb"))


class Stage:
    """What Django has collected: plain names, and the final names that post-processing has made of them.

    A file on disk stays there and is read again at its upload; text that was rewritten is held.
    """

    def __init__(self) -> None:
        self.plain: dict[str, Source] = {}
        self.derived: dict[str, Source] = {}
        self.prehashed: set[str] = set()
        """Plain names that a bundler has made from the content: they are final names, too."""
        self.unresolved: list[Unresolved] = []

    def add(self, name: str, source: Source) -> None:
        """Note a collected file."""
        self.plain[name.replace("\\", "/")] = source

    def source(self, name: str) -> Source:
        """Return what a name holds; raise FileNotFoundError where there is none."""
        found = self.derived.get(name) or self.plain.get(name)
        if found is None:
            raise FileNotFoundError(name)
        return found


class Collecting(collectstatic.Command):
    """Django's command, collecting into the stage of a static storage."""

    def copy_file(self, path: str, prefixed_path: str, source_storage: Storage) -> None:
        """Note a file that a finder has found; Django's own copies it, and needs a path on disk."""
        if not hasattr(self.storage, "staged"):
            super().copy_file(path, prefixed_path, source_storage)
            return
        self.log(f"Copying '{path}'", level=2)
        self.storage.staged().add(prefixed_path, Source.found(source_storage, path))
        self.copied_files.append(prefixed_path)


def collect(storage: "StaticStorage") -> Stage:
    """Return the site's static files, collected silently and with collectstatic's default options.

    Raises CommandError for a reference to a missing file, where `strict_references` is set.
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
    """Turn an error of post-processing into CommandError, which has no traceback."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        raise CommandError("\n".join([str(error), *getattr(error, "__notes__", [])])) from error
