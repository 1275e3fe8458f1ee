"""Follow the library's README: from `startproject` to a deployed page and a clean doctor report."""

import re
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.ministack import anonymous
from tests.new_sites import Install, NewSite, blocks
from tests.processes import ROOT, Started, free_port, until

pytestmark = pytest.mark.slow

README = (ROOT / "README.md").read_text("utf-8")

# Every supported Django and Python, once. Django 6.0 and later need Python 3.12. The template's tests
# run projects on 6.1 with Python 3.12.
PAIRS = [("3.11", "5.2"), ("3.12", "6.0"), ("3.13", "6.1")]

SAVE = (
    "from django.core.files.storage import default_storage as s; from django.core.files.base import ContentFile;"
    " n = s.save('letter.txt', ContentFile(b'private')); print('saved', s.url(n))"
)


def code(language: str) -> list[str]:
    """Return the README's code blocks in a language."""
    return [block.code for block in blocks(README) if block.language == language]


@pytest.fixture(params=PAIRS, ids=lambda pair: f"python{pair[0]}-django{pair[1]}")
def site(request: pytest.FixtureRequest, install: Install, tmp_path: Path) -> NewSite:
    """Return a new site with the library installed."""
    python = install(*request.param)
    subprocess.run([python, "-m", "django", "startproject", "mysite", tmp_path], check=True)
    return NewSite(tmp_path, python)


def test_readme_steps_lead_to_a_clean_doctor_report(site: NewSite, started_processes: list[Started]) -> None:
    with site.settings.open("a", encoding="utf-8") as file:
        file.write("\n" + "\n".join(code("python")))
    assert "no issues" in site.run("check")
    assert "No changes detected" in site.run("makemigrations", "--check", "--dry-run")
    port = free_port()
    server = site.manage("s3", "run", "--port", port, "--s3-port", 0)
    started_processes.append(server)
    endpoint = server.wait_for(r"local S3 server at (http://127\.0\.0\.1:\d+),")[1]

    # In a second terminal, as the README says.
    local = next(block for block in code("sh") if "--local" in block)
    for line in local.strip().splitlines():
        printed = site.run(*line.removeprefix("python manage.py ").split())
    assert "not ok" not in printed
    assert re.search(r"\d+ ok", printed)
    link = re.search(r"saved (\S+)", site.run("shell", "-c", SAVE))
    assert link
    assert link[1].startswith(f"{endpoint}/example-media-k3v9qz/media/letter.txt?")
    assert anonymous(link[1]).body == b"private"
    assert anonymous(link[1].partition("?")[0]).status == 403

    # As in production, the page's files come from S3.
    with site.settings.open("a", encoding="utf-8") as file:
        file.write('DEBUG = False\nALLOWED_HOSTS = ["127.0.0.1"]\n')
    port = free_port()
    page = site.manage("runserver", "--noreload", port)
    started_processes.append(page)

    def login() -> str:
        with suppress(OSError):
            return anonymous(f"http://127.0.0.1:{port}/admin/login/").body.decode()
        return ""

    css = re.search(r'href="([^"]+base\.[0-9a-f]+\.css)"', until(login))
    assert css
    assert css[1].startswith(f"{endpoint}/example-static-k3v9qz/static/admin/css/base.")
    assert anonymous(css[1]).status == 200


def test_readme_links_exist() -> None:
    links = re.findall(r"https://github\.com/org/django-s3-template/blob/main/([^)#]+)", README)
    assert links
    assert [link for link in links if not (ROOT.parent / link).is_file()] == []


def test_readme_has_at_most_80_lines() -> None:
    assert len(README.splitlines()) <= 80
