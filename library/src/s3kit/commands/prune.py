"""`manage.py s3 prune`: the static files that are not needed any more."""

from argparse import ArgumentTypeError
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from s3kit.commands.shared import checked_site, shown_progress
from s3kit.publishing import prune

HELP = "tell which static files are not needed any more; remove them"


def add_arguments(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument(
        "--keep",
        type=_at_least_one,
        default=prune.KEEP,
        metavar="N",
        help="past deploys whose files stay (default: %(default)s)",
    )
    parser.add_argument(
        "--days",
        type=_at_least_one,
        default=prune.DAYS,
        metavar="D",
        help="what was new, or in force, within so many days stays (default: %(default)s)",
    )
    parser.add_argument("--delete", action="store_true", help="do it; without, nothing is removed")
    parser.add_argument("--json", action="store_true", help="print for machines")


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Tell what can go, and with --delete remove it; exit code 1 where something could not be removed."""
    checked_site()
    names = ("keep", "days", "delete")
    try:
        with shown_progress(command, options) as progress:
            report = prune.prune(**{name: options[name] for name in names}, progress=progress)
    except (prune.PruneError, ImproperlyConfigured) as error:
        raise CommandError(str(error)) from error
    command.stdout.write(report.as_json() if options["json"] else report.as_text())
    if failures := report.failures():
        raise CommandError(failures)


def _at_least_one(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 36500):
        raise ArgumentTypeError(f"{text!r} is not a number from 1 to 36500")
    return int(text)
