"""`manage.py s3 push`: copies local uploads to the site, with only the web role's permissions."""

import hashlib
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.core.files import storage as django_storage
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command

from s3kit.buckets import policies
from s3kit.deployment import Deployment
from s3kit.publishing import push
from tests import processes
from tests.fault_proxy import Fault, FaultProxy
from tests.ministack import ActAs, MakeSite, SiteOnS3, anonymous, new_user, s3_storages

pytestmark = pytest.mark.slow

FILES = {
    "photos/2019/lake.jpg": b"\xff\xd8 a lake",
    "photos/2019/lake_Xy12abc.jpg": b"Django's own way to make a name unique",
    "notes.txt": b"text",
    "page.html": b"<script>alert(1)</script>",
    "icon.SVG": b"<svg/>",
    "empty.bin": b"",
    "no-extension": b"1",
    ".hidden": b"2",
    "a b/ü 名前+%~;\"'.pdf": b"3",
    "spaces  at the end .png": b"4",
    "tab\tand bell\x07.txt": b"5",
}


@dataclass
class Moving:
    """A folder of uploads, and the site that they move to."""

    site: SiteOnS3
    folder: Path
    proxy: FaultProxy

    def write(self, **files: bytes) -> None:
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def push(self, **options: Any) -> str:
        """Push successfully, and return the last line."""
        out = io.StringIO()
        call_command("s3", "push", source=self.folder, stdout=out, stderr=io.StringIO(), **options)
        return out.getvalue().strip()

    def fails(self, **options: Any) -> str:
        with pytest.raises(CommandError) as raised:
            self.push(**options)
        assert raised.value.returncode == 1
        return str(raised.value)

    def objects(self) -> dict[str, bytes]:
        """Return the stored objects by key."""
        bucket = self.site.media_bucket
        listed = self.site.root.list_objects_v2(Bucket=bucket).get("Contents", [])
        return {
            each["Key"]: self.site.root.get_object(Bucket=bucket, Key=each["Key"])["Body"].read()
            for each in listed
        }

    def head(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.site.root.head_object(Bucket=self.site.media_bucket, Key=f"media/{name}")
        return found

    def put(self, name: str, body: bytes, **more: Any) -> None:
        self.site.root.put_object(Bucket=self.site.media_bucket, Key=f"media/{name}", Body=body, **more)

    def sent(self) -> int:
        return self.proxy.count("PUT") + self.proxy.count("POST")


@pytest.fixture
def moving(s3_site: MakeSite, act_as: ActAs, settings: Any, tmp_path: Path) -> Any:
    proxies = []

    def make(access: str = "private", **more: Any) -> Moving:
        site = s3_site(access, **more)
        act_as(new_user(site.store, policies.document(policies.web(Deployment.load()))))  # the running site's
        proxies.append(FaultProxy(site.store.endpoint).__enter__())
        settings.AWS_S3_ENDPOINT_URL = proxies[-1].endpoint
        folder = tmp_path / "uploads"
        folder.mkdir()
        return Moving(site, folder, proxies[-1])

    yield make
    for proxy in proxies:
        proxy.__exit__(None, None, None)


# Stored objects


@pytest.mark.parametrize("access", ["private", "public-read", "public-policy"])
def test_push_keeps_names_and_sets_the_sites_headers(moving: Any, access: str) -> None:
    one: Moving = moving(access)
    one.write(**FILES)
    total = sum(map(len, FILES.values()))
    line = one.push()
    count = len(FILES)
    assert line.startswith(f"{count} files: {count} uploaded, 0 unchanged, 0 failed; {total} bytes in ")
    assert one.objects() == {f"media/{name}": content for name, content in FILES.items()}
    storage: Any = django_storage.storages["default"]
    for name, content in FILES.items():
        wanted = storage.write_parameters(f"media/{name}")
        there = one.head(name)
        for header in ("ContentType", "ContentDisposition", "CacheControl"):
            assert there[header] == wanted[header], name
        assert there["Metadata"] == {"sha256": hashlib.sha256(content).hexdigest()}
        with storage.open(name) as file:
            assert file.read() == content
    # Content that browsers could run. An SVG in <img> runs nothing, and elsewhere it is downloaded.
    for name, kind in (("page.html", "application/octet-stream"), ("icon.SVG", "image/svg+xml")):
        assert one.head(name)["ContentType"] == kind
        assert one.head(name)["ContentDisposition"].startswith("attachment;")
    puts = one.proxy.matching("PUT")
    assert {r.headers.get("x-amz-acl") for r in puts} == {"public-read" if access == "public-read" else None}
    assert {r.headers.get("if-none-match") for r in puts} == {"*"}
    visitor = anonymous(one.site.url(one.site.media_bucket, "media/notes.txt"))
    assert visitor.status == (403 if access == "private" else 200)


def test_push_and_storage_set_the_same_headers(moving: Any) -> None:
    """A file gets the same headers from the storage and from a push."""
    one: Moving = moving()
    saved = django_storage.default_storage.save("photos/lake.jpg", ContentFile(b"x"))
    mine = one.head(saved)
    one.site.root.delete_object(Bucket=one.site.media_bucket, Key=f"media/{saved}")
    one.write(**{saved: b"x"})
    one.push()
    names = ("ContentType", "ContentDisposition", "CacheControl", "ContentLength", "ETag")
    assert {name: one.head(saved)[name] for name in names} == {name: mine[name] for name in names}


def test_large_files_are_uploaded_in_parts(moving: Any) -> None:
    one: Moving = moving()
    video = os.urandom(1024 * 1024) * 20
    one.write(**{"video.mp4": video, "a.txt": b"a"})
    assert one.push(verify=True).startswith("2 files: 2 uploaded, 0 unchanged, 2 read back and the same")
    parts = one.proxy.matching("PUT", "video.mp4.*partNumber")
    assert sorted(r.size for r in parts) == [4 * 2**20, 8 * 2**20, 8 * 2**20]
    assert one.objects()["media/video.mp4"] == video
    assert one.head("video.mp4")["ContentType"] == "video/mp4"
    one.proxy.clear()
    assert "0 uploaded, 2 unchanged" in one.push()
    assert not one.sent()


def test_push_does_not_change_the_source(moving: Any) -> None:
    one: Moving = moving()
    one.write(**FILES)

    def state() -> dict[str, tuple[int, int]]:
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_ino) for path in one.folder.rglob("*")}

    before = state()
    one.push(verify=True)
    one.push(overwrite=True)
    assert state() == before
    assert {path for path in one.folder.rglob("*") if path.is_file()} == {one.folder / name for name in FILES}


# Existing objects


def test_second_push_sends_nothing(moving: Any) -> None:
    one: Moving = moving()
    one.write(**FILES)
    one.push()
    one.proxy.clear()
    assert f"0 uploaded, {len(FILES)} unchanged, 0 failed; 0 bytes" in one.push()
    assert not one.sent()
    assert one.proxy.count("GET", "list-type") == 2, "one listing before and one after"
    assert one.proxy.count("HEAD") == len(FILES)
    assert one.proxy.count() == 2 + len(FILES)


def test_dry_run_writes_nothing(moving: Any) -> None:
    one: Moving = moving()
    one.write(**FILES)
    one.put("notes.txt", b"text", **headers_of("notes.txt"))
    line = one.push(dry_run=True)
    assert f"{len(FILES) - 1} to upload, 1 unchanged, 0 failed" in line
    assert not one.sent()
    assert set(one.objects()) == {"media/notes.txt"}


def headers_of(name: str) -> dict[str, Any]:
    storage: Any = django_storage.default_storage
    return dict(storage.write_parameters(f"media/{name}"))


def test_differing_objects_are_reported_and_kept_without_overwrite(moving: Any) -> None:
    one: Moving = moving()
    one.write(**{"longer.txt": b"here", "other.txt": b"here", "typed.html": b"here", "right.txt": b"here"})
    one.put("longer.txt", b"in the bucket", **headers_of("longer.txt"))
    one.put("other.txt", b"HERE", **headers_of("other.txt"))
    one.put("typed.html", b"here", ContentType="text/html")
    # Another tool stored no SHA-256, so the object is read, and sent again only if it differs.
    one.put("right.txt", b"here", **headers_of("right.txt"))
    before = one.objects()
    text = one.fails()
    assert "3 files differ or are missing in" in text
    assert "longer.txt: 13 bytes in the bucket, 4 locally" in text
    assert "other.txt: different content in the bucket" in text
    assert "typed.html: the same content, but ContentType is 'text/html'" in text
    assert "--overwrite" in text
    assert not one.sent()
    assert one.objects() == before

    assert "3 uploaded, 1 unchanged, 0 failed" in one.push(overwrite=True)
    assert set(one.objects().values()) == {b"here"}
    assert one.head("typed.html")["ContentType"] == "application/octet-stream"
    assert "0 uploaded, 4 unchanged" in one.push()


def test_push_keeps_other_objects_in_the_bucket(moving: Any) -> None:
    one: Moving = moving()
    strange = ["\x01", "return\r", "a+b%20&#x1; "]
    for name in ("new/from-the-site.jpg", *strange):
        one.put(name, b"x")
    one.site.root.put_object(Bucket=one.site.media_bucket, Key="elsewhere/a.txt", Body=b"y")
    one.write(**{"a.txt": b"a"})
    one.push(overwrite=True)
    there = {"media/new/from-the-site.jpg", *(f"media/{name}" for name in strange)}
    assert set(one.objects()) == {"elsewhere/a.txt", "media/a.txt"} | there
    assert one.proxy.count("GET", "list-type=2.*encoding-type=url") == 2


def test_objects_created_after_the_listing_are_not_overwritten(moving: Any) -> None:
    one: Moving = moving()
    one.write(**{"a.txt": b"mine", "b.txt": b"same"})
    hold = threading.Event()
    one.proxy.faults.append(Fault("PUT", hold=hold))

    def meanwhile() -> None:
        one.proxy.wait_for_hanging()
        one.put("a.txt", b"theirs")
        one.put("b.txt", b"same", **headers_of("b.txt"))
        hold.set()

    thread = threading.Thread(target=meanwhile)
    thread.start()
    text = one.fails()
    thread.join()
    assert "1 file differs or is missing in" in text
    assert "a.txt: different content in the bucket" in text
    assert one.objects() == {"media/a.txt": b"theirs", "media/b.txt": b"same"}


def test_large_objects_created_after_the_listing_are_not_overwritten(moving: Any) -> None:
    one: Moving = moving()
    video = os.urandom(push.LARGE + 1)
    one.write(**{"video.mp4": video, "same.mp4": video})
    hold = threading.Event()
    one.proxy.faults.append(Fault("POST", "uploadId", hold=hold))

    def meanwhile() -> None:
        one.proxy.wait_for_hanging()
        one.put("video.mp4", b"theirs")
        one.put("same.mp4", video, **headers_of("same.mp4"))
        hold.set()

    thread = threading.Thread(target=meanwhile)
    thread.start()
    text = one.fails()
    thread.join()
    assert "1 file differs or is missing in" in text
    assert "video.mp4: different content in the bucket" in text
    assert one.objects() == {"media/video.mp4": b"theirs", "media/same.mp4": video}
    parts = one.site.root.list_multipart_uploads(Bucket=one.site.media_bucket)
    assert not parts.get("Uploads"), "what was sent is not left behind"


def test_conflicting_upload_is_retried(moving: Any) -> None:
    """409 means that another upload or deletion is in progress. AWS then requires all parts again."""
    one: Moving = moving()
    video = os.urandom(push.LARGE + 1)
    one.write(**{"video.mp4": video, "a.txt": b"a"})
    conflict = {"status": 409, "code": "ConditionalRequestConflict", "header": "if-none-match", "times": 1}
    one.proxy.faults += [Fault("PUT", "a.txt", **conflict), Fault("POST", "uploadId", **conflict)]
    assert one.push().startswith("2 files: 2 uploaded, 0 unchanged, 0 failed")
    assert one.objects() == {"media/video.mp4": video, "media/a.txt": b"a"}
    assert one.proxy.count("PUT", "video.mp4.*partNumber") == 4
    assert [r.headers.get("if-none-match") for r in one.proxy.matching("POST", "uploadId")] == ["*", "*"]


def test_permanent_conflict_is_reported(moving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push, "RETRY_PAUSES", (0, 0, 0))
    one: Moving = moving()
    one.write(**{"a.txt": b"a"})
    one.proxy.faults.append(Fault("PUT", status=409, code="ConditionalRequestConflict"))
    assert "  a.txt: another program is uploading it: try again" in one.fails()
    assert one.sent() == 3


def test_push_never_uploads_without_if_none_match(moving: Any) -> None:
    """A server without If-None-Match could overwrite a file that was uploaded in the meantime."""
    one: Moving = moving()
    one.write(**{"a.txt": b"a"})
    one.proxy.faults.append(Fault("PUT", header="if-none-match", status=501, code="NotImplemented"))
    assert "  a.txt: NotImplemented" in one.fails()
    assert not one.objects()


def test_verify_reads_every_object_back(moving: Any) -> None:
    one: Moving = moving()
    one.write(**FILES)
    one.push()
    assert f"{len(FILES)} read back and the same" in one.push(verify=True)
    # Damaged, with the same size and metadata.
    there = one.head("notes.txt")
    one.put("notes.txt", b"TEXT", Metadata=there["Metadata"], **headers_of("notes.txt"))
    assert "0 failed" in one.push(dry_run=True)
    one.proxy.clear()
    text = one.fails(dry_run=True, verify=True)
    assert "  notes.txt: different content in the bucket" in text
    assert "1 file differs or is missing in" in text
    assert not one.sent()
    assert one.proxy.count("GET", "/media/") == len(FILES)


# Failures


def test_failed_file_is_named_and_uploaded_by_the_next_run(moving: Any) -> None:
    one: Moving = moving()
    one.write(**FILES)
    one.proxy.faults.append(Fault("PUT", "notes.txt", status=403, code="AccessDenied"))
    text = one.fails()
    assert "  notes.txt: AccessDenied" in text
    assert "Run the command again: it skips files that are already in the bucket." in text
    assert len(one.objects()) == len(FILES) - 1
    one.proxy.clear()
    assert f"1 uploaded, {len(FILES) - 1} unchanged, 0 failed; 4 bytes" in one.push()
    assert one.sent() == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault("PUT", status=503, code="SlowDown", every=3),
        Fault("PUT", cut="before", every=3),
        Fault("PUT", cut="after", every=3),
        Fault("GET", "list-type", status=500, times=1),
    ],
    ids=["503", "cut before", "cut after", "listing"],
)
def test_push_retries_temporary_failures(moving: Any, fault: Fault) -> None:
    one: Moving = moving()
    one.write(**FILES)
    one.proxy.faults.append(fault)
    assert f"{len(FILES)} uploaded, 0 unchanged, 0 failed" in one.push()
    assert fault.struck
    assert one.objects() == {f"media/{name}": content for name, content in FILES.items()}


def test_push_gives_up_if_the_bucket_rejects_everything(moving: Any) -> None:
    one: Moving = moving()
    one.write(**{f"{number:03}.txt": b"%d" % number for number in range(400)})
    one.proxy.faults.append(Fault("PUT", status=403, code="AccessDenied"))
    text = one.fails()
    assert len(text.splitlines()) < 30
    assert re.search(r"^  and \d+ more$", text, re.MULTILINE)
    assert "The others were not tried." in text
    assert one.sent() < 300


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_interrupted_push_can_be_repeated(moving: Any, tmp_path: Path, how: signal.Signals) -> None:
    one: Moving = moving()
    one.write(**{f"{number:03}.txt": b"%d" % number for number in range(100)})
    hanging = threading.Event()
    one.proxy.faults.append(Fault("PUT", first=41, hold=hanging, cut="before"))
    site = one.site
    process = subprocess.Popen(
        [*processes.MANAGE, "s3", "push", "--source", str(one.folder)],
        env=processes.environment(
            TEST_FOLDER=str(tmp_path),
            USE_S3="true",
            STATIC_BUCKET=site.static_bucket,
            MEDIA_BUCKET=site.media_bucket,
            AWS_S3_ENDPOINT_URL=one.proxy.endpoint,
            AWS_ACCESS_KEY_ID=site.key.id,
            AWS_SECRET_ACCESS_KEY=site.key.secret,
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    one.proxy.wait_for(40, "PUT")
    one.proxy.wait_for_hanging()
    process.send_signal(how)
    if how == signal.SIGKILL:
        process.wait()
    one.proxy.faults.clear()
    hanging.set()
    err = process.communicate(timeout=60)[1]
    assert process.returncode == (-how if how == signal.SIGKILL else 130)
    assert "Traceback" not in err
    there = len(one.objects())
    assert 40 <= there < 100
    one.proxy.clear()
    assert f"100 files: {100 - there} uploaded, {there} unchanged, 0 failed" in one.push()
    assert one.sent() == 100 - there


def test_second_listing_detects_a_missing_object(moving: Any) -> None:
    one: Moving = moving()
    one.write(**{"a.txt": b"a", "b.txt": b"b"})
    hold = threading.Event()
    one.proxy.faults.append(Fault("GET", "list-type", first=2, hold=hold))

    def meanwhile() -> None:
        one.proxy.wait_for_hanging()
        one.site.root.delete_object(Bucket=one.site.media_bucket, Key="media/a.txt")
        hold.set()

    thread = threading.Thread(target=meanwhile)
    thread.start()
    text = one.fails()
    thread.join()
    assert "a.txt: missing in the bucket after the upload" in text


def test_files_that_cannot_be_copied_are_reported(
    moving: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one: Moving = moving()
    one.write(**{"a.txt": b"a", "sub/b.txt": b"b", "locked.txt": b"c", "back\\slash.txt": b"d"})
    deep = "/".join(["x" * 200] * 6)
    one.write(**{f"{deep}.txt": b"too long"})
    (tmp_path / "secret.txt").write_text("secret")
    (one.folder / "out.txt").symlink_to(tmp_path / "secret.txt")
    (one.folder / "up").symlink_to(tmp_path)
    (one.folder / "in.txt").symlink_to("a.txt")
    (one.folder / "folder").symlink_to("sub")
    (one.folder / "sub" / "loop").symlink_to("..")
    (one.folder / "broken").symlink_to("nowhere")
    (one.folder / "self").symlink_to("self")
    os.mkfifo(one.folder / "pipe")
    (one.folder / os.fsdecode(b"not-utf8-\xff.txt")).write_bytes(b"e")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(one.folder / "socket"))
        descend = push._Push._descend

        def denied(self: Any, real: Path) -> int:
            if real.name == "locked.txt":  # root may read everything
                raise PermissionError(13, "Permission denied")
            return descend(self, real)

        monkeypatch.setattr(push._Push, "_descend", denied)
        text = one.fails()
    told = dict(re.findall(r"^  (.+?): (.+)$", text, re.MULTILINE))
    assert told.pop(f"{deep}.txt").endswith("exceeds S3's 1024 bytes.")
    assert told.pop("self")
    assert told == {
        "out.txt": "a link to outside the folder",
        "up": "a link to outside the folder",
        "folder/loop": "a link to a parent folder",
        "sub/loop": "a link to a parent folder",
        "broken": "can't be read: No such file or directory",
        "pipe": "not a regular file, but a socket, a pipe, or a device",
        "socket": "not a regular file, but a socket, a pipe, or a device",
        "locked.txt": "can't be read: Permission denied",
        "back\\slash.txt": "the site would look for media/back/slash.txt: rename the file, and update its database row",
        "not-utf8-\\udcff.txt": told["not-utf8-\\udcff.txt"],
    }
    assert "UTF-8" in told["not-utf8-\\udcff.txt"]
    assert one.objects() == {
        "media/a.txt": b"a",
        "media/in.txt": b"a",
        "media/sub/b.txt": b"b",
        "media/folder/b.txt": b"b",
    }


@pytest.mark.parametrize(
    "swapped",
    ["b/file.txt", "b", "deep/er", "pipe.txt"],
    ids=["a file", "its folder", "a folder above", "a pipe"],
)
def test_files_replaced_after_the_scan_are_not_followed(moving: Any, tmp_path: Path, swapped: str) -> None:
    """A user who can write to the folder can't make push copy other files."""
    one: Moving = moving()
    names = ("a.txt", "b/file.txt", "deep/er/down/file.txt", "pipe.txt")
    one.write(**dict.fromkeys(names, b"upload"))
    outside = tmp_path / "outside"
    for name in ("file.txt", "down/file.txt"):
        (outside / name).parent.mkdir(parents=True, exist_ok=True)
        (outside / name).write_bytes(b"secret")

    def after_the_scan() -> None:
        place = one.folder / swapped
        if place.is_dir():
            shutil.move(place, tmp_path / "moved")
            place.symlink_to(outside)
        else:
            place.unlink()
            if swapped == "pipe.txt":
                os.mkfifo(place)
            else:
                place.symlink_to(outside / "file.txt")

    scan = push._Push._files

    def scanned(self: Any, folder: Path, above: Any) -> Any:
        found = list(scan(self, folder, above))
        if len(above) == 1:
            after_the_scan()
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(push._Push, "_files", scanned)
        text = one.fails()
    gone = {"b": "b/file.txt", "deep/er": "deep/er/down/file.txt"}.get(swapped, swapped)
    why = "no longer a regular file" if swapped == "pipe.txt" else "replaced with a link since the folder was"
    assert f"  {gone}: {why}" in text
    assert one.objects() == {f"media/{name}": b"upload" for name in names if name != gone}


def test_file_changed_during_push_is_reported(moving: Any) -> None:
    one: Moving = moving()
    one.write(**{"a.txt": b"before"})
    hold = threading.Event()
    one.proxy.faults.append(Fault("PUT", hold=hold))

    def meanwhile() -> None:
        one.proxy.wait_for_hanging()
        one.write(**{"a.txt": b"after!"})
        hold.set()

    thread = threading.Thread(target=meanwhile)
    thread.start()
    text = one.fails()
    thread.join()
    assert "a.txt: changed while it was being copied" in text


# The command


def test_push_defaults_to_media_root_and_prints_json(moving: Any, settings: Any) -> None:
    one: Moving = moving()
    one.write(**{"a.txt": b"abc"})
    settings.MEDIA_ROOT = one.folder
    out = io.StringIO()
    call_command("s3", "push", "--json", stdout=out)
    found = json.loads(out.getvalue())
    assert found.pop("seconds") >= 0
    assert found == {
        "bucket": one.site.media_bucket,
        "dry_run": False,
        "verify": False,
        "files": 1,
        "uploaded": 1,
        "unchanged": 0,
        "verified": 0,
        "bytes": 3,
        "conflicts": 0,
        "given_up": False,
        "errors": {},
    }


def test_verbosity_2_prints_one_line_per_file(moving: Any) -> None:
    one: Moving = moving()
    one.write(**{"a.txt": b"a", "b\x1b[2J.txt": b"b"})
    lines = one.push(verbosity=2).splitlines()
    assert sorted(lines[:-1]) == ["a.txt: uploaded", "b\\x1b[2J.txt: uploaded"]


def test_configuration_errors_are_one_line(moving: Any, settings: Any) -> None:
    one: Moving = moving()
    one.write(**{"a.txt": b"a"})
    for options, expected in (
        ({"bucket_name": ""}, "bucket_name"),
        ({"region_name": "no_where"}, "'no_where' is not a valid name"),
        ({"access": "everybody"}, "access"),
        ({"bucket_name": "there-is-no-such-bucket-here"}, "s3:ListBucket"),
    ):
        settings.STORAGES = s3_storages(media={"bucket_name": one.site.media_bucket} | options)
        text = one.fails()
        assert expected in text
        assert len(text.splitlines()) == 1
    assert "STORAGES['staticfiles'] is not a MediaStorage" in one.fails(storage="staticfiles")
    settings.USE_S3 = False
    assert "USE_S3" in one.fails()


def test_storage_option_selects_a_storage_by_alias(moving: Any, settings: Any) -> None:
    one: Moving = moving()
    one.write(**{"a.txt": b"a"})
    backend = {"BACKEND": "s3kit.storages.MediaStorage"}
    entries = {
        name: backend | {"OPTIONS": {"bucket_name": one.site.media_bucket, "location": f"media/{name}/"}}
        for name in ("default", "avatars")
    }
    settings.STORAGES = settings.STORAGES | entries
    one.push(storage="avatars")
    assert one.objects() == {"media/avatars/a.txt": b"a"}


def test_missing_folder_and_permissions_are_one_line_errors(moving: Any, act_as: ActAs) -> None:
    one: Moving = moving()
    with pytest.raises(
        CommandError, match=r"^.*nowhere is not a folder: set --source to the folder of the uploads\.$"
    ):
        call_command("s3", "push", source=one.folder / "nowhere")
    act_as(new_user(one.site.store))
    text = one.fails()
    assert "these credentials lack s3:ListBucket" in text
    assert "policy --role web" in text
    assert len(text.splitlines()) == 1
