"""The tickets of direct uploads. Their logic is in `s3kit.uploads.tickets`."""

import uuid

from django.conf import settings
from django.core import signing
from django.core.exceptions import ValidationError
from django.db import models, router

from s3kit.deployment import PENDING_PREFIX

_signer = signing.Signer(salt="s3kit.uploads.ticket")


class TicketManager(models.Manager["Ticket"]):
    """Reads tickets from the database that they are written to, because a replica may lag behind."""

    def get_queryset(self) -> models.QuerySet["Ticket"]:
        """Return all tickets."""
        return super().get_queryset().using(self._db or router.db_for_write(self.model))


class Ticket(models.Model):
    """Permission for one user to upload one file. The server sets its terms, which never change."""

    class State(models.TextChoices):
        """The state of an upload: open, then claimed, then finished, accepted, or rejected; finished, then accepted."""

        OPEN = "open"
        # A request is checking the file.
        CLAIMED = "claimed"
        # The file has passed all checks and is at its target, but no row has it yet.
        FINISHED = "finished"
        # The row is being written outside of a transaction.
        SAVING = "saving"
        ACCEPTED = "accepted"
        REJECTED = "rejected"
        CANCELLED = "cancelled"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # A deleted user's tickets stay until the sent files are removed. Tickets and users may be in different databases.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    # JSON, compared as text. Not a JSONField, for which `manage.py check` needs a database.
    rules = models.TextField(help_text="The kind of file: s3kit.uploads.Kind, packed.")
    storage = models.CharField(max_length=100, default="default", help_text="The alias in STORAGES.")
    name = models.CharField("file name", max_length=255, help_text="The name on the user's device.")
    content_type = models.CharField(max_length=100)
    size = models.PositiveBigIntegerField(help_text="In bytes.")
    # 0 means a single part. Stored, so that a deploy with another part size doesn't break unfinished uploads.
    part_size = models.PositiveBigIntegerField(default=0)
    upload_id = models.CharField("multipart upload", max_length=500, blank=True)
    # Set when the ticket is created, so that finishing it again after a failure doesn't create a second object.
    target = models.CharField(max_length=1024, help_text="The file's name in the storage once finished.")
    stored_size = models.PositiveBigIntegerField(default=0, help_text="Of the file at the target, in bytes.")
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    rejection = models.CharField(max_length=500, blank=True)
    claim = models.UUIDField(null=True, help_text="The request that is accepting the file.")
    claimed_at = models.DateTimeField(null=True)
    # Set before the copy starts, so that the copy of a killed process can be found.
    kept = models.BooleanField(default=False, help_text="There may be an object at the target.")
    # Needed to abort the copy, because a listing of objects doesn't show its parts.
    copy_id = models.CharField("multipart upload of the copy", max_length=500, blank=True)
    # After a process was killed, this shows where to look for a row with the file.
    row = models.CharField(
        max_length=200, blank=True, help_text="The field of the row: app.Model.field@database."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()

    objects = TicketManager()

    class Meta:
        base_manager_name = "objects"
        indexes = (
            models.Index(fields=("user", "created_at"), name="s3kit_ticket_user_created"),
            models.Index(fields=("expires_at",), name="s3kit_ticket_expires"),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.state})"

    @property
    def key(self) -> str:
        """Return the key that the browser sends the file to. It reveals neither the user nor the file's name."""
        return f"{PENDING_PREFIX}{self.id.hex}"

    @property
    def token(self) -> str:
        """Return the signed text that represents the file in a form or in JSON."""
        return _signer.sign(self.id.hex)

    @classmethod
    def of_token(cls, token: str) -> "Ticket | None":
        """Return the ticket of a token, or None."""
        try:
            return cls.objects.filter(pk=_signer.unsign(token)).first()
        except (signing.BadSignature, ValidationError):
            return None
