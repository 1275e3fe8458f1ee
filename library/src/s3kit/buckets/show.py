"""A plan as text, like a diff with reasons, and as data for machines."""

import json
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from s3kit.buckets import policies
from s3kit.buckets.plan import BucketPlan, Line, grant_in_words
from s3kit.errors import printable

# Paints a text by what it is: heading, add, remove, change, conflict, quiet, plain.
Paint = Callable[[str, str], str]

_SIGNS = {
    "as wanted": "=",
    "missing": "+",
    "different": "~",
    "waiting": "!",
    "conflict": "!",
    "optional": "?",
    "not supported": "?",
}
_KINDS = {"=": "quiet", "+": "add", "~": "change", "!": "conflict", "?": "change"}
_MORE = {
    "waiting": " -- waits until the conflict is resolved",
    "optional": " -- not set; `apply` sets it if the server then still stores files",
    "not supported": " -- not supported here, skipped",
}
_WIDTH = 20  # of the longest title


def as_text(plans: Sequence[BucketPlan], paint: Paint = lambda _, text: text, width: int = 0) -> str:
    """Return the plan to read, in lines of at most a width where one is given."""

    def put(kind: str, text: str) -> str:
        return "\n".join(paint(kind, part) for part in _folded(printable(text), width))

    lines = [line for bucket in plans for line in _bucket(bucket, put)]
    return "\n".join([*lines, _sum(plans, put)])


def _folded(text: str, width: int) -> list[str]:
    """Return the text in lines, what follows the first being indented as far as its reason or value is."""
    if not width or len(text) <= width:
        return [text]
    titled = re.match(r"  [=+~!?] .{20} ", text)
    indent = titled.end() if titled else len(text) - len(text.lstrip()) + 4
    return textwrap.wrap(
        text, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )


def as_json(plans: Sequence[BucketPlan]) -> str:
    """Return the plan as JSON: everything that the text says."""
    found = {
        "as_wanted": all(bucket.is_as_wanted for bucket in plans),
        "buckets": [
            {
                "name": bucket.name,
                "region": bucket.bucket.target.region,
                "holds": bucket.holds,
                "exists": bucket.exists,
                "aspects": [_data(line) for line in bucket.lines],
                "opens": bucket.opens,
                "closes": bucket.closes,
                "reminder": bucket.reminder,
                "rejected": bucket.rejected,
                "cannot_tell": bucket.unknown,
            }
            for bucket in plans
        ],
    }
    return json.dumps(found, indent=2, default=str)  # rules of others may have dates


def _data(line: Line) -> dict[str, Any]:
    return {
        "aspect": line.aspect,
        "state": line.state,
        "is": line.live,
        "becomes": line.goal,
        "reason": line.reason,
        "left_alone": line.left_alone,
        "left_out": line.left_out,
        "conflicts": [
            {"says": conflict.says, "cure": conflict.cure, "document": conflict.old}
            for conflict in line.conflicts
        ],
    }


def _bucket(bucket: BucketPlan, paint: Paint) -> Iterator[str]:
    region = bucket.bucket.target.region
    yield paint("heading", f"{bucket.name}: {bucket.holds}")
    if bucket.exists:
        yield paint("quiet", f"  = {'bucket':{_WIDTH}} is in {region}")
    else:
        closed = "" if bucket.bucket.target.endpoint else ", closed as AWS makes new ones"
        yield paint("add", f"  + {'bucket':{_WIDTH}} will be created in {region}{closed}")
    for line in bucket.lines:
        yield from _aspect(line, paint)
    for text in bucket.opens:
        yield paint("change", f"  opens: {text}")
    for text in bucket.closes:
        yield paint("change", f"  closes, no longer: {text}")
    for text in bucket.rejected:
        yield paint("conflict", f"  ! {text}")
    if bucket.reminder:
        yield paint("change", f"  ? {bucket.reminder}")
    if bucket.unknown:
        yield paint(
            "change",
            f"  ? can't tell whether the whole account blocks public access ({bucket.unknown})",
        )
    yield ""


def _aspect(line: Line, paint: Paint) -> Iterator[str]:
    sign = _SIGNS[line.state]
    yield paint(_KINDS[sign], f"  {sign} {line.aspect:{_WIDTH}} {line.reason}{_MORE.get(line.state, '')}")
    live, goal = _parts(line.aspect, line.live), _parts(line.aspect, line.goal)
    yield from (paint("remove", f"      - {text}") for text in live if text not in goal)
    yield from (paint("add", f"      + {text}") for text in goal if text not in live)
    if line.state == "conflict":
        for conflict in line.conflicts:
            yield paint("conflict", f"      ! conflict: {conflict.says}")
            yield paint("plain", f"        {conflict.cure}")
    yield from (paint("quiet", f"      . left alone: {text}") for text in line.left_alone)
    if line.left_out:
        yield paint("quiet", f"      . left out: {line.left_out}")


def _parts(aspect: str, value: Any) -> list[str]:
    """Return the value of an aspect in lines that can be compared."""
    if isinstance(value, Mapping):
        return [f"{name}: {'on' if each else 'off'}" for name, each in value.items()]
    if isinstance(value, list):
        words: dict[str, Callable[[Any], str]] = {
            "policy": policies.in_words,
            "bucket ACL": grant_in_words,
            "tags": lambda tag: f"{tag['Key']}: {tag['Value']}",
        }
        return [words.get(aspect, partial(json.dumps, default=str))(each) for each in value]
    return [str(value)] if value else []


def _sum(plans: Sequence[BucketPlan], paint: Paint) -> str:
    writes = sum(line.changes for bucket in plans for line in bucket.lines)
    new = sum(not bucket.exists for bucket in plans)
    conflicts = sum(
        len(line.conflicts) for bucket in plans for line in bucket.lines if line.state == "conflict"
    )
    rejected = sum(len(bucket.rejected) for bucket in plans)
    if all(bucket.is_as_wanted for bucket in plans):
        return paint("add", "Nothing to do: everything is as wanted.")
    parts = [
        _count(new, "bucket to create", "buckets to create"),
        _count(writes, "change", "changes"),
        _count(conflicts, "conflict to resolve", "conflicts to resolve"),
        _count(rejected, "setting to correct", "settings to correct"),
    ]
    return paint("plain", f"To do: {', '.join(filter(None, parts))}.")


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}" if number else ""
