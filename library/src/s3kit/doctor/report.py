"""`manage.py s3 doctor`: live probes of the buckets with the site's own credentials, each with its cure.

What is probed is in `s3/probes/`. Here is the order: first what all else rests on (an answer, the clock, the
credentials, the buckets), then all else at once. What rests on something that failed is not probed, so that a
dead endpoint is one line and not thirty.
"""

import json
import textwrap
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import NamedTuple

from s3kit.doctor import direct, ground, rights, static_files, uploads
from s3kit.doctor.shared import (
    LATER,
    REFUSALS,
    Line,
    NoAnswerError,
    Patient,
    Role,
    Status,
    cant_tell,
    one_line,
)

Style = Callable[[Status, str], str]

STATUSES: tuple[Status, ...] = ("ok", "warning", "can't tell", "not ok")
_STATUS, _TITLE = max(map(len, STATUSES)), 15  # characters
_MARGIN = " " * (_STATUS + _TITLE + 4)


@dataclass(frozen=True)
class Report:
    """What was seen, in the order of the probes, and the titles of what was not probed."""

    role: Role | None
    lines: list[Line]
    not_probed: list[str]

    @property
    def failed(self) -> bool:
        """Whether a line is not ok; warnings and what can't be told are no failure."""
        return any(line.status == "not ok" for line in self.lines)

    def as_json(self) -> str:
        """Return the report for machines."""
        return json.dumps(
            {
                "role": self.role,
                "ok": not self.failed,
                "lines": [asdict(line) for line in self.lines],
                "not_probed": self.not_probed,
            },
            indent=2,
        )

    def as_text(self, width: int, style: Style = lambda _, text: text) -> str:
        """Return the report for people, at most `width` characters wide; `style` colours what is a status."""
        counts = Counter(line.status for line in self.lines)
        summary = ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status])
        if self.not_probed:
            summary += f". Not probed, because it rests on what failed: {', '.join(self.not_probed)}"
        lines = [_shown(line, width, style) for line in self.lines]
        return "\n".join([*lines, "", *textwrap.wrap(f"{summary}.", width)])


def _shown(line: Line, width: int, style: Style) -> str:
    def wrapped(text: str) -> list[str]:
        room = max(width - len(_MARGIN), 40)
        return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)

    first, *more = [*wrapped(line.text), *wrapped(line.cure and f"-> {line.cure}")]
    status = style(line.status, line.status) + " " * (_STATUS - len(line.status))
    return "\n".join([f"{status}  {line.probe:<{_TITLE}}  {first}", *(_MARGIN + text for text in more)])


class _Group(NamedTuple):
    """Probes that can run beside others: with which role's rights, and the bucket that they need, if one."""

    title: str
    probe: Callable[[Patient], list[Line]]
    roles: tuple[Role, ...]
    bucket: str = ""


_GROUPS = (
    _Group("uploads", uploads.uploads, ("web",), "media"),
    _Group("direct uploads", direct.direct_uploads, ("web",), "media"),
    _Group("direct expiry", direct.expiry, ("deploy",)),
    _Group("static files", static_files.static_files, ("web", "deploy"), "static"),
    _Group("static write", static_files.static_write, ("deploy",), "static"),
    _Group("listing", rights.listing, ("web", "deploy")),
    _Group("outside", rights.outside, ("web", "deploy")),
    _Group("account block", rights.account_block, ("web", "deploy")),
)


def _seen(title: str, probe: Callable[[Patient], list[Line]], patient: Patient) -> list[Line]:
    try:
        return probe(patient)
    except (*REFUSALS, NoAnswerError) as error:  # where the probe itself expects none
        return [cant_tell(title, one_line(error), LATER)]


def diagnose(role: Role | None = None) -> Report:
    """Probe the buckets of the settings, with a role only what that role may do, and clean up in any case.

    Every request has a limit of a few seconds. Raises ImproperlyConfigured where the settings are incomplete.
    """
    patient = Patient.of_settings(role)
    due = [group for group in _GROUPS if role is None or role in group.roles]
    lines: list[Line] = []
    for title, probe in (
        ("endpoint", ground.endpoint),
        ("credentials", ground.credentials),
        ("buckets", ground.buckets),
    ):
        lines += _seen(title, probe, patient)
        failed = {line.probe for line in lines if line.status == "not ok"}
        if failed & {"endpoint", "clock", "credentials"}:
            return Report(role, lines, [group.title for group in due])
    lines += ground.domains(patient)
    possible = [group for group in due if not group.bucket or group.bucket in patient.usable]
    # On Ctrl-C too the pool waits for the probes under way, which delete what they made.
    with ThreadPoolExecutor(len(_GROUPS)) as pool:
        for outcome in [pool.submit(_seen, group.title, group.probe, patient) for group in possible]:
            lines += outcome.result()
    skipped = [group.title for group in due if group not in possible]
    return Report(role, lines, skipped + sorted(patient.not_probed))
