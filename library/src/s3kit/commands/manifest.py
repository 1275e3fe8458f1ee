"""`manage.py s3 manifest`: the list of static files as a file, for an image."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

HELP = "write the list of static files, without network or keys"


def add_arguments(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument("--output", type=Path, default=settings.STATICFILES_MANIFEST, metavar="FILE")


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Write the list of static files that a web process starts with."""
    from s3kit.publishing.manifest import write_manifest

    try:
        command.stdout.write(write_manifest(options["output"]))
    except OSError as error:
        raise CommandError(f"Cannot write {options['output']}: {error.strerror}") from error
