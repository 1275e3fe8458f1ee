"""Commands reject another account's bucket: the owners of buckets and credentials, on AWS."""

import io
import json
from contextlib import suppress
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError

from s3kit import checks, clients
from s3kit.buckets import policies
from s3kit.deployment import Deployment
from s3kit.doctor import ground
from s3kit.doctor.report import diagnose
from s3kit.doctor.shared import Response
from tests.deployments import ACCESS, deployment
from tests.fake_aws import ACCOUNT, OTHER, FakeAWS
from tests.fault_proxy import Fault, FaultProxy
from tests.ministack import MakeSite, new_user, s3_settings

MINE = {"acme-static": ACCOUNT, "acme-media": ACCOUNT}
SQUATTED = MINE | {"acme-media": OTHER}


def s3(*arguments: str, **more: Any) -> str:
    out = io.StringIO()
    call_command("s3", *arguments, stdout=out, **more)
    return out.getvalue()


def rejected(*arguments: str) -> str:
    with pytest.raises(CommandError) as caught:
        s3(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_apply_and_plan_accept_own_buckets_and_call_sts_once_each(aws: FakeAWS, settings: Any) -> None:
    s3_settings(settings)
    s3("apply", "--no-input")
    assert aws.owners == MINE
    assert "Nothing to do" in s3("plan")
    # Once for each command.
    assert aws.requests["sts"] == 2


@pytest.mark.parametrize("command", [("plan",), ("apply", "--no-input")])
def test_plan_and_apply_reject_a_bucket_of_another_account(
    aws: FakeAWS, settings: Any, command: tuple[str, ...]
) -> None:
    s3_settings(settings)
    aws.owners = dict(SQUATTED)
    error = rejected(*command)
    assert error.startswith(f"acme-media: the bucket doesn't belong to account {ACCOUNT}")
    assert "choose another name in the option bucket_name" in error
    assert "AWS_EXPECTED_BUCKET_OWNER" in error
    assert aws.requests["write"] == 0


def test_expected_bucket_owner_allows_only_buckets_of_that_account(aws: FakeAWS, settings: Any) -> None:
    s3_settings(settings, AWS_EXPECTED_BUCKET_OWNER=OTHER)
    aws.owners = dict.fromkeys(MINE, OTHER)
    s3("apply", "--no-input")
    aws.owners = {"acme-static": OTHER}
    assert f"create it with credentials of {OTHER}" in rejected("apply", "--no-input")
    aws.owners = dict(MINE)
    assert f"doesn't belong to account {OTHER}" in rejected("plan")


@pytest.mark.parametrize("command", [("plan",), ("apply", "--no-input"), ("access",)])
def test_commands_fail_without_sts_unless_the_owner_is_set(
    aws: FakeAWS, settings: Any, command: tuple[str, ...]
) -> None:
    s3_settings(settings)
    aws.owners, aws.has_sts = dict(MINE), False
    error = rejected(*command)
    assert "Can't tell which account the credentials belong to" in error
    assert "set AWS_EXPECTED_BUCKET_OWNER" in error
    assert aws.requests["s3"] == 0
    settings.AWS_EXPECTED_BUCKET_OWNER = ACCOUNT
    if command != ("access",):
        s3("apply", "--no-input")


@pytest.mark.parametrize("command", [("plan",), ("apply", "--no-input"), ("access",)])
def test_commands_report_missing_credentials_before_calling_sts(
    aws: FakeAWS, settings: Any, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    s3_settings(settings)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "")
    clients.forget()
    assert rejected(*command).startswith("No AWS credentials were found: set AWS_PROFILE, ")
    assert aws.requests["sts"] == 0


def policy(*principals: str) -> str:
    statement = {
        "Sid": "Backup",
        "Effect": "Allow",
        "Principal": {"AWS": list(principals)},
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::acme-media/*",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_grants_to_other_accounts_are_conflicts_unless_trusted(aws: FakeAWS, settings: Any) -> None:
    s3_settings(settings)
    aws.owners = dict(MINE)
    s3("apply", "--no-input")
    written = aws.documents["acme-media"]["policy"]
    for theirs in (f"arn:aws:iam::{OTHER}:root", "*"):
        aws.documents["acme-media"]["policy"] = policy(theirs)
        with pytest.raises(SystemExit, match="2"):
            s3("plan")
        with pytest.raises(CommandError, match="Conflicts"):
            s3("apply", "--no-input")
        assert json.loads(aws.documents["acme-media"]["policy"]) == json.loads(policy(theirs))
        s3("apply", "--no-input", "--replace-conflicting")
        assert json.loads(aws.documents["acme-media"]["policy"]) == json.loads(written)
    aws.documents["acme-media"]["policy"] = policy(OTHER)
    settings.AWS_TRUSTED_ACCOUNTS = [OTHER]
    s3("apply", "--no-input")
    assert policies.MARK in aws.documents["acme-media"]["policy"]
    found = " ".join(s3("plan").split())
    assert "requires TLS; open only to the account, plus those listed below" in found
    assert f". left alone: Backup: allow {OTHER} s3:GetObject on acme-media/*" in found


def test_trusted_accounts_must_have_12_digits(settings: Any) -> None:
    s3_settings(settings, AWS_TRUSTED_ACCOUNTS=["1234-5678-9012", ACCOUNT, "123"])
    found = [check.msg for check in checks.all_checks() if check.id == "s3kit.E016"]
    assert found == [
        "AWS_TRUSTED_ACCOUNTS has '1234-5678-9012', which is not an account ID.",
        "AWS_TRUSTED_ACCOUNTS has '123', which is not an account ID.",
    ]


def test_checks_and_policy_make_no_requests(aws: FakeAWS, settings: Any) -> None:
    s3_settings(settings)
    aws.owners = dict(MINE)
    Deployment.load()
    checks.all_checks()
    with suppress(SystemCheckError):
        call_command("check", deploy=True, stderr=io.StringIO(), stdout=io.StringIO())
    for role in policies.ROLES:
        s3("policy", f"--role={role}")
    assert not aws.requests


# doctor


@pytest.mark.parametrize("owner", [ACCOUNT, OTHER])
def test_doctor_compares_bucket_owners_with_the_credentials(
    aws: FakeAWS, settings: Any, monkeypatch: pytest.MonkeyPatch, owner: str
) -> None:
    s3_settings(settings)
    aws.owners = MINE | {"acme-media": owner}
    # The responses to visitors' requests, which need a network.
    listing = Response(200, {"date": ""}, b"<ListBucketResult/>")
    monkeypatch.setattr(ground, "fetch", lambda *_arguments, **_more: listing)
    lines = {line.probe: line for line in diagnose(Deployment.load(), "deploy").lines}
    assert lines["static bucket"].text.endswith(f"and belongs to account {ACCOUNT}")
    report = {line.probe: line for line in diagnose(Deployment.load()).lines}
    if owner == ACCOUNT:
        assert report["media bucket"].status == "ok"
    else:
        assert report["media bucket"].status == "not ok"
        assert f"acme-media does not belong to account {ACCOUNT}" in report["media bucket"].text


def test_doctor_fails_without_sts_unless_the_owner_is_set(
    aws: FakeAWS, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_settings(settings)
    aws.owners, aws.has_sts = dict(MINE), False
    listing = Response(200, {"date": ""}, b"<ListBucketResult/>")
    monkeypatch.setattr(ground, "fetch", lambda *_arguments, **_more: listing)
    lines = {line.probe: line for line in diagnose(Deployment.load(), "deploy").lines}
    assert lines["bucket owner"].status == "not ok"
    assert "set AWS_EXPECTED_BUCKET_OWNER" in lines["bucket owner"].fix


@pytest.mark.slow
@pytest.mark.parametrize("trusted", [True, False])
def test_doctor_reports_grants_to_untrusted_accounts(s3_site: MakeSite, settings: Any, trusted: bool) -> None:
    site = s3_site(AWS_EXPECTED_BUCKET_OWNER="000000000000")
    document = json.loads(policy(OTHER).replace("acme-media", site.media_bucket))
    site.root.put_bucket_policy(Bucket=site.media_bucket, Policy=json.dumps(document))
    settings.AWS_TRUSTED_ACCOUNTS = [OTHER] * trusted
    found = [line for line in diagnose(Deployment.load()).lines if line.probe == "bucket grants"]
    wrong = [line for line in found if line.status == "not ok"]
    assert len(found) == 1
    assert bool(wrong) != trusted
    for line in wrong:
        assert f"{site.media_bucket}: Backup: allow {OTHER} s3:GetObject" in line.text
        assert "AWS_TRUSTED_ACCOUNTS" in line.fix


@pytest.mark.slow
def test_apply_writes_nothing_if_s3_rejects_the_expected_owner(s3_site: MakeSite, settings: Any) -> None:
    site = s3_site(prepared=False)
    with FaultProxy(site.store.endpoint) as proxy:
        proxy.faults.append(Fault(header="x-amz-expected-bucket-owner", status=403, code="AccessDenied"))
        settings.AWS_S3_ENDPOINT_URL, settings.AWS_EXPECTED_BUCKET_OWNER = proxy.endpoint, ACCOUNT
        assert "doesn't belong to account" in rejected("apply", "--no-input")
        assert {request.method for request in proxy.requests} <= {"GET", "HEAD"}


# The printed policies


@pytest.mark.parametrize("access", ACCESS)
@pytest.mark.parametrize("owner", [None, OTHER])
def test_every_role_policy_is_limited_to_the_account(access: str, owner: str | None) -> None:
    site = deployment(access, owner=owner)
    for role in policies.ROLES.values():
        for statement in policies.document(role(site))["Statement"]:
            limit = statement.get("Condition", {}).get("StringEquals", {}).get("aws:ResourceAccount")
            free = statement["Action"] in (["s3:CreateBucket"], ["s3:GetAccountPublicAccessBlock"])
            if free or statement["Effect"] == "Deny":
                assert limit is None
            else:
                assert limit == (owner or "${aws:PrincipalAccount}")
        # Other servers don't have this condition.
        there = policies.document(role(deployment(access, owner=owner, endpoint="https://s3.example.com")))
        assert "aws:" not in json.dumps(there).replace("arn:aws:", "")


def test_prune_role_cannot_delete_the_live_manifest(s3_site: MakeSite) -> None:
    site = s3_site()
    keys = ["static/staticfiles.json", "static/old.css"]
    for key in keys:
        site.root.put_object(Bucket=site.static_bucket, Key=key, Body=b"{}")
    prune = site.store.client(key=new_user(site.store, policies.document(policies.prune(Deployment.load()))))
    with pytest.raises(prune.exceptions.ClientError, match="AccessDenied"):
        prune.delete_object(Bucket=site.static_bucket, Key=keys[0])
    prune.delete_object(Bucket=site.static_bucket, Key=keys[1])
    listed = site.root.list_objects_v2(Bucket=site.static_bucket)["Contents"]
    assert [each["Key"] for each in listed] == keys[:1]


EVERYONE = 'uri="http://acs.amazonaws.com/groups/global/AllUsers"'


@pytest.mark.slow
def test_web_role_may_set_only_the_public_read_acl(s3_site: MakeSite) -> None:
    site = s3_site("public-read")
    web = site.store.client(key=new_user(site.store, policies.document(policies.web(Deployment.load()))))
    upload = {"Bucket": site.media_bucket, "Key": "media/a", "Body": b"a"}
    for more in ({}, {"ACL": "public-read"}):
        web.put_object(**upload, **more)
    many = {"Bucket": site.media_bucket, "Key": "media/b", "ACL": "public-read"}
    parts = {"Bucket": site.media_bucket, "Key": "media/b"} | {
        "UploadId": web.create_multipart_upload(**many)["UploadId"]
    }
    part = web.upload_part(**parts, PartNumber=1, Body=b"b")["ETag"]
    web.complete_multipart_upload(**parts, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]})
    wrong: list[dict[str, str]] = [{"ACL": "public-read-write"}, {"ACL": "authenticated-read"}]
    wrong += [{"GrantFullControl": EVERYONE}, {"GrantRead": EVERYONE}, {"GrantWriteACP": EVERYONE}]
    for more in wrong:
        for call in (web.put_object, web.create_multipart_upload, web.put_object_acl):
            given = upload | more if call == web.put_object else {**upload, **more}
            if call != web.put_object:
                given.pop("Body")
            with pytest.raises(web.exceptions.ClientError, match="AccessDenied"):
                call(**given)
    # Unchecked uploads are never public.
    pending = upload | {"Key": "pending/a"}
    web.put_object(**pending)
    for more in ({"ACL": "public-read"}, *wrong):
        with pytest.raises(web.exceptions.ClientError, match="AccessDenied"):
            web.put_object(**pending, **more)
    # The request's body instead of a header.
    owner = site.root.get_object_acl(Bucket=site.media_bucket, Key="media/a")["Owner"]
    grants = [{"Grantee": {"Type": "Group", "URI": EVERYONE[5:-1]}, "Permission": "FULL_CONTROL"}]
    with pytest.raises(web.exceptions.ClientError, match="AccessDenied"):
        web.put_object_acl(
            Bucket=site.media_bucket, Key="media/a", AccessControlPolicy={"Owner": owner, "Grants": grants}
        )


def test_setup_role_cannot_make_a_bucket_public_by_its_acl() -> None:
    statements = policies.document(policies.setup(deployment()))["Statement"]
    (acl,) = (each for each in statements if "s3:PutBucketAcl" in each["Action"])
    assert acl["Condition"]["StringEquals"]["s3:x-amz-acl"] == ["private", "log-delivery-write"]
