"""Files that a bundler has named after a hash of their content; they are published under these names.

The name alone is no proof: `language-selector.js` looks like a name from Vite. Vite's manifest lists the files that it
has written, and the storage's option `prehashed` has patterns for those of other bundlers.
"""

import json
import posixpath
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from s3kit.publishing.collect import Stage

MANIFEST = "manifest.json"
# Vite's default folder for the manifest. collectstatic ignores it.
HIDDEN = ".vite"


def hashed_names(stage: Stage, patterns: Iterable[str]) -> set[str]:
    """Return the collected files that match a pattern, or that a Vite manifest lists under a hashed name."""
    found = {name for name in stage.plain for pattern in patterns if fnmatchcase(name, pattern)}
    listed = [*_collected(stage), *_hidden(stage)]
    for manifest, entries in listed:
        folder = manifest.parent.parent if manifest.parent.name == HIDDEN else manifest.parent
        for entry in entries.values():
            source = PurePosixPath(entry.get("src") or "")
            unhashed = {entry.get("name"), source.stem, source.name}
            for file in (entry["file"], *entry.get("css", ()), *entry.get("assets", ())):
                # Vite can be configured to leave the hash out.
                if PurePosixPath(file).stem not in unhashed and (name := str(folder / file)) in stage.plain:
                    found.add(name)
    return found


def copy_manifests(stage: Stage, root: Path) -> list[Path]:
    """Copy the collected Vite manifests below `root`, under their collected names; return the copies.

    django-vite reads its manifest from STATIC_ROOT when a server starts. Raises OSError.
    """
    copies = []
    for name, entries in _collected(stage):
        copies.append(root / name)
        copies[-1].parent.mkdir(parents=True, exist_ok=True)
        copies[-1].write_text(json.dumps(entries), encoding="utf-8")
    return copies


def _collected(stage: Stage) -> Iterator[tuple[PurePosixPath, dict[str, Any]]]:
    """Yield the names and entries of the Vite manifests among the collected files."""
    for name, source in stage.plain.items():
        if name.rpartition("/")[2] == MANIFEST:
            with source.open() as content:
                entries = _entries(content.read())
            if entries:
                yield PurePosixPath(name), entries


def _hidden(stage: Stage) -> Iterator[tuple[PurePosixPath, dict[str, Any]]]:
    """Yield the names and entries of the manifests in `.vite` folders next to the collected files."""
    folders: set[tuple[str, str]] = set()
    for name, source in stage.plain.items():
        if isinstance(source.body, Path):
            pair = posixpath.dirname(name), str(source.body.parent)
            while pair not in folders:
                folders.add(pair)
                if pair[0]:
                    pair = posixpath.dirname(pair[0]), str(Path(pair[1]).parent)
    for folder, path in sorted(folders):
        manifest = Path(path, HIDDEN, MANIFEST)
        if manifest.is_file() and (entries := _entries(manifest.read_bytes())):
            yield PurePosixPath(folder, HIDDEN, MANIFEST), entries


def _entries(text: bytes) -> dict[str, Any]:
    """Return the entries of a Vite manifest, {} for any other file: web apps have a manifest.json too."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) and all(map(_is_entry, found.values())) else {}


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("file"), str):
        return False
    files = [entry.get("css", []), entry.get("assets", [])]
    texts = [entry.get("src", ""), entry.get("name", "")]
    return all(
        isinstance(each, list) and all(isinstance(file, str) for file in each) for each in files
    ) and all(isinstance(text, str) for text in texts)
