"""`manage.py s3 doctor`: live probes of the buckets with the site's own credentials, with a fix for each failure.

The probes that all others depend on come first (endpoint, clock, credentials, buckets); the others then run at once.
Probes that depend on a failed one are skipped, so a dead endpoint is one line and not thirty.
"""

import re
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
from s3kit.terminal import wrap

# Colors a text by the status of its probes.
Style = Callable[[Status, str], str]

# In the order of the report: failures come first.
_TITLES: dict[Status, str] = {
    "not ok": "Not ok",
    "warning": "Warnings",
    "can't tell": "Can't tell",
    "ok": "Ok",
}
_TITLE = 15  # characters of the longest title of a probe
_THREADS = 8
_NAMED_FAILURES = 3

# The area of a probe is the first whose pattern matches the beginning of its title.
_AREAS = {
    "Connection": r"endpoint|clock|credentials|server|\w+ (bucket|domain)$|bucket$",
    "Uploads": r"media|missing key|if-none-match|\w+ link|signed cookies",
    "Direct uploads": "direct",
    "Static files": "static|manifest|collectstatic",
    "Rights": "",
}


def area(probe: str) -> str:
    """Return the area of a probe, by which the report groups it."""
    return next(name for name, pattern in _AREAS.items() if re.match(pattern, probe))


@dataclass(frozen=True)
class Report:
    """The results in the order of the probes, and the titles of skipped probes."""

    role: Role | None
    lines: list[Line]
    not_probed: list[str]

    @property
    def failed(self) -> bool:
        """Whether a line is "not ok"; a "warning" or "can't tell" isn't a failure."""
        return any(line.status == "not ok" for line in self.lines)

    def as_data(self) -> dict[str, Any]:
        """Return the report as data for JSON."""
        return {
            "role": self.role,
            "ok": not self.failed,
            "lines": [asdict(line) for line in self.lines],
            "not_probed": self.not_probed,
        }

    def as_text(self, style: Style = lambda _, text: text, width: int = 0, verbosity: int = 1) -> str:
        """Return the report as text, in lines of at most `width` columns; `style` colors headings.

        Failures come first, each with its fix. Then come the other probes by area: their names, at verbosity 2 with
        their results, and nothing at verbosity 0. The last line is a summary.
        """
        parts = list[list[str]]()
        for status, title in _TITLES.items():
            lines = [line for line in self.lines if line.status == status]
            if status == "ok" and self.not_probed:
                names = wrap(_listed(self.not_probed), "  ", width=width)
                parts.append(["Not probed, because it depends on a failed probe", *names])
            if not lines or (status == "ok" and not verbosity):
                continue
            parts.append([style(status, title)])
            if status != "ok":
                parts[-1] += _with_fixes(lines, style, width)
            elif verbosity == 1:
                parts[-1] += _names(lines, width)
            else:
                parts += [
                    [f"  {name}", *chain.from_iterable(_seen(line, width, "    ") for line in found)]
                    for name, found in _by_area(lines).items()
                ]
        return "\n\n".join("\n".join(part) for part in [*parts, [self._summary(style)]])

    def _summary(self, style: Style) -> str:
        """Return the counts, with the names of the first failures, because the report may have scrolled away."""
        counts = Counter(line.status for line in self.lines)
        found: dict[Status, str] = {
            status: f"{counts[status]} {status}" for status in _TITLES if counts[status]
        }
        if failed := list(dict.fromkeys(line.probe for line in self.lines if line.status == "not ok")):
            more = [f"{len(failed) - _NAMED_FAILURES} more"] if len(failed) > _NAMED_FAILURES else []
            found["not ok"] += f" ({', '.join([*failed[:_NAMED_FAILURES], *more])})"
        worst: Status = next(iter(found), "ok")
        return style(worst, f"{', '.join(found.values()) or 'Nothing was probed'}.")


def _with_fixes(lines: Iterable[Line], style: Style, width: int) -> list[str]:
    """Return the lines as text, grouped by fix."""
    by_fix: dict[str, list[Line]] = {}
    for line in lines:
        by_fix.setdefault(line.fix, []).append(line)
    margin = " " * (_TITLE + 4)
    found = list[str]()
    for fix, same in by_fix.items():
        for line in same:
            found += _seen(line, width)
        if fix:
            found += wrap(f"{fix}.", f"{margin}{style('ok', 'Fix:')} ", f"{margin}     ", width)
    return found


def _seen(line: Line, width: int, indentation: str = "  ") -> list[str]:
    text = f"{line.storage}: {line.text}" if line.storage else line.text
    return wrap(text, f"{indentation}{line.probe:<{_TITLE}}  ", width=width)


def _by_area(lines: Iterable[Line]) -> dict[str, list[Line]]:
    found: dict[str, list[Line]] = {name: [] for name in _AREAS}
    for line in lines:
        found[area(line.probe)].append(line)
    return {name: each for name, each in found.items() if each}


def _names(lines: Iterable[Line], width: int) -> list[str]:
    return [
        part
        for name, found in _by_area(lines).items()
        for part in wrap(_listed(line.probe for line in found), f"  {name:<{_TITLE}}  ", width=width)
    ]


def _listed(titles: Iterable[str]) -> list[str]:
    """Return each title once, with a comma between them; never break a title of two words."""
    *most, last = dict.fromkeys(titles)
    return [*(f"{title}," for title in most), last]


class _Group(NamedTuple):
    """Probes that can run at the same time as others: their roles, and their subjects."""

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
        # The lines quote responses of servers.
        return [
            replace(line, storage=self.label, text=printable(line.text), fix=printable(line.fix))
            for line in lines
        ]

    @property
    def full_title(self) -> str:
        return f"{self.title} ({self.label})" if self.label else self.title

    def is_possible(self, probed: Probed, needs_bucket: bool) -> bool:
        """Return whether the probes that the job depends on succeeded."""
        if self.subject is None:
            return bool(probed.reachable)
        found = probed.usable if needs_bucket else probed.reachable
        return any(self.subject in {bucket, *bucket.locations} for bucket in found)


def _labeled(jobs: Iterable[_Job], probed: Probed) -> list[_Job]:
    """Return the jobs, labeled by storage if several have the same title."""
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
    """Run jobs at the same time; return their lines in the order of the jobs."""
    # Even on Ctrl-C, the pool waits for running probes, which delete what they created.
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(lambda job: job.run(probed), jobs))


def _failed(lines: Iterable[Line]) -> bool:
    return any(line.status == "not ok" for line in lines)


def diagnose(deployment: Deployment, role: Role | None = None) -> Report:
    """Probe the buckets of a site, or only what a role may do, and always clean up.

    Every request has a time limit of a few seconds.
    """
    probed = Probed(deployment, role)
    groups = {group.title: group for group in _GROUPS if role is None or role in group.roles}
    lines = _targets(probed)
    # From now on, each request names the expected owner of the bucket.
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
    """Probe each endpoint and its credentials; record broken targets."""
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
    """Probe the buckets, and the custom domains in front of them; record usable buckets."""
    jobs = _labeled((_Job(ground.title(each), ground.bucket, each) for each in probed.buckets), probed)
    lines = list(chain.from_iterable(_run(jobs, probed)))
    # Report rejected credentials once, not for each bucket.
    lines = list({(line.probe, line.text): line for line in lines}.values())
    reached = [each for each in probed.locations if each.target not in probed.broken]
    jobs = _labeled((_Job(f"{each.kind} domain", ground.domain, each) for each in reached), probed)
    return [*lines, *chain.from_iterable(_run(jobs, probed))]
