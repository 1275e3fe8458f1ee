"""Uploads straight to S3 in a real browser: where the bytes go, and what happens when the line is cut.

A project is baked, installed and served by gunicorn with debug off. Between it, or the browser, and the
local S3 server stands the fault proxy of the library's tests, which counts what comes and answers as told.
"""

import importlib.util
import re
import sqlite3
import sys
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
from tests.browser import DESKTOP, SCREENSHOTS, browser, picture, wait_for_focus
from tests.installed import Installed
from tests.machine import free_port, read_when_up, run, running

pytestmark = pytest.mark.slow

PASSWORD = "a-password-for-this-test"
# A part has 16 MiB: the short film has two of them, the second of 4, and the long one three.
SHORT, LONG = 20 * 2**20, 40 * 2**20
PENDING = r"/pending/"
PARTS = r"partNumber="
STALLED = 31_000  # ms: more than the script's patience


@dataclass
class Served:
    """A running site, the proxy before its S3, and the sizes of what browsers have sent to Django."""

    address: str
    s3: str
    proxy: Any
    Fault: Any
    python: Path
    project: Path
    environment: dict[str, str]
    sent_to_django: list[int] = field(default_factory=list)

    def fault(self, method: str, path: str, **what: Any) -> Any:
        """Let requests go wrong, until the test ends."""
        made = self.Fault(method, path, **what)
        self.proxy.faults.append(made)
        return made

    def parts(self) -> list[int]:
        """Return the numbers of the parts that S3 has taken, in the order of the answers."""
        taken = [r for r in self.proxy.matching("PUT", PARTS) if r.status == 200]
        return [int(re.search(r"partNumber=(\d+)", r.path)[1]) for r in taken]

    def database(self, statement: str) -> Any:
        """Run a statement of SQL beside the site, and return the first value that it yields."""
        with closing(sqlite3.connect(self.project / "db.sqlite3", timeout=30)) as connection, connection:
            row = connection.execute(statement).fetchone()
            return row[0] if row else None

    def rows(self) -> int:
        """Return how many pictures and films there are."""
        return int(self.database("SELECT COUNT(*) FROM gallery_picture"))

    def shell(self, code: str) -> None:
        """Run Python in the project, with its settings."""
        run(self.python, "manage.py", "shell", "-c", code, cwd=self.project, **self.environment)

    def left(self) -> list[str]:
        """Return the keys outside of the media: of objects that wait, and of unfinished uploads."""
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
        return [found["Key"] for found in [*objects, *uploads]]


def load(path: Path) -> ModuleType:
    """Return a module of the library's tests, whose package has the name of these."""
    spec = importlib.util.spec_from_file_location(f"library_{path.stem}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@contextmanager
def serve(project: Path, python: Path) -> Iterator[Served]:
    """Run a project on a local S3 server behind a fault proxy; anna and bert may add and delete."""
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
    """Bake, install and serve a project."""
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
    """Return the cookies of anna, who may add and delete."""
    context = chromium.new_context()
    sign_in(context.new_page(), served)
    cookies = context.storage_state()
    context.close()
    return cookies


@pytest.fixture
def page(served: Served, chromium: Browser, signed_in: Any) -> Iterator[Page]:
    """Return anna's form; nothing is counted or goes wrong yet."""
    context = chromium.new_context(viewport=DESKTOP, storage_state=signed_in)
    page = context.new_page()
    page.goto(f"{served.address}pictures/add/")  # returns when the modules have run
    served.proxy.clear()
    served.sent_to_django.clear()

    def count(request: Request) -> None:
        if request.method == "POST" and request.url.startswith(served.address):
            served.sent_to_django.append(body_size(request))

    page.on("requestfinished", count)
    yield page
    # A gallery that is empty again: each test counts its own.
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
    """Return a film that Chromium has recorded."""
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
          recorder.ondataavailable = (event) => parts.push(event.data);
          const stopped = new Promise((resolve) => (recorder.onstop = resolve));
          recorder.start();
          await new Promise((resolve) => setTimeout(resolve, 1500));
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
    """Write a film and, behind it, EBML's element for filling, whose size is written in eight bytes."""
    filling = size - len(data) - 9
    path.write_bytes(data + b"\xec" + (2**56 + filling).to_bytes(8) + bytes(filling))
    return path


@pytest.fixture(scope="module")
def film(frames: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a film of two parts that plays."""
    return filled(tmp_path_factory.mktemp("film") / "Harbour at dawn.webm", frames, SHORT)


def choose(page: Page, file: Path, words: str = "Ships leaving the harbour") -> None:
    page.get_by_label("Picture or film").set_input_files(file)
    page.get_by_label("Description").fill(words)


def start(page: Page) -> None:
    page.get_by_role("button", name="Add to the gallery").click()


def expect_added(page: Page, what: str = "film") -> None:
    expect(page.get_by_text(f"The {what} was added.")).to_be_visible(timeout=60_000)


def expect_alert(page: Page, text: str, **options: Any) -> None:
    expect(page.get_by_role("alert")).to_contain_text(text, **options)


# Where the bytes go


def test_a_picture_goes_straight_to_s3(served: Served, page: Page, tmp_path: Path) -> None:
    file = tmp_path / "hills.png"
    file.write_bytes(picture(1600, 1000, ("#f2c9a1", "#23395b")))
    choose(page, file, "Hills in the evening")
    start(page)

    expect_added(page, "picture")
    shown = page.get_by_role("img", name="Hills in the evening")
    assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1600
    (sent,) = served.proxy.matching("PUT", PENDING)
    assert (sent.status, sent.size) == (200, file.stat().st_size)
    assert sum(served.sent_to_django) < 2000
    assert served.left() == []


def test_a_film_goes_to_s3_in_parts_and_plays(
    served: Served, page: Page, frames: bytes, tmp_path: Path
) -> None:
    page.evaluate(
        """() => {
          window.said = [];
          const note = () => window.said.push(document.querySelector("[data-status]").textContent);
          new MutationObserver(note).observe(document.querySelector("[data-status]"), { childList: true });
        }"""
    )
    held = Event()
    served.fault("PUT", r"partNumber=3", hold=held, times=1)
    choose(page, filled(tmp_path / "Harbour at dawn.webm", frames, LONG))
    start(page)
    served.proxy.wait_for_hanging()
    expect(page.get_by_role("progressbar", name="Upload")).to_be_visible()
    expect(page.locator("[data-figures]")).to_contain_text("of 40.0 MB")
    wait_for_focus(page.get_by_role("button", name="Cancel the upload"))
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "sending.png")
    said = page.evaluate("window.said")
    held.set()

    expect_added(page)
    assert all(re.fullmatch(r"(Sending: (0|20|40|60|80|100) %)?", words) for words in said)
    assert len(said) < 20
    assert sorted(served.parts()) == [1, 2, 3]
    assert sum(r.size for r in served.proxy.matching("PUT", PARTS)) == LONG
    assert sum(served.sent_to_django) < 2000
    # Nothing of it came through the site on its way to its place either.
    assert sum(r.size for r in served.proxy.matching("PUT", r"/media/films/")) == 0
    assert served.left() == []

    page.get_by_role("link", name="Film: Ships leaving the harbour").click()
    large = page.get_by_role("dialog").locator("video")
    expect(large).to_have_attribute("aria-label", "Ships leaving the harbour")
    assert large.evaluate("film => film.controls")
    played = (
        "film => film.play().then(() => new Promise(done => film.ontimeupdate = () => done(film.videoWidth)))"
    )
    assert large.evaluate(played) == 640
    page.screenshot(path=SCREENSHOTS / "film.png")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    wait_for_focus(page.get_by_role("link", name="Film: Ships leaving the harbour"))
    expect(page.locator("dialog video")).to_have_count(0)


# What is cut goes on


# Chromium itself sends three times again what breaks off without an answer.
@pytest.mark.parametrize(
    "trouble",
    [
        {"cut": "before", "times": 4},
        {"cut": "middle", "times": 4},
        {"cut": "after", "times": 4},
        {"cut": "reset", "times": 4},
        {"status": 503, "code": "SlowDown", "times": 2},
    ],
    ids=["cut", "cut-in-the-middle", "answer-lost", "reset", "503"],
)
def test_a_part_that_fails_is_sent_again(
    served: Served, page: Page, film: Path, trouble: dict[str, Any]
) -> None:
    fault = served.fault("PUT", r"partNumber=2", **trouble)
    choose(page, film)
    start(page)

    expect_added(page)
    assert fault.struck == trouble["times"]
    assert set(served.parts()) == {1, 2}
    assert served.rows() == 1
    assert served.left() == []


# Keeps all that the page says, because the next message can follow within a second.
LISTEN = """() => {
  window.said = [];
  const status = document.querySelector("[data-status]");
  const changes = {childList: true, characterData: true, subtree: true};
  new MutationObserver(() => said.push(status.textContent)).observe(status, changes);
}"""


def test_a_part_that_hangs_is_sent_again(served: Served, page: Page, film: Path) -> None:
    page.clock.install()
    held = Event()
    served.fault("PUT", r"partNumber=2", hold=held, times=2)  # or the page is left before all is seen
    choose(page, film)
    page.evaluate(LISTEN)
    start(page)
    served.proxy.wait_for_hanging()
    served.proxy.wait_for(1, "PUT", PARTS)
    page.clock.fast_forward(STALLED)
    page.wait_for_function("said.includes('The connection was lost. Trying again.')")
    page.clock.fast_forward(2_000)
    held.set()

    expect_added(page)
    assert sorted(set(served.parts())) == [1, 2]
    assert served.parts().count(1) == 1


def test_offline_waits_for_the_line(served: Served, page: Page, film: Path) -> None:
    held = Event()
    served.fault("PUT", r"partNumber=2", hold=held, times=1)
    choose(page, film)
    start(page)
    served.proxy.wait_for_hanging()
    page.context.set_offline(True)
    held.set()
    expect(page.get_by_text("You are offline. Sending goes on as soon as you are back.")).to_be_visible()
    page.context.set_offline(False)

    expect_added(page)


def stopped(served: Served, page: Page, film: Path) -> None:
    """Send a film whose second part fails for good, and wait for the end of all attempts."""
    page.clock.install()
    fault = served.fault("PUT", r"partNumber=2", status=503, code="SlowDown")
    choose(page, film)
    start(page)
    seen = 0
    while not page.get_by_role("button", name="Try again").is_visible():
        page.wait_for_timeout(100)
        if fault.struck > seen:  # else it is on its way
            seen = fault.struck
            page.wait_for_timeout(200)
            page.clock.fast_forward(8_500)
    assert fault.struck == 5
    served.proxy.wait_for(1 + 5, "PUT", PARTS)
    served.proxy.clear()


def test_after_several_attempts_it_can_be_gone_on_with(served: Served, page: Page, film: Path) -> None:
    stopped(served, page, film)
    expect_alert(page, "Nothing is lost: “Try again” goes on where it was.")
    wait_for_focus(page.get_by_role("alert"))
    expect(page.get_by_label("Description")).to_have_value("Ships leaving the harbour")
    page.screenshot(path=SCREENSHOTS / "try-again.png")
    page.get_by_role("button", name="Try again").click()

    expect_added(page)
    assert served.parts() == [2]


def test_after_a_reload_the_same_file_goes_on_where_it_was(served: Served, page: Page, film: Path) -> None:
    stopped(served, page, film)
    page.reload()
    choose(page, film)
    expect(
        page.get_by_text("A part of this file has been sent before. Sending goes on from there.")
    ).to_be_visible()
    start(page)

    expect_added(page)
    assert served.parts() == [2]
    assert served.left() == []


@pytest.fixture
def hills(tmp_path: Path) -> Path:
    """Return a small picture."""
    file = tmp_path / "hills.png"
    file.write_bytes(picture(400, 300, ("#f2c9a1", "#23395b")))
    return file


@pytest.mark.parametrize("instead", ["nothing", "a load balancer's own answer"])
def test_a_lost_answer_adds_no_second_row(served: Served, page: Page, hills: Path, instead: str) -> None:
    """The browser is not told that the picture was added, and asks again."""
    lost = []

    def lose(route: Any) -> None:
        if route.request.method != "POST" or lost:
            route.continue_()
            return
        lost.append(route.fetch().status)
        if instead == "nothing":
            route.abort()
        else:
            route.fulfill(status=504, content_type="text/html", body="<h1>504 Gateway Time-out</h1>")

    page.route("**/pictures/add/", lose)
    choose(page, hills)
    start(page)

    page.wait_for_url(served.address, timeout=60_000)
    assert lost == [200]
    assert served.rows() == 1
    assert served.left() == []


def test_completions_at_once_make_one_row(served: Served, page: Page, hills: Path) -> None:
    def four_times(route: Any) -> None:
        if route.request.method != "POST":
            route.continue_()
            return
        statuses = page_of_four.evaluate(
            """([url, body, token]) => Promise.all([1, 2, 3, 4].map(() =>
                 fetch(url, { method: "POST", body, headers: {
                   "Content-Type": "application/x-www-form-urlencoded", "X-CSRFToken": token,
                   "Accept": "application/json" } }).then((answer) => answer.status)))""",
            [route.request.url, route.request.post_data, route.request.headers["x-csrftoken"]],
        )
        answers.extend(statuses)
        route.continue_()

    answers: list[int] = []
    page_of_four = page.context.new_page()
    page_of_four.goto(served.address)
    page.route("**/pictures/add/", four_times)
    choose(page, hills)
    start(page)

    page.wait_for_url(served.address, timeout=60_000)
    assert sorted(answers) == [200, 409, 409, 409]
    assert served.rows() == 1


# What ends it


def test_cancel_leaves_nothing_behind(served: Served, page: Page, film: Path) -> None:
    held = Event()
    served.fault("PUT", r"partNumber=2", hold=held)
    choose(page, film)
    start(page)
    served.proxy.wait_for_hanging()
    served.proxy.wait_for(1, "PUT", PARTS)
    with page.expect_response("**/cancel/") as answer:
        page.get_by_role("button", name="Cancel the upload").click()
    expect_alert(page, "Cancelled. Nothing was added.")
    assert answer.value.status == 200
    held.set()
    served.proxy.wait_for(2, "PUT", PARTS)

    assert served.left() == []
    assert served.rows() == 0
    # The form is as it was, and the same file can be sent anew.
    served.proxy.clear()
    start(page)
    expect_added(page)
    assert sorted(served.parts()) == [1, 2]


def test_leaving_the_page_during_an_upload_is_asked_about(served: Served, page: Page, film: Path) -> None:
    held = Event()
    served.fault("PUT", r"partNumber=2", hold=held)
    asked: list[str] = []

    def stay(dialog: Any) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    choose(page, film)
    start(page)
    served.proxy.wait_for_hanging()
    page.evaluate("location.assign('/')")
    expect(page.get_by_role("button", name="Cancel the upload")).to_be_visible()
    page.get_by_role("button", name="Cancel the upload").click()
    held.set()
    expect_alert(page, "Cancelled.")
    page.goto(served.address)  # nothing is asked now
    assert asked == ["beforeunload"]


# Stores that take nothing from browsers


def test_a_store_without_forms_takes_pictures(served: Served, page: Page, hills: Path) -> None:
    """R2 and B2 have no POST Object."""
    served.fault("POST", r"^/[^/?]+/?$", status=501, code="NotImplemented")
    choose(page, hills)
    start(page)

    expect_added(page, "picture")
    assert sum(served.sent_to_django) < 2000
    assert served.left() == []


BARRED = {
    "no cross-origin requests": {
        "method": "OPTIONS",
        "path": PENDING,
        "status": 403,
        "code": "AccessForbidden",
    },
    "no signed links": {"method": "PUT", "path": PENDING, "status": 501, "code": "NotImplemented"},
    "no right": {"method": "PUT", "path": PENDING, "status": 403, "code": "AccessDenied"},
    "a firewall": {"method": "PUT", "path": PENDING, "cut": "reset"},
}


@pytest.mark.parametrize("what", ["picture", "film"])
@pytest.mark.parametrize("case", BARRED)
def test_where_s3_takes_nothing_the_form_goes_to_the_site(
    served: Served, page: Page, hills: Path, film: Path, case: str, what: str
) -> None:
    fault = served.fault(**BARRED[case])
    choose(page, film if what == "film" else hills)
    start(page)

    expect_added(page, what)
    assert fault.struck
    assert served.rows() == 1
    assert sum(served.sent_to_django) > (film if what == "film" else hills).stat().st_size
    assert [r.path for r in served.proxy.matching("PUT", PENDING) if r.status == 200] == []
    assert served.database("SELECT COUNT(*) FROM s3kit_uploads_ticket WHERE state = 'open'") == 0
    assert served.left() == []


def test_a_film_that_only_s3_could_take_is_told_so(
    served: Served, page: Page, frames: bytes, tmp_path: Path
) -> None:
    served.fault("PUT", PENDING, status=501, code="NotImplemented")
    choose(page, filled(tmp_path / "Long.webm", frames, 101 * 2**20))
    start(page)

    expect_alert(page, "Your browser can't reach the file store", timeout=60_000)
    expect_alert(page, "the limit is 100.0 MB.")
    assert served.rows() == 0
    assert sum(served.sent_to_django) < 2000


# What is said


REJECTED = {
    "a text named film": (
        "notes.mp4",
        b"No film at all.",
        "This file is not a film that every browser plays.",
    ),
    "another kind": ("a.mov", b"\0\0\0\x14ftypqt  ", "Files of this type are not accepted."),
    "no picture": ("a.png", b"<script>alert(1)</script>", "This file is not a picture we can show."),
    "damaged": (
        "a.png",
        picture(300, 200, ("#cfe8ef", "#0b3954"))[:1500],
        "This picture is damaged or incomplete.",
    ),
    "empty": ("a.webm", b"", "This file is empty."),
}


@pytest.mark.parametrize("case", REJECTED)
def test_what_is_no_good_is_said_at_its_field(
    served: Served, page: Page, tmp_path: Path, hills: Path, case: str
) -> None:
    name, data, message = REJECTED[case]
    file = tmp_path / name
    file.write_bytes(data)
    choose(page, file)
    start(page)

    field = page.get_by_label("Picture or film")
    expect(field).to_have_attribute("aria-invalid", "true")
    wait_for_focus(field)
    expect(page.locator("#id_file_error")).to_contain_text(message)
    expect_alert(page, "Nothing was added yet.")
    page.screenshot(path=SCREENSHOTS / "rejected-film.png")
    assert served.left() == []
    # The next file is not reproached with it.
    choose(page, hills)
    expect(page.locator("#id_file_error")).to_have_count(0)
    start(page)
    expect_added(page, "picture")


def test_a_film_beyond_the_limit_is_not_even_begun(served: Served, page: Page, tmp_path: Path) -> None:
    file = tmp_path / "long.mp4"
    with file.open("wb") as sparse:
        sparse.truncate(5 * 2**30 + 1)
    choose(page, file)
    start(page)

    expect(page.locator("#id_file_error")).to_contain_text("The limit is 5.00 GB.")
    assert served.sent_to_django == []


def test_too_many_uploads_are_told_when_to_come_back(served: Served, page: Page, film: Path) -> None:
    served.shell(
        "from django.utils import timezone; from s3kit.uploads.models import Ticket; from users.models import User\n"
        "user = User.objects.get(username='anna')\n"
        "Ticket.objects.bulk_create(Ticket(user=user, kind='x', name='x', content_type='x', size=1,"
        " state='accepted', expires_at=timezone.now()) for _ in range(100))"
    )
    try:
        choose(page, film)
        start(page)
        expect_alert(page, "You have started 100 uploads within an hour. Please try again in")
        expect(page.get_by_role("button", name="Try again")).to_be_visible()
    finally:
        served.database("DELETE FROM s3kit_uploads_ticket")


def test_an_s3_that_is_down_is_said(served: Served, page: Page, hills: Path) -> None:
    served.fault("", r"/pending/", status=503, code="SlowDown")
    choose(page, hills)
    start(page)

    expect_alert(page, "The file store is not responding.", timeout=30_000)
    served.proxy.clear()
    page.get_by_role("button", name="Try again").click()
    expect_added(page, "picture")


def test_who_is_signed_out_signs_in_again_and_loses_nothing(served: Served, page: Page, hills: Path) -> None:
    choose(page, hills)
    page.context.clear_cookies(name="sessionid")
    start(page)
    expect_alert(page, "You are logged out.")
    sign_in(page.context.new_page(), served)  # which changes the token of all forms
    page.get_by_role("button", name="Try again").click()

    expect_added(page, "picture")


def test_who_may_no_longer_add_is_told(served: Served, page: Page, hills: Path) -> None:
    change = "UPDATE auth_permission SET codename = '{}' WHERE codename = '{}'"
    served.database(change.format("gone", "add_picture"))
    try:
        choose(page, hills)
        start(page)
        expect_alert(page, "You are not allowed to add files, or this page is too old.")
    finally:
        served.database(change.format("add_picture", "gone"))


def test_a_ticket_whose_time_is_over_is_begun_anew(served: Served, page: Page, film: Path) -> None:
    stopped(served, page, film)
    served.database("UPDATE s3kit_uploads_ticket SET expires_at = '2020-01-01 00:00:00'")
    page.get_by_role("button", name="Try again").click()

    expect_added(page)
    assert sorted(served.parts()) == [1, 2]


def test_links_that_have_run_out_are_asked_for_anew(served: Served, page: Page, film: Path) -> None:
    fault = served.fault("PUT", r"partNumber=1", status=403, code="AccessDenied", times=1)
    choose(page, film)
    start(page)

    expect_added(page)
    assert fault.struck == 1
    assert len(served.proxy.matching("POST", r"uploads$")) == 1


def test_somebody_elses_upload_is_not_gone_on_with(served: Served, page: Page, film: Path) -> None:
    """Two users share a browser, and its memory."""
    stopped(served, page, film)
    page.context.clear_cookies()
    sign_in(page, served, "bert")
    choose(page, film)
    start(page)

    expect_added(page)
    assert sorted(served.parts()) == [1, 2]


# Without scripts


def test_without_scripts_the_plain_form_takes_films(served: Served, chromium: Browser, film: Path) -> None:
    served.proxy.clear()
    context = chromium.new_context(viewport=DESKTOP, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{served.address}accounts/login/?next=/pictures/add/")
    page.get_by_label("Username").fill("anna")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    choose(page, film, "The sea")
    page.get_by_role("button", name="Add to the gallery").click()

    expect_added(page)
    link = page.get_by_role("link", name="Film: The sea")
    expect(link).to_have_count(1)
    assert "/media/films/Harbour_at_dawn-" in (link.get_attribute("href") or "")
    assert served.proxy.count("", PENDING) == 0
    page.get_by_role("link", name=re.compile("Delete ?: The sea")).click()
    page.get_by_role("button", name="Delete the film").click()
    expect(page.get_by_text("The film was deleted.")).to_be_visible()
    context.close()
