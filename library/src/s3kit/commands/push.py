"""`manage.py s3 push`: local uploads copied to the media bucket."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from s3kit.commands.shared import checked_site, shown_progress

HELP = "copy local uploads to the bucket, names and all"


def add_arguments(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument(
        "--source",
        type=Path,
        default=Path(settings.MEDIA_ROOT),
        metavar="DIR",
        help="the folder of the uploads (default: MEDIA_ROOT); nothing in it is changed",
    )
    parser.add_argument("--dry-run", action="store_true", help="only tell what would be copied")
    parser.add_argument("--overwrite", action="store_true", help="replace objects that differ")
    parser.add_argument("--verify", action="store_true", help="read every object back and compare")
    parser.add_argument("--json", action="store_true", help="print for machines")


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Copy local uploads to the bucket; exit code 1 where something was not copied or differs."""
    from s3kit.publishing.push import PushError, push

    checked_site()
    names = ("source", "dry_run", "overwrite", "verify")
    try:
        with shown_progress(command, options) as progress:
            report = push(**{name: options[name] for name in names}, progress=progress)
    except (PushError, ImproperlyConfigured) as error:
        raise CommandError(str(error)) from error
    command.stdout.write(report.as_json() if options["json"] else report.as_text())
    if failures := report.failures():
        raise CommandError(failures)
