from django.conf import settings
from django.db import models


class Video(models.Model):
    title = models.CharField(max_length=50, unique=True)
    file = models.FileField(upload_to="videos/%Y/", max_length=120)

    def __str__(self) -> str:
        return self.title


class Photo(models.Model):
    image = models.ImageField(upload_to="photos/", width_field="width", height_field="height")
    width = models.PositiveIntegerField(null=True, editable=False)
    height = models.PositiveIntegerField(null=True, editable=False)

    def __str__(self) -> str:
        return self.image.name or ""


def by_row(document: "Document", name: str) -> str:
    return f"documents/{document.pk}/{name}"


class Document(models.Model):
    """A file whose folder depends on the row."""

    file = models.FileField(upload_to=by_row, blank=True)

    def __str__(self) -> str:
        return self.file.name or ""


class Still(models.Model):
    """A picture of a video, for inlines."""

    video = models.ForeignKey(Video, on_delete=models.CASCADE)
    image = models.ImageField(upload_to="stills/")

    def __str__(self) -> str:
        return self.image.name or ""


class Clip(models.Model):
    """A video with an owner, as in docs/uploads-hooks.md."""

    title = models.CharField(max_length=50)
    file = models.FileField(upload_to="clips/", blank=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True)
    size = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return self.title
