"""The Content-Security-Policy in a real browser: it blocks attacks, and nothing that the site needs.

Runs in each access mode without debug mode, with both buckets on one host and port, and once on local disk.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page, Route, expect
from pytest_cookies.plugin import Cookies

from tests.answers import FIXED
from tests.browser import DESKTOP, Console, browser, picture, settle
from tests.installed import Installed
from tests.machine import free_port, read_when_up, run, running

pytestmark = pytest.mark.slow

PASSWORD = "a-password-for-this-test"
MODES = ["private", "public-read", "public-policy", "local"]
# For tests that don't depend on the access mode.
with_and_without_s3 = pytest.mark.parametrize("site", ["private", "local"], indirect=True)
on_s3 = pytest.mark.parametrize("site", ["private"], indirect=True)

NO_ICON = "error: Failed to load resource: the server responded with a status of 404 (Not Found)"

# The console's message names the directive.
LISTEN = """
window.violations = [];
addEventListener("securitypolicyviolation", (event) =>
    window.violations.push(`${event.effectiveDirective} ${event.blockedURI}`));
"""


@dataclass(frozen=True)
class Site:
    """A running site; `media` is the URL of its uploads."""

    address: str
    media: str
    on_s3: bool


@contextmanager
def serving(project: Path, folder: Path, mode: str) -> Iterator[Site]:
    """Run the site in an access mode, with its own database and S3 server."""
    python, port = ".venv/bin/python", free_port()
    environment = {
        "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
        "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
        "DJANGO_SITE_ORIGINS": f"http://127.0.0.1:{port}",
    }
    create = ("createsuperuser", "--no-input", "--username", "anna", "--email", "anna@example.com")
    if mode in MODES[:3]:
        words = ["s3", "run", "--no-debug", "--port", port, "--s3-port", 0, "--first", " ".join(create)]
        environment["AWS_MEDIA_ACCESS"] = mode
        with running(python, "manage.py", *words, cwd=project, **environment) as server:
            found = server.wait_for(
                r"The site is at (\S+/)\. Its uploads are on the local S3 server at (http://\S+?),"
            )
            read_when_up(found[1])
            yield Site(found[1], f"{found[2]}/{FIXED['media_bucket_name']}/media/", on_s3=True)
        return
    environment |= {"USE_S3": "false", "DJANGO_ENV_FILE": os.devnull}
    environment |= {"DJANGO_DEBUG": "true", "DJANGO_SECRET_KEY": "x" * 50}
    run(python, "manage.py", "migrate", "-v", "0", cwd=project, **environment)
    run(python, "manage.py", *create, cwd=project, **environment)
    with running(python, "manage.py", "runserver", port, "--noreload", cwd=project, **environment):
        address = f"http://127.0.0.1:{port}/"
        read_when_up(address)
        yield Site(address, f"{address}media/", on_s3=False)


@pytest.fixture(scope="module", params=MODES)
def site(
    request: pytest.FixtureRequest,
    cookies_session: Cookies,
    template: Path,
    install: Callable[[str], Installed],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    # Each Django version has a different admin, so alternate between the versions.
    django = "5.2" if request.param == "local" else "6.1"
    answers = FIXED | {"django_version": django}
    project = cookies_session.bake(extra_context=answers, template=str(template)).project_path
    install(django).lend(project)
    with serving(project, tmp_path_factory.mktemp("site"), request.param) as running_site:
        yield running_site


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport=DESKTOP)
    context.add_init_script(LISTEN)
    yield context.new_page()
    context.close()


def violations(page: Page) -> list[str]:
    return page.evaluate("window.violations")


def sign_in(page: Page, site: Site) -> None:
    page.goto(f"{site.address}accounts/login/")
    page.get_by_label("Username").fill("anna")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def add_picture(page: Page, site: Site, description: str) -> None:
    page.goto(f"{site.address}pictures/add/")
    page.get_by_label("Picture or video", exact=True).set_input_files(
        {"name": "hills.png", "mimeType": "image/png", "buffer": picture(800, 500, ("#f2c9a1", "#23395b"))}
    )
    shown = page.locator("[data-preview] img")
    expect(shown).to_be_visible()
    assert str(shown.get_attribute("src")).startswith("blob:")
    assert violations(page) == []
    page.get_by_label("Description").fill(description)
    page.get_by_role("button", name="Add to the gallery").click()
    expect(page.get_by_text("The picture was added.")).to_be_visible()


def test_no_page_violates_the_policy(site: Site, page: Page) -> None:
    console = Console(page)

    def is_clean(*expected: str) -> None:
        settle(page)
        assert violations(page) == []
        assert [error for error in console.errors if not error.startswith(expected or ("none",))] == []
        console.errors.clear()

    page.goto(site.address)
    expect(page.locator("html")).to_have_attribute("data-enhanced", "true")
    is_clean()
    sign_in(page, site)
    is_clean()
    for description in ("Hills", "More hills"):
        add_picture(page, site, description)
        is_clean()
    shown = page.get_by_role("img", name="More hills")
    assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") == 800
    assert str(shown.get_attribute("src")).startswith(
        site.media if site.on_s3 else site.media.removeprefix(site.address[:-1])
    )
    shown.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_role("button", name="Next").click()
    is_clean()
    page.goto(site.address)
    page.get_by_role("link", name=re.compile("Delete ?: More hills")).click()
    page.get_by_role("button", name="Delete the picture").click()
    expect(page.get_by_text("The picture was deleted.")).to_be_visible()
    is_clean()

    page.goto(f"{site.address}no-such-page")
    is_clean("404", "error: Failed to load resource")
    page.goto(f"{site.address}pictures/add/")
    page.context.clear_cookies(name="csrftoken")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading")).to_contain_text("has expired")
    is_clean("403", "error: Failed to load resource")


@with_and_without_s3
def test_the_admin_does_not_violate_the_policy(site: Site, page: Page) -> None:
    sign_in(page, site)
    settle(page)  # otherwise, navigation aborts pending requests
    console = Console(page)

    def is_clean() -> None:
        settle(page)
        assert violations(page) == []
        # The admin has no icon, so the browser requests one, which Playwright doesn't report.
        assert set(console.errors) <= {NO_ICON}
        console.errors.clear()

    for address in ("", "gallery/picture/", "users/user/", "users/user/add/", "users/user/1/password/"):
        page.goto(f"{site.address}admin/{address}")
        expect(page.locator("#site-name")).to_be_visible()
        is_clean()
    page.goto(f"{site.address}admin/users/user/?is_staff__exact=1&q=anna")
    expect(page.locator("#result_list")).to_be_visible()
    page.locator("#action-toggle").check()
    expect(page.get_by_text("1 of 1 selected")).to_be_visible()
    is_clean()

    page.goto(f"{site.address}admin/users/user/1/change/")
    page.get_by_role("link", name=re.compile("Choose a Date|calendar", re.IGNORECASE)).or_(
        page.locator("#calendarlink0")
    ).first.click()
    expect(page.locator("#calendarbox0")).to_be_visible()
    page.locator("#calendarbox0").get_by_role("link", name="Today").or_(
        page.locator("#calendarbox0 .calendar-shortcuts").get_by_text("Today")
    ).first.click()
    expect(page.locator("#calendarbox0")).to_be_hidden()
    expect(page.locator("#id_user_permissions_from option")).not_to_have_count(0)
    page.locator("#id_user_permissions_from option").first.dblclick()
    expect(page.locator("#id_user_permissions_to option")).to_have_count(1)
    is_clean()
    page.get_by_role("button", name="Save", exact=True).or_(page.locator("input[name=_save]")).first.click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    is_clean()


# Each attack, as the browser's console names it, and the directive that blocks it.
ATTACKS = [
    ("add('script', {textContent: 'window.hit = 1'})", "script-src-elem inline"),
    ("write('<img src=x onerror=\"window.hit = 1\">')", "script-src-attr inline"),
    ("setTimeout('window.hit = 1')", "script-src eval"),
    ("add('script', {src: MEDIA})", "script-src-elem MEDIA"),
    ("add('script', {src: ELSEWHERE})", "script-src-elem ELSEWHERE"),
    ("write('<p style=\"color: red\">')", "style-src-attr inline"),
    ("add('link', {rel: 'stylesheet', href: MEDIA})", "style-src-elem MEDIA"),
    ("add('img', {src: ELSEWHERE})", "img-src ELSEWHERE"),
    ("add('video', {src: ELSEWHERE})", "media-src ELSEWHERE"),
    ("fetch(ELSEWHERE).catch(() => {})", "connect-src ELSEWHERE"),
    ("add('iframe', {src: ELSEWHERE})", "frame-src ORIGIN"),
    ("add('base', {href: ELSEWHERE})", "base-uri ELSEWHERE"),
    ("add('form', {action: ELSEWHERE, method: 'post'}).submit()", "form-action ELSEWHERE"),
]
TOOLS = """
window.add = (tag, given) => {
    const made = Object.assign(document.createElement(tag), given);
    document.body.append(made);
    return made;
};
window.write = (html) => document.body.insertAdjacentHTML("beforeend", html);
"""


@with_and_without_s3
def test_attacks_are_blocked(site: Site, page: Page) -> None:
    page.goto(site.address)
    page.evaluate(TOOLS)
    # An upload with a script's content type. S3 never sends X-Content-Type-Options.
    origin = f"http://127.0.0.1:{free_port()}"  # the browser reports no details for frames
    names = {"MEDIA": f"{site.media}pictures/x.js", "ELSEWHERE": f"{origin}/x", "ORIGIN": origin}
    for code, stopped in ATTACKS:
        if not site.on_s3 and "MEDIA" in code:
            continue  # without S3, the site serves uploads
        for name, address in names.items():
            code, stopped = code.replace(name, repr(address)), stopped.replace(name, address)
        page.evaluate(f"() => {{ {code} }}")
        with suppress(Error):
            page.wait_for_function("it => window.violations.includes(it)", arg=stopped)
        assert stopped in violations(page), code
    assert page.evaluate("window.hit") is None
    assert page.url == site.address


# Bootstrap 5 draws its check mark this way.
CHECKBOX = """
const sheet = new CSSStyleSheet();
sheet.replaceSync(`input:checked[type=checkbox] {
    appearance: none;
    background-image: url("data:image/svg+xml,%3csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 2 2'/%3e");
}`);
document.adoptedStyleSheets = [sheet];
add("input", {type: "checkbox", checked: true}).getBoundingClientRect();
"""


@with_and_without_s3
def test_third_party_widgets_work(site: Site, page: Page) -> None:
    sign_in(page, site)
    add_picture(page, site, "Hills to read")
    page.evaluate(TOOLS)
    page.evaluate(f"() => {{ {CHECKBOX} }}")
    drawn = "data:image/svg+xml,%3csvg xmlns='http://www.w3.org/2000/svg' width='3' height='2'/%3e"
    load = "async (src) => { const it = add('img', {src}); await it.decode(); return it.naturalWidth }"
    assert page.evaluate(load, drawn) == 3
    # Croppers, canvases, and document viewers read the file with a script. The page itself loads it without CORS.
    source = page.get_by_role("img", name="Hills to read").get_attribute("src")
    read = """async (src) => {
        const it = await fetch(src, {cache: "reload"});
        return [it.status, it.headers.get("content-type").split(";")[0]];
    }"""
    assert page.evaluate(read, source) == [200, "image/png"]
    static = page.locator("link[rel=stylesheet]").first.get_attribute("href")
    assert page.evaluate(read, static) == [200, "text/css"]
    # The framed page decides who may frame it.
    with page.expect_event("console", lambda message: "frame-ancestors" in message.text):
        page.evaluate("add('iframe', {src: '/'})")
    assert violations(page) == []


@on_s3
def test_a_script_that_was_changed_on_s3_does_not_run(site: Site, page: Page) -> None:
    sign_in(page, site)
    for name, address in (("gallery/gallery", ""), ("s3kit/uploads", "pictures/add/")):
        pattern = re.compile(rf"/static/{name}\.[0-9a-f]+\.js")

        def evil(route: Route) -> None:
            headers = {"Access-Control-Allow-Origin": "*", "Content-Type": "text/javascript"}
            route.fulfill(body="window.evil = 1", headers=headers)

        page.route(pattern, evil)
        with page.expect_event("console", lambda message: "integrity" in message.text.lower()):
            page.goto(f"{site.address}{address}")
        settle(page)
        assert page.evaluate("window.evil") is None, name
        page.unroute(pattern)
