"""What commands print for people: lines of at most 100 columns, and colors only where they are wanted."""

import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandParser, DjangoHelpFormatter, OutputWrapper
from django.core.management.color import no_style

COLUMNS = 100

# What stands in backticks is a command to copy.
_WORD = re.compile(r"(?:`[^`\n]+`|\S)+")
_COLOR = re.compile(r"\x1b\[[0-9;]*m")


def columns() -> int:
    """Return how long a line may be: as the terminal, and COLUMNS at most and in a pipe."""
    return min(shutil.get_terminal_size((COLUMNS, 24)).columns, COLUMNS)


def wrap(text: str | Sequence[str], first: str = "", rest: str | None = None, width: int = 0) -> list[str]:
    """Return a text, or words, in lines of at most `width` columns (default: `columns()`), one at least.

    The first line begins with `first` and the others with `rest`, by default as much space. Lines end between words;
    a word that is longer than a line is cut, after a slash or comma if it has one. Only a command in backticks
    stays whole, to be copied.
    """
    width = width or columns()
    rest = " " * len(first) if rest is None else rest
    room = max(width - len(rest), 20)
    lines, line, space = list[str](), first, ""
    for word in _WORD.findall(text) if isinstance(text, str) else text:
        for number, piece in enumerate(_pieces(word, room)):
            if number or (space and _length(line + space + piece) > width):
                lines.append(line)
                line, space = rest, ""
            line += space + piece
            space = " "
    return [*lines, line]


def wrapped(text: str, stream: OutputWrapper) -> str:
    """Return messages, a line each, as a stream of a command shows them.

    On a terminal the long ones are wrapped, each at its own indentation and two more. Programs and logs get a line
    for each.
    """
    if not stream.isatty():
        return text
    lines = list[str]()
    for line in text.split("\n"):
        indentation = line[: len(line) - len(line.lstrip(" "))]
        long = _length(line) > columns()
        lines += wrap(line.strip(), indentation, f"{indentation}  ") if long else [line]
    return "\n".join(lines)


def _length(text: str) -> int:
    return len(_COLOR.sub("", text))


def _pieces(word: str, room: int) -> Iterator[str]:
    while _length(word) > room and "`" not in word and "\x1b" not in word:
        cut = max(word.rfind(sign, room // 2, room) for sign in "/,") + 1 or room
        yield word[:cut]
        word = word[cut:]
    yield word


class _Wrapping(OutputWrapper):
    # The types of Django's own are not those of the stream that it is said to be.
    def write(  # type: ignore[override]
        self, msg: str = "", style_func: Any = None, ending: str | None = None
    ) -> None:
        super().write(wrapped(msg, self), style_func, ending)


class HelpFormatter(DjangoHelpFormatter):
    """Help in lines as long as those of all output, with the options beside what they do."""

    def __init__(self, prog: str, **more: Any) -> None:
        super().__init__(prog, **{"width": columns(), "max_help_position": 30} | more)


class ReadableCommand(BaseCommand):
    """A command with readable help and, on a terminal, wrapped errors; NO_COLOR turns its colors off.

    https://no-color.org says what the variable means; Django does not know it. --force-color wins over it.
    """

    def __init__(
        self, stdout: Any = None, stderr: Any = None, no_color: bool = False, force_color: bool = False
    ) -> None:
        unwanted = bool(os.environ.get("NO_COLOR")) and not force_color
        super().__init__(stdout, stderr, no_color or unwanted, force_color)
        self.stderr = _Wrapping(stderr or sys.stderr)
        self.stderr.style_func = self.style.ERROR

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Return the parser of its options."""
        return super().create_parser(prog_name, subcommand, **{"formatter_class": HelpFormatter} | kwargs)

    def execute(self, *args: Any, **options: Any) -> Any:
        """Run it; a stream that is no terminal gets no colors, although the process may have one."""
        stream = options.get("stdout")
        if stream and not options["force_color"] and not OutputWrapper(stream).isatty():
            self.style = no_style()
        return super().execute(*args, **options)
