"""A plan as text, like a diff with reasons, and as data for machines."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from s3kit.buckets import policies
from s3kit.buckets.plan import BucketPlan, Line, grant_in_words
from s3kit.errors import printable
from s3kit.terminal import wrap

# Paints a text by what it is: heading, add, remove, change, conflict, quiet, plain.
Paint = Callable[[str, str], str]
# Wraps and paints a text: its kind, the text, and what its first line begins with.
Put = Callable[..., str]

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


def as_text(
    plans: Sequence[BucketPlan], paint: Paint = lambda _, text: text, width: int = 0, *, verbose: bool = False
) -> str:
    """Return the plan to read, in lines of at most `width` columns (default: those of the terminal).

    What is as wanted is named in one line for each bucket; with `verbose` each has its reason.
    """

    def put(kind: str, text: str, first: str = "") -> str:
        """Return a text in lines, all of it painted, or beside the title of an aspect only that."""
        if len(first) <= _WIDTH:
            lines = wrap(printable(text), first, " " * len(first) + "  ", width)
            return "\n".join(paint(kind, line) for line in lines)
        title, reason = first.rstrip(), "\n".join(wrap(printable(text), first, width=width))
        return paint(kind, title) + reason[len(title) :]

    lines = [line for bucket in plans for line in _bucket(bucket, put, verbose=verbose)]
    return "\n".join([*lines, _sum(plans, paint)])


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


def _bucket(bucket: BucketPlan, put: Put, *, verbose: bool) -> Iterator[str]:
    region = bucket.bucket.target.region
    yield put("heading", f"{bucket.name}: {bucket.holds}")
    if not bucket.exists:
        closed = "" if bucket.bucket.target.endpoint else ", closed as AWS makes new ones"
        yield put("add", f"will be created in {region}{closed}", _first("+", "bucket"))
    elif verbose:
        yield put("quiet", f"is in {region}", _first("=", "bucket"))
    short = [] if verbose else [line for line in bucket.lines if _is_quiet(line)]
    for line in bucket.lines:
        if line not in short:
            yield from _aspect(line, put)
    if short:
        yield put("quiet", ", ".join(line.aspect for line in short), _first("=", "as wanted"))
    for text in bucket.opens:
        yield put("change", text, "  opens: ")
    for text in bucket.closes:
        yield put("change", text, "  closes: ")
    for text in bucket.rejected:
        yield put("conflict", text, "  ! ")
    if bucket.reminder:
        yield put("change", bucket.reminder, "  ? ")
    if bucket.unknown:
        text = f"can't tell whether the whole account blocks public access ({bucket.unknown})"
        yield put("change", text, "  ? ")
    yield ""


def _first(sign: str, title: str) -> str:
    return f"  {sign} {title:{_WIDTH}} "


def _is_quiet(line: Line) -> bool:
    """Tell whether there is nothing to say of a line but that it is as wanted."""
    return line.state == "as wanted" and not (line.conflicts or line.left_alone or line.left_out)


def _aspect(line: Line, put: Put) -> Iterator[str]:
    sign = _SIGNS[line.state]
    yield put(_KINDS[sign], f"{line.reason}{_MORE.get(line.state, '')}", _first(sign, line.aspect))
    live, goal = _parts(line.aspect, line.live), _parts(line.aspect, line.goal)
    yield from (put("remove", text, "      - ") for text in live if text not in goal)
    yield from (put("add", text, "      + ") for text in goal if text not in live)
    if line.state == "conflict":
        for conflict in line.conflicts:
            yield put("conflict", f"conflict: {conflict.says}", "      ! ")
            yield put("plain", conflict.cure, "        ")
    yield from (put("quiet", f"left alone: {text}", "      . ") for text in line.left_alone)
    if line.left_out:
        yield put("quiet", f"left out: {line.left_out}", "      . ")


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
        return [words.get(aspect, lambda rule: "; ".join(_flat(rule)))(each) for each in value]
    return [str(value)] if value else []


def _flat(value: Any, name: str = "") -> Iterator[str]:
    """Yield what a rule says, a name and a value each: "Expiration.Days: 1"."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _flat(each, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and all(isinstance(each, str) for each in value):
        yield f"{name}: {', '.join(value)}"
    else:
        yield f"{name}: {value if value and isinstance(value, str) else json.dumps(value, default=str)}"


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
    return paint("sum", f"To do: {', '.join(filter(None, parts))}.")


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}" if number else ""
