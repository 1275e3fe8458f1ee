"""The subcommands of `manage.py s3`, each a module of its name; `shared` holds what several need.

`s3kit.management.commands.s3` adds a parser for each, runs the one that was asked for, and turns what stops
it into a line. It imports all of them each time, so what a single one needs and takes long to import (boto3,
storages, probes) is imported where it runs.
"""

from typing import Any, Protocol

from django.core.management.base import BaseCommand, CommandParser


class Subcommand(Protocol):
    """What a module of a subcommand has."""

    HELP: str
    """What it does, as a sentence for the help of `manage.py s3` and its own.

    Where other exit codes than 0 and 1 say something, EXIT_CODES is the sentence about them.
    """

    def add_arguments(self, parser: CommandParser) -> None:
        """Add its options."""

    def run(self, command: BaseCommand, options: dict[str, Any]) -> None:
        """Run it; `command` has the streams and colors, `options` the parsed options.

        Raises CommandError, or what `shared.explained` turns into one, which ends it with exit code 1; any other
        code by sys.exit.
        """
