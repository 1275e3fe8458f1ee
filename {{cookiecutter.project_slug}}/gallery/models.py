"""The pictures and films of the gallery, and their files: a file comes with its row and goes with it."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.db.models.fields.files import FieldFile
from django.db.models.signals import post_delete
from django.dispatch import receiver

NOT_STORED = "The file could not be stored just now, so nothing was added. Please try again in a minute."


class NotStoredError(Exception):
    """The storage did not take a file; the storage's own error is the cause."""


class Picture(models.Model):
    """One picture, still or moving: it has an image or a film, never both. Newest come first."""

    # Width and height stand in the row, so that a page of pictures opens none of their files. A film has
    # none, because only a browser knows them.
    image = models.ImageField(upload_to="pictures/", blank=True, width_field="width", height_field="height")
    width = models.PositiveIntegerField(null=True, blank=True, editable=False)
    height = models.PositiveIntegerField(null=True, blank=True, editable=False)
    # The database knows the default too: the version before films goes on adding pictures during a deploy.
    film = models.FileField(upload_to="films/", blank=True, default="", db_default="")
    alt = models.CharField(
        "description",
        max_length=200,
        help_text="What does it show? Read out to people who cannot see it.",
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
        # The key decides between pictures of one moment; without it they could swap places between two pages.
        ordering = ("-created_at", "-pk")
        indexes = (models.Index(fields=("-created_at", "-id"), name="gallery_newest_first"),)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(image="") ^ models.Q(film=""),
                name="gallery_image_or_film",
                violation_error_message="A picture has an image or a film.",
            ),
        )

    def __str__(self) -> str:
        return self.alt

    def save(self, *args: Any, also: Callable[[], object] | None = None, **kwargs: Any) -> None:
        """Write the row, and the file first if it is new; if the row can't be written, the file goes again.

        `also` is called in the transaction of the row: what it writes and the row are there both, or neither.

        Raises NotStoredError, and writes no row, where the storage fails. Where the caller rolls back a
        transaction of its own after this method returned, the file stays: nobody hears of a rollback.
        """
        new_file = bool(self.file) and not getattr(self.file, "_committed", True)
        if new_file:
            self._store_file()
        committed = False

        def on_commit() -> None:
            nonlocal committed
            committed = True

        try:
            with transaction.atomic(using=kwargs.get("using")):
                # Other callbacks run after this one: when one of those raises, the row is there all the same.
                transaction.on_commit(on_commit, using=kwargs.get("using"))
                if also:
                    also()
                super().save(*args, **kwargs)
        except BaseException:
            if new_file and not committed:
                self.file.storage.delete(_name(self.file))
            raise

    @property
    def file(self) -> FieldFile:
        """The image or the film, whichever it is."""
        return self.film or self.image

    @property
    def what(self) -> str:
        """What a sentence calls it."""
        return "film" if self.film else "picture"

    def _store_file(self) -> None:
        try:
            self.file.save(_name(self.file), self.file.file, save=False)
        # Every storage has errors of its own: OSError on disk, botocore's on S3.
        except Exception as error:
            raise NotStoredError(f"The storage did not take {self.file.name}") from error


@receiver(post_delete, sender=Picture)
def delete_file(instance: Picture, using: str, **_kwargs: Any) -> None:
    """Delete the file of a picture, once it is sure that its row is gone.

    A signal, because a queryset and the admin's bulk action delete without Picture.delete(). Where the
    storage fails, the error is logged and the file stays: the row is gone, so an error page would mislead.
    """
    if instance.file:
        transaction.on_commit(_deletion(instance.file), using=using, robust=True)


def _deletion(file: FieldFile) -> Callable[[], None]:
    storage, name = file.storage, _name(file)
    return lambda: storage.delete(name)


def _name(file: FieldFile) -> str:
    return file.name or ""
