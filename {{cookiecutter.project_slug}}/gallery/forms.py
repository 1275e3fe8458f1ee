"""The form that adds a picture."""

from typing import ClassVar

from django import forms
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import UploadedFile

from gallery import images
from gallery.models import Picture


class PictureForm(forms.ModelForm):
    """A file and its description."""

    # Not an ImageField: that one tries every format Pillow knows, and opens the file before its size is
    # checked.
    image = forms.FileField(
        label="Picture",
        help_text="JPEG, PNG, WebP, AVIF or a still GIF, up to 10 MB.",
        widget=forms.FileInput(attrs={"accept": images.ACCEPT, "data-max-bytes": images.MAX_BYTES}),
        error_messages={"required": "Please choose a picture.", "empty": "This file is empty."},
    )

    class Meta:
        model = Picture
        fields = ("image", "alt")
        error_messages: ClassVar = {"alt": {"required": "Please describe the picture in a few words."}}

    def clean_image(self) -> ContentFile:
        """Replace the upload by the picture in it, checked and made anew."""
        upload: UploadedFile = self.cleaned_data["image"]
        return images.clean_picture(upload)
