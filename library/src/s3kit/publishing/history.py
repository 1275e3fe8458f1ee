"""The manifests of past deploys, and how a deploy and `manage.py s3 prune` keep out of each other's way.

Each deploy that changes the manifest first writes a copy of the new one, named
`manifests/<UTC time>-<hash>.json` below the prefix of the static files, and in the copy's metadata which
manifest it replaces. Prune deletes old objects that none of the manifests it keeps names.

Why prune never deletes what a deploy that runs meanwhile will name. S3 is strongly consistent (S3 User Guide,
"Amazon S3 data consistency model"): what starts after a write was answered sees the write. Of the names in
its manifest, a deploy of less than a day relies on:

- What the live manifest named when the deploy began. Prune keeps the names of the live manifest, and of each
  that was in force or replaced within the last days, one at least.
- What was not in the bucket when the deploy looked. Prune deletes only what is a day old at least, by a
  listing made for each batch, so this can't be among it.
- What was there, and the live manifest did not name it: of an earlier deploy or a failed one. This could be
  just about to go. So each batch of prune first puts a marker, then reads ages and manifests, deletes, and
  takes the marker away; and a deploy first writes the copy of its manifest, and then looks for markers. If
  prune read the manifests after the copy was written, it saw the copy and spares what it names. If it read
  them before, its marker was there before the deploy looked, or the batch was over by then: the deploy waits
  for the markers that it sees, lists the bucket once more, and uploads what has gone. Only then the manifest
  goes live.

A prune that was killed leaves its marker behind, which lapses after LAPSE: S3 rejects a request whose
signature is 15 minutes off its clock, so nothing of that batch can happen after twice that time.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

# Below the prefix of a static storage.
FOLDER = "manifests/"
MARKERS = f"{FOLDER}pruning-"
LAPSE = timedelta(minutes=30)

# The copy's metadata: the hash of the manifest that was live before. Where it is absent nobody knows, and a
# manifest of which a copy was made only later says since when it was live.
REPLACES = "replaces"
NOTHING = "none"
SINCE = "since"

_COPY = re.compile(re.escape(FOLDER) + r"[0-9]{8}T[0-9]{6}Z-([0-9a-f]{12})\.json")
_MARKER = re.compile(re.escape(MARKERS) + r"[0-9a-f]{16}")


def copy_name(manifest: Mapping[str, Any], at: datetime) -> str:
    """Return the name of the copy of a manifest that was written at this time."""
    return f"{FOLDER}{at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{hash_of(manifest)}.json"


def hash_in(name: str) -> str:
    """Return the hash in the name of a manifest's copy, "" for any other name."""
    found = _COPY.fullmatch(name)
    return found[1] if found else ""


def is_marker(name: str) -> bool:
    """Tell whether a name is that of a prune's marker."""
    return bool(_MARKER.fullmatch(name))


def hash_of(manifest: Mapping[str, Any]) -> str:
    """Return Django's own hash of a manifest, which `s3 manifest` writes too; else one of its paths."""
    found = manifest.get("hash")
    if isinstance(found, str) and re.fullmatch(r"[0-9a-f]{12}", found):
        return found
    return hashlib.sha256(json.dumps(manifest.get("paths"), sort_keys=True).encode()).hexdigest()[:12]


def names(manifest: Any) -> set[str]:
    """Return the names that a manifest needs, hashed and plain.

    Raises ValueError for what is not a manifest.
    """
    try:
        paths, records = manifest["paths"], manifest.get("s3", {})
        found = {*paths, *paths.values(), *records.get("hashed", ()), *records.get("plain", ())}
    except (TypeError, KeyError, AttributeError):
        raise ValueError("it is not a manifest of static files") from None
    if not all(isinstance(name, str) for name in found):
        raise ValueError("it is not a manifest of static files")
    return found
