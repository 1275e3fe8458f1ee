"""Terminal output of commands: lines of at most 100 columns, and colors only on a terminal."""

import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandParser, DjangoHelpFormatter, OutputWrapper
from django.core.management.color import no_style

COLUMNS = 100

# A command in backticks is one word, so people can copy it.
_WORD = re.compile(r"(?:`[^`\n]+`|\S)+")
_COLOR = re.compile(r"\x1b\[[0-9;]*m")


def columns() -> int:
    """Return the maximum length of a line: the terminal's width, or COLUMNS if that is less or in a pipe."""
    return min(shutil.get_terminal_size((COLUMNS, 24)).columns, COLUMNS)


def wrap(text: str | Sequence[str], first: str = "", rest: str | None = None, width: int = 0) -> list[str]:
    """Return a text, or words, as one or more lines of at most `width` columns (default: `columns()`).

    The first line begins with `first` and the others with `rest`, by default the same number of spaces. A word longer
    than a line is split, after a slash or comma if it has one; a command in backticks never is.
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
    """Return messages, one on each line, as a command's stream shows them.

    On a terminal, long lines are wrapped, with two more spaces of indentation. Programs and logs get them unchanged.
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
    # Django's OutputWrapper doesn't have the types of the stream that it is annotated as.
    def write(  # type: ignore[override]
        self, msg: str = "", style_func: Any = None, ending: str | None = None
    ) -> None:
        super().write(wrapped(msg, self), style_func, ending)


class HelpFormatter(DjangoHelpFormatter):
    """Formats help in lines of `columns()`, with options and their descriptions side by side."""

    def __init__(self, prog: str, **more: Any) -> None:
        super().__init__(prog, **{"width": columns(), "max_help_position": 30} | more)


class Parser(CommandParser):
    """Parses options. An error is one line that names the command or subcommand, instead of its usage."""

    subcommands: Mapping[str, "Parser"] = MappingProxyType({})

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Return the namespace. An option of a subcommand must not precede the subcommand."""
        given = args or ()
        at = next((at for at, word in enumerate(given) if word in self.subcommands), -1)
        parser = self.subcommands[given[at]] if at >= 0 else self
        if missing := next((word for word in given if re.fullmatch(r"--[\w-]+=--", word)), ""):
            parser.error(f"argument {missing[:-3]}: expected one argument")  # argparse may return []
        # Otherwise, argparse takes the option's value for the subcommand.
        known = [name for action in self._actions for name in action.option_strings]
        for word in given[: max(at, 0)]:
            option = word.partition("=")[0] if word.startswith("--") else word[:2]
            if option.startswith("-") and not any(name.startswith(option) for name in known):
                parser.error(f"write {option} after {given[at]!r}, not before it")
        return super().parse_args(args, namespace)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Return the namespace and no unknown arguments: argparse would leave a subcommand's to the command."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Print the message and exit with 2; raise CommandError if code has called the command."""
        if not self.called_from_command_line:
            super().error(message)
        line = f"{self.prog}: error: {message}. For help, run `{self.prog} --help`."
        self.exit(2, "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line) + "\n")


class ReadableCommand(BaseCommand):
    """A command with readable help and, on a terminal, wrapped errors.

    Unlike Django's commands, it respects NO_COLOR (https://no-color.org), unless --force-color is given.
    """

    def __init__(
        self, stdout: Any = None, stderr: Any = None, no_color: bool = False, force_color: bool = False
    ) -> None:
        unwanted = bool(os.environ.get("NO_COLOR")) and not force_color
        super().__init__(stdout, stderr, no_color or unwanted, force_color)
        self.stderr = _Wrapping(stderr or sys.stderr)
        self.stderr.style_func = self.style.ERROR

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Return the parser of the command's options."""
        parser = super().create_parser(prog_name, subcommand, **{"formatter_class": HelpFormatter} | kwargs)
        parser.__class__ = Parser  # Django doesn't let a command choose the class
        return parser

    def execute(self, *args: Any, **options: Any) -> Any:
        """Run the command, without colors if `stdout` isn't a terminal."""
        stream = options.get("stdout")
        if stream and not options["force_color"] and not OutputWrapper(stream).isatty():
            self.style = no_style()
        return super().execute(*args, **options)
