"""Logging without the signatures of signed links, and logging of everything that a server prints."""

import logging
import re
import sys
import threading
from collections.abc import Iterable
from typing import Any

# The secret parts of signed links to S3 and CloudFront.
_SIGNATURE = re.compile(
    r"([?&](?:X-Amz-Signature|X-Amz-Security-Token|Signature|Policy)=)[^&\s\"'<>\\]+", re.IGNORECASE
)


def without_signatures(text: str) -> str:
    """Return the text with the signature of each link replaced by dots."""
    return _SIGNATURE.sub(r"\1...", text)


class WithoutSignatures(logging.Formatter):
    """A mixin for formatters that removes signatures from finished lines, tracebacks included.

    Put it first: `class Plain(WithoutSignatures, logging.Formatter)`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the formatted record without signatures."""
        return without_signatures(super().format(record))


class OncePerPlace(logging.Filter):
    """Log a Python warning once for each line of code: a single file could cause thousands of similar warnings."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a warning with this file, line, and category hasn't been logged before."""
        place = ": ".join(record.getMessage().split(": ", 2)[:2])
        is_new = place not in self.seen
        self.seen.add(place)
        return is_new


class LoggedStream:
    """A stream for `print` and tracebacks that logs each line that is written to it."""

    encoding, errors = "utf-8", "backslashreplace"

    def __init__(self, name: str, level: int, stream: Any) -> None:
        """Log as `name`. Text that is written while a line is being logged goes to `stream`."""
        self.logger, self.level, self.stream = logging.getLogger(name), level, stream
        self.fileno = stream.fileno
        self.state = threading.local()

    def write(self, text: str) -> int:
        """Log all complete lines; keep the rest."""
        if getattr(self.state, "busy", False):  # logging itself writes, because it has failed
            self.stream.write(text)
            return len(text)
        *lines, self.state.rest = (getattr(self.state, "rest", "") + text).split("\n")
        self.state.busy = True
        for line in filter(str.strip, lines):
            self.logger.log(self.level, "%s", line)
        self.state.busy = False
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Log several texts."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Log the rest as a line."""
        if getattr(self.state, "rest", ""):
            self.write("\n")

    def isatty(self) -> bool:
        """Return False."""
        return False


def capture(*, streams: bool) -> None:
    """Log Python's warnings and, with `streams`, everything else that this process and its libraries print.

    With `streams`, logging handlers must write to `ext://sys.__stdout__` and `ext://sys.__stderr__`.
    """
    logging.captureWarnings(capture=True)
    if not streams:
        return

    def uncaught(kind: Any, error: Any, trace: Any, source: Any = None) -> None:
        logging.getLogger("python").critical(
            "Uncaught exception in %r", source, exc_info=(kind, error, trace)
        )

    sys.excepthook = uncaught
    threading.excepthook = lambda raised: uncaught(*raised)
    sys.unraisablehook = lambda raised: uncaught(
        raised.exc_type, raised.exc_value, raised.exc_traceback, raised.object
    )
    for name, level, stream in (
        ("stdout", logging.INFO, sys.__stdout__),
        ("stderr", logging.ERROR, sys.__stderr__),
    ):
        setattr(sys, name, LoggedStream(name, level, stream))
