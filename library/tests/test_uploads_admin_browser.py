"""Django's admin in Chromium, under a strict Content-Security-Policy, with files that go straight to S3."""

import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

import s3kit
from s3kit.local.server import LocalServer
from tests.fault_proxy import Fault, FaultProxy
from tests.ministack import new_user
from tests.processes import started
from tests.test_uploads_fields import photo

pytestmark = pytest.mark.slow

KIB = 2**10
SIZE = 700 * KIB  # three parts of tests.upload_site
EVERYTHING = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}],
}


@dataclass
class Site:
    address: str
    proxy: FaultProxy
    path: Path

    def held(self, part: int = 2) -> Event:
        """Make a part hang until the event is set."""
        event = Event()
        self.proxy.faults.append(Fault("PUT", f"partNumber={part}&", hold=event))
        return event

    def parts(self) -> list[int]:
        """Return the numbers of the parts that S3 has accepted."""
        taken = [each for each in self.proxy.matching("PUT", "partNumber=") if each.status == 200]
        return sorted(int(re.findall(r"partNumber=(\d+)", each.path)[0]) for each in taken)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path, timeout=30)) as connection, connection:
            return connection.execute(statement).fetchall()


@pytest.fixture(scope="module")
def site(store: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    key = new_user(store, EVERYTHING)
    with FaultProxy(store.endpoint) as proxy:
        environment = {
            "TEST_FOLDER": str(folder),
            "TEST_URLS": "tests.upload_admin",
            "AWS_S3_ENDPOINT_URL": proxy.endpoint,
            "MEDIA_BUCKET": "uploads-in-the-admin",
            "AWS_ACCESS_KEY_ID": key.id,
            "AWS_SECRET_ACCESS_KEY": key.secret,
            "PYTHONPATH": str(Path(s3kit.__file__).parents[1]),
        }
        with started(command=[sys.executable, "-m", "tests.upload_site"], **environment) as process:
            address = process.wait_for(r"Serving at (\S+)\.")[1]
            yield Site(address, proxy, folder / "db.sqlite3")


@pytest.fixture
def page(site: Site, browser: Browser) -> Iterator[Page]:
    """Return a page, and fail if something violates the policy or raises an error."""
    context = browser.new_context()
    wrong: list[str] = []
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    context.on("console", lambda said: "Content Security" in said.text and wrong.append(said.text))
    page = context.new_page()
    page.goto(f"{site.address}/in/anna/")
    site.proxy.clear()
    yield page
    site.proxy.clear()
    context.close()
    for table in ("shop_still", "shop_video", "s3kit_uploads_ticket", "django_admin_log"):
        site.rows(f"DELETE FROM {table}")  # noqa: S608
    assert wrong == []


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Return a file on disk, because only those are recognized when chosen again."""
    path = tmp_path / "Lake.bin"
    path.write_bytes(b"a" * SIZE)
    return path


def opened(site: Site, page: Page, path: str = "add/") -> Page:
    page.goto(f"{site.address}/admin/shop/video/{path}")
    return page


def row(page: Page, name: str = "Lake.bin") -> Any:
    return page.locator(".s3kit-file", has_text=name)


def sent(page: Page, name: str = "Lake.bin") -> None:
    expect(row(page, name)).to_have_attribute("data-state", "done")


def test_file_is_cancelled_sent_and_saved_in_the_admin(site: Site, page: Page, lake: Path) -> None:
    opened(site, page)
    page.get_by_label("Title").fill("Lake")
    event = site.held()
    page.get_by_label("File").set_input_files(lake)
    site.proxy.wait_for(2, "PUT", "partNumber=")
    bar = page.get_by_role("progressbar", name="Lake.bin")
    expect(bar).to_be_visible()
    expect(bar).not_to_have_js_property("value", 0)
    page.get_by_role("button", name="Cancel Lake.bin").click()
    expect(page.locator(".s3kit-file")).to_have_count(0)
    event.set()
    site.proxy.faults.clear()
    page.get_by_label("File").set_input_files(lake)
    sent(page)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was added successfully")).to_be_visible()
    assert re.fullmatch(r"videos/\d+/Lake-\w+\.bin", site.rows("SELECT file FROM shop_video")[0][0])
    changed = site.rows("SELECT action_flag, object_repr FROM django_admin_log")
    assert changed == [(1, "Lake")]


def test_form_is_saved_after_the_upload_and_can_be_edited_again(site: Site, page: Page, lake: Path) -> None:
    opened(site, page)
    page.get_by_label("Title").fill("Lake")
    event = site.held()
    page.get_by_label("File").set_input_files(lake)
    site.proxy.wait_for_hanging()
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.get_by_role("alert")).to_have_text(
        "The form will be submitted when all files have been sent."
    )
    event.set()
    expect(page.get_by_text("You may edit it again below.")).to_be_visible()
    assert re.search(r"/video/\d+/change/", page.url)
    expect(page.get_by_text("Currently:")).to_be_visible()
    first = site.rows("SELECT file FROM shop_video")
    # Another file, which continues after a reload
    site.proxy.clear()
    event = site.held(3)
    page.get_by_label("File").set_input_files(lake)
    site.proxy.wait_for(2, "PUT", "partNumber=")
    site.proxy.wait_for_hanging()
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    event.set()
    site.proxy.wait_for(3, "PUT", "partNumber=")
    expected = [] if 3 in site.parts() else [3]
    site.proxy.clear()
    page.get_by_label("File").set_input_files(lake)
    sent(page)
    assert site.parts() == expected
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    assert site.rows("SELECT file FROM shop_video") != first


def test_added_inline_rows_upload_their_files(site: Site, page: Page, lake: Path) -> None:
    opened(site, page)
    page.get_by_label("Title").fill("Lake")
    page.get_by_label("File").set_input_files(lake)
    for number in range(3):
        page.get_by_role("button", name="Add another Still").click()
        still = {"name": f"{number}.png", "mimeType": "image/png", "buffer": photo((8 + number, 8), "PNG")}
        page.locator(f"#id_still_set-{number}-image").set_input_files(still)
        sent(page, f"{number}.png")
    # The admin renumbers the rows after it.
    page.locator("#still_set-0 .inline-deletelink").click()
    expect(row(page, "0.png")).to_have_count(0)
    sent(page)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was added successfully")).to_be_visible()
    stills = [name for (name,) in site.rows("SELECT image FROM shop_still ORDER BY id")]
    assert [re.sub(r"-\w+", "", name) for name in stills] == ["stills/1.png", "stills/2.png"]
