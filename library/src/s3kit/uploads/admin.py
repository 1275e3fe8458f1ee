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

ORIGINAL_MAX_BYTES = 100 * 2**20  # of a picture that is stored unchanged


class DirectUploadsMixin(Base):
    """Sends the files of a ModelAdmin or an inline straight to S3: `class VideoAdmin(DirectUploadsMixin, ModelAdmin)`.

    Every FileField and ImageField of the model gets a DirectFileField or DirectImageField as its form field. Users with
    the permission to add or change the model may upload. Pictures of any type that Pillow supports, of up to 100 MiB,
    are checked and stored unchanged, because admins usually want the originals. To re-encode them, as DirectImageField
    does by default, override the form field:

        formfield_overrides = {models.ImageField: {"form_class": DirectImageField}}

    `direct_uploads` maps names of model fields to options of the form field, or to None for Django's form field:

        direct_uploads = {"file": {"types": ["mp4"], "max_bytes": 2**30}, "contract": None}

    Model fields with a callable `upload_to` get Django's form field, unless `upload_to` is among the options, because a
    file is sent before its row exists. So do model fields with their own `formfield()`. Forms get the request's user as
    `user`, for fields that they declare themselves.
    """

    direct_uploads: ClassVar[Mapping[str, Mapping[str, Any] | None]] = {}

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        """Return the form field of a model field; direct uploads belong to the request's user."""
        if isinstance(db_field, models.FileField):
            kwargs = self._direct(db_field, kwargs) | kwargs
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if isinstance(field, DirectFileField):
            field.user = request.user
        return field

    def get_form(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the form class, with the request's user as its `user`."""
        return _with_user(request, super().get_form(request, *args, **kwargs))  # type: ignore[misc]

    def get_formset(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the formset class of an inline, with the request's user as its form's `user`."""
        formset = super().get_formset(request, *args, **kwargs)  # type: ignore[misc]
        _with_user(request, formset.form)
        return formset

    def _direct(self, column: models.FileField, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the form field's options, without those in `formfield_overrides`, which Django adds itself."""
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
            # The admin's model, not the field's: a proxy or child model has its own permissions.
            codes = [get_permission_codename(verb, self.opts) for verb in ("add", "change")]
            rules["may_upload"] = [f"{self.opts.app_label}.{code}" for code in codes]
            if is_image and "form_class" not in chosen:
                check = "s3kit.uploads.images.check_picture"
                rules |= {"types": (), "max_bytes": ORIGINAL_MAX_BYTES, "check": check}
        if not issubclass((rules | chosen)["form_class"], DirectFileField):
            return {}
        return {name: value for name, value in rules.items() if name not in overrides} | dict(named)


def _with_user(request: Any, form: Any) -> Any:
    if not hasattr(form, "user"):
        form.user = request.user
    return form
