"""The policies that `manage.py s3 policy` prints, on a strict S3 server that enforces IAM.

Everything that the site, a deploy, and the setup do works with only the role's policy. Without one action,
exactly what the policy says about that action fails.
"""

import io
import json
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.core.files import storage as django_storage
from django.core.files.base import ContentFile, File
from django.core.management import CommandError, call_command

from s3kit import clients, uploads
from s3kit.buckets import apply, plan, policies
from s3kit.buckets.wanted import BLOCKS, BucketError
from s3kit.deployment import Deployment
from s3kit.publishing import history
from s3kit.uploads import tickets
from s3kit.uploads.models import Ticket
from tests.deployments import ACCESS, ARN, deployment
from tests.fault_proxy import Fault, FaultProxy
from tests.ministack import ActAs, MakeSite, SiteOnS3, anonymous, new_user, s3_settings

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

VERSIONING = {"versioning": True}
# Optional bucket features, as options and as fields of a location.
OPTIONS = VERSIONING | {"bucket_tags": {"Team": "web"}}
FIELDS = VERSIONING | {"tags": (("Team", "web"),)}
# With CloudFront, no bucket policy makes static files public, so the role itself needs the permission to read.
THROUGH_CLOUDFRONT: dict[str, Any] = {"AWS_CLOUDFRONT_DISTRIBUTION_ARN": ARN}
MANIFEST = "static/staticfiles.json"
FAILURES = (uploads.UploadError, ClientError, BucketError, ImproperlyConfigured, CommandError, AssertionError)

default_storage: Any = django_storage.default_storage
storages: Any = django_storage.storages

PLAIN = uploads.Kind(("txt",), 2**30)
KEPT = uploads.Kind(("txt",), 2**30, upload_to="kept/")


def document(role: str, *, without: str = "", of: str = "") -> dict[str, Any]:
    """Return a role's policy without an action, in all statements or only the one with the Sid `of`."""
    grants = policies.ROLES[role](Deployment.load())
    found = policies.document(grants)
    kept = []
    for statement in found["Statement"]:
        if of in {"", statement["Sid"]}:
            statement["Action"] = [action for action in statement["Action"] if action != without]
        if statement["Action"]:
            kept.append(statement)
    assert not without or kept != policies.document(grants)["Statement"], without
    return found | {"Statement": kept}


def actions(role: str, site: Deployment) -> list[tuple[str, str]]:
    """Return a role's actions, each with the Sid of its statement."""
    return [(grant.sid, action) for grant in policies.ROLES[role](site) for action in grant.actions]


def command_client() -> Any:
    """Return a client with the key in the environment, as commands use it."""
    return clients.command(Deployment.load().locations[0].target)


def failing(operations: dict[str, Callable[[], object]]) -> set[str]:
    """Run each function, and return the failed ones."""
    failed = set()
    for name, do in operations.items():
        try:
            do()
        except FAILURES:
            failed.add(name)
    return failed


# web


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PART_FROM", "PART"):
        monkeypatch.setattr(tickets, name, 1024)


class Torn(io.BytesIO):
    """An upload whose sender disconnects after the first part."""

    def read(self, size: int | None = -1, /) -> bytes:
        got = super().read(size)
        if self.tell() > 9 * 2**20:
            raise ConnectionResetError
        return got


def web_operations(site: SiteOnS3) -> dict[str, Callable[[], object]]:
    """Return all of the running site's S3 operations."""
    site.root.put_object(Bucket=site.media_bucket, Key="media/old.txt", Body=b"old")
    site.root.put_object(
        Bucket=site.static_bucket, Key=MANIFEST, Body=b'{"paths": {}, "version": "1.1", "hash": ""}'
    )

    def read() -> None:
        with default_storage.open("old.txt") as file:
            assert file.read() == b"old"
        assert default_storage.size("old.txt") == 3

    def link() -> None:
        assert anonymous(default_storage.url("old.txt")).status == 200

    def leave_no_parts() -> None:
        with suppress(ConnectionResetError, ClientError):
            default_storage.save("torn.bin", File(Torn(bytes(10 * 2**20)), "torn.bin"))
        named = {"Bucket": site.media_bucket, "Prefix": "media/"}
        left = site.root.list_multipart_uploads(**named).get("Uploads", [])
        for upload in left:
            site.root.abort_multipart_upload(
                Bucket=site.media_bucket, Key=upload["Key"], UploadId=upload["UploadId"]
            )
        assert not left

    def send(size: int, kind: uploads.Kind = PLAIN) -> Ticket:
        user, _ = User.objects.get_or_create(username="editor")
        ticket = uploads.begin(user, kind, name="a.txt", size=size)
        links = uploads.sending(ticket)
        for part in links["parts"] or ():
            body = bytes(part["end"] - part["start"])
            assert anonymous(part["url"], "PUT", part["headers"], body).status == 200
        return ticket

    def look() -> None:
        with uploads.accepting(send(5)) as upload:
            assert upload.file.read() == bytes(5)

    def keep() -> None:
        with uploads.accepting(send(5, KEPT)) as upload:
            upload.keep()
            upload.accepted()

    def complete() -> None:
        with uploads.accepting(send(tickets.PART_FROM + 1)):
            pass

    def cancel(size: int, *, left: str) -> None:
        ticket = send(size)
        uploads.cancel(ticket)
        try:
            named = {"Bucket": site.media_bucket, "Prefix": ticket.key}
            assert not getattr(site.root, left)(**named).get("Contents")
            assert not getattr(site.root, left)(**named).get("Uploads")
        finally:
            for each in site.root.list_multipart_uploads(Bucket=site.media_bucket).get("Uploads", []):
                site.root.abort_multipart_upload(
                    Bucket=site.media_bucket, Key=each["Key"], UploadId=each["UploadId"]
                )

    return {
        "send": lambda: send(5),
        "look": look,
        "keep": keep,
        "complete": complete,
        "cancel": lambda: cancel(5, left="list_objects_v2"),
        "cancel parts": lambda: cancel(tickets.PART_FROM + 1, left="list_multipart_uploads"),
        "save": lambda: default_storage.save("new.txt", ContentFile(b"x")),
        "save in parts": lambda: default_storage.save(None, ContentFile(bytes(9 * 2**20), "large.bin")),
        "read": read,
        "link": link,
        "list": lambda: default_storage.listdir(""),
        "leave no parts": leave_no_parts,
        "manifest": lambda: storages["staticfiles"].read_manifest(),
        "delete": lambda: default_storage.delete("old.txt"),
    }


WEB = {
    ("Media", "s3:GetObject"): {"read", "link"},
    ("Media", "s3:PutObject"): {"keep", "save", "save in parts"},
    ("Media", "s3:DeleteObject"): {"delete"},
    ("Media", "s3:AbortMultipartUpload"): {"leave no parts"},
    ("Pending", "s3:GetObject"): {"send", "look", "keep", "complete", "cancel"},
    ("Pending", "s3:PutObject"): {"send", "look", "keep", "complete", "cancel", "cancel parts"},
    ("Pending", "s3:DeleteObject"): {"cancel"},
    ("Pending", "s3:AbortMultipartUpload"): {"cancel parts"},
    ("Pending", "s3:ListMultipartUploadParts"): {"complete", "cancel parts"},
    ("ListMedia", "s3:ListBucket"): {"list"},
    ("Manifest", "s3:GetObject"): {"manifest"},
}


@pytest.mark.parametrize("one_bucket", [False, True])
@pytest.mark.parametrize("access", ACCESS)
def test_web_policy_allows_everything_the_site_does(
    s3_site: MakeSite, act_as: ActAs, access: str, one_bucket: bool
) -> None:
    site = s3_site(access, one_bucket=one_bucket)
    operations = web_operations(site)
    if access == "public-read":
        site.root.put_object(Bucket=site.media_bucket, Key="media/old.txt", Body=b"old", ACL="public-read")
    act_as(new_user(site.store, document("web")))
    assert failing(operations) == set()


@pytest.mark.slow
@pytest.mark.parametrize(("sid", "action"), WEB)
def test_web_policy_without_one_action_fails_as_documented(
    s3_site: MakeSite, act_as: ActAs, sid: str, action: str
) -> None:
    site = s3_site(**THROUGH_CLOUDFRONT)
    operations = web_operations(site)
    act_as(new_user(site.store, document("web", without=action, of=sid)))
    assert failing(operations) == WEB[sid, action]


def test_web_policy_has_no_other_actions() -> None:
    assert set(actions("web", deployment())) == set(WEB)
    # With ACLs, the permission to save has conditions that the others don't need.
    apart = {(f"Put{sid}", action) for sid, action in WEB if action == "s3:PutObject"}
    rest = {(sid, action) for sid, action in WEB if action != "s3:PutObject"}
    assert set(actions("web", deployment("public-read"))) == rest | apart | {("AclMedia", "s3:PutObjectAcl")}


@pytest.mark.parametrize("granted", [True, False])
def test_saving_public_files_needs_putobjectacl_simulated(
    s3_site: MakeSite, act_as: ActAs, settings: Any, granted: bool
) -> None:
    """MiniStack doesn't check s3:PutObjectAcl. AWS rejects a PutObject with an ACL without it."""
    site = s3_site("public-read")
    role = document("web", without="" if granted else "s3:PutObjectAcl")
    with FaultProxy(site.store.endpoint) as proxy:
        if "s3:PutObjectAcl" not in json.dumps(role):
            proxy.faults.append(Fault("PUT", r"/media/", header="x-amz-acl", status=403, code="AccessDenied"))
        settings.AWS_S3_ENDPOINT_URL = proxy.endpoint
        act_as(new_user(site.store, role))
        operations = {"save": lambda: default_storage.save("new.txt", ContentFile(b"x"))}
        assert failing(operations) == (set() if granted else {"save"})
        proxy.wait_for(1, "PUT")
        assert proxy.count("PUT") == 1


@pytest.mark.parametrize("granted", [True, False])
def test_missing_upload_is_an_error_without_listbucket_simulated(
    s3_site: MakeSite, act_as: ActAs, settings: Any, granted: bool
) -> None:
    """MiniStack always responds with 404. AWS responds with 403 if the caller can't list."""
    site = s3_site()
    role = document("web", without="" if granted else "s3:ListBucket")
    with FaultProxy(site.store.endpoint) as proxy:
        if "s3:ListBucket" not in json.dumps(role):
            proxy.faults.append(Fault("HEAD", r"/media/missing", status=403, code="AccessDenied"))
        settings.AWS_S3_ENDPOINT_URL = proxy.endpoint
        act_as(new_user(site.store, role))
        if granted:
            assert default_storage.exists("missing") is False
        else:
            with pytest.raises(ClientError, match="403"):
                default_storage.exists("missing")


# deploy


@pytest.fixture
def sources(settings: Any, tmp_path: Path) -> Path:
    """Return the folder with the only static files."""
    settings.STATICFILES_DIRS = [tmp_path]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    (tmp_path / "a.css").write_text("a {}")
    return tmp_path


def collect(sources: Path) -> None:
    """Deploy one new file."""
    (sources / f"{secrets.token_hex(4)}.txt").write_text("new")
    call_command("collectstatic", interactive=False, verbosity=0)


def deploy_operations(site: SiteOnS3, sources: Path) -> dict[str, Callable[[], object]]:
    def abort() -> None:
        named = {"Bucket": site.static_bucket, "Key": "static/large.bin"}
        upload = site.root.create_multipart_upload(**named)["UploadId"]
        command_client().abort_multipart_upload(**named, UploadId=upload)

    return {
        "collectstatic": lambda: collect(sources),
        "leave no parts": abort,
        "plan": lambda: plan.plan(Deployment.load()),
    }


DEPLOY = {
    ("Static", "s3:GetObject"): {"collectstatic"},
    ("Static", "s3:PutObject"): {"collectstatic"},
    ("Static", "s3:AbortMultipartUpload"): {"leave no parts"},
    ("ListStatic", "s3:ListBucket"): {"collectstatic"},
} | {
    ("ReadBuckets", action): {"plan"}
    for sid, action in actions("deploy", deployment(media=FIELDS, endpoint="http://127.0.0.1:9000"))
    if sid == "ReadBuckets"
}


@pytest.mark.parametrize("one_bucket", [False, True])
def test_deploy_policy_allows_deploys_and_nothing_more(
    s3_site: MakeSite, act_as: ActAs, sources: Path, one_bucket: bool
) -> None:
    site = s3_site(one_bucket=one_bucket, media=OPTIONS)
    act_as(new_user(site.store, document("deploy")))
    assert failing(deploy_operations(site, sources)) == set()
    collect(sources)
    with pytest.raises(ClientError, match="AccessDenied"):
        command_client().delete_object(Bucket=site.static_bucket, Key=MANIFEST)
    with pytest.raises(ClientError, match="AccessDenied"):
        command_client().put_bucket_cors(
            Bucket=site.static_bucket,
            CORSConfiguration={"CORSRules": [{"AllowedOrigins": ["*"], "AllowedMethods": ["GET"]}]},
        )


@pytest.mark.slow
@pytest.mark.parametrize(("sid", "action"), DEPLOY)
def test_deploy_policy_without_one_action_fails_as_documented(
    s3_site: MakeSite, act_as: ActAs, sources: Path, sid: str, action: str
) -> None:
    site = s3_site(media=OPTIONS, **THROUGH_CLOUDFRONT)
    collect(sources)
    act_as(new_user(site.store, document("deploy", without=action, of=sid)))
    assert failing(deploy_operations(site, sources)) == DEPLOY[sid, action]
    if sid == "ReadBuckets":
        with pytest.raises(BucketError, match=f"these credentials lack {action}[:,]"):
            plan.plan(Deployment.load())


def test_deploy_policy_has_no_other_actions() -> None:
    assert set(actions("deploy", deployment(media=FIELDS, endpoint="http://127.0.0.1:9000"))) == set(DEPLOY)
    assert set(actions("deploy", deployment(media=FIELDS))) == {
        *DEPLOY,
        ("ReadAccount", "s3:GetAccountPublicAccessBlock"),
    }


# prune


def prune_operations(site: SiteOnS3, sources: Path) -> dict[str, Callable[[], object]]:
    """Return all of prune's operations, with an old, unreferenced object to delete."""
    collect(sources)
    collect(sources)
    site.root.put_object(Bucket=site.static_bucket, Key="static/old.css", Body=b"old")

    def find() -> None:
        call_command("s3", "prune", "--days", "1", stdout=io.StringIO())

    def delete() -> None:
        call_command("s3", "prune", "--days", "1", "--delete", stdout=io.StringIO())
        listed = site.root.list_objects_v2(Bucket=site.static_bucket, Prefix="static/")["Contents"]
        assert not [
            each for each in listed if each["Key"] == "static/old.css" or history.is_marker(each["Key"])
        ]

    return {"find": find, "delete": delete}


PRUNE = {
    ("Static", "s3:DeleteObject"): {"delete"},
    ("Manifests", "s3:GetObject"): {"find", "delete"},
    ("Marker", "s3:PutObject"): {"delete"},
    ("ListStatic", "s3:ListBucket"): {"find", "delete"},
}


def prune_as(
    s3_site: MakeSite,
    act_as: ActAs,
    settings: Any,
    sources: Path,
    sid: str = "",
    action: str = "",
    **more: Any,
) -> set[str]:
    """Return the operations that fail with prune's policy, optionally without an action."""
    site = s3_site(**THROUGH_CLOUDFRONT, **more)
    operations = prune_operations(site, sources)
    with FaultProxy(site.store.endpoint) as proxy:
        proxy.aged = {f"/{site.static_bucket}/static/old.css": 2}
        settings.AWS_S3_ENDPOINT_URL = proxy.endpoint
        act_as(new_user(site.store, document("prune", without=action, of=sid)))
        return failing(operations)


@pytest.mark.parametrize("one_bucket", [False, True])
def test_prune_policy_allows_prune(
    s3_site: MakeSite, act_as: ActAs, settings: Any, sources: Path, one_bucket: bool
) -> None:
    assert prune_as(s3_site, act_as, settings, sources, one_bucket=one_bucket) == set()


@pytest.mark.slow
@pytest.mark.parametrize(("sid", "action"), PRUNE)
def test_prune_policy_without_one_action_fails_as_documented(
    s3_site: MakeSite, act_as: ActAs, settings: Any, sources: Path, sid: str, action: str
) -> None:
    assert prune_as(s3_site, act_as, settings, sources, sid, action) == PRUNE[sid, action]


def test_prune_policy_has_no_other_actions() -> None:
    assert set(actions("prune", deployment())) == {*PRUNE, ("KeepManifest", "s3:DeleteObject")}
    denied = [grant.sid for grant in policies.prune(deployment()) if grant.effect == "Deny"]
    assert denied == ["KeepManifest"]


# setup


@dataclass(frozen=True)
class Break:
    """A repair: how to break the bucket, and the actions that the repair needs."""

    do: Callable[[SiteOnS3], object]
    needs: frozenset[str]


def shut(site: SiteOnS3, bucket: str) -> None:
    block = dict.fromkeys(BLOCKS, True)
    site.root.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=block)


def with_acls(site: SiteOnS3) -> None:
    site.root.put_bucket_ownership_controls(
        Bucket=site.media_bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
    )


def with_grant(site: SiteOnS3) -> None:
    with_acls(site)
    site.root.put_public_access_block(
        Bucket=site.media_bucket, PublicAccessBlockConfiguration=dict.fromkeys(BLOCKS, False)
    )
    site.root.put_bucket_acl(Bucket=site.media_bucket, ACL="public-read")
    shut(site, site.media_bucket)


def with_kms(site: SiteOnS3) -> None:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    site.root.put_bucket_encryption(
        Bucket=site.static_bucket, ServerSideEncryptionConfiguration={"Rules": [rule]}
    )


def with_stale_policy(site: SiteOnS3) -> None:
    """Leave only another access mode's statement in the policy, so that none is left after the repair."""
    (media,) = (bucket for bucket in Deployment.load().buckets if bucket.media)
    public = (replace(each, access="public-policy") for each in media.locations)
    stale = policies.bucket_policy(replace(media, locations=tuple(public)))
    site.root.put_public_access_block(
        Bucket=media.name, PublicAccessBlockConfiguration=dict.fromkeys(BLOCKS, False)
    )
    document = {"Version": policies.VERSION, "Statement": stale}
    site.root.put_bucket_policy(Bucket=media.name, Policy=json.dumps(document))
    shut(site, media.name)


def without_buckets(site: SiteOnS3) -> None:
    for bucket in (site.static_bucket, site.media_bucket):
        site.root.delete_bucket(Bucket=bucket)


BREAKS = {
    "s3:PutEncryptionConfiguration": Break(with_kms, frozenset()),
    "s3:PutLifecycleConfiguration": Break(
        lambda site: site.root.delete_bucket_lifecycle(Bucket=site.media_bucket), frozenset()
    ),
    "s3:PutBucketVersioning": Break(
        lambda site: site.root.put_bucket_versioning(
            Bucket=site.media_bucket, VersioningConfiguration={"Status": "Suspended"}
        ),
        frozenset(),
    ),
    "s3:PutBucketCORS": Break(
        lambda site: site.root.delete_bucket_cors(Bucket=site.static_bucket), frozenset()
    ),
    "s3:PutBucketAcl": Break(with_grant, frozenset({"s3:PutBucketOwnershipControls"})),
    "s3:PutBucketOwnershipControls": Break(with_acls, frozenset()),
    "s3:PutBucketPublicAccessBlock": Break(lambda site: shut(site, site.static_bucket), frozenset()),
    "s3:PutBucketPolicy": Break(
        lambda site: site.root.delete_bucket_policy(Bucket=site.static_bucket), frozenset()
    ),
    "s3:PutBucketTagging": Break(
        lambda site: site.root.delete_bucket_tagging(Bucket=site.media_bucket), frozenset()
    ),
    "s3:DeleteBucketPolicy": Break(with_stale_policy, frozenset()),
}
CREATES = {"s3:CreateBucket": Break(without_buckets, frozenset(BREAKS))}


def set_up() -> None:
    """Plan and apply as the command does, with conflicts replaced. Nothing must be left to do."""
    site = Deployment.load()
    apply.apply(site, plan.plan(site, replace=True), replace=True)
    assert all(bucket.is_as_wanted for bucket in plan.plan(site))


@pytest.mark.parametrize("access", ACCESS)
def test_setup_policy_creates_everything_in_an_empty_store(
    s3_site: MakeSite, act_as: ActAs, access: str
) -> None:
    site = s3_site(access, media=OPTIONS)
    without_buckets(site)
    act_as(new_user(site.store, document("setup")))
    set_up()


def test_setup_policy_repairs_everything(s3_site: MakeSite, act_as: ActAs) -> None:
    site = s3_site(media=OPTIONS)
    for each in BREAKS.values():
        each.do(site)
    act_as(new_user(site.store, document("setup")))
    set_up()


@pytest.mark.slow
@pytest.mark.parametrize("action", BREAKS | CREATES)
def test_setup_policy_without_one_action_names_it(s3_site: MakeSite, act_as: ActAs, action: str) -> None:
    site = s3_site(media=OPTIONS)
    less = new_user(site.store, document("setup", without=action))
    # Everything else can be repaired,
    for name, each in BREAKS.items():
        if action not in {name, *each.needs}:
            each.do(site)
    act_as(less)
    set_up()
    # but not this.
    (BREAKS | CREATES)[action].do(site)
    with pytest.raises(BucketError, match=f"these credentials lack {action}:"):
        set_up()
    act_as(new_user(site.store, document("setup")))
    set_up()


def test_setup_policy_has_no_other_actions() -> None:
    site = deployment(media=FIELDS, endpoint="http://127.0.0.1:9000")
    reads = {action for sid, action in actions("deploy", site) if sid == "ReadBuckets"}
    # Only with an endpoint, the command tries to store an object.
    probes = {"s3:PutObject", "s3:DeleteObject"}
    assert {action for _, action in actions("setup", site)} == reads | set(BREAKS) | set(CREATES) | probes
    # On AWS, the TLS statement always exists, so no policy has to be deleted.
    on_aws = {action for _, action in actions("setup", deployment(media=FIELDS))}
    assert on_aws == (reads | set(BREAKS) | set(CREATES) | {"s3:GetAccountPublicAccessBlock"}) - {
        "s3:DeleteBucketPolicy"
    }


@pytest.mark.parametrize("role", ["deploy", "setup"])
def test_versioning_actions_are_included_only_if_configured(role: str) -> None:
    names = {action for _, action in actions(role, deployment(media=VERSIONING))}
    assert {name for name in names if "Versioning" in name} == names - {
        action for _, action in actions(role, deployment())
    }


def test_setup_policy_denies_access_to_uploads(s3_site: MakeSite) -> None:
    site = s3_site()
    s3 = site.store.client(key=new_user(site.store, document("setup")))
    site.root.put_object(Bucket=site.media_bucket, Key="media/a", Body=b"a")
    for call, more in (("get_object", {}), ("put_object", {"Body": b""}), ("delete_object", {})):
        with pytest.raises(ClientError, match="AccessDenied"):
            getattr(s3, call)(Bucket=site.media_bucket, Key="media/a", **more)


def test_apply_keeps_encryption_if_it_cannot_probe_uploads(s3_site: MakeSite, act_as: ActAs) -> None:
    site = s3_site()
    with_kms(site)
    act_as(new_user(site.store, document("setup", without="s3:PutObject")))
    wanted, lines = Deployment.load(), []
    apply.apply(wanted, plan.plan(wanted, replace=True), replace=True, tell=lines.append)
    assert len(lines) == 1
    assert (
        f"{site.static_bucket}: encryption: not supported by this server, skipped (these credentials lack s3:Put"
        in lines[0]
    )


# All roles in sequence


@pytest.mark.usefixtures("sources")
def test_printed_policies_suffice_from_setup_to_upload(s3_site: MakeSite, act_as: ActAs) -> None:
    site = s3_site("public-policy")
    without_buckets(site)

    def printed(role: str) -> dict[str, Any]:
        out = io.StringIO()
        call_command("s3", "policy", role=role, stdout=out)
        found: dict[str, Any] = json.loads(out.getvalue())
        return found

    act_as(new_user(site.store, printed("setup")))
    call_command("s3", "apply", interactive=False, stdout=io.StringIO())
    act_as(new_user(site.store, printed("deploy")))
    call_command("s3", "plan", stdout=io.StringIO())
    call_command("collectstatic", interactive=False, verbosity=0)
    act_as(new_user(site.store, printed("web")))
    name = default_storage.save("a.txt", ContentFile(b"upload"))
    assert anonymous(default_storage.url(name)).body == b"upload"
    assert anonymous(storages["staticfiles"].url("a.css")).body == b"a {}"


# Output


@pytest.fixture(params=["web", "deploy", "prune", "setup", "access"])
def role(request: pytest.FixtureRequest, settings: Any) -> str:
    s3_settings(settings, AWS_S3_REGION_NAME="cn-north-1")
    return str(request.param)


def test_policy_command_prints_valid_json(role: str) -> None:
    out = io.StringIO()
    call_command("s3", "policy", role=role, stdout=out)
    found = json.loads(out.getvalue())
    assert found["Version"] == "2012-10-17"
    for statement in found["Statement"]:
        assert statement["Effect"] == ("Deny" if statement["Sid"] == "KeepManifest" else "Allow")
        assert all(re.fullmatch(r"s3:[A-Za-z]+", action) for action in statement["Action"])
        resources = statement["Resource"]
        for resource in [resources] if isinstance(resources, str) else resources:
            # In this namespace, an account has no ARN; see the Service Authorization Reference.
            assert resource.startswith("arn:aws-cn:s3:::acme-") or statement["Sid"] == "ReadAccount"


def test_explain_prints_a_reason_next_to_each_action(role: str) -> None:
    out = io.StringIO()
    call_command("s3", "policy", "--explain", role=role, stdout=out)
    assert max(map(len, out.getvalue().splitlines())) <= 100
    # A long reason continues on the next line, next to nothing.
    lines = re.sub(r"\n +// ", " ", out.getvalue()).splitlines()
    named = [line for line in lines if re.search('"s3:[A-Z]', line)]
    assert all(re.search(r"// \w.{10,}", line) for line in named)
    assert len({line.index("//") for line in named}) == 1
    # Without the reasons, it is the same document.
    bare = "\n".join(line.partition("  //")[0].rstrip() for line in lines)
    assert json.loads(bare) == policies.document(policies.ROLES[role](Deployment.load()))
    missing_is_404 = [line for line in named if "ListBucket" in line]
    assert all("403 instead of 404" in line for line in missing_is_404)
    assert bool(missing_is_404) == (role != "setup")
