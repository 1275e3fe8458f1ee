"""The policies: what they say in each setting, and that the roles suffice, seen on a strict S3."""

import json
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3kit.buckets import policies
from s3kit.deployment import Site
from tests.ministack import MakeSite, SiteOnS3, anonymous, new_user

pytestmark = pytest.mark.slow

SITE = Site(region="eu-central-1", static_bucket="acme-static", media_bucket="acme-media")
ARN = "arn:aws:cloudfront::123456789012:distribution/E1ABCDEFGHIJKL"

TLS_ONLY = {
    "Sid": "DjangoS3TlsOnly",
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:*",
    "Resource": ["arn:aws:s3:::acme-static", "arn:aws:s3:::acme-static/*"],
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}
STATIC_READ = {
    "Sid": "DjangoS3StaticRead",
    "Effect": "Allow",
    "Principal": "*",
    "Action": "s3:GetObject",
    "Resource": "arn:aws:s3:::acme-static/static/*",
}
ONLY_CLOUDFRONT = {
    "Principal": {"Service": "cloudfront.amazonaws.com"},
    "Condition": {"StringEquals": {"AWS:SourceArn": ARN}},
}


def statements(site: Site, bucket: str) -> dict[str, dict[str, Any]]:
    found = policies.bucket_policy(site, bucket)
    assert all(statement["Sid"].startswith(policies.MARK) for statement in found)
    return {statement["Sid"].removeprefix(policies.MARK): statement for statement in found}


def test_static_files_are_public_over_tls() -> None:
    assert policies.bucket_policy(SITE, "acme-static") == [TLS_ONLY, STATIC_READ]


def test_with_a_distribution_only_cloudfront_reads() -> None:
    site = replace(SITE, distribution=ARN)
    assert statements(site, "acme-static")["StaticRead"] == STATIC_READ | ONLY_CLOUDFRONT
    assert set(statements(site, "acme-media")) == {"TlsOnly"}


@pytest.mark.parametrize(
    ("access", "domain", "public", "through_cdn"),
    [
        ("private", "", False, False),
        ("public-read", "", False, False),
        ("public-policy", "", True, False),
        ("private", "m.example.com", False, True),
        ("public-read", "m.example.com", False, False),
        ("public-policy", "m.example.com", False, True),
    ],
)
def test_who_reads_uploads(access: str, domain: str, public: bool, through_cdn: bool) -> None:
    site = replace(SITE, access=access, media_domain=domain, distribution=ARN if domain else "")
    found = statements(site, "acme-media")
    read = STATIC_READ | {"Sid": "DjangoS3MediaRead", "Resource": "arn:aws:s3:::acme-media/media/*"}
    expected = read if public else read | ONLY_CLOUDFRONT if through_cdn else None
    assert found.get("MediaRead") == expected
    assert [policies.is_public(statement) for statement in found.values()].count(True) == public


def test_one_bucket_has_the_statements_of_both() -> None:
    site = replace(SITE, media_bucket="acme-static", access="public-policy")
    assert set(statements(site, "acme-static")) == {"TlsOnly", "StaticRead", "MediaRead"}


@pytest.mark.parametrize(
    ("endpoint", "tls_only"),
    [
        ("http://127.0.0.1:9000", False),
        ("http://localhost:9000", False),
        ("https://127.0.0.1:9000", True),
        ("http://127.0.0.1.example.com:9000", True),
        ("http://store.internal:9000", True),
        ("", True),
    ],
)
def test_tls_is_left_out_for_plain_http_on_this_machine_only(endpoint: str, tls_only: bool) -> None:
    site = replace(SITE, endpoint=endpoint)
    for bucket in ("acme-static", "acme-media"):
        assert ("TlsOnly" in statements(site, bucket)) == tls_only


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("eu-central-1", "aws"),
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("eusc-de-east-1", "aws-eusc"),
    ],
)
def test_every_arn_is_of_the_partition(region: str, partition: str) -> None:
    site = replace(SITE, region=region)
    texts = [json.dumps(policies.bucket_policy(site, name)) for name in ("acme-static", "acme-media")]
    texts += [
        json.dumps(policies.document(role(site))) for role in (policies.web, policies.deploy, policies.prune)
    ]
    for text in texts:
        assert text.count("arn:") == text.count(f"arn:{partition}:s3:::") > 0


def test_no_role_has_a_wildcard_action_and_each_action_its_reason() -> None:
    for access in ("private", "public-read", "public-policy"):
        for role in (policies.web, policies.deploy, policies.prune):
            for grant in role(replace(SITE, access=access)):
                assert grant.sid.isalnum()  # IAM takes no other
                assert all("*" not in action and reason for action, reason in grant.actions.items())


def test_only_public_read_may_set_acls() -> None:
    def may(access: str) -> bool:
        return "s3:PutObjectAcl" in json.dumps(policies.document(policies.web(replace(SITE, access=access))))

    assert [access for access in ("private", "public-read", "public-policy") if may(access)] == [
        "public-read"
    ]


# On the strict S3


def refused(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as raised:
        call(**arguments)
    return str(raised.value.response["Error"]["Code"])


@pytest.mark.parametrize("access", ["private", "public-read", "public-policy"])
def test_the_web_role_suffices_and_ends_at_media(s3_site: MakeSite, access: str) -> None:
    site = s3_site(access)
    static, media = site.static_bucket, site.media_bucket
    site.root.put_object(Bucket=static, Key=policies.MANIFEST, Body=b"{}")
    web = site.store.client(key=new_user(site.store, policies.document(policies.web(Site.from_settings()))))
    acl = {"ACL": "public-read"} if access == "public-read" else {}
    web.put_object(Bucket=media, Key="media/a", Body=b"a", **acl)
    assert web.get_object(Bucket=media, Key="media/a")["Body"].read() == b"a"
    assert [found["Key"] for found in web.list_objects_v2(Bucket=media, Prefix="media/")["Contents"]] == [
        "media/a"
    ]
    upload = web.create_multipart_upload(Bucket=media, Key="media/b", **acl)["UploadId"]
    web.upload_part(Bucket=media, Key="media/b", UploadId=upload, PartNumber=1, Body=b"b")
    web.abort_multipart_upload(Bucket=media, Key="media/b", UploadId=upload)
    web.delete_object(Bucket=media, Key="media/a")
    assert refused(web.head_object, Bucket=media, Key="media/a") == "404"
    assert web.get_object(Bucket=static, Key=policies.MANIFEST)["Body"].read() == b"{}"

    assert refused(web.put_object, Bucket=static, Key="static/a.js", Body=b"") == "AccessDenied"
    assert refused(web.delete_object, Bucket=static, Key=policies.MANIFEST) == "AccessDenied"
    assert refused(web.put_object, Bucket=media, Key="elsewhere", Body=b"") == "AccessDenied"
    assert refused(web.put_bucket_policy, Bucket=media, Policy="{}") == "AccessDenied"
    assert refused(web.create_bucket, Bucket=f"{media}-more") == "AccessDenied"


def test_the_deploy_role_suffices_and_ends_at_static(s3_site: MakeSite) -> None:
    site = s3_site()
    static, media = site.static_bucket, site.media_bucket
    deploy = site.store.client(
        key=new_user(site.store, policies.document(policies.deploy(Site.from_settings())))
    )
    deploy.put_object(Bucket=static, Key="static/a.css", Body=b"a")
    assert deploy.get_object(Bucket=static, Key="static/a.css")["Body"].read() == b"a"
    assert deploy.list_objects_v2(Bucket=static, Prefix="static/")["KeyCount"] == 1
    assert refused(deploy.head_object, Bucket=static, Key="static/missing") == "404"

    assert refused(deploy.delete_object, Bucket=static, Key="static/a.css") == "AccessDenied"
    assert refused(deploy.put_object, Bucket=media, Key="media/a", Body=b"") == "AccessDenied"
    assert refused(deploy.list_objects_v2, Bucket=media) == "AccessDenied"


def without(site: SiteOnS3, action: str) -> Any:
    """Return a client with the rights of both roles except one action."""
    wanted = Site.from_settings()
    documents = [policies.document(policies.web(wanted)), policies.document(policies.deploy(wanted))]
    for document in documents:
        for statement in document["Statement"]:
            statement["Action"] = [name for name in statement["Action"] if name != action] or [
                "s3:GetBucketTagging"
            ]
    return site.store.client(key=new_user(site.store, *documents))


@pytest.mark.parametrize(
    ("action", "call", "arguments"),
    [
        ("s3:GetObject", "get_object", {"Key": "media/a"}),
        ("s3:PutObject", "put_object", {"Key": "media/b", "Body": b""}),
        ("s3:DeleteObject", "delete_object", {"Key": "media/a"}),
        ("s3:ListBucket", "list_objects_v2", {}),
    ],
)
def test_one_action_less_is_one_thing_less(
    s3_site: MakeSite, action: str, call: str, arguments: dict[str, Any]
) -> None:
    site = s3_site()
    site.root.put_object(Bucket=site.media_bucket, Key="media/a", Body=b"a")
    arguments["Bucket"] = site.media_bucket
    assert refused(getattr(without(site, action), call), **arguments) == "AccessDenied"
    getattr(site.store.client(key=site.key), call)(**arguments)


def test_a_visitor_has_no_right_but_to_read(s3_site: MakeSite) -> None:
    site = s3_site("public-policy")
    site.root.put_object(Bucket=site.media_bucket, Key="media/a", Body=b"a")
    assert anonymous(site.url(site.media_bucket, "media/a")).body == b"a"
    assert anonymous(site.url(site.media_bucket, "media/b"), "PUT", body=b"b").status == 403
    assert anonymous(site.url(site.media_bucket, "media/a"), "DELETE").status == 403
    assert anonymous(site.url(site.media_bucket, "")).status == 403
    assert anonymous(site.url(site.media_bucket, "media/a")).body == b"a"
