"""The progress bar and the final report of commands that handle many objects."""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, OutputWrapper

from s3kit.errors import printable, printable_lines
from s3kit.terminal import wrapped

# (done, total, what was done last)
Progress = Callable[[int, int, str], None]

SECONDS_BETWEEN_LINES = 5.0
BAR = 40  # characters
NAMED_FAILURES = 20


class ProgressBar:
    """A progress bar on a terminal, an occasional line elsewhere; with `verbose`, one line for each object."""

    def __init__(self, out: OutputWrapper, *, verbose: bool) -> None:
        self.out, self.verbose = out, verbose
        self.bar = out.isatty() and not verbose
        self.next = time.monotonic() + SECONDS_BETWEEN_LINES

    def __call__(self, done: int, total: int, what: str) -> None:
        """Show that `done` of `total` objects are done; `what` is the last."""
        if self.verbose:
            self.out.write(wrapped(printable(what), self.out))
        elif self.bar:
            filled = BAR * done // total
            self.out.write(f"\r[{'#' * filled}{'.' * (BAR - filled)}] {done}/{total}", ending="")
            self.out.flush()
        elif time.monotonic() >= self.next:
            self.next = time.monotonic() + SECONDS_BETWEEN_LINES
            self.out.write(f"{done} of {total} objects")

    def close(self) -> None:
        """Remove the bar."""
        if self.bar:
            self.out.write("\r\x1b[K", ending="")


class Report:
    """The result of a command."""

    def as_text(self) -> str:
        """Return the report as text."""
        raise NotImplementedError

    def as_data(self) -> dict[str, Any]:
        """Return the report's fields as data for JSON, with errors sorted by name."""
        found = {name: value for name, value in vars(self).items() if name not in {"started", "fix"}}
        return found | {"errors": dict(sorted(found.get("errors", {}).items()))}

    def failures(self) -> str:
        """Return what failed and the fix, "" if nothing failed."""
        raise NotImplementedError


def listed(title: str, failures: Iterable[tuple[str, str]], *end: str) -> str:
    """Return failures as text: the title, the first NAMED_FAILURES by name, and `end`."""
    found = sorted(failures)
    lines = [title, *(printable(f"  {name}: {reason}") for name, reason in found[:NAMED_FAILURES])]
    if len(found) > NAMED_FAILURES:
        lines.append(f"  and {len(found) - NAMED_FAILURES:,} more")
    return "\n".join([*lines, *end])


def run(command: BaseCommand, options: dict[str, Any], work: Callable[[Progress], Report]) -> None:
    """Call `work`, show its progress, and print its report as text or, with the option `json`, as JSON.

    Raises CommandError if the report has failures. Ctrl-C and SIGTERM end the command with exit code 130.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    progress = ProgressBar(command.stdout, verbose=options["verbosity"] >= 2)
    try:
        report = work((lambda *_: None) if options["json"] else progress)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        progress.close()
    if options["json"]:
        command.stdout.write(json.dumps(report.as_data(), indent=2))
    else:
        command.stdout.write(wrapped(printable_lines(report.as_text()), command.stdout))
    if failures := report.failures():
        raise CommandError(printable_lines(failures))
