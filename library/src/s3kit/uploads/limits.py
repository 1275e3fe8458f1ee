"""How many uploads one user may start, straight to S3 or with a form, so that nobody can fill the bucket."""

from datetime import timedelta

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Sum
from django.template.defaultfilters import filesizeformat
from django.utils import timezone

from s3kit.uploads.errors import RateLimitedError
from s3kit.uploads.models import Ticket

TICKETS_PER_HOUR = 100  # per user
OPEN_BYTES = 20 * 2**30  # of all unfinished uploads of a user


def check(user: AbstractBaseUser, size: int) -> None:
    """Raise RateLimitedError if the user may not start another upload of this size now."""
    now, hour = timezone.now(), timedelta(hours=1)
    mine = Ticket.objects.filter(user_id=user.pk)
    lately = mine.filter(created_at__gt=now - hour).order_by("-created_at")
    # Once this one is an hour old, the next is allowed.
    if (last := lately[TICKETS_PER_HOUR - 1 : TICKETS_PER_HOUR].first()) is not None:
        wait = _seconds(last.created_at + hour - now)
        raise RateLimitedError(
            f"You have started {TICKETS_PER_HOUR} uploads within an hour."
            f" Please try again in {_minutes(wait)}.",
            retry_after=wait,
        )
    state = Ticket.State
    under_way = mine.filter(state__in=(state.OPEN, state.CLAIMED, state.FINISHED), expires_at__gt=now)
    sent = under_way.aggregate(sum=Sum("size"))["sum"] or 0
    if sent + size > OPEN_BYTES:
        first = under_way.order_by("expires_at").first()
        raise RateLimitedError(
            f"Your unfinished uploads and this one exceed {filesizeformat(OPEN_BYTES)}."
            " Please finish or cancel one of them first.",
            retry_after=_seconds(first.expires_at - now) if first else None,
        )


def _seconds(span: timedelta) -> int:
    return max(int(span.total_seconds()) + 1, 1)


def _minutes(seconds: int) -> str:
    minutes = -(-seconds // 60)
    return f"{minutes} minute{'s' * (minutes != 1)}"
