"""The system's Chromium, driven by Playwright, and pictures to upload."""

import io
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Error, Locator, Page, expect, sync_playwright

from tests.answers import ROOT
from tests.machine import chromium

SCREENSHOTS = ROOT / "screenshots"

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}

# Without these, Chromium contacts Google for updates and the like. As root, it needs the last one.
ARGUMENTS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
]

# Playwright's default, 5 seconds, is too short for a busy machine.
expect.set_options(timeout=120_000)


@contextmanager
def browser() -> Iterator[Browser]:
    """Run headless Chromium while the context lasts."""
    path = chromium()
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield started
        finally:
            started.close()


class Console:
    """The errors on a page: console messages, script errors, and responses with status 400 and above."""

    def __init__(self, page: Page) -> None:
        self.errors: list[str] = []
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self.errors.append(f"script: {error}"))
        page.on("requestfailed", lambda request: self._fail(str(request.failure), request.url))
        page.on("response", lambda response: self._answer(response.status, response.url))

    def _note(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.errors.append(f"{kind}: {text}")

    def _fail(self, reason: str, url: str) -> None:
        if reason != "net::ERR_ABORTED":  # for example, because the page was left while it loaded
            self.errors.append(f"failed: {url}: {reason}")

    def _answer(self, status: int, url: str) -> None:
        if status >= 400:
            self.errors.append(f"{status}: {url}")


def picture(width: int, height: int, colors: tuple[str, str], seed: int = 0) -> bytes:
    """Return a PNG of hills and a sun. `colors` are those of the sky and the nearest hill; `seed` varies the shapes."""
    sky, near = colors
    image = Image.new("RGB", (width, height), sky)
    draw = ImageDraw.Draw(image)
    sun, x, y = height // 9, width * (0.7 - 0.37 * seed % 0.5), height * (0.3 + 0.13 * seed % 0.2)
    draw.ellipse((x - sun, y - sun, x + sun, y + sun), fill="#fffaf0")
    for layer in range(1, 6):
        level = height * (0.38 + 0.11 * layer)
        ridge = [
            (x, level - height * 0.07 * math.sin(x / width * (3 + 2 * layer) + layer * layer + 2 * seed))
            for x in range(0, width + 8, 8)
        ]
        shade = Image.blend(Image.new("RGB", (1, 1), sky), Image.new("RGB", (1, 1), near), layer / 5)
        draw.polygon([(0, height), *ridge, (width, height)], fill=shade.getpixel((0, 0)))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def settle(page: Page) -> None:
    """Wait until a page has no more requests, at most 10 seconds: Chromium doesn't report the end of every request."""
    page.wait_for_load_state("load")
    with suppress(Error):
        page.wait_for_load_state("networkidle", timeout=10_000)


def wait_for_focus(element: Locator) -> None:
    """Wait until a page's focus is on an element, even if its window is in the background."""
    script = "element => document.activeElement === element"
    element.page.wait_for_function(script, arg=element.element_handle())
