"""`manage.py s3 prune`: finds and deletes static files that are no longer needed."""

from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from s3kit import progress
from s3kit.commands.shared import add_local, checked_deployment
from s3kit.deployment import Location
from s3kit.publishing import prune

HELP = "List static files that no recent version of the site needs, and delete them with --delete."
EXIT_CODES = {0: "done", 1: "an object could not be deleted", 130: "interrupted"}


def add_arguments(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument(
        "--keep",
        type=_at_least_one,
        default=prune.KEEP,
        metavar="N",
        help="Keep the files of the last N deploys (default: %(default)s).",
    )
    parser.add_argument(
        "--days",
        type=_at_least_one,
        default=prune.DAYS,
        metavar="D",
        help="Keep files that were uploaded or in use within D days (default: %(default)s).",
    )
    parser.add_argument("--delete", action="store_true", help="Delete the files. Without it, only list them.")
    parser.add_argument("--json", action="store_true", help="Print JSON.")
    add_local(parser)


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """List what can be deleted, and with --delete, delete it."""
    deployment = checked_deployment(options)
    given = {name: options[name] for name in ("keep", "days", "delete")}
    if not deployment.static_locations:
        raise CommandError("STORAGES has no static files on S3.")
    for location in deployment.static_locations:

        def work(show: progress.Progress, location: Location = location) -> progress.Report:
            name = deployment.storages[location.alias].manifest_name
            return prune.prune(location, name, **given, progress=show)

        progress.run(command, options, work)


def _at_least_one(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 36500):
        raise ArgumentTypeError(f"{text!r} is not a number from 1 to 36500")
    return int(text)
