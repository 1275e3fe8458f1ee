"""The tickets of uploads that go straight to S3. Their logic is in `s3kit.uploads.tickets`."""

import uuid

from django.conf import settings
from django.core import signing
from django.core.exceptions import ValidationError
from django.db import models, router

from s3kit.deployment import PENDING_PREFIX

_signer = signing.Signer(salt="s3kit.uploads.ticket")


class TicketManager(models.Manager["Ticket"]):
    """Reads tickets from the database that they are written to, since a replica may be late."""

    def get_queryset(self) -> models.QuerySet["Ticket"]:
        """Return all tickets."""
        return super().get_queryset().using(self._db or router.db_for_write(self.model))


class Ticket(models.Model):
    """Permission for one user to upload one file. The server decides its terms, which never change."""

    class State(models.TextChoices):
        """An open ticket is claimed to be finished, accepted or rejected; a finished one is accepted with its row."""

        OPEN = "open"
        CLAIMED = "claimed"
        # The file has passed all checks and is at its target, and no row has it yet.
        FINISHED = "finished"
        # Its row is being written without a transaction.
        SAVING = "saving"
        ACCEPTED = "accepted"
        REJECTED = "rejected"
        CANCELLED = "cancelled"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # A deleted user's tickets stay until what was sent is removed. They may be in another database than users.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    # JSON, compared as text. `manage.py check` asks the database about a JSONField, and would need one.
    rules = models.TextField(help_text="The kind of file: s3kit.uploads.Kind, packed.")
    storage = models.CharField(max_length=100, default="default", help_text="The alias in STORAGES.")
    name = models.CharField("file name", max_length=255, help_text="As the user's device calls it.")
    content_type = models.CharField(max_length=100)
    size = models.PositiveBigIntegerField(help_text="In bytes.")
    # 0 means in one piece. Stored, so that a deploy with another part size leaves unfinished uploads alone.
    part_size = models.PositiveBigIntegerField(default=0)
    upload_id = models.CharField("multipart upload", max_length=500, blank=True)
    # Chosen with the ticket, so that finishing it again after a failure makes no second object.
    target = models.CharField(max_length=1024, help_text="Its name in the storage once finished.")
    stored_size = models.PositiveBigIntegerField(default=0, help_text="Of the file at the target, in bytes.")
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    rejection = models.CharField(max_length=500, blank=True)
    claim = models.UUIDField(null=True, help_text="The request that is accepting it.")
    claimed_at = models.DateTimeField(null=True)
    # Set before the copy starts, so that the copy of a killed process can be found.
    kept = models.BooleanField(default=False, help_text="There may be an object at the target.")
    # Parts of a copy are found in no listing of objects.
    copy_id = models.CharField("multipart upload of the copy", max_length=500, blank=True)
    # So that after a kill, a look at the rows tells whether the file has one.
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
        """Return the object's key until it is accepted. It reveals neither the user nor the file."""
        return f"{PENDING_PREFIX}{self.id.hex}"

    @property
    def token(self) -> str:
        """Return what stands for the file in a form or in JSON: a text that nobody can make from an address."""
        return _signer.sign(self.id.hex)

    @classmethod
    def of_token(cls, token: str) -> "Ticket | None":
        """Return the ticket of a token, or None."""
        try:
            return cls.objects.filter(pk=_signer.unsign(token)).first()
        except (signing.BadSignature, ValidationError):
            return None
