"""AWS regions: which names are valid, which are known, and which one the user probably meant.

Uses only the standard library, because cookiecutter's hooks run this file. So do Django's system checks.

AWS's own patterns (botocore, data/partitions.json) accept ``us-EAST-1``, ``us-esat-1``, and a final newline. This
module accepts only the form that AWS uses: an area, a direction, and a number, in ASCII. A region of that form that is
not in ``KNOWN`` is valid, because AWS opens two or three a year. Callers warn.
"""

import difflib
import re
import unicodedata
from typing import NamedTuple

# Every region with S3 in the partitions that are open to the public, as botocore 1.44 lists them
# (Session.get_available_regions("s3", partition); a test compares the two), with the places that people use for it:
# the one in AWS's display name, and the country if it has only one region.
_PLACES = {
    # Partition aws
    "af-south-1": "cape-town",
    "ap-east-1": "hong-kong",
    "ap-east-2": "taipei taiwan",
    "ap-northeast-1": "tokyo",
    "ap-northeast-2": "seoul korea",
    "ap-northeast-3": "osaka",
    "ap-south-1": "mumbai",
    "ap-south-2": "hyderabad",
    "ap-southeast-1": "singapore",
    "ap-southeast-2": "sydney",
    "ap-southeast-3": "jakarta indonesia",
    "ap-southeast-4": "melbourne",
    "ap-southeast-5": "malaysia",
    "ap-southeast-6": "new-zealand",
    "ap-southeast-7": "thailand",
    "ca-central-1": "canada montreal",
    "ca-west-1": "calgary",
    "eu-central-1": "frankfurt germany",
    "eu-central-2": "zurich switzerland",
    "eu-north-1": "stockholm sweden",
    "eu-south-1": "milan italy",
    "eu-south-2": "spain",
    "eu-west-1": "ireland dublin",
    "eu-west-2": "london england",
    "eu-west-3": "paris france",
    "il-central-1": "tel-aviv israel",
    "me-central-1": "uae",
    "me-south-1": "bahrain",
    "mx-central-1": "mexico",
    "sa-east-1": "sao-paulo brazil",
    "us-east-1": "virginia",
    "us-east-2": "ohio",
    "us-west-1": "california",
    "us-west-2": "oregon",
    # Partition aws-cn
    "cn-north-1": "beijing",
    "cn-northwest-1": "ningxia",
    # Partition aws-us-gov
    "us-gov-east-1": "govcloud-us-east",
    "us-gov-west-1": "govcloud govcloud-us-west",
    # Partition aws-eusc
    "eusc-de-east-1": "sovereign sovereign-cloud",
}
KNOWN = frozenset(_PLACES)
_NAMES = {name: known for known, places in _PLACES.items() for name in (known, *places.split())}

_DIRECTIONS = "central|north|south|east|west|northeast|northwest|southeast|southwest"
# An area is two letters (us), with or without a government or isolated cloud (us-gov, us-isob), or a cloud of four
# letters and a country (eusc-de).
_AREA = r"(?:[a-z]{2}(?:-gov|-iso[a-z]?)?|[a-z]{4}-[a-z]{2})"
_FORM = re.compile(rf"{_AREA}-(?:{_DIRECTIONS})-[1-9][0-9]?")
_OTHER_DIRECTION = re.compile(rf"{_AREA}-([a-z]+)-[1-9][0-9]?")


class Problem(NamedTuple):
    """One rule that a name breaks."""

    rule: str
    """A short, stable id, such as ``length``."""

    message: str
    """What is wrong and what is allowed. Print it after the name: ``'ab' is 2 characters long; ...``."""


def problems(region: str) -> list[Problem]:
    """Return everything that is wrong with a region, or an empty list for a valid one, known or not."""
    if _FORM.fullmatch(region):
        return []
    if not re.search(r"[0-9]", region) and _named(_plain(region)):
        return [Problem("place", "is a place, not a region")]
    found = []
    if re.search(r"[A-Z]", region):
        found.append(Problem("lower-case", "is not a region: write it in lowercase"))
    if "_" in region:
        found.append(Problem("hyphens", "is not a region: write it with hyphens, not underscores"))
    if others := re.sub(r"[A-Za-z0-9_-]", "", region):
        found.append(Problem("characters", f"is not a region: {listed(others)} cannot be part of one"))
    if found:
        return found
    if re.fullmatch(r"[0-9][a-z]", region[-2:]) and _FORM.fullmatch(region[:-1]):
        return [Problem("zone", "is an availability zone, not a region: leave its last letter out")]
    if match := _OTHER_DIRECTION.fullmatch(region):
        message = f"is not a region: AWS has no direction '{match[1]}', only {_DIRECTIONS.replace('|', ', ')}"
        return [Problem("direction", message)]
    return [
        Problem("form", "is not a region: it needs an area, a direction, and a number, such as eu-central-1")
    ]


def is_known(region: str) -> bool:
    """Return whether S3 had the region when this file was written."""
    return region in KNOWN


def suggestion(region: str) -> str | None:
    """Return the known region that a typo or a place (``Seoul``) probably means, or None."""
    text = _plain(region)
    text = re.sub(r"([0-9])[a-z]$", r"\1", text)  # the letter of an availability zone
    if named := _named(text):
        return named
    # difflib finds us-esat-1 as close to us-west-1 as to us-east-1, so compare sorted letters first.
    for name in _NAMES:
        if text and sorted(name.replace("-", "")) == sorted(text.replace("-", "")):
            return _NAMES[name]
    ratios = {name: difflib.SequenceMatcher(None, name, text).ratio() for name in _NAMES}
    nearest = max(_NAMES, key=lambda name: ratios[name])
    return _NAMES[nearest] if ratios[nearest] >= 0.75 else None


def _named(text: str) -> str | None:
    """Return the region whose name or place is in a text from `_plain`, or None."""
    named = [name for name in _NAMES if f"-{name}-" in f"-{text}-"]
    return _NAMES[max(named, key=len)] if named else None


def _plain(region: str) -> str:
    """Return the text in the characters of region names."""
    ascii_text = unicodedata.normalize("NFKD", region[:100]).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text.lower()).strip("-")


def listed(characters: str) -> str:
    r"""Return at most five of the different characters, escaped: ``'M', '_', '\n'``."""
    different = list(dict.fromkeys(characters))
    return ", ".join(map(repr, different[:5])) + (" and others" if len(different) > 5 else "")
