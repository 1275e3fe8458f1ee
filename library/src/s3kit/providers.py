"""Other S3 servers than AWS: what each can do, as data with its sources.

A profile is chosen by the host of the endpoint, or by the option `provider`. The code asks it four things: the
region that the host stands for, what buckets there cannot have (`lacks`), whether "If-None-Match" is obeyed
(`conditional_writes`), and which actions of lifecycle rules are left out. What no profile says is learned from
the server's answers. docs/providers.md is made of the rest: `python -m tests.providers`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import urlsplit

# The titles of `s3kit.buckets.wanted.ASPECTS`, then what objects can have. Each with what a site loses without.
TOPICS: Mapping[str, str] = {
    "encryption": "no default encryption can be set: what is stored is encrypted only if the server does so itself",
    "lifecycle": "uploads that nobody accepts, and parts of uploads that never ended, stay until you delete them",
    "versioning": "the option versioning is rejected: what is overwritten or deleted is gone",
    "cors": "browsers upload directly, and load fonts and modules, only if the server allows the site's origins itself",
    "policy": "no policy can demand TLS or make files public: public files need a custom_domain",
    "public access block": "nothing keeps the owner of the bucket from making it public by mistake",
    "ownership": "ACLs cannot be turned off, so that whoever may set an ACL can make an object public",
    "bucket ACL": "grants to others cannot be looked for in the bucket's ACL",
    "tags": "the option bucket_tags is passed over: bills can't be told apart by tags",
    "object ACLs": "the access public-read is rejected: no single upload can be made public",
    "conditional writes": "of two that create one name at once, the last wins",
    "direct uploads": "browsers send files through the site: turn direct_uploads off",
}


@dataclass(frozen=True)
class Fact:
    """What a provider says of a topic. `source` is the page, issue or line of code that says so."""

    answer: Literal["yes", "partly", "no"]
    source: str
    note: str = ""


@dataclass(frozen=True)
class Provider:
    """A profile. Topics without a fact are not known."""

    name: str
    """The value of the option `provider`."""
    title: str = "this server"
    endpoint: str = ""
    """The form of an endpoint, for the page."""
    hosts: Mapping[str, str] = field(default_factory=dict)
    """Patterns of the endpoint's host; each with the region, "" where the group `region` has it or nothing does."""
    regions: str = ""
    """What the page says of regions, with the source."""
    keys: str = ""
    """What the page says of access keys, with the source."""
    public: str = ""
    """What the page says of how visitors read public files, with the source."""
    facts: Mapping[str, Fact] = field(default_factory=dict)
    drops: frozenset[str] = frozenset()
    """Parts of settings that are left out, since the server passes over them, rejects them or gets them wrong."""

    def lacks(self, topic: str) -> bool:
        """Tell whether the provider says that it does not have this; False where nothing is known."""
        return topic in self.facts and self.facts[topic].answer == "no"

    def without_dropped(self, rule: Mapping[str, Any]) -> dict[str, Any]:
        """Return a lifecycle rule without the actions that mean nothing here."""
        dropped = self.drops | ({"NoncurrentVersionExpiration"} if self.lacks("versioning") else frozenset())
        return {name: value for name, value in rule.items() if name not in dropped}

    @property
    def conditional_writes(self) -> bool | None:
        """Whether PutObject obeys "If-None-Match"; None where nothing is known, or not of all its versions."""
        answer = self.facts.get("conditional writes")
        return {"yes": True, "no": False}.get(answer.answer) if answer else None

    def region_of(self, host: str) -> str:
        """Return the region that a host stands for, or ""."""
        for pattern, region in self.hosts.items():
            if found := re.fullmatch(pattern, host):
                return found.groupdict().get("region") or region
        return ""

    def is_at(self, host: str) -> bool:
        """Tell whether a host is the provider's."""
        return any(re.fullmatch(pattern, host) for pattern in self.hosts)


def _yes(source: str, note: str = "") -> Fact:
    return Fact("yes", source, note)


def _partly(source: str, note: str) -> Fact:
    return Fact("partly", source, note)


def _no(source: str, note: str = "") -> Fact:
    return Fact("no", source, note)


_R2 = "https://developers.cloudflare.com/r2"
_R2_API = f"{_R2}/api/s3/api/"
_B2_API = "https://www.backblaze.com/apidocs"
_B2_ACL = "https://www.backblaze.com/docs/cloud-storage-s3-compatible-api"
_DO_S3 = "https://docs.digitalocean.com/products/spaces/reference/s3-compatibility/"
_HETZNER = "https://docs.hetzner.com/storage/object-storage/supported-actions/"
_NOT_EXCEPTED = "not among the exceptions that the page lists"
_WASABI = "https://docs.wasabi.com"
_WASABI_PUBLIC = f"{_WASABI}/docs/defining-a-bucket-policy-for-public-access"
_WASABI_BUCKETS = f"{_WASABI}/apidocs/operations-on-buckets-1"
_AISTOR = "https://docs.min.io/enterprise/aistor-object-store/developers/s3-api-compatibility"
_MINIO = "https://github.com/minio/minio/blob/7aac2a2c5b7c882e68c1ce017d8256be2feea27f"
_CEPH = "https://docs.ceph.com/en/tentacle/radosgw/s3/"
_GARAGE = "https://garagehq.deuxfleurs.fr/documentation/reference-manual/s3-compatibility/"
_GARAGE_CODE = "https://github.com/deuxfleurs-org/garage/blob/3f4ab3a4a38e382fc54c15580862af55b0257848"
_WEED = "https://github.com/seaweedfs/seaweedfs/blob/cc8364a03ebf5cf9f8eab3315ded2000cd07fff6/weed/s3api"
_RUSTFS = "https://docs.rustfs.com/en/reference/s3-compatibility"
_RUSTFS_CODE = "https://github.com/rustfs/rustfs/blob/20d1266496ba50dbec09b2263c504416840c61f7"
# With Ceph 16 and 20, which this library was tried with.
_MEASURED = "measured"

PROVIDERS = (
    Provider(
        "r2",
        "Cloudflare R2",
        "https://<account>.r2.cloudflarestorage.com",
        {r"[0-9a-z]+(\.[a-z]+)?\.r2\.cloudflarestorage\.com": "auto"},
        regions=f"The region is `auto`, and so it is if you set none ([source]({_R2_API})).",
        keys="An API token's: Object Read & Write on the site's buckets for the site, Admin Read & Write for `plan` and"
        f" `apply` ([source]({_R2}/api/tokens/)).",
        public="Connect a custom domain to the bucket, and set custom_domain. All of the bucket is public then, so"
        f" give private uploads another one ([source]({_R2}/buckets/public-buckets/)).",
        facts={
            "encryption": _yes(_R2_API, "always on: it can be read, and not be set"),
            "lifecycle": _yes(_R2_API, "parts of uploads that never ended go after 7 days anyway"),
            "versioning": _no(_R2_API),
            "cors": _yes(f"{_R2}/buckets/cors/"),
            "policy": _no(_R2_API),
            "public access block": _no(_R2_API),
            "ownership": _no(_R2_API),
            "tags": _no(_R2_API),
            "bucket ACL": _no(_R2_API),
            "object ACLs": _no(_R2_API),
            "conditional writes": _yes(f"{_R2}/api/s3/extensions/"),
            "direct uploads": _yes(f"{_R2}/api/s3/presigned-urls/"),
        },
    ),
    Provider(
        "b2",
        "Backblaze B2",
        "https://s3.us-west-004.backblazeb2.com",
        {r"s3\.(?P<region>[a-z0-9-]+)\.backblazeb2\.com": ""},
        regions="The region is the part of the host after `s3.`, and need not be set"
        " ([source](https://www.backblaze.com/docs/cloud-storage-call-the-s3-compatible-api)).",
        keys="An application key: its keyID and applicationKey; it can be limited to one bucket"
        " ([source](https://www.backblaze.com/docs/cloud-storage-application-keys)).",
        public="A bucket is public as a whole or not at all, and `plan` takes a public one for a conflict: put a CDN in"
        f" front that signs its requests, and set custom_domain ([source]({_B2_ACL})).",
        facts={
            "encryption": _yes(f"{_B2_API}/s3-put-bucket-encryption"),
            "lifecycle": _yes(f"{_B2_API}/s3-put-lifecycle-configuration", "rules come back split by action"),
            "versioning": _yes(
                "https://www.backblaze.com/docs/cloud-storage-s3-compatible-api-bucket-versions",
                "always on: what is deleted stays as an old version until a lifecycle rule removes it",
            ),
            "cors": _yes(f"{_B2_API}/s3-put-bucket-cors", "the names of rules are forgotten"),
            "policy": _partly(f"{_B2_API}/putbucketpolicy", "early access, for enterprise accounts"),
            "bucket ACL": _yes(_B2_ACL, "private or public-read"),
            "object ACLs": _no(_B2_ACL, "an ACL must be the bucket's own"),
            "conditional writes": _no(
                "https://github.com/hashicorp/terraform/issues/37143", "answered with 501"
            ),
            "direct uploads": _yes("https://gist.github.com/CraigglesO/57f0c190a88cae316791225ecbfd5ef9"),
        },
    ),
    Provider(
        "digitalocean",
        "DigitalOcean Spaces",
        "https://nyc3.digitaloceanspaces.com",
        {r"(?P<region>[a-z]{3}[0-9])\.digitaloceanspaces\.com": ""},
        regions="The region is the first part of the host, and need not be set"
        " ([source](https://docs.digitalocean.com/reference/api/spaces-api/)).",
        keys="A Spaces key pair of the control panel"
        " ([source](https://docs.digitalocean.com/reference/terraform/reference/resources/spaces_bucket/)).",
        public=f"By a policy or an ACL, as on AWS; its CDN is a custom_domain ([source]({_DO_S3})).",
        facts={
            "encryption": _no(_DO_S3),
            "lifecycle": _yes(_DO_S3),
            "versioning": _yes(_DO_S3),
            "cors": _yes(
                "https://docs.digitalocean.com/reference/terraform/reference/resources/spaces_bucket_cors_configuration/"
            ),
            "policy": _yes(_DO_S3, "not in Cold Storage buckets"),
            "bucket ACL": _yes("https://docs.digitalocean.com/reference/api/spaces-api/"),
            "object ACLs": _yes("https://docs.digitalocean.com/reference/api/spaces-api/"),
            "direct uploads": _yes(_DO_S3),
        },
    ),
    Provider(
        "hetzner",
        "Hetzner Object Storage",
        "https://fsn1.your-objectstorage.com",
        {r"(?P<region>[a-z]{3}[0-9])\.your-objectstorage\.com": ""},
        regions="The region is the first part of the host (`fsn1`, `nbg1`, `hel1`), and need not be set"
        " ([source](https://github.com/robinrodricks/FluentStorage/wiki/Hetzner-Storage)).",
        keys="S3 credentials of the Cloud Console; by default each reaches all buckets of the project"
        " ([source](https://docs.hetzner.com/storage/object-storage/faq/buckets-objects)).",
        public="By a policy; a bucket has no custom domain of its own, so a custom_domain is your own CDN or proxy"
        f" ([source]({_HETZNER})).",
        facts={
            "encryption": _no(_HETZNER, "only with keys that you send yourself (SSE-C)"),
            "lifecycle": _yes(_HETZNER, _NOT_EXCEPTED),
            "versioning": _yes(_HETZNER, _NOT_EXCEPTED),
            "cors": _yes(_HETZNER, _NOT_EXCEPTED),
            "policy": _yes(_HETZNER, _NOT_EXCEPTED),
            "ownership": _no(_HETZNER),
            "tags": _no(_HETZNER),
            "bucket ACL": _yes(_HETZNER, "private or public-read"),
            "object ACLs": _yes(
                "https://docs.hetzner.com/storage/object-storage/faq/buckets-objects",
                "a private bucket can have public objects",
            ),
            "direct uploads": _partly(
                _HETZNER,
                "accepting an upload copies it, and copies may fail: if they do, turn direct_uploads off",
            ),
        },
    ),
    Provider(
        "wasabi",
        "Wasabi",
        "https://s3.eu-central-1.wasabisys.com",
        {
            r"s3\.wasabisys\.com": "us-east-1",
            r"s3\.(?P<region>[a-z]{2}-[a-z]+-[0-9])\.wasabisys\.com": "",
            r"s3\.[a-z]{2}-[0-9]\.wasabisys\.com": "",
        },
        regions="The region is the part of the host after `s3.`, and need not be set; `s3.wasabisys.com` is us-east-1"
        f" ([source]({_WASABI}/docs/service-urls-for-wasabis-storage-regions-2)).",
        keys="An access key of a user with a policy, as on AWS: attach what `manage.py s3 policy` prints"
        f" ([source]({_WASABI}/docs/policies-1)).",
        public="By a policy or an ACL, once Wasabi's support has allowed public access; trial accounts have none"
        f" ([source]({_WASABI_PUBLIC})).",
        facts={
            "lifecycle": _yes(f"{_WASABI}/apidocs/lifecycle-policy"),
            "versioning": _yes(f"{_WASABI}/docs/versioning"),
            "cors": _yes(_WASABI_BUCKETS),
            "policy": _yes(f"{_WASABI}/docs/policies-1", "public ones only where public access is allowed"),
            "bucket ACL": _yes(f"{_WASABI}/docs/policies-1"),
            "object ACLs": _partly(_WASABI_PUBLIC, "only where public access is allowed"),
        },
    ),
    Provider(
        "minio",
        "MinIO and AIStor",
        "https://minio.example.com",
        regions="The region is `us-east-1` unless the server's configuration names another"
        " ([source](https://docs.min.io/enterprise/aistor-object-store/reference/cli/mc-mb)).",
        keys="An access key of a user with a policy, as on AWS: attach what `manage.py s3 policy` prints"
        f" ([source]({_MINIO}/docs/multi-user/README.md)).",
        public=f"By a policy ([source]({_AISTOR})).",
        drops=frozenset({"AbortIncompleteMultipartUpload"}),
        facts={
            "encryption": _partly(
                f"{_MINIO}/cmd/bucket-encryption-handlers.go#L71-L75", "only with a key server (KMS)"
            ),
            "lifecycle": _partly(_AISTOR, "without AbortIncompleteMultipartUpload: `apply` leaves that out"),
            "versioning": _yes("https://docs.min.io/enterprise/aistor-object-store/reference/cli/mc-mb"),
            "cors": _partly(
                f"{_MINIO}/internal/config/api/api.go#L100-L103",
                "the community edition has none for a bucket and lets in every origin unless `cors_allow_origin` is"
                " set; AIStor has",
            ),
            "policy": _yes(_AISTOR),
            "public access block": _no(_AISTOR),
            "ownership": _no(_AISTOR),
            "tags": _yes(f"{_MINIO}/cmd/api-router.go#L550-L552"),
            "bucket ACL": _partly(f"{_MINIO}/cmd/acl-handlers.go", "can be read, and is always private"),
            "object ACLs": _no(_AISTOR, "an ACL that is sent is passed over"),
            "conditional writes": _yes(_AISTOR),
            "direct uploads": _yes(f"{_MINIO}/cmd/signature-v4.go#L207-L211"),
        },
    ),
    Provider(
        "ceph",
        "Ceph Object Gateway",
        "https://rgw.example.com",
        drops=frozenset({"BlockPublicAcls"}),
        regions="The region is the zonegroup's API name, `default` where nobody changed it (measured).",
        keys="A user's, as `radosgw-admin user create` prints it"
        " ([source](https://docs.ceph.com/en/tentacle/radosgw/admin/)).",
        public=f"By a policy or an ACL, as on AWS ([source]({_CEPH})).",
        facts={
            "encryption": _partly(
                _MEASURED, "accepted without a key server, and then each upload is rejected: `apply` tries it"
            ),
            "lifecycle": _yes(_CEPH, "rules come back in another order"),
            "versioning": _yes(_CEPH),
            "cors": _yes(
                _MEASURED, "the first rule whose origin fits decides; rules come back in another order"
            ),
            "policy": _yes(_CEPH),
            "public access block": _partly(
                "https://tracker.ceph.com/issues/49135",
                "before the releases of 2026, BlockPublicAcls denies every upload (measured): `apply` leaves it off,"
                " and IgnorePublicAcls on, which closes as much",
            ),
            "ownership": _no(_MEASURED, "the question is answered as a listing"),
            "tags": _yes(_CEPH),
            "bucket ACL": _yes(_CEPH),
            "object ACLs": _yes(_CEPH),
            "conditional writes": _yes(
                _MEASURED, "with Ceph 16 not of an upload in parts, which replaces what is there"
            ),
            "direct uploads": _partly(
                _MEASURED,
                "Ceph 16 obeys an unsigned x-amz-copy-source, which `doctor` tells: turn them off there",
            ),
        },
    ),
    Provider(
        "garage",
        "Garage",
        "https://s3.garage.example.com",
        regions="The region is `s3_region` of garage.toml, which the examples call `garage`; requests with another are"
        " rejected ([source](https://garagehq.deuxfleurs.fr/documentation/reference-manual/configuration/)).",
        keys="As `garage key create` prints it; `garage bucket allow` gives it rights on a bucket"
        " ([source](https://garagehq.deuxfleurs.fr/documentation/quick-start/)).",
        public="Expose the bucket as a website, and set custom_domain to its host. All of the bucket is public then, so"
        " give private uploads another one"
        " ([source](https://garagehq.deuxfleurs.fr/documentation/cookbook/exposing-websites/)).",
        facts={
            "encryption": _no(_GARAGE, "only with keys that you send yourself (SSE-C)"),
            "lifecycle": _yes(_GARAGE),
            "versioning": _no(_GARAGE),
            "cors": _yes(_GARAGE),
            "policy": _no(_GARAGE, "keys have rights on buckets instead: `garage bucket allow`"),
            "public access block": _no(_GARAGE),
            "ownership": _no(_GARAGE),
            "tags": _no(_GARAGE),
            "bucket ACL": _no(_GARAGE),
            "object ACLs": _no(_GARAGE),
            "conditional writes": _no(f"{_GARAGE_CODE}/src/api/s3/put.rs", "the header is passed over"),
            "direct uploads": _yes(_GARAGE),
        },
    ),
    Provider(
        "seaweedfs",
        "SeaweedFS",
        "https://s3.seaweedfs.example.com",
        regions="Any region will do, such as `us-east-1`: a signature is checked with the one that it names"
        f" ([source]({_WEED}/auth_signature_v4.go#L794)).",
        keys="As the server got it in its own AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a user's"
        f" ([source]({_WEED.removesuffix('/s3api')}/command/s3.go#L214)).",
        public=f"By a policy ([source]({_WEED}/s3api_bucket_handlers.go#L867-L918)).",
        facts={
            "encryption": _yes(f"{_WEED}/s3_bucket_encryption.go"),
            "lifecycle": _yes(f"{_WEED}/s3api_bucket_handlers.go#L1085-L1149"),
            "versioning": _yes(f"{_WEED}/s3api_bucket_handlers.go#L1369"),
            "cors": _yes(f"{_WEED}/s3api_bucket_cors_handlers.go"),
            "policy": _yes(f"{_WEED}/s3api_bucket_policy_handlers.go"),
            "public access block": _no(f"{_WEED}/s3api_bucket_policy_handlers.go#L403-L415"),
            "ownership": _yes(f"{_WEED}/s3api_bucket_handlers.go#L1200"),
            "tags": _yes(f"{_WEED}/s3api_bucket_tagging_handlers.go"),
            "bucket ACL": _yes(f"{_WEED}/s3api_bucket_handlers.go#L922"),
            "object ACLs": _no(
                f"{_WEED}/s3api_bucket_handlers.go#L867-L918",
                "visitors read by the bucket's ACL and policy alone",
            ),
            "conditional writes": _yes(f"{_WEED}/s3api_object_handlers_put.go#L2210-L2217"),
            "direct uploads": _yes(
                f"{_WEED.removesuffix('/weed/s3api')}/test/s3/checksum/s3_checksum_presigned_test.go"
            ),
        },
    ),
    Provider(
        "rustfs",
        "RustFS",
        "https://rustfs.example.com",
        regions="The region is `us-east-1` unless the server's configuration names another"
        f" ([source]({_RUSTFS_CODE}/crates/config/src/constants/app.rs#L291-L292)).",
        keys="An access key of a user with a policy, or the server's own"
        " ([source](https://docs.rustfs.com/administration/protocols/s3)).",
        public="By a policy ([source](https://docs.rustfs.com/administration/data/bucket/policy)).",
        facts={
            "encryption": _partly(
                f"{_RUSTFS_CODE}/rustfs/src/storage/sse.rs#L3104-L3121",
                "only with a key server (KMS) or a master key",
            ),
            "lifecycle": _yes(_RUSTFS),
            "versioning": _yes(_RUSTFS),
            "cors": _yes(_RUSTFS),
            "policy": _yes(_RUSTFS),
            "public access block": _yes(_RUSTFS),
            "ownership": _no(_RUSTFS),
            "tags": _yes(_RUSTFS),
            "bucket ACL": _partly(
                f"{_RUSTFS_CODE}/rustfs/src/storage/s3_api/acl.rs", "can be read, and is always private"
            ),
            "object ACLs": _no(_RUSTFS),
            "conditional writes": _yes(f"{_RUSTFS_CODE}/scripts/s3-tests/implemented_tests.txt#L359-L362"),
            "direct uploads": _yes(_RUSTFS),
        },
    ),
)

AWS = Provider(
    "aws",
    "AWS",
    facts={
        "conditional writes": _yes(
            "https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html"
        )
    },
)
UNKNOWN = Provider("")


@lru_cache(maxsize=64)
def provider(endpoint: str | None, name: str = "") -> Provider:
    """Return the profile of an endpoint (None for AWS): that of a name, else that of its host, else UNKNOWN."""
    if not endpoint:
        return AWS
    host = _host(endpoint)
    found = (each for each in PROVIDERS if (each.name == name if name else each.is_at(host)))
    return next(found, UNKNOWN)


def region(endpoint: str | None, name: str = "") -> str:
    """Return the region that an endpoint stands for by its host, or ""."""
    return provider(endpoint, name).region_of(_host(endpoint)) if endpoint else ""


def _host(endpoint: str) -> str:
    try:
        return urlsplit(endpoint).hostname or ""
    except ValueError:  # what a check names
        return ""
