"""Write the manifest of static files to a local file, so a web process starts without a request to S3."""

import os
import tempfile
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import storages

from s3kit.options import conf
from s3kit.publishing.collect import Stage, collect
from s3kit.storages.static import StaticStorage


def write_manifest(path: Path | None = None) -> tuple[str, Stage]:
    """Write the source tree's manifest to `path` (default: STATICFILES_MANIFEST).

    Returns a summary line and the files that were collected.

    Needs no network, credentials, bucket, or database, and writes the same bytes whatever USE_S3 is. `paths`, `hash`,
    and `integrity` are those that collectstatic publishes from the same tree; its records of objects are left out.
    Raises OSError if the file can't be written, ImproperlyConfigured if there is no path or it is a device or pipe, and
    CommandError for a reference to a missing file if `strict_references` is set.
    """
    path = path or conf.manifest
    if path is None:
        raise ImproperlyConfigured("Name the file with --output, or set STATICFILES_MANIFEST.")
    if path.exists() and not (path.is_file() or path.is_dir()):
        # Replacing /dev/null or /dev/stdout with a file would break the system.
        raise ImproperlyConfigured(f"{path} is not a regular file: name another one with --output.")
    storage = _storage()
    stage = collect(storage)
    body = stage.source(storage.manifest_name).body
    assert isinstance(body, bytes)  # noqa: S101 - for the type checker
    target = Path(os.path.realpath(path))  # A symbolic link stays. Path.resolve() raises an error for a loop.
    target.parent.mkdir(parents=True, exist_ok=True)
    # Replace the file atomically, because a web process may be starting.
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return f"Wrote {path}: {len(storage.hashed_files):,} files.", stage


def _storage() -> StaticStorage:
    """Return a new storage of the site's own class, or the library's if static files are on disk."""
    made = storages.create_storage(settings.STORAGES["staticfiles"])
    return made if isinstance(made, StaticStorage) else StaticStorage()
