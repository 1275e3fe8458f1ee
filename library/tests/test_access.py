"""`manage.py s3 access`: opens and closes existing uploads through their ACLs, on a strict S3 server."""

import io
import json
import signal
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from s3kit.buckets import apply, plan, policies
from s3kit.deployment import Deployment
from s3kit.doctor.report import diagnose
from s3kit.publishing import access
from tests.deployments import as_root
from tests.doctored import change
from tests.fault_proxy import Fault, FaultProxy
from tests.ministack import ActAs, MakeSite, SiteOnS3, anonymous, new_user

pytestmark = pytest.mark.slow

KEYS = ["media/a.txt", "media/b/c.txt", "media/d \u00fc+.txt", "media/e.txt"]
OUTSIDE = ["other/a.txt", "pending/a.txt", "static/a.txt"]


def run(*words: str) -> tuple[int, str]:
    """Return the exit code and the output of manage.py s3 access."""
    out = io.StringIO()
    try:
        call_command("s3", "access", *words, stdout=out)
    except CommandError as error:
        return error.returncode, f"{out.getvalue()}{error}"
    return 0, out.getvalue()


def statuses(site: SiteOnS3, keys: list[str] = KEYS) -> set[int]:
    """Return visitors' responses for objects."""
    quoted = [key.replace(" ", "%20").replace("\u00fc", "%C3%BC").replace("+", "%2B") for key in keys]
    return {anonymous(site.url(site.media_bucket, key)).status for key in quoted}


def fill(site: SiteOnS3, **more: Any) -> None:
    for key in [*KEYS, *OUTSIDE]:
        site.root.put_object(Bucket=site.media_bucket, Key=key, Body=b"x", **more)


def apply_access(at: SiteOnS3, settings: Any, mode: str) -> plan.BucketPlan:
    """Change the access mode, apply it as root, and return the earlier plan for the uploads bucket."""
    change(settings, "default", access=mode)
    site = as_root(at.store)
    found = plan.plan(site)
    apply.apply(site, found)
    return next(each for each in found if each.bucket.media)


@pytest.fixture
def as_role(act_as: ActAs) -> Any:
    def act(site: SiteOnS3, role: str) -> None:
        act_as(new_user(site.store, policies.document(policies.ROLES[role](Deployment.load()))))

    return act


def test_access_opens_uploads_after_a_change_to_public_read(
    s3_site: MakeSite, settings: Any, as_role: Any
) -> None:
    site = s3_site()
    fill(site)
    before = apply_access(site, settings, "public-read")
    assert "after `apply`, run `manage.py s3 access`" in before.reminder
    assert statuses(site) == {403}
    as_role(site, "web")
    (line,) = (line for line in diagnose(Deployment.load(), "web").lines if line.probe == "media existing")
    assert line.status == "not ok"
    assert "visitors can't read 4 of 4 checked uploads, although access is 'public-read'" in line.text
    assert line.fix == "run `manage.py s3 access`"

    as_role(site, "access")
    code, text = run("--dry-run")
    assert (code, "4 uploads" in text, "4 to set to public-read, 0 unchanged, 0 failed" in text) == (
        0,
        True,
        True,
    )
    assert statuses(site) == {403}
    code, text = run()
    assert code == 0
    assert "4 set to public-read, 0 unchanged, 0 failed" in text
    assert statuses(site) == {200}
    assert statuses(site, OUTSIDE) == {403}
    code, text = run("--json")
    assert code == 0
    assert json.loads(text) | {"changed": 0, "unchanged": 4} == json.loads(text)
    as_role(site, "web")
    (line,) = (line for line in diagnose(Deployment.load(), "web").lines if line.probe == "media existing")
    assert line.status == "ok"
    assert not apply_access(site, settings, "public-read").reminder


@pytest.mark.parametrize("mode", ["private", "public-policy"])
def test_access_closes_uploads_after_a_change_from_public_read(
    s3_site: MakeSite, settings: Any, as_role: Any, mode: str
) -> None:
    site = s3_site("public-read")
    fill(site, ACL="public-read")
    # The settings have changed, but `apply` has not run.
    change(settings, "default", access=mode)
    (found,) = (each for each in plan.plan(as_root(site.store)) if each.bucket.media)
    assert "before `apply`, run `manage.py s3 access`" in found.reminder
    if mode == "private":
        as_role(site, "web")
        lines = [line for line in diagnose(Deployment.load(), "web").lines if line.probe == "media existing"]
        assert lines[0].status == "not ok"
        assert "anyone can read 4 of 4 checked uploads" in lines[0].text
    as_role(site, "access")
    code, text = run()
    assert code == 0
    assert "4 set to private" in text
    assert statuses(site) == {403}
    assert statuses(site, OUTSIDE) == {200}  # not uploads of this storage
    apply_access(site, settings, mode)
    assert statuses(site) == ({403} if mode == "private" else {200})
    # After ACLs are enabled again, none of them grants access.
    apply_access(site, settings, "public-read")
    assert statuses(site) == {403}


def test_access_continues_after_one_object_fails(s3_site: MakeSite, settings: Any, as_role: Any) -> None:
    site = s3_site("public-read")
    fill(site)
    as_role(site, "access")
    with FaultProxy(site.store.endpoint) as proxy:
        proxy.faults.append(Fault("PUT", r"/media/b/c", status=403, code="AccessDenied"))
        settings.AWS_S3_ENDPOINT_URL = proxy.endpoint
        code, text = run()
    assert code == 1
    assert "3 set to public-read, 0 unchanged, 1 failed" in text
    assert "The ACL of 1 upload is not public-read:\n  media/b/c.txt: AccessDenied" in text
    assert "s3 policy --role access" in text
    assert statuses(site, ["media/b/c.txt"]) == {403}
    assert statuses(site, [key for key in KEYS if key != "media/b/c.txt"]) == {200}
    settings.AWS_S3_ENDPOINT_URL = site.store.endpoint
    assert run()[0] == 0
    assert statuses(site) == {200}


def test_access_stops_after_repeated_failures(
    s3_site: MakeSite, as_role: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = s3_site("public-read")
    fill(site)
    as_role(site, "web")
    for name in ("BATCH", "GIVE_UP_AFTER"):
        monkeypatch.setattr(access, name, 2)
    code, text = run()
    assert code == 1
    assert "2 failed" in text
    assert "The others were not tried." in text
    assert (
        "these credentials lack s3:GetObjectAcl: attach the policy that `manage.py s3 policy --role access` prints"
        in text
    )


def test_access_asks_for_apply_while_acls_are_blocked_or_disabled(
    s3_site: MakeSite, settings: Any, as_role: Any
) -> None:
    site = s3_site()
    fill(site)
    change(settings, "default", access="public-read")
    as_role(site, "access")
    code, text = run()
    assert code == 1
    assert text.endswith("Or Block Public Access is on: `manage.py s3 apply` turns it off.")
    site.root.delete_public_access_block(Bucket=site.media_bucket)
    code, text = run()
    assert code == 1
    assert text == (
        f"Bucket {site.media_bucket} has ACLs disabled: run `manage.py s3 apply`, then this command again."
    )


def test_interrupted_access_resumes_with_start_after(
    s3_site: MakeSite, settings: Any, as_role: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = s3_site("public-read")
    fill(site)
    as_role(site, "access")
    monkeypatch.setattr(access, "BATCH", 1)
    real = access.Access._process

    def stop(self: Any, key: str) -> str:
        if key == KEYS[2]:
            signal.raise_signal(signal.SIGINT)
        return real(self, key)

    monkeypatch.setattr(access, "THREADS", 1)
    monkeypatch.setattr(access.Access, "_process", stop)
    stderr = io.StringIO()
    with pytest.raises(SystemExit, match="130"):
        call_command("s3", "access", stdout=io.StringIO(), stderr=stderr)
    (last,) = (key for key in KEYS if repr(key) in stderr.getvalue())
    assert stderr.getvalue().strip().endswith(f"add --start-after '{last}'.")
    monkeypatch.setattr(access.Access, "_process", real)
    with FaultProxy(site.store.endpoint) as proxy:
        settings.AWS_S3_ENDPOINT_URL = proxy.endpoint
        code, text = run("--start-after", last)
        assert code == 0
        assert f"{len(KEYS) - KEYS.index(last) - 1} uploads" in text
        asked = [request.path for request in proxy.requests if "acl" in request.path]
        assert not [path for path in asked if any(key in path for key in KEYS[: KEYS.index(last) + 1])]
    assert statuses(site) == {200}


def test_access_keeps_acls_with_grants_to_other_accounts(s3_site: MakeSite, as_role: Any) -> None:
    site = s3_site("public-read")
    fill(site)
    named = {"Bucket": site.media_bucket, "Key": KEYS[0]}
    owner = site.root.get_object_acl(**named)["Owner"]
    other = {"Grantee": {"Type": "CanonicalUser", "ID": "0a" * 32}, "Permission": "READ"}
    mine = {"Grantee": {"Type": "CanonicalUser", "ID": owner["ID"]}, "Permission": "FULL_CONTROL"}
    acl = {"Owner": owner, "Grants": [mine, other]}
    site.root.put_object_acl(**named, AccessControlPolicy=acl)
    as_role(site, "access")
    code, text = run()
    assert code == 1
    assert f"{KEYS[0]}: not changed, because its ACL also has grants for other accounts" in text
    assert statuses(site, KEYS[1:]) == {200}
    assert len(site.root.get_object_acl(**named)["Grants"]) == 2


def test_access_role_can_change_only_the_acls_of_uploads(s3_site: MakeSite) -> None:
    site = s3_site("public-read")
    fill(site)
    key = new_user(site.store, policies.document(policies.access(Deployment.load())))
    s3 = site.store.client(key=key)
    for call, more in (("get_object", {}), ("put_object", {"Body": b""}), ("delete_object", {})):
        with pytest.raises(s3.exceptions.ClientError, match="AccessDenied"):
            getattr(s3, call)(Bucket=site.media_bucket, Key=KEYS[0], **more)
    with pytest.raises(s3.exceptions.ClientError, match="AccessDenied"):
        s3.put_object_acl(Bucket=site.media_bucket, Key="pending/a.txt", ACL="public-read")


def test_access_rejects_a_storage_for_static_files(s3_site: MakeSite) -> None:
    s3_site("public-read")
    assert run("--storage", "staticfiles") == (
        1,
        "STORAGES['staticfiles'] is not a MediaStorage: choose one with --storage.",
    )
