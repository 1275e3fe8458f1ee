"""The wanted state of the buckets, as data that follows from the settings.

`wanted` returns the wanted state of each bucket. `ASPECTS` says how to read each aspect of it, merge it with the
live state, and write it. `s3kit.buckets.plan` compares the two states, and `s3kit.buckets.apply` writes.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from s3kit import encryption
from s3kit.buckets import policies
from s3kit.deployment import PENDING_PREFIX, Bucket, Deployment, Location

# Marks a CORS or lifecycle rule as ours; all others belong to other people and stay.
MARK = "django-s3-"

# Headers that `s3kit.uploads.pending` signs, beyond those that every page may send.
UPLOAD_HEADERS = ["content-type", "if-none-match"]
# Headers for scripts that read a file in parts, such as pdf.js and video players.
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


# The live state of an aspect that a server other than AWS doesn't support.
LACKS: Any = _Lacks()

# The state of a new bucket on AWS.
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
_PUBLIC_GROUPS = ("/global/AllUsers", "/global/AuthenticatedUsers")


class BucketError(Exception):
    """A bucket can't be brought to the wanted state; the text is a message for people, on one line.

    `done` lists the steps done before.
    """

    def __init__(self, message: str, done: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.done = tuple(done)


@dataclass(frozen=True)
class Want:
    """The wanted value of one aspect of a bucket, as boto3 writes it, and the reason."""

    value: Any
    reason: str
    left_out: str = ""
    """What a site on AWS would also have, and why this one doesn't."""
    needed: str = ""
    """If the site can't do without the aspect: what the server must support, and the alternative."""


@dataclass(frozen=True)
class Wanted:
    """The wanted state of one bucket, by title of `ASPECTS`; a missing aspect is left alone."""

    bucket: Bucket
    holds: str
    aspects: Mapping[str, Want]
    trusted: tuple[str, ...] = ()
    """The accounts that others may grant rights to."""

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
    """Return the contents of a bucket in words: static files, and uploads with their access."""
    parts = ["static files"] if bucket.static else []
    several = len(bucket.media) > 1
    parts += [
        f"{location.alias} ({location.access})" if several else f"uploads ({location.access})"
        for location in bucket.media
    ]
    return _joined(parts)


def _joined(parts: Sequence[str]) -> str:
    """Return a list as a text: "a", "a and b", or "a, b, and c"."""
    if len(parts) < 3:
        return " and ".join(parts)
    return f"{', '.join(parts[:-1])}, and {parts[-1]}"


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
            "S3 encrypts objects with "
            + ("a KMS key" if encryption.is_kms(bucket.encryption) else "its own keys"),
        ),
        "lifecycle": Want(
            [
                rule
                for rule in map(
                    target.provider.without_dropped, [_INCOMPLETE, *([_PENDING] if is_media else [])]
                )
                if any(isinstance(action, dict) for name, action in rule.items() if name != "Filter")
            ],
            "deletes the parts of interrupted uploads after a week"
            + ", and direct uploads that the site didn't accept after a day" * is_media,
        ),
        "cors": Want(
            _cors(bucket, origins),
            "only the site's pages may "
            + _joined(
                ["load fonts and modules"] * is_static
                + ["read uploads"] * is_media
                + ["upload directly"] * bucket.direct_uploads
            ),
        ),
        "bucket ACL": Want(
            [],
            "only the account may list or change the bucket itself"
            if acls
            else "grants to others would prevent turning ACLs off",
            needed="ACLs, which access 'public-read' needs: set access to 'private'" * acls,
        ),
        "ownership": Want(
            "BucketOwnerPreferred" if acls else "BucketOwnerEnforced",
            "each upload's own ACL makes it public" if acls else "ACLs are off, so none can grant access",
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
                    "allows the public ACLs of access 'public-read'" if acls else "blocks public ACLs",
                    f"allows public policies: {why_public}" if public else "blocks public policies",
                ]
            ),
        ),
        "policy": Want(
            statements,
            "; ".join(
                ([] if target.is_loopback else ["requires TLS"])
                + (
                    [why_public]
                    if public
                    else ["open only to " + "CloudFront and " * through_cdn + "the account"]
                )
            ),
            "the TLS-only statement, because this endpoint is plain http on this machine"
            if target.is_loopback
            else "",
            _policy_needed(by_policy[0]) if by_policy else "",
        ),
    }
    if bucket.tags:
        aspects["tags"] = Want(
            [{"Key": key, "Value": value} for key, value in bucket.tags], "set by the option bucket_tags"
        )
    if bucket.versioning:
        aspects["versioning"] = Want(
            "Enabled",
            "a storage has the option versioning on",
            needed="versioning: turn the option versioning off",
        )
    return aspects


def _is_read_by_policy(location: Location) -> bool:
    """Return whether everyone reads a location at the bucket's own address, because of its policy."""
    public = location.kind == "static" or location.access == "public-policy"
    return public and not location.through_cdn and not location.custom_domain


def _policy_needed(location: Location) -> str:
    if location.kind == "static":
        return (
            "bucket policies, which make static files public: set custom_domain to a host that serves them, or"
            " keep them off S3"
        )
    return "bucket policies, which access 'public-policy' needs: set access to 'private'"


_INCOMPLETE = {
    "ID": f"{MARK}incomplete-uploads",
    "Status": "Enabled",
    "Filter": {"Prefix": ""},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
}
# S3 deletes at the first midnight (UTC) after the day is over. The second rule is for buckets with versioning.
_PENDING = {
    "ID": f"{MARK}pending",
    "Status": "Enabled",
    "Filter": {"Prefix": PENDING_PREFIX},
    "Expiration": {"Days": 1},
    "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
}


def upload_headers(bucket: Bucket) -> list[str]:
    """Return the headers of direct uploads to a bucket, beyond those that every page may send."""
    encrypted = [encryption.headers(location.target.encryption) for location in bucket.media]
    return list(dict.fromkeys([*UPLOAD_HEADERS, *(name for each in encrypted for name in each)]))


def _cors(bucket: Bucket, origins: Sequence[str]) -> list[dict[str, Any]]:
    allowed = [*origins, *(LOCAL_ORIGINS if bucket.target.is_loopback else ())]
    holds = ["static"] * bool(bucket.static) + ["uploads"] * bool(bucket.media)
    # One rule, because Ceph uses the first one whose origin matches, whatever its methods.
    rule: dict[str, Any] = {
        "ID": f"{MARK}{'-and-'.join(holds)}",
        "AllowedOrigins": allowed,
        "AllowedMethods": ["GET", "HEAD", *(["PUT"] * bucket.direct_uploads)],
        "MaxAgeSeconds": 3600,
    }
    if bucket.media:
        # Pages read nothing from the responses to uploads, so ETag isn't exposed.
        rule["AllowedHeaders"] = [*(upload_headers(bucket) * bucket.direct_uploads), *READ_HEADERS]
        rule["ExposeHeaders"] = EXPOSED_HEADERS
    return [rule] if allowed else []


@dataclass(frozen=True)
class Aspect:
    """How to read one aspect of a bucket, merge it with the wanted value, and write it.

    `read` and `write` take a boto3 client and the arguments that name the bucket. `read` returns the form of
    `Want.value`, and None or [] if nothing is set. `join` takes the live and the wanted value, and returns what to
    write: our value next to others'.
    """

    read: Callable[[Any, Mapping[str, str]], Any]
    write: Callable[[Any, Mapping[str, str], Any], Any]
    join: Callable[[Any, Any], Any] = lambda _live, wanted: wanted


def _unless_unset(read: Callable[[], Any], code: str, unset: Any = None) -> Any:
    """Return the result of `read`, or `unset` if S3 returns the code for "nothing is set".

    Garage returns an empty 404 or 204.
    """
    try:
        return read()
    except ClientError as error:
        if error.response["Error"]["Code"] in {code, "404"}:
            return unset
        raise


def _join_marked(key: str, mark: str, meaning: Callable[[Any], str]) -> Callable[[Any, Any], Any]:
    """Return a function that merges two lists of rules: those with the mark are ours, all others stay.

    `meaning` returns the same text for rules that mean the same; those stay as the server has written them, in any
    order.
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
    """Return a text that is the same for CORS rules that allow the same, in any order."""
    found = {name: sorted(each) if isinstance(each, list) else each for name, each in rule.items() if each}
    headers = (header.lower() for header in rule.get("AllowedHeaders", []))
    return json.dumps(found | {"AllowedHeaders": sorted(headers)}, sort_keys=True)


def _lifecycle_meaning(rule: Mapping[str, Any]) -> str:
    """Return a text that is the same for lifecycle rules that do the same, however they write the filter."""
    where = dict(rule.get("Filter") or {})
    where |= where.pop("And", {})
    where = {"Prefix": rule.get("Prefix", ""), **where}
    rest = {
        name: each for name, each in rule.items() if name not in {"Filter", "Prefix"} and each is not None
    }
    return json.dumps(rest | {"where": where}, sort_keys=True, default=str)


def _join_lifecycle(live: Any, ours: Any) -> Any:
    """Merge lifecycle rules as `_join_marked` does, with two exceptions.

    Other people's rules may have the form before 2016, and S3 rejects a mixture of both ("Base level prefix cannot
    be used in Lifecycle V2"), so ours then take that form too. Backblaze B2 splits a rule by action and drops its
    name.
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
    """Return the single actions of lifecycle rules, as texts."""
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
    # The setting is for all rules at once: omitting it would change other people's rules.
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
    """Merge two lists of tags, because S3 replaces all of them at once; ours win."""
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
        # Keep Version and Id: other people's statements may mean something else in another version.
        document = _policy(client, bucket) | {"Statement": value}
        client.put_bucket_policy(**bucket, Policy=json.dumps(document))
    else:
        client.delete_bucket_policy(**bucket)


def _read_acl(client: Any, bucket: Mapping[str, str]) -> Any:
    """Return the grants to others than the owner; in MinIO's and RustFS's, the owner has no ID."""
    acl = client.get_bucket_acl(**bucket)
    owner = acl["Owner"]["ID"]
    return [
        grant
        for grant in acl["Grants"]
        if grant["Grantee"].get("ID", owner) != owner or {"URI", "EmailAddress"} & grant["Grantee"].keys()
    ]


def _write_acl(client: Any, bucket: Mapping[str, str], value: Any) -> None:
    """Set a canned ACL, which a policy can limit: it removes all grants but those for S3's log delivery."""
    client.put_bucket_acl(**bucket, ACL=policies.CLOSED_ACLS[bool(value)])


def is_log_delivery(grant: Mapping[str, Any]) -> bool:
    """Return whether an ACL's grant is to S3's log delivery, which isn't an account."""
    return str(grant["Grantee"].get("URI", "")).endswith("/s3/LogDelivery")


def is_public_grant(grant: Mapping[str, Any]) -> bool:
    """Return whether an ACL's grant is to everyone, or to everyone with an AWS account."""
    return str(grant["Grantee"].get("URI", "")).endswith(_PUBLIC_GROUPS)


# The order of writing: what opens a bucket comes last. `s3kit.buckets.apply.steps` orders the last four.
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
    # Written only to remove conflicting grants.
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
