"""`manage.py s3 doctor`: live probes of the buckets with the site's own credentials, each with its fix.

First comes what all else depends on (an answer, the clock, the credentials, the buckets), then all else at
once. What depends on something that failed is not probed, so that a dead endpoint is one line and not thirty.
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

# Paints a text by what it says: the status of probes.
Style = Callable[[Status, str], str]

# In the order of the report: what has to be done comes first.
_TITLES: dict[Status, str] = {
    "not ok": "Not ok",
    "warning": "Warnings",
    "can't tell": "Can't tell",
    "ok": "Ok",
}
_TITLE = 15  # characters of the longest title of a probe
_THREADS = 8
_NAMED_FAILURES = 3

# What a probe is about: the first pattern that matches the beginning of its title.
_AREAS = {
    "Connection": r"endpoint|clock|credentials|server|\w+ (bucket|domain)$|bucket$",
    "Uploads": r"media|missing key|if-none-match|\w+ link|signed cookies",
    "Direct uploads": "direct",
    "Static files": "static|manifest|collectstatic",
    "Rights": "",
}


def area(probe: str) -> str:
    """Return what a probe is about, as the report groups it."""
    return next(name for name, pattern in _AREAS.items() if re.match(pattern, probe))


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

    def as_text(self, style: Style = lambda _, text: text, width: int = 0, verbosity: int = 1) -> str:
        """Return the report for people, in lines of at most `width` columns; `style` colors headings.

        What is not ok comes first, with what to do about it, then the rest by what it is about: the names of the
        probes, with a verbosity of 2 what each saw, and with 0 nothing. The last line sums up.
        """
        parts = list[list[str]]()
        for status, title in _TITLES.items():
            lines = [line for line in self.lines if line.status == status]
            if status == "ok" and self.not_probed:
                names = wrap(_listed(self.not_probed), "  ", width=width)
                parts.append(["Not probed, because it depends on what is not ok", *names])
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
        """Return the counts, and of what is not ok the first names: the report may have scrolled away."""
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
    """Return lines, those with the same fix together."""
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
    """Return each title once, with the commas between them; one of two words stays together."""
    *most, last = dict.fromkeys(titles)
    return [*(f"{title}," for title in most), last]


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
