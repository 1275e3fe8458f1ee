"""A plan as text, like a diff with reasons, and as JSON."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from s3kit.buckets import policies
from s3kit.buckets.plan import BucketPlan, Line, grant_in_words
from s3kit.errors import printable
from s3kit.terminal import wrap

# Colors a text by its kind: heading, add, remove, change, conflict, quiet, plain.
Paint = Callable[[str, str], str]
# Wraps and colors a text: its kind, the text, and the beginning of its first line.
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
    "optional": " -- not set; `apply` sets it if the server still stores files with it",
    "not supported": " -- not supported by this server, skipped",
}
_ORDER = ("ID", "Status", "Filter", "Expiration", "NoncurrentVersionExpiration")  # then the others, by name
_WIDTH = 20  # of the longest title


def as_text(
    plans: Sequence[BucketPlan], paint: Paint = lambda _, text: text, width: int = 0, *, verbose: bool = False
) -> str:
    """Return the plan as text, in lines of at most `width` columns (default: the terminal's).

    One line for each bucket names what is up to date; with `verbose`, each aspect has a line with its reason.
    """

    def put(kind: str, text: str, first: str = "") -> str:
        """Return a wrapped text, colored as a whole, or only its title if it begins with an aspect's."""
        if len(first) <= _WIDTH:
            lines = wrap(printable(text), first, " " * len(first) + "  ", width)
            return "\n".join(paint(kind, line) for line in lines)
        title, reason = first.rstrip(), "\n".join(wrap(printable(text), first, width=width))
        return paint(kind, title) + reason[len(title) :]

    lines = [line for bucket in plans for line in _bucket(bucket, put, verbose=verbose)]
    return "\n".join([*lines, _sum(plans, paint)])


def as_json(plans: Sequence[BucketPlan]) -> str:
    """Return the plan as JSON, with everything that the text says."""
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
    return json.dumps(found, indent=2, default=str)  # other people's rules may contain dates


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
            {"says": conflict.says, "fix": conflict.fix, "document": conflict.old}
            for conflict in line.conflicts
        ],
    }


def _bucket(bucket: BucketPlan, put: Put, *, verbose: bool) -> Iterator[str]:
    region = bucket.bucket.target.region
    yield put("heading", f"{bucket.name}: {bucket.holds}")
    if not bucket.exists:
        closed = "" if bucket.bucket.target.endpoint else ", private by default"
        yield put("add", f"will be created in {region}{closed}", _first("+", "bucket"))
    elif verbose:
        yield put("quiet", f"is in {region}", _first("=", "bucket"))
    short = [] if verbose else [line for line in bucket.lines if _is_quiet(line)]
    for line in bucket.lines:
        if line not in short:
            yield from _aspect(line, put)
    if short:
        yield put("quiet", ", ".join(line.aspect for line in short), _first("=", "up to date"))
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
    """Return whether a line is up to date and has nothing else to report."""
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
            yield put("plain", conflict.fix, "        ")
    yield from (put("quiet", f"left alone: {text}", "      . ") for text in line.left_alone)
    if line.left_out:
        yield put("quiet", f"omitted: {line.left_out}", "      . ")


def _parts(aspect: str, value: Any) -> list[str]:
    """Return the value of an aspect as lines to compare."""
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


def _rank(part: tuple[str, Any]) -> tuple[int, str]:
    name = part[0]
    return _ORDER.index(name) if name in _ORDER else len(_ORDER), name


def _flat(value: Any, name: str = "") -> Iterator[str]:
    """Yield the names and values of a rule, such as "Expiration.Days: 1", in one order: servers return any."""
    if isinstance(value, Mapping):
        for key, each in sorted(value.items(), key=_rank):
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
        return paint("add", "Nothing to do: everything is up to date.")
    parts = [
        _count(new, "bucket to create", "buckets to create"),
        _count(writes, "change", "changes"),
        _count(conflicts, "conflict to resolve", "conflicts to resolve"),
        _count(rejected, "setting to correct", "settings to correct"),
    ]
    return paint("sum", f"To do: {', '.join(filter(None, parts))}.")


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}" if number else ""
