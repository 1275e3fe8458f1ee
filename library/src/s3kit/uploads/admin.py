"""Direct uploads in Django's admin."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.auth import get_permission_codename
from django.db import models

from s3kit.uploads.fields import DirectFileField, DirectImageField

if TYPE_CHECKING:
    from django.contrib.admin.options import BaseModelAdmin as Base
else:
    Base = object

ORIGINAL_MAX_BYTES = 100 * 2**20  # of a picture that is checked and stored as it is


class DirectUploadsMixin(Base):
    """Sends the files of a ModelAdmin or an inline straight to S3: `class FilmAdmin(DirectUploadsMixin, ModelAdmin)`.

    It makes the form fields of all FileField and ImageField columns DirectFileField and DirectImageField. Who has the
    permission to add or change the model may upload. Pictures of any type that Pillow knows, of up to 100 MiB, are
    checked and stored as they are, since the admin is for people who want their originals kept. To encode them anew,
    as DirectImageField does by default, override the field as Django documents it:

        formfield_overrides = {models.ImageField: {"form_class": DirectImageField}}

    `direct_uploads` has further options of these fields, or None for a plain one, by the column's name:

        direct_uploads = {"file": {"types": ["mp4"], "max_bytes": 2**30}, "contract": None}

    Columns whose `upload_to` is a function of the row get Django's field, unless `upload_to` is among the options,
    because a file is sent before there is a row. So do columns that make form fields of their own. Forms get
    the request's user as `user`, for fields that they declare themselves.
    """

    direct_uploads: ClassVar[Mapping[str, Mapping[str, Any] | None]] = {}

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        """Return the form field of a column; that of a file belongs to the request's user."""
        if isinstance(db_field, models.FileField):
            kwargs = self._direct(db_field, kwargs) | kwargs
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if isinstance(field, DirectFileField):
            field.user = request.user
        return field

    def get_form(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the form's class, which belongs to this request."""
        return _of_user(request, super().get_form(request, *args, **kwargs))  # type: ignore[misc]

    def get_formset(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the class of an inline's formset, which belongs to this request."""
        formset = super().get_formset(request, *args, **kwargs)  # type: ignore[misc]
        _of_user(request, formset.form)
        return formset

    def _direct(self, column: models.FileField, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the form field's options, without those that `formfield_overrides` has, which Django adds."""
        named = self.direct_uploads.get(column.name, {})
        if named is None:
            return {}
        overrides: Mapping[str, Any] = next(
            (
                self.formfield_overrides[each]
                for each in type(column).__mro__
                if each in self.formfield_overrides
            ),
            {},
        )
        chosen = {**overrides, **named, **given}
        is_image = isinstance(column, models.ImageField)
        if "form_class" not in chosen and (
            type(column).formfield not in {models.FileField.formfield, models.ImageField.formfield}
            or (callable(column.upload_to) and not {"upload_to", "kinds"} & chosen.keys())
            or (is_image and find_spec("PIL") is None)
        ):
            return {}
        rules: dict[str, Any] = {"form_class": DirectImageField if is_image else DirectFileField}
        if "kinds" not in chosen:
            # Not the column's model, whose permissions are others if this one is its proxy or its child.
            codes = [get_permission_codename(verb, self.opts) for verb in ("add", "change")]
            rules["may_upload"] = [f"{self.opts.app_label}.{code}" for code in codes]
            if is_image and "form_class" not in chosen:
                as_it_is = "s3kit.uploads.images.check_picture"
                rules |= {"types": (), "max_bytes": ORIGINAL_MAX_BYTES, "check": as_it_is}
        if not issubclass((rules | chosen)["form_class"], DirectFileField):
            return {}
        return {name: value for name, value in rules.items() if name not in overrides} | dict(named)


def _of_user(request: Any, form: Any) -> Any:
    if not hasattr(form, "user"):
        form.user = request.user
    return form
