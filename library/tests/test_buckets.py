"""The wanted state of the buckets: what it is in each mode, made from nothing, and what a visitor gets."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3kit.buckets import apply
from s3kit.buckets import wanted as buckets
from s3kit import clients
from s3kit.local.server import LocalServer
from s3kit.deployment import Site
from tests.ministack import REGION, MakeSite, SiteOnS3, anonymous, new_user

pytestmark = pytest.mark.slow

ACCESS = ["private", "public-read", "public-policy"]
ARN = "arn:aws:cloudfront::123456789012:distribution/E1ABCDEFGHIJKL"
SITE = Site(region=REGION, static_bucket="acme-static", media_bucket="acme-media")


def value(site: Site, bucket: str, aspect: str) -> Any:
    (found,) = (each for each in buckets.wanted(site) if each.name == bucket)
    assert all(want.reason for want in found.aspects.values())
    return found.aspects[aspect].value


def open_blocks(site: Site, bucket: str) -> set[str]:
    blocks = value(site, bucket, "public access block")
    assert set(blocks) == {
        "BlockPublicAcls",
        "IgnorePublicAcls",
        "BlockPublicPolicy",
        "RestrictPublicBuckets",
    }
    return {name for name, closed in blocks.items() if not closed}


BY_ACL = {"BlockPublicAcls", "IgnorePublicAcls"}
BY_POLICY = {"BlockPublicPolicy", "RestrictPublicBuckets"}


@pytest.mark.parametrize(
    ("access", "blocks", "ownership"),
    [
        ("private", set(), "BucketOwnerEnforced"),
        ("public-read", BY_ACL, "BucketOwnerPreferred"),
        ("public-policy", BY_POLICY, "BucketOwnerEnforced"),
    ],
)
def test_just_the_blocks_are_off_that_the_mode_needs(access: str, blocks: set[str], ownership: str) -> None:
    site = replace(SITE, access=access)
    assert open_blocks(site, "acme-media") == blocks
    assert value(site, "acme-media", "ownership") == ownership
    assert open_blocks(site, "acme-static") == BY_POLICY
    assert value(site, "acme-static", "ownership") == "BucketOwnerEnforced"
    # One bucket for both needs what both need.
    one = replace(site, media_bucket="acme-static")
    assert len(buckets.wanted(one)) == 1
    assert open_blocks(one, "acme-static") == blocks | BY_POLICY
    assert value(one, "acme-static", "ownership") == ownership


def test_behind_cloudfront_every_block_stays_on() -> None:
    site = replace(SITE, access="public-policy", distribution=ARN, media_domain="m.example.com")
    assert open_blocks(site, "acme-static") == open_blocks(site, "acme-media") == set()


def test_cors_is_for_the_sites_origins() -> None:
    site = replace(SITE, origins=("https://www.example.com", "https://example.com"))
    (static,), (media,) = value(site, "acme-static", "cors"), value(site, "acme-media", "cors")
    for rule, methods in ((static, ["GET", "HEAD"]), (media, ["POST", "PUT"])):
        assert rule["AllowedOrigins"] == ["https://www.example.com", "https://example.com"]
        assert rule["AllowedMethods"] == methods
        assert not {"AllowedHeaders", "ExposeHeaders"} & set(rule)
    assert value(replace(site, media_bucket="acme-static"), "acme-static", "cors") == [static, media]
    desk = replace(site, endpoint="http://127.0.0.1:9000")
    for bucket in ("acme-static", "acme-media"):
        assert value(SITE, bucket, "cors") == []
        (rule,) = value(desk, bucket, "cors")
        assert rule["AllowedOrigins"][2:] == ["http://127.0.0.1:*", "http://localhost:*"]


@pytest.mark.parametrize("access", ACCESS)
def test_what_nobody_accepted_expires_and_is_never_public(access: str) -> None:
    site = replace(SITE, access=access)
    for each in (site, replace(site, media_bucket="acme-static")):
        rules = {rule["ID"]: rule for rule in value(each, each.media_bucket, "lifecycle")}
        assert rules["django-s3-pending"] == {
            "ID": "django-s3-pending",
            "Status": "Enabled",
            "Filter": {"Prefix": "pending/"},
            "Expiration": {"Days": 1},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
        }
        # Nothing else of ours deletes an object, and nothing opens these.
        assert not any("Expiration" in rule for name, rule in rules.items() if name != "django-s3-pending")
        for statement in value(each, each.media_bucket, "policy"):
            if statement["Effect"] == "Allow":
                assert statement["Resource"].endswith(("/static/*", "/media/*"))
    assert [rule["ID"] for rule in value(site, "acme-static", "lifecycle")] == [
        "django-s3-incomplete-uploads"
    ]


def test_versioning_is_wanted_on_media_where_it_is_on() -> None:
    site = replace(SITE, versioning=True)
    assert [("versioning" in bucket.aspects) for bucket in buckets.wanted(site)] == [False, True]
    assert not any("versioning" in bucket.aspects for bucket in buckets.wanted(SITE))


# On the strict S3, from nothing


def uploaded(site: SiteOnS3, **acl: str) -> tuple[int, int]:
    """Upload a static file and a picture with the site's key; return what a visitor gets of them."""
    s3 = clients.client()
    s3.put_object(Bucket=site.static_bucket, Key="static/a.css", Body=b"a")
    s3.put_object(Bucket=site.media_bucket, Key="media/a.png", Body=b"a", **acl)
    static, media = site.url(site.static_bucket, "static/a.css"), site.url(site.media_bucket, "media/a.png")
    return anonymous(static).status, anonymous(media).status


@pytest.mark.parametrize("one_bucket", [False, True])
@pytest.mark.parametrize("access", ACCESS)
def test_what_a_visitor_gets(s3_site: MakeSite, access: str, one_bucket: bool) -> None:
    site = s3_site(access, one_bucket=one_bucket)
    acl = {"ACL": "public-read"} if access == "public-read" else {}
    assert uploaded(site, **acl) == (200, 403 if access == "private" else 200)
    site.root.put_object(Bucket=site.static_bucket, Key="other", Body=b"a")
    assert anonymous(site.url(site.static_bucket, "other")).status == 403


@pytest.mark.parametrize("access", ACCESS)
def test_a_new_default_bucket_shows_a_visitor_nothing(s3_site: MakeSite, access: str) -> None:
    assert uploaded(s3_site(access, prepared=False)) == (403, 403)


@pytest.mark.parametrize(
    ("access", "prepared"), [("public-read", False), ("private", True), ("public-policy", True)]
)
def test_an_acl_is_refused_where_the_bucket_is_not_for_it(
    s3_site: MakeSite, access: str, prepared: bool
) -> None:
    site = s3_site(access, prepared=prepared)
    with pytest.raises(ClientError, match="AccessControlListNotSupported"):
        uploaded(site, ACL="public-read")


@pytest.mark.parametrize("one_bucket", [False, True])
@pytest.mark.parametrize("access", ACCESS)
def test_the_buckets_are_as_wanted_and_stay_so(s3_site: MakeSite, access: str, one_bucket: bool) -> None:
    site = s3_site(
        access, one_bucket=one_bucket, AWS_MEDIA_VERSIONING=True, SITE_ORIGINS=["https://example.com"]
    )
    s3 = site.root
    for bucket in {site.static_bucket, site.media_bucket}:
        is_media, is_static = bucket == site.media_bucket, bucket == site.static_bucket
        assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] == REGION
        (owner,) = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
        acls = is_media and access == "public-read"
        assert owner["ObjectOwnership"] == ("BucketOwnerPreferred" if acls else "BucketOwnerEnforced")
        blocks = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        assert blocks["IgnorePublicAcls"] is not acls
        assert blocks["RestrictPublicBuckets"] is not (is_static or access == "public-policy")
        (encryption,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        assert encryption["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
        rule, *more = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        assert (rule["Status"], rule["AbortIncompleteMultipartUpload"]) == (
            "Enabled",
            {"DaysAfterInitiation": 7},
        )
        assert [each["Filter"] for each in more] == [{"Prefix": "pending/"}] * is_media
        assert s3.get_bucket_versioning(Bucket=bucket).get("Status") == ("Enabled" if is_media else None)
    assert apply.prepare(s3, Site.from_settings()) == []


def test_pages_of_the_site_and_of_the_desk_may_load_fonts(s3_site: MakeSite) -> None:
    site = s3_site(SITE_ORIGINS=["https://www.example.com"])
    uploaded(site)

    def allowed(origin: str, key: str = "static/a.css", method: str = "GET") -> str | None:
        headers = {"Origin": origin, "Access-Control-Request-Method": method}
        bucket = site.static_bucket if key.startswith("static/") else site.media_bucket
        preflight = anonymous(site.url(bucket, key), "OPTIONS", headers)
        plain = anonymous(site.url(bucket, key), "HEAD", {"Origin": origin})
        if method == "GET":
            assert preflight.headers.get("access-control-allow-origin") == plain.headers.get(
                "access-control-allow-origin"
            )
        return preflight.headers.get("access-control-allow-origin")

    for origin in ("https://www.example.com", "http://127.0.0.1:8000", "http://localhost:8123"):
        assert allowed(origin) == origin
        assert allowed(origin, method="PUT") is None
        assert allowed(origin, "media/a.png") is None
    assert allowed("https://evil.example.com") is None


def test_what_others_have_put_there_stays(s3_site: MakeSite) -> None:
    site = s3_site()
    s3, bucket = site.root, site.static_bucket
    theirs = {"Sid": "Theirs", "Effect": "Deny", "Principal": "*", "Action": "s3:GetObject"}
    theirs["Resource"] = f"arn:aws:s3:::{bucket}/secret"
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": theirs}))
    rule = {"ID": "theirs", "AllowedOrigins": ["https://a.example"], "AllowedMethods": ["GET"]}
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    expiry = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 1}}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [expiry]})

    changed = apply.prepare(s3, Site.from_settings())
    assert changed == [(bucket, "lifecycle"), (bucket, "cors"), (bucket, "policy")]
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    assert [statement["Sid"] for statement in policy["Statement"]] == ["Theirs", "DjangoS3StaticRead"]
    rules = s3.get_bucket_cors(Bucket=bucket)["CORSRules"]
    assert [each["ID"] for each in rules] == ["theirs", "django-s3-static"]
    rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert [each["ID"] for each in rules] == ["theirs", "django-s3-incomplete-uploads"]
    assert apply.prepare(s3, Site.from_settings()) == []


def test_from_public_to_private(s3_site: MakeSite, settings: Any) -> None:
    site = s3_site("public-policy")
    assert uploaded(site) == (200, 200)
    settings.AWS_MEDIA_ACCESS = "private"
    changed = apply.prepare(site.root, Site.from_settings())
    assert changed == [(site.media_bucket, "public access block"), (site.media_bucket, "policy")]
    assert uploaded(site) == (200, 403)


# Requests and their order


@contextmanager
def requests(s3: Any, *, fail_at: int | None = None) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Record the writing calls of a client with their parameters; the one of the number fails instead."""
    made: list[tuple[str, dict[str, Any]]] = []

    def record(params: dict[str, Any], model: Any, **_kwargs: Any) -> None:
        if model.name.startswith(("Get", "Head")):
            return
        if len(made) == fail_at:
            error = {"Error": {"Code": "InternalError", "Message": "no"}, "ResponseMetadata": {}}
            raise ClientError(error, model.name)
        made.append((model.name, dict(params)))

    s3.meta.events.register("provide-client-params.s3", record)
    yield made


def upload_with_public_acl(root: Any, site: Site) -> None:
    """Upload as if it had been done while the bucket's block let it through."""
    named = {"Bucket": site.media_bucket}
    block = root.get_public_access_block(**named)["PublicAccessBlockConfiguration"]
    root.put_public_access_block(**named, PublicAccessBlockConfiguration=block | {"BlockPublicAcls": False})
    root.put_object(**named, Key="media/old", Body=b"a", ACL="public-read")
    root.put_public_access_block(**named, PublicAccessBlockConfiguration=block)


@pytest.mark.parametrize("access", ACCESS)
def test_a_failure_in_the_middle_leaves_nothing_open(
    store: LocalServer, bucket_name: str, access: str
) -> None:
    site = Site(REGION, bucket_name, bucket_name, access=access, endpoint=store.endpoint)
    address = f"{store.endpoint}/{bucket_name}"
    root, steps = store.client(), []
    while True:  # one step further each time, until nothing is left to fail
        s3 = store.client()
        with requests(s3, fail_at=1) as made:
            try:
                apply.prepare(s3, site)
            except buckets.BucketError as error:
                message = str(error)
            else:
                break
        steps.append(made[0][0])
        assert message.startswith(f"{bucket_name}: ")
        assert message.endswith("was refused: InternalError: no")
        if access == "public-read" and "PutBucketOwnershipControls" in steps[:-1]:
            # Nobody may upload with a public ACL yet, but an older upload may have one.
            upload_with_public_acl(root, site)
        for key in ("static/a", "media/a"):
            root.put_object(Bucket=bucket_name, Key=key, Body=b"a")
        for key in ("static/a", "media/a", "media/old"):
            assert anonymous(f"{address}/{key}").status in {403, 404}
    assert steps[0] == "CreateBucket"
    assert steps[-1] == "PutBucketPolicy"
    # The one step that opens anything is the last one.
    assert [name for name, _ in made] == ["PutPublicAccessBlock"]
    assert anonymous(f"{address}/static/a").status == 200


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("us-east-1", {}),
        ("eu-central-1", {"CreateBucketConfiguration": {"LocationConstraint": "eu-central-1"}}),
    ],
)
def test_us_east_1_takes_no_location(
    store: LocalServer, bucket_name: str, region: str, expected: dict[str, Any]
) -> None:
    s3 = replace(store, region=region).client()
    with requests(s3) as made:
        apply.prepare(s3, Site(region, bucket_name, bucket_name, endpoint=store.endpoint))
    assert made[0] == ("CreateBucket", {"Bucket": bucket_name, **expected})


def test_a_regional_name_comes_with_its_namespace(store: LocalServer) -> None:
    name = f"acme-000000000000-{REGION}-an"
    s3 = store.client()
    with requests(s3) as made:
        apply.prepare(s3, Site(REGION, name, name, endpoint=store.endpoint))
    assert made[0][1]["BucketNamespace"] == "account-regional"
    assert store.client().head_bucket(Bucket=name)


def test_every_request_names_the_expected_owner(store: LocalServer, bucket_name: str) -> None:
    s3 = store.client()
    made: dict[str, dict[str, Any]] = {}
    s3.meta.events.register(
        "provide-client-params.s3", lambda params, model, **_: made.update({model.name: dict(params)})
    )
    apply.prepare(s3, Site(REGION, bucket_name, bucket_name, endpoint=store.endpoint, owner="000000000000"))
    assert "ExpectedBucketOwner" not in made.pop("CreateBucket")  # which takes none
    assert len(made) > 10
    assert all(params["ExpectedBucketOwner"] == "000000000000" for params in made.values())


def test_a_refusal_is_one_line(store: LocalServer, bucket_name: str) -> None:
    nobody = store.client(key=new_user(store))
    with pytest.raises(buckets.BucketError) as raised:
        apply.prepare(nobody, Site(REGION, bucket_name, bucket_name, endpoint=store.endpoint))
    assert str(raised.value).startswith(f"{bucket_name}: these credentials may not s3:GetBucketLocation")
    assert len(str(raised.value).splitlines()) == 1
