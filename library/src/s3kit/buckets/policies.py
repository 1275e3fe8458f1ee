"""Permissions as data: the bucket policies, and the IAM policies of the site's roles.

Resources are ARNs in the site's partition. Only the statement that requires TLS has a wildcard action. Each action
has its purpose next to it. Sources: Service Authorization Reference, "Actions, resources, and condition keys for
Amazon S3"; S3 User Guide, "Required permissions for Amazon S3 API operations".
"""

import ipaddress
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from s3kit import encryption
from s3kit.deployment import PENDING_PREFIX, Bucket, Deployment, Location, arn
from s3kit.publishing.history import FOLDER, MARKERS
from s3kit.terminal import wrap

VERSION = "2012-10-17"

# With this object, `apply` tests whether a server other than AWS can store encrypted objects.
PROBE = f"{PENDING_PREFIX}.s3kit-probe"

# Marks a statement of a bucket policy as ours; all others belong to other people.
MARK = "DjangoS3"

# The bucket ACLs that `apply` writes: without and with S3's log delivery.
CLOSED_ACLS = ("private", "log-delivery-write")


def bucket_policy(bucket: Bucket) -> list[dict[str, Any]]:
    """Return our statements in a bucket's policy, each with a Sid that begins with `MARK`."""
    statements: list[dict[str, Any]] = []
    if not bucket.target.is_loopback:
        statements.append(
            {
                "Sid": f"{MARK}TlsOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [bucket.arn(), bucket.arn("*")],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        )
    for sid, location in sids(bucket.locations):
        if location.through_cdn or location.kind == "static" or location.access == "public-policy":
            statements.append(_read(f"{MARK}{sid}Read", location))
    return statements


def sids(locations: Sequence[Location]) -> list[tuple[str, Location]]:
    """Return each location with a name for statements about it: Static, Media, MediaAvatars, ..."""
    found, taken = [], set()
    for location in locations:
        kind = location.kind.capitalize()
        default = location.alias in {"staticfiles", "default"}
        words = "" if default else "".join(w.capitalize() for w in re.findall("[A-Za-z0-9]+", location.alias))
        sid = f"{kind}{words}"
        while sid in taken:
            sid += "2"
        taken.add(sid)
        found.append((sid, location))
    return found


def is_public(statement: Mapping[str, Any]) -> bool:
    """Return whether a statement is public, so that Block Public Access rejects it.

    See S3 User Guide, "Blocking public access to your Amazon S3 storage", "The meaning of public".
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


# Condition keys that make a statement non-public for S3, if their values have no wildcards.
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
    # Half the internet is public: S3 accepts networks of /8 (IPv4) or /32 (IPv6) and smaller.
    return fixed and bool(values) and (key != "aws:sourceip" or all(map(_is_small, values)))


def _is_small(network: str) -> bool:
    try:
        found = ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
    return found.prefixlen >= (8 if found.version == 4 else 32)


def goes_beyond(
    statement: Mapping[str, Any],
    wanted: Sequence[Mapping[str, Any]],
    accounts: Collection[str] | None = None,
) -> bool:
    """Return whether a statement grants the public more than the wanted statements do.

    With `accounts`, also whether it grants more to any other account.
    """
    if not (is_public(statement) or (accounts is not None and lets_others_in(statement, accounts))):
        return False
    public = [str(ours["Resource"]) for ours in wanted if is_public(ours)]
    actions, resources = _listed(statement.get("Action", "*")), _listed(statement.get("Resource", "*"))
    return any(action.lower() != "s3:getobject" for action in actions) or any(
        not any(resource.startswith(prefix.removesuffix("*")) for prefix in public) for resource in resources
    )


def lets_others_in(statement: Mapping[str, Any], accounts: Collection[str] = ()) -> bool:
    """Return whether a statement grants something to anyone but these accounts and AWS's services.

    Principals whose account isn't known count as others: federated and canonical users, origin access identities.
    """
    if statement.get("Effect") != "Allow":
        return False
    principal = statement.get("Principal")
    kinds = principal if isinstance(principal, Mapping) else {"AWS": principal}
    names = [name for kind, each in kinds.items() if kind != "Service" for name in _listed(each)]
    if "NotPrincipal" not in statement and all(_account(name) in accounts for name in names):
        return False
    return not any(
        key.lower() == "aws:principalaccount"
        and operator.lower() in {"stringequals", "stringequalsignorecase"}
        and set(_listed(values)) <= set(accounts)
        and values != []
        for operator, keys in _mapping(statement.get("Condition")).items()
        for key, values in _mapping(keys).items()
    )


def _account(principal: str) -> str:
    """Return the account number of a principal, or "" if it doesn't contain one."""
    found = re.fullmatch(r"(?:arn:[a-z-]+:(?:iam|sts)::)?([0-9]{12})(?::.*)?", principal, re.DOTALL)
    return found[1] if found else ""


def rejects(statement: Mapping[str, Any], resource: str, sent: Mapping[str, str]) -> bool:
    """Return whether a statement may deny storing an object (its ARN) because of its encryption.

    `sent` are the encryption headers of the request. Principals and other conditions are taken to match. See IAM
    User Guide, "IAM JSON policy elements: Condition operators".
    """
    conditions = [
        (operator.lower(), key.lower(), _listed(values))
        for operator, keys in _mapping(statement.get("Condition")).items()
        for key, values in _mapping(keys).items()
    ]
    headers = {f"s3:{name}": sent.get(name) for name in (encryption.HEADER, encryption.KEY_HEADER)}
    return (
        statement.get("Effect") == "Deny"
        and any(key in headers for _, key, _ in conditions)
        and _names(statement, "Action", "s3:PutObject")
        and _names(statement, "Resource", resource)
        and all(
            key not in headers or _holds(operator, headers[key], values)
            for operator, key, values in conditions
        )
    )


def _names(statement: Mapping[str, Any], element: str, name: str) -> bool:
    """Return whether a statement's element, such as Action or NotAction, covers a name."""
    if element in statement:
        return any(_is_like(pattern, name) for pattern in _listed(statement[element]))
    return not any(_is_like(pattern, name) for pattern in _listed(statement.get(f"Not{element}", [])))


def _is_like(pattern: str, text: str) -> bool:
    found = "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern)
    return re.fullmatch(found, text, re.IGNORECASE | re.DOTALL) is not None


def _holds(operator: str, value: str | None, wanted: list[str]) -> bool:
    """Return whether a condition holds for the value of a header, None for a missing one."""
    operator = operator.rpartition(":")[2]
    if operator == "null":
        return (value is None) == (wanted[0].lower() == "true")
    if value is None:
        return "not" in operator or operator.endswith("ifexists")
    return any(_is_like(pattern, value) for pattern in wanted) != ("not" in operator)


def canonical(statement: Mapping[str, Any]) -> str:
    """Return a text that is the same for statements that mean the same."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: plain(each) for name, each in value.items()}
        if isinstance(value, list):
            return value[0] if len(value) == 1 else sorted(map(str, value))
        return value

    return json.dumps(plain(statement), sort_keys=True)


def in_words(statement: Mapping[str, Any]) -> str:
    """Return a statement on one line, such as "allow everyone s3:GetObject on bucket/static/*"."""
    who = statement.get("Principal", statement.get("NotPrincipal"))
    if isinstance(who, Mapping):
        who = ", ".join(name for names in who.values() for name in _listed(names))
    who = "everyone" if who == "*" else who
    except_for = "everyone but " if "NotPrincipal" in statement else ""
    what = ", ".join(_listed(statement.get("Action") or f"all but {statement.get('NotAction')}"))
    where = _listed(statement.get("Resource") or f"all but {statement.get('NotResource')}")
    where = [text.rpartition(":")[2] for text in where]
    condition = f" if {_condition_in_words(statement['Condition'])}" if statement.get("Condition") else ""
    sid = f"{statement['Sid']}: " if statement.get("Sid") else ""
    verb = "allow" if statement.get("Effect") == "Allow" else "deny"
    # Split and join, because other people's texts may contain line breaks.
    return " ".join(f"{sid}{verb} {except_for}{who} {what} on {', '.join(where)}{condition}".split())


def _condition_in_words(condition: Any) -> str:
    if not isinstance(condition, Mapping) or not all(
        isinstance(each, Mapping) for each in condition.values()
    ):
        return json.dumps(condition)
    return " and ".join(
        f"{key} is {' or '.join(_listed(value))} ({operator})"
        for operator, keys in condition.items()
        for key, value in keys.items()
    )


def _listed(value: Any) -> list[str]:
    return [str(each) for each in (value if isinstance(value, list) else [value])]


def _mapping(value: Any) -> Mapping[str, Any]:
    # Anything else is invalid and limits nothing.
    return value if isinstance(value, Mapping) else {}


def _read(sid: str, location: Location) -> dict[str, Any]:
    statement: dict[str, Any] = {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": location.arn(),
    }
    if location.through_cdn:
        # Origin access control: CloudFront Developer Guide, "Restrict access to an Amazon S3 origin".
        statement["Principal"] = {"Service": "cloudfront.amazonaws.com"}
        statement["Condition"] = {"StringEquals": {"AWS:SourceArn": location.distribution}}
    return statement


@dataclass(frozen=True)
class Grant:
    """One statement of a role's policy: actions, each with its purpose, on resources."""

    sid: str
    actions: Mapping[str, str]
    resource: str | tuple[str, ...]
    condition: Mapping[str, Mapping[str, str | list[str]]] = field(default_factory=dict)
    effect: Literal["Allow", "Deny"] = "Allow"


# ListBucket has no condition on s3:prefix: a GET of a missing key has no prefix, so the condition would fail and S3
# would return 403 instead of 404.
_MISSING_IS_404 = "list objects; without it, S3 returns 403 instead of 404 for a missing key"


_LIST_BUCKET = {"s3:ListBucket": _MISSING_IS_404}


def manifest(deployment: Deployment, location: Location) -> str:
    """Return the ARN of the manifest in a location of static files."""
    storage = deployment.storages.get(location.alias)
    return location.arn(getattr(storage, "manifest_name", "staticfiles.json"))


# Headers of a request that grant rights to others than the object's owner.
_GRANT_HEADERS = tuple(
    f"s3:x-amz-grant-{right}" for right in ("full-control", "read", "read-acp", "write", "write-acp")
)
# With ACLs on, an upload has the ACL public-read or none. Parts and the request that completes them have no ACL
# header. AWS also requires PutObjectAcl; other servers check only this.
_ACL_IF_ANY = {
    "StringEqualsIfExists": {"s3:x-amz-acl": "public-read"},
    "Null": dict.fromkeys(_GRANT_HEADERS, "true"),
}
_NO_ACL = {"Null": dict.fromkeys(("s3:x-amz-acl", *_GRANT_HEADERS), "true")}


def _only_ours(deployment: Deployment, grants: list[Grant]) -> list[Grant]:
    """Return the grants, limited to buckets of the caller's account or of AWS_EXPECTED_BUCKET_OWNER.

    Anyone may create a bucket of the same name in another account. Servers other than AWS don't know the condition.
    """
    targets = [bucket.target for bucket in deployment.buckets]
    if any(target.endpoint for target in targets):
        return grants
    owners = sorted({target.owner or "${aws:PrincipalAccount}" for target in targets})
    ours = {"aws:ResourceAccount": owners[0] if len(owners) == 1 else owners}
    return [
        replace(
            grant,
            condition={
                **grant.condition,
                "StringEquals": {**grant.condition.get("StringEquals", {}), **ours},
            },
        )
        for grant in grants
    ]


def web(deployment: Deployment) -> list[Grant]:
    """Return the grants of the running site: read and write uploads, and read the manifest."""
    pending = {
        "s3:GetObject": "check a direct upload, and copy it once accepted",
        "s3:PutObject": "let browsers upload directly what the site has signed, and nothing else",
        "s3:DeleteObject": "delete a direct upload once accepted, rejected, or canceled",
        "s3:AbortMultipartUpload": "delete the parts of a canceled upload",
        "s3:ListMultipartUploadParts": "list the parts that have arrived, to resume an upload",
    }
    grants = []
    for sid, location in sids(deployment.media):
        objects = {
            "s3:GetObject": "read uploads, and sign links to them",
            "s3:PutObject": "store uploads, in parts if large",
            "s3:DeleteObject": "delete uploads",
            "s3:AbortMultipartUpload": "delete the parts of a failed upload",
        }
        if location.access == "public-read":
            put = {"s3:PutObject": objects.pop("s3:PutObject")}
            acl, public = {"s3:PutObjectAcl": "make uploads public"}, {"s3:x-amz-acl": "public-read"}
            grants.append(Grant(f"Put{sid}", put, location.arn(), _ACL_IF_ANY))
            grants.append(Grant(f"Acl{sid}", acl, location.arn(), {"StringEquals": public}))
        grants.append(Grant(sid, objects, location.arn()))
    buckets = [bucket for bucket in deployment.buckets if bucket.media]
    if arns := tuple(bucket.arn(f"{PENDING_PREFIX}*") for bucket in buckets if bucket.direct_uploads):
        if any(location.access == "public-read" for location in deployment.media):
            put = {"s3:PutObject": pending.pop("s3:PutObject")}
            grants.append(Grant("PutPending", put, arns, _NO_ACL))
        grants.append(Grant("Pending", pending, arns))
    if buckets:
        # No location can have this Sid, whatever its alias.
        grants.append(Grant("ListMedia", _LIST_BUCKET, tuple(bucket.arn() for bucket in buckets)))
    if manifests := tuple(manifest(deployment, each) for each in deployment.static_locations):
        reason = {"s3:GetObject": "read the manifest, which has the hashed name of each static file"}
        grants.append(Grant("Manifest", reason, manifests))
    return [
        *_only_ours(deployment, grants),
        *_keys("MediaKeys", deployment.media, {"kms:GenerateDataKey": _ENCRYPT, "kms:Decrypt": _DECRYPT}),
        *_keys("ManifestKeys", deployment.static_locations, {"kms:Decrypt": "read the manifest"}),
    ]


_ENCRYPT = "encrypt objects"
_DECRYPT = "read objects, and complete multipart uploads"


def _keys(sid: str, locations: Sequence[Location], actions: Mapping[str, str]) -> list[Grant]:
    """Return the grants on the KMS keys of locations, for use through S3 only.

    A key may belong to another account than the buckets.
    """
    from s3kit.clients import dns_suffix

    found = [each for each in locations if encryption.key(each.target.encryption)]
    # AWS doesn't document which of the two names applies outside the partition aws.
    services = [
        f"s3.{each.target.region}.{suffix}"
        for each in found
        for suffix in ("amazonaws.com", dns_suffix(each.target.region))
    ]
    keys = tuple(dict.fromkeys(encryption.key(each.target.encryption) for each in found))
    condition = {"StringEquals": {"kms:ViaService": list(dict.fromkeys(services))}}
    return [Grant(sid, actions, keys, condition)] if found else []


def deploy(deployment: Deployment) -> list[Grant]:
    """Return the grants of `collectstatic` and `plan`: add static files, but never delete any."""
    objects = {
        "s3:GetObject": "read the manifest of the last deploy",
        "s3:PutObject": "upload static files, in parts if large",
        "s3:AbortMultipartUpload": "delete the parts of a failed upload",
    }
    return [
        *_only_ours(deployment, _static(deployment, objects)),
        *_keys(
            "StaticKeys",
            deployment.static_locations,
            {"kms:GenerateDataKey": _ENCRYPT, "kms:Decrypt": _DECRYPT},
        ),
        *_read_buckets(deployment),
    ]


def prune(deployment: Deployment) -> list[Grant]:
    """Return the grants of `manage.py s3 prune`: delete static files that no manifest names anymore."""
    static = deployment.static_locations
    if not static:
        return []
    live = tuple(manifest(deployment, each) for each in static)
    manifests = (*live, *(each.arn(f"{FOLDER}*") for each in static))
    grants = [
        *_static(deployment, {"s3:DeleteObject": "delete old static files"}),
        Grant("Manifests", {"s3:GetObject": "read the live and the old manifests"}, manifests),
        Grant(
            "Marker",
            {"s3:PutObject": "tell deploys that a prune is running"},
            tuple(location.arn(f"{MARKERS}*") for location in static),
        ),
    ]
    keep = {"s3:DeleteObject": "never the live manifest: the site can't start without it"}
    return [
        *_only_ours(deployment, grants),
        *_keys(
            "StaticKeys",
            static,
            {"kms:GenerateDataKey": "encrypt the marker", "kms:Decrypt": "read the manifests"},
        ),
        Grant("KeepManifest", keep, live, effect="Deny"),
    ]


def access(deployment: Deployment) -> list[Grant]:
    """Return the grants of `manage.py s3 access`: read the ACLs of uploads, and set the wanted one."""
    media = sids(deployment.media)
    buckets = tuple(dict.fromkeys(arn(each.target, each.bucket) for _, each in media))
    grants = [Grant("ListMedia", _LIST_BUCKET, buckets)] if buckets else []
    for sid, location in media:
        actions = {"s3:GetObjectAcl": "see whether an upload is public"}
        acl = {"s3:PutObjectAcl": f"set the ACL {canned_acl(location)}, and no other"}
        # Other servers may not evaluate the header here; MiniStack doesn't.
        condition = {"StringEquals": {"s3:x-amz-acl": canned_acl(location)}}
        grants.append(Grant(sid, actions, location.arn()))
        grants.append(Grant(f"Acl{sid}", acl, location.arn(), {} if location.target.endpoint else condition))
    return _only_ours(deployment, grants)


def canned_acl(location: Location) -> Literal["public-read", "private"]:
    """Return the ACL of uploads, for buckets with ACLs on."""
    return "public-read" if location.access == "public-read" else "private"


def _static(deployment: Deployment, objects: Mapping[str, str]) -> list[Grant]:
    static = deployment.static_locations
    if not static:
        return []
    buckets = tuple(bucket.arn() for bucket in deployment.buckets if bucket.static)
    return [
        Grant("Static", objects, tuple(location.arn() for location in static)),
        Grant("ListStatic", _LIST_BUCKET, buckets),
    ]


def setup(deployment: Deployment) -> list[Grant]:
    """Return the grants of `manage.py s3 plan` and `apply`: set up the buckets; on AWS, no access to objects.

    IAM can't limit the contents of a bucket policy or of lifecycle rules: anyone with these rights can make all
    objects public, or let them expire.
    """
    actions = {
        "s3:PutEncryptionConfiguration": "set the default encryption",
        "s3:PutLifecycleConfiguration": "expire unfinished and unaccepted uploads",
        "s3:PutBucketCORS": "let the site's pages load fonts and modules, and upload files",
        "s3:PutBucketOwnershipControls": "turn ACLs off, or on for public-read",
        "s3:PutBucketPublicAccessBlock": "turn off only the blocks that the access mode needs off",
        "s3:PutBucketPolicy": "set who may read which files",
    }
    if any(bucket.tags for bucket in deployment.buckets):
        actions["s3:PutBucketTagging"] = "set bucket_tags, and keep other tags"
    if any(bucket.versioning for bucket in deployment.buckets):
        actions["s3:PutBucketVersioning"] = "keep versions of overwritten and deleted uploads"
    if any(bucket.target.is_loopback for bucket in deployment.buckets):
        # elsewhere the policy always has the statement that requires TLS
        actions["s3:DeleteBucketPolicy"] = "delete a policy that has no statements left"
    acl = {"s3:PutBucketAcl": "remove grants to others (--replace-conflicting)"}
    # Not with an endpoint: MiniStack doesn't evaluate the header.
    closed = {"StringEquals": {"s3:x-amz-acl": [*CLOSED_ACLS]}}
    condition = {} if any(bucket.target.endpoint for bucket in deployment.buckets) else closed
    buckets = _bucket_arns(deployment)
    grants = _only_ours(
        deployment, [Grant("SetUpBuckets", actions, buckets), Grant("CloseAcls", acl, buckets, condition)]
    )
    # No condition on the account: a missing bucket has none.
    create = Grant("CreateBuckets", {"s3:CreateBucket": "create missing buckets"}, buckets)
    grants = [*_read_buckets(deployment), create, *grants]
    probes = {
        "s3:PutObject": "test whether the server can store encrypted objects",
        "s3:DeleteObject": "delete the test object",
    }
    # Not on AWS, which always has keys.
    if probed := tuple(bucket.arn(PROBE) for bucket in deployment.buckets if bucket.target.endpoint):
        grants.append(Grant("ProbeEncryption", probes, probed))
    return grants


def _read_buckets(deployment: Deployment) -> list[Grant]:
    """Return the grants of `manage.py s3 plan`; HeadBucket needs none to find a bucket's region."""
    actions = {
        "s3:GetEncryptionConfiguration": "compare the encryption",
        "s3:GetLifecycleConfiguration": "compare the lifecycle rules",
        "s3:GetBucketCORS": "compare the CORS rules",
        "s3:GetBucketAcl": "find grants that prevent turning ACLs off",
        "s3:GetBucketOwnershipControls": "see whether ACLs are on",
        "s3:GetBucketPublicAccessBlock": "compare the public access block",
        "s3:GetBucketPolicy": "compare the bucket's policy",
    }
    if any(bucket.tags for bucket in deployment.buckets):
        actions["s3:GetBucketTagging"] = "compare the tags"
    if any(bucket.versioning for bucket in deployment.buckets):
        actions["s3:GetBucketVersioning"] = "see whether versioning is on"
    grants = _only_ours(deployment, [Grant("ReadBuckets", actions, _bucket_arns(deployment))])
    if not all(
        bucket.target.endpoint for bucket in deployment.buckets
    ):  # other servers have no account-wide block
        account = {"s3:GetAccountPublicAccessBlock": "see whether the whole account blocks public access"}
        grants.append(Grant("ReadAccount", account, "*"))
    return grants


def _bucket_arns(deployment: Deployment) -> tuple[str, ...]:
    return tuple(dict.fromkeys(bucket.arn() for bucket in deployment.buckets))


ROLES = {"web": web, "deploy": deploy, "prune": prune, "setup": setup, "access": access}

# API operations whose IAM action has another name.
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
    """Return the IAM action for an API operation, such as HeadBucket."""
    return f"s3:{_ACTIONS.get(operation, operation)}"


def document(grants: list[Grant]) -> dict[str, Any]:
    """Return the grants as an IAM policy document."""
    statements = [
        {
            "Sid": grant.sid,
            "Effect": grant.effect,
            "Action": list(grant.actions),
            "Resource": _one_or_many(grant.resource),
            **({"Condition": grant.condition} if grant.condition else {}),
        }
        for grant in grants
    ]
    return {"Version": VERSION, "Statement": statements}


def _one_or_many(resource: str | tuple[str, ...]) -> str | list[str]:
    found = [resource] if isinstance(resource, str) else list(resource)
    return found[0] if len(found) == 1 else found


def explained(grants: list[Grant]) -> str:
    """Return the policy document with the purpose of each action in a comment, so not as valid JSON."""
    reasons = [item for grant in grants for item in grant.actions.items()]
    lines = []
    for line in json.dumps(document(grants), indent=2).splitlines():
        is_next = bool(reasons) and line.strip().rstrip(",") == json.dumps(reasons[0][0])
        lines.append((line, reasons.pop(0)[1] if is_next else ""))
    width = max(len(line) for line, reason in lines if reason)
    comment, more = "  // ", f"{'':<{width}}  // "
    return "\n".join(
        part
        for line, reason in lines
        for part in (wrap(reason, f"{line:<{width}}{comment}", more) if reason else [line])
    )
