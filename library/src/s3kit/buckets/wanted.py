"""The wanted state of the buckets, as data that follows from the settings.

`wanted` says what each bucket shall be. `ASPECTS` is the one table of how each part of it is read, joined
with what is there, and written. `s3kit.buckets.plan` compares the two and does what differs.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from s3kit.buckets import policies
from s3kit.deployment import PENDING_PREFIX, Bucket, Deployment

# What marks a CORS or lifecycle rule as ours; all others are somebody else's and stay.
MARK = "django-s3-"

# What `s3kit.uploads.pending` signs, beyond what every page may send.
UPLOAD_HEADERS = ["content-type", "if-none-match"]
LOCAL_ORIGINS = ("http://127.0.0.1:*", "http://localhost:*")


BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")

# As AWS makes new buckets.
NEW: Mapping[str, Any] = {
    "encryption": "AES256",
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


@dataclass(frozen=True)
class Wanted:
    """The wanted state of one bucket: by title of `ASPECTS`; what is not named is left alone."""

    bucket: Bucket
    holds: str
    aspects: Mapping[str, Want]

    @property
    def name(self) -> str:
        """The bucket's name."""
        return self.bucket.name


def wanted(deployment: Deployment) -> list[Wanted]:
    """Return the wanted state of each bucket of a site."""
    return [
        Wanted(bucket, _holds(bucket), _aspects(bucket, deployment.origins)) for bucket in deployment.buckets
    ]


def _holds(bucket: Bucket) -> str:
    """Return what a bucket holds, in words: static files, and uploads with their access."""
    parts = ["static files"] if bucket.static else []
    several = len(bucket.media) > 1
    parts += [
        f"{location.alias} ({location.access})" if several else f"uploads ({location.access})"
        for location in bucket.media
    ]
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _aspects(bucket: Bucket, origins: Sequence[str]) -> dict[str, Want]:
    target, is_static, is_media = bucket.target, bool(bucket.static), bool(bucket.media)
    acls = any(location.access == "public-read" for location in bucket.media)
    statements = policies.bucket_policy(bucket)
    public = [statement["Sid"] for statement in statements if policies.is_public(statement)]
    why_public = f"the policy makes files public ({' and '.join(public)})"
    through_cdn = any(location.through_cdn for location in bucket.locations)

    aspects = {
        "encryption": Want("AES256", "what is stored is encrypted, with keys that S3 keeps"),
        "lifecycle": Want(
            [
                {
                    "ID": f"{MARK}incomplete-uploads",
                    "Status": "Enabled",
                    "Filter": {"Prefix": ""},
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
                },
                *([_PENDING] if is_media else []),
            ],
            "the parts of uploads that never ended cost money until they are removed"
            + "; what browsers sent straight to S3 and nobody accepted goes after a day" * is_media,
        ),
        "cors": Want(
            _cors(bucket, origins),
            "browsers "
            + " and ".join(
                ["load fonts and modules from another origin"] * is_static
                + ["send large uploads to another origin"] * is_media
            )
            + " only where it allows the site's",
        ),
        "bucket ACL": Want(
            [],
            "nobody else may list or change the bucket itself"
            if acls
            else "a grant to others would keep ACLs from being turned off",
        ),
        "ownership": Want(
            "BucketOwnerPreferred" if acls else "BucketOwnerEnforced",
            "each upload is made public by its own ACL" if acls else "no ACL can open anything",
        ),
        "public access block": Want(
            {
                "BlockPublicAcls": not acls,
                "IgnorePublicAcls": not acls,
                "BlockPublicPolicy": not public,
                "RestrictPublicBuckets": not public,
            },
            "; ".join(
                [
                    "public ACLs are let through: the access of a storage is public-read"
                    if acls
                    else "no public ACL",
                    f"public policies are let through: {why_public}" if public else "no public policy",
                ]
            ),
        ),
        "policy": Want(
            statements,
            " and ".join(
                ([] if target.is_loopback else ["only over TLS"])
                + ([why_public] if public else ["nobody but the account" + " and CloudFront" * through_cdn])
            ),
            "the statement that demands TLS: this endpoint is plain http on this machine"
            if target.is_loopback
            else "",
        ),
    }
    if bucket.versioning:
        aspects["versioning"] = Want("Enabled", "the option versioning of a storage is on")
    return aspects


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


def _cors(bucket: Bucket, origins: Sequence[str]) -> list[dict[str, Any]]:
    allowed = [*origins, *(LOCAL_ORIGINS if bucket.target.is_loopback else ())]
    # Nothing is read from the answers to uploads. POST is for pages that were open before an update from 0.3.
    methods = {"static": ["GET", "HEAD"]} if bucket.static else {}
    methods |= {"uploads": ["POST", "PUT"]} if any(each.direct_uploads for each in bucket.media) else {}
    return [
        {
            "ID": f"{MARK}{what}",
            "AllowedOrigins": allowed,
            "AllowedMethods": each,
            **({"AllowedHeaders": UPLOAD_HEADERS} if what == "uploads" else {}),
            "MaxAgeSeconds": 3600,
        }
        for what, each in methods.items()
        if allowed
    ]


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
    """Return what `read` does, or `unset` where S3 answers with the code for "nothing is set"."""
    try:
        return read()
    except ClientError as error:
        if error.response["Error"]["Code"] == code:
            return unset
        raise


def _join_marked(key: str, mark: str) -> Callable[[Any, Any], Any]:
    """Return a join of two lists of rules, where those with the mark are ours and all others stay."""

    def join(live: Any, ours: Any) -> Any:
        foreign = [rule for rule in live if not str(rule.get(key, "")).startswith(mark)]
        kept = [rule for rule in live if rule in ours]
        # The same rules in another order are as wanted.
        return live if len(kept) == len(ours) == len(live) - len(foreign) else foreign + ours

    return join


def _join_lifecycle(live: Any, ours: Any) -> Any:
    """Join as `_join_marked` does; beside rules of the form before 2016 ours must have that form too.

    S3 rejects a mixture: "Base level prefix cannot be used in Lifecycle V2".
    """
    if any("Filter" not in rule for rule in live):
        prefixes = [rule["Filter"]["Prefix"] for rule in ours]
        ours = [{name: value for name, value in rule.items() if name != "Filter"} for rule in ours]
        ours = [rule | {"Prefix": prefix} for rule, prefix in zip(ours, prefixes, strict=True)]
    return _join_marked("ID", MARK)(live, ours)


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
    return rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] if rules else None


def is_kms(algorithm: Any) -> bool:
    """Tell whether what is stored is encrypted with a key of AWS KMS, which is stricter than S3's own."""
    return str(algorithm).startswith("aws:kms")


def _write_encryption(client: Any, bucket: Mapping[str, str], value: Any) -> None:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": value}}
    client.put_bucket_encryption(**bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})


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


def _join_policy(live: Any, ours: Any) -> Any:
    """Join as `_join_marked` does; what means the same as ours stays as S3 has written it."""
    written = {policies.canonical(statement): statement for statement in live}
    ours = [written.get(policies.canonical(statement), statement) for statement in ours]
    return _join_marked("Sid", policies.MARK)(live, ours)


def _read_acl(client: Any, bucket: Mapping[str, str]) -> Any:
    """Return the grants to others than the owner."""
    acl = client.get_bucket_acl(**bucket)
    return [grant for grant in acl["Grants"] if grant["Grantee"].get("ID") != acl["Owner"]["ID"]]


def _write_acl(client: Any, bucket: Mapping[str, str], value: Any) -> None:
    acl = client.get_bucket_acl(**bucket)
    kept = [grant for grant in acl["Grants"] if grant["Grantee"].get("ID") == acl["Owner"]["ID"]] + value
    client.put_bucket_acl(**bucket, AccessControlPolicy={"Grants": kept, "Owner": acl["Owner"]})


def is_public_grant(grant: Mapping[str, Any]) -> bool:
    """Tell whether an ACL's grant is to everybody, or to everybody with an AWS account."""
    return str(grant["Grantee"].get("URI", "")).endswith(_EVERYBODY)


# In this order: what opens a bucket comes last. `s3kit.buckets.plan.steps` says more about the last four.
ASPECTS = {
    "encryption": Aspect(
        _read_encryption,
        _write_encryption,
        lambda live, wanted: live if is_kms(live) else wanted,
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
            lambda: client.get_bucket_cors(**bucket)["CORSRules"], "NoSuchCORSConfiguration", []
        ),
        _write_cors,
        _join_marked("ID", MARK),
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
            lambda: client.get_public_access_block(**bucket)["PublicAccessBlockConfiguration"],
            "NoSuchPublicAccessBlockConfiguration",
        ),
        lambda client, bucket, value: client.put_public_access_block(
            **bucket, PublicAccessBlockConfiguration=value
        ),
    ),
    "policy": Aspect(_read_policy, _write_policy, _join_policy),
}
