"""S3 servers other than AWS: what each supports, as data with its sources.

The endpoint's host, or the option `provider`, selects a profile. The code uses four parts of it: the region of the
host, what buckets there can't have (`lacks`), whether the server obeys "If-None-Match" (`conditional_writes`), and
which actions of lifecycle rules to leave out. Where a profile says nothing, the server's responses decide.
The rest is for docs/providers.md, which `python -m tests.providers` writes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import urlsplit

# The titles of `s3kit.buckets.wanted.ASPECTS`, then those of objects, each with what a site loses without it.
TOPICS: Mapping[str, str] = {
    "encryption": "the bucket gets no default encryption: files are encrypted only if the server does so by itself",
    "lifecycle": "unaccepted uploads, and parts of interrupted uploads, stay until you delete them",
    "versioning": "the option versioning is rejected: overwritten and deleted files can't be restored",
    "cors": "direct uploads, fonts, and modules work only if the server allows the site's origins by default",
    "policy": "no policy can require TLS or make files public: public files need a custom_domain",
    "public access block": "nothing prevents the bucket's owner from making it public by mistake",
    "ownership": "ACLs can't be disabled: anyone who may set an ACL can make an object public",
    "bucket ACL": "the bucket's ACL can't be checked for grants to others",
    "tags": "the option bucket_tags is ignored: bills can't be split by tag",
    "object ACLs": "the access mode public-read is rejected: no single upload can be made public",
    "conditional writes": "if two requests create the same name at once, the last one wins",
    "direct uploads": "browsers send files through the site: turn direct_uploads off",
}


@dataclass(frozen=True)
class Fact:
    """What a provider says about a topic. `source` is the page, issue or line of code that says so."""

    answer: Literal["yes", "partly", "no"]
    source: str
    note: str = ""


@dataclass(frozen=True)
class Provider:
    """A profile. Topics without a fact are unknown."""

    name: str
    """The value of the option `provider`."""
    title: str = "this server"
    endpoint: str = ""
    """The form of an endpoint, for the page."""
    hosts: Mapping[str, str] = field(default_factory=dict)
    """Patterns of the endpoint's host; each with the region, "" where the group `region` has it or nothing does."""
    regions: str = ""
    """What the page says about regions, with the source."""
    keys: str = ""
    """What the page says about access keys, with the source."""
    public: str = ""
    """What the page says about public files, with the source."""
    facts: Mapping[str, Fact] = field(default_factory=dict)
    drops: frozenset[str] = frozenset()
    """Parts of settings to leave out, because the server ignores, rejects or misinterprets them."""

    def lacks(self, topic: str) -> bool:
        """Return whether the provider is known to lack this; False if unknown."""
        return topic in self.facts and self.facts[topic].answer == "no"

    def without_dropped(self, rule: Mapping[str, Any]) -> dict[str, Any]:
        """Return a lifecycle rule without the actions that have no effect on this server."""
        dropped = self.drops | ({"NoncurrentVersionExpiration"} if self.lacks("versioning") else frozenset())
        return {name: value for name, value in rule.items() if name not in dropped}

    @property
    def conditional_writes(self) -> bool | None:
        """Whether PutObject obeys "If-None-Match"; None if unknown, or if it depends on the version."""
        answer = self.facts.get("conditional writes")
        return {"yes": True, "no": False}.get(answer.answer) if answer else None

    def region_of(self, host: str) -> str:
        """Return the region of a host, or ""."""
        for pattern, region in self.hosts.items():
            if found := re.fullmatch(pattern, host):
                return found.groupdict().get("region") or region
        return ""

    def is_at(self, host: str) -> bool:
        """Return whether a host is the provider's."""
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
_NOT_EXCEPTED = "not among the documented exceptions"
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
        regions=f"`auto`, which is also the default ([source]({_R2_API})).",
        keys="the key of an API token: Object Read & Write on the site's buckets for the site, Admin Read & Write for"
        f" `plan` and `apply` ([source]({_R2}/api/tokens/)).",
        public="connect a custom domain to the bucket, and set custom_domain. The whole bucket is then public, so use"
        f" another bucket for private uploads ([source]({_R2}/buckets/public-buckets/)).",
        facts={
            "encryption": _yes(_R2_API, "always on, and not configurable"),
            "lifecycle": _yes(_R2_API, "R2 also deletes the parts of incomplete uploads after 7 days"),
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
        regions="the part of the host after `s3.`; you don't have to set it"
        " ([source](https://www.backblaze.com/docs/cloud-storage-call-the-s3-compatible-api)).",
        keys="the keyID and applicationKey of an application key, which can be limited to one bucket"
        " ([source](https://www.backblaze.com/docs/cloud-storage-application-keys)).",
        public="a bucket is either public as a whole or private, and `plan` reports a public one as a conflict. Put a"
        f" CDN in front that signs its requests, and set custom_domain ([source]({_B2_ACL})).",
        facts={
            "encryption": _yes(f"{_B2_API}/s3-put-bucket-encryption"),
            "lifecycle": _yes(
                f"{_B2_API}/s3-put-lifecycle-configuration", "B2 returns rules split by action"
            ),
            "versioning": _yes(
                "https://www.backblaze.com/docs/cloud-storage-s3-compatible-api-bucket-versions",
                "always on: a deleted file stays as an old version until a lifecycle rule deletes it",
            ),
            "cors": _yes(f"{_B2_API}/s3-put-bucket-cors", "B2 drops the names of rules"),
            "policy": _partly(f"{_B2_API}/putbucketpolicy", "early access, for enterprise accounts"),
            "bucket ACL": _yes(_B2_ACL, "private or public-read"),
            "object ACLs": _no(_B2_ACL, "an object's ACL must be that of the bucket"),
            "conditional writes": _no(
                "https://github.com/hashicorp/terraform/issues/37143", "B2 responds with 501"
            ),
            "direct uploads": _yes("https://gist.github.com/CraigglesO/57f0c190a88cae316791225ecbfd5ef9"),
        },
    ),
    Provider(
        "digitalocean",
        "DigitalOcean Spaces",
        "https://nyc3.digitaloceanspaces.com",
        {r"(?P<region>[a-z]{3}[0-9])\.digitaloceanspaces\.com": ""},
        regions="the first part of the host; you don't have to set it"
        " ([source](https://docs.digitalocean.com/reference/api/spaces-api/)).",
        keys="a Spaces key pair from the control panel"
        " ([source](https://docs.digitalocean.com/reference/terraform/reference/resources/spaces_bucket/)).",
        public=f"with a policy or an ACL, as on AWS. To use its CDN, set custom_domain ([source]({_DO_S3})).",
        facts={
            "encryption": _no(_DO_S3),
            "lifecycle": _yes(_DO_S3),
            "versioning": _yes(_DO_S3),
            "cors": _yes(
                "https://docs.digitalocean.com/reference/terraform/reference/resources/spaces_bucket_cors_configuration/"
            ),
            "policy": _yes(_DO_S3, "not for Cold Storage buckets"),
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
        regions="the first part of the host (`fsn1`, `nbg1`, `hel1`); you don't have to set it"
        " ([source](https://github.com/robinrodricks/FluentStorage/wiki/Hetzner-Storage)).",
        keys="S3 credentials from the Cloud Console; by default, each can access all buckets of the project"
        " ([source](https://docs.hetzner.com/storage/object-storage/faq/buckets-objects)).",
        public="with a policy. Buckets have no custom domains, so custom_domain has to be your own CDN or proxy"
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
                "a private bucket can contain public objects",
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
        regions="the part of the host after `s3.`; you don't have to set it. `s3.wasabisys.com` is"
        f" us-east-1 ([source]({_WASABI}/docs/service-urls-for-wasabis-storage-regions-2)).",
        keys="an access key of a user with a policy, as on AWS: attach what `manage.py s3 policy` prints"
        f" ([source]({_WASABI}/docs/policies-1)).",
        public="with a policy or an ACL, after Wasabi's support has allowed public access; trial accounts can't use it"
        f" ([source]({_WASABI_PUBLIC})).",
        facts={
            "lifecycle": _yes(f"{_WASABI}/apidocs/lifecycle-policy"),
            "versioning": _yes(f"{_WASABI}/docs/versioning"),
            "cors": _yes(_WASABI_BUCKETS),
            "policy": _yes(
                f"{_WASABI}/docs/policies-1", "public policies only where public access is allowed"
            ),
            "bucket ACL": _yes(f"{_WASABI}/docs/policies-1"),
            "object ACLs": _partly(_WASABI_PUBLIC, "only where public access is allowed"),
        },
    ),
    Provider(
        "minio",
        "MinIO and AIStor",
        "https://minio.example.com",
        regions="`us-east-1` unless the server's configuration names another"
        " ([source](https://docs.min.io/enterprise/aistor-object-store/reference/cli/mc-mb)).",
        keys="an access key of a user with a policy, as on AWS: attach what `manage.py s3 policy` prints"
        f" ([source]({_MINIO}/docs/multi-user/README.md)).",
        public=f"with a policy ([source]({_AISTOR})).",
        drops=frozenset({"AbortIncompleteMultipartUpload"}),
        facts={
            "encryption": _partly(
                f"{_MINIO}/cmd/bucket-encryption-handlers.go#L71-L75", "only with a key server (KMS)"
            ),
            "lifecycle": _partly(_AISTOR, "no AbortIncompleteMultipartUpload: `apply` leaves it out"),
            "versioning": _yes("https://docs.min.io/enterprise/aistor-object-store/reference/cli/mc-mb"),
            "cors": _partly(
                f"{_MINIO}/internal/config/api/api.go#L100-L103",
                "AIStor has it, but the community edition has no CORS per bucket and allows every origin unless"
                " `cors_allow_origin` is set",
            ),
            "policy": _yes(_AISTOR),
            "public access block": _no(_AISTOR),
            "ownership": _no(_AISTOR),
            "tags": _yes(f"{_MINIO}/cmd/api-router.go#L550-L552"),
            "bucket ACL": _partly(f"{_MINIO}/cmd/acl-handlers.go", "readable, and always private"),
            "object ACLs": _no(_AISTOR, "the server ignores ACLs"),
            "conditional writes": _yes(_AISTOR),
            "direct uploads": _yes(f"{_MINIO}/cmd/signature-v4.go#L207-L211"),
        },
    ),
    Provider(
        "ceph",
        "Ceph Object Gateway",
        "https://rgw.example.com",
        drops=frozenset({"BlockPublicAcls"}),
        regions="the API name of the zonegroup, `default` unless you changed it (measured).",
        keys="the key of a user, as `radosgw-admin user create` prints it"
        " ([source](https://docs.ceph.com/en/tentacle/radosgw/admin/)).",
        public=f"with a policy or an ACL, as on AWS ([source]({_CEPH})).",
        facts={
            "encryption": _partly(
                _MEASURED,
                "without a key server, Ceph accepts it and then rejects every upload: `apply` tests it",
            ),
            "lifecycle": _yes(_CEPH, "Ceph returns rules in another order"),
            "versioning": _yes(_CEPH),
            "cors": _yes(
                _MEASURED, "Ceph uses the first rule whose origin matches, and returns rules in another order"
            ),
            "policy": _yes(_CEPH),
            "public access block": _partly(
                "https://tracker.ceph.com/issues/49135",
                "before the releases of 2026, BlockPublicAcls denies every upload (measured): `apply` leaves it off"
                " and IgnorePublicAcls on, which protects as much",
            ),
            "ownership": _no(_MEASURED, "Ceph responds with a listing"),
            "tags": _yes(_CEPH),
            "bucket ACL": _yes(_CEPH),
            "object ACLs": _yes(_CEPH),
            "conditional writes": _yes(
                _MEASURED, "except for multipart uploads with Ceph 16, which overwrite the existing object"
            ),
            "direct uploads": _partly(
                _MEASURED,
                "Ceph 16 obeys an unsigned x-amz-copy-source, which `doctor` reports: turn direct_uploads off there",
            ),
        },
    ),
    Provider(
        "garage",
        "Garage",
        "https://s3.garage.example.com",
        regions="`s3_region` in garage.toml, `garage` in its examples. Garage rejects requests with"
        " another region ([source](https://garagehq.deuxfleurs.fr/documentation/reference-manual/configuration/)).",
        keys="a key, as `garage key create` prints it; `garage bucket allow` grants it permissions on a bucket"
        " ([source](https://garagehq.deuxfleurs.fr/documentation/quick-start/)).",
        public="expose the bucket as a website, and set custom_domain to its host. The whole bucket is then public, so"
        " use another bucket for private uploads"
        " ([source](https://garagehq.deuxfleurs.fr/documentation/cookbook/exposing-websites/)).",
        facts={
            "encryption": _no(_GARAGE, "only with keys that you send yourself (SSE-C)"),
            "lifecycle": _yes(_GARAGE),
            "versioning": _no(_GARAGE),
            "cors": _yes(_GARAGE),
            "policy": _no(_GARAGE, "keys have permissions on buckets instead: `garage bucket allow`"),
            "public access block": _no(_GARAGE),
            "ownership": _no(_GARAGE),
            "tags": _no(_GARAGE),
            "bucket ACL": _no(_GARAGE),
            "object ACLs": _no(_GARAGE),
            "conditional writes": _no(f"{_GARAGE_CODE}/src/api/s3/put.rs", "Garage ignores the header"),
            "direct uploads": _yes(_GARAGE),
        },
    ),
    Provider(
        "seaweedfs",
        "SeaweedFS",
        "https://s3.seaweedfs.example.com",
        regions="any, such as `us-east-1`: the server verifies a signature with the region that it names"
        f" ([source]({_WEED}/auth_signature_v4.go#L794)).",
        keys="the server's own AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a user's key"
        f" ([source]({_WEED.removesuffix('/s3api')}/command/s3.go#L214)).",
        public=f"with a policy ([source]({_WEED}/s3api_bucket_handlers.go#L867-L918)).",
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
                "only the bucket's ACL and policy let visitors read",
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
        regions="`us-east-1` unless the server's configuration names another"
        f" ([source]({_RUSTFS_CODE}/crates/config/src/constants/app.rs#L291-L292)).",
        keys="an access key of a user with a policy, or the server's own"
        " ([source](https://docs.rustfs.com/administration/protocols/s3)).",
        public="with a policy ([source](https://docs.rustfs.com/administration/data/bucket/policy)).",
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
                f"{_RUSTFS_CODE}/rustfs/src/storage/s3_api/acl.rs", "readable, and always private"
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
    """Return the profile of an endpoint (None for AWS): by name, else by its host, else UNKNOWN."""
    if not endpoint:
        return AWS
    host = _host(endpoint)
    found = (each for each in PROVIDERS if (each.name == name if name else each.is_at(host)))
    return next(found, UNKNOWN)


def region(endpoint: str | None, name: str = "") -> str:
    """Return the region that an endpoint's host implies, or ""."""
    return provider(endpoint, name).region_of(_host(endpoint)) if endpoint else ""


def _host(endpoint: str) -> str:
    try:
        return urlsplit(endpoint).hostname or ""
    except ValueError:  # what a check names
        return ""
