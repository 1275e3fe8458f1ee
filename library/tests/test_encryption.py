"""What companies require of buckets: encryption with one setting, checksums for Object Lock, and tags."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage, storages
from django.core.management import call_command

from s3kit import clients, encryption, uploads
from s3kit.buckets import apply, plan, policies, show
from s3kit.buckets import wanted as buckets
from s3kit.buckets.account import Account
from s3kit.buckets.cloudformation import template
from s3kit.deployment import Deployment
from s3kit.publishing import push
from s3kit.storages import MediaStorage
from s3kit.uploads import Kind
from tests.deployments import as_root, deployment, location, of
from tests.fault_proxy import Fault, FaultProxy
from tests.ministack import MakeSite, SiteOnS3, anonymous, s3_settings
from tests.test_cloudformation_lint import findings

KEY = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OTHER_KEY = KEY.replace("1234abcd", "ffffffff")
SSE, KMS = "s3:x-amz-server-side-encryption", "s3:x-amz-server-side-encryption-aws-kms-key-id"
LARGE = 9 * 2**20  # more than one part


# The setting


@pytest.mark.parametrize("value", ["", "AES256", "aws:kms", KEY, KEY.replace("key/", "key/mrk-")])
def test_valid_encryption_values_are_accepted(settings: Any, value: str) -> None:
    s3_settings(settings, AWS_S3_ENCRYPTION=f" {value} ")
    assert {location.target.encryption for location in Deployment.load().locations} == {value}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("kms", "is 'kms': set it to 'AES256', to 'aws:kms', or to the ARN of a KMS key"),
        ("aes256", "is 'aes256'"),
        (KEY.replace("key/", "alias/"), "the ARN of a KMS key"),
        (f"{KEY}\n.", "the ARN of a KMS key"),
        (
            KEY.replace("eu-central-1", "us-east-1"),
            "is a key in us-east-1, but the bucket is in eu-central-1",
        ),
    ],
)
def test_invalid_encryption_values_raise(settings: Any, value: str, says: str) -> None:
    s3_settings(settings)
    with pytest.raises(ImproperlyConfigured, match=says):
        MediaStorage(bucket_name="acme-media", encryption=value)


def test_encryption_option_of_a_storage_overrides_the_setting(settings: Any) -> None:
    s3_settings(settings, AWS_S3_ENCRYPTION=KEY, static={"encryption": "AES256"})
    found = Deployment.load()
    assert [each.target.encryption for each in found.locations] == [KEY, "AES256"]
    assert Deployment.load(local=True).media[0].target.encryption == "AES256"  # no KMS key exists


# Requests: like AWS, MiniStack denies requests whose headers a policy denies.


def deny_other_encryption(value: str, bucket: str, **condition: Any) -> dict[str, Any]:
    """Return a statement that denies objects with another encryption."""
    return {
        "Sid": "DenyOtherEncryption",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
        "Condition": condition or {"StringNotEquals": {SSE: encryption.algorithm(value)}},
    }


def require_encryption(site: SiteOnS3, value: str) -> None:
    for bucket in (site.media_bucket, site.static_bucket):
        document = {"Version": policies.VERSION, "Statement": [deny_other_encryption(value, bucket)]}
        site.root.put_bucket_policy(Bucket=bucket, Policy=json.dumps(document))


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.parametrize("value", ["AES256", KEY])
def test_every_upload_requests_the_encryption(
    s3_site: MakeSite, settings: Any, tmp_path: Path, value: str
) -> None:
    site = s3_site(AWS_S3_ENCRYPTION=value)
    require_encryption(site, value)
    upload_in_every_way(site)
    deploy_static_files(settings, tmp_path)
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "old.txt").write_bytes(b"x")
    (folder / "old.bin").write_bytes(b"x" * LARGE)
    media: Any = storages["default"]
    report = push.push(folder, media, progress=lambda *_: None)
    assert not report.errors
    for bucket, count in ((site.media_bucket, 7), (site.static_bucket, 6)):
        found = site.root.list_objects_v2(Bucket=bucket)["Contents"]
        assert len(found) >= count
        for entry in found:
            head = site.root.head_object(Bucket=bucket, Key=entry["Key"])
            assert head["ServerSideEncryption"] == encryption.algorithm(value)
            assert head.get("SSEKMSKeyId", "") == encryption.key(value)


def upload_in_every_way(site: SiteOnS3) -> None:
    default_storage.save("small.txt", ContentFile(b"x"))
    name = default_storage.save("large.bin", ContentFile(b"x" * LARGE))
    assert default_storage.size(name) == LARGE
    with default_storage.open("written.txt", "wb") as file:
        file.write(b"x")
    user = User.objects.create_user("editor", is_staff=True)
    kind = Kind(("txt",), 2**30, upload_to="texts/")
    for size in (5, 20 * 2**20):
        ticket = uploads.begin(user, kind, name="a.txt", size=size)
        for part in uploads.sending(ticket)["parts"]:
            body = b"x" * (part["end"] - part["start"])
            if part["headers"]:  # the link is valid only with them
                bare = {name: each for name, each in part["headers"].items() if "x-amz" not in name}
                assert anonymous(part["url"], "PUT", bare, body).status == 403
            assert anonymous(part["url"], "PUT", part["headers"], body).status == 200
        with uploads.accepting(ticket) as accepted:
            assert default_storage.size(accepted.keep()) == size
            accepted.accepted()
    preflight = {
        "Origin": "http://127.0.0.1:8000",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": ", ".join(encryption.headers(default_storage.target.encryption)),  # type: ignore[attr-defined]
    }
    assert anonymous(site.url(site.media_bucket, "pending/x"), "OPTIONS", preflight).status == 200


def deploy_static_files(settings: Any, folder: Path) -> None:
    sources = folder / "sources"
    sources.mkdir()
    (sources / "a.css").write_text("body {}")
    (sources / "video.mp4").write_bytes(b"x" * LARGE)
    settings.STATICFILES_DIRS = [sources]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    call_command("collectstatic", interactive=False, verbosity=0)


def test_encryption_in_a_call_overrides_the_setting(settings: Any) -> None:
    own = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": OTHER_KEY}
    s3_settings(settings, AWS_S3_ENCRYPTION=KEY)
    client = clients.command(Deployment.load().media[0].target)
    sent: list[dict[str, Any]] = []
    client.meta.events.register(
        "before-call.s3", lambda params, **_: sent.append(params["headers"]) or (_Response(), {})
    )
    client.put_object(Bucket="acme-media", Key="a", **own)
    client.put_object(Bucket="acme-media", Key="a", SSECustomerAlgorithm="AES256", SSECustomerKey="x" * 32)
    client.head_object(Bucket="acme-media", Key="a")
    names = [encryption.HEADER, encryption.KEY_HEADER]
    found = [[each.get(name) for name in names] for each in sent]
    assert found == [["aws:kms", OTHER_KEY], [None, None], [None, None]]


class _Response:
    status_code = 200


# Buckets


def test_default_encryption_follows_the_setting() -> None:
    for value, rule in {
        "": {"SSEAlgorithm": "AES256"},
        "aws:kms": {"SSEAlgorithm": "aws:kms"},
        KEY: {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY},
    }.items():
        (want,) = buckets.wanted(of(location(encryption=value)))
        found = encryption.default_rule(want.aspects["encryption"].value)
        assert found.pop("BucketKeyEnabled", False) == value.startswith(("aws", "arn"))
        assert found == {"ApplyServerSideEncryptionByDefault": rule}
        assert encryption.of_rule(found) == (value or "AES256")  # type: ignore[arg-type]


def test_storages_with_different_encryption_keep_the_default() -> None:
    site = of(location(encryption=KEY), location("more", prefix="more/", encryption="AES256"))
    (want,) = buckets.wanted(site)
    assert want.aspects["encryption"].value == "AES256"


@pytest.mark.parametrize(
    ("setting", "live", "becomes"),
    [
        ("", "aws:kms", "aws:kms"),  # stricter, so it stays
        ("AES256", f"aws:kms with alias/{KEY}", f"aws:kms with alias/{KEY}"),
        ("", KEY, KEY),
        ("aws:kms", KEY, "aws:kms"),
        (KEY, "AES256", KEY),
        (KEY, OTHER_KEY, KEY),
        (KEY, KEY, KEY),
    ],
)
def test_plan_changes_the_default_encryption_unless_it_is_stricter(
    setting: str, live: str, becomes: str
) -> None:
    (want,) = buckets.wanted(of(location(encryption=setting)))
    state = {title: each.value for title, each in want.aspects.items()} | {"encryption": live}
    found = plan.compare(want, state, Account(), replace=False)
    line = found.lines[0]
    assert (line.goal, line.changes, found.is_as_wanted) == (becomes, live != becomes, live == becomes)
    assert bool(line.left_alone) == (live == becomes != setting)


@pytest.mark.slow
def test_apply_sets_the_default_encryption(s3_site: MakeSite) -> None:
    site = s3_site(AWS_S3_ENCRYPTION=KEY, static={"encryption": "AES256"})
    rule = site.root.get_bucket_encryption(Bucket=site.media_bucket)["ServerSideEncryptionConfiguration"][
        "Rules"
    ][0]
    assert rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"] == KEY
    assert rule["BucketKeyEnabled"]
    assert all(found.is_as_wanted for found in plan.plan(as_root(site.store)))


@pytest.mark.slow
def test_cloudformation_template_contains_encryption_and_tags(tmp_path: Path) -> None:
    tags = (("CostCenter", "1234"), ("Team", "web"))
    made = template(
        deployment(
            media={"encryption": KEY, "direct_uploads": True}, tags=tags, origins=("https://a.example",)
        )
    )
    properties = made["Resources"]["MediaBucket"]["Properties"]
    assert properties["BucketEncryption"]["ServerSideEncryptionConfiguration"] == [
        {
            "ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY},
            "BucketKeyEnabled": True,
        }
    ]
    assert properties["Tags"] == [{"Key": key, "Value": value} for key, value in tags]
    (rule,) = properties["CorsConfiguration"]["CorsRules"]
    assert set(encryption.headers(KEY)) < set(rule["AllowedHeaders"])
    (tmp_path / "template.json").write_text(json.dumps(made))
    assert findings(str(tmp_path / "template.json"), "--regions", "eu-central-1") == []


# Encryption required by the bucket policy


@pytest.mark.parametrize(
    ("condition", "passes", "suggests"),
    [
        ({"StringNotEquals": {SSE: "aws:kms"}}, {"aws:kms", KEY}, "'aws:kms'"),
        ({"StringNotEquals": {SSE: ["AES256", "aws:kms"]}}, {"AES256", "aws:kms", KEY}, "'AES256'"),
        ({"Null": {SSE: "true"}}, {"AES256", "aws:kms", KEY}, "'AES256'"),
        ({"Null": {SSE: "false"}}, {""}, "no value"),
        ({"StringNotEqualsIfExists": {SSE: "aws:kms"}}, {"aws:kms", KEY}, "'aws:kms'"),
        ({"ArnNotEqualsIfExists": {KMS: KEY}}, {KEY}, f"'{KEY}'"),
        ({"StringNotLike": {KMS: "arn:aws:kms:*:123456789012:key/*"}}, {KEY}, "no value"),
        ({"ForAnyValue:StringNotEquals": {KMS.upper(): KEY}}, {KEY}, f"'{KEY}'"),
        ({"StringEquals": {SSE: "AES256"}}, {"", "aws:kms", KEY}, "'aws:kms'"),
        # The condition on principals may match the site's.
        (
            {"StringNotEquals": {SSE: "aws:kms"}, "StringLike": {"aws:PrincipalArn": "*"}},
            {"aws:kms", KEY},
            "'aws:kms'",
        ),
        ({"Bool": {"aws:SecureTransport": "false"}}, {"", "AES256", "aws:kms", KEY}, ""),
    ],
)
def test_plan_reports_a_policy_that_rejects_the_encryption(
    condition: Any, passes: set[str], suggests: str
) -> None:
    statement = deny_other_encryption("", "acme-media", **condition)
    for value in ("", "AES256", "aws:kms", KEY):
        (want,) = buckets.wanted(of(location(encryption=value)))
        state = {title: each.value for title, each in want.aspects.items()}
        state["policy"] = [*state["policy"], statement]
        found = plan.compare(want, state, Account(), replace=False)
        assert found.is_as_wanted == (value in passes), (value, found.rejected)
        if value not in passes:
            assert suggests in found.rejected[0]
            assert "! the policy rejects files that STORAGES['default'] stores" in show.as_text(
                [found], width=1000
            )
            assert "1 setting to correct" in show.as_text([found], width=1000)


@pytest.mark.parametrize(
    ("change", "rejects"),
    [
        ({"Action": ["s3:Get*", "s3:Put*"]}, True),
        ({"Action": "s3:GetObject"}, False),
        ({"Action": None, "NotAction": "s3:GetObject"}, True),
        ({"Action": None, "NotAction": "s3:put*"}, False),
        ({"Resource": "arn:aws:s3:::acme-media/media/*"}, True),
        ({"Resource": "arn:aws:s3:::acme-media/pending/*"}, True),
        ({"Resource": "arn:aws:s3:::acme-media/logs/*"}, False),
        ({"Resource": None, "NotResource": "arn:aws:s3:::acme-media/logs/*"}, True),
        ({"Effect": "Allow"}, False),
    ],
)
def test_plan_ignores_statements_that_do_not_affect_the_sites_files(
    change: dict[str, Any], rejects: bool
) -> None:
    statement = {
        name: each for name, each in (deny_other_encryption("AES256", "acme-media") | change).items() if each
    }
    (want,) = buckets.wanted(of(location()))
    state = {title: each.value for title, each in want.aspects.items()}
    state["policy"] = [*state["policy"], statement]
    assert bool(plan.compare(want, state, Account(), replace=False).rejected) == rejects


@pytest.mark.slow
def test_s3_rejects_uploads_as_plan_reports(s3_site: MakeSite, settings: Any) -> None:
    site = s3_site()
    require_encryption(site, "AES256")
    (found,) = (each for each in plan.plan(as_root(site.store)) if each.name == site.media_bucket)
    assert "to 'AES256'" in found.rejected[0]
    with pytest.raises(Exception, match="AccessDenied"):
        default_storage.save("a.txt", ContentFile(b"x"))
    settings.AWS_S3_ENCRYPTION = "AES256"
    assert not any(each.rejected for each in plan.plan(as_root(site.store)))
    default_storage.save("a.txt", ContentFile(b"x"))


# Roles


def test_roles_may_use_kms_keys_only_through_s3() -> None:
    site = deployment(static={"encryption": OTHER_KEY}, media={"encryption": KEY})
    wanted = {
        "web": {(KEY, "kms:GenerateDataKey"), (KEY, "kms:Decrypt"), (OTHER_KEY, "kms:Decrypt")},
        "deploy": {(OTHER_KEY, "kms:GenerateDataKey"), (OTHER_KEY, "kms:Decrypt")},
        "prune": {(OTHER_KEY, "kms:GenerateDataKey"), (OTHER_KEY, "kms:Decrypt")},
        "access": set(),
        "setup": set(),
    }
    for role, grants in policies.ROLES.items():
        statements = [
            each
            for each in policies.document(grants(site))["Statement"]
            if any(action.startswith("kms:") for action in each["Action"])
        ]
        assert {(each["Resource"], action) for each in statements for action in each["Action"]} == wanted[
            role
        ]
        for each in statements:
            assert each["Condition"] == {
                "StringEquals": {"kms:ViaService": ["s3.eu-central-1.amazonaws.com"]}
            }


def test_kms_condition_in_china_has_both_service_names() -> None:
    key = KEY.replace("arn:aws:", "arn:aws-cn:").replace("eu-central-1", "cn-north-1")
    (grant,) = (
        each
        for each in policies.web(of(location(region="cn-north-1", encryption=key)))
        if "kms:Decrypt" in each.actions
    )
    names = ["s3.cn-north-1.amazonaws.com", "s3.cn-north-1.amazonaws.com.cn"]
    assert grant.condition == {"StringEquals": {"kms:ViaService": names}}


@pytest.mark.parametrize("value", ["AES256", "aws:kms"])
def test_roles_have_no_kms_permissions_without_a_custom_key(value: str) -> None:
    site = deployment(static={"encryption": value}, media={"encryption": value})
    text = json.dumps([policies.document(grants(site)) for grants in policies.ROLES.values()])
    assert "kms" not in text


# Checksums, which S3 requires for uploads to buckets with Object Lock and a default retention


@contextmanager
def locking(site: SiteOnS3, settings: Any, folder: Path) -> Iterator[FaultProxy]:
    """Make USE_S3 = "local" use a proxy that requires checksums, as buckets with Object Lock do."""
    with FaultProxy(site.store.endpoint) as proxy, (folder / "lock").open("w") as lock:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX)
        (folder / "endpoint").write_text(f"{proxy.endpoint}\n")
        keys = f"aws_access_key_id={site.key.id}\naws_secret_access_key={site.key.secret}\n"
        (folder / "credentials").write_text(f"[default]\n{keys}")
        settings.USE_S3, settings.S3KIT_LOCAL_DIR = "local", folder
        proxy.faults.append(
            Fault(
                "PUT",
                r"^/[^/]+/[^?]+",
                lacks="content-md5|x-amz-checksum-.+",
                status=400,
                code="InvalidRequest",
            )
        )
        yield proxy


@pytest.mark.slow
def test_buckets_with_object_lock_accept_static_files_and_uploads(
    s3_site: MakeSite, settings: Any, tmp_path: Path
) -> None:
    site = s3_site(AWS_S3_REGION_NAME="eu-central-1")
    with locking(site, settings, tmp_path) as proxy:
        deploy_static_files(settings, tmp_path)
        default_storage.save("small.txt", ContentFile(b"x"))
        default_storage.save("large.bin", ContentFile(b"x" * LARGE))
        assert proxy.count("PUT") > 8
        assert {request.status for request in proxy.matching("PUT")} == {200}
    head = site.root.head_object(Bucket=site.static_bucket, Key="static/a.css", ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"]


def test_static_files_get_checksums_only_on_aws(settings: Any) -> None:
    s3_settings(settings, AWS_S3_ENDPOINT_URL="https://s3.example.com")
    assert (
        "checksum_algorithm"
        not in clients.obstore_store(Deployment.load().locations[0].target, "acme").config
    )
    s3_settings(settings)
    settings.AWS_S3_ENDPOINT_URL = None
    config = clients.obstore_store(Deployment.load().locations[0].target, "acme").config
    assert config["checksum_algorithm"] == "SHA256"


# Tags


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("CostCenter=1", "set it to a dict"),
        ({"CostCenter": 1}, "both must be strings"),
        ({"": "x"}, "a key can have 1 to 128 characters"),
        ({"a": "x" * 257}, "at most 256"),
        ({"a": "<x>"}, "letters, digits"),
        ({"AWS:a": "x"}, "AWS reserves the tag"),
        ({str(number): "x" for number in range(51)}, "at most 50"),
    ],
)
def test_invalid_tags_raise(settings: Any, value: Any, says: str) -> None:
    s3_settings(settings)
    with pytest.raises(ImproperlyConfigured, match=says):
        MediaStorage(bucket_name="acme-media", bucket_tags=value)


@pytest.mark.slow
def test_apply_sets_tags_and_keeps_other_tags(s3_site: MakeSite, settings: Any) -> None:
    site = s3_site()

    def tags() -> dict[str, str]:
        found = site.root.get_bucket_tagging(Bucket=site.media_bucket)["TagSet"]
        return {tag["Key"]: tag["Value"] for tag in found}

    theirs = [{"Key": "Owner", "Value": "data"}, {"Key": "Team", "Value": "old"}]
    site.root.put_bucket_tagging(Bucket=site.media_bucket, Tagging={"TagSet": theirs})
    assert apply.prepare(as_root(site.store)) == []  # without the option, tags are ignored
    settings.AWS_BUCKET_TAGS = {"Team": "web", "CostCenter": "ä 1+2"}
    assert sorted(apply.prepare(as_root(site.store))) == [
        (site.media_bucket, "tags"),
        (site.static_bucket, "tags"),
    ]
    assert tags() == {"Owner": "data", "Team": "web", "CostCenter": "ä 1+2"}
    assert apply.prepare(as_root(site.store)) == []


def test_setup_role_has_tag_permissions_only_with_tags() -> None:
    for tags, count in (((), 0), ((("Team", "web"),), 2)):
        text = json.dumps(policies.document(policies.setup(deployment(tags=tags))))
        assert text.count("BucketTagging") == count


def test_storages_of_a_bucket_must_agree_on_its_tags(settings: Any) -> None:
    media = {"bucket_name": "acme-static", "bucket_tags": {"Team": "web"}}
    s3_settings(settings, media=media, static={"bucket_tags": {"Team": "ops"}})
    with pytest.raises(ImproperlyConfigured, match=r"give the tag 'Team' of the bucket .* different values"):
        Deployment.load()
