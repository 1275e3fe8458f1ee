"""Form fields whose files the browser sends straight to S3, for any model's FileField and ImageField."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.base import File
from django.db import models
from django.forms.widgets import FILE_INPUT_CONTRADICTION
from django.utils.translation import ngettext_lazy

from s3kit.uploads.errors import UploadError
from s3kit.uploads.files import only_once, resolve
from s3kit.uploads.kinds import Kind, completed, declared, image_rules
from s3kit.uploads.widgets import AdminDirectFileInput, DirectFileInput, MultipleDirectFileInput


class DirectFileField(forms.FileField):
    """A file that is sent straight to S3 if JavaScript and the storage allow it, and with the form otherwise.

    The rules apply in both cases. They are `types`, `max_bytes`, `upload_to`, `check`, `may_upload`, `storage`, and
    `name`, as in `s3kit.uploads.Kind`, or several `kinds`, each with its own rules. In a ModelForm, `upload_to`,
    `storage`, and `max_length` default to those of the model field.

    - `multiple` makes the value a list of at most `max_files` files.
    - `form_max_bytes` is the limit for a file that is sent with the form, and so passes through Django. It defaults to
      S3KIT_UPLOADS["FORM_MAX_BYTES"].
    - `user`, which may be set later or as `form.user`, must be the user who sent the file. Files that are sent with the
      form count against this user's quota.

    The value is an uploaded file (`DirectFile`, Django's UploadedFile, or what `check` returned), or a list of them.
    """

    widget = DirectFileInput
    # Where each ticket is used in the forms of a page, and the place of this field.
    _uses: dict[Any, str] | None = None
    _place = ""
    default_error_messages = {  # noqa: RUF012 -- as in Django
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
        # The admin passes its own widget. Compare the template, because importing the widget would require the app.
        if getattr(kwargs.get("widget"), "template_name", "") == "admin/widgets/clearable_file_input.html":
            kwargs["widget"] = AdminDirectFileInput
        if multiple:
            kwargs.setdefault("widget", MultipleDirectFileInput)
        super().__init__(**kwargs)
        self._update_widget()

    def _update_widget(self) -> None:
        if isinstance(self.widget, DirectFileInput):
            self.widget.kinds, self.widget.form_max_bytes = self.kinds, self.form_max_bytes

    def get_bound_field(self, form: Any, field_name: str) -> Any:
        """Complete the rules with those of the form's model and with its user."""
        self.user = self.user or getattr(form, "user", None)
        self.complete(getattr(getattr(form, "_meta", None), "model", None), field_name)
        # The forms of a formset have nothing in common but their data.
        shared = form.data if hasattr(form.data, "__dict__") else form
        self._uses = vars(shared).setdefault("_s3kit_uses", {})
        self._place = form.add_prefix(field_name)
        return super().get_bound_field(form, field_name)

    def complete(self, model: type[models.Model] | None, name: str) -> None:
        """Complete the rules with those of a model's file field."""
        self.kinds = completed(self._declared, model, name)
        self._update_widget()

    def to_python(self, data: Any) -> Any:
        """Return the file of a token, or check an uploaded file against the same rules and return it."""
        given = data if data and isinstance(data, str) else super().to_python(data)
        if given is None:
            return None
        try:
            found = resolve(given, self.kinds, user=self.user, form_max_bytes=self.form_max_bytes)
            return only_once(found, {} if self._uses is None else self._uses, self._place)
        except UploadError as error:
            message = self.error_messages.get(error.code, str(error))
            raise ValidationError(message, code=error.code) from error

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Return whether files were posted. Formsets ignore an extra form in which nothing has changed."""
        return super().has_changed(initial, None if data == [] else data)

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
    """A picture, which is re-encoded without its metadata: see `s3kit.uploads.images`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**image_rules(kwargs))

    def widget_attrs(self, widget: forms.Widget) -> dict[str, Any]:
        """Let browsers offer all pictures if the rules have no types. Types make phones convert HEIC."""
        any_type = not all(kind.types for kind in self.kinds)
        return super().widget_attrs(widget) | ({"accept": "image/*"} if any_type else {})
