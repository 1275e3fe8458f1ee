"""`manage.py s3 push`: copies local uploads to a media storage."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from s3kit import progress
from s3kit.commands.shared import add_local, checked_deployment

HELP = "Copy local uploads to S3 under the same names."
EXIT_CODES = {0: "done", 1: "a file was not copied, or differs", 130: "interrupted"}


def add_arguments(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument(
        "--source",
        type=Path,
        metavar="DIR",
        help="The folder of the uploads (default: MEDIA_ROOT). It stays as it is.",
    )
    parser.add_argument(
        "--storage",
        default="default",
        metavar="ALIAS",
        help="The alias in STORAGES to copy to (default: %(default)s).",
    )
    parser.add_argument("--dry-run", action="store_true", help="Show what would be copied. Copy nothing.")
    parser.add_argument("--overwrite", action="store_true", help="Replace objects that differ.")
    parser.add_argument("--verify", action="store_true", help="Read each object back and compare it.")
    parser.add_argument("--json", action="store_true", help="Print JSON.")
    add_local(parser)


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Copy local uploads to a media storage."""
    from s3kit.publishing.push import push
    from s3kit.storages.media import MediaStorage

    storage = checked_deployment(options).storages.get(options["storage"])
    if not isinstance(storage, MediaStorage):
        raise CommandError(
            f"STORAGES[{options['storage']!r}] is not a MediaStorage: choose one with --storage."
        )
    source = options["source"] or (Path(settings.MEDIA_ROOT) if settings.MEDIA_ROOT else None)
    if source is None:
        raise CommandError("MEDIA_ROOT is not set: name the folder of the uploads with --source.")
    given = {name: options[name] for name in ("dry_run", "overwrite", "verify")}
    progress.run(command, options, lambda show: push(source, storage, **given, progress=show))
