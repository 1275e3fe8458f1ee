"""The model that stores uploads."""

from django.db import models


class Video(models.Model):
    """A model with a file."""

    file = models.FileField(upload_to="videos/")

    def __str__(self):
        """Return the file's name."""
        return self.file.name
