"""Follow docs/uploads.md: a site from `startproject` whose forms upload to S3, in Chromium."""

import io
import json
import os
import re
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.ministack import anonymous
from tests.new_sites import Block, Install, NewSite, blocks
from tests.processes import ROOT, Started, free_port, until

pytestmark = pytest.mark.slow

PAGE = (ROOT.parent / "docs" / "uploads.md").read_text("utf-8")
MANAGE = "python manage.py "
NAME = re.compile(r"(?:#|<!--) (?P<file>\w+/[\w./]+)(?P<more>, at the end)?(?: -->)?\n")
MP4 = b"\0\0\0\x18ftypisom\0\0\2\0isomavc1"

# Left to the reader after the first section: views for the other forms.
MORE_VIEWS = """
from django.views.generic import FormView
from cinema.forms import AlbumForm, AnyForm

class AddAlbum(LoginRequiredMixin, FormView):
    form_class, template_name, success_url = AlbumForm, "add.html", "/"

    def form_valid(self, form):
        form.save()
        return super().form_valid(form)

class AddAny(AddAlbum):
    form_class = AnyForm
"""
MORE_URLS = """
from cinema import views
urlpatterns += [
    path("album/", views.AddAlbum.as_view()),
    path("any/", views.AddAny.as_view()),
]
"""
SAVED = """
import json
from cinema import models
rows = {"Video": [(each.title, each.file.url) for each in models.Video.objects.order_by("pk")]}
if hasattr(models, "Photo"):
    rows["Photo"] = [each.image.url for each in models.Photo.objects.order_by("pk")]
from s3kit.uploads.models import Ticket
rows["tickets"] = sorted(Ticket.objects.values_list("state", flat=True))
print("ROWS", json.dumps(rows))
"""


class Tab:
    """A page of the site with a logged-in user."""

    def __init__(self, page: Page, address: str, endpoint: str) -> None:
        self.page, self.address, self.endpoint = page, address, endpoint
        self.sent = 0
        self.problems: list[str] = []
        page.on("request", self._count)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.goto(f"{address}/")  # which redirects to the login
        page.get_by_label("Username").fill("anna")
        page.get_by_label("Password").fill("a secret of Anna")
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"{address}/")

    def _count(self, request: Any) -> None:
        self.sent += request.method == "PUT" and request.url.startswith(self.endpoint)

    def add(self, path: str, files: list[Path], then: str = "/", **fields: str) -> None:
        """Choose files in a page's form, wait until S3 has them, save, and wait for the next page."""
        self.page.goto(f"{self.address}{path}")
        for label, value in fields.items():
            self.page.get_by_label(label).fill(value)
        self.page.locator("input[type=file]").set_input_files(files)
        over = self.page.locator(".s3kit-file:is([data-state=done], [data-state=failed])")
        expect(over).to_have_count(len(files))
        states = [each.get_attribute("data-state") for each in over.all()]
        assert states == ["done"] * len(files), over.all_inner_texts()
        self.page.get_by_role("button", name="Save", exact=True).click()
        self.page.wait_for_url(f"{self.address}{then}")
        expect(self.page.locator(".s3kit-file, .errorlist")).to_have_count(0)


@pytest.fixture
def steps() -> dict[str, list[Block]]:
    """Return the page's code blocks by heading."""
    parts = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)
    return {heading: blocks(text) for heading, text in zip(parts[1::2], parts[2::2], strict=True)}


def follow(block: Block, site: NewSite) -> None:
    """Write a block to the file that its first line names."""
    named = NAME.match(block.code)
    assert named, block.code
    file = site.folder / named["file"]
    file.parent.mkdir(exist_ok=True)
    with file.open("a" if named["more"] else "w", encoding="utf-8") as written:
        written.write(f"\n\n{block.code}" if named["more"] else block.code)


def words_of(line: str) -> list[str]:
    """Return the arguments of a manage.py command."""
    command, words = line[: len(MANAGE)], line[len(MANAGE) :].split()
    assert command == MANAGE
    return words


def saved(site: NewSite) -> Any:
    printed = site.run("shell", "-v", "0", "-c", SAVED)
    return json.loads(printed.rpartition("ROWS ")[2])


def answers_at(address: str) -> bool:
    with suppress(OSError):
        return anonymous(address).status < 400
    return False


def photo(path: Path) -> Path:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (20, 20, 220)).save(file, "PNG")
    path.write_bytes(file.getvalue())
    return path


def test_documented_steps_create_working_upload_forms(
    steps: dict[str, list[Block]],
    install: Install,
    tmp_path: Path,
    browser: Browser,
    started_processes: list[Started],
) -> None:
    python = install("3.12", "6.1", "images")
    (start, *files, last) = steps.pop("A form that uploads to S3")
    shell = os.environ | {"PATH": f"{python.parent}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-ec", start.code], cwd=tmp_path, env=shell, check=True)
    site = NewSite(tmp_path / "mysite", python)
    for block in files:
        follow(block, site)
    port = free_port()

    *commands, run = map(words_of, last.code.splitlines())
    admin = {"USERNAME": "anna", "EMAIL": "anna@example.com", "PASSWORD": "a secret of Anna"}
    answers = {f"DJANGO_SUPERUSER_{name}": value for name, value in admin.items()}
    for words in commands:
        site.run(*words, "--no-input", **answers)
    assert "no issues" in site.run("check")

    def serve() -> Tab:
        server = site.manage(*run, "--port", port, "--s3-port", 0)
        started_processes.append(server)
        endpoint = server.wait_for(r"local S3 server at (http://127\.0\.0\.1:\d+),")[1]
        address = f"http://127.0.0.1:{port}"
        until(lambda: answers_at(address))
        return Tab(browser.new_context().new_page(), address, endpoint)

    # The first form, without the later sections.
    tab = serve()
    video = tmp_path / "Lake.mp4"
    video.write_bytes(MP4 + os.urandom(17 * 2**20))
    tab.add("/", [video], Title="A lake")
    ((title, link),) = saved(site)["Video"]
    assert title == "A lake"
    assert link.startswith(f"{tab.endpoint}/example-media-k3v9qz/media/videos/Lake-")
    assert anonymous(link).body == video.read_bytes()
    assert saved(site)["tickets"] == ["accepted"]
    assert (tab.sent, tab.problems) == (2, [])  # parts
    started_processes[0].end()

    # Each later section adds to it.
    later = [block for section in steps.values() for block in section]
    for block in later:
        if block.language != "sh":
            follow(block, site)
    for name, more in (("cinema/views.py", MORE_VIEWS), ("mysite/urls.py", MORE_URLS)):
        with (site.folder / name).open("a", encoding="utf-8") as written:
            written.write(more)
    site.run("makemigrations", "cinema")
    assert "no issues" in site.run("check")
    tab = serve()
    tab.add("/album/", [photo(tmp_path / "one.png"), photo(tmp_path / "two.png")])
    tab.add("/any/", [photo(tmp_path / "three.png")])
    tab.add("/any/", [video])
    rows = saved(site)
    names = [re.sub(r".*/media/|-[0-9a-z]{13}|\?.*", "", link) for link in rows["Photo"]]
    assert names == ["photos/one.png", "photos/two.png", "photos/three.png"]
    assert [title for title, _link in rows["Video"]] == ["A lake", "Lake.mp4"]
    assert rows["tickets"] == ["accepted"] * 5
    assert (tab.sent, tab.problems) == (5, [])
    for block in later:
        if block.language == "sh":
            site.run(*words_of(block.code))


def test_every_code_block_is_followed(steps: dict[str, list[Block]]) -> None:
    followed = [block for section in steps.values() for block in section]
    assert PAGE.count("\n```\n") == len(followed)
    (start, *files, last) = steps["A form that uploads to S3"]
    assert start.language == last.language == "sh"
    code = [line for block in files for line in NAME.sub("", block.code).splitlines() if line.strip()]
    assert len(code) <= 40  # one screen


def test_page_has_at_most_200_lines() -> None:
    assert len(PAGE.splitlines()) <= 200
