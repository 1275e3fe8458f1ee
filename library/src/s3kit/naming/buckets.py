r"""The rules for names of general purpose buckets on Amazon S3.

Uses only the standard library, because cookiecutter's hooks run this file on the answers. Django's system checks run
it on the settings. boto3 and other S3 servers do not check names; botocore accepts ``My_Bucket`` and ``abc\n``.

The rules by ID. These are in the Amazon S3 User Guide, "General purpose bucket naming rules":

- ``length``: 3 to 63 characters.
- ``characters``: only a-z, 0-9 and - (and dots, for S3: see ``dots``).
- ``ends``: the first and the last character is a letter or a digit.
- ``adjacent-dots``: no two dots in a row.
- ``ip-address``: not formatted as an IPv4 address.
- ``prefix``: does not begin with ``xn--``, ``sthree-`` or ``amzn-s3-demo-``.
- ``suffix``: does not end with ``-s3alias``, ``--ol-s3``, ``.mrap``, ``--x-s3`` or ``--table-s3``.
- ``account-regional``: AWS reserves the ending ``-an`` for ``<prefix>-<12-digit account>-<region>-an``, a name
  that belongs to one account. Its region must be the bucket's, and must have this namespace (User Guide,
  "Namespaces for general purpose buckets"). No other name may have this ending.

These rules are stricter than S3's, because buckets with such names do not work everywhere:

- ``dots``: no dots. S3's certificate covers one label only (User Guide, "Virtual hosting of general purpose
  buckets"), Transfer Acceleration excludes such names (User Guide, "Configuring fast, secure file transfers
  using Amazon S3 Transfer Acceleration"), and botocore silently falls back to path style.
- ``dot-hyphen``: no dot next to a hyphen, because that is not a valid host name.
- ``suffix``: not ``--xa-s3`` or ``--op-s3``, which S3 reserves for access points of other kinds of buckets.
"""

import re
import unicodedata

from s3kit.naming import regions
from s3kit.naming.regions import Problem

__all__ = ["Problem", "is_account_regional", "problems", "suggestion"]

_RESERVED_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3", "--xa-s3", "--op-s3")
# "Namespaces for general purpose buckets": all regions except these have the account regional namespace.
_WITHOUT_NAMESPACE = ("me-central-1", "me-south-1")
_ACCOUNT_REGIONAL = re.compile(r"([a-z0-9][a-z0-9.-]*)-([0-9]{12})-([a-z0-9-]+)-an")


def problems(name: str, *, region: str | None = None) -> list[Problem]:
    """Return everything that is wrong with the name, or an empty list.

    If `region` is given, a name in the account regional namespace must include that region.
    """
    found: list[Problem] = []

    def wrong(rule: str, message: str) -> None:
        found.append(Problem(rule, message))

    if not 3 <= len(name) <= 63:
        wrong("length", f"is {len(name)} character{'s' * (len(name) != 1)} long; 3 to 63 are allowed")
    if others := re.sub(r"[a-z0-9.-]", "", name):
        case = " (lowercase only)" if re.search(r"[A-Z]", others) else ""
        wrong("characters", f"contains {regions.listed(others)}; only a-z, 0-9, and - are allowed{case}")
    if name and not re.fullmatch(r"[A-Za-z0-9]{2}", name[0] + name[-1]):
        wrong("ends", "must begin and end with a letter or a digit (a-z, 0-9)")
    if ".." in name:
        wrong("adjacent-dots", "has two dots in a row")
    if ".-" in name or "-." in name:
        wrong("dot-hyphen", "has a dot next to a hyphen")
    if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", name):
        wrong("ip-address", "looks like an IP address")
    if "." in name:
        wrong("dots", "has a dot, which breaks HTTPS with S3 and Transfer Acceleration; use - instead")
    for prefix in _RESERVED_PREFIXES:
        if name.startswith(prefix):
            wrong("prefix", f"begins with '{prefix}', which AWS reserves")
    for suffix in _RESERVED_SUFFIXES:
        if name.endswith(suffix):
            wrong("suffix", f"ends with '{suffix}', which AWS reserves")
    if name.endswith("-an"):
        match = _ACCOUNT_REGIONAL.fullmatch(name)
        if not match or regions.problems(match[3]):
            message = "ends with '-an', which AWS reserves for <prefix>-<12-digit account>-<region>-an"
            wrong("account-regional", message)
        elif match[3] in _WITHOUT_NAMESPACE:
            message = (
                f"is in a namespace that the region '{match[3]}' does not have; choose a name without '-an'"
            )
            wrong("account-regional", message)
        elif region is not None and match[3] != region:
            wrong("account-regional", f"names the region '{match[3]}', but its region is {region!r}")
    return found


def is_account_regional(name: str) -> bool:
    """Return whether the name belongs to one account in one region.

    CreateBucket needs ``BucketNamespace="account-regional"`` for such a name, and rejects it for any other.
    """
    match = _ACCOUNT_REGIONAL.fullmatch(name)
    return match is not None and match[3] not in _WITHOUT_NAMESPACE and not regions.problems(match[3])


def suggestion(name: str, *, region: str | None = None) -> str:
    """Return a similar name without `problems` in the same region, or the name itself if it has none."""
    if not problems(name, region=region):
        return name
    # Letters with an ASCII form become it: é becomes e, and a full-width A becomes a.
    ascii_text = unicodedata.normalize("NFKD", name[:1000]).encode("ascii", "ignore").decode()
    near = re.sub(r"[^a-z0-9]+", "-", ascii_text.lower()).strip("-")
    if near.startswith(_RESERVED_PREFIXES):
        near = f"my-{near}"
    if match := _ACCOUNT_REGIONAL.fullmatch(near):
        ending = f"-{match[2]}-{region or match[3]}-an"
        regional = match[1][: 63 - len(ending)].rstrip("-") + ending
        if not problems(regional, region=region):
            return regional
    if len(near) > 63:
        # Drop the middle, because names often differ at the end.
        near = f"{near[:40].rstrip('-')}-{near[-22:].lstrip('-')}"
    while near.endswith(("-an", "-s3alias")):
        near = near.removesuffix("-an").removesuffix("-s3alias").rstrip("-")
    if len(near) < 3:
        near = f"{near}-bucket" if near else "my-bucket"
    return near
