"""The kinds of files that browsers may send straight to S3: declared by the site, enforced by the server."""

import posixpath
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import storages

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
    from django.core.files.uploadedfile import UploadedFile

    from s3kit.storages import MediaStorage


def is_staff(user: "AbstractBaseUser | AnonymousUser") -> bool:
    """Return whether the user is an active staff member, which is the default rule of a kind."""
    return bool(user.is_active and getattr(user, "is_staff", False))


@dataclass(frozen=True)
class Kind:
    """A kind of file that may be uploaded.

    - `name` identifies the kind, such as "gallery.film". Tickets store it.
    - `extensions` are in lower case and have no dot. `max_bytes` is the largest accepted size.
    - `folder` is where `Accepting.keep` stores the file. Leave it empty if your view re-encodes the file and
      saves the result itself.
    - `max_length` is that of the FileField which holds the name.
    - `check` reads the file and raises ValidationError, with sentences for the user, to reject it.
    - `may_upload` takes a user and returns whether they may upload this kind. The default is staff only.
    - `storage` is the alias in STORAGES.
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
        """Return whether this kind accepts the file's extension."""
        return posixpath.splitext(file_name)[1].lower().removeprefix(".") in self.extensions


_registered: dict[str, Kind] = {}


def register(*kinds: Kind) -> None:
    """Allow browsers to send these kinds of files. Call it in the `ready()` method of an app.

    Raises ImproperlyConfigured if another kind has the same name.
    """
    for kind in kinds:
        if _registered.setdefault(kind.name, kind) != kind:
            raise ImproperlyConfigured(f"Two kinds of uploads are called {kind.name!r}.")


def registered(name: str) -> Kind | None:
    """Return the kind with this name, or None."""
    return _registered.get(name)


def kind_of(file_name: str, kinds: Iterable[Kind]) -> Kind | None:
    """Return the first kind that accepts the file's extension, or None."""
    return next((kind for kind in kinds if kind.takes(file_name)), None)


def available(alias: str = "default") -> bool:
    """Return whether browsers may send files straight to this storage: on S3, unless `direct_uploads` is off."""
    from s3kit.storages import MediaStorage

    storage = storages[alias]
    return isinstance(storage, MediaStorage) and storage.direct_uploads


def storage_of(alias: str) -> "MediaStorage":
    """Return the storage with this alias. Raise ImproperlyConfigured if it is not on S3."""
    from s3kit.storages import MediaStorage

    storage = storages[alias]
    if not isinstance(storage, MediaStorage):
        raise ImproperlyConfigured(
            f"STORAGES[{alias!r}] is not on S3, so browsers can't send files to it. Check uploads.available() first."
        )
    return storage
