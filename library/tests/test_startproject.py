"""An existing site adds the library by its README alone: from `startproject` to a deployed page and a clean doctor."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.ministack import anonymous
from tests.processes import Started, free_port, until

pytestmark = pytest.mark.slow

LIBRARY = Path(__file__).resolve().parents[1]
README = (LIBRARY / "README.md").read_text(encoding="utf-8")

# Every line of Django and every Python that is supported, once: 6.0 and later need Python 3.12. The template's tests
# run projects on 6.1 with Python 3.12.
PAIRS = [("3.11", "5.2"), ("3.12", "6.0"), ("3.13", "6.1")]

SAVE = (
    "from django.core.files.storage import default_storage as s; from django.core.files.base import ContentFile;"
    " n = s.save('letter.txt', ContentFile(b'private')); print('saved', s.url(n))"
)


def blocks(language: str) -> list[str]:
    """Return the README's blocks of code in a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def interpreter(version: str) -> str:
    """Return a Python of this version, from PATH or pyenv's folder, or skip the test."""
    found = shutil.which(f"python{version}")
    if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
        return found
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for candidate in sorted(pyenv.glob(f"{version}.*/bin/python{version}")):
        return str(candidate)
    pytest.skip(f"No Python {version} on this machine")


Run = Callable[..., str]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the library's wheel, built as the README says."""
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, LIBRARY / "wheel.py", "--out", out], check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(params=PAIRS, ids=lambda pair: f"python{pair[0]}-django{pair[1]}")
def site(request: pytest.FixtureRequest, tmp_path: Path, wheel: Path) -> tuple[Path, Path]:
    """Return the folder of a new site with the library installed, and its Python."""
    version, django = request.param
    venv = tmp_path / "venv"
    uv = shutil.which("uv")
    assert uv, "these tests install with uv"
    subprocess.run([uv, "venv", "--quiet", "--python", interpreter(version), venv], check=True)
    python = venv / "bin" / "python"
    install = [uv, "pip", "install", "--quiet", "--python", python, f"django~={django}.0", wheel]
    subprocess.run(install, check=True)
    folder = tmp_path / "site"
    folder.mkdir()
    start = [python, "-m", "django", "startproject", "mysite", folder]
    subprocess.run(start, check=True)
    return folder, python


@pytest.fixture
def started_processes() -> Iterator[list[Started]]:
    running: list[Started] = []
    yield running
    for process in running:
        with suppress(ProcessLookupError):
            process.process.terminate()
        process.process.wait(60)


def test_from_startproject_to_a_clean_doctor(
    site: tuple[Path, Path], started_processes: list[Started]
) -> None:
    folder, python = site
    settings = folder / "mysite" / "settings.py"
    with settings.open("a", encoding="utf-8") as file:
        file.write("\n" + "\n".join(blocks("python")))
    manage = (str(python), "manage.py")

    def run(*words: str, expect: int = 0) -> str:
        command = Started(*words, command=manage, cwd=folder)
        assert command.ended() == expect, command.output
        return command.output

    assert "no issues" in run("check")
    assert "No changes detected" in run("makemigrations", "--check", "--dry-run")
    port = free_port()
    server = Started("s3", "run", "--port", port, "--s3-port", 0, command=manage, cwd=folder)
    started_processes.append(server)
    endpoint = server.wait_for(r"local S3 server at (http://127\.0\.0\.1:\d+),")[1]

    # In a second terminal, as the README says.
    local = next(block for block in blocks("sh") if "--local" in block)
    for line in local.strip().splitlines():
        printed = run(*line.removeprefix("python manage.py ").split())
    assert "not ok" not in printed
    assert re.search(r"\d+ ok", printed)
    link = re.search(r"saved (\S+)", run("shell", "-c", SAVE))
    assert link
    assert link[1].startswith(f"{endpoint}/example-media-k3v9qz/media/letter.txt?")
    assert anonymous(link[1]).body == b"private"
    assert anonymous(link[1].partition("?")[0]).status == 403

    # The page as in production: its files come from S3.
    with settings.open("a", encoding="utf-8") as file:
        file.write('DEBUG = False\nALLOWED_HOSTS = ["127.0.0.1"]\n')
    port = free_port()
    page = Started("runserver", "--noreload", port, command=manage, cwd=folder)
    started_processes.append(page)

    def login() -> str:
        with suppress(OSError):
            return anonymous(f"http://127.0.0.1:{port}/admin/login/").body.decode()
        return ""

    css = re.search(r'href="([^"]+base\.[0-9a-f]+\.css)"', until(login))
    assert css
    assert css[1].startswith(f"{endpoint}/example-static-k3v9qz/static/admin/css/base.")
    assert anonymous(css[1]).status == 200


def test_the_readme_fits_on_a_screen_or_two() -> None:
    assert len(README.splitlines()) <= 80
