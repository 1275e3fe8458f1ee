"""Limits on the uploads of one user, straight to S3 or with a form, so that no user can fill the bucket."""

from datetime import timedelta

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Sum
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from s3kit.uploads.errors import RateLimitedError
from s3kit.uploads.models import Ticket
from s3kit.uploads.options import quotas


def check(user: AbstractBaseUser, size: int) -> None:
    """Raise RateLimitedError if the user may not start another upload of this size now."""
    now, hour = timezone.now(), timedelta(hours=1)
    quota = quotas(user)
    most, most_bytes = quota["PER_HOUR"], quota["UNFINISHED_BYTES"]
    mine = Ticket.objects.filter(user_id=user.pk)
    lately = mine.filter(created_at__gt=now - hour).order_by("-created_at")
    # When the oldest of the last `most` uploads is an hour old, the user may start another.
    if (last := lately[most - 1 : most].first()) is not None:
        wait = _seconds(last.created_at + hour - now)
        minutes = -(-wait // 60)
        raise RateLimitedError(
            ngettext(
                "You have started %(count)d uploads within an hour. Please try again in %(minutes)d minute.",
                "You have started %(count)d uploads within an hour. Please try again in %(minutes)d minutes.",
                minutes,
            )
            % {"count": most, "minutes": minutes},
            retry_after=wait,
        )
    state = Ticket.State
    under_way = mine.filter(state__in=(state.OPEN, state.CLAIMED, state.FINISHED), expires_at__gt=now)
    sent = under_way.aggregate(sum=Sum("size"))["sum"] or 0
    if sent + size > most_bytes:
        first = under_way.order_by("expires_at").first()
        raise RateLimitedError(
            _(
                "Your unfinished uploads and this one exceed %(limit)s. Please finish or cancel one of them"
                " first."
            )
            % {"limit": filesizeformat(most_bytes)},
            retry_after=_seconds(first.expires_at - now) if first else None,
        )


def _seconds(span: timedelta) -> int:
    return max(int(span.total_seconds()) + 1, 1)
