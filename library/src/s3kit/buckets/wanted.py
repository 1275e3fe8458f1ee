"""The wanted state of the buckets, as data that follows from the settings.

`wanted` says what each bucket shall be. `ASPECTS` is the one table of how each part of it is read, joined
with what is there, and written. `s3kit.buckets.plan` compares the two and does what differs.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from s3kit import encryption
from s3kit.buckets import policies
from s3kit.deployment import PENDING_PREFIX, Bucket, Deployment, Location

# What marks a CORS or lifecycle rule as ours; all others are somebody else's and stay.
MARK = "django-s3-"

# What `s3kit.uploads.pending` signs, beyond what every page may send.
UPLOAD_HEADERS = ["content-type", "if-none-match"]
# What scripts that read a file in parts ask for, and look at: pdf.js and players of films.
READ_HEADERS = ["range"]
EXPOSED_HEADERS = [
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Length",
    "Content-Range",
]
LOCAL_ORIGINS = ("http://127.0.0.1:*", "http://localhost:*")


BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


class _Lacks:
    def __repr__(self) -> str:
        return "not supported"


# The live state of an aspect that another server than AWS does not have.
LACKS: Any = _Lacks()

# As AWS makes new buckets.
NEW: Mapping[str, Any] = {
    "encryption": "AES256",
    "tags": [],
    "lifecycle": [],
    "versioning": None,
    "cors": [],
    "bucket ACL": [],
    "ownership": "BucketOwnerEnforced",
    "public access block": dict.fromkeys(BLOCKS, True),
    "policy": [],
}

# "The meaning of public", S3 User Guide, "Blocking public access to your Amazon S3 storage".
_EVERYBODY = ("/global/AllUsers", "/global/AuthenticatedUsers")


class BucketError(Exception):
    """A bucket could not be made as wanted; the text is one line for a person.

    `done` lists what was done before.
    """

    def __init__(self, message: str, done: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.done = tuple(done)


@dataclass(frozen=True)
class Want:
    """What one aspect of a bucket shall be, as boto3 writes it, and why."""

    value: Any
    reason: str
    left_out: str = ""
    """What a site on AWS would have besides, and why this one has not."""
    needed: str = ""
    """Where the site can't do without: what the server has to support, for what, and what else to do."""


@dataclass(frozen=True)
class Wanted:
    """The wanted state of one bucket: by title of `ASPECTS`; what is not named is left alone."""

    bucket: Bucket
    holds: str
    aspects: Mapping[str, Want]
    trusted: tuple[str, ...] = ()
    """The accounts whose grants are wanted."""

    @property
    def name(self) -> str:
        """The bucket's name."""
        return self.bucket.name


def wanted(deployment: Deployment) -> list[Wanted]:
    """Return the wanted state of each bucket of a site."""
    return [
        Wanted(bucket, _holds(bucket), _aspects(bucket, deployment.origins), deployment.trusted)
        for bucket in deployment.buckets
    ]


def _holds(bucket: Bucket) -> str:
    """Return what a bucket holds, in words: static files, and uploads with their access."""
    parts = ["static files"] if bucket.static else []
    several = len(bucket.media) > 1
    parts += [
        f"{location.alias} ({location.access})" if several else f"uploads ({location.access})"
        for location in bucket.media
    ]
    return _joined(parts)


def _joined(parts: Sequence[str]) -> str:
    """Return a list as a text: a, b and c."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _aspects(bucket: Bucket, origins: Sequence[str]) -> dict[str, Want]:
    target, is_static, is_media = bucket.target, bool(bucket.static), bool(bucket.media)
    acls = any(location.access == "public-read" for location in bucket.media)
    statements = policies.bucket_policy(bucket)
    public = [statement["Sid"] for statement in statements if policies.is_public(statement)]
    why_public = f"{' and '.join(public)} let{'s' * (len(public) == 1)} everyone read files"
    through_cdn = any(location.through_cdn for location in bucket.locations)
    by_policy = [location for location in bucket.locations if _is_read_by_policy(location)]

    aspects = {
        "encryption": Want(
            bucket.encryption or "AES256",
            "S3 encrypts what is stored, with "
            + ("a key of KMS" if encryption.is_kms(bucket.encryption) else "its own keys"),
        ),
        "lifecycle": Want(
            [
                rule
                for rule in map(
                    target.provider.without_dropped, [_INCOMPLETE, *([_PENDING] if is_media else [])]
                )
                if any(isinstance(action, dict) for name, action in rule.items() if name != "Filter")
            ],
            "removes the parts of interrupted uploads after a week"
            + ", and direct uploads that the site did not accept after a day" * is_media,
        ),
        "cors": Want(
            _cors(bucket, origins),
            "pages of the site, and no others, may "
            + _joined(
                ["load fonts and modules"] * is_static
                + ["read uploads"] * is_media
                + ["send large ones"] * bucket.direct_uploads
            ),
        ),
        "bucket ACL": Want(
            [],
            "nobody else may list or change the bucket itself"
            if acls
            else "a grant to others would keep ACLs from being turned off",
            needed="ACLs, which access 'public-read' needs: set access to 'private'" * acls,
        ),
        "ownership": Want(
            "BucketOwnerPreferred" if acls else "BucketOwnerEnforced",
            "each upload is made public by its own ACL"
            if acls
            else "ACLs are off, so none can open anything",
        ),
        "public access block": Want(
            {
                "BlockPublicAcls": not acls and "BlockPublicAcls" not in target.provider.drops,
                "IgnorePublicAcls": not acls,
                "BlockPublicPolicy": not public,
                "RestrictPublicBuckets": not public,
            },
            "; ".join(
                [
                    "allows public ACLs, which access 'public-read' sets" if acls else "blocks public ACLs",
                    f"allows public policies: {why_public}" if public else "blocks public policies",
                ]
            ),
        ),
        "policy": Want(
            statements,
            ("; " if public else " and ").join(
                ([] if target.is_loopback else ["only over TLS"])
                + ([why_public] if public else ["nobody but the account" + " and CloudFront" * through_cdn])
            ),
            "the statement that demands TLS: this endpoint is plain http on this machine"
            if target.is_loopback
            else "",
            _policy_needed(by_policy[0]) if by_policy else "",
        ),
    }
    if bucket.tags:
        aspects["tags"] = Want(
            [{"Key": key, "Value": value} for key, value in bucket.tags], "the option bucket_tags"
        )
    if bucket.versioning:
        aspects["versioning"] = Want(
            "Enabled",
            "the option versioning of a storage is on",
            needed="versions, which the option versioning asks for: turn it off",
        )
    return aspects


def _is_read_by_policy(location: Location) -> bool:
    """Tell whether everyone reads a location at the bucket's own address, because its policy says so."""
    public = location.kind == "static" or location.access == "public-policy"
    return public and not location.through_cdn and not location.custom_domain


def _policy_needed(location: Location) -> str:
    if location.kind == "static":
        return (
            "bucket policies, without which nobody can read static files: set the custom_domain that serves"
            " them, or keep them off S3"
        )
    return "bucket policies, which access 'public-policy' needs: set access to 'private'"


_INCOMPLETE = {
    "ID": f"{MARK}incomplete-uploads",
    "Status": "Enabled",
    "Filter": {"Prefix": ""},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
}
# S3 removes at the first midnight (UTC) after the day is over. Versions and markers of deletion go too, where
# somebody has turned versioning on.
_PENDING = {
    "ID": f"{MARK}pending",
    "Status": "Enabled",
    "Filter": {"Prefix": PENDING_PREFIX},
    "Expiration": {"Days": 1},
    "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
}


def upload_headers(bucket: Bucket) -> list[str]:
    """Return the headers that browsers send with uploads straight to a bucket, beyond what every page may send."""
    encrypted = [encryption.headers(location.target.encryption) for location in bucket.media]
    return list(dict.fromkeys([*UPLOAD_HEADERS, *(name for each in encrypted for name in each)]))


def _cors(bucket: Bucket, origins: Sequence[str]) -> list[dict[str, Any]]:
    allowed = [*origins, *(LOCAL_ORIGINS if bucket.target.is_loopback else ())]
    holds = ["static"] * bool(bucket.static) + ["uploads"] * bool(bucket.media)
    # In one rule, because Ceph goes by the first whose origin fits, whatever its methods are.
    rule: dict[str, Any] = {
        "ID": f"{MARK}{'-and-'.join(holds)}",
        "AllowedOrigins": allowed,
        "AllowedMethods": ["GET", "HEAD", *(["PUT"] * bucket.direct_uploads)],
        "MaxAgeSeconds": 3600,
    }
    if bucket.media:
        # Nothing is read from the answers to uploads: ETag is not exposed.
        rule["AllowedHeaders"] = [*(upload_headers(bucket) * bucket.direct_uploads), *READ_HEADERS]
        rule["ExposeHeaders"] = EXPOSED_HEADERS
    return [rule] if allowed else []


@dataclass(frozen=True)
class Aspect:
    """How one part of a bucket's state is read, joined with what is there, and written.

    `read` and `write` take a boto3 client and the arguments that name the bucket. `read` returns the same
    form as `Want.value`, and None or [] where nothing is set. `join` returns what to write: our value beside
    what others put there.
    """

    read: Callable[[Any, Mapping[str, str]], Any]
    write: Callable[[Any, Mapping[str, str], Any], Any]
    join: Callable[[Any, Any], Any] = lambda _live, wanted: wanted


def _unless_unset(read: Callable[[], Any], code: str, unset: Any = None) -> Any:
    """Return what `read` does, or `unset` where S3 answers with the code for "nothing is set".

    Garage answers with 404 or 204 and nothing else, once HeadBucket has found the bucket.
    """
    try:
        return read()
    except ClientError as error:
        if error.response["Error"]["Code"] in {code, "404"}:
            return unset
        raise


def _join_marked(key: str, mark: str, meaning: Callable[[Any], str]) -> Callable[[Any, Any], Any]:
    """Return a join of two lists of rules, where those with the mark are ours and all others stay.

    `meaning` is a text that is the same for rules that mean the same: these stay as the server has written them,
    in whatever order.
    """

    def join(live: Any, ours: Any) -> Any:
        written = {meaning(rule): rule for rule in live}
        # Some servers forget the names of rules.
        ours = [
            written.get(meaning(rule)) or written.get(meaning({**rule, key: None})) or rule for rule in ours
        ]
        foreign = [rule for rule in live if not str(rule.get(key, "")).startswith(mark) and rule not in ours]
        kept = [rule for rule in live if rule in ours]
        return live if len(kept) == len(ours) == len(live) - len(foreign) else foreign + ours

    return join


def _cors_meaning(rule: Mapping[str, Any]) -> str:
    """Return the same text for CORS rules that allow the same, in whatever order they list it."""
    found = {name: sorted(each) if isinstance(each, list) else each for name, each in rule.items() if each}
    headers = (header.lower() for header in rule.get("AllowedHeaders", []))
    return json.dumps(found | {"AllowedHeaders": sorted(headers)}, sort_keys=True)


def _lifecycle_meaning(rule: Mapping[str, Any]) -> str:
    """Return the same text for lifecycle rules that do the same: no filter, an empty one and a prefix alike."""
    where = dict(rule.get("Filter") or {})
    where |= where.pop("And", {})
    where = {"Prefix": rule.get("Prefix", ""), **where}
    rest = {
        name: each for name, each in rule.items() if name not in {"Filter", "Prefix"} and each is not None
    }
    return json.dumps(rest | {"where": where}, sort_keys=True, default=str)


def _join_lifecycle(live: Any, ours: Any) -> Any:
    """Join as `_join_marked` does; beside rules of the form before 2016 ours must have that form too.

    Backblaze B2 returns a rule as several, one for each action and without names.

    S3 rejects a mixture: "Base level prefix cannot be used in Lifecycle V2". Ceph returns one.
    """
    if live and not any("Filter" in rule for rule in live):
        prefixes = [rule["Filter"]["Prefix"] for rule in ours]
        ours = [{name: value for name, value in rule.items() if name != "Filter"} for rule in ours]
        ours = [rule | {"Prefix": prefix} for rule, prefix in zip(ours, prefixes, strict=True)]
    is_nameless = live and not any(str(rule.get("ID", "")).startswith(MARK) for rule in live)
    if is_nameless and _actions(ours) <= _actions(live):
        return live
    return _join_marked("ID", MARK, _lifecycle_meaning)(live, ours)


def _actions(rules: Any) -> set[str]:
    """Return what lifecycle rules do, an action each."""
    actions = ("Expiration", "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload")
    return {
        _lifecycle_meaning(
            {name: rule[name] for name in rule if name not in {"ID", *actions} or name == action}
        )
        for rule in rules
        for action in actions
        if action in rule
    }


def _write_lifecycle(client: Any, bucket: Mapping[str, str], value: Any) -> None:
    # It is set for all rules at once, so that leaving it out would change it for other people's.
    live = _unless_unset(
        lambda: client.get_bucket_lifecycle_configuration(**bucket), "NoSuchLifecycleConfiguration", {}
    )
    size = "TransitionDefaultMinimumObjectSize"
    kept = {size: live[size]} if live.get(size) else {}
    client.put_bucket_lifecycle_configuration(**bucket, LifecycleConfiguration={"Rules": value}, **kept)


def _read_encryption(client: Any, bucket: Mapping[str, str]) -> Any:
    rules = _unless_unset(
        lambda: client.get_bucket_encryption(**bucket)["ServerSideEncryptionConfiguration"]["Rules"],
        "ServerSideEncryptionConfigurationNotFoundError",
        [],
    )
    return encryption.of_rule(rules[0]) if rules else None


def _write_encryption(client: Any, bucket: Mapping[str, str], value: Any) -> None:
    rules = [encryption.default_rule(value)]
    client.put_bucket_encryption(**bucket, ServerSideEncryptionConfiguration={"Rules": rules})


def _join_tags(live: Any, ours: Any) -> Any:
    """Join two lists of tags, because S3 replaces all at once; what has our keys is ours."""
    values = {tag["Key"]: tag["Value"] for tag in ours}
    there = {tag["Key"]: tag["Value"] for tag in live}
    return (
        live
        if there | values == there
        else [{"Key": key, "Value": value} for key, value in (there | values).items()]
    )


def _blocks(answer: Any) -> dict[str, bool]:
    return {name: answer["PublicAccessBlockConfiguration"][name] for name in BLOCKS}


def _cors_rules(answer: Mapping[str, Any]) -> Any:
    return [] if answer["ResponseMetadata"]["HTTPStatusCode"] == 204 else answer["CORSRules"]


def _write_cors(client: Any, bucket: Mapping[str, str], value: Any) -> None:
    if value:
        client.put_bucket_cors(**bucket, CORSConfiguration={"CORSRules": value})
    else:
        client.delete_bucket_cors(**bucket)


def _policy(client: Any, bucket: Mapping[str, str]) -> dict[str, Any]:
    text = _unless_unset(lambda: client.get_bucket_policy(**bucket)["Policy"], "NoSuchBucketPolicy")
    return dict(json.loads(text)) if text else {"Version": policies.VERSION, "Statement": []}


def _read_policy(client: Any, bucket: Mapping[str, str]) -> Any:
    statements = _policy(client, bucket)["Statement"]
    return [statements] if isinstance(statements, dict) else statements


def _write_policy(client: Any, bucket: Mapping[str, str], value: Any) -> None:
    if value:
        # Version and Id stay: other people's statements may mean something else in another version.
        document = _policy(client, bucket) | {"Statement": value}
        client.put_bucket_policy(**bucket, Policy=json.dumps(document))
    else:
        client.delete_bucket_policy(**bucket)


def _read_acl(client: Any, bucket: Mapping[str, str]) -> Any:
    """Return the grants to others than the owner, whom MinIO and RustFS leave without a name."""
    acl = client.get_bucket_acl(**bucket)
    owner = acl["Owner"]["ID"]
    return [
        grant
        for grant in acl["Grants"]
        if grant["Grantee"].get("ID", owner) != owner or {"URI", "EmailAddress"} & grant["Grantee"].keys()
    ]


def _write_acl(client: Any, bucket: Mapping[str, str], value: Any) -> None:
    """Take all grants away, except those by which S3 delivers logs: by an ACL that a policy can limit."""
    client.put_bucket_acl(**bucket, ACL=policies.CLOSED_ACLS[bool(value)])


def is_log_delivery(grant: Mapping[str, Any]) -> bool:
    """Tell whether an ACL's grant is to the service that writes S3's logs, which is no account."""
    return str(grant["Grantee"].get("URI", "")).endswith("/s3/LogDelivery")


def is_public_grant(grant: Mapping[str, Any]) -> bool:
    """Tell whether an ACL's grant is to everybody, or to everybody with an AWS account."""
    return str(grant["Grantee"].get("URI", "")).endswith(_EVERYBODY)


# In this order: what opens a bucket comes last. `s3kit.buckets.plan.steps` says more about the last four.
ASPECTS = {
    "encryption": Aspect(
        _read_encryption,
        _write_encryption,
        lambda live, wanted: live if encryption.is_kms(live) and not encryption.is_kms(wanted) else wanted,
    ),
    "tags": Aspect(
        lambda client, bucket: _unless_unset(
            lambda: client.get_bucket_tagging(**bucket)["TagSet"], "NoSuchTagSet", []
        ),
        lambda client, bucket, value: client.put_bucket_tagging(**bucket, Tagging={"TagSet": value}),
        _join_tags,
    ),
    "lifecycle": Aspect(
        lambda client, bucket: _unless_unset(
            lambda: client.get_bucket_lifecycle_configuration(**bucket)["Rules"],
            "NoSuchLifecycleConfiguration",
            [],
        ),
        _write_lifecycle,
        _join_lifecycle,
    ),
    "versioning": Aspect(
        lambda client, bucket: client.get_bucket_versioning(**bucket).get("Status"),
        lambda client, bucket, value: client.put_bucket_versioning(
            **bucket, VersioningConfiguration={"Status": value}
        ),
    ),
    "cors": Aspect(
        lambda client, bucket: _unless_unset(
            lambda: _cors_rules(client.get_bucket_cors(**bucket)), "NoSuchCORSConfiguration", []
        ),
        _write_cors,
        _join_marked("ID", MARK, _cors_meaning),
    ),
    # Never written but to take grants away that are in conflict.
    "bucket ACL": Aspect(_read_acl, _write_acl, lambda live, _wanted: live),
    "ownership": Aspect(
        lambda client, bucket: _unless_unset(
            lambda: client.get_bucket_ownership_controls(**bucket)["OwnershipControls"]["Rules"][0][
                "ObjectOwnership"
            ],
            "OwnershipControlsNotFoundError",
        ),
        lambda client, bucket, value: client.put_bucket_ownership_controls(
            **bucket, OwnershipControls={"Rules": [{"ObjectOwnership": value}]}
        ),
    ),
    "public access block": Aspect(
        lambda client, bucket: _unless_unset(
            lambda: _blocks(client.get_public_access_block(**bucket)),
            "NoSuchPublicAccessBlockConfiguration",
        ),
        lambda client, bucket, value: client.put_public_access_block(
            **bucket, PublicAccessBlockConfiguration=value
        ),
    ),
    "policy": Aspect(_read_policy, _write_policy, _join_marked("Sid", policies.MARK, policies.canonical)),
}
