"""Sites for Chromium: each is a process with its own buckets."""

import os
import secrets
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page, Response, expect, sync_playwright

from s3kit.local.server import LocalServer
from tests.processes import free_port, started, until

PASSWORD = "a-password-for-this-test"

# Without these, Chromium contacts Google for updates and the like. As root, it needs the last one.
ARGUMENTS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--no-first-run",
]
ARGUMENTS += ["--no-sandbox"] if os.geteuid() == 0 else []

LISTEN = """
addEventListener("securitypolicyviolation", (event) =>
    console.error(`CSP: ${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""


class Tab:
    """A page of a site, and its errors: console errors, and responses with status 400 and above."""

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address
        self.wrong: list[str] = []
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self.wrong.append(f"script: {error}"))
        page.on("response", self._answer)

    def _note(self, kind: str, text: str) -> None:
        if kind == "error" and not text.startswith("Failed to load resource"):  # reported with its URL below
            self.wrong.append(text)

    def _answer(self, response: Response) -> None:
        # Browsers request an icon if a page has none.
        if response.status >= 400 and not response.url.endswith("/favicon.ico"):
            self.wrong.append(f"{response.status}: {response.url}")

    def open(self, path: str) -> Page:
        """Go to a path of the site."""
        self.page.goto(f"{self.address}{path}")
        return self.page

    def expect_no_errors(self, *expected: str) -> None:
        """Fail if an error without one of the expected words has occurred since the last call."""
        self.page.wait_for_load_state("load")
        with suppress(Error):  # Chromium doesn't report the end of every request
            self.page.wait_for_load_state("networkidle", timeout=10_000)
        wrong, self.wrong = self.wrong, []
        assert [each for each in wrong if not any(word in each for word in expected)] == []

    def log_in(self) -> None:
        """Log in to the admin as a superuser."""
        self.open("/admin/")
        self.page.locator("input[name=username]").fill("anna")
        self.page.locator("input[name=password]").fill(PASSWORD)
        self.page.locator("[type=submit]").first.click()
        self.page.wait_for_url(f"{self.address}/admin/")


@contextmanager
def serving(name: str, store: LocalServer, folder: Path) -> Iterator[str]:
    """Publish and serve a site without debug mode, and yield its URL."""
    address = f"http://127.0.0.1:{free_port()}"
    environment = {
        "DJANGO_SETTINGS_MODULE": "works_with.site.settings",
        "SITE": name,
        "SITE_FOLDER": str(folder),
        "SITE_ADDRESS": address,
        "SITE_ENDPOINT": store.endpoint,
        "SITE_ROOT": store.root.id,
        "SITE_ROOT_SECRET": store.root.secret,
        "SITE_STATIC": f"static-{secrets.token_hex(8)}",
        "SITE_MEDIA": f"media-{secrets.token_hex(8)}",
        "PYTHONUNBUFFERED": "1",
    }
    with started(command=(sys.executable, "-m", "works_with.site.serve"), **environment) as process:
        process.wait_for("Starting development server at")  # which it prints before it listens
        until(lambda: is_listening(address))
        yield address


def is_listening(address: str) -> bool:
    with socket.socket() as knock:
        return knock.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) == 0


def on_site(package: str) -> pytest.MarkDecorator:
    """Mark a test with its site, which the tests in a module share."""
    return pytest.mark.parametrize("site", [package], indirect=True)


@pytest.fixture(scope="module")
def site(
    request: pytest.FixtureRequest, store: LocalServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Return a site's URL."""
    with serving(request.param, store, tmp_path_factory.mktemp("site")) as address:
        yield address


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if not path:
        pytest.skip("No Chromium on this machine (Debian and Ubuntu: apt install chromium)")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield running
        finally:
            running.close()


@pytest.fixture
def tab(site: str, chromium: Browser) -> Iterator[Tab]:
    """Return a page of the site, with the admin user logged in."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.add_init_script(LISTEN)
    # Nothing leaves the machine. A package's requests to other hosts count as errors.
    context.route(
        lambda url: not url.startswith(("http://127.0.0.1:", "data:", "blob:")), lambda route: route.abort()
    )
    context.set_default_timeout(60_000)  # of a busy machine
    expect.set_options(timeout=60_000)
    found = Tab(context.new_page(), site)
    found.log_in()
    yield found
    print(found.page.url, *found.wrong, sep="\n")  # noqa: T201 -- shown where the test fails
    context.close()
