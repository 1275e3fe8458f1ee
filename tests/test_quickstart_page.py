"""Follow docs/quickstart.md: its commands print the output shown, and the screenshots show the site."""

import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests import screenshots
from tests.answers import ROOT
from tests.browser import Console, browser, picture
from tests.hook import config_in
from tests.installed import Installed
from tests.machine import free_port, read_when_up, run, run_in_terminal, running
from tests.pages import blocks, shows

PAGE = ROOT / "docs" / "quickstart.md"
HILLS = ROOT / "docs" / "images" / "hills.jpg"
PASSWORD = "a-password-for-this-test"

PROMPTS = ["Username: ", "Email address: ", "Password: ", "Password (again): "]

# The pictures in the README's gallery: descriptions, sizes, and colors.
PICTURES = [
    ("Terraces before the harvest", 1000, 1300, "#e4e9c6", "#2f4a2b"),
    ("Blue hour at the coast", 1900, 1100, "#cfe8ef", "#0b3954"),
    ("Heather on the moor", 1200, 1200, "#d9cdea", "#33235b"),
    ("First snow on the ridge", 1800, 1100, "#eef2f5", "#3d5063"),
    ("Red dunes at noon", 1500, 1100, "#f7d6bf", "#6b2d26"),
    ("Last light in the valley", 1700, 1100, "#f2c9a1", "#23395b"),
]
ADD = """
import json
from django.core.files.uploadedfile import SimpleUploadedFile
from gallery.forms import PictureForm
for path, alt in json.load(open({list!r})):
    with open(path, "rb") as file:
        form = PictureForm({{"alt": alt}}, {{"file": SimpleUploadedFile("picture.png", file.read())}})
    assert form.is_valid(), form.errors
    form.save()
"""


@dataclass
class Site:
    """The site that the page builds, and the output of each command."""

    address: str
    project: Path
    printed: dict[str, str]


def commands() -> list[str]:
    """Return the page's commands."""
    return [line for block in blocks(PAGE) if block.language == "sh" for line in block.code.splitlines()]


def test_the_readme_and_the_first_page_begin_with_the_same_commands() -> None:
    for name in ("README.md", "docs/index.md"):
        first = blocks(ROOT / name)[0]
        typed = (
            re.findall(r"^\$ (.+)$", first.code, re.MULTILINE)
            if first.language == "console"
            else [first.code]
        )
        assert re.split(r" && |\n", "\n".join(typed).strip()) == commands()[:3], name


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def site(
    template: Path, install: Callable[[str], Installed], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Run the page's commands in order, with this template, free ports, and installed packages."""
    home = tmp_path_factory.mktemp("home").resolve()
    create, enter, start, *later = commands()
    printed = {}
    words = shlex.split(create.replace("gh:org/django-s3-template", shlex.quote(str(template))))
    assert words[:2] == ["uvx", "cookiecutter"]
    config = config_in(tmp_path_factory.mktemp("cookiecutter"))
    enters = [("): ", "")] * 7
    printed[create] = run_in_terminal(
        *(sys.executable, "-m", *words[1:]), cwd=home, typed=enters, COOKIECUTTER_CONFIG=str(config)
    )
    project = home / enter.removeprefix("cd ")
    install("5.2").lend(project)
    port = free_port()
    with running(*start.split(), f"PORT={port}", "S3_PORT=0", cwd=project) as server:
        server.wait_for(r"Quit the server with CONTROL-C\.")
        s3 = server.wait_for(r"local S3 server at http://127\.0\.0\.1:(\d+),")[1]
        address = f"http://127.0.0.1:{port}/"
        read_when_up(address)
        usual = {f":{port}": ":8000", f":{s3}": ":9000", str(home): "/home/me"}
        printed[start] = server.output
        for mine, other in usual.items():
            printed[start] = printed[start].replace(mine, other)
        for command in later:
            words = command.split()
            if words[-1] == "createsuperuser":
                answers = list(zip(PROMPTS, ["anna", "anna@example.com", PASSWORD, PASSWORD], strict=True))
                printed[command] = run_in_terminal(*words, cwd=project, typed=answers)
            else:
                printed[command] = run(*words, cwd=project, COLUMNS="80")
        yield Site(address, project, printed)


@pytest.mark.slow
def test_the_commands_print_what_the_page_shows(site: Site) -> None:
    compared, last = [], ""
    for block in blocks(PAGE):
        if block.language == "sh":
            last = block.code.splitlines()[-1]
        else:
            assert shows(block.code, site.printed[last]), f"{block.code}\nis not in\n{site.printed[last]}"
            compared.append(last)
    assert compared == list(site.printed)
    (first_page,) = (block for block in blocks(ROOT / "docs" / "index.md") if block.language == "text")
    assert shows(first_page.code, site.printed["make run"])


@pytest.mark.slow
def test_a_picture_is_added_as_the_page_shows(site: Site, chromium: Browser, tmp_path: Path) -> None:
    context = chromium.new_context(**screenshots.DESKTOP)
    page = context.new_page()
    console = Console(page)
    page.goto(site.address)
    expect(page.get_by_role("heading", name="No pictures yet")).to_be_visible()
    screenshots.take(page, "empty")

    page.get_by_role("link", name="Sign in").click()
    page.get_by_label("Username").fill("anna")
    page.get_by_label("Password").fill(PASSWORD)
    screenshots.take(page, "sign-in")
    page.get_by_role("button", name="Sign in").click()

    page.get_by_role("link", name="Add the first picture").click()
    file = tmp_path / "Evening hills.jpg"
    file.write_bytes(HILLS.read_bytes() + bytes(3_000_000))
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 300_000}
    network = context.new_cdp_session(page)
    network.send("Network.emulateNetworkConditions", slow)
    page.get_by_label("Picture or video").set_input_files(file)
    page.get_by_label("Description").fill("Hills in the evening")
    page.wait_for_function("() => document.querySelector('progress')?.position > 0.4")
    screenshots.take(page, "upload")
    network.send("Network.emulateNetworkConditions", slow | {"uploadThroughput": -1})
    expect(page.locator(".s3kit-file[data-state=done]")).to_contain_text("Evening hills.jpg")
    page.get_by_role("button", name="Add to the gallery").click()

    shown = page.get_by_role("img", name="Hills in the evening")
    expect(shown).to_be_visible()
    assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1600
    page.mouse.move(0, 0)
    screenshots.take(page, "added")
    link = str(shown.evaluate("image => image.src"))
    assert "X-Amz-Signature=" in link
    assert page.request.get(link.partition("?")[0]).status == 403
    assert console.errors == []
    context.close()

    page = chromium.new_context(**screenshots.PHONE).new_page()
    page.goto(site.address)
    page.get_by_role("img", name="Hills in the evening").evaluate("image => image.decode()")
    screenshots.take(page, "phone")


@pytest.mark.slow
def test_gallery_displays_all_pictures_of_the_readmes_screenshot(
    site: Site, chromium: Browser, tmp_path: Path
) -> None:
    listed = []
    for seed, (alt, width, height, sky, near) in enumerate(PICTURES):
        listed.append((str(tmp_path / f"{seed}.png"), alt))
        (tmp_path / f"{seed}.png").write_bytes(picture(width, height, (sky, near), seed))
    (tmp_path / "list.json").write_text(json.dumps(listed), "utf-8")
    code = ADD.format(list=str(tmp_path / "list.json"))
    run(".venv/bin/python", "manage.py", "shell", "--verbosity", "0", "-c", code, cwd=site.project)
    page = chromium.new_context(**screenshots.DESKTOP).new_page()
    page.goto(site.address)
    images = page.locator(".shot img")
    expect(images).to_have_count(len(PICTURES) + 1)
    images.evaluate_all("all => Promise.all(all.slice(0, 4).map((image) => image.decode()))")
    screenshots.take(page, "gallery")
