"""Who may do what, as data: the policies of the buckets, and the IAM policies of the site's own roles.

Resources are ARNs of the site's partition; no action has a wildcard but the TLS-only denial's. What each
action is for stands beside it, from the Service Authorization Reference, "Actions, resources, and condition
keys for Amazon S3", and the S3 User Guide, "Required permissions for Amazon S3 API operations".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from s3.client import MEDIA_PREFIX, STATIC_PREFIX

if TYPE_CHECKING:
    from s3.buckets import Site

VERSION = "2012-10-17"

# What marks a statement of a bucket policy as ours; all others are somebody else's.
MARK = "DjangoS3"

MANIFEST = f"{STATIC_PREFIX}staticfiles.json"


def bucket_policy(site: "Site", bucket: str) -> list[dict[str, Any]]:
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
    """Tell whether a statement of ours lets anybody in, so that Block Public Access would refuse it."""
    return bool(statement["Effect"] == "Allow" and statement["Principal"] == "*")


def _read(site: "Site", bucket: str, what: str, prefix: str, *, through_cdn: bool) -> dict[str, Any]:
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
    """One statement of a role: its actions, each with what it is for, on one resource."""

    sid: str
    actions: Mapping[str, str]
    resource: str


# ListBucket has no condition on s3:prefix: a GET of a missing key carries no prefix, so that the condition
# would fail and S3 would answer 403 instead of 404.
_MISSING_IS_404 = "listing; and without it a missing key answers 403 instead of 404"


def web(site: "Site") -> list[Grant]:
    """Return what the running site may do: read and write uploads, and read the list of static files."""
    objects = {
        "s3:GetObject": "read an upload, sign links to it",
        "s3:PutObject": "save an upload, in parts where it is large",
        "s3:DeleteObject": "delete an upload",
        "s3:AbortMultipartUpload": "leave no parts behind when a large upload fails",
    }
    if site.access == "public-read":
        objects["s3:PutObjectAcl"] = "make an upload public"
    return [
        Grant("Media", objects, site.arn(site.media_bucket, f"{MEDIA_PREFIX}*")),
        Grant("MediaBucket", {"s3:ListBucket": _MISSING_IS_404}, site.arn(site.media_bucket)),
        Grant(
            "Manifest",
            {"s3:GetObject": "read which hashed name each static file has"},
            site.arn(site.static_bucket, MANIFEST),
        ),
    ]


def deploy(site: "Site") -> list[Grant]:
    """Return what `collectstatic` may do: add static files; it can delete none."""
    objects = {
        "s3:GetObject": "read the manifest of the last deploy",
        "s3:PutObject": "upload static files, in parts where they are large",
        "s3:AbortMultipartUpload": "leave no parts behind when a large upload fails",
    }
    return [
        Grant("Static", objects, site.arn(site.static_bucket, f"{STATIC_PREFIX}*")),
        Grant("StaticBucket", {"s3:ListBucket": _MISSING_IS_404}, site.arn(site.static_bucket)),
    ]


def document(grants: list[Grant]) -> dict[str, Any]:
    """Return the grants as an IAM policy document."""
    statements = [
        {"Sid": grant.sid, "Effect": "Allow", "Action": list(grant.actions), "Resource": grant.resource}
        for grant in grants
    ]
    return {"Version": VERSION, "Statement": statements}
