"""The site's models, one per package with a field. Their tables are created without migrations."""

from django.db import models
from easy_thumbnails.fields import ThumbnailerImageField
from image_cropping import ImageRatioField
from imagekit.models import ImageSpecField
from imagekit.processors import ResizeToFit
from pictures.models import PictureField
from stdimage import StdImageField
from versatileimagefield.fields import VersatileImageField


class Lake(models.Model):
    """A picture, with each package's fields."""

    plain = models.ImageField(upload_to="lakes/", blank=True)
    small = ImageSpecField(source="plain", processors=[ResizeToFit(60, 40)], format="JPEG")
    cropping = ImageRatioField("plain", "60x40")
    thumbnailer = ThumbnailerImageField(upload_to="lakes/", blank=True)
    versatile = VersatileImageField(upload_to="lakes/", blank=True)
    standard = StdImageField(upload_to="lakes/", blank=True, variations={"small": (60, 40)})
    picture = PictureField(upload_to="lakes/", blank=True, file_types=["WEBP"], aspect_ratios=["3/2"])

    def __str__(self) -> str:
        return f"Lake {self.pk}"
