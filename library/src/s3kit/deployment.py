"""`STORAGES` as data: a site's buckets, their contents and prefixes, and who may read them.

Everything that works on a whole site (`plan`, `apply`, `doctor`, `policy`, `push`, `prune`, the system checks, the
CSP sources) uses a `Deployment`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Literal
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from s3kit import providers
from s3kit.naming import buckets, regions
from s3kit.options import conf

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

# The prefix of unchecked direct uploads in a bucket with media. It is never public, and its objects expire.
PENDING_PREFIX = "pending/"


class NotOnS3Error(ImproperlyConfigured):
    """No storage of the site is on S3."""


@dataclass(frozen=True)
class Key:
    """An access key; its secret stays out of `repr`."""

    id: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Target:
    """Which S3 a storage uses. `endpoint` is None for AWS itself; `owner` is an account number or None.

    Without `key` and `profile`, boto3 finds credentials in the usual places (environment, profile, role).
    """

    region: str
    endpoint: str | None = None
    owner: str | None = None
    profile: str | None = None
    key: Key | None = None
    is_local: bool = False
    encryption: str = ""
    """The encryption of stored objects: a value of the option `encryption`."""
    provider_name: str = ""

    @property
    def provider(self) -> providers.Provider:
        """The profile of the server, by the option `provider` or the endpoint's host; AWS's for the local server."""
        return providers.provider(None if self.is_local else self.endpoint, self.provider_name)

    @property
    def is_loopback(self) -> bool:
        """Whether the endpoint is plain http on this machine; all others must use TLS."""
        try:
            parts = urlsplit(self.endpoint or "")
        except ValueError:  # a system check reports it
            return False
        return parts.scheme == "http" and parts.hostname in LOOPBACK

    @property
    def where(self) -> tuple[str, str | None]:
        """The region and endpoint, which all storages of a bucket share."""
        return self.region, self.endpoint


@dataclass(frozen=True)
class Location:
    """An entry of STORAGES on S3: a bucket, a prefix in it, and who may read it."""

    alias: str
    kind: Literal["static", "media"]
    bucket: str
    prefix: str
    target: Target
    access: str = "private"
    custom_domain: str = ""
    distribution: str = ""
    versioning: bool = False
    direct_uploads: bool = True
    expire: int = 3600
    cloudfront_key_id: str = ""
    cookie_domain: str = ""
    links: str = "signed"
    tags: tuple[tuple[str, str], ...] = ()
    """The wanted tags of the bucket."""

    @property
    def through_cdn(self) -> bool:
        """Whether visitors get the files only from the CloudFront distribution."""
        if self.kind == "static":
            return bool(self.distribution)
        return bool(self.distribution and self.custom_domain) and self.access != "public-read"

    @property
    def is_open(self) -> bool:
        """Whether S3 serves the files to visitors without a signature."""
        public = self.kind == "static" or self.access != "private"
        return public and not self.through_cdn

    @property
    def is_private(self) -> bool:
        """Whether links must be signed."""
        return self.kind == "media" and self.access == "private"

    def arn(self, key: str = "*") -> str:
        """Return the ARN of objects below the prefix, by default of all."""
        return arn(self.target, self.bucket, f"{self.prefix}{key}")


@dataclass(frozen=True)
class Bucket:
    """A bucket and the site's locations in it."""

    name: str
    target: Target
    locations: tuple[Location, ...]

    @property
    def static(self) -> tuple[Location, ...]:
        """The locations of static files."""
        return tuple(location for location in self.locations if location.kind == "static")

    @property
    def media(self) -> tuple[Location, ...]:
        """The locations of uploads."""
        return tuple(location for location in self.locations if location.kind == "media")

    @property
    def versioning(self) -> bool:
        """Whether the bucket should have versioning on."""
        return any(location.versioning for location in self.locations)

    @property
    def tags(self) -> tuple[tuple[str, str], ...]:
        """The wanted tags of the bucket."""
        return tuple(dict.fromkeys(tag for location in self.locations for tag in location.tags))

    @property
    def encryption(self) -> str:
        """The wanted default encryption: that of its storages if they agree, else ""."""
        found = {location.target.encryption for location in self.locations}
        return found.pop() if len(found) == 1 else ""

    @property
    def direct_uploads(self) -> bool:
        """Whether browsers may upload directly to the bucket."""
        return any(location.direct_uploads for location in self.media)

    def arn(self, key: str = "") -> str:
        """Return the ARN of the bucket, or of an object in it."""
        return arn(self.target, self.name, key)


@dataclass(frozen=True)
class Deployment:
    """A site's locations on S3."""

    locations: tuple[Location, ...]
    origins: tuple[str, ...] = ()
    storages: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """The storages by alias, bound to the same target as the locations."""
    trusted: tuple[str, ...] = ()
    """The accounts that others may grant rights on the buckets to."""

    @classmethod
    def load(cls, *, local: bool | None = None) -> "Deployment":
        """Return the deployment that STORAGES describes, without I/O.

        `local` is True for the local server, False for the real target, and None for the one that USE_S3 selects.
        Raises NotOnS3Error if no entry is on S3, and ImproperlyConfigured if entries contradict each other.
        """
        found = s3_storages()
        if not found or conf.use_s3 is False:
            raise NotOnS3Error(_not_on_s3())
        bound = {alias: storage.bound(local=local) for alias, storage in found.items()}
        locations = tuple(storage.described(alias) for alias, storage in bound.items())
        check_locations(locations)
        return cls(locations, conf.origins, bound, conf.trusted_accounts)

    def with_key(self, key: Key) -> "Deployment":
        """Return the deployment with another key, such as the local server's root's."""
        locations = tuple(
            replace(location, target=replace(location.target, key=key, profile=None))
            for location in self.locations
        )
        return replace(self, locations=locations)

    def owned(self, accounts: Mapping[Target, str]) -> "Deployment":
        """Return the deployment with these accounts as expected bucket owners, unless a setting names another.

        Each request then names the owner, and S3 rejects it if the bucket belongs to someone else.
        """
        locations = tuple(
            replace(
                each,
                target=replace(each.target, owner=each.target.owner or accounts.get(each.target) or None),
            )
            for each in self.locations
        )
        return replace(self, locations=locations)

    @property
    def static(self) -> Location | None:
        """The location of the site's static files."""
        return next(iter(self.static_locations), None)

    @property
    def static_locations(self) -> tuple[Location, ...]:
        """The locations of static files, that of `staticfiles` first; usually there is only one."""
        found = [location for location in self.locations if location.kind == "static"]
        return tuple(sorted(found, key=lambda location: location.alias != "staticfiles"))

    @property
    def media(self) -> tuple[Location, ...]:
        """The locations of uploads, that of the default storage first."""
        found = [location for location in self.locations if location.kind == "media"]
        return tuple(sorted(found, key=lambda location: location.alias != "default"))

    @property
    def buckets(self) -> tuple[Bucket, ...]:
        """The buckets, those with static files first."""
        grouped: dict[tuple[str, tuple[str, str | None]], list[Location]] = {}
        for location in sorted(self.locations, key=lambda each: each.kind != "static"):
            grouped.setdefault((location.bucket, location.target.where), []).append(location)
        return tuple(Bucket(name, found[0].target, tuple(found)) for (name, _), found in grouped.items())


def s3_storages() -> dict[str, Any]:
    """Return the library's storages in STORAGES, by alias.

    Raises ImproperlyConfigured if an entry can't be imported or instantiated. Skipping an entry with a typo in its
    BACKEND would let `apply` remove configuration that its bucket needs.
    """
    from django.core.files.storage import storages

    return {alias: storages[alias] for alias in s3_aliases()}


def s3_aliases() -> list[str]:
    """Return the aliases in STORAGES whose backend is one of the library's or a subclass."""
    from django.conf import settings
    from django.utils.module_loading import import_string

    found = []
    for alias, entry in settings.STORAGES.items():
        try:
            backend = import_string(entry["BACKEND"])
        except (ImportError, KeyError) as error:
            raise ImproperlyConfigured(f"STORAGES[{alias!r}] has no usable BACKEND: {error}.") from error
        if isinstance(backend, type) and hasattr(backend, "described"):
            found.append(alias)
    return found


def arn(target: Target, bucket: str, key: str = "") -> str:
    """Return the ARN of a bucket, or of an object in it, in the region's partition."""
    from s3kit.clients import partition

    return f"arn:{partition(target.region)}:s3:::{bucket}" + (f"/{key}" if key else "")


def name_problems(location: Location) -> list[tuple[str, str]]:
    """Return the problems with the name of a location's bucket, as pairs of message and fix."""
    name, region = location.bucket, location.target.region
    if location.target.endpoint or regions.problems(region):
        region = ""
    valid = buckets.suggestion(name, region=region or None)
    return [
        (
            f"STORAGES[{location.alias!r}]: the bucket name {name!r} {problem.message}.",
            f"A valid name: {valid}",
        )
        for problem in buckets.problems(name, region=region or None)
    ]


def check_locations(locations: tuple[Location, ...]) -> None:
    """Raise ImproperlyConfigured if locations contradict each other."""
    if problems := location_problems(locations):
        raise ImproperlyConfigured(problems[0])


def location_problems(locations: tuple[Location, ...]) -> list[str]:
    """Return the contradictions between locations in the same bucket.

    Access to a prefix includes everything below it, so nested locations must have the same kind and access, such as
    prefixes of tenants. Locations of static files must not be nested, because `prune` cleans each by its own manifest.
    """
    found = []
    for one, other in combinations(locations, 2):
        if not one.bucket or (one.bucket, one.target.endpoint) != (other.bucket, other.target.endpoint):
            continue
        both = f"STORAGES[{one.alias!r}] and STORAGES[{other.alias!r}]"
        for what, values in (
            ("region", (one.target.region, other.target.region)),
            ("owner", (one.target.owner, other.target.owner)),
        ):
            if all(values) and values[0] != values[1]:
                found.append(
                    f"{both} use the bucket {one.bucket!r} but name different {what}s: {values[0]} and {values[1]}."
                )
        found += [
            f"{both} give the tag {key!r} of the bucket {one.bucket!r} different values: {value!r} and"
            f" {dict(other.tags)[key]!r}."
            for key, value in one.tags
            if dict(other.tags).get(key, value) != value
        ]
        nested = one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix)
        if nested and (_readers(one) != _readers(other) or one.kind == "static"):
            found.append(
                f"{both} overlap in the bucket {one.bucket!r} ({one.prefix} and {other.prefix}), but differ in kind"
                " or access: give them separate locations."
            )
    return found


def _readers(location: Location) -> tuple[str, str, str]:
    return location.kind, location.access, location.distribution if location.through_cdn else ""


def location_prefix(location: Any) -> str:
    """Return a location as a prefix that ends with a slash; raise ImproperlyConfigured if it is invalid."""
    text = str(location or "").strip()
    prefix = text.rstrip("/") + "/"
    parts = prefix.split("/")[:-1]
    if not text.strip("/") or text.startswith("/") or any(part in {"", ".", ".."} for part in parts):
        raise ImproperlyConfigured(
            f"The location {text!r} is not a valid prefix: write it like 'media/', without a leading slash."
        )
    if re.search(r"[\\*?\x00-\x1f\x7f]", prefix) or "${" in prefix:
        raise ImproperlyConfigured(
            f"The location {text!r} contains a character with a special meaning in policies: remove *, ?, \\, ${{,"
            " and control characters."
        )
    if prefix.startswith(PENDING_PREFIX):
        raise ImproperlyConfigured(
            f"The location {text!r} is reserved for unchecked direct uploads, which expire: choose another one."
        )
    return prefix


def _not_on_s3() -> str:
    if conf.use_s3 is False:
        return "The site does not use S3, because USE_S3 is False: set it to True or 'local'."
    return (
        "The site does not use S3, because no entry of STORAGES has an s3kit backend: set BACKEND to"
        " s3kit.storages.StaticStorage or s3kit.storages.MediaStorage."
    )
