"""The screenshots in docs/images. Browser tests take them, and write them with `make screenshots`.

Every test run also writes them to the folder `screenshots`, and checks that docs/images has each of them with
the same dimensions.
"""

import io
import os
from typing import Any

from PIL import Image
from playwright.sync_api import Page

from tests.answers import ROOT
from tests.browser import SCREENSHOTS

IMAGES = ROOT / "docs" / "images"
WRITE = "WRITE_SCREENSHOTS" in os.environ
MAX_BYTES = 150_000

# Options for browser contexts, with two device pixels per CSS pixel.
DESKTOP: Any = {"device_scale_factor": 2}
PHONE: Any = DESKTOP | {"is_mobile": True, "has_touch": True}

# The window size of each screenshot. `take` takes each in light and dark mode.
PICTURES = {
    "empty": (1000, 600),
    "sign-in": (1000, 560),
    "upload": (1000, 820),
    "added": (1000, 760),
    "phone": (390, 780),
    "gallery": (1200, 900),
    "walk-form": (1000, 800),
    "walks": (1000, 640),
}


def take(page: Page, name: str) -> None:
    """Take screenshots of a page, in light and dark mode."""
    width, height = PICTURES[name]
    page.set_viewport_size({"width": width, "height": height})
    page.evaluate("document.fonts.ready.then(() => scrollTo(0, 0))")
    for scheme, suffix in (("light", ""), ("dark", "-dark")):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        _keep(page.screenshot(animations="disabled"), f"{name}{suffix}.webp")
    page.emulate_media(color_scheme="light")


def _keep(screenshot: bytes, name: str) -> None:
    image = Image.open(io.BytesIO(screenshot)).convert("RGB")
    out = io.BytesIO()
    image.save(out, "WEBP", quality=80, method=6)
    (SCREENSHOTS / "docs").mkdir(parents=True, exist_ok=True)
    (SCREENSHOTS / "docs" / name).write_bytes(out.getvalue())
    assert len(out.getvalue()) <= MAX_BYTES, f"{name} has {len(out.getvalue())} bytes"
    if WRITE:
        (IMAGES / name).write_bytes(out.getvalue())
    assert (IMAGES / name).exists(), f"docs/images/{name} is missing: run `make screenshots`"
    with Image.open(IMAGES / name) as committed:
        assert committed.size == image.size, f"docs/images/{name} is {committed.size}: run `make screenshots`"
