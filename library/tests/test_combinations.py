"""Sites with various combinations of storages, from `apply` to the doctor."""

import re
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import call_command

from s3kit.buckets import apply, plan, policies
from s3kit.buckets.account import with_owners
from s3kit.deployment import Deployment
from s3kit.local.prepare import prepare
from s3kit.local.server import LocalServer
from tests.doctored import FILES, examined, troubles
from tests.fault_proxy import FaultProxy
from tests.ministack import REGION, ActAs, anonymous, new_user

pytestmark = pytest.mark.slow

DISK = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
}


def media(bucket: str, location: str = "media/", access: str = "private", **more: str) -> dict[str, Any]:
    options = {"bucket_name": bucket, "location": location, "access": access} | more
    return {"BACKEND": "s3kit.storages.MediaStorage", "OPTIONS": options}


def static(bucket: str, location: str = "static/", **more: str) -> dict[str, Any]:
    options = {"bucket_name": bucket, "location": location} | more
    return {"BACKEND": "s3kit.storages.StaticStorage", "OPTIONS": options}


# BUCKET-1 and so on are new buckets for each test, and ELSEWHERE is another URL of the server.
COMBINATIONS: dict[str, Mapping[str, dict[str, Any]]] = {
    "public avatars and private documents in one bucket": {
        "staticfiles": static("BUCKET-1"),
        "default": media("BUCKET-1", "documents/"),
        "avatars": media("BUCKET-1", "avatars/", "public-policy"),
    },
    "public avatars and private documents in two buckets": {
        "staticfiles": static("BUCKET-1"),
        "default": media("BUCKET-2"),
        "avatars": media("BUCKET-3", access="public-read"),
    },
    "static files on S3 and uploads on disk": {"staticfiles": static("BUCKET-1", "assets/v1/")},
    "uploads on S3 and static files on disk": {"default": media("BUCKET-1", access="public-policy")},
    "a second endpoint": {
        "staticfiles": static("BUCKET-1"),
        "default": media("BUCKET-2"),
        "archive": media("BUCKET-3", endpoint_url="ELSEWHERE"),
    },
    "a second region": {
        "staticfiles": static("BUCKET-1"),
        "default": media("BUCKET-2"),
        "backup": media("BUCKET-3", region_name="us-west-2"),
    },
    "a prefix for each tenant": {
        "staticfiles": static("BUCKET-1"),
        "default": media("BUCKET-2"),
        "acme": media("BUCKET-2", "media/acme/"),
        "other": media("BUCKET-2", "media/other/"),
    },
    "two storages of static files": {
        "staticfiles": static("BUCKET-1"),
        "widgets": static("BUCKET-1", "widgets/"),
    },
}


@pytest.fixture
def sources(settings: Any, tmp_path: Path) -> None:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    settings.STATICFILES_DIRS = [tmp_path]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    settings.STATIC_ROOT = tmp_path.parent / f"{tmp_path.name}-root"


@pytest.fixture
def elsewhere(store: LocalServer) -> Iterator[str]:
    with FaultProxy(store.endpoint) as proxy:
        yield proxy.endpoint


@pytest.mark.usefixtures("sources")
@pytest.mark.parametrize("name", COMBINATIONS)
def test_storage_combination_works_from_apply_to_doctor(
    name: str,
    store: LocalServer,
    settings: Any,
    act_as: ActAs,
    bucket_name: str,
    elsewhere: str,
) -> None:
    entries = {
        alias: with_buckets(entry, bucket_name, elsewhere) for alias, entry in COMBINATIONS[name].items()
    }
    settings.USE_S3, settings.DEBUG = True, False
    settings.AWS_S3_REGION_NAME, settings.AWS_S3_ENDPOINT_URL = REGION, store.endpoint
    settings.STORAGES = DISK | entries

    # The plan has nothing to do.
    site = Deployment.load()
    as_root = site.with_key(store.root)
    apply.prepare(as_root)
    assert all(bucket.is_as_wanted for bucket in plan.plan(*with_owners(as_root)))
    documents = [policies.document(policies.ROLES[role](site)) for role in ("web", "deploy")]
    act_as(new_user(store, *documents))

    call_command("collectstatic", interactive=False, verbosity=0)
    for location in site.media:
        check_upload(location.alias, access=location.access)
    if site.static:
        address = storages["staticfiles"].url("site.css")
        assert anonymous(address).status == 200
        assert f"/{site.static.bucket}/{site.static.prefix}site." in address

    # The doctor finds only that a static storage has no deploy.
    report = examined()
    found = {probe: line.storage for probe, line in troubles(report).items()}
    if "widgets" in entries:
        assert found == {"manifest": "widgets"}
        assert report.not_probed == ["static files as visitors see them"]
    else:
        assert found == {}
        assert report.not_probed == []
    seen = {line.storage for line in report.lines if line.probe == "media write"}
    aliases = {location.alias for location in site.media}
    assert seen == (aliases if len(aliases) > 1 else {""} if aliases else set())


def with_buckets(entry: dict[str, Any], bucket: str, elsewhere: str) -> dict[str, Any]:
    options = {
        option: re.sub("^BUCKET-", f"{bucket}-", value).replace("ELSEWHERE", elsewhere)
        for option, value in entry["OPTIONS"].items()
    }
    return entry | {"OPTIONS": options}


def check_upload(alias: str, *, access: str) -> None:
    storage: Any = storages[alias]
    name = storage.save("a b.txt", ContentFile(b"content"))
    with storage.open(name) as file:
        assert file.read() == b"content"
    assert anonymous(storage.url(name)).body == b"content"
    plain = anonymous(storage.plain_url(name)).status
    assert plain == (403 if access == "private" else 200)
    storage.delete(name)


@pytest.mark.usefixtures("sources")
@pytest.mark.parametrize("use_s3", [True, "local"])
def test_local_option_uses_the_local_server_regardless_of_settings(
    store: LocalServer, settings: Any, tmp_path: Path, use_s3: Any, bucket_name: str
) -> None:
    domain = {"custom_domain": "cdn.example.com", "endpoint_url": "https://s3.example.com"}
    settings.DEBUG, settings.S3KIT_LOCAL_DIR = False, store.data
    settings.AWS_S3_REGION_NAME, settings.AWS_EXPECTED_BUCKET_OWNER = REGION, "123456789012"
    settings.STORAGES = {
        "staticfiles": static(f"{bucket_name}-1", **domain),
        "default": media(f"{bucket_name}-2", access="public-policy", **domain),
    }
    settings.USE_S3 = "local"
    prepare(store)
    call_command("collectstatic", interactive=False, verbosity=0)

    settings.USE_S3 = use_s3
    out = StringIO()
    call_command("s3", "doctor", "--local", verbosity=2, stdout=out)
    assert f"{store.endpoint} responds" in out.getvalue()
    assert "not ok" not in out.getvalue().lower()
    call_command("s3", "push", "--local", source=tmp_path, stdout=out)
    assert f"{len(FILES)} files: {len(FILES)} uploaded" in out.getvalue()
    call_command("s3", "prune", "--local", stdout=out)
    assert "Nothing to remove." in out.getvalue()
