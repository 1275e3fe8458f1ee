"""Uploads on a strict S3 server over real HTTP: who can read them, and what remains if requests fail."""

import os
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import botocore.endpoint
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from django.core.exceptions import ImproperlyConfigured
from django.core.files import storage as django_storage
from django.core.files.base import ContentFile, File
from django.core.files.uploadedfile import SimpleUploadedFile

from s3kit import clients
from s3kit.storages import media
from tests.fault_proxy import Fault, FaultProxy
from tests.ministack import MakeSite, SiteOnS3, anonymous, new_user

pytestmark = pytest.mark.slow

# Any: what MediaStorage has beyond Django's storages.
default_storage: Any = django_storage.default_storage

PART = 8 * 2**20


def keys(site: SiteOnS3) -> list[str]:
    listed = site.root.list_objects_v2(Bucket=site.media_bucket).get("Contents", [])
    return [entry["Key"] for entry in listed]


def parts_left(site: SiteOnS3) -> list[Any]:
    return list(site.root.list_multipart_uploads(Bucket=site.media_bucket).get("Uploads", []))


def plain(site: SiteOnS3, name: str) -> str:
    return site.url(site.media_bucket, quote(f"media/{name}"))


# Access to files


@pytest.mark.parametrize("access", ["private", "public-read", "public-policy"])
def test_access_mode_decides_who_can_read(s3_site: MakeSite, access: str) -> None:
    site = s3_site(access)
    name = default_storage.save("pictures/my photo.jpg", SimpleUploadedFile("my photo.jpg", b"picture"))
    got = anonymous(default_storage.url(name))
    assert (got.status, got.body) == (200, b"picture")
    assert got.headers["content-type"] == "image/jpeg"
    assert got.headers["content-disposition"] == 'inline; filename="my photo.jpg"'
    assert got.headers["cache-control"].startswith("private" if access == "private" else "public")
    without_signature = anonymous(plain(site, name)).status
    assert without_signature == (403 if access == "private" else 200)
    # Nobody can list the bucket, in any mode.
    assert anonymous(f"{site.store.endpoint}/{site.media_bucket}?list-type=2").status == 403
    assert anonymous(plain(site, "other.jpg"), "PUT", body=b"x").status == 403
    default_storage.delete(name)
    assert keys(site) == []


def test_private_works_on_a_new_default_bucket(s3_site: MakeSite) -> None:
    site = s3_site("private", prepared=False)
    name = default_storage.save("a.txt", ContentFile(b"x"))
    assert anonymous(default_storage.url(name)).status == 200
    assert anonymous(plain(site, name)).status == 403


def test_public_policy_on_a_new_default_bucket_gives_visitors_403(s3_site: MakeSite) -> None:
    s3_site("public-policy", prepared=False)
    name = default_storage.save("a.txt", ContentFile(b"x"))
    assert anonymous(default_storage.url(name)).status == 403
    with default_storage.open(name) as file:
        assert file.read() == b"x"


@pytest.mark.parametrize("size", [1, PART + 1], ids=["small", "in-parts"])
def test_public_read_on_a_new_default_bucket_raises_an_error(s3_site: MakeSite, size: int) -> None:
    site = s3_site("public-read", prepared=False)
    with pytest.raises(ImproperlyConfigured) as caught:
        default_storage.save("a.txt", ContentFile(bytes(size)))
    message = str(caught.value)
    for word in ("public-read", site.media_bucket, "ACLs", "public-policy"):
        assert word in message
    assert "\n" not in message
    assert isinstance(caught.value.__cause__, ClientError)
    assert keys(site) == parts_left(site) == []


def test_public_read_error_names_block_public_acls(s3_site: MakeSite) -> None:
    site = s3_site("public-read")
    blocked = dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
    site.root.put_public_access_block(Bucket=site.media_bucket, PublicAccessBlockConfiguration=blocked)
    with pytest.raises(ClientError, match="AccessDenied") as caught:
        default_storage.save("a.txt", ContentFile(b"x"))
    (note,) = caught.value.__notes__
    assert "BlockPublicAcls" in note
    assert site.media_bucket in note
    assert keys(site) == []


def test_private_uploads_and_static_files_can_share_a_bucket(s3_site: MakeSite) -> None:
    site = s3_site("private", one_bucket=True)
    name = default_storage.save("a.txt", ContentFile(b"x"))
    site.root.put_object(Bucket=site.static_bucket, Key="static/a.css", Body=b"x")
    assert anonymous(plain(site, name)).status == 403
    assert anonymous(site.url(site.static_bucket, "static/a.css")).status == 200
    assert default_storage.listdir("") == ([], [name])


@pytest.mark.parametrize("name", ["a.svg", "a.html", "a.xml", "a.js"])
def test_files_that_could_run_scripts_are_downloaded(s3_site: MakeSite, name: str) -> None:
    s3_site("public-policy")
    upload = SimpleUploadedFile(name, b"<script>alert(1)</script>", content_type="text/html")
    got = anonymous(default_storage.url(default_storage.save(name, upload)))
    # An SVG is downloaded instead of opened as a page, and <img> needs its content type.
    kind = "image/svg+xml" if name == "a.svg" else "application/octet-stream"
    assert got.headers["content-type"] == kind
    assert got.headers["content-disposition"] == f'attachment; filename="{name}"'


@pytest.mark.parametrize("access", ["private", "public-policy"])
@pytest.mark.parametrize(
    "name", ["a b+c.txt", "사진/한 장.png", "a&b=c?d#e%20f.txt", "~(x)'!*@,;:$.txt", "𐍈/é.txt"]
)
def test_links_work_for_names_with_special_characters(s3_site: MakeSite, access: str, name: str) -> None:
    s3_site(access)
    with default_storage.open(name, "wb") as file:
        file.write(name.encode())
    got = anonymous(default_storage.url(name))
    assert (got.status, got.body.decode()) == (200, name)


# Signed links


def test_link_expires_but_lasts_at_least_half_its_lifetime(
    s3_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_site("private")
    name = default_storage.save("a.txt", ContentFile(b"x"))
    now = time.time()

    def handed_out(seconds_ago: float, expire: int) -> int:
        monkeypatch.setattr(media, "time", SimpleNamespace(time=lambda: now - seconds_ago))
        return anonymous(default_storage.url(name, expire=expire)).status

    assert handed_out(0, 60) == 200
    assert handed_out(3600, 60) == 403
    # At least half of a link's lifetime is left, at any time in its window.
    assert {handed_out(seconds, 7200) for seconds in range(0, 3500, 500)} == {200}
    assert {handed_out(seconds, 7200) for seconds in (7201, 10000)} == {403}


def test_signed_link_can_set_a_non_ascii_download_name(s3_site: MakeSite) -> None:
    s3_site("private")
    name = default_storage.save("a.txt", ContentFile(b"x"))
    shown = {"ResponseContentDisposition": 'attachment; filename="日本📷.txt"'}
    got = anonymous(default_storage.url(name, parameters=shown))
    assert (got.status, got.body) == (200, b"x")
    assert got.headers["content-disposition"] == (
        "attachment; filename=\"file.txt\"; filename*=UTF-8''%E6%97%A5%E6%9C%AC%F0%9F%93%B7.txt"
    )


def test_changed_links_are_rejected(s3_site: MakeSite) -> None:
    s3_site("private")
    name, other = (default_storage.save("a.txt", ContentFile(b"x")) for _ in range(2))
    url = default_storage.url(name, parameters={"ResponseContentDisposition": "attachment"})
    assert anonymous(url).headers["content-disposition"] == "attachment"
    changed = {
        "file": url.replace(name, other),
        "lifetime": re.sub(r"X-Amz-Expires=\d+", "X-Amz-Expires=604800", url),
        "date": re.sub(r"(X-Amz-Date=\d+T)\d+", r"\g<1>235959", url),
        "header": url.replace("disposition=attachment", "disposition=inline"),
        "extra parameter": url + "&response-content-type=text%2Fhtml",
        "signature": url[:-1] + ("0" if url[-1] != "0" else "1"),
        "no signature": url.partition("&X-Amz-Signature")[0],
    }
    assert url not in changed.values()
    assert {what: anonymous(link).status in (400, 403) for what, link in changed.items()} == dict.fromkeys(
        changed, True
    )
    assert anonymous(url, "DELETE").status == 403
    assert anonymous(url).status == 200


def test_link_is_valid_only_for_its_http_method(s3_site: MakeSite) -> None:
    s3_site("private")
    name = default_storage.save("a.txt", ContentFile(b"x"))
    head = default_storage.url(name, http_method="HEAD")
    assert anonymous(head, "HEAD").status == 200
    assert anonymous(head).status == 403


def test_links_support_range_requests(s3_site: MakeSite) -> None:
    s3_site("private")
    url = default_storage.url(default_storage.save("a.mp4", ContentFile(bytes(range(200)))))
    got = anonymous(url, headers={"Range": "bytes=100-109"})
    assert (got.status, got.body) == (206, bytes(range(100, 110)))
    assert got.headers["content-range"] == "bytes 100-109/200"


def test_links_signed_with_a_session_include_its_token(
    s3_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = s3_site("private")
    name = default_storage.save("a.txt", ContentFile(b"x"))
    session = site.store.client("sts", site.key).get_session_token()["Credentials"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", session["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", session["SecretAccessKey"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", session["SessionToken"])
    clients.forget()
    url = default_storage.url(name)
    assert f"X-Amz-Security-Token={quote(session['SessionToken'], safe='')}" in url
    assert default_storage.url(name) == url
    assert anonymous(url).status == 200


# Uploads


@pytest.mark.parametrize(("name", "requests"), [(None, 100), ("photo.jpg", 199)], ids=["by-user", "by-code"])
def test_concurrent_saves_with_one_name_store_every_file(
    s3_site: MakeSite, settings: Any, name: str | None, requests: int
) -> None:
    site = s3_site("private")
    storage = default_storage
    start = threading.Barrier(20)

    def save(number: int) -> str:
        if number < 20:
            start.wait()
        return str(storage.save(name, ContentFile(b"%d" % number, "photo.jpg")))

    with FaultProxy(site.store.endpoint) as proxy, ThreadPoolExecutor(20) as pool:
        settings.AWS_S3_ENDPOINT_URL = proxy.endpoint
        names = list(pool.map(save, range(100)))
        proxy.wait_for(requests)
        assert [request.method for request in proxy.requests] == ["PUT"] * requests
        assert proxy.busiest > 1
    assert len(set(names)) == 100
    assert (name in names) == (name is not None)
    assert sorted(keys(site)) == sorted(f"media/{name}" for name in names)
    root = site.root
    for number, saved in enumerate(names):
        found = root.get_object(Bucket=site.media_bucket, Key=f"media/{saved}")
        assert found["Body"].read() == b"%d" % number


def test_save_needs_only_putobject_permission(s3_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    site = s3_site("private")
    statement = {
        "Effect": "Allow",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{site.media_bucket}/media/*",
    }
    key = new_user(site.store, {"Version": "2012-10-17", "Statement": [statement]})
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key.id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key.secret)
    clients.forget()
    name = default_storage.save("a.txt", ContentFile(b"x"))
    assert keys(site) == [f"media/{name}"]
    with pytest.raises(ClientError):
        default_storage.delete(name)


def test_storage_api_reads_a_file_uploaded_in_parts(s3_site: MakeSite) -> None:
    s3_site("private")
    data = os.urandom(2 * PART + 5)
    name = default_storage.save("a/large.bin", ContentFile(data))
    assert default_storage.exists(name)
    assert not default_storage.exists("a/none.bin")
    assert default_storage.size(name) == len(data)
    assert default_storage.listdir("a") == ([], [name.removeprefix("a/")])
    with default_storage.open(name) as file:
        file.seek(PART - 2)
        assert file.read(4) == data[PART - 2 : PART + 2]
        file.seek(0)
        assert file.read() == data
    default_storage.delete(name)
    default_storage.delete(name)
    assert not default_storage.exists(name)


def test_non_ascii_text_is_stored_completely(s3_site: MakeSite) -> None:
    """It has more bytes than characters. A length in characters would break the request."""
    site = s3_site("private")
    name = default_storage.save("a.txt", ContentFile("é" * 1000))
    found = site.root.get_object(Bucket=site.media_bucket, Key=f"media/{name}")
    assert found["Body"].read().decode() == "é" * 1000


# Failures


@pytest.fixture
def failing(s3_site: MakeSite, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Any]]:
    """Return a private site, and the proxy between the site and S3. Retries don't wait."""
    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda _: None))
    site = s3_site("private")
    with FaultProxy(site.store.endpoint) as proxy:
        settings.AWS_S3_ENDPOINT_URL = proxy.endpoint
        yield site, proxy
        clients.web(default_storage.target).close()


FAULTS: list[dict[str, Any]] = [
    {"status": 503, "code": "SlowDown"},
    {"status": 500},
    {"cut": "before"},
    {"cut": "after"},
]
FAULT_IDS = ["503", "500", "cut-before", "cut-after"]


@pytest.mark.parametrize("fault", FAULTS, ids=FAULT_IDS)
@pytest.mark.parametrize("size", [10, PART + 7], ids=["small", "in-parts"])
def test_save_retries_temporary_failures(failing: Any, fault: dict[str, Any], size: int) -> None:
    site, proxy = failing
    proxy.faults.append(Fault("PUT", r"media/a", times=2, **fault))
    data = os.urandom(size)
    name = default_storage.save("a.bin", ContentFile(data))
    assert proxy.faults[0].struck == 2
    assert site.root.get_object(Bucket=site.media_bucket, Key=f"media/{name}")["Body"].read() == data
    assert len(keys(site)) == 1
    assert parts_left(site) == []


@pytest.mark.parametrize("fault", FAULTS[::2], ids=FAULT_IDS[::2])
@pytest.mark.parametrize(
    ("size", "method", "path"),
    [
        (10, "PUT", r"media/a"),
        (2 * PART, "POST", r"uploads"),
        (2 * PART, "PUT", r"partNumber=1"),
        (2 * PART, "PUT", r"partNumber=2"),
        (2 * PART, "POST", r"uploadId="),
    ],
    ids=["small", "begin", "first-part", "last-part", "complete"],
)
def test_failed_save_raises_and_leaves_no_objects(
    failing: Any, fault: dict[str, Any], size: int, method: str, path: str
) -> None:
    site, proxy = failing
    proxy.faults.append(Fault(method, path, **fault))
    content = ContentFile(bytes(size))
    with pytest.raises((ClientError, BotoCoreError)):
        default_storage.save("a.bin", content)
    assert proxy.faults[0].struck > 1
    assert not content.closed
    assert keys(site) == []
    assert parts_left(site) == []


def test_access_denied_is_not_retried(failing: Any) -> None:
    site, proxy = failing
    proxy.faults.append(Fault("PUT", r"partNumber=2", status=403, code="AccessDenied"))
    with pytest.raises(ClientError, match="AccessDenied"):
        default_storage.save("a.bin", ContentFile(bytes(2 * PART)))
    assert proxy.faults[0].struck == 1
    assert keys(site) == parts_left(site) == []


def test_read_error_during_save_leaves_no_objects(failing: Any) -> None:
    site, _ = failing

    class Broken(File):
        def read(self, size: int = -1) -> bytes:
            assert self.file
            if self.file.tell() > PART:
                raise OSError("the disk is gone")
            return bytes(self.file.read(size))

    content = Broken(ContentFile(bytes(4 * PART)), "a.bin")
    with pytest.raises(OSError, match="the disk is gone"):
        default_storage.save("a.bin", content)
    assert keys(site) == parts_left(site) == []


def test_reads_retry_temporary_failures(failing: Any) -> None:
    _, proxy = failing
    name = default_storage.save("a.bin", ContentFile(b"x" * 100))
    proxy.faults.append(Fault("", r"media/a", times=2, status=503, code="SlowDown"))
    with default_storage.open(name) as file:
        assert file.read() == b"x" * 100
    proxy.faults.append(Fault("", r"media/a", times=2, cut="before"))
    assert default_storage.size(name) == 100
    assert default_storage.exists(name)


def test_403_on_lookup_is_not_a_missing_file(failing: Any) -> None:
    """Without s3:ListBucket, S3 responds with 403 for a missing key. That must never mean "the name is free"."""
    _, proxy = failing
    proxy.faults.append(Fault("HEAD", status=403, code="AccessDenied"))
    for use in (default_storage.exists, default_storage.size, default_storage.open):
        with pytest.raises(ClientError, match="403"):
            use("a.txt")
