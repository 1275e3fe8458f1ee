"""Follow docs/uploads-hooks.md: a scanner with a fake clamd, the signal, names, and quotas."""

import importlib
import logging
import socket
import socketserver
import struct
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import include, path

from s3kit import uploads
from s3kit.uploads import DirectFileField
from s3kit.uploads.models import Ticket
from s3kit.uploads.options import quotas as quotas_of
from tests.ministack import MakeSite, SiteOnS3
from tests.new_sites import blocks
from tests.processes import ROOT
from tests.shop.models import Clip
from tests.test_uploads_fields import begin, content, finished, keys, send

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

PAGE = (ROOT.parent / "docs" / "uploads-hooks.md").read_text("utf-8")
urlpatterns = [path("uploads/", include("s3kit.uploads.urls"))]
MALWARE = b"this is malware"
LIMIT = b"Heuristics.Limits.Exceeded.MaxFileSize FOUND"  # with AlertExceedsMax


@pytest.fixture
def videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return the app from the page."""
    package = tmp_path / "videos"
    package.mkdir()
    (package / "models.py").write_text("from tests.shop.models import Clip as Video\n")
    for block in blocks(PAGE):
        name = block.code.splitlines()[0].removeprefix("# videos/")
        (package / name).write_text(block.code)
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module
    for name in [each for each in sys.modules if each.partition(".")[0] == "videos"]:
        del sys.modules[name]


@pytest.fixture
def site(s3_site: MakeSite) -> SiteOnS3:
    return s3_site()


@pytest.fixture
def anna(site: SiteOnS3) -> User:  # noqa: ARG001 - the site first
    return User.objects.create_superuser("anna")


@pytest.fixture
def browser(client: Client, anna: User) -> Client:
    client.force_login(anna)
    return client


class Clamd(socketserver.ThreadingTCPServer):
    """A fake clamd with one command: zINSTREAM, with length-prefixed chunks."""

    daemon_threads = True
    allow_reuse_address = True
    limit = 1000  # StreamMaxLength
    quiet = False

    def __init__(self) -> None:
        self.read = b""
        self.ended = threading.Event()
        super().__init__(("127.0.0.1", 0), Scan)


class Scan(socketserver.StreamRequestHandler):
    server: Clamd

    def handle(self) -> None:
        assert self.rfile.read(10) == b"zINSTREAM\0"
        data = b""
        while length := struct.unpack("!I", self.rfile.read(4))[0]:
            data += self.rfile.read(length)
            if len(data) > self.server.limit:
                self.wfile.write(b"INSTREAM size limit exceeded. ERROR\0")
                return
        self.server.read = data
        if self.server.quiet:
            self.server.ended.wait(30)
        else:
            found = b"Test FOUND" if MALWARE in data else b"OK"
            self.wfile.write(b"stream: %s\0" % (LIMIT if data == LIMIT else found))


@pytest.fixture
def clamd(videos: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clamd]:
    with Clamd() as server:
        scanner = videos("videos.scanner")
        monkeypatch.setattr(scanner, "CLAMD", server.server_address)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.ended.set()
        server.shutdown()
        thread.join()


def finish(client: Client, form: Any, data: bytes) -> tuple[str, Any]:
    """Send a file, and return its URL and the server's response."""
    ticket = begin(client, form, "a.mp4", len(data)).json()
    send(ticket, data)
    address = f"{ticket['address']}finish/"
    return address, client.post(address)


def test_scanner_rejects_malware_before_the_file_is_readable(
    videos: Any, clamd: Clamd, site: SiteOnS3, browser: Client
) -> None:
    form = videos("videos.forms").VideoForm
    token = finished(browser, form(), b"a video" * 100)
    assert clamd.read == b"a video" * 100
    posted = form({"title": "Lake", "file": token})
    assert posted.is_valid()
    posted.save()
    before = keys(site)
    _address, answer = finish(browser, form(), b"x" + MALWARE)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "rejected")
    assert "contains malware" in answer.json()["error"]["message"]
    # It closes the connection during the transfer, or reads everything without scanning it.
    for too_large in (b"0" * 10**6, LIMIT):
        _address, answer = finish(browser, form(), too_large)
        assert "too large to be scanned" in answer.json()["error"]["message"]
    assert keys(site) == before
    posted = form({"title": "x"}, {"file": SimpleUploadedFile("a.mp4", MALWARE)})
    assert posted.errors.as_data()["file"][0].code == "malware"


@pytest.mark.parametrize("how", ["quiet", "gone"])
def test_unavailable_scanner_leaves_the_upload_open(
    videos: Any, clamd: Clamd, browser: Client, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    scanner, form = videos("videos.scanner"), videos("videos.forms").VideoForm
    with monkeypatch.context() as patch:
        if how == "quiet":
            patch.setattr(scanner, "TIMEOUT", 0.2)
            clamd.quiet = True
        else:
            patch.setattr(scanner, "CLAMD", "/nowhere/clamd.ctl")
        address, answer = finish(browser, form(), b"a video")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
        posted = form({"title": "x"}, {"file": SimpleUploadedFile("a.mp4", b"a video")})
        assert posted.errors.as_data()["file"][0].code == "unavailable"
    clamd.quiet = False
    assert Ticket.objects.get(content_type="video/mp4").state == "open"
    assert browser.post(address).status_code == 200


def test_scanner_accepts_a_unix_socket(videos: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scanner = videos("videos.scanner")
    monkeypatch.chdir(tmp_path)  # A path of more than 107 bytes is invalid.
    monkeypatch.setattr(scanner, "CLAMD", "clamd")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("clamd")
        listening.listen()

        def answer() -> None:
            connection, _address = listening.accept()
            with connection, connection.makefile("rb") as read:
                read.read(len(b"zINSTREAM\0") + 4 + 6 + 4)
                connection.sendall(b"stream: ClamAV is confused ERROR\0")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(OSError, match="ClamAV is confused ERROR"):
            scanner.check_malware(SimpleUploadedFile("a.mp4", b"a video"))
        thread.join()


def test_accepted_signal_describes_the_saved_file(
    videos: Any, clamd: Clamd, browser: Client, caplog: pytest.LogCaptureFixture
) -> None:
    assert clamd
    apps = videos("videos.apps")
    apps.VideosConfig("videos", videos("videos")).ready()
    try:
        form = videos("videos.forms").VideoForm
        posted = form({"title": "Lake", "file": finished(browser, form(), b"a video")})
        with caplog.at_level(logging.INFO):
            posted.save()
    finally:
        uploads.accepted.disconnect(dispatch_uid="videos")
    clip = Clip.objects.get()
    assert f"anna saved My Video.mp4, 7 bytes, as {clip.file.name}" in caplog.text
    assert content(clip.file) == b"a video"


def test_names_by_user_and_quotas_work(videos: Any, browser: Client, anna: User, settings: Any) -> None:
    settings.S3KIT_UPLOADS = videos("videos.settings").S3KIT_UPLOADS
    assert quotas_of(anna) == {"PER_HOUR": 50, "UNFINISHED_BYTES": 10 * 2**30}
    anna.groups.create(name="editors")
    assert quotas_of(anna)["PER_HOUR"] == 1000
    names, quotas = videos("videos.names"), videos("videos.quotas")

    class Form(videos("videos.forms").VideoForm):  # type: ignore[misc]
        file = DirectFileField(upload_to=names.by_user, may_upload=quotas.may_upload)

    posted = Form({"title": "x", "file": finished(browser, Form(), b"a video")})
    clip = posted.save(commit=False)
    clip.owner, clip.size = anna, quotas.MAX_BYTES
    clip.save()
    assert str(clip.file.name).startswith(f"videos/{anna.pk}/My_Video-")
    answer = begin(browser, Form(), "a.mp4", 5)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    Clip.objects.update(size=1)
    assert begin(browser, Form(), "a.mp4", 5).status_code == 201
