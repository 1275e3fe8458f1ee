"""`manage.py s3`: buckets and permissions, their contents, and the local S3 server."""

from argparse import SUPPRESS
from typing import Any

from django.core.management.base import CommandParser

from s3kit.commands import (
    Subcommand,
    access,
    apply,
    doctor,
    manifest,
    plan,
    policy,
    prune,
    push,
    run,
    serve,
    tickets,
)
from s3kit.commands.shared import exit_codes, explained
from s3kit.terminal import HelpFormatter, Parser, ReadableCommand

# In the order of the help.
SUBCOMMANDS: dict[str, Subcommand] = {
    "plan": plan,
    "apply": apply,
    "doctor": doctor,
    "policy": policy,
    "push": push,
    "access": access,
    "prune": prune,
    "tickets": tickets,
    "manifest": manifest,
    "serve": serve,
    "run": run,
}


class Command(ReadableCommand):
    """Run a subcommand; each is a module in `s3kit.commands`."""

    help = (
        "Set up and test the buckets of STORAGES (plan, apply, doctor, policy), manage what is in them (push, access,"
        " prune, tickets, manifest), and run a local S3 server (serve, run)."
    )
    # A mistake in the settings for AWS must not prevent the local server from starting.
    requires_system_checks: list[str] = []  # noqa: RUF012

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the subcommands and their options."""
        commands = parser.add_subparsers(
            title="subcommands",
            dest="subcommand",
            required=True,
            metavar="SUBCOMMAND",
            parser_class=Parser,
        )
        for name, subcommand in SUBCOMMANDS.items():
            added: CommandParser = commands.add_parser(
                name,
                help=subcommand.HELP,
                description=subcommand.HELP,
                epilog=exit_codes(subcommand.EXIT_CODES),
                formatter_class=HelpFormatter,
            )
            subcommand.add_arguments(added)
            _add_common(added)
        parser.subcommands = commands.choices  # type: ignore[attr-defined]  # of `terminal.Parser`

    def handle(self, *_args: Any, **options: Any) -> None:
        """Run the subcommand. Errors that stop it are a message on stderr and exit code 1."""
        with explained(local=bool(options.get("local"))):
            SUBCOMMANDS[options["subcommand"]].run(self, options)


def _add_common(parser: CommandParser) -> None:
    """Add the options of all Django commands, so they can follow the subcommand, too."""

    def add(*names: str, **more: Any) -> None:
        parser.add_argument(*names, default=SUPPRESS, **more)

    add(
        "-v",
        "--verbosity",
        type=int,
        choices=range(4),
        help="0: only problems and results, 1: normal, 2 and 3: everything.",
    )
    add("--settings", metavar="MODULE", help="The settings module (default: DJANGO_SETTINGS_MODULE).")
    add("--pythonpath", metavar="DIR", help="A directory to add to the Python path.")
    add("--traceback", action="store_true", help="Print a traceback for errors.")
    add("--no-color", action="store_true", help="Don't color the output.")
    add("--force-color", action="store_true", help="Color the output even if it is not a terminal.")
