"""The site in a real browser, on a desktop and a phone: its pages, sign-in, and uploads."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Response, ViewportSize, expect
from pytest_cookies.plugin import Cookies

from tests.answers import FIXED
from tests.browser import DESKTOP, PHONE, SCREENSHOTS, Console, browser, picture, wait_for_focus
from tests.installed import Installed
from tests.machine import free_port, read_when_up, running

pytestmark = pytest.mark.slow

PASSWORD = "a-password-for-this-test"


@dataclass(frozen=True)
class Site:
    """A running site, and the URLs of its two buckets."""

    address: str
    static: str
    media: str


@pytest.fixture(scope="module")
def site(cookies_session: Cookies, template: Path, install: Callable[[str], Installed]) -> Iterator[Site]:
    """Bake a project, create a staff user, and run the site without debug mode on the local S3 server."""
    answers = FIXED | {"project_name": "O'Neil's Pictures", "django_version": "5.2"}
    project = cookies_session.bake(extra_context=answers, template=str(template)).project_path
    install("5.2").lend(project)
    command = (
        ".venv/bin/python",
        "manage.py",
        "s3",
        "run",
        "--no-debug",
        "--port",
        free_port(),
        "--s3-port",
        0,
    )
    create = "createsuperuser --no-input --username anna --email anna@example.com"
    with running(*command, "--first", create, cwd=project, DJANGO_SUPERUSER_PASSWORD=PASSWORD) as server:
        found = server.wait_for(
            r"The site is at (\S+/)\. Its uploads are on the local S3 server at (http://\S+?),"
        )
        read_when_up(found[1])
        yield Site(
            address=found[1],
            static=f"{found[2]}/{FIXED['static_bucket_name']}/static/",
            media=f"{found[2]}/{FIXED['media_bucket_name']}/media/",
        )


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


def no_side_scroll(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize(("name", "size"), [("desktop", DESKTOP), ("phone", PHONE)])
def test_picture_is_uploaded_and_displayed(
    site: Site, chromium: Browser, name: str, size: ViewportSize
) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    context = chromium.new_context(viewport=size, is_mobile=name == "phone", has_touch=name == "phone")
    page = context.new_page()
    console = Console(page)
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))  # Playwright modifies its arguments

    page.goto(site.address)
    expect(page).to_have_title("O'Neil's Pictures")
    expect(page.locator("html")).to_have_attribute("data-enhanced", "true")  # the modules have run by then
    fonts = "Array.from(document.fonts).filter(font => font.status === 'loaded').length"
    assert page.evaluate(f"document.fonts.ready.then(() => {fonts})") >= 1
    assert no_side_scroll(page)

    page.get_by_role("link", name="Sign in").click()
    page.get_by_label("Username").fill("anna")
    page.get_by_label("Password").fill(PASSWORD)
    page.screenshot(path=SCREENSHOTS / f"{name}-sign-in.png")
    page.get_by_role("button", name="Sign in").click()

    page.get_by_role("link", name="Add a picture").or_(
        page.get_by_role("link", name="Add the first picture")
    ).first.click()
    page.wait_for_url("**/pictures/add/")
    page.get_by_label("Picture or video").set_input_files(
        {"name": "hills.png", "mimeType": "image/png", "buffer": picture(1600, 1000, ("#f2c9a1", "#23395b"))}
    )
    page.get_by_label("Description").fill(f"Hills, from a {name}")
    page.screenshot(path=SCREENSHOTS / f"{name}-form.png")
    page.get_by_role("button", name="Add to the gallery").click()

    shown = page.get_by_role("img", name=f"Hills, from a {name}")
    expect(shown).to_be_visible()
    expect(page.get_by_text("The picture was added.")).to_be_visible()
    assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1600
    assert shown.get_attribute("width") == "1600"
    assert shown.get_attribute("height") == "1000"
    assert no_side_scroll(page)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=SCREENSHOTS / f"{name}-dark.png")

    assert console.errors == []

    # Everything except pages comes from S3: static files from one bucket, the picture from the other.
    kinds: dict[str, set[str]] = {}
    for answer in answers:
        if not answer.url.startswith(("blob:", "data:")):
            kinds.setdefault(answer.request.resource_type, set()).add(answer.url)
    assert kinds.keys() >= {"document", "stylesheet", "script", "font", "image"}
    for kind in ("stylesheet", "script", "font"):
        assert all(url.startswith(site.static) for url in kinds[kind]), kinds[kind]
    assert all(url.startswith((site.static, site.media)) for url in kinds["image"]), kinds["image"]
    uploads = [url for url in kinds["image"] if url.startswith(site.media)]
    assert uploads
    assert all("X-Amz-Signature=" in url for url in uploads)
    context.close()


def test_a_script_named_png_is_rejected_on_the_form(site: Site, chromium: Browser) -> None:
    context = chromium.new_context(viewport=DESKTOP)
    page = context.new_page()
    page.goto(f"{site.address}accounts/login/?next=/pictures/add/")
    page.get_by_label("Username").fill("anna")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/pictures/add/")  # waits until the modules have run
    field = page.get_by_label("Picture or video")
    field.set_input_files({"name": "x.png", "mimeType": "image/png", "buffer": b"<script>alert(1)</script>"})
    page.get_by_label("Description").fill("No picture")
    page.get_by_role("button", name="Add to the gallery").click()
    expect(field).to_have_attribute("aria-invalid", "true")
    note = page.locator(".s3kit-note")
    expect(note).to_contain_text("This file is not a picture we can show.")
    wait_for_focus(note)
    page.screenshot(path=SCREENSHOTS / "rejected.png")
    context.close()


def test_form_works_without_javascript(site: Site, chromium: Browser) -> None:
    context = chromium.new_context(viewport=DESKTOP, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site.address}accounts/login/?next=/pictures/add/")
    page.get_by_label("Username").fill("anna")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Picture or video").set_input_files(
        {"name": "sea.png", "mimeType": "image/png", "buffer": picture(800, 600, ("#cfe8ef", "#0b3954"))}
    )
    page.get_by_label("Description").fill("The sea")
    page.get_by_role("button", name="Add to the gallery").click()
    expect(page.get_by_role("img", name="The sea")).to_be_visible()
    page.get_by_role("link", name=re.compile("Delete ?: The sea")).click()
    page.get_by_role("button", name="Delete the picture").click()
    expect(page.get_by_text("The picture was deleted.")).to_be_visible()
    expect(page.get_by_role("img", name="The sea")).to_have_count(0)
    context.close()


# The output of Django's form.as_p and form.as_div.
PLAIN = """<form id="plain"><p><label for="a">Title:</label> <input type="text" id="a">
<span class="helptext">As on the cover.</span></p><div><label for="b">Text:</label><textarea id="b"></textarea></div>
<p><label for="c">Lent:</label> <input type="checkbox" id="c"></p><button>Save</button></form>"""


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_plain_django_form_has_the_sites_style(site: Site, chromium: Browser, size: ViewportSize) -> None:
    page = chromium.new_page(viewport=size)
    page.goto(f"{site.address}accounts/login/")
    style = "(element, name) => getComputedStyle(element).getPropertyValue(name)"
    page.locator("main").evaluate("(main, html) => main.insertAdjacentHTML('beforeend', html)", PLAIN)
    plain, own = page.locator("#plain"), page.locator(".narrow")
    for name in (
        "border-top-color",
        "background-color",
        "font-family",
        "width",
        "padding-left",
        "min-height",
    ):
        wanted = own.get_by_label("Username").evaluate(style, name)
        assert [plain.locator(at).evaluate(style, name) for at in ("#a", "#b")] == [wanted, wanted]
    for name in ("background-color", "color", "min-height"):
        button = own.get_by_role("button").evaluate(style, name)
        assert plain.get_by_role("button").evaluate(style, name) == button
    title = plain.get_by_text("Title:").bounding_box()
    field = plain.locator("#a").bounding_box()
    check = plain.locator("#c").bounding_box()
    assert title
    assert field
    assert check
    assert title["y"] + title["height"] <= field["y"]
    assert check["width"] < 30
    assert no_side_scroll(page)
    page.close()


def test_a_date_stays_on_one_line_under_a_portrait(site: Site, chromium: Browser) -> None:
    page = chromium.new_page(viewport=DESKTOP)
    page.goto(f"{site.address}accounts/login/?next=/pictures/add/")
    page.get_by_label("Username").fill("anna")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/pictures/add/")
    tower = {"name": "t.png", "mimeType": "image/png", "buffer": picture(300, 1200, ("#f2c9a1", "#23395b"))}
    page.get_by_label("Picture or video").set_input_files(tower)
    page.get_by_label("Description").fill("A tower")
    page.get_by_role("button", name="Add to the gallery").click()
    expect(page.locator(".opening .edge")).to_have_text(
        re.compile(r"^\d+ (picture or video|pictures and videos), ")
    )
    date = page.locator(".frame").filter(has_text="A tower").locator("time")
    assert date.evaluate(
        "e => e.getBoundingClientRect().height < 1.9 * parseFloat(getComputedStyle(e).fontSize)"
    )
    page.goto(f"{site.address}admin/gallery/picture/add/")
    expect(page).to_have_title(re.compile("^Add a picture or video"))
    page.close()
