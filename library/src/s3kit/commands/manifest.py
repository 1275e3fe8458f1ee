"""`manage.py s3 manifest`: writes the manifest of static files to a file, for an image."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from s3kit.terminal import wrapped

HELP = "Write the manifest of static files to a file. Needs no network and no credentials."
EXIT_CODES = {0: "written", 1: "failed"}


def add_arguments(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="The file to write (default: STATICFILES_MANIFEST)."
    )


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Write the manifest that a web process starts with, and copy a bundler's."""
    from s3kit.commands.collected import copy_bundles, warn_of_references
    from s3kit.publishing.manifest import write_manifest

    summary, stage = write_manifest(options["output"])
    warn_of_references(command, stage)
    copy_bundles(stage)
    command.stdout.write(wrapped(summary, command.stdout))
