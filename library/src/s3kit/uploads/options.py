"""The setting S3KIT_UPLOADS: how much users may upload. It is read at every use, so `override_settings` works.

S3KIT_UPLOADS = {"PER_HOUR": 50, "GROUPS": {"editors": {"PER_HOUR": 1000}}}
"""

from collections.abc import Mapping
from typing import Any

from django.conf import settings

SETTING = "S3KIT_UPLOADS"
GROUPS = "GROUPS"

# Limits that may differ by group.
QUOTAS = {
    "PER_HOUR": 100,  # uploads that one user may start
    "UNFINISHED_BYTES": 20 * 2**30,  # of all unfinished uploads of one user
}
DEFAULTS = {
    **QUOTAS,
    "MAX_BYTES": 5 * 2**30,  # of a file whose field declares no max_bytes
    # Of a file that is sent with a form, if its field declares no form_max_bytes.
    "FORM_MAX_BYTES": 100 * 2**20,
}


def _setting() -> Mapping[str, Any]:
    return getattr(settings, SETTING, None) or {}


def option(name: str, declared: int | None = None) -> int:
    """Return the value that a field declares, else the setting's value, else the default."""
    return int(_setting().get(name, DEFAULTS[name])) if declared is None else declared


def quotas(user: Any) -> dict[str, int]:
    """Return the QUOTAS of a user: the highest of the user's groups, or else the general ones."""
    groups = _setting().get(GROUPS) or {}
    # A custom user model may have no groups.
    has_groups = groups and hasattr(user, "groups")
    own = user.groups.filter(name__in=groups).values_list("name", flat=True) if has_groups else ()
    given = [groups[name] for name in own]
    return {
        name: max((each[name] for each in given if name in each), default=option(name)) for name in QUOTAS
    }
