"""The script of DirectFileField in Chromium: where the bytes go, and what happens when something goes wrong."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

import s3kit
from s3kit.local.server import LocalServer
from tests.fault_proxy import FaultProxy
from tests.ministack import new_user
from tests.processes import started

pytestmark = pytest.mark.slow

KIB = 2**10
PART = 256 * KIB  # as in tests.upload_site

EVERYTHING = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}],
}


@dataclass
class Site:
    address: str
    proxy: FaultProxy
    store: LocalServer
    database: Path


@pytest.fixture(scope="module")
def site(store: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    # Not root, whose key opens no presigned link to a preflight.
    key = new_user(store, EVERYTHING)
    with FaultProxy(store.endpoint) as proxy:
        environment = {
            "TEST_FOLDER": str(folder),
            "AWS_S3_ENDPOINT_URL": proxy.endpoint,
            "MEDIA_BUCKET": "uploads-in-a-browser",
            "AWS_ACCESS_KEY_ID": key.id,
            "AWS_SECRET_ACCESS_KEY": key.secret,
            "PYTHONPATH": str(Path(s3kit.__file__).parents[1]),
        }
        command = [sys.executable, "-m", "tests.upload_site"]
        with started(command=command, **environment) as process:
            address = process.wait_for(r"Serving at (\S+)\.")[1]
            yield Site(address, proxy, store, folder / "db.sqlite3")


@pytest.fixture
def page(site: Site, browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{site.address}/in/anna/")
    page.on("console", lambda m: print("CONSOLE", m.text))
    page.on("pageerror", lambda m: print("ERROR", m))
    page.on("request", lambda r: print("REQ", r.method, r.url))
    page.goto(f"{site.address}/one/")
    yield page
    context.close()


def film(size: int, name: str = "Lake.bin") -> dict[str, Any]:
    return {"name": name, "mimeType": "", "buffer": os.urandom(size)}


def test_smoke(site: Site, page: Page) -> None:
    page.get_by_label("Title").fill("Lake")
    page.get_by_label("File").set_input_files([film(600 * KIB)])
    page.wait_for_timeout(3000)
    print(page.content())
    page.screenshot(path="/tmp/h/smoke.png")
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url("**/saved/**")
    print(page.content())
    assert 0
