"""Buckets on servers that lack features of AWS, or return configuration in another form."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace as but
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3kit import clients
from s3kit.buckets import apply, plan, show
from s3kit.buckets.wanted import BucketError
from s3kit.deployment import Deployment
from s3kit.local.server import LocalServer
from tests.deployments import ACCESS, REGION, at, location, writes
from tests.fault_proxy import Fault
from tests.ministack import anonymous
from tests.odd_store import CEPH, RCLONE, SUB_RESOURCES, Dialect, OddStore

pytestmark = pytest.mark.slow

ORIGINS = ("https://www.example.com", "https://a.example", "http://127.0.0.1:8000")
NOT_IMPLEMENTED = (501, "NotImplemented")

Serve = Callable[[Dialect], OddStore]


@pytest.fixture
def serve(store: LocalServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Return a function that starts a server with a dialect, without retry delays."""
    monkeypatch.setattr(apply, "PAUSES", (0, 0, 0))
    started: list[OddStore] = []

    def start(dialect: Dialect) -> OddStore:
        started.append(OddStore(store.endpoint, dialect).__enter__())
        return started[-1]

    yield start
    for each in started:
        each.__exit__(None, None, None)
        assert not each.deleted


def create(store: LocalServer, name: str) -> None:
    store.client().create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})


def both(name: str) -> dict[str, Any]:
    """Return the arguments for `at`, for one bucket with static files and uploads."""
    return {"static": {"bucket": name}, "media": {"bucket": name}}


def states(found: list[plan.BucketPlan]) -> dict[str, str]:
    return {line.aspect: line.state for each in found for line in each.lines if line.state != "as wanted"}


def applied(site: Deployment) -> list[str]:
    """Plan and apply; return the output. A second plan finds nothing to do."""
    lines: list[str] = []
    apply.apply(site, plan.plan(site), tell=lines.append)
    again = plan.plan(site)
    assert all(each.is_as_wanted for each in again), states(again)
    assert show.as_text(again).endswith("Nothing to do: everything is up to date.")
    return lines


def fails(site: Deployment, words: str) -> None:
    """Plan and apply. Both must fail with these words, and leave nothing new behind."""
    with writes(site) as made, pytest.raises(BucketError) as caught:
        apply.apply(site, plan.plan(site))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    client = clients.command(site.buckets[0].target)
    assert [name for name, _ in made] in ([], ["CreateBucket", "DeleteBucket"])
    if made:
        with pytest.raises(ClientError, match="404"):
            client.head_bucket(Bucket=site.buckets[0].name)


# Missing features


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("access", ACCESS)
def test_ceph_skips_encryption_and_ownership(
    serve: Serve, store: LocalServer, bucket_name: str, access: str, exists: bool
) -> None:
    odd = serve(CEPH)
    site = at(
        odd.seen_by(store),
        access=access,
        origins=ORIGINS,
        **both(bucket_name),
        region="default",
    )
    if exists:
        create(store, bucket_name)
    lines = applied(site)
    assert [line for line in lines if "skipped" in line] == [
        f"{bucket_name}: encryption: not supported by this server, skipped (PutObject failed:"
        " InvalidRequest: As the dialect says)"
    ]
    assert states(plan.plan(site)) == {"ownership": "not supported", "encryption": "optional"}
    text = show.as_text(plan.plan(site), width=1000)
    assert "  ? ownership            " in text
    assert text.count(" -- not supported by this server, skipped") == 1
    # Again, with nothing left to do except to try.
    assert [line for line in applied(site) if "skipped" not in line] == []


@pytest.mark.parametrize("dialect", [RCLONE, Dialect(rejected=dict.fromkeys(SUB_RESOURCES, NOT_IMPLEMENTED))])
@pytest.mark.parametrize("exists", [True, False])
def test_server_without_sub_resources_supports_only_private(
    serve: Serve, store: LocalServer, bucket_name: str, exists: bool, dialect: Dialect
) -> None:
    odd = serve(dialect)
    site = at(odd.seen_by(store), location(bucket=bucket_name))
    if exists:
        create(store, bucket_name)
    assert applied(site) == ([] if exists else [f"{bucket_name}: created"])
    assert set(states(plan.plan(site)).values()) == {"not supported"}
    data = json.loads(show.as_json(plan.plan(site)))
    assert data["as_wanted"]
    assert {each["state"] for each in data["buckets"][0]["aspects"]} == {"not supported"}
    for access, needed in (("public-policy", "bucket policies"), ("public-read", "ACLs")):
        other = f"{bucket_name}-{access}"
        fails(
            at(odd.seen_by(store), location(bucket=bucket_name, access=access)),
            f"does not support {needed}, ",
        )
        fails(at(odd.seen_by(store), location(bucket=other, access=access)), f"does not support {needed}, ")


ANSWERS = [NOT_IMPLEMENTED, (405, "MethodNotAllowed"), (400, "InvalidRequest"), (400, "InvalidArgument")] * 2


@pytest.mark.parametrize(("sub", "answer"), list(zip(sorted(SUB_RESOURCES), ANSWERS, strict=False)))
def test_missing_sub_resource_fails_only_the_access_that_needs_it(
    serve: Serve, store: LocalServer, bucket_name: str, sub: str, answer: tuple[int, str]
) -> None:
    odd = serve(Dialect(rejected={sub: answer}))
    needs = {"acl": "public-read", "policy": "public-policy"}.get(sub)
    for access in ACCESS:
        name = f"{bucket_name}-{access}"
        site = at(odd.seen_by(store), location(bucket=name, access=access), origins=ORIGINS)
        if sub == "publicAccessBlock":  # which a server without this feature can't enable
            create(store, name)
            store.client().delete_public_access_block(Bucket=name)
        if access == needs:
            fails(site, f"{name}: the server at {odd.endpoint} does not support ")
        else:
            applied(site)
            assert list(states(plan.plan(site)).values()) == ["not supported"]


def test_static_files_need_a_bucket_policy_or_a_custom_domain(
    serve: Serve, store: LocalServer, bucket_name: str
) -> None:
    odd = serve(Dialect(rejected={"policy": NOT_IMPLEMENTED}))
    static = location("staticfiles", "static", bucket=bucket_name)
    fails(
        at(odd.seen_by(store), static),
        "which make static files public: set custom_domain to a host that serves them",
    )
    applied(at(odd.seen_by(store), but(static, custom_domain="static.example.com")))


def test_versioning_fails_if_the_server_lacks_it(serve: Serve, store: LocalServer, bucket_name: str) -> None:
    odd = serve(Dialect())
    odd.faults.append(Fault("", r"\?versioning", status=501, code="NotImplemented"))
    fails(
        at(odd.seen_by(store), location(bucket=bucket_name, versioning=True)), "does not support versioning: "
    )


@pytest.mark.parametrize("sub", ["cors", "lifecycle", "publicAccessBlock"])
def test_read_only_sub_resource_is_skipped(
    serve: Serve, store: LocalServer, bucket_name: str, sub: str
) -> None:
    odd = serve(Dialect(rejected_writes={sub: NOT_IMPLEMENTED}))
    site = at(odd.seen_by(store), location(bucket=bucket_name))
    create(store, bucket_name)
    store.client().delete_public_access_block(Bucket=bucket_name)
    lines: list[str] = []
    apply.apply(site, plan.plan(site), tell=lines.append)
    assert len([line for line in lines if "not supported by this server, skipped" in line]) == 1
    assert len(lines) == 3


def test_unwritable_policy_leaves_the_bucket_private(
    serve: Serve, store: LocalServer, bucket_name: str
) -> None:
    odd = serve(Dialect(rejected_writes={"policy": NOT_IMPLEMENTED}))
    site = at(odd.seen_by(store), location(bucket=bucket_name, access="public-policy"))
    with pytest.raises(
        BucketError, match="does not support bucket policies, which access 'public-policy' needs"
    ):
        apply.apply(site, plan.plan(site))
    block = store.client().get_public_access_block(Bucket=bucket_name)["PublicAccessBlockConfiguration"]
    assert block["RestrictPublicBuckets"]


# Encryption


def objects(store: LocalServer, bucket: str) -> list[str]:
    return [each["Key"] for each in store.client().list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_server_with_encryption_keys_gets_default_encryption(
    serve: Serve, store: LocalServer, bucket_name: str
) -> None:
    odd = serve(Dialect(is_unencrypted=True))
    site = at(odd.seen_by(store), location(bucket=bucket_name))
    assert f"{bucket_name}: encryption set" in applied(site)
    assert states(plan.plan(site)) == {}
    probe = f"/{bucket_name}/pending/.s3kit-probe"
    assert odd.count("PUT", probe) == odd.count("DELETE", probe) == 2
    assert objects(store, bucket_name) == []


@pytest.mark.parametrize("first", [1, 2])
def test_encryption_is_undone_if_uploads_fail(
    serve: Serve, store: LocalServer, bucket_name: str, first: int
) -> None:
    """If the server ignores the first probe's header, only the second probe detects it."""
    odd = serve(Dialect(is_unencrypted=True))
    odd.faults.append(Fault("PUT", "pending/", first=first, every=2, status=400, code="InvalidRequest"))
    applied(at(odd.seen_by(store), location(bucket=bucket_name)))
    assert (bucket_name, "encryption") not in odd.kept
    assert odd.count("PUT", r"\?encryption") == odd.count("DELETE", r"\?encryption") == first - 1
    assert objects(store, bucket_name) == []


def test_kms_encryption_is_restored_if_uploads_fail(
    serve: Serve, store: LocalServer, bucket_name: str
) -> None:
    odd = serve(Dialect(is_unencrypted=True))
    site = at(odd.seen_by(store), location("staticfiles", "static", bucket=bucket_name))
    applied(site)
    s3 = clients.command(site.buckets[0].target)
    kms = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "theirs"}}
    s3.put_bucket_encryption(Bucket=bucket_name, ServerSideEncryptionConfiguration={"Rules": [kms]})
    odd.faults.append(Fault("PUT", "pending/", first=2, status=400, code="InvalidRequest"))
    apply.apply(site, plan.plan(site, replace=True), replace=True)
    (rule,) = s3.get_bucket_encryption(Bucket=bucket_name)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == kms["ApplyServerSideEncryptionByDefault"]


# Rules


@pytest.mark.parametrize("prefixes", [["", "tmp/"], [""], ["tmp/"]])
def test_foreign_rules_are_preserved_on_ceph(
    serve: Serve, store: LocalServer, bucket_name: str, prefixes: list[str]
) -> None:
    odd = serve(CEPH)
    site = at(odd.seen_by(store), location(bucket=bucket_name), origins=ORIGINS)
    s3 = clients.command(site.buckets[0].target)
    create(store, bucket_name)
    cors = [
        {
            "ID": "theirs",
            "AllowedOrigins": ["https://z.example", "https://y.example"],
            "AllowedMethods": ["PUT"],
        },
        {"AllowedOrigins": ["https://x.example"], "AllowedMethods": ["POST", "GET"], "MaxAgeSeconds": 5},
    ]
    expiry = {"Status": "Enabled", "Expiration": {"Days": 30}}
    rules = [{"ID": f"z{prefix}", "Filter": {"Prefix": prefix}, **expiry} for prefix in prefixes]
    s3.put_bucket_cors(Bucket=bucket_name, CORSConfiguration={"CORSRules": cors})
    s3.put_bucket_lifecycle_configuration(Bucket=bucket_name, LifecycleConfiguration={"Rules": rules})

    def theirs() -> tuple[list[Any], list[Any]]:
        found = s3.get_bucket_cors(Bucket=bucket_name)["CORSRules"]
        lifecycle = s3.get_bucket_lifecycle_configuration(Bucket=bucket_name)["Rules"]
        return (
            [each for each in found if not each.get("ID", "").startswith("django-s3-")],
            [each for each in lifecycle if not each["ID"].startswith("django-s3-")],
        )

    before = theirs()
    assert (len(before[0]), len(before[1])) == (2, len(prefixes))
    applied(site)
    assert theirs() == before
    (lifecycle,) = (line for line in plan.plan(site)[0].lines if line.aspect == "lifecycle")
    assert len(lifecycle.live) == 2 + len(prefixes)
    assert ("ztmp/: Expiration on tmp/*" in lifecycle.left_alone) == ("tmp/" in prefixes)
    # A changed setting is still detected.
    other = but(site, origins=ORIGINS[:1])
    assert states(plan.plan(other))["cors"] == "different"
    applied(other)
    assert theirs() == before


def test_shared_bucket_cors_allows_uploads_and_fonts(
    serve: Serve, store: LocalServer, bucket_name: str
) -> None:
    """Ceph uses the first rule with a matching origin, AWS the first rule that matches completely."""
    for dialect in (CEPH, Dialect()):
        odd = serve(dialect)
        name = f"{bucket_name}-{dialect.has_no_keys}".lower()
        applied(at(odd.seen_by(store), **both(name), origins=ORIGINS))
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            headers = {"Origin": ORIGINS[0], "Access-Control-Request-Method": method}
            answer = anonymous(f"{odd.endpoint}/{name}/media/a", "OPTIONS", headers)
            assert answer.status == (403 if method == "DELETE" else 200), (dialect, method)


def test_two_cors_rules_of_earlier_versions_become_one(
    serve: Serve, store: LocalServer, bucket_name: str
) -> None:
    site = at(serve(CEPH).seen_by(store), **both(bucket_name), origins=ORIGINS)
    applied(site)
    s3, shared = (
        clients.command(site.buckets[0].target),
        {"AllowedOrigins": list(ORIGINS), "MaxAgeSeconds": 3600},
    )
    old = [
        {"ID": "django-s3-static", "AllowedMethods": ["GET", "HEAD"], **shared},
        {"ID": "django-s3-uploads", "AllowedMethods": ["POST", "PUT"], **shared},
    ]
    s3.put_bucket_cors(Bucket=bucket_name, CORSConfiguration={"CORSRules": old})
    (found,) = plan.plan(site)
    assert states([found]) == {
        "cors": "different",
        "ownership": "not supported",
        "encryption": "optional",
    }
    assert not found.conflicts
    applied(site)
    (rule,) = s3.get_bucket_cors(Bucket=bucket_name)["CORSRules"]
    assert sorted(rule["AllowedMethods"]) == ["GET", "HEAD", "PUT"]


def test_cors_rule_without_its_id_is_not_added_twice() -> None:
    from s3kit.buckets.wanted import ASPECTS, wanted
    from tests.deployments import deployment

    ours = wanted(deployment(origins=ORIGINS))[1].aspects["cors"].value
    live = [{name: value for name, value in ours[0].items() if name != "ID"}]
    assert ASPECTS["cors"].join(live, ours) == live


# A new bucket


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("access", ACCESS)
def test_apply_waits_for_a_new_buckets_sub_resources_simulated(
    serve: Serve, store: LocalServer, bucket_name: str, access: str, times: int
) -> None:
    odd = serve(Dialect())
    # The first HeadBucket, before the bucket exists, differs.
    odd.faults.append(Fault("HEAD", f"{bucket_name}$", first=2, times=times, status=404, code="NoSuchBucket"))
    for method in ("GET", "PUT"):
        for sub in (*SUB_RESOURCES, "versioning"):
            pattern = rf"{bucket_name}\?{sub}"
            odd.faults.append(Fault(method, pattern, status=404, code="NoSuchBucket", times=times))
    applied(at(odd.seen_by(store), location(bucket=bucket_name, access=access, versioning=True)))
    assert all(fault.struck == times for fault in odd.faults if fault.seen)
    assert odd.count("PUT", rf"{bucket_name}$") == 1


def test_apply_handles_an_existing_bucket_reported_missing_simulated(
    serve: Serve, store: LocalServer, bucket_name: str
) -> None:
    create(store, bucket_name)
    odd = serve(Dialect())
    odd.faults.append(Fault("HEAD", f"{bucket_name}$", times=1, status=404, code="NoSuchBucket"))
    applied(at(odd.seen_by(store), location(bucket=bucket_name)))


def test_new_bucket_that_never_appears_is_an_error_simulated(
    serve: Serve, store: LocalServer, bucket_name: str
) -> None:
    odd = serve(Dialect())
    odd.faults.append(Fault("GET", rf"{bucket_name}\?policy", status=404, code="NoSuchBucket"))
    site = at(odd.seen_by(store), location(bucket=bucket_name))
    with pytest.raises(
        BucketError, match="does not find the new bucket yet: run this again in a minute"
    ) as caught:
        apply.apply(site, plan.plan(site))
    assert caught.value.done == (f"{bucket_name}: created",)
