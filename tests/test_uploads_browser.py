"""The gallery's uploads in a real browser: the progress shown, and where the bytes go.

A project is baked, installed, and served by gunicorn without debug mode. The fault proxy of the library's tests
runs in front of the local S3 server. It counts requests from the site and the browser, and injects faults.
The library's own tests cover lost connections.
"""

import importlib.util
import re
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from types import ModuleType
from typing import Any

import boto3
import pytest
from botocore.config import Config
from playwright.sync_api import Browser, Page, Request, expect
from pytest_cookies.plugin import Cookies

from tests.answers import FIXED, ROOT
from tests.browser import DESKTOP, SCREENSHOTS, Console, browser, picture, wait_for_focus
from tests.installed import Installed
from tests.machine import PATIENCE, free_port, read_when_up, run, running

pytestmark = pytest.mark.slow

PASSWORD = "a-password-for-this-test"
# A part has 16 MiB. The short video has two parts, the second of 4 MiB; the long video has three.
SHORT, LONG = 20 * 2**20, 40 * 2**20
PENDING = r"/pending/"
PARTS = r"partNumber="
SMALL = 5000  # bytes, for all forms together


@dataclass
class Served:
    """A running site, the proxy in front of its S3 server, and the sizes of browsers' requests to Django."""

    address: str
    s3: str
    proxy: Any
    Fault: Any
    python: Path
    project: Path
    environment: dict[str, str]
    sent_to_django: list[int] = field(default_factory=list)
    known: list[str] = field(default_factory=list)

    def fault(self, method: str, path: str, **what: Any) -> Any:
        """Make requests fail until the test ends."""
        made = self.Fault(method, path, **what)
        self.proxy.faults.append(made)
        return made

    def parts(self) -> list[int]:
        """Return the numbers of the parts that S3 accepted, in the order of its responses."""
        taken = [r for r in self.proxy.matching("PUT", PARTS) if r.status == 200]
        return [int(re.search(r"partNumber=(\d+)", r.path)[1]) for r in taken]

    def database(self, statement: str) -> Any:
        """Run an SQL statement on the site's database, and return the first value."""
        with closing(sqlite3.connect(self.project / "db.sqlite3", timeout=30)) as connection, connection:
            row = connection.execute(statement).fetchone()
            return row[0] if row else None

    def rows(self) -> int:
        """Return the number of pictures and videos."""
        return int(self.database("SELECT COUNT(*) FROM gallery_picture"))

    def shell(self, code: str) -> None:
        """Run Python code in the project, with its settings."""
        run(self.python, "manage.py", "shell", "-c", code, cwd=self.project, **self.environment)

    def left(self) -> list[str]:
        """Return new keys outside the media prefix, including those of unfinished multipart uploads."""
        key = ConfigParser(interpolation=None)
        key.read(Path(self.environment["AWS_SHARED_CREDENTIALS_FILE"]).with_name("root"))
        root = boto3.client(
            "s3",
            region_name=self.environment["AWS_S3_REGION_NAME"],
            endpoint_url=self.s3,
            **key["default"],
            config=Config(s3={"addressing_style": "path"}, proxies={}),
        )
        bucket = FIXED["media_bucket_name"]
        objects = root.list_objects_v2(Bucket=bucket, Prefix="pending/").get("Contents", [])
        uploads = root.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
        return [found["Key"] for found in [*objects, *uploads] if found["Key"] not in self.known]


def load(path: Path) -> ModuleType:
    """Return a module of the library's tests, whose package is also called `tests`."""
    spec = importlib.util.spec_from_file_location(f"library_{path.stem}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look up their module there
    spec.loader.exec_module(module)
    return module


@contextmanager
def serve(project: Path, python: Path) -> Iterator[Served]:
    """Run a project on a local S3 server behind a fault proxy. anna and bert can add and delete pictures."""
    fault_proxy = load(ROOT / "library" / "tests" / "fault_proxy.py")
    with running(python, "manage.py", "s3", "serve", "--port", "0", cwd=project) as s3:
        found = s3.wait_for(r"The local S3 server listens on (\S+), with its data in (\S+)\. ")
        port = free_port()
        with fault_proxy.FaultProxy(found[1]) as proxy:
            environment = {
                "USE_S3": "true",
                "AWS_S3_REGION_NAME": FIXED["aws_region"],
                "AWS_S3_ENDPOINT_URL": proxy.endpoint,
                "AWS_SHARED_CREDENTIALS_FILE": f"{found[2]}/credentials",
                "AWS_CONFIG_FILE": "/dev/null",
                "AWS_EC2_METADATA_DISABLED": "true",
                "DJANGO_DEBUG": "false",
                "DJANGO_ALLOWED_HOSTS": "127.0.0.1",
                "DJANGO_SECURE_SSL_REDIRECT": "false",
            }
            run(python, "manage.py", "migrate", cwd=project, **environment)
            run(python, "manage.py", "collectstatic", "--no-input", cwd=project, **environment)
            code = (
                "from django.contrib.auth.models import Permission\n"
                "from users.models import User\n"
                "for name in ('anna', 'bert'):\n"
                f"    user = User.objects.create_user(name, password={PASSWORD!r})\n"
                "    user.user_permissions.set(Permission.objects.filter(content_type__app_label='gallery'))"
            )
            run(python, "manage.py", "shell", "-c", code, cwd=project, **environment)
            gunicorn = (
                "-m",
                "gunicorn",
                "--no-control-socket",
                "--threads",
                4,
                "--bind",
                f"127.0.0.1:{port}",
            )
            with running(python, *gunicorn, "config.wsgi", cwd=project, **environment):
                read_when_up(f"http://127.0.0.1:{port}/accounts/login/")
                yield Served(
                    f"http://127.0.0.1:{port}/",
                    found[1],
                    proxy,
                    fault_proxy.Fault,
                    python,
                    project,
                    environment,
                )


@pytest.fixture(scope="module")
def served(cookies_session: Cookies, template: Path, install: Callable[[str], Installed]) -> Iterator[Served]:
    """Bake, install, and serve a project."""
    answers = FIXED | {"project_name": "Studio Nord", "django_version": "5.2"}
    project = cookies_session.bake(extra_context=answers, template=str(template)).project_path
    (project / ".venv").symlink_to(install("5.2").path / ".venv")
    with serve(project, project / ".venv" / "bin" / "python") as site:
        yield site


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


def body_size(request: Request) -> int:
    return int(request.all_headers().get("content-length", "0"))


@pytest.fixture(scope="module")
def signed_in(served: Served, chromium: Browser) -> Any:
    """Return the cookies of anna, who can add and delete pictures."""
    context = chromium.new_context()
    sign_in(context.new_page(), served)
    cookies = context.storage_state()
    context.close()
    return cookies


@pytest.fixture
def page(served: Served, chromium: Browser, signed_in: Any) -> Iterator[Page]:
    """Return anna's form, with counts and faults reset."""
    context = chromium.new_context(viewport=DESKTOP, storage_state=signed_in)
    page = context.new_page()
    page.goto(f"{served.address}pictures/add/")  # waits until the modules have run
    served.proxy.clear()
    served.sent_to_django.clear()
    served.known += served.left()  # left by tests that closed the page early

    def count(request: Request) -> None:
        if request.method == "POST" and request.url.startswith(served.address):
            served.sent_to_django.append(body_size(request))

    page.on("requestfinished", count)
    yield page
    # Each test starts with an empty gallery.
    served.proxy.clear()
    context.close()
    served.database("DELETE FROM gallery_picture")


def sign_in(page: Page, served: Served, name: str = "anna") -> None:
    page.goto(f"{served.address}accounts/login/?next=/pictures/add/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/pictures/add/")


@pytest.fixture(scope="module")
def frames(chromium: Browser) -> bytes:
    """Return a video that Chromium recorded."""
    page = chromium.new_page()
    frames = page.evaluate(
        """async () => {
          const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 360 });
          const pen = canvas.getContext("2d");
          let frame = 0;
          const draw = () => {
            pen.fillStyle = "#f2c9a1";
            pen.fillRect(0, 0, 640, 360);
            pen.fillStyle = "#23395b";
            for (let x = 0; x < 640; x += 4) {
              const height = 110 + 30 * Math.sin((x + 6 * frame) / 60);
              pen.fillRect(x, 360 - height, 4, height);
            }
            frame += 1;
          };
          draw();
          const timer = setInterval(draw, 50);
          const parts = [];
          const recorder = new MediaRecorder(canvas.captureStream(20), { mimeType: "video/webm" });
          const enough = new Promise((resolve) => {
            recorder.ondataavailable = (event) => {
              if (event.data.size && parts.push(event.data) === 10) resolve();
            };
          });
          const stopped = new Promise((resolve) => (recorder.onstop = resolve));
          recorder.start(100);
          await enough; // a busy machine records fewer frames in a second
          recorder.stop();
          await stopped;
          clearInterval(timer);
          return [...new Uint8Array(await new Blob(parts).arrayBuffer())];
        }"""
    )
    page.close()
    data = bytes(frames)
    assert data.startswith(b"\x1a\x45\xdf\xa3")
    return data


def filled(path: Path, data: bytes, size: int) -> Path:
    """Write a video, followed by an EBML Void element with an eight-byte size."""
    filling = size - len(data) - 9
    path.write_bytes(data + b"\xec" + (2**56 + filling).to_bytes(8) + bytes(filling))
    return path


@pytest.fixture(scope="module")
def video(frames: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a playable video of two parts."""
    return filled(tmp_path_factory.mktemp("video") / "Harbour at dawn.webm", frames, SHORT)


def choose(page: Page, file: Path, words: str = "Ships leaving the harbour") -> None:
    page.get_by_label("Picture or video").set_input_files(file)
    page.get_by_label("Description").fill(words)


def start(page: Page) -> None:
    page.get_by_role("button", name="Add to the gallery").click()


def expect_added(page: Page, what: str = "video") -> None:
    expect(page.get_by_text(f"The {what} was added.")).to_be_visible()


@pytest.fixture
def hills(tmp_path: Path) -> Path:
    """Return a small picture."""
    file = tmp_path / "hills.png"
    file.write_bytes(picture(400, 300, ("#f2c9a1", "#23395b")))
    return file


def test_a_picture_goes_straight_to_s3(served: Served, page: Page, tmp_path: Path) -> None:
    file = tmp_path / "hills.png"
    file.write_bytes(picture(1600, 1000, ("#f2c9a1", "#23395b")))
    choose(page, file, "Hills in the evening")
    preview = page.locator("[data-preview] img")
    expect(preview).to_be_visible()
    assert preview.evaluate("image => image.naturalWidth") == 1600
    expect(page.locator(".s3kit-file[data-state=done]")).to_contain_text("hills.png")
    start(page)

    expect_added(page, "picture")
    shown = page.get_by_role("img", name="Hills in the evening")
    assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1600
    (sent,) = served.proxy.matching("PUT", PENDING)
    assert (sent.status, sent.size) == (200, file.stat().st_size)
    assert sum(served.sent_to_django) < SMALL
    assert served.left() == []


def test_a_video_goes_to_s3_in_parts_and_plays(
    served: Served, page: Page, frames: bytes, tmp_path: Path
) -> None:
    console = Console(page)
    held = Event()
    served.fault("PUT", r"partNumber=3", hold=held, times=1)
    choose(page, filled(tmp_path / "Harbour at dawn.webm", frames, LONG))
    served.proxy.wait_for_hanging()
    expect(page.get_by_role("progressbar", name="Harbour at dawn.webm")).to_be_visible()
    expect(page.locator(".s3kit-file")).to_contain_text(re.compile(r"of 40\sMB"))
    expect(page.locator("[data-preview] video")).to_be_visible()
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "sending.png")
    start(page)
    expect(page.get_by_text("The form will be submitted when all files have been sent.")).to_be_visible()
    page.screenshot(path=SCREENSHOTS / "waiting.png")
    held.set()

    expect_added(page)
    assert console.errors == []
    assert sorted(served.parts()) == [1, 2, 3]
    assert sum(r.size for r in served.proxy.matching("PUT", PARTS)) == LONG
    assert sum(served.sent_to_django) < SMALL
    # The final copy didn't go through the site either.
    assert sum(r.size for r in served.proxy.matching("PUT", r"/media/videos/")) == 0
    assert served.left() == []

    page.get_by_role("link", name="Video: Ships leaving the harbour").click()
    large = page.get_by_role("dialog").locator("video")
    expect(large).to_have_attribute("aria-label", "Ships leaving the harbour")
    assert large.evaluate("video => video.controls")
    played = "video => video.play().then(() => new Promise(done => video.ontimeupdate = () => done(video.videoWidth)))"
    assert large.evaluate(played) == 640
    page.screenshot(path=SCREENSHOTS / "video.png")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    wait_for_focus(page.get_by_role("link", name="Video: Ships leaving the harbour"))
    expect(page.locator("dialog video")).to_have_count(0)


def test_the_preview_shows_the_file_that_will_be_added(page: Page, video: Path, hills: Path) -> None:
    preview = page.locator("[data-preview]")
    choose(page, hills)
    expect(preview.locator("img")).to_be_visible()
    choose(page, video)
    expect(preview.locator("video")).to_be_visible()
    expect(preview.locator("img")).to_have_count(0)
    expect(page.locator(".s3kit-file")).to_have_count(1)
    page.get_by_role("button", name=re.compile("(Cancel|Remove) Harbour at dawn.webm")).click()
    expect(preview).to_be_empty()


def shorten_pauses(page: Page) -> None:
    """Load the page again, with a tenth of the script's pauses of 1, 2, 4, and 8 seconds before it sends again."""
    page.add_init_script(
        """const { setTimeout } = window;
        window.setTimeout = (code, ms, ...more) =>
            setTimeout(code, [1000, 2000, 4000, 8000].includes(ms) ? ms / 10 : ms, ...more);"""
    )
    page.reload()


def test_form_sends_the_file_if_s3_is_unreachable(served: Served, page: Page, video: Path) -> None:
    shorten_pauses(page)
    served.fault("PUT", PENDING, cut="reset")  # a firewall
    choose(page, video)
    expect(page.locator(".s3kit-note")).to_have_text("This file will be sent with the form.")
    expect(page.locator("[data-preview] video")).to_be_visible()
    start(page)

    expect_added(page)
    end = time.monotonic() + PATIENCE
    while sum(served.sent_to_django) <= video.stat().st_size:  # Playwright asks the browser for each size
        assert time.monotonic() < end, served.sent_to_django
        page.wait_for_timeout(50)


def test_unavailable_s3_is_reported_and_the_form_can_be_sent_again(
    served: Served, page: Page, hills: Path
) -> None:
    shorten_pauses(page)
    served.fault("", r"/(pending|media)/", status=503, code="SlowDown")
    choose(page, hills)
    expect(page.locator(".s3kit-note")).to_have_text("This file will be sent with the form.")
    start(page)
    expect(page.get_by_role("alert")).to_contain_text("The file could not be saved.")
    wait_for_focus(page.get_by_role("alert"))
    assert served.rows() == 0
    expect(page.get_by_label("Description")).to_have_value("Ships leaving the harbour")
    served.proxy.clear()
    choose(page, hills)
    start(page)
    expect_added(page, "picture")


def test_a_file_that_is_not_a_video_is_rejected_at_its_field(
    served: Served, page: Page, tmp_path: Path
) -> None:
    file = tmp_path / "notes.mp4"
    file.write_bytes(b"No video at all.")
    choose(page, file)
    note = page.locator(".s3kit-note")
    expect(note).to_contain_text("This file is not a video that every browser can play.")
    expect(page.get_by_label("Picture or video")).to_have_attribute("aria-invalid", "true")
    start(page)
    wait_for_focus(note)
    page.screenshot(path=SCREENSHOTS / "rejected-video.png")
    assert served.left() == []


# Without scripts


def test_form_without_javascript_accepts_videos(served: Served, chromium: Browser, video: Path) -> None:
    served.proxy.clear()
    context = chromium.new_context(viewport=DESKTOP, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{served.address}accounts/login/?next=/pictures/add/")
    page.get_by_label("Username").fill("anna")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    choose(page, video, "The sea")
    page.get_by_role("button", name="Add to the gallery").click()

    expect_added(page)
    link = page.get_by_role("link", name="Video: The sea")
    expect(link).to_have_count(1)
    assert "/media/videos/Harbour_at_dawn-" in (link.get_attribute("href") or "")
    assert served.proxy.count("", PENDING) == 0
    page.get_by_role("link", name=re.compile("Delete ?: The sea")).click()
    page.get_by_role("button", name="Delete the video").click()
    expect(page.get_by_text("The video was deleted.")).to_be_visible()
    context.close()
