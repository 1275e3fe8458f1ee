"""Who may do what, as data: the policies of the buckets, and the IAM policies of the site's own roles.

Resources are ARNs of the site's partition; no action has a wildcard but the TLS-only denial's. What each
action is for stands beside it, from the Service Authorization Reference, "Actions, resources, and condition
keys for Amazon S3", and the S3 User Guide, "Required permissions for Amazon S3 API operations".
"""

import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from s3kit.clients import MEDIA_PREFIX, PENDING_PREFIX, STATIC_PREFIX
from s3kit.publishing.history import FOLDER, MARKERS
from s3kit.deployment import Site

VERSION = "2012-10-17"

# What marks a statement of a bucket policy as ours; all others are somebody else's.
MARK = "DjangoS3"

MANIFEST = f"{STATIC_PREFIX}staticfiles.json"


def bucket_policy(site: Site, bucket: str) -> list[dict[str, Any]]:
    """Return our statements of a bucket's policy, each with a Sid that begins with `MARK`."""
    statements: list[dict[str, Any]] = []
    if not site.at_desk:
        statements.append(
            {
                "Sid": f"{MARK}TlsOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [site.arn(bucket), site.arn(bucket, "*")],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        )
    if bucket == site.static_bucket:
        statements.append(_read(site, bucket, "Static", STATIC_PREFIX, through_cdn=bool(site.distribution)))
    if bucket == site.media_bucket:
        if site.media_through_cdn:
            statements.append(_read(site, bucket, "Media", MEDIA_PREFIX, through_cdn=True))
        elif site.access == "public-policy":
            statements.append(_read(site, bucket, "Media", MEDIA_PREFIX, through_cdn=False))
    return statements


def is_public(statement: Mapping[str, Any]) -> bool:
    """Tell whether a statement lets anybody in, so that Block Public Access would refuse it.

    By S3's rule: S3 User Guide, "Blocking public access to your Amazon S3 storage", "The meaning of public".
    """
    if statement.get("Effect") != "Allow":
        return False
    principal = statement.get("Principal")
    if isinstance(principal, Mapping):
        principal = [name for name in _listed(principal.get("AWS", [])) if "*" in name]
    if not principal and "NotPrincipal" not in statement:
        return False
    return not any(
        _narrows(operator, key.lower(), _listed(values))
        for operator, keys in _mapping(statement.get("Condition")).items()
        for key, values in _mapping(keys).items()
    )


# Keys of conditions that S3 accepts as a limit, where their values have no wildcard.
_LIMITS = {
    *("aws:principalorgid", "aws:principalaccount", "aws:principalarn", "aws:userid"),
    *("aws:sourceaccount", "aws:sourcearn", "aws:sourceip", "aws:sourceowner", "aws:sourcevpc"),
    *("aws:sourcevpce", "s3:dataaccesspointaccount", "s3:dataaccesspointarn"),
}
_OPERATORS = {"stringequals", "stringequalsignorecase", "stringlike", "arnequals", "arnlike", "ipaddress"}


def _narrows(operator: str, key: str, values: list[str]) -> bool:
    if key not in _LIMITS or operator.lower().removeprefix("foranyvalue:") not in _OPERATORS:
        return False
    fixed = not any(mark in value for value in values for mark in ("*", "?", "$"))
    # Half the internet is no limit: S3 takes networks of /8 (IPv4) or /32 (IPv6) and smaller ones.
    return fixed and bool(values) and (key != "aws:sourceip" or all(map(_is_small, values)))


def _is_small(network: str) -> bool:
    try:
        found = ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
    return found.prefixlen >= (8 if found.version == 4 else 32)


def goes_beyond(statement: Mapping[str, Any], wanted: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether a statement lets anybody do what none of our statements lets anybody do."""
    if not is_public(statement):
        return False
    public = [str(ours["Resource"]) for ours in wanted if is_public(ours)]
    actions, resources = _listed(statement.get("Action", "*")), _listed(statement.get("Resource", "*"))
    return any(action.lower() != "s3:getobject" for action in actions) or any(
        not any(resource.startswith(prefix.removesuffix("*")) for prefix in public) for resource in resources
    )


def canonical(statement: Mapping[str, Any]) -> str:
    """Return a text that is the same for statements that mean the same: a list of one is its element."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: plain(each) for name, each in value.items()}
        if isinstance(value, list):
            return value[0] if len(value) == 1 else sorted(map(str, value))
        return value

    return json.dumps(plain(statement), sort_keys=True)


def in_words(statement: Mapping[str, Any]) -> str:
    """Return a statement as one line: who may, or may not, do what on which files, under which condition."""
    who = statement.get("Principal", statement.get("NotPrincipal"))
    if isinstance(who, Mapping):
        who = ", ".join(name for names in who.values() for name in _listed(names))
    who = "everybody" if who == "*" else who
    everybody_but = "everybody but " if "NotPrincipal" in statement else ""
    what = ", ".join(_listed(statement.get("Action") or f"all but {statement.get('NotAction')}"))
    where = _listed(statement.get("Resource") or f"all but {statement.get('NotResource')}")
    where = [text.rpartition(":")[2] for text in where]
    condition = f" if {json.dumps(statement['Condition'])}" if statement.get("Condition") else ""
    sid = f"{statement['Sid']}: " if statement.get("Sid") else ""
    verb = "may" if statement.get("Effect") == "Allow" else "may not"
    # Split and joined, for other people's texts may have line breaks.
    return " ".join(f"{sid}{everybody_but}{who} {verb} {what} on {', '.join(where)}{condition}".split())


def _listed(value: Any) -> list[str]:
    return [str(each) for each in (value if isinstance(value, list) else [value])]


def _mapping(value: Any) -> Mapping[str, Any]:
    # What is none, against the language of policies, limits nothing.
    return value if isinstance(value, Mapping) else {}


def _read(site: Site, bucket: str, what: str, prefix: str, *, through_cdn: bool) -> dict[str, Any]:
    statement: dict[str, Any] = {
        "Sid": f"{MARK}{what}Read",
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": site.arn(bucket, f"{prefix}*"),
    }
    if through_cdn:
        # Origin access control: CloudFront Developer Guide, "Restrict access to an Amazon S3 origin".
        statement["Principal"] = {"Service": "cloudfront.amazonaws.com"}
        statement["Condition"] = {"StringEquals": {"AWS:SourceArn": site.distribution}}
    return statement


@dataclass(frozen=True)
class Grant:
    """One statement of a role: its actions, each with what it is for, on its resources."""

    sid: str
    actions: Mapping[str, str]
    resource: str | tuple[str, ...]


# ListBucket has no condition on s3:prefix: a GET of a missing key carries no prefix, so that the condition
# would fail and S3 would answer 403 instead of 404.
_MISSING_IS_404 = "listing; and without it a missing key answers 403 instead of 404"


def web(site: Site) -> list[Grant]:
    """Return what the running site may do: read and write uploads, and read the list of static files."""
    objects = {
        "s3:GetObject": "read an upload, sign links to it",
        "s3:PutObject": "save an upload, in parts where it is large",
        "s3:DeleteObject": "delete an upload",
        "s3:AbortMultipartUpload": "leave no parts behind when a large upload fails",
    }
    if site.access == "public-read":
        objects["s3:PutObjectAcl"] = "make an upload public"
    pending = {
        "s3:GetObject": "look at what a browser sent straight to S3, and copy it where it is good",
        "s3:PutObject": "let a browser send just what the site has signed",
        "s3:DeleteObject": "delete it once it is accepted, refused or cancelled",
        "s3:AbortMultipartUpload": "leave no parts behind when it is cancelled",
        "s3:ListMultipartUploadParts": "see which parts have arrived, to go on from there",
    }
    return [
        Grant("Media", objects, site.arn(site.media_bucket, f"{MEDIA_PREFIX}*")),
        Grant("Pending", pending, site.arn(site.media_bucket, f"{PENDING_PREFIX}*")),
        Grant("MediaBucket", {"s3:ListBucket": _MISSING_IS_404}, site.arn(site.media_bucket)),
        Grant(
            "Manifest",
            {"s3:GetObject": "read which hashed name each static file has"},
            site.arn(site.static_bucket, MANIFEST),
        ),
    ]


def deploy(site: Site) -> list[Grant]:
    """Return what `collectstatic` may do: add static files; it can delete none."""
    objects = {
        "s3:GetObject": "read the manifest of the last deploy",
        "s3:PutObject": "upload static files, in parts where they are large",
        "s3:AbortMultipartUpload": "leave no parts behind when a large upload fails",
    }
    return [
        Grant("Static", objects, site.arn(site.static_bucket, f"{STATIC_PREFIX}*")),
        Grant("StaticBucket", {"s3:ListBucket": _MISSING_IS_404}, site.arn(site.static_bucket)),
        *_read_buckets(site),
    ]


def prune(site: Site) -> list[Grant]:
    """Return what `manage.py s3 prune` may do: remove static files that no manifest names any more."""
    bucket, manifests = site.static_bucket, (MANIFEST, f"{FOLDER}*")
    return [
        Grant(
            "Static", {"s3:DeleteObject": "remove what is not needed"}, site.arn(bucket, f"{STATIC_PREFIX}*")
        ),
        Grant(
            "Manifests",
            {"s3:GetObject": "read what the live and the kept manifests name"},
            tuple(site.arn(bucket, key) for key in manifests),
        ),
        Grant(
            "Marker",
            {"s3:PutObject": "let deploys know that it is at work"},
            site.arn(bucket, f"{MARKERS}*"),
        ),
        Grant("StaticBucket", {"s3:ListBucket": _MISSING_IS_404}, site.arn(bucket)),
    ]


def setup(site: Site) -> list[Grant]:
    """Return what `manage.py s3 plan` and `apply` may do: read and set up the buckets, and no object."""
    actions = {
        "s3:CreateBucket": "make a bucket that is not there",
        "s3:PutEncryptionConfiguration": "set what is encrypted, and how",
        "s3:PutLifecycleConfiguration": "remove uploads that never ended, or that nobody accepted",
        "s3:PutBucketCORS": "let the site's pages load fonts and modules, and send uploads",
        "s3:PutBucketAcl": "take away grants that keep ACLs from being turned off (--replace-conflicting)",
        "s3:PutBucketOwnershipControls": "turn ACLs off, or on for public-read",
        "s3:PutBucketPublicAccessBlock": "lift just the blocks that the access mode needs lifted",
        "s3:PutBucketPolicy": "say who may read what",
    }
    if site.versioning:
        actions["s3:PutBucketVersioning"] = "keep uploads that are overwritten or deleted"
    if site.at_desk:  # elsewhere the policy always has the statement that demands TLS
        actions["s3:DeleteBucketPolicy"] = "remove a policy that has no statement left"
    return [*_read_buckets(site), Grant("SetUpBuckets", actions, _bucket_arns(site))]


def _read_buckets(site: Site) -> list[Grant]:
    """Return what `manage.py s3 plan` reads."""
    actions = {
        "s3:GetBucketLocation": "find the bucket, and the region that it is in",
        "s3:GetEncryptionConfiguration": "compare the encryption",
        "s3:GetLifecycleConfiguration": "compare the lifecycle rules",
        "s3:GetBucketCORS": "compare the CORS rules",
        "s3:GetBucketAcl": "see grants that keep ACLs from being turned off",
        "s3:GetBucketOwnershipControls": "see whether ACLs are on",
        "s3:GetBucketPublicAccessBlock": "see what the bucket blocks",
        "s3:GetBucketPolicy": "compare the bucket's policy",
    }
    if site.versioning:
        actions["s3:GetBucketVersioning"] = "see whether versions are kept"
    grants = [Grant("ReadBuckets", actions, _bucket_arns(site))]
    if not site.endpoint:  # only AWS has accounts that block
        account = {"s3:GetAccountPublicAccessBlock": "see whether the whole account blocks public access"}
        grants.append(Grant("ReadAccount", account, "*"))
    return grants


def _bucket_arns(site: Site) -> tuple[str, ...]:
    return tuple(dict.fromkeys((site.arn(site.static_bucket), site.arn(site.media_bucket))))


ROLES = {"web": web, "deploy": deploy, "prune": prune, "setup": setup}

# Operations of the API whose action has another name; the others have the operation's.
_ACTIONS = {
    "HeadBucket": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "HeadObject": "GetObject",
    "DeleteObjects": "DeleteObject",
    "CopyObject": "PutObject",
    "ListParts": "ListMultipartUploadParts",
    "GetBucketCors": "GetBucketCORS",
    "PutBucketCors": "PutBucketCORS",
    "DeleteBucketCors": "PutBucketCORS",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
    "CompleteMultipartUpload": "PutObject",
}


def action(operation: str) -> str:
    """Return the action that a caller needs for an operation of the API, such as HeadBucket."""
    return f"s3:{_ACTIONS.get(operation, operation)}"


def document(grants: list[Grant]) -> dict[str, Any]:
    """Return the grants as an IAM policy document."""
    statements = [
        {
            "Sid": grant.sid,
            "Effect": "Allow",
            "Action": list(grant.actions),
            "Resource": grant.resource if isinstance(grant.resource, str) else list(grant.resource),
        }
        for grant in grants
    ]
    return {"Version": VERSION, "Statement": statements}


def explained(grants: list[Grant]) -> str:
    """Return the document to read: JSON knows no comments, and here each action has its reason beside it."""
    reasons = [item for grant in grants for item in grant.actions.items()]
    told = []
    for line in json.dumps(document(grants), indent=2).splitlines():
        is_next = bool(reasons) and line.strip().rstrip(",") == json.dumps(reasons[0][0])
        told.append((line, reasons.pop(0)[1] if is_next else ""))
    width = max(len(line) for line, reason in told if reason)
    return "\n".join(f"{line:<{width}}  // {reason}" if reason else line for line, reason in told)
