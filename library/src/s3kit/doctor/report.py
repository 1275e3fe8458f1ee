"""`manage.py s3 doctor`: live probes of the buckets with the site's own credentials, each with its fix.

First comes what all else depends on (an answer, the clock, the credentials, the buckets), then all else at
once. What depends on something that failed is not probed, so that a dead endpoint is one line and not thirty.
"""

import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any, NamedTuple

from s3kit.deployment import Bucket, Deployment, Location, Target
from s3kit.doctor import direct, ground, rights, static_files, uploads
from s3kit.doctor.shared import Line, Probed, Role, Status, seen
from s3kit.errors import printable

Style = Callable[[Status, str], str]

STATUSES: tuple[Status, ...] = ("ok", "warning", "can't tell", "not ok")
_STATUS, _TITLE = max(map(len, STATUSES)), 15  # characters
_MARGIN = " " * (_STATUS + _TITLE + 4)
_THREADS = 8


@dataclass(frozen=True)
class Report:
    """What was seen, in the order of the probes, and the titles of what was not probed."""

    role: Role | None
    lines: list[Line]
    not_probed: list[str]

    @property
    def failed(self) -> bool:
        """Whether a line is not ok; a warning, or what can't be told, is not a failure."""
        return any(line.status == "not ok" for line in self.lines)

    def as_data(self) -> dict[str, Any]:
        """Return the report for machines."""
        return {
            "role": self.role,
            "ok": not self.failed,
            "lines": [asdict(line) for line in self.lines],
            "not_probed": self.not_probed,
        }

    def as_text(self, width: int, style: Style = lambda _, text: text) -> str:
        """Return the report for people, at most `width` characters wide; `style` colours a status."""
        counts = Counter(line.status for line in self.lines)
        summary = ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status])
        if failed := dict.fromkeys(line.probe for line in self.lines if line.status == "not ok"):
            summary += f" ({', '.join(failed)})"  # below a long report, where it is seen
        if self.not_probed:
            summary += f". Not probed, because it depends on what failed: {', '.join(self.not_probed)}"
        lines = [_shown(line, width, style) for line in self.lines]
        return "\n".join([*lines, "", *textwrap.wrap(f"{summary}.", width)])


def _shown(line: Line, width: int, style: Style) -> str:
    def wrapped(text: str) -> list[str]:
        room = max(width - len(_MARGIN), 40)
        return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)

    text = f"{line.storage}: {line.text}" if line.storage else line.text
    first, *more = [*wrapped(text), *wrapped(line.fix and f"-> {line.fix}")]
    status = style(line.status, line.status) + " " * (_STATUS - len(line.status))
    return "\n".join([f"{status}  {line.probe:<{_TITLE}}  {first}", *(_MARGIN + text for text in more)])


class _Group(NamedTuple):
    """Probes that can run beside others, with which role's rights, and for each of what."""

    title: str
    probe: Callable[[Probed, Any], Iterable[Line]]
    roles: tuple[Role, ...]
    of: Callable[[Deployment], Sequence[Bucket | Location | None]] = lambda _: [None]
    needs_bucket: bool = True


def _static_locations(deployment: Deployment) -> Sequence[Location]:
    return deployment.static_locations


def _with_media(deployment: Deployment) -> list[Bucket]:
    return [bucket for bucket in deployment.buckets if bucket.media]


_GROUPS = (
    _Group("uploads", uploads.uploads, ("web",), lambda deployment: deployment.media),
    _Group("direct uploads", direct.direct_uploads, ("web",), _with_media),
    _Group("direct expiry", direct.expiry, ("deploy",), _with_media, needs_bucket=False),
    _Group("static files", static_files.static_files, ("web", "deploy"), _static_locations),
    _Group("static write", static_files.static_write, ("deploy",), _static_locations),
    _Group("bucket grants", ground.grants, ("deploy",)),
    _Group("listing", rights.listing, ("web", "deploy")),
    _Group("outside", rights.outside, ("web", "deploy")),
    _Group("account block", rights.account_block, ("web", "deploy")),
)


class _Job(NamedTuple):
    title: str
    probe: Callable[[Probed, Any], Iterable[Line]]
    subject: Bucket | Location | Target | None
    label: str = ""

    def run(self, probed: Probed) -> list[Line]:
        lines = seen(self.title, lambda: self.probe(probed, self.subject))
        # They quote what servers answer.
        return [
            replace(line, storage=self.label, text=printable(line.text), fix=printable(line.fix))
            for line in lines
        ]

    @property
    def full_title(self) -> str:
        return f"{self.title} ({self.label})" if self.label else self.title

    def is_possible(self, probed: Probed, needs_bucket: bool) -> bool:
        """Tell whether what the job depends on is in order."""
        if self.subject is None:
            return bool(probed.reachable)
        found = probed.usable if needs_bucket else probed.reachable
        return any(self.subject in {bucket, *bucket.locations} for bucket in found)


def _labeled(jobs: Iterable[_Job], probed: Probed) -> list[_Job]:
    """Return the jobs, labeled by storage where there are several of a title."""
    found = list(jobs)
    titles = Counter(job.title for job in found)
    return [
        job._replace(label=_label(job.subject, probed)) if titles[job.title] > 1 else job for job in found
    ]


def _label(subject: Bucket | Location | Target | None, probed: Probed) -> str:
    if isinstance(subject, Target):
        return ", ".join(location.alias for location in probed.locations if location.target == subject)
    if isinstance(subject, Bucket):
        return ", ".join(location.alias for location in subject.locations)
    return subject.alias if subject else ""


def _run(jobs: Sequence[_Job], probed: Probed) -> list[list[Line]]:
    """Run jobs at once; return their lines in the order of the jobs."""
    # On Ctrl-C too the pool waits for the probes under way, which delete what they made.
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(lambda job: job.run(probed), jobs))


def _failed(lines: Iterable[Line]) -> bool:
    return any(line.status == "not ok" for line in lines)


def diagnose(deployment: Deployment, role: Role | None = None) -> Report:
    """Probe the buckets of a site, with a role only what that role may do, and clean up in any case.

    Every request has a limit of a few seconds.
    """
    probed = Probed(deployment, role)
    groups = {group.title: group for group in _GROUPS if role is None or role in group.roles}
    lines = _targets(probed)
    # From here on each request says whose bucket it means.
    probed.deployment = deployment = deployment.owned(probed.accounts)
    due = _labeled(
        (_Job(group.title, group.probe, each) for group in groups.values() for each in group.of(deployment)),
        probed,
    )
    lines += [*_buckets(probed), *_Job("server", ground.server, None).run(probed)]
    possible = [job for job in due if job.is_possible(probed, groups[job.title].needs_bucket)]
    lines += chain.from_iterable(_run(possible, probed))
    skipped = [job.full_title for job in due if job not in possible]
    return Report(role, lines, skipped + sorted(set(probed.not_probed)))


def _targets(probed: Probed) -> list[Line]:
    """Probe each S3 and its credentials; note those that are broken."""
    lines: list[Line] = []
    targets = list(dict.fromkeys(location.target for location in probed.locations))
    first = {target.where: target for target in reversed(targets)}
    jobs = [_Job("endpoint", ground.endpoint, each) for each in targets if first[each.where] == each]
    jobs += [_Job("credentials", ground.credentials, each) for each in targets]
    for job in _labeled(jobs, probed):
        if job.subject in probed.broken or not isinstance(job.subject, Target):
            continue
        found = job.run(probed)
        lines += found
        if _failed(found):
            same = targets if job.title == "endpoint" else [job.subject]
            probed.broken |= {target for target in same if target.where == job.subject.where}
    return lines


def _buckets(probed: Probed) -> list[Line]:
    """Probe the buckets, and the custom domains in front of them; note what is usable."""
    jobs = _labeled((_Job(ground.title(each), ground.bucket, each) for each in probed.buckets), probed)
    lines = list(chain.from_iterable(_run(jobs, probed)))
    # Credentials that S3 rejects are one line and not two.
    lines = list({(line.probe, line.text): line for line in lines}.values())
    reached = [each for each in probed.locations if each.target not in probed.broken]
    jobs = _labeled((_Job(f"{each.kind} domain", ground.domain, each) for each in reached), probed)
    return [*lines, *chain.from_iterable(_run(jobs, probed))]
