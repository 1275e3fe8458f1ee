"""What commands do after they have collected static files."""

from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from s3kit.publishing import bundles
from s3kit.publishing.collect import Stage
from s3kit.terminal import wrapped


def warn_of_references(command: BaseCommand, stage: Stage) -> None:
    """Print a warning for each reference that was not rewritten."""
    for each in stage.unresolved:
        command.stderr.write(wrapped(str(each), command.stderr), command.style.WARNING)


def copy_bundles(stage: Stage) -> None:
    """Copy Vite's manifests to STATIC_ROOT, where django-vite looks for them when a server starts."""
    if not settings.STATIC_ROOT:
        return
    try:
        bundles.copy_manifests(stage, Path(settings.STATIC_ROOT))
    except OSError as error:
        raise CommandError(f"Vite's manifest can't be copied to STATIC_ROOT: {error}") from error
