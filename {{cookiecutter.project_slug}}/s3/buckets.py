"""The wanted state of the buckets, as data that follows from the settings, and its creation.

`wanted` says what each bucket shall be. `ASPECTS` is the one table of how each part of it is read, joined
with what is there, and written. `prepare` brings buckets there and touches nothing that is as wanted.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError
from django.conf import settings

from s3 import bucket_names, policies
from s3.client import partition

# What marks a CORS or lifecycle rule as ours; all others are somebody else's and stay.
MARK = "django-s3-"

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
DESK_ORIGINS = ("http://127.0.0.1:*", "http://localhost:*")


class BucketError(Exception):
    """A bucket could not be made as wanted; the text is one line for a person."""


@dataclass(frozen=True)
class Site:
    """All that the buckets and policies depend on; blank texts are unset."""

    region: str
    static_bucket: str
    media_bucket: str
    access: str = "private"
    endpoint: str = ""
    origins: tuple[str, ...] = ()
    distribution: str = ""
    media_domain: str = ""
    versioning: bool = False
    owner: str = ""

    @classmethod
    def from_settings(cls) -> "Site":
        """Return the site that Django's settings describe, whether or not USE_S3 is on."""
        return cls(
            region=settings.AWS_S3_REGION_NAME,
            static_bucket=settings.AWS_STATIC_BUCKET_NAME,
            media_bucket=settings.AWS_MEDIA_BUCKET_NAME,
            access=settings.AWS_MEDIA_ACCESS,
            endpoint=settings.AWS_S3_ENDPOINT_URL,
            origins=tuple(settings.SITE_ORIGINS),
            distribution=settings.AWS_CLOUDFRONT_DISTRIBUTION_ARN,
            media_domain=settings.AWS_MEDIA_CUSTOM_DOMAIN,
            versioning=settings.AWS_MEDIA_VERSIONING,
            owner=settings.AWS_EXPECTED_BUCKET_OWNER,
        )

    @property
    def at_desk(self) -> bool:
        """Whether the endpoint is plain http on this machine: nothing else goes without TLS."""
        parts = urlsplit(self.endpoint)
        return parts.scheme == "http" and parts.hostname in LOOPBACK

    @property
    def media_through_cdn(self) -> bool:
        """Whether visitors get uploads from the CloudFront distribution, and only from there."""
        return bool(self.distribution and self.media_domain) and self.access != "public-read"

    def arn(self, bucket: str, key: str = "") -> str:
        """Return the ARN of a bucket, or of its objects, in the region's partition."""
        return f"arn:{partition(self.region)}:s3:::{bucket}" + (f"/{key}" if key else "")


@dataclass(frozen=True)
class Want:
    """What one aspect of a bucket shall be, as boto3 writes it, and why."""

    value: Any
    reason: str


@dataclass(frozen=True)
class Bucket:
    """The wanted state of one bucket: by title of `ASPECTS`; what is not named is left alone."""

    name: str
    aspects: Mapping[str, Want]


def wanted(site: Site) -> list[Bucket]:
    """Return the wanted state: two buckets, or one where both names are the same."""
    return [
        Bucket(name, _aspects(site, name)) for name in dict.fromkeys((site.static_bucket, site.media_bucket))
    ]


def _aspects(site: Site, bucket: str) -> dict[str, Want]:
    is_static, is_media = bucket == site.static_bucket, bucket == site.media_bucket
    acls = is_media and site.access == "public-read"
    statements = policies.bucket_policy(site, bucket)
    public = [statement["Sid"] for statement in statements if policies.is_public(statement)]
    why_public = f"the policy makes files public ({' and '.join(public)})"

    aspects = {
        "encryption": Want("AES256", "what is stored is encrypted, with keys that S3 keeps"),
        "lifecycle": Want(
            [
                {
                    "ID": f"{MARK}incomplete-uploads",
                    "Status": "Enabled",
                    "Filter": {"Prefix": ""},
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
                }
            ],
            "the parts of uploads that never ended cost money until they are removed",
        ),
        "cors": Want(
            _cors(site) if is_static else [],
            "browsers load fonts and modules from another origin only where it allows the site's"
            if is_static
            else "pictures and downloads need none",
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
                    "public ACLs are let through: AWS_MEDIA_ACCESS is public-read"
                    if acls
                    else "no public ACL",
                    f"public policies are let through: {why_public}" if public else "no public policy",
                ]
            ),
        ),
        "policy": Want(
            statements,
            " and ".join(
                ([] if site.at_desk else ["only over TLS"])
                + (
                    [why_public]
                    if public
                    else ["nobody but the account" + " and CloudFront" * bool(site.distribution)]
                )
            ),
        ),
    }
    if is_media and site.versioning:
        aspects["versioning"] = Want("Enabled", "AWS_MEDIA_VERSIONING is on")
    return aspects


def _cors(site: Site) -> list[dict[str, Any]]:
    origins = [*site.origins, *(DESK_ORIGINS if site.at_desk else ())]
    if not origins:
        return []
    return [
        {
            "ID": f"{MARK}static",
            "AllowedOrigins": origins,
            "AllowedMethods": ["GET", "HEAD"],
            "MaxAgeSeconds": 3600,
        }
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


def _read_encryption(client: Any, bucket: Mapping[str, str]) -> Any:
    rules = _unless_unset(
        lambda: client.get_bucket_encryption(**bucket)["ServerSideEncryptionConfiguration"]["Rules"],
        "ServerSideEncryptionConfigurationNotFoundError",
        [],
    )
    return rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] if rules else None


def _write_encryption(client: Any, bucket: Mapping[str, str], value: Any) -> None:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": value}}
    client.put_bucket_encryption(**bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})


def _write_cors(client: Any, bucket: Mapping[str, str], value: Any) -> None:
    if value:
        client.put_bucket_cors(**bucket, CORSConfiguration={"CORSRules": value})
    else:
        client.delete_bucket_cors(**bucket)


def _read_policy(client: Any, bucket: Mapping[str, str]) -> Any:
    text = _unless_unset(lambda: client.get_bucket_policy(**bucket)["Policy"], "NoSuchBucketPolicy")
    statements = json.loads(text)["Statement"] if text else []
    return [statements] if isinstance(statements, dict) else statements


def _write_policy(client: Any, bucket: Mapping[str, str], value: Any) -> None:
    if value:
        document = {"Version": policies.VERSION, "Statement": value}
        client.put_bucket_policy(**bucket, Policy=json.dumps(document))
    else:
        client.delete_bucket_policy(**bucket)


# In this order: what opens a bucket comes last, and each step that opens waits behind one that still closes.
# ACLs are enabled while public ones are blocked; the block is lifted while no policy opens anything. The
# other way round, the block closes before the policy goes.
ASPECTS = {
    "encryption": Aspect(_read_encryption, _write_encryption),
    "lifecycle": Aspect(
        lambda client, bucket: _unless_unset(
            lambda: client.get_bucket_lifecycle_configuration(**bucket)["Rules"],
            "NoSuchLifecycleConfiguration",
            [],
        ),
        lambda client, bucket, value: client.put_bucket_lifecycle_configuration(
            **bucket, LifecycleConfiguration={"Rules": value}
        ),
        _join_marked("ID", MARK),
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
    "policy": Aspect(_read_policy, _write_policy, _join_marked("Sid", policies.MARK)),
}


def prepare(client: Any, site: Site) -> list[tuple[str, str]]:
    """Bring the site's buckets to the wanted state.

    Returns what was changed, as (bucket, "bucket" or the title of an aspect): only what differs is written,
    so that running it again changes nothing. The client needs an administrator's rights. A failure in the
    middle leaves no bucket more open than it was, as `ASPECTS` explains, and raises BucketError.
    """
    changed = []
    for bucket in wanted(site):
        doing = "bucket"
        try:
            if _create(client, site, bucket.name):
                changed.append((bucket.name, doing))
            named = {"Bucket": bucket.name} | ({"ExpectedBucketOwner": site.owner} if site.owner else {})
            for doing, aspect in ASPECTS.items():
                if doing not in bucket.aspects:
                    continue
                live = aspect.read(client, named)
                joined = aspect.join(live, bucket.aspects[doing].value)
                if joined != live:
                    aspect.write(client, named, joined)
                    changed.append((bucket.name, doing))
        except ClientError as error:
            code, message = error.response["Error"].get("Code"), error.response["Error"].get("Message")
            raise BucketError(
                f"Bucket {bucket.name}, {doing}: {error.operation_name} was refused: {code}: {message}"
            ) from error
    return changed


def _create(client: Any, site: Site, name: str) -> bool:
    """Create the bucket, as closed as AWS makes new ones; return False where it is there already.

    It is looked for first, because in us-east-1 creating one's own bucket again succeeds and resets its ACL.
    """
    owner = {"ExpectedBucketOwner": site.owner} if site.owner else {}
    try:
        client.head_bucket(Bucket=name, **owner)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
    else:
        return False
    arguments: dict[str, Any] = {"Bucket": name}
    if site.region != "us-east-1":  # which is no valid constraint
        arguments["CreateBucketConfiguration"] = {"LocationConstraint": site.region}
    shape = client.meta.service_model.operation_model("CreateBucket").input_shape
    if bucket_names.is_account_regional(name) and "BucketNamespace" in shape.members:
        arguments["BucketNamespace"] = "account-regional"
    client.create_bucket(**arguments)
    return True
