"""The manifests of past deploys, and how a deploy and `manage.py s3 prune` can run at the same time.

Each deploy that changes the manifest first writes a copy of the new one, named `manifests/<UTC time>-<hash>.json`,
below the prefix of the static files. The copy's metadata says which manifest it replaces. Prune deletes old objects
that are in none of the manifests that it keeps.

Prune never deletes an object that a concurrent deploy needs. S3 is strongly consistent (S3 User Guide, "Amazon S3 data
consistency model"): a request that starts after a write has been acknowledged sees the write. The objects that a deploy
of less than a day needs are:

- Objects in the manifest that was live when the deploy began. Prune keeps the objects of the live manifest, and of each
  manifest that was live or replaced within the last `days` days (at least one).
- Objects that were not in the bucket when the deploy listed it. Prune lists the bucket again for each batch and only
  deletes objects that are at least one day old, so it can't delete these.
- Objects that were in the bucket but not in the live manifest, from an earlier or failed deploy. Prune may be about
  to delete these. Each batch of prune writes a marker, reads ages and manifests, deletes, and removes the marker. A
  deploy writes the copy of its manifest, and then looks for markers. If prune read the manifests after the copy was
  written, it saw the copy and keeps the objects in it. If it read them before, its marker existed before the deploy
  looked, or the batch had ended by then: the deploy waits until the markers that it sees are gone, lists the bucket
  again, and uploads what is missing. Only then does the manifest go live.

A prune that was killed leaves its marker behind. The marker expires after LAPSE: S3 rejects a request whose signature
is 15 minutes off its clock, so no request of that batch can succeed after twice that time.
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

# The copy's metadata. REPLACES: the hash of the manifest that was live before, or NOTHING; absent if it isn't known.
# SINCE: when the manifest went live, if the copy was written later.
REPLACES = "replaces"
NOTHING = "none"
SINCE = "since"

_COPY = re.compile(re.escape(FOLDER) + r"[0-9]{8}T[0-9]{6}Z-([0-9a-f]{12})\.json")
_MARKER = re.compile(re.escape(MARKERS) + r"[0-9a-f]{16}")


def copy_name(manifest: Mapping[str, Any], at: datetime) -> str:
    """Return the name for a manifest's copy that is written at this time."""
    return f"{FOLDER}{at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{hash_of(manifest)}.json"


def hash_in(name: str) -> str:
    """Return the hash in the name of a manifest's copy, "" for any other name."""
    found = _COPY.fullmatch(name)
    return found[1] if found else ""


def is_marker(name: str) -> bool:
    """Return whether a name is that of a prune's marker."""
    return bool(_MARKER.fullmatch(name))


def hash_of(manifest: Mapping[str, Any]) -> str:
    """Return the hash that Django wrote into a manifest; without one, a hash of its paths."""
    found = manifest.get("hash")
    if isinstance(found, str) and re.fullmatch(r"[0-9a-f]{12}", found):
        return found
    return hashlib.sha256(json.dumps(manifest.get("paths"), sort_keys=True).encode()).hexdigest()[:12]


def names(manifest: Any) -> set[str]:
    """Return the hashed and plain names in a manifest; raise ValueError if it isn't a manifest."""
    try:
        paths, records = manifest["paths"], manifest.get("s3", {})
        found = {*paths, *paths.values(), *records.get("hashed", ()), *records.get("plain", ())}
    except (TypeError, KeyError, AttributeError):
        raise ValueError("it is not a manifest of static files") from None
    if not all(isinstance(name, str) for name in found):
        raise ValueError("it is not a manifest of static files")
    return found
