"""The tickets of uploads that go straight to S3; what they mean and do is in `s3kit.uploads.tickets`."""

import uuid

from django.conf import settings
from django.db import models

from s3kit.deployment import PENDING_PREFIX


class Ticket(models.Model):
    """What one user may upload once: decided by the server when it was issued, and never changed."""

    class State(models.TextChoices):
        """How far it is; only an open ticket can be claimed, and only a claimed one accepted or refused."""

        OPEN = "open"
        CLAIMED = "claimed"
        ACCEPTED = "accepted"
        REFUSED = "refused"
        CANCELLED = "cancelled"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=100)
    storage = models.CharField(max_length=100, default="default", help_text="The alias in STORAGES.")
    name = models.CharField("file name", max_length=255, help_text="As the user's device calls it.")
    content_type = models.CharField(max_length=100)
    size = models.PositiveBigIntegerField(help_text="In bytes.")
    # 0: in one piece. In the row, so that a deploy with another size changes no upload that is under way.
    part_size = models.PositiveBigIntegerField(default=0)
    upload_id = models.CharField("multipart upload", max_length=500, blank=True)
    # Chosen with the ticket, so that an acceptance which is tried again makes no second object.
    target = models.CharField(max_length=1024, blank=True, help_text="The media name it is to have.")
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    refusal = models.CharField(max_length=500, blank=True)
    claim = models.UUIDField(null=True, help_text="Of the request that is accepting it.")
    claimed_at = models.DateTimeField(null=True)
    # From before the copy is begun: what a killed process has left behind can then be found.
    kept = models.BooleanField(default=False, help_text="There may be an object under the target.")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()

    class Meta:
        indexes = (
            models.Index(fields=("user", "created_at"), name="s3kit_ticket_user_created"),
            models.Index(fields=("expires_at",), name="s3kit_ticket_expires"),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.state})"

    @property
    def key(self) -> str:
        """Return the key that the upload has until it is accepted; it says nothing of user or file."""
        return f"{PENDING_PREFIX}{self.id.hex}"
