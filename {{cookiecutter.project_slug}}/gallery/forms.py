"""The form that adds a picture or a video."""

from django import forms
from django.template.defaultfilters import filesizeformat
from s3kit.uploads import DirectFileField, Kind, available, images, videos

from gallery.models import Picture

PICTURE = Kind(
    types=["jpg", "jpeg", "png", "webp", "avif", "gif"],
    max_bytes=10 * 1024**2,
    upload_to="pictures/",
    check=images.clean_picture,  # re-encodes it without its metadata
    may_upload="gallery.add_picture",
)
VIDEO = Kind(
    types=["mp4", "webm"],
    max_bytes=5 * 1024**3,
    upload_to="videos/",
    check=videos.check_video,
    may_upload="gallery.add_picture",
)
# For a file that the browser sends with the form, without JavaScript or without S3. It passes through Django.
FORM_MAX_BYTES = 100 * 1024**2


class PictureForm(forms.ModelForm):
    """A file and its description. The browser uploads the file to S3 as soon as the user chooses it."""

    file = DirectFileField(
        label="Picture or video",
        kinds=[PICTURE, VIDEO],
        form_max_bytes=FORM_MAX_BYTES,
        error_messages={"required": "Please choose a picture or a video."},
    )

    field_order = ("file", "alt")

    class Meta:
        model = Picture
        fields = ("alt",)
        error_messages = {"alt": {"required": "Please describe it in a few words."}}

    def __init__(self, *args, user=None, **kwargs):
        """Store the user, whose permission and quota the file field checks."""
        super().__init__(*args, **kwargs)
        self.user = self.instance.uploaded_by = user
        limits = (PICTURE.max_bytes, VIDEO.max_bytes if available() else FORM_MAX_BYTES)
        picture_limit, video_limit = (filesizeformat(limit).replace(".0", "") for limit in limits)
        self.fields["file"].help_text = (
            f"A JPEG, PNG, WebP, AVIF, or still GIF picture of up to {picture_limit},"
            f" or an MP4 or WebM video of up to {video_limit}."
        )

    def save(self, commit=True):
        """Save the picture with the file in `video` or `image`."""
        file = self.cleaned_data["file"]
        setattr(self.instance, "video" if videos.is_video(file.name) else "image", file)
        return super().save(commit)
