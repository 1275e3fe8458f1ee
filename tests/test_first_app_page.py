"""Follow docs/first-app.md in a new project, then check, test, and serve the app, and use it in Chromium."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from pytest_cookies.plugin import Cookies

from tests import screenshots
from tests.answers import FIXED, ROOT
from tests.browser import Console, browser, picture
from tests.installed import Installed, fetch
from tests.machine import free_port, read_when_up, run, running
from tests.pages import blocks, follow

PAGE = ROOT / "docs" / "first-app.md"
PASSWORD = "a-password-for-this-test"
PDF = b"%PDF-1.7\n".ljust(184_000)
WALKS = [
    ("Over the moor", "#d9cdea", "#33235b"),
    ("Around the lake", "#cfe8ef", "#0b3954"),
    ("Up to the lookout", "#f2c9a1", "#23395b"),
]
MEMBER = f"""
from users.models import User
User.objects.create_user("member", password={PASSWORD!r})
"""


@dataclass
class Site:
    """The project with the new app, the site that serves it, and the URL of its uploads bucket."""

    project: Path
    address: str
    s3: str
    media: str


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def site(cookies_session: Cookies, template: Path, install: Callable[[str], Installed]) -> Iterator[Site]:
    """Follow the page up to `make run`, then write the remaining files while the site runs."""
    answers = FIXED | {"project_name": "Fell & Dale", "django_version": "5.2"}
    project = cookies_session.bake(extra_context=answers, template=str(template)).project_path
    install("5.2").lend(project)
    port, started = free_port(), False
    steps = iter(blocks(PAGE))
    for block in steps:
        if block.language != "sh":
            follow(block, project)
            continue
        for command in block.code.splitlines():
            if command == "make run":
                started = True
            else:
                run(*command.split(), cwd=project)
        if started:
            break
    assert started
    superuser = "createsuperuser --no-input --username anna --email anna@example.com"
    run(*f".venv/bin/python manage.py {superuser}".split(), cwd=project, DJANGO_SUPERUSER_PASSWORD=PASSWORD)
    with running("make", "run", f"PORT={port}", "S3_PORT=0", cwd=project) as server:
        s3 = server.wait_for(r"local S3 server at (http://\S+?),")[1]
        server.wait_for(r"Quit the server with CONTROL-C\.")
        address = f"http://127.0.0.1:{port}/"
        read_when_up(address)
        for block in steps:
            if block.language != "sh":
                follow(block, project)
        yield Site(project, address, s3, f"{s3}/{FIXED['media_bucket_name']}/media/")


def log_in(page: Page, site: Site, name: str) -> None:
    page.goto(f"{site.address}walks/")
    page.get_by_role("link", name="Sign in").click()
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{site.address}walks/")


def fill(page: Page, title: str, photo: bytes) -> None:
    """Fill in the form, and wait until S3 has both files."""
    name = title.lower().replace(" ", "-")
    page.get_by_label("Title").fill(title)
    page.get_by_label("Photo").set_input_files(
        {"name": f"{name}.png", "mimeType": "image/png", "buffer": photo + bytes(2_100_000)}
    )
    pdf = {"name": f"{name}.pdf", "mimeType": "application/pdf", "buffer": PDF}
    page.get_by_label("Route (PDF)").set_input_files(pdf)
    expect(page.locator(".s3kit-file[data-state=done]")).to_have_count(2)


@pytest.mark.slow
def test_walk_is_added_and_displayed(site: Site, chromium: Browser) -> None:
    page = chromium.new_context(**screenshots.DESKTOP).new_page()
    console = Console(page)
    posted: list[int] = []
    sent: list[str] = []
    page.on("request", lambda each: sent.append(each.url) if each.method == "PUT" else None)
    page.on(
        "requestfinished",
        lambda each: posted.append(each.sizes()["requestBodySize"]) if each.method == "POST" else None,
    )
    log_in(page, site, "anna")
    for seed, (title, sky, near) in enumerate(WALKS):
        page.get_by_role("link", name="Add a walk").click()
        fill(page, title, picture(1500, 1000, (sky, near), seed))
        if seed == 0:
            page.get_by_role("button", name="Add the walk").focus()
            screenshots.take(page, "walk-form")
        page.get_by_role("button", name="Add the walk").click()
        expect(page.get_by_role("heading", name=title)).to_be_visible()
    assert len(sent) == 2 * len(WALKS)
    assert all(url.startswith(f"{site.s3}/") for url in sent)
    assert max(posted) < 10_000  # the files didn't pass through the site
    assert console.errors == []

    images = page.locator(".walks img")
    sizes = images.evaluate_all(
        "all => Promise.all(all.map((image) => image.decode().then(() => image.naturalWidth)))"
    )
    assert sizes == [1500] * len(WALKS)
    screenshots.take(page, "walks")
    for link in (
        images.first.get_attribute("src"),
        page.get_by_role("link", name=re.compile("^Route")).first.get_attribute("href"),
    ):
        assert link
        assert link.startswith(site.media)
        assert page.request.get(link).ok
        assert page.request.get(link.partition("?")[0]).status == 403
    assert page.request.get(link).body() == PDF


@pytest.mark.slow
def test_a_file_that_is_not_a_pdf_is_rejected_at_its_field(site: Site, chromium: Browser) -> None:
    page = chromium.new_page()
    log_in(page, site, "anna")
    page.goto(f"{site.address}walks/add/")
    script = {"name": "route.pdf", "mimeType": "application/pdf", "buffer": b"<script>alert(1)</script>"}
    page.get_by_label("Route (PDF)").set_input_files(script)
    expect(page.get_by_text("This file is not a PDF.", exact=True)).to_be_visible()


@pytest.mark.slow
def test_only_members_with_the_permission_can_add_a_walk(site: Site, chromium: Browser) -> None:
    run(".venv/bin/python", "manage.py", "shell", "-c", MEMBER, cwd=site.project)
    page = chromium.new_page()
    log_in(page, site, "member")
    expect(page.get_by_role("link", name="Add a walk")).to_have_count(0)
    answer = page.goto(f"{site.address}walks/add/")
    assert answer
    assert answer.status == 403


@pytest.mark.slow
def test_commands_for_aws_work_on_the_local_s3_server(site: Site) -> None:
    """The local S3 server replaces AWS, for which USE_S3=true is meant."""
    commands = [
        line for block in blocks(PAGE) for line in block.code.splitlines() if line.startswith("USE_S3=true ")
    ]
    environment = {
        "AWS_S3_ENDPOINT_URL": site.s3,
        "AWS_SHARED_CREDENTIALS_FILE": str(site.project / "var" / "s3" / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    published, checked = (run("sh", "-c", command, cwd=site.project, **environment) for command in commands)
    assert re.search(r"^\d+ files as \d+ objects: [1-9]\d+ uploaded, 0 unchanged", published)
    assert re.search(r"^1 can't tell, \d+ ok\.$", checked, re.MULTILINE)  # only AWS has an account
    code = "from django.templatetags.static import static; print(static('walks/walks.css'))"
    shell = (".venv/bin/python", "manage.py", "shell", "--verbosity", "0", "-c", code)
    production = {"USE_S3": "true", "DJANGO_DEBUG": "false", "DJANGO_ALLOWED_HOSTS": "127.0.0.1"}
    address = run(*shell, cwd=site.project, **environment | production).strip()
    assert address.startswith(f"{site.s3}/{FIXED['static_bucket_name']}/static/walks/walks.")
    assert fetch(address)[0] == 200


@pytest.mark.slow
def test_linter_type_checker_and_tests_pass(site: Site) -> None:
    """They ignore the local S3 server's files in var/, even outside a git repository."""
    assert "All checks passed!" in run("make", "--old-file", ".venv", "lint", cwd=site.project)
    assert re.fullmatch(
        r"\d+ files already formatted\n", run(".venv/bin/ruff", "format", "--check", ".", cwd=site.project)
    )
    # tests/test_owner.py runs all tests of a project with an app.
    printed = run(".venv/bin/pytest", "walks", "tests/test_site.py", cwd=site.project)
    assert re.search(r"^walks/tests\.py \.\. ", printed, re.MULTILINE)


def test_page_has_at_most_220_lines() -> None:
    assert len(PAGE.read_text("utf-8").splitlines()) <= 220
