"""Private files in Chromium: the pages' scripts can read them, and no SVG runs a script."""

import io
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from PIL import Image
from playwright.sync_api import Browser, Error, Page

from tests.ministack import MakeSite
from tests.processes import until

pytestmark = pytest.mark.slow

ran: list[str] = []


def page(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("<!doctype html><title>page</title>")


def note(request: HttpRequest) -> HttpResponse:
    """Record that a script ran. Each way to show an SVG has its own mark."""
    ran.append(request.GET["in"])
    answer = HttpResponse()
    answer["Access-Control-Allow-Origin"] = "*"
    return answer


urlpatterns = [path("", page), path("ran", note), path("media/", include("s3kit.links.urls"))]


def anybody(*_args: Any) -> bool:
    return True


@pytest.fixture
def tab(s3_site: MakeSite, settings: Any, address: str, browser: Browser) -> Iterator[Page]:
    """Return a page on the site's origin, which is not that of its private files."""
    settings.ROOT_URLCONF = __name__
    settings.S3KIT_LINKS_PERMISSION = anybody
    s3_site()
    opened = browser.new_page()
    opened.goto(f"{address}/")
    yield opened
    opened.close()


def picture() -> bytes:
    body = io.BytesIO()
    Image.new("RGB", (3, 2), (200, 100, 50)).save(body, "PNG")
    return body.getvalue()


DRAWN = """async address => {
    const image = new Image();
    image.crossOrigin = "anonymous";
    image.src = address;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.getContext("2d").drawImage(image, 0, 0);
    return [image.naturalWidth, ...canvas.getContext("2d").getImageData(0, 0, 1, 1).data];
}"""
FETCHED = """async address => {
    const whole = await fetch(address);
    const part = await fetch(address, {headers: {Range: "bytes=1-3"}});
    return {
        size: (await whole.arrayBuffer()).byteLength,
        ranges: whole.headers.get("Accept-Ranges"),
        length: whole.headers.get("Content-Length"),
        name: whole.headers.get("Content-Disposition"),
        status: part.status,
        part: await part.text(),
        range: part.headers.get("Content-Range"),
    };
}"""


def test_scripts_read_private_pictures_by_link_and_lasting_url(tab: Page) -> None:
    default: Any = storages["default"]
    content = picture()
    name = default.save("lake.png", ContentFile(content))
    for address in (default.url(name), default.lasting_url(name)):
        assert tab.evaluate(DRAWN, address) == [3, 200, 100, 50, 255]
        assert tab.evaluate(FETCHED, address) == {
            "size": len(content),
            "ranges": "bytes",
            "length": str(len(content)),
            "name": 'inline; filename="lake.png"',
            "status": 206,
            "part": "PNG",
            "range": f"bytes 1-3/{len(content)}",
        }


SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="7" height="5">
<script>fetch("{site}/ran?in=" + (window.name || "page")); new Image().src = "{site}/ran?in=image"</script>
<image href="x" onerror="fetch('{site}/ran?in=handler')"/><rect width="7" height="5"/></svg>"""

SHOWN = """async address => {
    const sizes = [];
    for (const [tag, attribute] of [["iframe", "src"], ["object", "data"], ["embed", "src"]]) {
        const element = document.createElement(tag);
        element.name = tag;
        if (tag !== "iframe") element.type = "image/svg+xml";
        element[attribute] = address;
        document.body.append(element);
    }
    const image = new Image();
    image.src = address;
    await image.decode();
    return [image.naturalWidth, image.naturalHeight];
}"""


def test_svg_is_displayed_in_img_and_runs_no_script(tab: Page, browser: Browser, address: str) -> None:
    default: Any = storages["default"]
    ran.clear()
    content = SVG.replace("{site}", address).encode()
    name = default.save("logo.svg", ContentFile(content))
    # Without the library's headers, the same SVG runs its scripts, so the check below can fail.
    default.connection.meta.client.put_object(
        Bucket=default.bucket_name,
        Key="media/shown.svg",
        Body=content.replace(b"?in=", b"?in=before-"),
        ContentType="image/svg+xml",
    )
    assert tab.evaluate(SHOWN, default.url("shown.svg")) == [7, 5]
    until(lambda: {"before-iframe", "before-object", "before-embed"} <= set(ran))
    tab.goto(f"{address}/")

    assert tab.evaluate(SHOWN, default.url(name)) == [7, 5]
    other = browser.new_page()
    other.goto(f"{address}/")
    with other.expect_download() as download:
        other.evaluate("address => { location.href = address }", default.lasting_url(name))
    assert download.value.suggested_filename == "logo.svg"
    with suppress(Error):  # Chromium doesn't report the end of every request
        tab.wait_for_load_state("networkidle", timeout=10_000)
    assert tab.evaluate("fetch('/ran?in=last').then(answer => answer.ok)")
    assert [each for each in ran if not each.startswith("before-")] == ["last"]
    other.close()
