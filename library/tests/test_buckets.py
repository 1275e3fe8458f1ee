"""The wanted state of the buckets in each access mode, and what visitors can read in them."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3kit import clients
from s3kit.buckets import apply
from s3kit.buckets import wanted as buckets
from s3kit.deployment import Deployment, Key
from s3kit.local.server import LocalServer
from tests.deployments import ACCESS, ARN, REGION, at, deployment, location, of, writes
from tests.ministack import MakeSite, SiteOnS3, anonymous, new_user


def values(site: Deployment, aspect: str) -> list[Any]:
    """Return one aspect of each bucket."""
    found = [each.aspects[aspect] for each in buckets.wanted(site)]
    assert all(want.reason for want in found)
    return [want.value for want in found]


def open_blocks(site: Deployment) -> list[set[str]]:
    """Return the names of each bucket's disabled blocks."""
    found = values(site, "public access block")
    assert all(list(blocks) == list(buckets.BLOCKS) for blocks in found)
    return [{name for name, closed in blocks.items() if not closed} for blocks in found]


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
def test_only_the_blocks_that_prevent_the_access_mode_are_off(
    access: str, blocks: set[str], ownership: str
) -> None:
    site, one = deployment(access), deployment(access, one_bucket=True)
    assert open_blocks(site) == [BY_POLICY, blocks]
    assert values(site, "ownership") == ["BucketOwnerEnforced", ownership]
    # A shared bucket needs the settings of both.
    assert open_blocks(one) == [blocks | BY_POLICY]
    assert values(one, "ownership") == [ownership]


def test_every_block_stays_on_behind_cloudfront() -> None:
    site = deployment("public-policy", distribution=ARN, media={"custom_domain": "m.example.com"})
    assert open_blocks(site) == [set(), set()]


def test_cors_rules_allow_only_the_sites_origins() -> None:
    origins = ("https://www.example.com", "https://example.com")
    (static,), (media,) = values(deployment(origins=origins), "cors")
    (read_only,) = values(deployment(origins=origins, media={"direct_uploads": False}), "cors")[1]
    ((both,),) = values(deployment(origins=origins, one_bucket=True), "cors")
    sent = ["content-type", "if-none-match"]
    for rule, methods, headers in (
        (static, ["GET", "HEAD"], None),
        (media, ["GET", "HEAD", "PUT"], [*sent, "range"]),
        (read_only, ["GET", "HEAD"], ["range"]),
        (both, ["GET", "HEAD", "PUT"], [*sent, "range"]),
    ):
        assert rule["AllowedOrigins"] == list(origins)
        assert rule["AllowedMethods"] == methods
        assert rule.get("AllowedHeaders") == headers
        # Headers for pdf.js. ETag is left out, because it would reveal what other users have sent.
        exposed = {
            "Accept-Ranges",
            "Content-Disposition",
            "Content-Encoding",
            "Content-Length",
            "Content-Range",
        }
        assert set(rule.get("ExposeHeaders", ())) == (exposed if headers else set())
    assert len({rule["ID"] for rule in (static, media, both)}) == 3
    assert values(deployment(), "cors") == [[], []]
    for (rule,) in values(deployment(endpoint="http://127.0.0.1:9000"), "cors"):
        assert rule["AllowedOrigins"] == ["http://127.0.0.1:*", "http://localhost:*"]


@pytest.mark.parametrize("access", ACCESS)
@pytest.mark.parametrize("one_bucket", [False, True])
def test_pending_uploads_expire_and_are_never_public(access: str, one_bucket: bool) -> None:
    site = deployment(access, one_bucket=one_bucket)
    rules = {rule["ID"]: rule for rule in values(site, "lifecycle")[-1]}
    assert rules.pop("django-s3-pending") == {
        "ID": "django-s3-pending",
        "Status": "Enabled",
        "Filter": {"Prefix": "pending/"},
        "Expiration": {"Days": 1},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }
    # Nothing else in the library deletes objects, and nothing makes these readable.
    assert list(rules) == ["django-s3-incomplete-uploads"]
    assert not any("Expiration" in rule for rule in rules.values())
    for statement in values(site, "policy")[-1]:
        if statement["Effect"] == "Allow":
            assert statement["Resource"].endswith(("/static/*", "/media/*"))
    if not one_bucket:
        assert [rule["ID"] for rule in values(site, "lifecycle")[0]] == list(rules)


def test_versioning_is_wanted_only_with_the_option() -> None:
    for versioning in (True, False):
        site = deployment(media={"versioning": versioning})
        assert [("versioning" in each.aspects) for each in buckets.wanted(site)] == [False, versioning]


def test_wanted_buckets_describe_their_contents() -> None:
    site = of(
        location("staticfiles", "static", bucket="one"),
        location(bucket="one"),
        location("avatars", bucket="two", access="public-policy"),
        location("papers", bucket="two", prefix="papers/"),
    )
    assert [each.holds for each in buckets.wanted(site)] == [
        "static files and uploads (private)",
        "avatars (public-policy) and papers (private)",
    ]


# On the strict S3 server


def uploaded(site: SiteOnS3, **acl: str) -> tuple[int, int]:
    """Upload a static file and a picture with the site's key; return the status that a visitor gets for each."""
    s3 = site.store.client(key=site.key)
    s3.put_object(Bucket=site.static_bucket, Key="static/a.css", Body=b"a")
    s3.put_object(Bucket=site.media_bucket, Key="media/a.png", Body=b"a", **acl)
    static, media = site.url(site.static_bucket, "static/a.css"), site.url(site.media_bucket, "media/a.png")
    return anonymous(static).status, anonymous(media).status


@pytest.mark.slow
@pytest.mark.parametrize("one_bucket", [False, True])
@pytest.mark.parametrize("access", ACCESS)
def test_visitors_can_read_only_static_files_and_public_uploads(
    s3_site: MakeSite, access: str, one_bucket: bool
) -> None:
    site = s3_site(access, one_bucket=one_bucket, prepared=False)
    apply.prepare(Deployment.load().with_key(site.store.root))
    acl = {"ACL": "public-read"} if access == "public-read" else {}
    assert uploaded(site, **acl) == (200, 403 if access == "private" else 200)
    site.root.put_object(Bucket=site.static_bucket, Key="other", Body=b"a")
    assert anonymous(site.url(site.static_bucket, "other")).status == 403


@pytest.mark.slow
@pytest.mark.parametrize("one_bucket", [False, True])
@pytest.mark.parametrize("access", ACCESS)
def test_s3_site_creates_the_same_buckets_as_prepare(
    s3_site: MakeSite, access: str, one_bucket: bool
) -> None:
    site = s3_site(access, one_bucket=one_bucket, media={"versioning": True, "bucket_tags": {"a": "b"}})
    assert apply.prepare(Deployment.load().with_key(site.store.root)) == []


@pytest.mark.slow
@pytest.mark.parametrize("access", ACCESS)
def test_new_buckets_deny_visitors_everything(s3_site: MakeSite, access: str) -> None:
    assert uploaded(s3_site(access, prepared=False)) == (403, 403)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("access", "prepared"), [("public-read", False), ("private", True), ("public-policy", True)]
)
def test_buckets_without_acls_reject_an_acl(s3_site: MakeSite, access: str, prepared: bool) -> None:
    site = s3_site(access, prepared=prepared)
    with pytest.raises(ClientError, match="AccessControlListNotSupported"):
        uploaded(site, ACL="public-read")


@pytest.mark.slow
def test_cors_lets_pages_of_the_site_and_runserver_load_fonts(s3_site: MakeSite) -> None:
    site = s3_site(AWS_SITE_ORIGINS=[" https://WWW.example.com:443/ "])  # browsers don't send it like this
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
        assert allowed(origin, "media/a.png") == origin  # for scripts with a link
    assert allowed("https://evil.example.com") is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("us-east-1", {}),
        ("eu-central-1", {"CreateBucketConfiguration": {"LocationConstraint": "eu-central-1"}}),
    ],
)
def test_create_bucket_sends_a_location_except_in_us_east_1(
    store: LocalServer, bucket_name: str, region: str, expected: dict[str, Any]
) -> None:
    site = at(store, location(bucket=bucket_name, region=region))
    with writes(site) as made:
        apply.prepare(site)
    assert made[0] == ("CreateBucket", {"Bucket": bucket_name, **expected})


@pytest.mark.slow
def test_account_regional_bucket_is_created_in_its_namespace(store: LocalServer) -> None:
    name = f"acme-000000000000-{REGION}-an"
    site = at(store, location(bucket=name))
    with writes(site) as made:
        apply.prepare(site)
    assert made[0][1]["BucketNamespace"] == "account-regional"
    assert store.client().head_bucket(Bucket=name)


@pytest.mark.slow
def test_every_request_contains_the_expected_owner(store: LocalServer, bucket_name: str) -> None:
    site = at(store, location(bucket=bucket_name, owner="000000000000"))
    made: dict[str, dict[str, Any]] = {}
    clients.command(site.buckets[0].target).meta.events.register_last(
        "before-parameter-build.s3", lambda params, model, **_: made.update({model.name: dict(params)})
    )
    apply.prepare(site)
    assert "ExpectedBucketOwner" not in made.pop("CreateBucket")  # which accepts none
    assert len(made) == 10
    assert all(params["ExpectedBucketOwner"] == "000000000000" for params in made.values())


@pytest.mark.slow
def test_missing_permission_is_reported_in_one_line(store: LocalServer, bucket_name: str) -> None:
    key: Key = new_user(store)
    with pytest.raises(buckets.BucketError) as raised:
        apply.prepare(at(store, location(bucket=bucket_name)).with_key(key))
    assert str(raised.value).startswith(f"{bucket_name}: these credentials lack s3:CreateBucket")
    assert len(str(raised.value).splitlines()) == 1
