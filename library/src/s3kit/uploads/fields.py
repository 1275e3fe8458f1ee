"""Form fields whose files the browser sends straight to S3, for the FileField and ImageField of any model."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.core.files.base import File
from django.core.files.storage import default_storage, storages
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from s3kit.uploads import tickets
from s3kit.uploads.errors import ForbiddenError, UploadError
from s3kit.uploads.files import sent_file
from s3kit.uploads.kinds import Kind, kind_of, register, too_large, wrong_type
from s3kit.uploads.options import option
from s3kit.uploads.widgets import AdminDirectFileInput, DirectFileInput, MultipleDirectFileInput

IMAGE_TYPES = ("jpg", "jpeg", "png", "webp", "avif", "gif")
IMAGE_MAX_BYTES = 10 * 2**20

_RULES = [each.name for each in dataclasses.fields(Kind) if each.name != "max_length"]


class DirectFileField(forms.FileField):
    """A file, sent straight to S3 if JavaScript and the storage allow it, or else with the form.

    Rules are declared here and enforced both ways: `types`, `max_bytes`, `upload_to`, `check`, `may_upload`,
    `storage` and `name`, as `s3kit.uploads.Kind` explains them, or several `kinds` with rules of their own. In a
    ModelForm, `upload_to`, `storage` and `max_length` default to those of the model's field.

    - `multiple` makes the value a list, of at most `max_files`.
    - `form_max_bytes` is the largest file that comes with the form, since it passes through Django, by default
      S3KIT_UPLOADS["FORM_MAX_BYTES"].
    - A `user`, which may be set later or as `form.user`, must be the one who sent the file, and is the one whose
      quota a file counts against that comes with the form.

    The value is an uploaded file (`DirectFile`, Django's UploadedFile, or what `check` returned), or a list.
    """

    widget = DirectFileInput
    default_error_messages = {  # noqa: RUF012 -- Django's form of it
        "too_many": ngettext_lazy(
            "Please choose at most %(max)d file.", "Please choose at most %(max)d files.", "max"
        ),
        "stale": _("This file was sent under other rules. Please choose it again."),
    }

    def __init__(
        self,
        *,
        kinds: Sequence[Kind] = (),
        multiple: bool = False,
        max_files: int = 100,
        form_max_bytes: int | None = None,
        user: Any = None,
        **kwargs: Any,
    ) -> None:
        rules = {rule: kwargs.pop(rule) for rule in _RULES if rule in kwargs}
        if kinds and rules:
            raise TypeError(f"Give either kinds or {', '.join(rules)}.")
        self._declared = tuple(kinds) or (Kind(**rules),)
        self.kinds: Sequence[Kind] = self._declared
        for kind in self.kinds:
            if kind.name:
                register(kind)
        self.multiple, self.max_files = multiple, max_files
        self.form_max_bytes, self.user = form_max_bytes, user
        # The admin gives its own to every file field; importing it here would demand the app.
        if getattr(kwargs.get("widget"), "template_name", "") == "admin/widgets/clearable_file_input.html":
            kwargs["widget"] = AdminDirectFileInput
        if multiple:
            kwargs.setdefault("widget", MultipleDirectFileInput)
        super().__init__(**kwargs)
        self._tell_widget()

    def _tell_widget(self) -> None:
        if isinstance(self.widget, DirectFileInput):
            self.widget.kinds, self.widget.form_max_bytes = self.kinds, self.form_max_bytes

    def get_bound_field(self, form: Any, field_name: str) -> Any:
        """Complete the rules by the form's model and its user."""
        self.user = self.user or getattr(form, "user", None)
        self.complete(getattr(getattr(form, "_meta", None), "model", None), field_name)
        return super().get_bound_field(form, field_name)

    def complete(self, model: type[models.Model] | None, name: str) -> None:
        """Take from a model's file field what was not declared."""
        try:
            column = model._meta.get_field(name) if model else None
        except FieldDoesNotExist:
            column = None
        if isinstance(column, models.FileField):
            self.kinds = [_completed(kind, column) for kind in self._declared]
            self._tell_widget()

    def to_python(self, data: Any) -> Any:
        """Return the file of a token, or the uploaded file once it has passed the same rules."""
        if data and isinstance(data, str):
            try:
                return sent_file(data, self.kinds, self.user)
            except UploadError as error:
                raise ValidationError(
                    self.error_messages.get(error.code, str(error)), code=error.code
                ) from error
        upload = super().to_python(data)
        return upload if upload is None else self._checked(upload)

    def _checked(self, upload: Any) -> Any:
        try:
            kind = kind_of(upload.name, self.kinds)
            if kind is None:
                raise wrong_type(self.kinds)
            if upload.size > (limit := min(kind.limit, option("FORM_MAX_BYTES", self.form_max_bytes))):
                raise too_large(upload.size, limit)
            if self.user is not None:
                if not kind.allows(self.user):
                    raise ForbiddenError
                # Before the file is looked at, because that is what costs most.
                tickets.count(self.user, upload)
        except UploadError as error:
            raise ValidationError(str(error), code=error.code) from error
        found = kind.checked(upload)
        return upload if found is None else found

    def clean(self, data: Any, initial: Any = None) -> Any:
        """Return the file, or the list of files. Raise ValidationError."""
        if not self.multiple:
            return super().clean(data, initial)
        files = [each for each in data or () if each]
        if not files:
            return super().clean(None, initial) or []
        if len(files) > self.max_files:
            raise ValidationError(
                self.error_messages["too_many"], code="too_many", params={"max": self.max_files}
            )
        cleaned: list[File[Any]] = []
        errors: list[ValidationError] = []
        for each in files:
            try:
                cleaned.append(super().clean(each))
            except ValidationError as error:
                name = getattr(each, "name", "")
                errors += [ValidationError(f"{name}: {text}" if name else text) for text in error.messages]
        if errors:
            raise ValidationError(errors)
        return cleaned


class DirectImageField(DirectFileField):
    """A picture, which is encoded anew without its metadata, as `s3kit.uploads.images` explains."""

    def __init__(self, **kwargs: Any) -> None:
        if not kwargs.get("kinds"):
            kwargs.setdefault("types", IMAGE_TYPES)
            kwargs.setdefault("max_bytes", IMAGE_MAX_BYTES)
            kwargs.setdefault("check", "s3kit.uploads.images.clean_picture")
        super().__init__(**kwargs)

    def widget_attrs(self, widget: forms.Widget) -> dict[str, Any]:
        """Have browsers offer pictures, which makes phones convert HEIC to JPEG."""
        return super().widget_attrs(widget) | {"accept": ",".join(f".{each}" for each in IMAGE_TYPES)}


def _completed(kind: Kind, column: models.FileField) -> Kind:
    rules: dict[str, Any] = {"max_length": column.max_length or 100}
    if not kind.upload_to and isinstance(column.upload_to, str):
        rules["upload_to"] = column.upload_to
    if kind.storage == "default" and column.storage != default_storage:
        for alias in storages.backends:
            if storages[alias] == column.storage:
                rules["storage"] = alias
    return dataclasses.replace(kind, **rules)
