"""The manifest of static files as a file: a web process that has it asks S3 for nothing to start."""

import os
import tempfile
from pathlib import Path

from django.conf import settings

from s3kit.management.commands.collectstatic import Command
from s3kit.storages.static import StaticStorage


def write_manifest(target: Path | None = None) -> str:
    """Write the source tree's manifest to `target` (default: STATICFILES_MANIFEST); return a summary line.

    Needs neither network nor credentials, bucket or database. `paths`, `hash` and `integrity` are those that
    collectstatic publishes from the same tree; what it records about objects is missing. Raises CommandError
    on a reference to a missing file, OSError where the file can't be written.
    """
    target = Path(target or settings.STATICFILES_MANIFEST)
    storage = StaticStorage()
    with storage.staging() as stage:
        Command.collect_into(storage)
        body = stage.source(storage.manifest_name).body
    assert isinstance(body, bytes)  # noqa: S101 - for the type checker: Django hands over text
    target.parent.mkdir(parents=True, exist_ok=True)
    # In place at once, because a web process may be starting.
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return f"Wrote {target}: {len(storage.hashed_files):,} files."
