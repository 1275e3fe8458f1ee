"""`manage.py s3 access`: sets the ACLs of existing uploads."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from s3kit import progress
from s3kit.buckets.account import with_owners
from s3kit.commands.shared import add_local, setup_deployment, text

HELP = "Set the ACLs of existing uploads to the access of their storage."
EXIT_CODES = {0: "done", 1: "an ACL could not be set", 130: "interrupted"}


def add_arguments(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument(
        "--storage",
        default="default",
        metavar="ALIAS",
        help="The alias in STORAGES of the uploads (default: %(default)s).",
    )
    parser.add_argument("--dry-run", action="store_true", help="Show what would change. Change nothing.")
    parser.add_argument(
        "--start-after",
        type=text,
        default="",
        metavar="KEY",
        help="Continue after this key. An interrupted run prints it.",
    )
    parser.add_argument("--json", action="store_true", help="Print JSON.")
    add_local(parser)


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Set the ACLs."""
    from s3kit.publishing.access import Access

    deployment, _ = with_owners(setup_deployment(options))
    location = next((each for each in deployment.media if each.alias == options["storage"]), None)
    if location is None:
        raise CommandError(
            f"STORAGES[{options['storage']!r}] is not a MediaStorage: choose one with --storage."
        )
    work = Access(location, dry_run=options["dry_run"], start_after=options["start_after"])
    try:
        progress.run(command, options, work.run)
    except SystemExit:
        command.stderr.write(work.report.go_on)
        raise
