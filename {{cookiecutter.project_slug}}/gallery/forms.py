"""The forms that add a picture or a film."""

from django import forms
from django.core.exceptions import ValidationError
from django.template.defaultfilters import filesizeformat
from s3kit import uploads
from s3kit.uploads import films, images

from gallery.kinds import FILM, FILM_MAX_BYTES_BY_FORM, PICTURE, clean_picture
from gallery.models import Picture


def megabytes(size):
    """Return a size for people, such as 10 MB."""
    return filesizeformat(size).replace(".0", "")


class DescriptionForm(forms.ModelForm):
    """The description of a file that the browser has sent to S3."""

    class Meta:
        model = Picture
        fields = ("alt",)
        error_messages = {"alt": {"required": "Please describe it in a few words."}}


class PictureForm(DescriptionForm):
    """A file and its description."""

    # Not an ImageField, which opens the file before its size is checked, in every format that Pillow knows.
    file = forms.FileField(
        label="Picture or film",
        widget=forms.FileInput(attrs={"accept": f"{images.ACCEPT},{films.ACCEPT}"}),
        error_messages={"required": "Please choose a picture or a film.", "empty": "This file is empty."},
    )

    field_order = ("file", "alt")

    def __init__(self, *args, direct=False, **kwargs):
        """With `direct`, the page's script sends the file to S3, where films may be larger."""
        super().__init__(*args, **kwargs)
        film_limit = FILM.max_bytes if direct else FILM_MAX_BYTES_BY_FORM
        self.fields["file"].help_text = (
            f"A JPEG, PNG, WebP, AVIF or still GIF picture of up to {megabytes(PICTURE.max_bytes)},"
            f" or an MP4 or WebM film of up to {megabytes(film_limit)}."
        )
        self.fields["file"].widget.attrs |= {
            "data-max-bytes": PICTURE.max_bytes,
            "data-max-film-bytes": film_limit,
            "data-max-form-bytes": FILM_MAX_BYTES_BY_FORM,
        }

    def clean_file(self):
        """Check the file, and put it into the new row: a film as it is, a picture encoded anew."""
        upload = self.cleaned_data["file"]
        if user := self.instance.uploaded_by:
            uploads.count(user, upload)
        if not films.is_film(upload.name):
            self.instance.image = clean_picture(upload)
            return upload
        if upload.size > FILM_MAX_BYTES_BY_FORM:
            sizes = f"({megabytes(upload.size)}). The limit is {megabytes(FILM_MAX_BYTES_BY_FORM)}."
            raise ValidationError(f"This film is too large {sizes}", code="too_large")
        films.check_film(upload)
        self.instance.film = upload
        return upload
