"""The doctor on a strict S3 server: healthy sites, and sites with each kind of misconfiguration."""

import gzip
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any
from unittest import mock

import pytest
from django.core.management import CommandError, call_command

from s3kit import clients
from s3kit.buckets import policies
from s3kit.deployment import Deployment, Target
from s3kit.doctor import uploads
from s3kit.doctor.shared import Line, fetch, over_plain_http
from tests import processes
from tests.doctored import Doctored, change, diagnosed, examined, trouble, troubles
from tests.fault_proxy import Fault, FaultProxy
from tests.ministack import REGION, new_user, s3_storages
from tests.tls_front import certificate, self_signed, tls_front

pytestmark = pytest.mark.slow

MANIFEST = "static/staticfiles.json"
APPLY = "run `manage.py s3 apply`"
COLLECT = "run `manage.py collectstatic`"
EVERYONE = {"Effect": "Allow", "Principal": "*"}
NO_BLOCK = dict.fromkeys(
    ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), False
)


def use(monkeypatch: pytest.MonkeyPatch, key_id: str, secret: str, token: str = "") -> None:
    """Make the site use other credentials."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    if token:
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    clients.forget()


def use_user(monkeypatch: pytest.MonkeyPatch, doctored: Doctored, *documents: Any) -> None:
    """Make the site use a new user with these policies."""
    key = new_user(doctored.site.store, *documents)
    use(monkeypatch, key.id, key.secret)


def document_of(role: str) -> dict[str, Any]:
    return policies.document(policies.ROLES[role](Deployment.load()))


def without(action: str) -> list[dict[str, Any]]:
    """Return both roles' policies without an action."""
    documents = [document_of("web"), document_of("deploy")]
    for document in documents:
        for statement in document["Statement"]:
            statement["Action"] = [name for name in statement["Action"] if name != action] or [
                "s3:GetBucketTagging"
            ]
    return documents


def put_policy(doctored: Doctored, bucket: str, *statements: dict[str, Any]) -> None:
    document = {"Version": policies.VERSION, "Statement": list(statements)}
    doctored.root.put_bucket_policy(Bucket=bucket, Policy=json.dumps(document))


# Healthy sites

EVERY_PROBE = [
    *("endpoint", "clock", "credentials", "static bucket", "media bucket", "static domain", "media domain"),
    *("media write", "media head", "missing key", "media read", "media acl", "if-none-match"),
    *(
        "media visitors",
        "signed link",
        "tampered link",
        "expired link",
        "media tls",
        "media cors",
        "media parts",
        "media list",
        "media existing",
    ),
    *("media delete", "direct put", "direct read", "direct limits", "direct closed", "direct cors"),
    *("direct parts", "direct headers", "direct delete", "direct expiry"),
    *("manifest", "static objects", "static tls", "static visitors", "static types"),
    *("static cache", "static encoding", "static cors", "static write", "collectstatic"),
    *("bucket grants", "listing", "outside", "account block"),
]
LINKS = ["signed link", "tampered link", "expired link"]
ONLY_DEPLOY = {"static objects", "static write", "collectstatic", "direct expiry", "bucket grants"}
ONLY_WEB = {"missing key", "if-none-match", *LINKS} | {
    probe for probe in EVERY_PROBE if probe.startswith(("media ", "direct ")) and probe not in ONLY_DEPLOY
}


@pytest.mark.parametrize(
    ("access", "one_bucket"),
    [("private", False), ("private", True), ("public-read", False), ("public-policy", False)],
)
def test_healthy_site_has_no_problems(healthy_site: Any, access: str, one_bucket: bool) -> None:
    healthy_site(access, one_bucket=one_bucket)
    report = examined()
    assert troubles(report) == {}
    assert not report.failed
    assert report.not_probed == []
    expected = [probe for probe in EVERY_PROBE if access == "private" or probe not in LINKS]
    if one_bucket:
        expected = [probe.replace("static bucket", "bucket") for probe in expected if probe != "media bucket"]
    assert [line.probe for line in report.lines] == expected


def test_each_role_runs_only_its_probes_without_problems(
    healthy_site: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    doctored = healthy_site()
    role: Any
    for role, left_out in (("web", ONLY_DEPLOY), ("deploy", ONLY_WEB)):
        use_user(monkeypatch, doctored, document_of(role))
        report = examined(role)
        assert troubles(report) == {}
        assert [line.probe for line in report.lines] == [p for p in EVERY_PROBE if p not in left_out]


def test_cors_is_probed_for_the_origins_in_the_settings(healthy_site: Any) -> None:
    healthy_site(AWS_SITE_ORIGINS=["https://www.example.com"])
    lines = {line.probe: line.text for line in examined().lines}
    assert lines["static cors"].endswith("on https://www.example.com, http://127.0.0.1:8000")


def test_session_of_a_role_is_reported_without_its_secrets(
    healthy_site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    doctored = healthy_site()
    site, store = Deployment.load(), doctored.site.store
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    iam = store.client("iam")
    name = f"role-{doctored.media}"
    arn = iam.create_role(
        RoleName=name,
        AssumeRolePolicyDocument=json.dumps({"Version": policies.VERSION, "Statement": [trust]}),
    )["Role"]["Arn"]
    for grants in (policies.web(site), policies.deploy(site)):
        document = json.dumps(policies.document(grants))
        iam.put_role_policy(RoleName=name, PolicyName=grants[0].sid, PolicyDocument=document)
    got = store.client("sts").assume_role(RoleArn=arn, RoleSessionName="probe")["Credentials"]
    use(monkeypatch, got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"])
    report = examined()
    assert troubles(report) == {}
    (line,) = [line for line in report.lines if line.probe == "credentials"]
    assert f"assumed-role/{name}/probe of account 000000000000, key ASIA..." in line.text
    assert line.text.endswith("temporary: signed links expire with them")
    assert got["SecretAccessKey"] not in json.dumps(report.as_data())
    assert got["SessionToken"] not in json.dumps(report.as_data())


# Prerequisites

NEW_KEYS = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role is attached"
EVERYTHING = [
    "uploads",
    "direct uploads",
    "direct expiry",
    "static files",
    "static write",
    "bucket grants",
    "listing",
    "outside",
    "account block",
]


def test_unreachable_endpoint_is_the_only_line(healthy_site: Any, settings: Any) -> None:
    healthy_site(deployed=False)
    settings.AWS_S3_ENDPOINT_URL = "http://127.0.0.1:9"
    report = examined()
    (line,) = report.lines
    assert (line.probe, line.status) == ("endpoint", "not ok")
    assert line.text == "http://127.0.0.1:9 does not respond: [Errno 111] Connection refused"
    assert line.fix == "start the server, or correct AWS_S3_ENDPOINT_URL"
    assert report.not_probed == EVERYTHING


def test_wrong_secret_key_is_reported(healthy_site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    key = healthy_site(deployed=False).site.key
    use(monkeypatch, key.id, "wrong" * 8)
    shown = f"key {key.id[:4]}...{key.id[-4:]} from env"
    assert trouble("credentials") == (
        "not ok",
        f"the secret key does not belong to this access key ({shown})",
        NEW_KEYS,
    )
    assert diagnosed().not_probed == EVERYTHING


def test_deleted_access_key_is_reported(healthy_site: Any) -> None:
    doctored = healthy_site(deployed=False)
    key, iam = doctored.site.key, doctored.site.store.client("iam")
    user = iam.get_access_key_last_used(AccessKeyId=key.id)["UserName"]
    iam.delete_access_key(UserName=user, AccessKeyId=key.id)
    status, text, fix = trouble("credentials")
    assert status == "not ok"
    assert text.startswith(
        "AWS does not know this access key: it was deleted, or belongs to another service (key AKIA"
    )
    assert fix == NEW_KEYS


def test_missing_credentials_are_reported(healthy_site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    healthy_site(deployed=False)
    use(monkeypatch, "", "")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert trouble("credentials") == ("not ok", "Unable to locate credentials", NEW_KEYS)


def test_missing_bucket_does_not_stop_probes_of_the_other(healthy_site: Any) -> None:
    doctored = healthy_site()
    doctored.root.delete_bucket(Bucket=doctored.media)
    report = examined()
    found = troubles(report)
    assert set(found) == {"media bucket"}
    assert found["media bucket"].text == f"{doctored.media} does not exist"
    assert found["media bucket"].fix == f"{APPLY}, or correct bucket_name in STORAGES['default']"
    assert report.not_probed == ["uploads", "direct uploads"]
    assert "static objects" in {line.probe for line in report.lines}


def test_wrong_region_is_reported_with_the_right_one(healthy_site: Any, settings: Any) -> None:
    doctored = healthy_site()
    settings.AWS_S3_REGION_NAME = "us-west-2"
    found = troubles(examined())
    assert set(found) == {"static bucket", "media bucket"}
    assert found["media bucket"].text == (
        f"{doctored.media} is in {REGION}, not in us-west-2 (301 PermanentRedirect)"
    )
    fix = f"set AWS_S3_REGION_NAME={REGION}, or correct bucket_name in STORAGES['default']"
    assert found["media bucket"].fix == fix


# Permissions


@pytest.mark.parametrize(
    ("action", "probes"),
    [
        (
            "s3:GetObject",
            {"media head", "media read", "signed link", "direct read"},
        ),
        ("s3:PutObject", {"media write", "media parts", "direct put", "direct parts", "static write"}),
        ("s3:AbortMultipartUpload", {"media parts", "direct parts", "static write"}),
        ("s3:ListMultipartUploadParts", {"direct parts"}),
        ("s3:DeleteObject", {"media delete", "direct delete"}),
        ("s3:ListBucket", {"media list", "static objects"}),
    ],
)
def test_missing_action_fails_only_its_probes(
    healthy_site: Any,
    monkeypatch: pytest.MonkeyPatch,
    action: str,
    probes: set[str],
) -> None:
    doctored = healthy_site()
    use_user(monkeypatch, doctored, *without(action))
    found = troubles(examined())
    assert set(found) == probes
    for probe in probes - {"signed link"}:
        assert found[probe].text.endswith(f"{action} is not allowed")
        bucket = doctored.static if probe.startswith("static") else doctored.media
        assert f"allow {action} on arn:aws:s3:::{bucket}" in found[probe].fix
    for probe in probes & {"media list"}:
        role = "`manage.py s3 policy --role web`"
        assert found[probe].fix == f"allow {action} on arn:aws:s3:::{doctored.media}: see {role}"
    if action == "s3:AbortMultipartUpload":
        for bucket in (doctored.static, doctored.media):
            for upload in doctored.root.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
                doctored.root.abort_multipart_upload(
                    Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )
    for key in doctored.left():
        doctored.root.delete_object(Bucket=doctored.media, Key=key)


def test_missing_delete_permission_lists_the_objects_left_behind(
    healthy_site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    doctored = healthy_site()
    use_user(monkeypatch, doctored, *without("s3:DeleteObject"))
    found = troubles(examined())
    key, *pending = doctored.left()
    right = f"allow s3:DeleteObject on arn:aws:s3:::{doctored.media}"
    see = "see `manage.py s3 policy --role web`"
    assert found["media delete"].fix == f"{right}/media/*: {see}; then delete {key}"
    assert found["direct delete"].fix == f"{right}/pending/*: {see}; {pending[0]} expires in a day"
    for each in (key, *pending):
        doctored.root.delete_object(Bucket=doctored.media, Key=each)


def test_explicit_deny_is_reported(healthy_site: Any) -> None:
    doctored = healthy_site()
    arn = f"arn:aws:s3:::{doctored.media}/*"
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": arn}
    put_policy(doctored, doctored.media, deny)
    found = troubles(examined())
    assert set(found) == {"media delete", "direct delete"}
    assert {line.text for line in found.values()} == {"a policy denies s3:DeleteObject"}
    doctored.root.delete_bucket_policy(Bucket=doctored.media)
    for key in doctored.left():
        doctored.root.delete_object(Bucket=doctored.media, Key=key)


def test_permissions_outside_the_prefixes_are_a_warning(
    healthy_site: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    doctored = healthy_site()
    everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    use_user(monkeypatch, doctored, {"Version": policies.VERSION, "Statement": [everything]})
    assert trouble("outside") == (
        "warning",
        f"these credentials can write to {doctored.static}/*, although the site never does",
        "give them only the rights that `manage.py s3 policy --role web` prints",
    )
    assert not diagnosed().failed


def test_put_permission_alone_outside_the_prefixes_is_a_warning(
    healthy_site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    doctored = healthy_site()
    put = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}
    use_user(monkeypatch, doctored, {"Version": policies.VERSION, "Statement": [put]})
    assert troubles(examined())["outside"].status == "warning"
    for bucket in (doctored.static, doctored.media):
        for upload in doctored.root.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
            found = {"Key": upload["Key"], "UploadId": upload["UploadId"]}
            doctored.root.abort_multipart_upload(Bucket=bucket, **found)
    for key in doctored.left():
        doctored.root.delete_object(Bucket=doctored.media, Key=key)


@pytest.mark.parametrize(("role", "place"), [("web", "static"), ("deploy", "media")])
def test_role_with_permissions_of_another_role_is_a_warning(healthy_site: Any, role: Any, place: str) -> None:
    doctored = healthy_site()
    bucket = getattr(doctored, place)
    assert trouble("outside", role) == (
        "warning",
        f"these credentials can write to {bucket}/{place}/*, although the role {role} never does",
        f"give them only the rights that `manage.py s3 policy --role {role}` prints",
    )


# Uploads


def test_public_read_with_disabled_acls_is_reported(healthy_site: Any) -> None:
    doctored = healthy_site("public-read", prepared=False)
    found = troubles(examined())
    line = found["media acl"]
    assert line.text == f"access is 'public-read', but {doctored.media} has ACLs disabled"
    assert line.fix == f"{APPLY}, or choose 'public-policy' for access in STORAGES['default']"
    assert set(found) == {
        *("media acl", "media visitors", "static visitors", "static cors", "direct cors"),
        "direct expiry",
    }


def test_public_read_with_blocked_acls_is_reported(healthy_site: Any) -> None:
    doctored = healthy_site("public-read")
    block = {**NO_BLOCK, "BlockPublicAcls": True}
    doctored.root.put_public_access_block(Bucket=doctored.media, PublicAccessBlockConfiguration=block)
    found = troubles(examined())
    assert set(found) == {"media acl", "media visitors"}
    assert found["media acl"].text == (
        "S3 denies the ACL public-read: BlockPublicAcls is on, or s3:PutObjectAcl is not allowed"
    )
    assert found["media acl"].fix.startswith(f"{APPLY}, or allow ")


@pytest.mark.parametrize("block", ["RestrictPublicBuckets", "BlockPublicPolicy"])
def test_public_policy_with_blocked_public_access_is_reported(healthy_site: Any, block: str) -> None:
    doctored = healthy_site("public-policy")
    if block == "BlockPublicPolicy":  # which only prevents setting a policy
        doctored.root.delete_bucket_policy(Bucket=doctored.media)
    doctored.root.put_public_access_block(
        Bucket=doctored.media, PublicAccessBlockConfiguration={**NO_BLOCK, block: True}
    )
    assert trouble("media visitors") == (
        "not ok",
        "visitors can't read uploads, although access is 'public-policy': they get 403 AccessDenied",
        f"{APPLY}; see `account block` too",
    )


def test_publicly_readable_private_uploads_are_reported(healthy_site: Any) -> None:
    doctored = healthy_site()
    doctored.root.put_public_access_block(Bucket=doctored.media, PublicAccessBlockConfiguration=NO_BLOCK)
    put_policy(
        doctored,
        doctored.media,
        EVERYONE | {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{doctored.media}/*"},
    )
    host = doctored.site.store.endpoint.removeprefix("http://")
    found = troubles(examined())
    assert set(found) == {"media visitors", "direct closed", "bucket grants"}
    assert found["media visitors"] == Line(
        "media visitors",
        "not ok",
        f"anyone can read uploads at {host}, which must be private",
        f"{APPLY}; `--replace-conflicting` removes grants that others made",
    )
    assert found["direct closed"] == Line(
        "direct closed",
        "not ok",
        "anyone can read unchecked uploads: pending/* returned 200",
        f"{APPLY}; `--replace-conflicting` removes grants that others made",
    )


def test_publicly_listable_bucket_is_reported(healthy_site: Any) -> None:
    doctored = healthy_site()
    doctored.root.put_public_access_block(Bucket=doctored.media, PublicAccessBlockConfiguration=NO_BLOCK)
    put_policy(
        doctored,
        doctored.media,
        EVERYONE | {"Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{doctored.media}"},
    )
    found = troubles(examined())
    assert set(found) == {"listing", "bucket grants"}
    assert found["listing"].text == f"anyone can list {doctored.media}"
    assert found["listing"].fix == f"{APPLY}; `--replace-conflicting` removes grants that others made"
    assert f"allow everyone s3:ListBucket on {doctored.media}" in found["bucket grants"].text


# Static files


def test_missing_manifest_is_reported(healthy_site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    doctored = healthy_site()
    doctored.root.delete_object(Bucket=doctored.static, Key=MANIFEST)
    text = "static/staticfiles.json does not exist: pages have no static files"
    assert trouble("manifest") == ("not ok", text, COLLECT)
    use_user(monkeypatch, doctored, document_of("deploy"))
    assert trouble("manifest", "deploy") == ("not ok", text, COLLECT)


def test_missing_manifest_is_a_warning_before_the_first_deploy(
    healthy_site: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    doctored = healthy_site(deployed=False)
    use_user(monkeypatch, doctored, document_of("deploy"))
    assert trouble("manifest", "deploy") == ("warning", "no static files are deployed yet", COLLECT)


def test_invalid_manifest_is_reported(healthy_site: Any) -> None:
    doctored = healthy_site()
    for body in (b"<html>", b"[]", b'{"version": "1.1"}', b'{"paths": [1]}', b"\xff"):
        doctored.root.put_object(Bucket=doctored.static, Key=MANIFEST, Body=body)
        assert trouble("manifest") == (
            "not ok",
            "static/staticfiles.json is not a Django manifest",
            COLLECT,
        )


def test_local_manifest_that_differs_from_the_live_one_is_a_warning(
    healthy_site: Any, settings: Any, tmp_path: Path
) -> None:
    doctored = healthy_site()
    settings.STATICFILES_MANIFEST = tmp_path / "staticfiles.json"
    deployed = doctored.root.get_object(Bucket=doctored.static, Key=MANIFEST)["Body"].read()
    settings.STATICFILES_MANIFEST.write_bytes(deployed)
    assert troubles(examined()) == {}
    settings.STATICFILES_MANIFEST.write_text('{"paths": {}, "version": "1.1", "hash": "other"}')
    assert trouble("manifest") == (
        "warning",
        "the local staticfiles.json, which pages use, differs from the deployed manifest",
        f"{COLLECT} on this machine, or delete the file",
    )


def test_missing_static_objects_are_reported(healthy_site: Any) -> None:
    doctored = healthy_site()
    gone = doctored.hashed("dot.png")
    doctored.root.delete_object(Bucket=doctored.static, Key=gone)
    found = troubles(examined())
    assert set(found) == {"static objects", "static visitors"}
    name = gone.removeprefix("static/")
    assert found["static objects"].text == f"the bucket lacks files in the manifest: {name}"
    assert found["static objects"].fix == COLLECT
    # AWS responds with 403 if the caller can't list the bucket.
    assert found["static visitors"].text == (
        f"visitors can't read 1 of 7 static files: {name}: 404 NoSuchKey"
    )


@pytest.mark.parametrize("hashed", [True, False], ids=["hashed", "plain"])
def test_replaced_static_file_is_reported_and_restored(healthy_site: Any, hashed: bool) -> None:
    doctored = healthy_site()
    key = doctored.hashed("page.js") if hashed else "static/page.js"
    there = doctored.root.get_object(Bucket=doctored.static, Key=key)
    kept = {
        name: there[name]
        for name in ("ContentType", "CacheControl", "Metadata", "ContentEncoding")
        if name in there
    }
    packed = there.get("ContentEncoding") == "gzip"
    body = gzip.compress(b"alert(1)") if packed else there["Body"].read()[::-1]
    doctored.root.put_object(Bucket=doctored.static, Key=key, Body=body, **kept)
    status, text, fix = trouble("static objects")
    assert status == "not ok"
    assert text == f"files were replaced since the last deploy: {key.removeprefix('static/')}"
    assert fix == f"find out who may write to static/, then {COLLECT} to restore them"
    call_command("collectstatic", interactive=False, verbosity=0)
    assert troubles(examined()) == {}


ENCODING = "Content-Encoding {}"
WRONG_HEADERS: list[tuple[str, str, dict[str, str], str]] = [
    ("site.css", "static types", {"ContentType": "text/plain"}, "Content-Type {} has text/plain"),
    ("font.woff2", "static types", {"ContentType": "font/ttf"}, "Content-Type {} has font/ttf"),
    ("page.js", "static cache", {"CacheControl": "no-store"}, "Cache-Control {} has no-store"),
    ("dot.png", "static cache", {"CacheControl": ""}, "Cache-Control {} has none"),
    (
        "logo.svg",
        "static encoding",
        {"ContentEncoding": ""},
        "Content-Encoding {} is gzip but doesn't say so",
    ),
    ("dot.png", "static encoding", {"ContentEncoding": "gzip"}, f"{ENCODING} says gzip but isn't"),
]


def test_wrong_static_headers_are_reported_and_corrected(healthy_site: Any) -> None:
    doctored = healthy_site()
    for name, probe, headers, expected in WRONG_HEADERS:
        key = doctored.hashed(name)
        found = doctored.root.get_object(Bucket=doctored.static, Key=key)
        names = ("ContentType", "CacheControl", "ContentEncoding")
        kept = {header: found[header] for header in names if header in found} | headers
        kept = {header: value for header, value in kept.items() if value}
        doctored.root.put_object(Bucket=doctored.static, Key=key, Body=found["Body"].read(), **kept)
        text = expected.format(f"is wrong on 1 of 7 files: {key.removeprefix('static/')}")
        fix = f"delete the object (`aws s3 rm`), then {COLLECT}"
        assert trouble(probe) == ("not ok", text, fix)
        # The fix works.
        doctored.root.delete_object(Bucket=doctored.static, Key=key)
        call_command("collectstatic", interactive=False, verbosity=0)
    assert troubles(examined()) == {}


def test_uncompressed_text_is_reported(healthy_site: Any) -> None:
    doctored = healthy_site()
    key = doctored.hashed("page.js")
    doctored.root.put_object(
        Bucket=doctored.static,
        Key=key,
        Body=b"x" * 2000,
        ContentType="text/javascript; charset=utf-8",
        CacheControl="public, max-age=31536000, immutable",
    )
    found = troubles(examined())
    assert set(found) == {"static encoding", "static objects"}, (
        "the content differs from the deployed file, too"
    )
    assert found["static encoding"].text.endswith("is not compressed")


def test_missing_policy_for_static_files_is_reported(healthy_site: Any) -> None:
    doctored = healthy_site()
    doctored.root.delete_bucket_policy(Bucket=doctored.static)
    status, text, fix = trouble("static visitors")
    assert status == "not ok"
    assert text.startswith("visitors can't read 7 of 7 static files: ")
    assert text.endswith(": 403 AccessDenied and 4 more")
    assert fix == f"{APPLY}; see `account block` too"


def test_blocked_public_access_to_static_files_is_reported(healthy_site: Any) -> None:
    doctored = healthy_site()
    block = {**NO_BLOCK, "RestrictPublicBuckets": True}
    doctored.root.put_public_access_block(Bucket=doctored.static, PublicAccessBlockConfiguration=block)
    assert trouble("static visitors")[2] == f"{APPLY}; see `account block` too"


def test_missing_cors_for_static_files_is_reported(healthy_site: Any) -> None:
    doctored = healthy_site()
    doctored.root.delete_bucket_cors(Bucket=doctored.static)
    assert trouble("static cors") == (
        "not ok",
        "fonts and modules can't load on http://127.0.0.1:8000: CORS does not allow it",
        f"set AWS_SITE_ORIGINS, then {APPLY}",
    )


def test_origin_added_after_apply_is_reported(healthy_site: Any, settings: Any) -> None:
    healthy_site()
    settings.AWS_SITE_ORIGINS = ["https://www.example.com"]
    found = troubles(examined())
    assert set(found) == {"static cors", "media cors", "direct cors"}
    assert "load on https://www.example.com" in found["static cors"].text
    assert "pages of https://www.example.com can't upload directly" in found["direct cors"].text


def test_missing_cors_for_uploads_is_reported(healthy_site: Any) -> None:
    doctored = healthy_site()
    doctored.root.delete_bucket_cors(Bucket=doctored.media)
    found = {name: (line.status, line.text, line.fix) for name, line in troubles(examined()).items()}
    assert found == {
        "media cors": (
            "warning",
            "scripts on http://127.0.0.1:8000 (image croppers, pdf.js) can't read uploads: CORS does not allow"
            " GET",
            f"set AWS_SITE_ORIGINS, then {APPLY}",
        ),
        "direct cors": (
            "not ok",
            "pages of http://127.0.0.1:8000 can't upload directly to S3: CORS does not allow PUT with"
            " content-type, if-none-match",
            f"set AWS_SITE_ORIGINS, then {APPLY}",
        ),
    }


@pytest.mark.parametrize("role", [None, "deploy"])
def test_missing_expiry_of_pending_uploads_is_a_warning(healthy_site: Any, role: Any) -> None:
    doctored = healthy_site()
    doctored.root.delete_bucket_lifecycle(Bucket=doctored.media)
    line = troubles(examined(role))["direct expiry"]
    assert line.status == "warning"
    assert line.text == "unaccepted uploads stay, and cost money, forever"
    assert line.fix == APPLY


def test_missing_lifecycle_permission_points_to_the_deploy_role(
    healthy_site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_user(monkeypatch, healthy_site(), *without("s3:GetLifecycleConfiguration"))
    status, text, fix = trouble("direct expiry")
    assert (status, text) == ("can't tell", "s3:GetLifecycleConfiguration is not allowed")
    assert "`manage.py s3 doctor --role deploy`" in fix


# TLS and domains


@pytest.fixture
def over_tls(
    healthy_site: Any, store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Doctored]]:
    """Return a function that creates a site that reaches S3 over TLS, so its policies require TLS."""
    trusted, served = certificate(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(trusted))
    with tls_front(store.endpoint, served) as host:
        yield partial(
            healthy_site, AWS_S3_ENDPOINT_URL=f"https://{host}", AWS_SITE_ORIGINS=["https://www.example.com"]
        )


def test_healthy_site_over_tls_has_no_problems(over_tls: Callable[..., Doctored]) -> None:
    over_tls()
    report = examined()
    assert troubles(report) == {}
    found = {line.probe: line.text for line in report.lines if line.probe.endswith(" tls")}
    assert found == dict.fromkeys(["media tls", "static tls"], "plain http is rejected (403)")


def test_missing_tls_only_statement_is_reported(over_tls: Callable[..., Doctored]) -> None:
    doctored = over_tls()
    for bucket in (doctored.static, doctored.media):
        found = json.loads(doctored.root.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
        kept = [statement for statement in found if statement["Effect"] == "Allow"]
        if kept:
            put_policy(doctored, bucket, *kept)
        else:
            doctored.root.delete_bucket_policy(Bucket=bucket)
    found = troubles(examined())
    assert set(found) == {"media tls", "static tls"}
    for line in found.values():
        assert line.text == "plain http works: anyone on the network path can read files and signed links"
        assert line.fix == APPLY


def test_plain_http_endpoint_on_another_host_is_reported() -> None:
    target = Target("eu-central-1", endpoint="http://store.internal:9000")
    line = over_plain_http("media tls", target, "http://store.internal:9000/acme-media/media/a")
    assert line.status == "not ok"
    assert line.fix == "set AWS_S3_ENDPOINT_URL to an https address"


def test_untrusted_certificate_is_reported(
    over_tls: Callable[..., Doctored], monkeypatch: pytest.MonkeyPatch
) -> None:
    doctored = over_tls(deployed=False)
    monkeypatch.delenv("AWS_CA_BUNDLE")
    use(monkeypatch, doctored.site.key.id, doctored.site.key.secret)
    status, text, fix = trouble("endpoint")
    assert status == "not ok"
    assert "certificate verify failed" in text
    assert fix == "set AWS_CA_BUNDLE to a file with the certificate of the CA that signed the server's"


def test_ca_certificate_used_by_the_server_is_reported(
    healthy_site: Any, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """botocore accepts a CA certificate as a server certificate; obstore doesn't."""
    with TemporaryDirectory() as folder:  # a short path, because reports must not have long lines
        served = self_signed(Path(folder))
        monkeypatch.setenv("AWS_CA_BUNDLE", str(served))
        with tls_front(store.endpoint, served) as host:
            address = f"https://{host}"
            healthy_site(
                AWS_S3_ENDPOINT_URL=address, AWS_SITE_ORIGINS=["https://www.example.com"], deployed=False
            )
            found = troubles(examined())
    line = found["collectstatic"]
    assert line.status == "not ok"
    assert (
        line.text
        == f"the certificate of {address} is rejected, because it is the self-signed certificate of an authority"
    )
    assert line.fix.startswith(
        "create an authority and let it sign a certificate for the server, as mkcert does, and name"
    )
    assert line.fix.endswith(f"in AWS_CA_BUNDLE, which is {served}")


def test_unreadable_ca_bundle_is_reported(healthy_site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    healthy_site(deployed=False)
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere.pem")
    clients.forget()
    status, text, fix = trouble("endpoint")
    assert status == "not ok"
    assert "AWS_CA_BUNDLE=/nowhere.pem can't be read" in text
    assert fix.startswith("set AWS_CA_BUNDLE to a file")


def test_unreachable_domain_of_static_files_is_reported(healthy_site: Any, settings: Any) -> None:
    healthy_site()
    change(settings, "staticfiles", custom_domain="127.0.0.1:9")
    assert trouble("static domain") == (
        "not ok",
        "127.0.0.1:9 does not respond: [Errno 111] Connection refused",
        "point its DNS at the distribution, with a certificate for it,"
        " or correct custom_domain in STORAGES['staticfiles']",
    )
    assert diagnosed().not_probed == ["static files through their domain"]


def test_unreachable_domain_of_uploads_is_reported(healthy_site: Any, settings: Any) -> None:
    healthy_site("public-policy")
    change(settings, "default", custom_domain="127.0.0.1:9")
    settings.AWS_CLOUDFRONT_DISTRIBUTION_ARN = "arn:aws:cloudfront::123456789012:distribution/E1"
    found = troubles(examined())
    # The buckets are still public, because they were created before the distribution.
    assert set(found) == {"media domain", "media bypass", "static bypass"}
    assert {found[probe].status for probe in ("media bypass", "static bypass")} == {"warning"}
    assert found["media bypass"].text == (
        "the bucket's own address is open, although only CloudFront may read it"
    )
    assert diagnosed().not_probed == ["uploads through their domain"]


# Cleanup


def test_probe_upload_is_deleted_after_a_lost_response(healthy_site: Any, settings: Any) -> None:
    doctored = healthy_site()
    with FaultProxy(doctored.site.store.endpoint) as proxy:
        settings.AWS_S3_ENDPOINT_URL = proxy.endpoint
        proxy.faults.append(Fault("PUT", r"/media/\.doctor-", cut="after"))
        found = troubles(examined())
        assert set(found) == {"media write"}
        assert found["media write"].text == "Connection was closed before we received a valid response"
        assert proxy.count("PUT", r"/media/\.doctor-") == 2, "retried once, instead of for minutes"
        assert proxy.count("DELETE", r"/media/\.doctor-[0-9a-f]{32}\.txt$") == 1


def test_old_probe_uploads_of_a_killed_doctor_are_deleted(
    healthy_site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    doctored = healthy_site()
    doctored.root.put_object(Bucket=doctored.media, Key="media/.doctor-0123.txt", Body=b"")
    assert troubles(examined()) == {}
    assert doctored.left() == ["media/.doctor-0123.txt"], "it may belong to a doctor that is still running"
    monkeypatch.setattr(uploads, "LEFT_OVER", timedelta(seconds=-5))
    assert troubles(examined()) == {}


# Test runs in the background ignore SIGINT, and child processes inherit that.
WITH_SIGINT = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "s3", "doctor"])
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_doctor_cleans_up(healthy_site: Any, tmp_path: Path, number: int) -> None:
    doctored = healthy_site()
    with FaultProxy(doctored.site.store.endpoint) as proxy:
        hold = Event()
        proxy.faults.append(Fault("GET", r"/media/\.doctor-[0-9a-f]+\.txt", hold=hold, times=1))
        process = subprocess.Popen(
            [processes.MANAGE[0], "-c", WITH_SIGINT],
            env=processes.environment(
                PYTHONPATH=str(processes.ROOT),
                DJANGO_SETTINGS_MODULE="tests.process_settings",
                TEST_FOLDER=str(tmp_path),
                USE_S3="true",
                STATIC_BUCKET=doctored.static,
                MEDIA_BUCKET=doctored.media,
                AWS_S3_ENDPOINT_URL=proxy.endpoint,
                AWS_ACCESS_KEY_ID=doctored.site.key.id,
                AWS_SECRET_ACCESS_KEY=doctored.site.key.secret,
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        proxy.wait_for_hanging()
        process.send_signal(number)
        hold.set()
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "")


# The command


def run(*arguments: str) -> tuple[int, str]:
    out = StringIO()
    try:
        with mock.patch.dict(os.environ, {"COLUMNS": "100"}):
            call_command("s3", "doctor", *arguments, stdout=out)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


def test_doctor_prints_text_and_json_and_returns_an_exit_code(healthy_site: Any) -> None:
    doctored = healthy_site()
    code, text = run()
    assert code == 0
    assert text.startswith("Can't tell\n  account block    only AWS has one, and this is another endpoint\n")
    assert "\nOk\n  Connection       endpoint, clock, credentials, static bucket, " in text
    assert doctored.site.store.endpoint not in text
    assert text.splitlines()[-1] == f"1 can't tell, {len(EVERY_PROBE) - 1} ok."
    assert "\x1b" not in text
    code, text = run("--verbosity", "2")
    assert f"\n  Connection\n    endpoint         {doctored.site.store.endpoint} responds\n" in text

    doctored.root.delete_object(Bucket=doctored.static, Key=MANIFEST)
    code, text = run()
    assert code == 1
    assert text.startswith(
        "Not ok\n"
        "  manifest         static/staticfiles.json does not exist: pages have no static files\n"
        "                   Fix: run `manage.py collectstatic`.\n\n"
    )
    assert "\nNot probed, because it depends on a failed probe\n  static files as visitors see them\n" in text
    assert text.splitlines()[-1].startswith("1 not ok (manifest), 1 can't tell, ")
    code, text = run("--json", "--role", "web")
    found = json.loads(text)
    assert code == 1
    assert (found["role"], found["ok"]) == ("web", False)
    assert found["not_probed"] == ["static files as visitors see them"]
    assert {
        "probe": "endpoint",
        "status": "ok",
        "text": f"{doctored.site.store.endpoint} responds",
        "fix": "",
        "storage": "",
    } in (found["lines"])


def test_doctor_fails_if_use_s3_is_off(settings: Any) -> None:
    settings.USE_S3 = False
    settings.STORAGES = s3_storages({"bucket_name": "acme-static", "region_name": REGION})
    with pytest.raises(CommandError, match=r"^The site does not use S3, because USE_S3 is False"):
        call_command("s3", "doctor")


def test_requests_to_loopback_bypass_the_proxy(healthy_site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    doctored = healthy_site(deployed=False)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert fetch(doctored.site.store.endpoint).status in {200, 403}


def test_endpoint_that_is_not_s3_fails_the_report(healthy_site: Any, settings: Any) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do(self) -> None:
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    healthy_site(deployed=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        settings.AWS_S3_ENDPOINT_URL = f"http://127.0.0.1:{server.server_port}"
        report = examined()
        server.shutdown()
    assert report.failed
    assert {"credentials", "media write", "manifest", "static write"} <= set(troubles(report))
