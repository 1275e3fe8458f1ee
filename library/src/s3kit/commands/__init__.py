"""The subcommands of `manage.py s3`, one module for each; `shared` has what several of them need.

`s3kit.management.commands.s3` adds a parser for each, runs one, and turns errors into messages. It imports all of
them every time, so they import slow modules (boto3, storages, probes) only when they run.
"""

from typing import Any, Protocol

from django.core.management.base import BaseCommand, CommandParser


class Subcommand(Protocol):
    """What the module of a subcommand has."""

    HELP: str
    """What it does: one sentence for the help."""

    EXIT_CODES: dict[int, str]
    """What each exit code means."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Add its options."""

    def run(self, command: BaseCommand, options: dict[str, Any]) -> None:
        """Run it; `command` has the streams and colors, `options` the parsed options.

        CommandError, and the errors that `shared.explained` turns into it, end the command with exit code 1. It calls
        sys.exit for other codes.
        """
