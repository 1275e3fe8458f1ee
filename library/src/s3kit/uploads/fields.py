"""Form fields whose files the browser sends straight to S3, for the FileField and ImageField of any model."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.base import File
from django.db import models
from django.forms.widgets import FILE_INPUT_CONTRADICTION
from django.utils.translation import ngettext_lazy

from s3kit.uploads.errors import UploadError
from s3kit.uploads.files import taken
from s3kit.uploads.kinds import Kind, completed, declared, image_rules
from s3kit.uploads.widgets import AdminDirectFileInput, DirectFileInput, MultipleDirectFileInput


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
        self._declared = declared(kinds, kwargs)
        self.kinds: Sequence[Kind] = self._declared
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
        self.kinds = completed(self._declared, model, name)
        self._tell_widget()

    def to_python(self, data: Any) -> Any:
        """Return the file of a token, or the uploaded file once it has passed the same rules."""
        given = data if data and isinstance(data, str) else super().to_python(data)
        if given is None:
            return None
        try:
            return taken(given, self.kinds, user=self.user, form_max_bytes=self.form_max_bytes)
        except UploadError as error:
            message = self.error_messages.get(error.code, str(error))
            raise ValidationError(message, code=error.code) from error

    def clean(self, data: Any, initial: Any = None) -> Any:
        """Return the file, or the list of files. Raise ValidationError."""
        if not self.multiple or data is FILE_INPUT_CONTRADICTION:
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
        super().__init__(**image_rules(kwargs))

    def widget_attrs(self, widget: forms.Widget) -> dict[str, Any]:
        """Have browsers offer pictures. Extensions instead, which make phones convert HEIC, come from the rules."""
        any_type = not all(kind.types for kind in self.kinds)
        return super().widget_attrs(widget) | ({"accept": "image/*"} if any_type else {})
