"""`plan` and `apply` take buckets from any initial state to the wanted one, on a strict S3 server."""

import io
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace as but
from typing import Any

import pytest
from botocore.exceptions import ClientError
from django.core.management import CommandError, call_command

from s3kit import clients
from s3kit.buckets import apply, plan, policies
from s3kit.buckets.wanted import ASPECTS, BLOCKS, BucketError
from s3kit.deployment import Deployment, Key
from s3kit.local.server import LocalServer
from tests.deployments import ACCESS, REGION, as_root, at, location, writes
from tests.fault_proxy import Fault, FaultProxy
from tests.ministack import (
    OTHER_ACCOUNT,
    ActAs,
    MakeSite,
    SiteOnS3,
    anonymous,
    new_user,
    s3_settings,
    s3_storages,
)

pytestmark = pytest.mark.slow

OPEN = dict.fromkeys(BLOCKS, False)
SHUT = dict.fromkeys(BLOCKS, True)
# MiniStack treats 12 digits as the root key of the account with this number.
THEIR_KEY = Key(OTHER_ACCOUNT, "any")


def planned(site: Deployment, *, replace: bool = False) -> list[plan.BucketPlan]:
    """Return the plan, which must not write."""
    with writes(site) as made:
        found = plan.plan(site, replace=replace)
    assert made == []
    return found


def applied(site: Deployment, *, replace: bool = False) -> list[tuple[str, str]]:
    """Plan, apply, and check that a second run has nothing to do."""
    done = apply.apply(site, planned(site, replace=replace), replace=replace)
    again = planned(site)
    assert all(bucket.is_as_wanted for bucket in again)
    with writes(site) as made:
        assert apply.apply(site, again) == []
    assert made == []
    return done


def make_wide_open(site: SiteOnS3) -> None:
    """Change buckets as old tutorials do: ACLs enabled, nothing blocked, everything readable and listable."""
    for bucket in {site.static_bucket, site.media_bucket}:
        s3 = site.root
        s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=OPEN)
        s3.put_bucket_ownership_controls(
            Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
        )
        s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
        put_policy(s3, bucket, wide_open(bucket))
        for key in ("static/a.css", "media/a.png", "secret"):
            s3.put_object(Bucket=bucket, Key=key, Body=b"a", ACL="public-read")


def wide_open(bucket: str) -> dict[str, Any]:
    return {
        "Sid": "PublicReadGetObject",
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }


def put_policy(s3: Any, bucket: str, *statements: dict[str, Any]) -> None:
    document = {"Version": policies.VERSION, "Id": "Theirs", "Statement": statements}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(document))


def sids(s3: Any, bucket: str) -> list[str]:
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    return [statement["Sid"] for statement in policy["Statement"]]


def seen(site: SiteOnS3) -> set[str]:
    """Return a visitor's responses for files that may exist, and for listings of the buckets."""
    found = set()
    for bucket in {site.static_bucket, site.media_bucket}:
        for key in ("static/a.css", "media/a.png", "secret", ""):
            if anonymous(site.url(bucket, key)).status == 200:
                found.add(f"{'static' if bucket == site.static_bucket else 'media'}: {key or 'list'}")
    return found


# Initial states


@pytest.mark.parametrize("one_bucket", [False, True])
@pytest.mark.parametrize("access", ACCESS)
def test_apply_configures_empty_buckets(s3_site: MakeSite, access: str, one_bucket: bool) -> None:
    site = s3_site(access, one_bucket=one_bucket, prepared=False)
    done = applied(as_root(site.store))
    assert "bucket" not in [what for _, what in done]


@pytest.mark.parametrize("one_bucket", [False, True])
@pytest.mark.parametrize("access", ACCESS)
def test_apply_creates_missing_buckets(
    store: LocalServer, bucket_name: str, access: str, one_bucket: bool
) -> None:
    media = {"bucket": bucket_name if one_bucket else f"{bucket_name}-media", "versioning": True}
    done = applied(at(store, access=access, static={"bucket": bucket_name}, media=media))
    assert done[0] == (bucket_name, "bucket")


@pytest.mark.slow
@pytest.mark.parametrize("one_bucket", [False, True])
@pytest.mark.parametrize("access", ACCESS)
def test_apply_closes_wide_open_buckets_only_with_replace(
    s3_site: MakeSite, access: str, one_bucket: bool
) -> None:
    site = s3_site(access, one_bucket=one_bucket, prepared=False)
    make_wide_open(site)
    wanted = as_root(site.store)
    before = seen(site)
    assert "media: secret" in before or one_bucket

    found = planned(wanted)
    assert [bucket.hindered for bucket in found] == [True] * len(found)
    apply.apply(wanted, found)
    # Only what doesn't depend on the conflicts has changed.
    assert seen(site) == before
    left = planned(wanted)
    assert all(bucket.conflicts and not any(line.changes for line in bucket.lines) for bucket in left)

    applied(wanted, replace=True)
    public = {"static: static/a.css"}
    media = "static" if one_bucket else "media"
    if access == "public-policy":
        public.add(f"{media}: media/a.png")
    if access == "public-read":  # each older upload has the ACL
        public |= {f"{media}: {key}" for key in ("static/a.css", "media/a.png", "secret")}
    assert seen(site) == public


@pytest.mark.parametrize("access", ACCESS)
def test_apply_keeps_policies_cors_and_lifecycle_rules_of_others(s3_site: MakeSite, access: str) -> None:
    site = s3_site(access, prepared=False)
    s3 = site.root
    theirs = {"ID": "theirs", "AllowedOrigins": ["https://a.example"], "AllowedMethods": ["GET"]}
    expiry = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 1}}
    for bucket in (site.static_bucket, site.media_bucket):
        backup = wide_open(bucket) | {"Sid": "Backup", "Principal": {"AWS": "arn:aws:iam::000000000000:root"}}
        put_policy(s3, bucket, backup)
        s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [theirs]})
        s3.put_bucket_lifecycle_configuration(
            Bucket=bucket,
            LifecycleConfiguration={"Rules": [expiry]},
        )
    applied(as_root(site.store))
    for bucket in (site.static_bucket, site.media_bucket):
        assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"][0] == theirs
        lifecycle = s3.get_bucket_lifecycle_configuration(Bucket=bucket)
        assert lifecycle["Rules"][0] == expiry
        assert len(lifecycle["Rules"]) == (3 if bucket == site.media_bucket else 2)
        document = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
        assert document["Id"] == "Theirs"
        assert document["Statement"][0]["Sid"] == "Backup"
    left_alone = [line.left_alone for bucket in planned(as_root(site.store)) for line in bucket.lines]
    assert sum(map(len, left_alone)) == 6


def put_ownership(s3: Any, bucket: str) -> None:
    s3.put_bucket_ownership_controls(
        Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
    )


# One way to break each aspect without a conflict.
WRONG: dict[str, Callable[[Any, str], Any]] = {
    "lifecycle": lambda s3, bucket: s3.delete_bucket_lifecycle(Bucket=bucket),
    "versioning": lambda s3, bucket: s3.put_bucket_versioning(
        Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}
    ),
    "cors": lambda s3, bucket: s3.delete_bucket_cors(Bucket=bucket),
    "ownership": put_ownership,
    "public access block": lambda s3, bucket: s3.put_public_access_block(
        Bucket=bucket, PublicAccessBlockConfiguration=SHUT
    ),
    "policy": lambda s3, bucket: s3.delete_bucket_policy(Bucket=bucket),
    "tags": lambda s3, bucket: s3.delete_bucket_tagging(Bucket=bucket),
}


@pytest.mark.slow
@pytest.mark.parametrize("aspect", WRONG)
@pytest.mark.parametrize("access", ["private", "public-policy"])
def test_apply_corrects_only_the_aspect_that_differs(s3_site: MakeSite, access: str, aspect: str) -> None:
    site = s3_site(access, one_bucket=True, media={"versioning": True, "bucket_tags": {"Team": "web"}})
    WRONG[aspect](site.root, site.static_bucket)
    (found,) = planned(as_root(site.store))
    assert [line.aspect for line in found.lines if line.state != "as wanted"] == [aspect]
    assert {what for _, what in applied(as_root(site.store))} == {aspect}


def test_every_aspect_but_encryption_and_bucket_acl_is_tested() -> None:
    assert set(ASPECTS) - set(WRONG) == {"encryption", "bucket ACL"}


def test_kms_encryption_of_public_files_is_a_conflict(s3_site: MakeSite) -> None:
    site, kms = s3_site(), {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    for bucket in (site.static_bucket, site.media_bucket):
        site.root.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [kms]})
    assert [bucket.hindered for bucket in planned(as_root(site.store))] == [True, False]
    assert applied(as_root(site.store), replace=True) == [(site.static_bucket, "encryption")]


@pytest.mark.parametrize("flag", BLOCKS)
def test_apply_turns_on_a_single_disabled_block(s3_site: MakeSite, flag: str) -> None:
    site = s3_site()
    site.root.put_public_access_block(
        Bucket=site.media_bucket, PublicAccessBlockConfiguration=SHUT | {flag: False}
    )
    assert applied(as_root(site.store)) == [(site.media_bucket, "public access block")]


def test_apply_adds_a_missing_public_access_block_and_ownership(s3_site: MakeSite) -> None:
    site = s3_site()
    site.root.delete_public_access_block(Bucket=site.media_bucket)
    site.root.delete_bucket_ownership_controls(Bucket=site.media_bucket)
    applied(as_root(site.store))


# Changes of the access mode


def with_access(storages: dict[str, Any], access: str) -> dict[str, Any]:
    """Return STORAGES with another access option for the default storage."""
    options = storages["default"]["OPTIONS"] | {"access": access}
    return storages | {"default": storages["default"] | {"OPTIONS": options}}


@pytest.mark.slow
@pytest.mark.parametrize("new", ACCESS)
@pytest.mark.parametrize("old", ACCESS)
def test_apply_changes_the_access_mode(s3_site: MakeSite, settings: Any, old: str, new: str) -> None:
    site = s3_site(old)
    acl = {"ACL": "public-read"} if old == "public-read" else {}
    site.root.put_object(Bucket=site.static_bucket, Key="static/a.css", Body=b"a")
    site.root.put_object(Bucket=site.media_bucket, Key="media/a.png", Body=b"a", **acl)
    settings.STORAGES = with_access(settings.STORAGES, new)
    _, media = planned(as_root(site.store))
    assert bool(media.closes) == (old not in {"private", new})
    assert bool(media.opens) == (new not in {"private", old})
    applied(as_root(site.store))
    public = new == "public-policy" or (new == old == "public-read")
    assert seen(site) == {"static: static/a.css"} | ({"media: media/a.png"} if public else set())


# Failures


@pytest.mark.parametrize("old", ["private", "public-policy", "no bucket", "wide open", "stale policy"])
@pytest.mark.parametrize("access", ACCESS)
def test_failed_apply_never_makes_a_bucket_more_public(s3_site: MakeSite, access: str, old: str) -> None:
    """Fail at each step in turn, starting from the same state."""

    def with_files(site: SiteOnS3) -> SiteOnS3:
        with suppress(site.root.exceptions.NoSuchBucket):
            site.root.put_object(Bucket=site.media_bucket, Key="static/a.css", Body=b"a")
            site.root.put_object(Bucket=site.media_bucket, Key="media/a.png", Body=b"a")
        return site

    def start() -> SiteOnS3:
        site = s3_site(old if old in ACCESS else "private", one_bucket=True)
        if old == "no bucket":
            site.root.delete_bucket(Bucket=site.media_bucket)
        with_files(site)
        if old == "wide open":
            make_wide_open(site)
        if old == "stale policy":
            # The library's own statement for another access mode, which has no effect while public access is blocked.
            (bucket,) = with_mode(as_root(site.store), "public-policy").buckets
            put_policy(site.root, bucket.name, *policies.bucket_policy(bucket))
            site.root.put_public_access_block(Bucket=bucket.name, PublicAccessBlockConfiguration=SHUT)
        return site

    for fail_at in range(20):
        site = start()
        wanted = with_mode(as_root(site.store), access)
        before = seen(site)
        found = plan.plan(wanted, replace=True)
        with writes(wanted, fail_at=fail_at) as made:
            try:
                apply.apply(wanted, found, replace=True)
            except BucketError as error:
                done = error.done
            else:
                break
        assert len(done) == len(made) == fail_at
        assert seen(with_files(site)) <= before, made
    assert fail_at < 19
    assert fail_at or old == access


def with_mode(site: Deployment, access: str) -> Deployment:
    """Return a deployment with another access mode for uploads."""
    locations = (but(each, access=access) if each.kind == "media" else each for each in site.locations)
    return but(site, locations=tuple(locations))


def test_failed_apply_lists_the_completed_changes(store: LocalServer, bucket_name: str) -> None:
    site = at(store, location(bucket=bucket_name), location("b", bucket=f"{bucket_name}-b"))
    lines: list[str] = []
    found = plan.plan(site)
    with writes(site, fail_at=2), pytest.raises(BucketError) as caught:
        apply.apply(site, found, tell=lines.append)
    assert list(caught.value.done) == lines == [f"{bucket_name}: created", f"{bucket_name}: lifecycle set"]
    assert applied(site)


def test_prepare_stops_at_a_conflict(s3_site: MakeSite) -> None:
    site = s3_site()
    site.root.put_public_access_block(Bucket=site.media_bucket, PublicAccessBlockConfiguration=OPEN)
    put_policy(site.root, site.media_bucket, wide_open(site.media_bucket))
    with pytest.raises(BucketError, match=f"{site.media_bucket}: PublicReadGetObject: allow everyone"):
        apply.prepare(as_root(site.store))


@pytest.mark.slow
def test_apply_fails_if_a_setting_reads_back_differently_simulated(
    s3_site: MakeSite, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = s3_site(prepared=False)
    monkeypatch.setattr(apply, "PAUSES", (0, 0))
    with FaultProxy(site.store.endpoint) as proxy:
        settings.AWS_S3_ENDPOINT_URL = proxy.endpoint
        proxy.faults.append(Fault("GET", r"\?cors", status=404, code="NoSuchCORSConfiguration"))
        wanted = as_root(site.store)
        with pytest.raises(
            BucketError, match=f"{site.static_bucket}: what S3 returns for cors differs from what was written"
        ):
            apply.apply(wanted, plan.plan(wanted))


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2, 3])
def test_apply_retries_a_setting_that_s3_aborts_simulated(
    s3_site: MakeSite, settings: Any, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    site = s3_site(prepared=False)
    monkeypatch.setattr(apply, "PAUSES", (0, 0))
    with FaultProxy(site.store.endpoint) as proxy:
        settings.AWS_S3_ENDPOINT_URL = proxy.endpoint
        proxy.faults.append(Fault("PUT", r"\?policy", status=409, code="OperationAborted", times=times))
        wanted = as_root(site.store)
        found = plan.plan(wanted)
        if times <= 2:
            apply.apply(wanted, found)
        else:
            with pytest.raises(BucketError, match="run this again in a minute"):
                apply.apply(wanted, found)


@pytest.mark.parametrize("rejections", [2, 3])
def test_apply_retries_a_policy_until_the_block_is_lifted_simulated(
    store: LocalServer, bucket_name: str, monkeypatch: pytest.MonkeyPatch, rejections: int
) -> None:
    monkeypatch.setattr(apply, "PAUSES", (0, 0))
    site, left = at(store, location(bucket=bucket_name, access="public-policy")), rejections

    def reject(model: Any, **_more: Any) -> None:
        nonlocal left
        if model.name == "PutBucketPolicy" and left:
            left -= 1
            message = "public policies are prevented by the BlockPublicPolicy setting"
            error: Any = {"Error": {"Code": "AccessDenied", "Message": message}, "ResponseMetadata": {}}
            raise ClientError(error, model.name)

    clients.command(site.buckets[0].target).meta.events.register("provide-client-params.s3", reject)
    found = plan.plan(site)
    if rejections == 2:
        apply.apply(site, found)
    else:
        with pytest.raises(BucketError, match="administrator of the account or organization"):
            apply.apply(site, found)
    clients.forget()


def create(store: LocalServer, name: str) -> None:
    store.client(key=THEIR_KEY).create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION}
    )


def test_plan_rejects_a_bucket_name_of_another_account(store: LocalServer, bucket_name: str) -> None:
    create(store, bucket_name)
    with pytest.raises(BucketError, match=r"or the bucket belongs to another account: .* choose another"):
        plan.plan(at(store, location(bucket=bucket_name)))


def test_apply_rejects_a_bucket_name_taken_after_the_plan(store: LocalServer, bucket_name: str) -> None:
    site = at(store, location(bucket=bucket_name))
    found = plan.plan(site)
    create(store, bucket_name)
    with pytest.raises(BucketError, match="belongs to another account: choose another name"):
        apply.apply(site, found)


@pytest.mark.parametrize(
    ("status", "code", "line"),
    [
        (400, "ExpiredToken", "The credentials have expired"),
        (403, "RequestTimeTooSkewed", "This machine's clock differs"),
    ],
)
def test_plan_explains_expired_credentials_and_clock_skew_simulated(
    s3_site: MakeSite, settings: Any, status: int, code: str, line: str
) -> None:
    site = s3_site()
    with FaultProxy(site.store.endpoint) as proxy:
        settings.AWS_S3_ENDPOINT_URL = proxy.endpoint
        proxy.faults.append(Fault(status=status, code=code))
        with pytest.raises(CommandError, match=line):
            call_command("s3", "plan")


# The commands


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        (
            {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"},
            "AWS does not accept the credentials (InvalidAccessK",
        ),
        (
            {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
            "No AWS credentials were found: set AWS_PROF",
        ),
        ({"AWS_PROFILE": "acme"}, "The config profile (acme) could not be found: correct AWS_PROFILE."),
    ],
    ids=["unknown key", "no key", "unknown profile"],
)
def test_plan_reports_unusable_credentials_in_one_line(
    s3_site: MakeSite, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], line: str
) -> None:
    s3_site()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    clients.forget()
    code, text = run("plan")
    assert code == 1
    assert text.startswith(line)
    assert text.count("\n") == 1


def run(*words: str) -> tuple[int, str]:
    """Return the exit code and the output of manage.py s3."""
    out = io.StringIO()
    try:
        call_command("s3", *words, stdout=out)
    except SystemExit as stop:
        return int(str(stop.code)), out.getvalue()
    except CommandError as error:
        return error.returncode, f"{out.getvalue()}{error}\n"
    return 0, out.getvalue()


@pytest.fixture
def site_as_root(s3_site: MakeSite, act_as: ActAs) -> Callable[..., SiteOnS3]:
    """Return `s3_site`, with root's credentials in the environment."""

    def make(*words: Any, **more: Any) -> SiteOnS3:
        site = s3_site(*words, **more)
        act_as(site.store.root)
        return site

    return make


def test_plan_exits_with_2_before_apply_and_with_0_after(site_as_root: Callable[..., SiteOnS3]) -> None:
    site = site_as_root(prepared=False)
    code, text = run("plan")
    assert code == 2
    assert text.endswith("To do: 6 changes.\nMake the changes with `manage.py s3 apply`.\n")
    assert "omitted: the TLS-only statement, because this endpoint is plain http" in text
    assert "\x1b" not in text
    code, text = run("apply", "--no-input")
    assert code == 0
    assert f"{site.static_bucket}: policy set\n" in text
    assert "and read back." in text
    code, text = run("plan")
    assert code == 0
    assert "Nothing to do: everything is up to date." in text
    code, text = run("apply", "--no-input")
    assert code == 0
    assert "read back" not in text
    code, text = run("plan", "--json")
    assert code == 0
    assert json.loads(text)["as_wanted"] is True


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("yes", 0), ("n", 1), ("", 1), (None, 1)])
def test_apply_asks_for_confirmation(
    site_as_root: Callable[..., SiteOnS3], monkeypatch: pytest.MonkeyPatch, answer: str | None, code: int
) -> None:
    site_as_root(prepared=False)

    def answered(_question: str) -> str:
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr("builtins.input", answered)
    got, text = run("apply")
    assert got == code
    assert ("Nothing was changed." in text) == (code == 1)
    assert run("plan")[0] == (2 if code else 0)


def test_apply_fails_on_a_conflict_without_replace_conflicting(site_as_root: Callable[..., SiteOnS3]) -> None:
    site = site_as_root()
    site.root.put_public_access_block(Bucket=site.media_bucket, PublicAccessBlockConfiguration=OPEN)
    put_policy(site.root, site.media_bucket, wide_open(site.media_bucket))
    assert run("plan")[0] == 2
    code, text = run("apply", "--no-input")
    assert code == 1
    assert "! conflict: PublicReadGetObject: allow everyone s3:GetObject on" in text
    assert sids(site.root, site.media_bucket) == ["PublicReadGetObject"]
    code, text = run("apply", "--no-input", "--replace-conflicting")
    assert code == 0
    old = text[text.index("policy as it was:\n") :].removeprefix("policy as it was:\n")
    document, _ = json.JSONDecoder().raw_decode(old)
    assert document["Statement"] == [wide_open(site.media_bucket)]
    assert document["Id"] == "Theirs"
    assert text.index("as it was") < text.index(f"{site.media_bucket}: policy set\n")
    assert run("plan")[0] == 0


def test_apply_reports_a_missing_permission_and_completed_changes(s3_site: MakeSite, act_as: ActAs) -> None:
    site = s3_site(prepared=False)
    document = policies.document(policies.setup(Deployment.load()))
    for statement in document["Statement"]:
        statement["Action"] = [name for name in statement["Action"] if name != "s3:PutBucketPolicy"]
    act_as(new_user(site.store, document))
    code, text = run("apply", "--no-input")
    assert code == 1
    assert text.splitlines()[-2:] == [
        f"{site.static_bucket}: these credentials lack s3:PutBucketPolicy: attach the policy that"
        " `manage.py s3 policy --role setup` prints.",
        f"Done before the error: {site.static_bucket}: lifecycle set; {site.static_bucket}: cors set;"
        f" {site.static_bucket}: public access block allows a public policy.",
    ]
    site.root.put_object(Bucket=site.static_bucket, Key="static/a.css", Body=b"a")
    assert seen(site) == set()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"USE_S3": False}, "The site does not use S3, because USE_S3 is False: set it to True or 'local'."),
        ({"AWS_S3_REGION_NAME": ""}, "STORAGES['default'] has no region. Set AWS_S3_REGION_NAME or the"),
        ({"AWS_DEFAULT_ACL": "public-read"}, "STORAGES['default']: AWS_DEFAULT_ACL is 'public-read', which"),
        (
            {"STORAGES": s3_storages()},
            "The site does not use S3, because no entry of STORAGES has an s3kit backend: set BACKEND to s3kit.",
        ),
    ],
)
def test_commands_report_invalid_settings(settings: Any, changes: dict[str, Any], line: str) -> None:
    s3_settings(settings)
    for name, value in changes.items():
        setattr(settings, name, value)
    for command in (["plan"], ["apply"], ["policy", "--role", "web"]):
        code, text = run(*command)
        assert code == 1
        assert text.startswith(line)
