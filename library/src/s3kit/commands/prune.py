"""`manage.py s3 prune`: the static files that are not needed any more."""

from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from s3kit import progress
from s3kit.commands.shared import add_local, checked_deployment
from s3kit.deployment import Location
from s3kit.publishing import prune

HELP = "Find static files that no version of the site needs any more, and remove them."
EXIT_CODES = "Exit codes: 0 done, 1 something could not be removed, 130 interrupted."


def add_arguments(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument(
        "--keep",
        type=_at_least_one,
        default=prune.KEEP,
        metavar="N",
        help="How many past deploys keep their files (default: %(default)s).",
    )
    parser.add_argument(
        "--days",
        type=_at_least_one,
        default=prune.DAYS,
        metavar="D",
        help="Keep what was new or live within this many days (default: %(default)s).",
    )
    parser.add_argument("--delete", action="store_true", help="Remove them. Without it, nothing is removed.")
    parser.add_argument("--json", action="store_true", help="Print JSON.")
    add_local(parser)


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Show what can go, and with --delete remove it; exit code 1 where something could not be removed."""
    deployment = checked_deployment(options)
    given = {name: options[name] for name in ("keep", "days", "delete")}
    if not deployment.static_locations:
        raise CommandError("No storage of static files in STORAGES is on S3.")
    for location in deployment.static_locations:

        def work(show: progress.Progress, location: Location = location) -> progress.Report:
            name = deployment.storages[location.alias].manifest_name
            return prune.prune(location, name, **given, progress=show)

        progress.run(command, options, work)


def _at_least_one(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 36500):
        raise ArgumentTypeError(f"{text!r} is not a number from 1 to 36500")
    return int(text)
