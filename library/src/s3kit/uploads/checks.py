"""The system check of S3KIT_UPLOADS."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error

from s3kit.uploads.options import DEFAULTS, GROUPS, QUOTAS, SETTING

ID = "s3kit_uploads.E001"


def check_setting(**_kwargs: Any) -> list[CheckMessage]:
    """Check S3KIT_UPLOADS."""
    return [Error(message, hint=fix, id=ID) for message, fix in _problems()]


def _problems() -> Iterator[tuple[str, str]]:
    given = getattr(settings, SETTING, None)
    if given is None:
        return
    if not isinstance(given, Mapping):
        yield f"{SETTING} is {given!r}, which is not a dict.", 'Write a dict, such as {"PER_HOUR": 50}.'
        return
    groups = given.get(GROUPS, {})
    yield from _wrong(SETTING, {name: given[name] for name in given if name != GROUPS}, [*DEFAULTS, GROUPS])
    if not isinstance(groups, Mapping):
        fix = 'Write a dict, such as {"editors": {"PER_HOUR": 1000}}.'
        yield f"{SETTING}[{GROUPS!r}] is {groups!r}, which is not a dict of groups.", fix
        return
    for name, quotas in groups.items():
        where = f"{SETTING}[{GROUPS!r}][{name!r}]"
        if isinstance(quotas, Mapping):
            yield from _wrong(where, quotas, list(QUOTAS))
        else:
            yield f"{where} is {quotas!r}, which is not a dict.", 'Write a dict, such as {"PER_HOUR": 1000}.'


def _wrong(where: str, given: Mapping[Any, Any], known: list[str]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with these limits, each with its fix."""
    for name, value in given.items():
        if name in known:
            if type(value) is not int or value < 1:
                yield (
                    f"{where}[{name!r}] is {value!r}, which is not a whole number above 0.",
                    f"Set it to a whole number, or leave it out for the default, {DEFAULTS[name]}.",
                )
        elif name in DEFAULTS or name == GROUPS:
            yield f"{where} has {name!r}, which can't differ by group.", f"Move it to {SETTING}."
        else:
            near = difflib.get_close_matches(str(name).upper(), known, n=1, cutoff=0)[0]
            yield f"{where} has {name!r}, which is not a limit.", f"Did you mean {near!r}?"
