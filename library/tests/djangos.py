"""Collect static files with Django's own command and manifest storage, for comparison."""

import json
from pathlib import Path
from typing import Any

from django.contrib.staticfiles.management.commands.collectstatic import Command
from django.contrib.staticfiles.storage import ManifestStaticFilesStorage


class DjangosStorage(ManifestStaticFilesStorage):
    support_js_module_import_aggregation = True


def collected_by_django(folder: Path) -> dict[str, Any]:
    """Collect static files in a folder, and return the manifest."""
    command = Command()
    command.storage = DjangosStorage(location=folder, base_url="/static/")
    command.set_options(
        interactive=False,
        verbosity=0,
        link=False,
        clear=False,
        dry_run=False,
        ignore_patterns=[],
        use_default_ignore_patterns=True,
        post_process=True,
    )
    command.collect()
    manifest: dict[str, Any] = json.loads((folder / "staticfiles.json").read_text())
    return manifest
