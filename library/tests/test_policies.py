"""The policies: their content for each setting, and that the roles' permissions suffice on a strict S3 server."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3kit.buckets import policies
from s3kit.deployment import Deployment
from tests.deployments import ACCESS, ARN, deployment, location, of
from tests.ministack import MakeSite, anonymous, new_user

MANIFEST = "static/staticfiles.json"

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


def statements(site: Deployment) -> list[dict[str, dict[str, Any]]]:
    """Return each bucket's statements by Sid."""
    found = [policies.bucket_policy(bucket) for bucket in site.buckets]
    assert all(each["Sid"].startswith(policies.MARK) for bucket in found for each in bucket)
    return [{each["Sid"].removeprefix(policies.MARK): each for each in bucket} for bucket in found]


def test_static_files_are_public_over_tls() -> None:
    assert policies.bucket_policy(deployment().buckets[0]) == [TLS_ONLY, STATIC_READ]


def test_distribution_limits_static_reads_to_cloudfront() -> None:
    static, media = statements(deployment(distribution=ARN))
    assert static["StaticRead"] == STATIC_READ | ONLY_CLOUDFRONT
    assert set(media) == {"TlsOnly"}


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
def test_upload_read_statement_follows_access_and_domain(
    access: str, domain: str, public: bool, through_cdn: bool
) -> None:
    _, found = statements(
        deployment(access, media={"custom_domain": domain}, distribution=ARN if domain else "")
    )
    read = STATIC_READ | {"Sid": "DjangoS3MediaRead", "Resource": "arn:aws:s3:::acme-media/media/*"}
    expected = read if public else read | ONLY_CLOUDFRONT if through_cdn else None
    assert found.get("MediaRead") == expected
    assert [policies.is_public(statement) for statement in found.values()].count(True) == public


def test_shared_bucket_policy_has_static_and_media_statements() -> None:
    (found,) = statements(deployment("public-policy", one_bucket=True))
    assert set(found) == {"TlsOnly", "StaticRead", "MediaRead"}


def test_each_location_has_its_own_statements() -> None:
    site = of(
        *(location("a-b", prefix="a/", access="public-policy"), location("aB", prefix="b/")),
        *(location("AB", prefix="c/", access="public-policy"), location("bucket", prefix="d/")),
        *(location("x", "static", bucket="x"), location("y", "static", bucket="x", prefix="y/")),
    )
    static, media = statements(site)
    assert {sid: each["Resource"] for sid, each in media.items() if sid != "TlsOnly"} == {
        "MediaABRead": "arn:aws:s3:::acme-media/a/*",
        "MediaAb2Read": "arn:aws:s3:::acme-media/c/*",
    }
    assert set(static) == {"TlsOnly", "StaticXRead", "StaticYRead"}
    for role in policies.ROLES.values():
        sids = [grant.sid for grant in role(site)]
        assert len(sids) == len(set(sids))
        assert all(sid.isalnum() and sid.isascii() for sid in sids)
    (manifests,) = (grant for grant in policies.web(site) if grant.sid == "Manifest")
    assert manifests.resource == (
        "arn:aws:s3:::x/static/staticfiles.json",
        "arn:aws:s3:::x/y/staticfiles.json",
    )


@pytest.mark.parametrize(
    ("endpoint", "tls_only"),
    [
        ("http://127.0.0.1:9000", False),
        ("http://localhost:9000", False),
        ("https://127.0.0.1:9000", True),
        ("http://127.0.0.1.example.com:9000", True),
        ("http://store.internal:9000", True),
        (None, True),
    ],
)
def test_tls_statement_is_omitted_only_for_http_on_loopback(endpoint: str | None, tls_only: bool) -> None:
    for found in statements(deployment(endpoint=endpoint)):
        assert ("TlsOnly" in found) == tls_only


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("eu-central-1", "aws"),
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("eusc-de-east-1", "aws-eusc"),
    ],
)
def test_arns_use_the_regions_partition(region: str, partition: str) -> None:
    site = deployment(region=region)
    texts = [json.dumps(policies.bucket_policy(bucket)) for bucket in site.buckets]
    texts += [json.dumps(policies.document(role(site))) for role in policies.ROLES.values()]
    for text in texts:
        assert text.count("arn:") == text.count(f"arn:{partition}:s3:::") > 0


@pytest.mark.parametrize("access", ACCESS)
def test_actions_have_reasons_and_only_public_read_sets_acls(access: str) -> None:
    found: dict[str, set[str]] = {}
    for name, role in policies.ROLES.items():
        for action, reason in (
            (action, why) for grant in role(deployment(access)) for action, why in grant.actions.items()
        ):
            assert "*" not in action
            assert reason
            found.setdefault(action, set()).add(name)
    assert found["s3:PutObjectAcl"] == ({"web", "access"} if access == "public-read" else {"access"})


@pytest.mark.parametrize("access", ACCESS)
def test_web_role_accesses_pending_only_for_direct_uploads(access: str) -> None:
    for off in (False, True):
        site = deployment(access, media={"direct_uploads": not off})
        assert ("pending/" in json.dumps(policies.document(policies.web(site)))) == (not off)


# On the strict S3 server


def rejected(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as raised:
        call(**arguments)
    return str(raised.value.response["Error"]["Code"])


@pytest.mark.slow
@pytest.mark.parametrize("access", ACCESS)
def test_web_role_is_limited_to_media(s3_site: MakeSite, access: str) -> None:
    site = s3_site(access)
    static, media = site.static_bucket, site.media_bucket
    site.root.put_object(Bucket=static, Key=MANIFEST, Body=b"{}")
    web = site.store.client(key=new_user(site.store, policies.document(policies.web(Deployment.load()))))
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
    assert rejected(web.head_object, Bucket=media, Key="media/a") == "404"
    assert web.get_object(Bucket=static, Key=MANIFEST)["Body"].read() == b"{}"

    assert rejected(web.put_object, Bucket=static, Key="static/a.js", Body=b"") == "AccessDenied"
    assert rejected(web.delete_object, Bucket=static, Key=MANIFEST) == "AccessDenied"
    assert rejected(web.put_object, Bucket=media, Key="elsewhere", Body=b"") == "AccessDenied"
    assert rejected(web.put_bucket_policy, Bucket=media, Policy="{}") == "AccessDenied"
    assert rejected(web.create_bucket, Bucket=f"{media}-more") == "AccessDenied"


@pytest.mark.slow
def test_deploy_role_is_limited_to_static_files(s3_site: MakeSite) -> None:
    site = s3_site()
    static, media = site.static_bucket, site.media_bucket
    deploy = site.store.client(
        key=new_user(site.store, policies.document(policies.deploy(Deployment.load())))
    )
    deploy.put_object(Bucket=static, Key="static/a.css", Body=b"a")
    assert deploy.get_object(Bucket=static, Key="static/a.css")["Body"].read() == b"a"
    assert deploy.list_objects_v2(Bucket=static, Prefix="static/")["KeyCount"] == 1
    assert rejected(deploy.head_object, Bucket=static, Key="static/missing") == "404"

    assert rejected(deploy.delete_object, Bucket=static, Key="static/a.css") == "AccessDenied"
    assert rejected(deploy.put_object, Bucket=media, Key="media/a", Body=b"") == "AccessDenied"
    assert rejected(deploy.list_objects_v2, Bucket=media) == "AccessDenied"


@pytest.mark.slow
def test_visitors_can_only_read(s3_site: MakeSite) -> None:
    site = s3_site("public-policy")
    site.root.put_object(Bucket=site.media_bucket, Key="media/a", Body=b"a")
    assert anonymous(site.url(site.media_bucket, "media/a")).body == b"a"
    assert anonymous(site.url(site.media_bucket, "media/b"), "PUT", body=b"b").status == 403
    assert anonymous(site.url(site.media_bucket, "media/a"), "DELETE").status == 403
    assert anonymous(site.url(site.media_bucket, "")).status == 403
    assert anonymous(site.url(site.media_bucket, "media/a")).body == b"a"
