"""The form that adds a picture or a film."""

from django import forms
from django.template.defaultfilters import filesizeformat
from s3kit.uploads import DirectFileField, Kind, available, films, images

from gallery.models import Picture

PICTURE = Kind(
    types=["jpg", "jpeg", "png", "webp", "avif", "gif"],
    max_bytes=10 * 1024**2,
    upload_to="pictures/",
    check=images.clean_picture,  # encodes it anew, without its metadata
    may_upload="gallery.add_picture",
)
FILM = Kind(
    types=["mp4", "webm"],
    max_bytes=5 * 1024**3,
    upload_to="films/",
    check=films.check_film,
    may_upload="gallery.add_picture",
)
# Of a file that comes with the form, because there is no JavaScript or no S3. It passes through Django.
FORM_MAX_BYTES = 100 * 1024**2


def megabytes(size):
    """Return a size for people, such as 10 MB."""
    return filesizeformat(size).replace(".0", "")


class PictureForm(forms.ModelForm):
    """A file, which the browser sends to S3 when it is chosen, and its description."""

    file = DirectFileField(
        label="Picture or film",
        kinds=[PICTURE, FILM],
        form_max_bytes=FORM_MAX_BYTES,
        error_messages={"required": "Please choose a picture or a film."},
    )

    field_order = ("file", "alt")

    class Meta:
        model = Picture
        fields = ("alt",)
        error_messages = {"alt": {"required": "Please describe it in a few words."}}

    def __init__(self, *args, user=None, **kwargs):
        """The field checks the user's permission and counts the file against their quota."""
        super().__init__(*args, **kwargs)
        self.user = self.instance.uploaded_by = user
        film_limit = FILM.max_bytes if available() else FORM_MAX_BYTES
        self.fields["file"].help_text = (
            f"A JPEG, PNG, WebP, AVIF or still GIF picture of up to {megabytes(PICTURE.max_bytes)},"
            f" or an MP4 or WebM film of up to {megabytes(film_limit)}."
        )

    def save(self, commit=True):
        """Save the picture with its file as a film or as an image."""
        file = self.cleaned_data["file"]
        setattr(self.instance, "film" if films.is_film(file.name) else "image", file)
        return super().save(commit)
