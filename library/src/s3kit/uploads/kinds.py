"""Which files browsers may send straight to S3: declared by the site, checked by the server."""

import posixpath
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import storages

if TYPE_CHECKING:
    from django.core.files.uploadedfile import UploadedFile

    from s3kit.storages import MediaStorage

User = AbstractBaseUser | AnonymousUser


def is_staff(user: User) -> bool:
    """Return whether the user is an active staff member: the rule of a kind that has none of its own."""
    return bool(user.is_active and getattr(user, "is_staff", False))


@dataclass(frozen=True)
class Kind:
    """A kind of file that may be uploaded.

    `name` is that of the ticket's rows, such as "gallery.film". `extensions` are in lower case and without a
    dot, `max_bytes` is the limit. `folder` is where `Accepting.keep` puts the file, in names of the storage; blank
    for files that the caller encodes anew. `max_length` is that of the FileField which holds the name. `check`
    looks into the file and raises ValidationError with sentences for the user. `may_upload` says who may upload;
    `storage` is the alias in STORAGES.
    """

    name: str
    extensions: tuple[str, ...]
    max_bytes: int
    folder: str = ""
    max_length: int = 100
    check: "Callable[[UploadedFile[Any]], object] | None" = None
    may_upload: Callable[[Any], bool] = is_staff
    storage: str = "default"

    def takes(self, file_name: str) -> bool:
        """Return whether the file's extension is one of this kind."""
        return posixpath.splitext(file_name)[1].lower().removeprefix(".") in self.extensions


_registered: dict[str, Kind] = {}


def register(*kinds: Kind) -> None:
    """Let browsers send these kinds of files: call it in the `ready()` of an app.

    Raises ImproperlyConfigured for a name that another kind has.
    """
    for kind in kinds:
        if _registered.setdefault(kind.name, kind) != kind:
            raise ImproperlyConfigured(f"Two kinds of uploads are called {kind.name!r}.")


def registered(name: str) -> Kind | None:
    """Return the kind of a name, or None."""
    return _registered.get(name)


def kind_of(file_name: str, kinds: Iterable[Kind]) -> Kind | None:
    """Return the first of the kinds that takes the file, by its extension."""
    return next((kind for kind in kinds if kind.takes(file_name)), None)


def available(alias: str = "default") -> bool:
    """Return whether uploads can go straight to S3: the storage is there."""
    from s3kit.storages import MediaStorage

    return isinstance(storages[alias], MediaStorage)


def storage_of(alias: str) -> "MediaStorage":
    """Return the storage of an alias; raise ImproperlyConfigured where it is not on S3."""
    from s3kit.storages import MediaStorage

    storage = storages[alias]
    if not isinstance(storage, MediaStorage):
        raise ImproperlyConfigured(
            f"Uploads go straight to S3 only where STORAGES[{alias!r}] is on S3: ask available() first."
        )
    return storage
