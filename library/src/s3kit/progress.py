"""How far a command that handles many objects has come: what such code calls, and what shows it to people."""

import time
from collections.abc import Callable

from django.core.management.base import OutputWrapper

# (done, all, what was done just now)
Progress = Callable[[int, int, str], None]

SECONDS_BETWEEN_LINES = 5.0
BAR = 40  # characters


class ProgressBar:
    """A bar on a terminal, elsewhere a line now and then; with `verbose` a line for each object."""

    def __init__(self, out: OutputWrapper, *, verbose: bool) -> None:
        self.out, self.verbose = out, verbose
        self.bar = out.isatty() and not verbose
        self.next = time.monotonic() + SECONDS_BETWEEN_LINES

    def __call__(self, done: int, total: int, what: str) -> None:
        """Show that `done` of `total` objects are done, `what` being the latest."""
        if self.verbose:
            self.out.write(what)
        elif self.bar:
            filled = BAR * done // total
            self.out.write(f"\r[{'#' * filled}{'.' * (BAR - filled)}] {done}/{total}", ending="")
            self.out.flush()
        elif time.monotonic() >= self.next:
            self.next = time.monotonic() + SECONDS_BETWEEN_LINES
            self.out.write(f"{done} of {total} objects")

    def close(self) -> None:
        """Wipe the bar out."""
        if self.bar:
            self.out.write("\r\x1b[K", ending="")
