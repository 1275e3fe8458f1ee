"""The forms that add a picture or a film: with the file, or for one that the browser sends to S3 itself."""

from typing import Any, ClassVar

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.template.defaultfilters import filesizeformat

from gallery import films, images
from gallery.models import Picture

HELP = (
    "A JPEG, PNG, WebP, AVIF or still GIF picture of up to {picture}, or an MP4 or WebM film of up to {film}."
)


class DescriptionForm(forms.ModelForm):
    """The description alone, of a file that is at S3 already."""

    class Meta:
        model = Picture
        fields = ("alt",)
        error_messages: ClassVar = {"alt": {"required": "Please describe it in a few words."}}


class TicketForm(DescriptionForm):
    """What is to be known of a file before it is sent, so that nothing is sent in vain."""

    name = forms.CharField(max_length=1000, strip=False)
    size = forms.IntegerField(min_value=0)


class PictureForm(DescriptionForm):
    """A file and its description.

    `film_limit` is what the help says of films, in bytes: more than the form itself takes, where the page's
    script sends them to S3.
    """

    # Not an ImageField: that one tries every format Pillow knows, and opens the file before its size is
    # checked.
    file = forms.FileField(
        label="Picture or film",
        widget=forms.FileInput(
            attrs={
                "accept": f"{images.ACCEPT},{films.ACCEPT}",
                "data-max-bytes": images.MAX_BYTES,
                "data-max-film-bytes": films.MAX_BYTES_BY_FORM,
            }
        ),
        error_messages={"required": "Please choose a picture or a film.", "empty": "This file is empty."},
    )

    field_order = ("file", "alt")

    def __init__(self, *args: Any, film_limit: int = films.MAX_BYTES_BY_FORM, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        file = self.fields["file"]
        file.help_text = HELP.format(picture=_size(images.MAX_BYTES), film=_size(film_limit))
        file.widget.attrs["data-max-film-bytes"] = film_limit

    def clean_file(self) -> UploadedFile:
        """Give the new row its film, or the picture in the upload, checked and made anew."""
        upload: UploadedFile = self.cleaned_data["file"]
        if films.is_film(upload.name or ""):
            self.instance.film = films.clean_film(upload)
        else:
            self.instance.image = images.clean_picture(upload)
        return upload


def _size(limit: int) -> str:
    return filesizeformat(limit).replace(".0", "")
