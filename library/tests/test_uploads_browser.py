"""DirectFileField's script in Chromium: where the bytes go, and how it handles errors."""

import hashlib
import itertools
import json
import random
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Request, Route, expect

import s3kit
from s3kit.local.server import LocalServer
from tests.fault_proxy import Fault, FaultProxy
from tests.ministack import new_user
from tests.processes import started, until

pytestmark = pytest.mark.slow

KIB = 2**10
PART = 256 * KIB  # as in tests.upload_site
SIZE = 700 * KIB  # for a video: three parts
PENDING, PARTS = r"/pending/", r"partNumber="
STALLED = 31_000  # ms: longer than the script's timeout
BUCKET = "uploads-in-a-browser"
EVERYTHING = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}],
}
numbers = itertools.count()


@dataclass
class Site:
    """A running site, the proxy in front of its S3 server, and the sizes of posted forms."""

    address: str
    proxy: FaultProxy
    store: LocalServer
    path: Path
    forms: list[int] = field(default_factory=list)

    def fault(self, method: str, path: str, **what: Any) -> Fault:
        """Make requests fail until the test ends."""
        made = Fault(method, path, **what)
        self.proxy.faults.append(made)
        return made

    def held(self, path: str = "partNumber=2&", times: int | None = None) -> Event:
        """Make a part hang until the event is set."""
        event = Event()
        self.fault("PUT", path, hold=event, times=times)
        return event

    def parts(self) -> list[int]:
        """Return the numbers of the parts that S3 accepted, in the order of its responses."""
        taken = [each for each in self.proxy.matching("PUT", PARTS) if each.status == 200]
        return [int(re.findall(r"partNumber=(\d+)", each.path)[0]) for each in taken]

    def database(self, statement: str) -> Any:
        """Run an SQL statement on the site's database, and return the first value."""
        with closing(sqlite3.connect(self.path, timeout=30)) as connection, connection:
            row = connection.execute(statement).fetchone()
            return row[0] if row else None

    def posted(self, page: Page) -> int:
        """Return the size of the posted form, which Playwright reports some time after the response."""
        until(lambda: page.wait_for_timeout(10) or self.forms)
        return sum(self.forms)

    def left(self) -> list[str]:
        """Return the keys of all files without a row, and of unfinished uploads."""
        root = self.store.client()
        with closing(sqlite3.connect(self.path, timeout=30)) as connection:
            rows = {f"media/{name}" for (name,) in connection.execute("SELECT file FROM shop_video")}
        objects = [each["Key"] for each in root.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
        uploads = [each["Key"] for each in root.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]
        return [key for key in [*objects, *uploads] if key not in rows]


@pytest.fixture(scope="module")
def site(store: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    # Not root, because the local server also checks the signatures of preflights for root's links.
    key = new_user(store, EVERYTHING)
    with FaultProxy(store.endpoint) as proxy:
        environment = {
            "TEST_FOLDER": str(folder),
            "AWS_S3_ENDPOINT_URL": proxy.endpoint,
            "MEDIA_BUCKET": BUCKET,
            "AWS_ACCESS_KEY_ID": key.id,
            "AWS_SECRET_ACCESS_KEY": key.secret,
            "PYTHONPATH": str(Path(s3kit.__file__).parents[1]),
        }
        command = [sys.executable, "-m", "tests.upload_site"]
        with started(command=command, **environment) as process:
            address = process.wait_for(r"Serving at (\S+)\.")[1]
            yield Site(address, proxy, store, folder / "db.sqlite3")


@pytest.fixture(scope="module")
def logged_in(site: Site, browser: Browser) -> Any:
    """Return the cookies of anna."""
    context = browser.new_context()
    context.new_page().goto(f"{site.address}/in/anna/")
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def context(site: Site, browser: Browser, logged_in: Any) -> Iterator[BrowserContext]:
    """Return anna's browser, and fail if something violates the Content-Security-Policy or raises an error."""
    context = browser.new_context(storage_state=logged_in)
    wrong: list[str] = []
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    context.on("console", lambda said: "Content Security" in said.text and wrong.append(said.text))

    def count(request: Request) -> None:
        if request.method == "POST" and "/uploads/" not in request.url:
            site.forms.append(int(request.all_headers().get("content-length", "0")))

    context.on("requestfinished", count)
    site.proxy.clear()
    site.forms.clear()
    yield context
    site.proxy.clear()
    context.close()
    site.database("DELETE FROM shop_video")
    site.database("DELETE FROM s3kit_uploads_ticket")
    root = site.store.client()
    for each in root.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        root.delete_object(Bucket=BUCKET, Key=each["Key"])
    for each in root.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
        root.abort_multipart_upload(Bucket=BUCKET, Key=each["Key"], UploadId=each["UploadId"])
    assert wrong == []


@pytest.fixture
def page(site: Site, context: BrowserContext) -> Page:
    """Return a form for one video, with its title."""
    return opened(site, context, "one")


def opened(site: Site, context: BrowserContext, name: str) -> Page:
    page = context.new_page()
    page.goto(f"{site.address}/{name}/")
    if page.get_by_label("Title").is_visible():
        page.get_by_label("Title").fill("Lake")
    return page


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that creates a unique file with a given beginning."""

    def make(size: int = SIZE, name: str = "Lake.bin", begins: bytes = b"") -> Path:
        path = tmp_path / name
        path.write_bytes((begins + random.Random(next(numbers)).randbytes(size))[:size])
        return path

    return make


MakeFile = Callable[..., Path]


def choose(page: Page, *files: Path, label: str = "File") -> None:
    page.get_by_label(label).set_input_files(list(files))


def row(page: Page, name: str = "Lake.bin") -> Locator:
    return page.locator(".s3kit-file", has_text=name)


def expect_state(page: Page, state: str, name: str = "Lake.bin") -> None:
    expect(row(page, name)).to_have_attribute("data-state", state)


def finished(page: Page, url: str) -> Any:
    """Wait, at the end of a `with` block, for the response to a request that begins in it."""
    return page.expect_request_finished(lambda request: url in request.url and request.method == "PUT")


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name)


def save(page: Page, name: str = "_save") -> list[list[Any]]:
    """Submit the form, wait until it is saved, and return each file's title, name, size, and digest."""
    page.locator(f"button[name={name}]").click(no_wait_after=True)
    return saved(page)


def saved(page: Page) -> list[list[Any]]:
    page.wait_for_url("**/saved/**")
    found: list[list[Any]] = json.loads(page.inner_text("pre"))
    return found


def told(path: Path, title: str = "Lake") -> list[Any]:
    """Return the expected result of `save` for a file."""
    content = path.read_bytes()
    return [title, path.stem.replace(" ", "_"), len(content), hashlib.sha256(content).hexdigest()]


# Where the bytes go


def test_file_is_sent_to_s3_as_soon_as_it_is_chosen(site: Site, page: Page, file: MakeFile) -> None:
    lake = file()
    assert page.get_by_label("File").evaluate("input => input.required")
    choose(page, lake)
    expect_state(page, "done")
    assert sorted(site.parts()) == [1, 2, 3]
    assert sum(each.size for each in site.proxy.matching("PUT", PARTS)) == SIZE
    assert page.get_by_label("File").evaluate("input => [input.required, input.files.length]") == [False, 0]
    expect(row(page)).to_contain_text("700 kB")
    assert save(page) == [told(lake)]
    assert site.posted(page) < 2000
    assert site.left() == []


SAID = """() => {
  window.said = [];
  const live = document.querySelector(".s3kit-live");
  new MutationObserver(() => said.push(live.textContent)).observe(live, { childList: true });
}"""


def test_progress_is_displayed_and_announced_in_steps(site: Site, page: Page, file: MakeFile) -> None:
    page.evaluate(SAID)
    event = site.held("partNumber=3&")
    choose(page, file())
    site.proxy.wait_for(2, "PUT", PARTS)
    bar = page.get_by_role("progressbar", name="Lake.bin")
    expect(bar).to_be_visible()
    expect(bar).not_to_have_js_property("value", 0)
    expect(row(page)).to_contain_text("of 700 kB")
    event.set()
    expect_state(page, "done")
    expect(bar).to_be_hidden()
    said = page.evaluate("said")
    assert said[-1] == "Lake.bin: Sent"
    assert all(re.fullmatch(r"Lake\.bin: (0%|25%|50%|75%|100%) sent|", each) for each in said[:-1])
    assert len(said) == len(set(said)) > 1


def test_only_the_interrupted_part_is_sent_again(site: Site, page: Page, file: MakeFile) -> None:
    fault = site.fault("PUT", "partNumber=2&", cut="reset", times=1)
    lake = file()
    choose(page, lake)
    expect_state(page, "done")
    assert fault.struck == 1
    assert sorted(site.parts()) == [1, 2, 3]
    assert sum(each.size for each in site.proxy.matching("PUT", PARTS)) == SIZE + PART
    assert save(page) == [told(lake)]


def test_stalled_part_is_sent_again(site: Site, page: Page, file: MakeFile) -> None:
    page.clock.install()
    page.evaluate(SAID)
    event = site.held(times=1)
    # The others must have ended in the browser too, which would otherwise abort them.
    with finished(page, "partNumber=1&"), finished(page, "partNumber=3&"):
        choose(page, file())
    site.proxy.wait_for_hanging()
    page.clock.fast_forward(STALLED)
    # The row says so only until the next attempt.
    until(lambda: "Lake.bin: The connection was lost. Trying again." in page.evaluate("said"))
    page.clock.fast_forward(2_000)
    expect_state(page, "done")
    event.set()
    assert sorted(site.parts()) in ([1, 2, 3], [1, 2, 2, 3])


def test_offline_upload_waits_for_the_network(site: Site, page: Page, file: MakeFile) -> None:
    event = site.held(times=1)
    choose(page, file())
    site.proxy.wait_for_hanging()
    page.context.set_offline(True)
    event.set()  # The response doesn't arrive.
    expect(row(page)).to_contain_text("You are offline.")
    page.context.set_offline(False)
    expect_state(page, "done")


def test_expired_links_are_replaced(site: Site, page: Page, file: MakeFile) -> None:
    fault = site.fault("PUT", "partNumber=1&", status=403, code="AccessDenied", times=1)
    choose(page, file())
    expect_state(page, "done")
    assert fault.struck == 1
    assert sorted(site.parts()) == [1, 2, 3]


LOST: dict[str, dict[str, Any]] = {
    "no response": {},
    "a 504 response from a load balancer": {"status": 504, "body": "<h1>504 Gateway Time-out</h1>"},
    "a response while the upload is in progress": {
        "status": 409,
        "headers": {"Retry-After": "1"},
        "json": {"error": {"code": "in_progress", "message": "This upload is being checked."}},
    },
}


@pytest.mark.parametrize("instead", LOST)
@pytest.mark.parametrize("step", ["/uploads/", "/finish/"])
def test_request_without_a_usable_response_is_retried(
    site: Site, page: Page, file: MakeFile, step: str, instead: str
) -> None:
    lost: list[int] = []

    def lose(route: Route) -> None:
        if lost or route.request.method != "POST":
            route.continue_()
            return
        lost.append(route.fetch().status)
        if LOST[instead]:
            route.fulfill(**LOST[instead])
        else:
            route.abort()

    page.route(f"**{step}", lose)
    choose(page, lake := file(20 * KIB))
    expect_state(page, "done")
    assert lost in ([200], [201])
    assert save(page) == [told(lake)]
    assert len(site.left()) == 0


def test_file_changed_during_the_upload_is_not_sent(site: Site, page: Page, file: MakeFile) -> None:
    event = Event()
    site.fault("PUT", "partNumber=2&", hold=event, cut="reset", times=1)
    choose(page, lake := file())
    site.proxy.wait_for_hanging()
    lake.write_bytes(b"something else")
    event.set()
    expect(row(page)).to_contain_text("This file can't be read. It may have been changed or moved.")
    choose(page, lake)
    expect_state(page, "done")
    assert save(page) == [told(lake)]


def exhausted(page: Page, fault: Fault) -> None:
    """Let time pass until the script gives up."""
    seen = 0
    while not page.locator("[data-state=failed], [data-state=form], [data-state=done]").count():
        page.wait_for_timeout(50)
        if fault.struck > seen:  # otherwise, it is in progress
            seen = fault.struck
            page.wait_for_timeout(50)
            page.clock.fast_forward(8_500)


def test_failed_upload_can_be_continued_with_try_again(site: Site, page: Page, file: MakeFile) -> None:
    page.clock.install()
    fault = site.fault("PUT", "partNumber=2&", status=503, code="SlowDown")
    with finished(page, "partNumber=1&"), finished(page, "partNumber=3&"):
        choose(page, lake := file())
    exhausted(page, fault)
    expect(row(page)).to_contain_text("“Try again” continues where it stopped.")
    site.proxy.clear()
    button(page, "Try again").click()
    expect_state(page, "done")
    assert site.parts() == [2]
    assert save(page) == [told(lake)]


def test_many_files_are_sent_and_saved(site: Site, context: BrowserContext, file: MakeFile) -> None:
    page = opened(site, context, "many")
    files = [file(20 * KIB, f"Video {number}.bin") for number in range(20)]
    choose(page, *files, label="Files")
    expect(page.locator(".s3kit-file")).to_have_count(20)
    expect(page.locator("[data-state=done]")).to_have_count(20)
    assert save(page) == [told(each, f"Lake {number}") for number, each in enumerate(files)]
    assert site.left() == []


COUNT = """() => {
  const { open, send } = XMLHttpRequest.prototype;
  let now = 0;
  window.most = 0;
  XMLHttpRequest.prototype.open = function (method, ...more) {
    this.method = method;
    open.call(this, method, ...more);
  };
  XMLHttpRequest.prototype.send = function (body) {
    if (this.method === "PUT") {
      window.most = Math.max(window.most, ++now);
      this.addEventListener("readystatechange", () => { if (this.readyState === 4) now--; });
    }
    send.call(this, body);
  };
}"""


def test_at_most_three_requests_run_at_once(site: Site, context: BrowserContext, file: MakeFile) -> None:
    page = opened(site, context, "many")
    page.evaluate(COUNT)
    site.fault("PUT", PENDING, delay=0.5)  # longer than it takes to start all of them
    choose(page, *(file(SIZE, f"{name}.bin") for name in "ABCDE"), label="Files")
    expect(page.locator("[data-state=done]")).to_have_count(5)
    assert len(site.parts()) == 15
    assert page.evaluate("most") == 3


# Choosing a file again


def test_upload_continues_after_a_reload(site: Site, page: Page, file: MakeFile) -> None:
    event = site.held()
    choose(page, lake := file())
    site.proxy.wait_for(2, "PUT", PARTS)
    site.proxy.wait_for_hanging()
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    event.set()
    site.proxy.wait_for(3, "PUT", PARTS)
    # The parts in progress were aborted, or arrived anyway.
    expected = [] if 2 in site.parts() else [2]
    site.proxy.clear()
    page.get_by_label("Title").fill("Lake")
    choose(page, lake)
    expect_state(page, "done")
    assert site.parts() == expected
    assert save(page) == [told(lake)]


def test_sent_but_unsaved_file_is_not_sent_again_after_a_reload(
    site: Site, page: Page, file: MakeFile
) -> None:
    choose(page, lake := file())
    expect_state(page, "done")
    page.reload()
    site.proxy.clear()
    page.get_by_label("Title").fill("Lake")
    choose(page, lake)
    expect_state(page, "done")
    assert site.parts() == []
    assert save(page) == [told(lake)]
    # After saving, it is a new file.
    page.goto(f"{site.address}/one/")
    page.get_by_label("Title").fill("River")
    choose(page, lake)
    expect_state(page, "done")
    assert sorted(site.parts()) == [1, 2, 3]
    assert save(page) == [told(lake), told(lake, "River")]


def test_browser_remembers_at_most_200_unexpired_uploads(page: Page, file: MakeFile) -> None:
    remembered = """() => {
      const all = JSON.parse(localStorage.getItem("s3kit uploads"));
      return [all.length, all.filter((each) => each.id === "old").length, all.at(-1).id];
    }"""
    page.evaluate(
        """() => {
          const one = (id, expires) => ({ id, address: `/uploads/${Math.random()}/`, expires });
          const old = one("old", "2020-01-01T00:00:00Z");
          const others = Array.from({ length: 300 }, () => one("other", "2999-01-01T00:00:00Z"));
          localStorage.setItem("s3kit uploads", JSON.stringify([...others, old]));
        }"""
    )
    choose(page, file(20 * KIB))
    expect_state(page, "done")
    number, old, last = page.evaluate(remembered)
    assert (number, old) == (200, 0)
    assert "Lake.bin" in last
    button(page, "Remove Lake.bin").click()
    assert page.evaluate(remembered) == [199, 0, "other"]


def test_two_tabs_do_not_share_a_ticket(
    site: Site, page: Page, context: BrowserContext, file: MakeFile
) -> None:
    event = site.held(times=1)
    choose(page, lake := file())
    site.proxy.wait_for_hanging()
    other = opened(site, context, "one")
    choose(other, lake)
    expect_state(other, "done")
    event.set()
    expect_state(page, "done")
    page.get_by_label("Title").fill("River")
    assert save(other) == [told(lake)]
    assert save(page) == [told(lake), told(lake, "River")]


def test_same_file_chosen_twice_is_two_files(site: Site, context: BrowserContext, file: MakeFile) -> None:
    page = opened(site, context, "many")
    lake = file()
    for number in (1, 2):
        choose(page, lake, label="Files")
        expect(page.locator("[data-state=done]")).to_have_count(number)
    assert save(page) == [told(lake, "Lake 0"), told(lake, "Lake 1")]


@pytest.mark.parametrize("how", ["expired", "cancelled", "another user's"])
def test_ended_ticket_is_replaced_when_the_file_is_chosen_again(
    site: Site, page: Page, file: MakeFile, how: str
) -> None:
    choose(page, lake := file())
    expect_state(page, "done")
    if how == "expired":
        site.database("UPDATE s3kit_uploads_ticket SET expires_at = '2020-01-01 00:00:00'")
    elif how == "cancelled":
        site.database("UPDATE s3kit_uploads_ticket SET state = 'cancelled'")
    else:
        page.goto(f"{site.address}/in/bert/")
        page.goto(f"{site.address}/one/")
    page.reload()
    page.get_by_label("Title").fill("Lake")
    choose(page, lake)
    expect_state(page, "done")
    assert sorted(site.parts()) == [1, 1, 2, 2, 3, 3]
    assert save(page) == [told(lake)]


ENDED = {
    "expired": "UPDATE s3kit_uploads_ticket SET expires_at = '2020-01-01 00:00:00'",
    "rules of an earlier deploy": """UPDATE s3kit_uploads_ticket SET rules = '{"earlier": 1}'""",
}


@pytest.mark.parametrize("how", ENDED)
def test_ticket_that_ends_during_the_upload_is_replaced(
    site: Site, page: Page, file: MakeFile, how: str
) -> None:
    event = site.held(times=1)
    choose(page, lake := file())
    site.proxy.wait_for_hanging()
    site.database(ENDED[how])
    event.set()
    expect_state(page, "done")
    assert save(page) == [told(lake)]


def test_single_field_keeps_the_last_chosen_file(site: Site, page: Page, file: MakeFile) -> None:
    event = site.held()
    choose(page, file())
    site.proxy.wait_for_hanging()
    with page.expect_response("**/cancel/"):
        choose(page, river := file(40 * KIB, "River.bin"))
    expect_state(page, "done", "River.bin")
    expect(page.locator(".s3kit-file")).to_have_count(1)
    event.set()
    assert save(page) == [told(river)]
    assert site.left() == []


# Buttons, keys and focus


def test_cancel_leaves_nothing_behind(site: Site, page: Page, file: MakeFile) -> None:
    event = site.held()
    choose(page, lake := file())
    site.proxy.wait_for(2, "PUT", PARTS)  # cancelled earlier, they would not arrive
    site.proxy.wait_for_hanging()
    with page.expect_response("**/cancel/") as answer:
        button(page, "Cancel Lake.bin").click()
    assert answer.value.status == 200
    event.set()
    site.proxy.wait_for(3, "PUT", PARTS)
    expect(page.locator(".s3kit-file")).to_have_count(0)
    expect(page.get_by_label("File")).to_be_focused()
    assert page.get_by_label("File").evaluate("input => input.required")
    assert site.left() == []
    site.proxy.clear()
    choose(page, lake)
    expect_state(page, "done")
    assert sorted(site.parts()) == [1, 2, 3]


def test_sent_file_can_be_removed(site: Site, page: Page, file: MakeFile) -> None:
    choose(page, file())
    expect_state(page, "done")
    with page.expect_response("**/cancel/"):
        button(page, "Remove Lake.bin").click()
    assert site.left() == []
    page.locator("button[name=_save]").click()
    assert page.get_by_label("File").evaluate("input => input.validity.valueMissing")


def test_form_reset_removes_the_files(site: Site, page: Page, file: MakeFile) -> None:
    choose(page, file(20 * KIB))
    expect_state(page, "done")
    with page.expect_response("**/cancel/"):
        page.evaluate("document.forms[0].reset()")
    expect(page.locator(".s3kit-file")).to_have_count(0)
    assert site.left() == []


def test_keyboard_can_cancel_and_remove_files(site: Site, context: BrowserContext, file: MakeFile) -> None:
    page = opened(site, context, "many")
    event = site.held("/pending/[0-9a-f]+\\?")
    choose(page, *(file(20 * KIB, f"{name}.bin") for name in ("A", "B", "C")), label="Files")
    page.get_by_label("Files").focus()
    page.keyboard.press("Tab")
    expect(button(page, "Cancel A.bin")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(button(page, "Cancel C.bin")).to_be_focused()
    event.set()
    expect_state(page, "done", "C.bin")
    expect(button(page, "Remove C.bin")).to_be_focused()
    page.keyboard.press("Space")
    expect(button(page, "Remove A.bin")).to_be_focused()


# Submitting a form too early


def test_form_is_submitted_after_its_files_are_sent(site: Site, page: Page, file: MakeFile) -> None:
    event = site.held()
    choose(page, lake := file())
    site.proxy.wait_for_hanging()
    page.evaluate("document.forms[0].addEventListener('submit', () => { window.submitted = true })")
    page.get_by_role("button", name="Save and continue").click()
    expect(page.get_by_role("alert")).to_have_text(
        "The form will be submitted when all files have been sent."
    )
    assert site.forms == []
    assert not page.evaluate("window.submitted")  # Other scripts, such as htmx, wait too.
    button(page, "Don't submit yet").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_role("button", name="Save and continue")).to_be_focused()
    page.get_by_role("button", name="Save and continue").click()
    event.set()
    assert saved(page) == [told(lake)]
    assert page.url.endswith("?_continue")


def test_form_with_a_failed_file_is_not_submitted(
    site: Site, context: BrowserContext, file: MakeFile
) -> None:
    page = opened(site, context, "many")
    event = site.held("/pending/[0-9a-f]+\\?.*")
    choose(page, file(20 * KIB, "Bad.bin", b"REJECT!"), good := file(20 * KIB, "Good.bin"), label="Files")
    page.locator("button[name=_save]").click()
    expect(page.get_by_role("alert")).to_be_visible()
    event.set()
    message = page.get_by_text("This file asks to be rejected.")
    expect(message.locator("visible=true").first).to_be_focused()
    expect(page.locator(".s3kit-held")).to_have_count(0)
    expect_state(page, "done", "Good.bin")
    page.locator("button[name=_save]").click()
    expect(message.locator("visible=true").first).to_be_focused()
    assert site.forms == []
    expect(button(page, "Try again")).to_be_hidden()
    button(page, "Remove Bad.bin").click()
    assert save(page) == [told(good, "Lake 0")]


def test_leaving_the_page_during_an_upload_asks_for_confirmation(
    site: Site, page: Page, file: MakeFile
) -> None:
    asked: list[str] = []

    def stay(dialog: Any) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    event = site.held()
    choose(page, file())
    site.proxy.wait_for_hanging()
    with page.expect_event("dialog"):
        page.evaluate("location.assign('/saved/')")
    expect(button(page, "Cancel Lake.bin")).to_be_visible()
    event.set()
    expect_state(page, "done")
    page.goto(f"{site.address}/saved/")
    assert asked == ["beforeunload"]


def test_file_chosen_before_the_script_runs_is_sent(
    site: Site, context: BrowserContext, file: MakeFile
) -> None:
    page = context.new_page()
    held: list[Route] = []
    page.route("**/uploads*.js", lambda route: held.append(route))  # Playwright modifies its arguments
    with page.expect_request("**/uploads*.js"):
        page.goto(f"{site.address}/one/", wait_until="commit")
    page.get_by_label("Title").fill("Lake")
    lake = file()
    choose(page, lake)
    held[0].continue_()
    expect_state(page, "done")
    assert save(page) == [told(lake)]


# Messages from the site


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("Lake.mov", 10, "Files of this type are not accepted. Please choose one of .bin, .txt."),
        ("Lake.bin", 8 * KIB * KIB + 1, "This file is too large (8 MB). The limit is 8 MB."),
        ("Lake.TXT", 0, "This file is empty."),
    ],
)
def test_invalid_file_is_reported_without_a_request(
    page: Page, file: MakeFile, name: str, size: int, message: str
) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    choose(page, file(size, name))
    expect_state(page, "failed", name)
    expect(row(page, name)).to_contain_text(message)
    expect(page.get_by_role("status")).to_have_text(f"{name}: {message}")
    field = page.get_by_label("File")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(message)
    expect(button(page, "Try again")).to_be_hidden()
    assert requests == []
    choose(page, lake := file())
    expect_state(page, "done")
    expect(field).not_to_have_attribute("aria-invalid", "true")
    assert save(page) == [told(lake)]


def test_upload_continues_after_the_user_logs_in_again(
    site: Site, page: Page, context: BrowserContext, file: MakeFile
) -> None:
    cookies = context.cookies()
    context.clear_cookies(name="sessionid")
    choose(page, lake := file())
    expect(row(page)).to_contain_text("Please log in again in another tab, then try again here.")
    context.add_cookies(cookies)
    context.new_page().goto(f"{site.address}/in/anna/")  # which changes the CSRF token of all forms
    button(page, "Try again").click()
    expect_state(page, "done")
    assert save(page) == [told(lake)]


def test_stale_rules_and_csrf_token_are_renewed(
    site: Site, page: Page, context: BrowserContext, file: MakeFile
) -> None:
    context.new_page().goto(f"{site.address}/rotate/")
    page.evaluate("document.querySelector('[data-rules]').dataset.rules = 'of another deploy'")
    choose(page, lake := file())
    expect_state(page, "done")
    assert save(page) == [told(lake)]


def test_invalid_form_keeps_its_file(site: Site, page: Page, file: MakeFile) -> None:
    choose(page, lake := file())
    expect_state(page, "done")
    assert save(page) == [told(lake)]
    page.goto(f"{site.address}/one/")
    page.get_by_label("Title").fill("Lake")
    choose(page, river := file(40 * KIB, "River.bin"))
    expect_state(page, "done", "River.bin")
    page.locator("button[name=_save]").click()
    expect(page.get_by_text("Video with this Title already exists.")).to_be_visible()
    expect_state(page, "done", "River.bin")
    page.get_by_label("Title").fill("River")
    assert save(page) == [told(lake), told(river, "River")]


def test_file_of_an_invalid_form_can_be_replaced(page: Page, file: MakeFile) -> None:
    page.locator("form").evaluate("form => { form.noValidate = true }")
    for name in ("A.bin", "B.bin"):
        page.get_by_label("Title").fill("")
        choose(page, last := file(20 * KIB, name))
        expect_state(page, "done", name)
        page.locator("form").evaluate("form => { form.noValidate = true }")
        with page.expect_navigation():  # the page before may look the same
            page.locator("button[name=_save]").click()
        expect(page.get_by_text("This field is required.")).to_be_visible()
        expect(page.locator(".s3kit-file")).to_have_count(1)
    page.get_by_label("Title").fill("Lake")
    button(page, "Remove B.bin").click()
    expect(page.get_by_label("File")).to_be_focused()
    assert page.get_by_label("File").evaluate("input => input.required")
    choose(page, last)
    assert save(page) == [told(last)]


def test_file_of_an_invalid_form_can_be_chosen_again_as_another(
    site: Site, context: BrowserContext, file: MakeFile
) -> None:
    page = opened(site, context, "many")
    page.locator("form").evaluate("form => { form.noValidate = true }")
    page.get_by_label("Title").fill("")
    choose(page, lake := file(20 * KIB), label="Files")
    page.locator("button[name=_save]").click()
    expect(page.get_by_text("This field is required.")).to_be_visible()
    page.get_by_label("Title").fill("Lake")
    choose(page, lake, label="Files")
    expect(page.locator("[data-state=done]")).to_have_count(2)
    assert save(page) == [told(lake, "Lake 0"), told(lake, "Lake 1")]


# If S3 can't be reached

BARRED = {
    "no cross-origin requests": {
        "method": "OPTIONS",
        "path": PENDING,
        "status": 403,
        "code": "AccessForbidden",
    },
    "no signed links": {"method": "PUT", "path": PENDING, "status": 501, "code": "NotImplemented"},
    "a firewall": {"method": "PUT", "path": PENDING, "cut": "reset"},
}


@pytest.mark.parametrize("case", BARRED)
def test_files_are_sent_with_the_form_if_s3_is_unreachable(
    site: Site, page: Page, file: MakeFile, case: str
) -> None:
    page.clock.install()
    page.evaluate(LISTEN)
    fault = site.fault(**BARRED[case])
    choose(page, lake := file(40 * KIB))
    exhausted(page, fault)
    expect(row(page)).to_contain_text("This file will be sent with the form.")
    assert page.get_by_label("File").evaluate("input => input.files[0].name") == "Lake.bin"
    told_of = {"code": "barred", "message": "This file will be sent with the form."}
    assert page.evaluate("events").pop() == ["error", "Lake.bin", told_of]
    assert save(page) == [told(lake)]
    assert site.posted(page) > 40 * KIB
    assert site.left() == []


def test_file_over_the_form_limit_fails_if_s3_is_unreachable(site: Site, page: Page, file: MakeFile) -> None:
    site.fault("PUT", PENDING, status=501, code="NotImplemented")
    choose(page, lake := file(2 * KIB * KIB))
    expect(row(page)).to_contain_text(
        "Your browser can't reach the file storage. Without it, the limit is 1 MB."
    )
    page.locator("button[name=_save]").click()
    expect(row(page).locator(".s3kit-note")).to_be_focused()
    assert site.forms == []
    site.proxy.clear()
    button(page, "Try again").click()
    expect_state(page, "done")
    assert save(page) == [told(lake)]


def test_form_without_javascript_sends_the_file(
    site: Site, browser: Browser, logged_in: Any, page: Page, file: MakeFile
) -> None:
    plain = browser.new_context(java_script_enabled=False, storage_state=logged_in)
    page = opened(site, plain, "one")
    choose(page, lake := file(40 * KIB))
    assert save(page) == [told(lake)]
    assert site.proxy.count("PUT", PENDING) == 0
    plain.close()


# Other pages


def test_rows_added_by_a_script_upload_their_files(
    site: Site, context: BrowserContext, file: MakeFile
) -> None:
    page = opened(site, context, "rows")
    page.evaluate(
        """() => {
          const form = document.querySelector("form");
          for (const number of [0, 1]) {
            const holder = document.createElement("div");
            holder.append(document.querySelector("template").content.cloneNode(true));
            for (const element of holder.querySelectorAll("*")) {
              for (const name of ["name", "id", "for"]) {
                const value = element.getAttribute(name);
                if (value) element.setAttribute(name, value.replace("__prefix__", number));
              }
            }
            form.prepend(holder);
          }
          form.elements["form-TOTAL_FORMS"].value = 2;
        }"""
    )
    page.evaluate("document.querySelector('[data-rules]').dataset.rules = 'of another deploy'")
    for number, name in enumerate(["Lake", "River"]):
        page.locator(f"#id_form-{number}-title").fill(name)
        page.locator(f"#id_form-{number}-file").set_input_files(file(SIZE, f"{name}.bin"))
    expect(page.locator("[data-state=done]")).to_have_count(2)
    assert [each[:3] for each in save(page)] == [["Lake", "Lake", SIZE], ["River", "River", SIZE]]


def test_removed_field_cancels_its_upload(site: Site, context: BrowserContext, file: MakeFile) -> None:
    page = opened(site, context, "one")
    event = site.held(times=1)
    choose(page, file(2 * KIB * KIB))
    site.proxy.wait_for_hanging()
    with page.expect_response("**/cancel/"):
        page.evaluate("document.querySelector('.s3kit-upload').remove()")
        event.set()
    page.goto(f"{site.address}/saved/")  # No request is sent.


def test_admin_form_waits_for_its_file(site: Site, context: BrowserContext, file: MakeFile) -> None:
    page = opened(site, context, "admin/shop/video/add")
    event = site.held()
    choose(page, lake := file())
    site.proxy.wait_for_hanging()
    button(page, "Save and continue editing").click()
    expect(page.get_by_role("alert")).to_be_visible()
    event.set()
    expect(page.get_by_text("was added successfully. You may edit it again below.")).to_be_visible()
    page.goto(f"{site.address}/saved/")
    assert saved(page) == [told(lake)]


# For other interfaces

LISTEN = """() => {
  window.events = [];
  for (const name of ["start", "progress", "done", "error", "cancel"]) {
    document.addEventListener(`s3kit:${name}`, (event) => {
      const { file, ...more } = event.detail;
      if (name !== "progress" || more.sent === more.total) window.events.push([name, file.name, more]);
      if (file.name === "Mine.bin") event.preventDefault();
    });
  }
}"""


def test_script_dispatches_events(site: Site, page: Page, file: MakeFile) -> None:
    page.evaluate(LISTEN)
    choose(page, file(10, "Lake.mov"))
    choose(page, file(40 * KIB))
    expect_state(page, "done")
    token = page.locator("input[type=hidden][name=file]").input_value()
    button(page, "Remove Lake.bin").click()
    message = "Files of this type are not accepted. Please choose one of .bin, .txt."
    events = page.evaluate("events")
    assert events[0] == ["error", "Lake.mov", {"code": "type", "message": message}]
    assert events[1:3] == [["cancel", "Lake.mov", {}], ["start", "Lake.bin", {}]]
    assert [each for each in events[3:] if each[0] == "progress"]
    assert [each for each in events[3:] if each[0] != "progress"] == [
        ["done", "Lake.bin", {"token": token}],
        ["cancel", "Lake.bin", {}],
    ]
    choose(page, mine := file(20 * KIB, "Mine.bin"))
    expect(page.locator(".s3kit-file")).to_have_count(0)
    assert save(page) == [told(mine)]
    assert site.posted(page) > 20 * KIB


def test_upload_function_sends_a_file_from_a_script(site: Site, page: Page) -> None:
    sent = page.evaluate(
        """async () => {
          const { upload, UploadError } = await import(document.querySelector("script[type=module]").src);
          const { begin, rules } = document.querySelector("[data-s3kit-upload]").dataset;
          const seen = [];
          const file = new File(["some text"], "Mine.txt");
          const done = await upload(file, { begin, rules, progress: (...given) => seen.push(given) });
          const wrong = await upload(file, { begin, kind: "none" }).catch((error) => error);
          const stop = AbortSignal.abort("stopped");
          const stopped = await upload(file, { begin, rules, signal: stop }).catch((error) => error);
          const { token, name, size } = done;
          return [token, name, size, seen.at(-1), wrong instanceof UploadError, wrong.code, stopped];
        }"""
    )
    token, *others = sent
    assert others == ["Mine.txt", 9, [9, 9], True, "forbidden", "stopped"]
    assert site.database("SELECT state FROM s3kit_uploads_ticket") == "finished"
    assert token.startswith(site.database("SELECT id FROM s3kit_uploads_ticket"))


def test_sizes_use_the_pages_language(page: Page, file: MakeFile) -> None:
    page.evaluate("document.documentElement.lang = 'de'")
    choose(page, file(int(1.5 * KIB * KIB)))
    expect_state(page, "done")
    expect(row(page)).to_contain_text("1,5 MB")
