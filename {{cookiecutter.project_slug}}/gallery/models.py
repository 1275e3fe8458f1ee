"""Pictures and videos. Deleting one also deletes its file."""

from django.conf import settings
from django.db import models, transaction
from django.db.models.fields.files import FieldFile
from django.db.models.signals import post_delete
from django.dispatch import receiver


class Picture(models.Model):
    """A picture or a video: it has an image or a video, never both."""

    # Storing the size means that a page of pictures doesn't open their files. A video has no size.
    image = models.ImageField(upload_to="pictures/", blank=True, width_field="width", height_field="height")
    width = models.PositiveIntegerField(null=True, blank=True, editable=False)
    height = models.PositiveIntegerField(null=True, blank=True, editable=False)
    video = models.FileField(upload_to="videos/", blank=True)
    alt = models.CharField(
        "description",
        max_length=200,
        help_text="What does it show? Screen readers read this to people who can't see it.",
    )
    created_at = models.DateTimeField("added", auto_now_add=True)
    uploaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name="added by",
        null=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="pictures",
    )

    class Meta:
        ordering = ("-created_at", "-pk")
        indexes = (models.Index(fields=("-created_at", "-id"), name="gallery_newest_first"),)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(image="") ^ models.Q(video=""),
                name="gallery_image_or_video",
                violation_error_message="A picture has an image or a video.",
            ),
        )

    def __str__(self):
        return self.alt

    @property
    def file(self) -> FieldFile:
        """The image or the video."""
        return self.video or self.image

    @property
    def what(self) -> str:
        """The word for it in a sentence."""
        return "video" if self.video else "picture"


@receiver(post_delete, sender=Picture)
def delete_file(instance, using, **kwargs):
    """Delete the file once the row is gone. This is a signal because querysets don't call Picture.delete()."""
    file = instance.file
    if file:
        # robust logs an error of the storage. The row is gone, so an error page would be wrong.
        transaction.on_commit(lambda: file.storage.delete(file.name), using=using, robust=True)
