"""From every kind of start to the wanted buckets, on a strict S3: plan, apply, and nothing left to do."""

import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from django.core.management import CommandError, call_command

from s3kit.buckets import apply
from s3kit.buckets import plan
from s3kit.buckets import policies
from s3kit.buckets.wanted import ASPECTS, BLOCKS, BucketError
from s3kit.local.server import LocalServer, Key, free_port
from s3kit.deployment import Site
from tests.fault_proxy import Fault, FaultProxy
from tests.ministack import REGION, ActAs, MakeSite, SiteOnS3, anonymous, forget_clients, new_user

pytestmark = pytest.mark.slow

ACCESS = ["private", "public-read", "public-policy"]
OPEN = dict.fromkeys(BLOCKS, False)
SHUT = dict.fromkeys(BLOCKS, True)
# MiniStack takes 12 digits for the root key of the account of this number.
OTHER_ACCOUNT = Key("111122223333", "any")


@contextmanager
def writes(s3: Any, *, fail_at: int | None = None) -> Iterator[list[str]]:
    """Record the writing calls of a client; the one of the number fails instead."""
    made: list[str] = []

    def record(model: Any, **_more: Any) -> None:
        if not model.name.startswith(("Get", "Head", "List")):
            if len(made) == fail_at:
                raise ClientError({"Error": {"Code": "InternalError"}, "ResponseMetadata": {}}, model.name)
            made.append(model.name)

    s3.meta.events.register("provide-client-params.s3", record)
    yield made


def planned(s3: Any, site: Site, *, replace: bool = False) -> list[plan.BucketPlan]:
    """Return the plan, which must not write."""
    with writes(s3) as made:
        found = plan.plan(s3, site, replace=replace)
    assert made == []
    return found


def applied(s3: Any, site: Site, *, replace: bool = False) -> list[tuple[str, str]]:
    """Plan, apply, and see that a second run has nothing to do."""
    done = apply.apply(s3, site, planned(s3, site, replace=replace), replace=replace)
    again = planned(s3, site)
    assert all(bucket.is_as_wanted for bucket in again)
    with writes(s3) as made:
        assert apply.apply(s3, site, again) == []
    assert made == []
    return done


def old_template(site: SiteOnS3) -> None:
    """Make the buckets as guides of old say: ACLs on, no block, everything readable, listable too."""
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
    """Return what a visitor gets, of the files that may be there and of the lists of the buckets."""
    found = set()
    for bucket in {site.static_bucket, site.media_bucket}:
        for key in ("static/a.css", "media/a.png", "secret", ""):
            if anonymous(site.url(bucket, key)).status == 200:
                found.add(f"{'static' if bucket == site.static_bucket else 'media'}: {key or 'list'}")
    return found


# Every start


@pytest.mark.parametrize("one_bucket", [False, True])
@pytest.mark.parametrize("access", ACCESS)
def test_from_a_bare_bucket(s3_site: MakeSite, access: str, one_bucket: bool) -> None:
    site = s3_site(access, one_bucket=one_bucket, prepared=False)
    done = applied(site.root, Site.from_settings())
    assert "bucket" not in [what for _, what in done]


@pytest.mark.parametrize("one_bucket", [False, True])
@pytest.mark.parametrize("access", ACCESS)
def test_from_nothing(store: LocalServer, bucket_name: str, access: str, one_bucket: bool) -> None:
    other = bucket_name if one_bucket else f"{bucket_name}-media"
    site = Site(REGION, bucket_name, other, access=access, endpoint=store.endpoint, versioning=True)
    done = applied(store.client(), site)
    assert done[0] == (bucket_name, "bucket")


@pytest.mark.slow
@pytest.mark.parametrize("one_bucket", [False, True])
@pytest.mark.parametrize("access", ACCESS)
def test_from_a_bucket_of_an_older_template(s3_site: MakeSite, access: str, one_bucket: bool) -> None:
    site = s3_site(access, one_bucket=one_bucket, prepared=False)
    old_template(site)
    wanted = Site.from_settings()
    before = seen(site)
    assert "media: secret" in before or one_bucket

    found = planned(site.root, wanted)
    assert [bucket.hindered for bucket in found] == [True] * len(found)
    apply.apply(site.root, wanted, found)
    # Nothing that depends on the conflicts has changed, and all that does not has.
    assert seen(site) == before
    left = planned(site.root, wanted)
    assert all(bucket.conflicts and not any(line.changes for line in bucket.lines) for bucket in left)

    applied(site.root, wanted, replace=True)
    public = {"static: static/a.css"}
    media = "static" if one_bucket else "media"
    if access == "public-policy":
        public.add(f"{media}: media/a.png")
    if access == "public-read":  # each of the older uploads has the ACL
        public |= {f"{media}: {key}" for key in ("static/a.css", "media/a.png", "secret")}
    assert seen(site) == public


@pytest.mark.parametrize("access", ACCESS)
def test_what_others_put_there_stays(s3_site: MakeSite, access: str) -> None:
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
    applied(s3, Site.from_settings())
    for bucket in (site.static_bucket, site.media_bucket):
        assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"][0] == theirs
        lifecycle = s3.get_bucket_lifecycle_configuration(Bucket=bucket)
        assert lifecycle["Rules"][0] == expiry
        assert len(lifecycle["Rules"]) == (3 if bucket == site.media_bucket else 2)
        document = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
        assert document["Id"] == "Theirs"
        assert document["Statement"][0]["Sid"] == "Backup"
    left_alone = [line.left_alone for bucket in planned(s3, Site.from_settings()) for line in bucket.lines]
    assert sum(map(len, left_alone)) == 6


def put_ownership(s3: Any, bucket: str) -> None:
    s3.put_bucket_ownership_controls(
        Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
    )


# One way to get each aspect wrong without putting anything in conflict.
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
}


@pytest.mark.slow
@pytest.mark.parametrize("aspect", WRONG)
@pytest.mark.parametrize("access", ["private", "public-policy"])
def test_one_setting_off_at_a_time(s3_site: MakeSite, access: str, aspect: str) -> None:
    site = s3_site(access, one_bucket=True, AWS_MEDIA_VERSIONING=True)
    WRONG[aspect](site.root, site.static_bucket)
    (found,) = planned(site.root, Site.from_settings())
    assert [line.aspect for line in found.lines if line.state != "as wanted"] == [aspect]
    assert {what for _, what in applied(site.root, Site.from_settings())} == {aspect}


def test_the_aspects_that_can_be_wrong_without_a_conflict_are_all() -> None:
    assert set(ASPECTS) - set(WRONG) == {"encryption", "bucket ACL"}


def test_a_key_of_kms_on_public_files(s3_site: MakeSite) -> None:
    site, kms = s3_site(), {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    for bucket in (site.static_bucket, site.media_bucket):
        site.root.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [kms]})
    assert [bucket.hindered for bucket in planned(site.root, Site.from_settings())] == [True, False]
    assert applied(site.root, Site.from_settings(), replace=True) == [(site.static_bucket, "encryption")]


@pytest.mark.parametrize("flag", BLOCKS)
def test_a_single_block_off(s3_site: MakeSite, flag: str) -> None:
    site = s3_site()
    site.root.put_public_access_block(
        Bucket=site.media_bucket, PublicAccessBlockConfiguration=SHUT | {flag: False}
    )
    assert applied(site.root, Site.from_settings()) == [(site.media_bucket, "public access block")]


def test_no_block_and_no_ownership_at_all(s3_site: MakeSite) -> None:
    site = s3_site()
    site.root.delete_public_access_block(Bucket=site.media_bucket)
    site.root.delete_bucket_ownership_controls(Bucket=site.media_bucket)
    applied(site.root, Site.from_settings())


# From one access to another


@pytest.mark.slow
@pytest.mark.parametrize("new", ACCESS)
@pytest.mark.parametrize("old", ACCESS)
def test_from_one_access_to_another(s3_site: MakeSite, settings: Any, old: str, new: str) -> None:
    site = s3_site(old)
    acl = {"ACL": "public-read"} if old == "public-read" else {}
    site.root.put_object(Bucket=site.static_bucket, Key="static/a.css", Body=b"a")
    site.root.put_object(Bucket=site.media_bucket, Key="media/a.png", Body=b"a", **acl)
    settings.AWS_MEDIA_ACCESS = new
    _, media = planned(site.root, Site.from_settings())
    assert bool(media.closes) == (old not in {"private", new})
    assert bool(media.opens) == (new not in {"private", old})
    applied(site.root, Site.from_settings())
    public = new == "public-policy" or (new == old == "public-read")
    assert seen(site) == {"static: static/a.css"} | ({"media: media/a.png"} if public else set())


# Failures


@pytest.mark.slow
@pytest.mark.parametrize("old", ["private", "public-policy", "older template", "stale policy"])
@pytest.mark.parametrize("access", ACCESS)
def test_a_failure_leaves_no_bucket_more_open_than_it_was(s3_site: MakeSite, access: str, old: str) -> None:
    """Fail at each step in turn, starting over from the same state."""

    def start() -> SiteOnS3:
        site = s3_site(old if old in ACCESS else "private", one_bucket=True)
        site.root.put_object(Bucket=site.media_bucket, Key="static/a.css", Body=b"a")
        site.root.put_object(Bucket=site.media_bucket, Key="media/a.png", Body=b"a")
        if old == "older template":
            old_template(site)
        if old == "stale policy":
            # Ours, of another access mode; without effect while the block restricts it.
            ours = policies.bucket_policy(
                replace(Site.from_settings(), access="public-policy"), site.media_bucket
            )
            put_policy(site.root, site.media_bucket, *ours)
            site.root.put_public_access_block(Bucket=site.media_bucket, PublicAccessBlockConfiguration=SHUT)
        return site

    for fail_at in range(20):
        site = start()
        wanted = replace(Site.from_settings(), access=access)
        before, s3 = seen(site), site.store.client()
        found = plan.plan(s3, wanted, replace=True)
        with writes(s3, fail_at=fail_at) as made:
            try:
                apply.apply(s3, wanted, found, replace=True)
            except BucketError as error:
                done = error.done
            else:
                break
        assert len(done) == len(made) == fail_at
        assert seen(site) <= before, made
    assert fail_at < 19
    assert fail_at or old == access


def test_a_failure_lists_what_was_done(store: LocalServer, bucket_name: str) -> None:
    site = Site(REGION, bucket_name, f"{bucket_name}-media", endpoint=store.endpoint)
    s3 = store.client()
    told: list[str] = []
    found = plan.plan(s3, site)
    with writes(s3, fail_at=2), pytest.raises(BucketError) as caught:
        apply.apply(s3, site, found, tell=told.append)
    assert list(caught.value.done) == told == [f"{bucket_name}: created", f"{bucket_name}: lifecycle"]
    assert applied(store.client(), site)


def test_prepare_stops_at_a_conflict(s3_site: MakeSite) -> None:
    site = s3_site()
    site.root.put_public_access_block(Bucket=site.media_bucket, PublicAccessBlockConfiguration=OPEN)
    put_policy(site.root, site.media_bucket, wide_open(site.media_bucket))
    with pytest.raises(BucketError, match=f"{site.media_bucket}: PublicReadGetObject: everybody may"):
        apply.prepare(site.root, Site.from_settings())


@pytest.mark.slow
def test_what_reads_back_otherwise_is_told_simulated(
    s3_site: MakeSite, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = s3_site(prepared=False)
    monkeypatch.setattr(apply, "PAUSES", (0, 0))
    with FaultProxy(site.store.endpoint) as proxy:
        settings.AWS_S3_ENDPOINT_URL = proxy.endpoint
        proxy.faults.append(Fault("GET", r"\?cors", status=404, code="NoSuchCORSConfiguration"))
        wanted, s3 = Site.from_settings(), replace(site.store, endpoint=proxy.endpoint).client()
        with pytest.raises(BucketError, match=f"{site.static_bucket}: cors read back otherwise than written"):
            apply.apply(s3, wanted, plan.plan(s3, wanted))


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_setting_that_takes_effect_late_is_waited_for_simulated(
    s3_site: MakeSite, settings: Any, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    site = s3_site(prepared=False)
    monkeypatch.setattr(apply, "PAUSES", (0, 0))
    with FaultProxy(site.store.endpoint) as proxy:
        settings.AWS_S3_ENDPOINT_URL = proxy.endpoint
        proxy.faults.append(Fault("PUT", r"\?policy", status=409, code="OperationAborted", times=times))
        wanted, s3 = Site.from_settings(), replace(site.store, endpoint=proxy.endpoint).client()
        found = plan.plan(s3, wanted)
        if times <= 2:
            apply.apply(s3, wanted, found)
        else:
            with pytest.raises(BucketError, match="run this again in a minute"):
                apply.apply(s3, wanted, found)


@pytest.mark.parametrize("refusals", [2, 3])
def test_a_block_that_is_lifted_late_is_waited_for_simulated(
    store: LocalServer, bucket_name: str, monkeypatch: pytest.MonkeyPatch, refusals: int
) -> None:
    monkeypatch.setattr(apply, "PAUSES", (0, 0))
    site, s3, left = Site(REGION, bucket_name, bucket_name, endpoint=store.endpoint), store.client(), refusals

    def refuse(model: Any, **_more: Any) -> None:
        nonlocal left
        if model.name == "PutBucketPolicy" and left:
            left -= 1
            message = "public policies are prevented by the BlockPublicPolicy setting"
            error = {"Error": {"Code": "AccessDenied", "Message": message}, "ResponseMetadata": {}}
            raise ClientError(error, model.name)

    s3.meta.events.register("provide-client-params.s3", refuse)
    found = plan.plan(s3, site)
    if refusals == 2:
        apply.apply(s3, site, found)
    else:
        with pytest.raises(BucketError, match="the account's or the organization's"):
            apply.apply(s3, site, found)


def test_a_name_that_another_account_has(store: LocalServer, bucket_name: str) -> None:
    store.client(key=OTHER_ACCOUNT).create_bucket(
        Bucket=bucket_name, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    site = Site(REGION, bucket_name, bucket_name, endpoint=store.endpoint)
    with pytest.raises(BucketError, match=r"or the bucket belongs to another account: .* choose another"):
        plan.plan(store.client(), site)


def test_a_name_that_is_taken_in_the_meantime(store: LocalServer, bucket_name: str) -> None:
    site = Site(REGION, bucket_name, bucket_name, endpoint=store.endpoint)
    found = plan.plan(store.client(), site)
    store.client(key=OTHER_ACCOUNT).create_bucket(
        Bucket=bucket_name, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    with pytest.raises(BucketError, match="belongs to another account: choose another name"):
        apply.apply(store.client(), site, found)


def test_a_bucket_in_another_region(s3_site: MakeSite) -> None:
    site = s3_site()
    elsewhere = replace(Site.from_settings(), region="us-west-2")
    with pytest.raises(BucketError, match=f"is in {REGION}, and AWS_S3_REGION_NAME says us-west-2"):
        plan.plan(replace(site.store, region="us-west-2").client(), elsewhere)


@pytest.mark.parametrize(
    ("region", "constraint"), [("us-east-1", None), ("eu-west-1", "EU"), ("eu-west-1", "eu-west-1")]
)
def test_two_regions_have_names_of_old(
    store: LocalServer, bucket_name: str, region: str, constraint: str | None
) -> None:
    s3 = replace(store, region=region).client()
    more = {"CreateBucketConfiguration": {"LocationConstraint": constraint}} if constraint else {}
    s3.create_bucket(Bucket=bucket_name, **more)
    assert s3.get_bucket_location(Bucket=bucket_name)["LocationConstraint"] == constraint
    (found,) = plan.plan(s3, Site(region, bucket_name, bucket_name, endpoint=store.endpoint))
    assert found.exists


@pytest.mark.parametrize(
    ("status", "code", "line"),
    [
        (400, "ExpiredToken", "The credentials have expired"),
        (403, "RequestTimeTooSkewed", "The clock of this machine is off"),
    ],
)
def test_credentials_and_clocks_simulated(
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
    ids=["unknown key", "no key", "no profile"],
)
def test_credentials_that_are_none(
    s3_site: MakeSite, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], line: str
) -> None:
    s3_site()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    forget_clients()
    code, text = run("plan")
    assert code == 1
    assert text.startswith(line)
    assert text.count("\n") == 1


@pytest.mark.slow
def test_nothing_at_the_address(s3_site: MakeSite, settings: Any) -> None:
    s3_site()
    settings.AWS_S3_ENDPOINT_URL = f"http://127.0.0.1:{free_port(0)}"
    code, text = run("plan")
    assert code == 1
    assert text.startswith("Could not connect to the endpoint URL")
    assert text.endswith(": check the network, HTTPS_PROXY and AWS_S3_ENDPOINT_URL.\n")


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
def as_root(s3_site: MakeSite, act_as: ActAs) -> Callable[..., SiteOnS3]:
    """Return `s3_site`, with root's credentials for the command."""

    def make(*words: Any, **more: Any) -> SiteOnS3:
        site = s3_site(*words, **more)
        act_as(site.store.root)
        return site

    return make


def test_plan_and_apply_and_plan(as_root: Callable[..., SiteOnS3]) -> None:
    site = as_root(prepared=False)
    code, text = run("plan")
    assert code == 2
    assert text.endswith("To do: 6 changes.\n")
    assert "left out: the statement that demands TLS: this endpoint is plain http" in text
    assert "\x1b" not in text
    code, text = run("apply", "--no-input")
    assert code == 0
    assert f"{site.static_bucket}: policy\n" in text
    assert "and read back." in text
    code, text = run("plan")
    assert code == 0
    assert "Nothing to do: everything is as wanted." in text
    code, text = run("apply", "--no-input")
    assert code == 0
    assert "read back" not in text
    code, text = run("plan", "--json")
    assert code == 0
    assert json.loads(text)["as_wanted"] is True


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("colour", [True, False])
def test_only_a_terminal_gets_colours_and_folded_lines(
    as_root: Callable[..., SiteOnS3], monkeypatch: pytest.MonkeyPatch, terminal: bool, colour: bool
) -> None:
    as_root(prepared=False)
    monkeypatch.setenv("COLUMNS", "70")
    out = Terminal() if terminal else io.StringIO()
    with pytest.raises(SystemExit, match="2"):
        call_command("s3", "plan", stdout=out, force_color=colour, no_color=not colour)
    assert ("\x1b" in out.getvalue()) == (terminal and colour)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
    assert (max(map(len, plain.splitlines())) <= 70) == terminal


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("yes", 0), ("n", 1), ("", 1), (None, 1)])
def test_apply_asks(
    as_root: Callable[..., SiteOnS3], monkeypatch: pytest.MonkeyPatch, answer: str | None, code: int
) -> None:
    as_root(prepared=False)

    def answered(_question: str) -> str:
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr("builtins.input", answered)
    got, text = run("apply")
    assert got == code
    assert ("Nothing was changed." in text) == (code == 1)
    assert run("plan")[0] == (2 if code else 0)


def test_a_conflict_ends_apply_with_1_until_it_is_replaced(as_root: Callable[..., SiteOnS3]) -> None:
    site = as_root()
    site.root.put_public_access_block(Bucket=site.media_bucket, PublicAccessBlockConfiguration=OPEN)
    put_policy(site.root, site.media_bucket, wide_open(site.media_bucket))
    assert run("plan")[0] == 2
    code, text = run("apply", "--no-input")
    assert code == 1
    assert "! conflict: PublicReadGetObject: everybody may s3:GetObject on" in text
    assert sids(site.root, site.media_bucket) == ["PublicReadGetObject"]
    code, text = run("apply", "--no-input", "--replace-conflicting")
    assert code == 0
    old = text[text.index("policy as it was:\n") :].removeprefix("policy as it was:\n")
    document, _ = json.JSONDecoder().raw_decode(old)
    assert document["Statement"] == [wide_open(site.media_bucket)]
    assert document["Id"] == "Theirs"
    assert text.index("as it was") < text.index(f"{site.media_bucket}: policy\n")
    assert run("plan")[0] == 0


def test_a_refusal_lists_what_was_done(s3_site: MakeSite, act_as: ActAs) -> None:
    site = s3_site(prepared=False)
    document = policies.document(policies.setup(Site.from_settings()))
    for statement in document["Statement"]:
        statement["Action"] = [name for name in statement["Action"] if name != "s3:PutBucketPolicy"]
    act_as(new_user(site.store, document))
    code, text = run("apply", "--no-input")
    assert code == 1
    assert text.splitlines()[-2:] == [
        f"{site.static_bucket}: these credentials may not s3:PutBucketPolicy: attach what"
        " `manage.py s3 policy --role setup` prints.",
        f"Done before: {site.static_bucket}: lifecycle; {site.static_bucket}: cors;"
        f" {site.static_bucket}: public access block lets a public policy be written.",
    ]
    site.root.put_object(Bucket=site.static_bucket, Key="static/a.css", Body=b"a")
    assert seen(site) == set()


def test_what_the_settings_lack_is_told_in_one_line(settings: Any) -> None:
    settings.AWS_S3_REGION_NAME = REGION
    settings.AWS_STATIC_BUCKET_NAME = settings.AWS_MEDIA_BUCKET_NAME = ""
    for command in (["plan"], ["apply"], ["policy", "--role", "web"]):
        assert run(*command) == (
            1,
            "Not set: AWS_STATIC_BUCKET_NAME, AWS_MEDIA_BUCKET_NAME. Set them in .env or in the"
            " environment.\n",
        )
    settings.AWS_STATIC_BUCKET_NAME = settings.AWS_MEDIA_BUCKET_NAME = "acme-files"
    settings.AWS_MEDIA_ACCESS = "public"
    code, text = run("plan")
    assert code == 1
    assert text.startswith("AWS_MEDIA_ACCESS: 'public' is no access mode.")
