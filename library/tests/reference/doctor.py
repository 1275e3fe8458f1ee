"""The page on what plan, apply, and doctor report, made from their messages."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache

from s3kit.buckets.plan import Conflict
from s3kit.doctor.report import area
from s3kit.doctor.shared import LATER
from tests.reference.messages import UNKNOWN, messages, prose, sources
from tests.reference.troubleshooting import sentence

HEAD = """# Messages of s3 plan and s3 doctor

What `s3 plan`, `s3 apply`, and `s3 doctor` report, and the fixes that they print. An ellipsis (…) replaces a value. For
errors of S3 such as `AccessDenied`, see [Troubleshooting](troubleshooting.md).
"""

PLAN = """## s3 plan and s3 apply

A line that begins with `!` is a conflict: someone has configured the bucket in a way that contradicts the settings.
Without `--replace-conflicting`, `apply` changes nothing there.
"""

DOCTOR = """## s3 doctor

The doctor prints a line for each probe. "Can't tell" means that the credentials or the machine can't see the result. A
line that S3 or the network caused, and that names no other fix, says `run the doctor again`.
"""

AREAS = ("Connection", "Uploads", "Direct uploads", "Static files", "Rights")
STATUS = ("not_ok", "warning", "cant_tell")


@cache
def page() -> str:
    """Return the page."""
    return "\n".join([HEAD, PLAN, *_plan(), "", DOCTOR, *_doctor()])


def _by_fix(found: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield an item for each fix, with its messages."""
    by_fix: dict[str, dict[str, None]] = defaultdict(dict)
    for text, fix in found:
        by_fix[fix][text] = None
    for fix, texts in by_fix.items():
        yield "\\\n  ".join([f"- {next(iter(texts))}", *list(texts)[1:], f"**Fix:** {prose(sentence(fix))}"])


def _plan() -> Iterator[str]:
    for source in sources("buckets"):
        for each in messages(source, ("BucketError",), 0, 99):
            yield f"- {prose(each.text)}"
    yield from _by_fix(
        (f"conflict: {prose(each.text)}", each.fix or Conflict.fix)
        for source in sources("buckets")
        for each in messages(source, ("Conflict",), 0, 3)
    )


def _doctor() -> Iterator[str]:
    probes: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for source in sources("doctor"):
        for each in messages(source, STATUS, 1, 2, 0):
            # What passes by itself, and what only other messages say.
            if each.fix not in {"", UNKNOWN, LATER}:
                probes[area(each.about.replace(UNKNOWN, "media")), each.text, each.fix].append(each.about)
    for name in AREAS:
        yield from [f"### {name}", ""]
        yield from _by_fix(
            (f"{_named(titles)}{prose(text)}", fix)
            for (where, text, fix), titles in probes.items()
            if where == name
        )
        yield ""


def _named(titles: list[str]) -> str:
    named = ", ".join(f"`{title}`" for title in dict.fromkeys(titles) if title != UNKNOWN)
    return f"{named}: " if named else ""
