"""The kinds of files that browsers may send straight to S3: declared with the field, enforced by the server.

A page contains the signed rules of its fields. The browser posts them to the view that issues tickets, and the ticket
stores them. So the same rules apply from the first byte to the row, in any process, and forms need no registry.
"""

import json
import logging
import posixpath
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from django.core import signing
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured, ValidationError
from django.core.files.base import File
from django.core.files.storage import default_storage, storages
from django.db import models
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.translation import gettext as _

from s3kit.uploads.errors import RejectedError, StaleError, UnavailableError, UploadError
from s3kit.uploads.options import option

if TYPE_CHECKING:
    from django.core.files.uploadedfile import UploadedFile

    from s3kit.storages import MediaStorage

logger = logging.getLogger(__name__)

IMAGE_TYPES = ("jpg", "jpeg", "png", "webp", "avif", "gif")
IMAGE_MAX_BYTES = 10 * 2**20
RULES_LIFE = 24 * 3600  # seconds for which an open page can begin uploads
_SALT = "s3kit.uploads.rules"


@dataclass(frozen=True)
class Kind:
    """A kind of file that may be uploaded.

    - `types` are extensions in lower case without a dot. Leave it empty to accept every type.
    - `max_bytes` is the largest accepted size, by default S3KIT_UPLOADS["MAX_BYTES"]. `limit` is the one that applies.
    - `upload_to` is the folder of accepted files, with `strftime` codes, or a function that takes the user and the
      file's name and returns the name to store it under. The storage adds a random part.
    - `check` is a function that gets the file before the file is available to anyone. To reject the file, it raises
      ValidationError with messages for the user. It may return a file to store instead. After any other exception, the
      user can try the same file again.
    - `may_upload` is a permission such as "shop.add_video", a list of permissions of which one is enough, or a function
      that takes a user and returns whether they may upload. Without it, every logged-in user with the page may upload.
    - `storage` is an alias in STORAGES.
    - `name`, such as "shop.video", lets clients without a page begin an upload. A kind with a name needs `may_upload`,
      and its own `upload_to` and `storage` even if a model field has them.
    - `max_length` is that of the FileField that stores the name.

    Functions are stored by name, so they must be at the top level of a module, or given as "module.function".
    """

    types: Sequence[str] = ()
    max_bytes: int | None = None
    upload_to: "str | Callable[[Any, str], str]" = ""
    check: "str | Callable[[UploadedFile[Any]], object] | None" = None
    may_upload: "str | Sequence[str] | Callable[[Any], bool] | None" = None
    storage: str = "default"
    name: str = ""
    max_length: int = 100

    def __post_init__(self) -> None:
        """Raise ImproperlyConfigured for invalid rules."""
        if isinstance(self.types, str) or not all(each == each.lower().strip(". ") for each in self.types):
            raise ImproperlyConfigured(
                f"types is {self.types!r}: list extensions in lower case without a dot, such as ['mp4', 'webm']."
            )
        object.__setattr__(self, "types", tuple(self.types))
        if isinstance(self.may_upload, list):
            object.__setattr__(self, "may_upload", tuple(self.may_upload))
        if self.name and not self.may_upload:
            raise ImproperlyConfigured(
                f"The kind {self.name!r} has a name but no may_upload: set may_upload to say who may upload."
            )

    @property
    def limit(self) -> int:
        """Return the largest accepted size in bytes."""
        return option("MAX_BYTES", self.max_bytes)

    def takes(self, file_name: str) -> bool:
        """Return whether this kind accepts the file's extension."""
        extension = posixpath.splitext(file_name)[1].lower().removeprefix(".")
        return not self.types or extension in self.types

    def allows(self, user: Any) -> bool:
        """Return whether the user may upload this kind."""
        if not user.is_authenticated or not user.is_active:
            return False
        if self.may_upload is None:
            return True
        if callable(self.may_upload):
            return bool(self.may_upload(user))
        permissions = [self.may_upload] if isinstance(self.may_upload, str) else self.may_upload
        return any(user.has_perm(each) for each in permissions)

    def check_announced(self, file_name: str, size: int) -> None:
        """Raise RejectedError for a file of another type, an empty file, or a file that is too large."""
        if not self.takes(file_name):
            raise wrong_type([self])
        if type(size) is not int or size < 1:
            raise RejectedError(_("This file is empty."), code="empty")
        if size > self.limit:
            raise too_large(size, self.limit)

    def checked(self, upload: "UploadedFile[Any]") -> "File[Any] | None":
        """Run `check`, which may raise ValidationError. Return the file to store instead, or None.

        If the check raises any other exception, log it and raise UnavailableError.
        """
        if self.check is None:
            return None
        check = _function(self.check)
        upload.max_bytes = self.limit  # type: ignore[attr-defined]  # for `images.clean_picture`
        try:
            found = check(upload)
        except (ValidationError, UploadError):
            raise
        except Exception as error:
            logger.exception("The check %s of an upload raised an exception", self.check)
            raise UnavailableError(
                _("The file can't be checked at the moment. Please try again in a minute.")
            ) from error
        upload.seek(0)
        if not isinstance(found, File):
            return None
        found.name = found.name or upload.name
        return found

    def stored_name(self, user: Any, file_name: str) -> str:
        """Return the name to store a file of this user's under, without the random part."""
        if isinstance(self.upload_to, str):
            return posixpath.join(timezone.now().strftime(self.upload_to), file_name)
        return str(self.upload_to(user, file_name))

    def packed(self) -> dict[str, Any]:
        """Return the rules as data for JSON. Raise ImproperlyConfigured for a function that can't be imported."""
        packed = asdict(self) | {"types": list(self.types)}
        if isinstance(self.may_upload, tuple):
            packed["may_upload"] = list(self.may_upload)
        for rule in ("upload_to", "check", "may_upload"):
            if callable(packed[rule]):
                packed[rule] = {"function": _path(rule, packed[rule])}
        return {each.name: packed[each.name] for each in fields(self) if packed[each.name] != each.default}

    def text(self) -> str:
        """Return the packed rules as JSON; equal rules give equal text."""
        return json.dumps(self.packed(), sort_keys=True)

    @classmethod
    def unpacked(cls, packed: dict[str, Any]) -> "Kind":
        """Return the kind that was packed. Raise ImproperlyConfigured if one of its functions no longer exists."""
        found = {
            rule: _function(value["function"]) if isinstance(value, dict) else value
            for rule, value in packed.items()
        }
        _function(found.get("check"))
        return cls(**found)


def wrong_type(kinds: Iterable[Kind]) -> RejectedError:
    """Return the error for a file whose extension no kind accepts."""
    listed = ", ".join(f".{each}" for kind in kinds for each in kind.types)
    message = _("Files of this type are not accepted. Please choose one of %(types)s.") % {"types": listed}
    return RejectedError(message, code="type")


def too_large(size: int, limit: int) -> RejectedError:
    """Return the error for a file of more than `limit` bytes."""
    message = _("This file is too large (%(size)s). The limit is %(limit)s.")
    sizes = {"size": filesizeformat(size), "limit": filesizeformat(limit)}
    return RejectedError(message % sizes, code="too_large")


def kind_of(file_name: str, kinds: Iterable[Kind]) -> Kind | None:
    """Return the first kind that accepts the file's extension, or None."""
    return next((kind for kind in kinds if kind.takes(file_name)), None)


# Rules that a field declares


def declared(kinds: Iterable[Kind], options: dict[str, Any]) -> tuple[Kind, ...]:
    """Return a field's kinds: `kinds`, or one with the rules in the field's options, which are removed there.

    Registers kinds with names. Raises TypeError if there are both kinds and rules.
    """
    names = {each.name for each in fields(Kind)} - {"max_length"}  # which is also the field's option
    rules = {name: options.pop(name) for name in names & options.keys()}
    if rules and kinds:
        raise TypeError(f"Pass either kinds or {', '.join(sorted(rules))}, not both.")
    found = tuple(kinds) or (Kind(**rules),)
    for kind in found:
        if kind.name:
            register(kind)
    return found


def image_rules(options: dict[str, Any]) -> dict[str, Any]:
    """Return a field's options, with the rules for re-encoded pictures as defaults."""
    if options.get("kinds"):
        return options
    rules = {"types": IMAGE_TYPES, "max_bytes": IMAGE_MAX_BYTES}
    return rules | {"check": "s3kit.uploads.images.clean_picture"} | options


def completed(kinds: Iterable[Kind], model: type[models.Model] | None, name: str) -> list[Kind]:
    """Return the kinds, completed with the `upload_to`, `storage`, and `max_length` of the model field of this name.

    Raises ImproperlyConfigured if a kind needs its own `upload_to` or `storage`.
    """
    try:
        column = model._meta.get_field(name) if model else None
    except FieldDoesNotExist:
        column = None
    return [_completed(kind, column) if isinstance(column, models.FileField) else kind for kind in kinds]


def _completed(kind: Kind, column: models.FileField) -> Kind:
    rules: dict[str, Any] = {"max_length": column.max_length or 100}
    if not kind.upload_to and column.upload_to:
        rules["upload_to"] = column.upload_to
    if kind.storage == "default" and column.storage != default_storage:
        # Direct uploads need an alias: files for other storages are sent through Django.
        same = (alias for alias in storages.backends if storages[alias] == column.storage)
        rules["storage"] = next(same, "")
    if callable(rules.get("upload_to")):
        raise ImproperlyConfigured(
            f"The upload_to of {column} is a function of the row, but a file is sent before its row exists. Give"
            " the form field its own upload_to: a folder, or a function of the user and the file's name."
        )
    if kind.name and (left := {rule: value for rule, value in rules.items() if rule != "max_length"}):
        listed = ", ".join(f"{rule}={value!r}" for rule, value in left.items())
        raise ImproperlyConfigured(
            f"Uploads of the kind {kind.name!r} begin without the field {column}, so the kind can't get rules from it:"
            f" add {listed} to the kind."
        )
    return kind if kind.name else replace(kind, **rules)


def _path(rule: str, function: Any) -> str:
    """Return the name by which any process can import the function."""
    path = f"{function.__module__}:{getattr(function, '__qualname__', '')}"
    try:
        if _function(path) == function:
            return path
    except ImproperlyConfigured:
        pass
    raise ImproperlyConfigured(
        f"{rule} is {function!r}, which other processes can't import: use a function at the top level of a module."
    )


def _function(named: Any) -> Any:
    """Import the function "module.function" or "module:Class.function"; return anything but a string unchanged."""
    if not isinstance(named, str):
        return named
    module, colon, path = named.partition(":")
    if not colon:
        module, _dot, path = named.rpartition(".")
    try:
        return attrgetter(path)(import_module(module))
    except (ImportError, AttributeError, ValueError) as error:
        raise ImproperlyConfigured(f"{named!r} can't be imported: {error}") from error


# Rules in a page


def signed(kinds: Iterable[Kind]) -> str:
    """Return the rules as signed text for a page."""
    return signing.dumps([kind.packed() for kind in kinds], salt=_SALT, compress=True)


def unsigned(rules: str) -> list[Kind]:
    """Return the kinds that were signed. Raise StaleError if the text is forged, too old, or no longer valid."""
    try:
        packed = signing.loads(rules, salt=_SALT, max_age=RULES_LIFE)
        return [Kind.unpacked(each) for each in packed]
    except (signing.BadSignature, ImproperlyConfigured, TypeError) as error:
        raise StaleError from error  # TypeError: rules from another version of the library


# Kinds with a name, for clients without a page

_registered: dict[str, Kind] = {}


def register(kind: Kind) -> None:
    """Let clients begin uploads of a kind by its name. Fields register their kinds that have names.

    Raises ImproperlyConfigured if another kind has the same name.
    """
    if _registered.setdefault(kind.name, kind) != kind:
        raise ImproperlyConfigured(f"Two kinds of uploads have the name {kind.name!r}: rename one.")


def registered(name: str) -> Kind | None:
    """Return the kind with this name, or None."""
    return _registered.get(name)


# Storages


def available(alias: str = "default") -> bool:
    """Return whether browsers may send files straight to this storage: it is on S3 and has `direct_uploads` on."""
    from s3kit.storages import MediaStorage

    storage = storages[alias] if alias else None
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
