"""Sites built from pages of the documentation: `startproject`, the library's wheel, and a page's code blocks."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from tests.processes import ROOT, Started


class Block(NamedTuple):
    """A code block in a document. `before` is the paragraph before it."""

    language: str
    code: str
    before: str


def blocks(text: str) -> list[Block]:
    """Return the code blocks in Markdown."""
    parts = re.split(r"^```(\w+)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [
        Block(language, code, before.strip().rpartition("\n\n")[2])
        for before, language, code in zip(parts[::3], parts[1::3], parts[2::3], strict=False)
    ]


def interpreter(version: str) -> str:
    """Return a Python of this version, from PATH or pyenv's folder, or skip the test."""
    found = shutil.which(f"python{version}")
    if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
        return found
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for candidate in sorted(pyenv.glob(f"{version}.*/bin/python{version}")):
        return str(candidate)
    pytest.skip(f"No Python {version} on this machine")


@dataclass(frozen=True)
class NewSite:
    """A site from `startproject mysite`, with the library installed."""

    folder: Path
    python: Path

    @property
    def settings(self) -> Path:
        return self.folder / "mysite" / "settings.py"

    def manage(self, *words: object, **more: str) -> Started:
        """Start a manage.py command."""
        return Started(*words, command=(str(self.python), "manage.py"), cwd=self.folder, **more)

    def run(self, *words: object, expect: int = 0, **more: str) -> str:
        """Run a manage.py command and return its output."""
        command = self.manage(*words, **more)
        assert command.ended() == expect, command.output
        return command.output


class Install(Protocol):
    def __call__(self, python: str, django: str, extra: str = "") -> Path: ...


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the library's wheel as its README describes, and return its path."""
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, ROOT / "wheel.py", "--out", out], check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def install(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Install:
    """Return a function that installs Django and the library for a Python version, and returns that Python."""

    def installed(python: str, django: str, extra: str = "") -> Path:
        venv = tmp_path_factory.mktemp("new") / "venv"
        uv = shutil.which("uv")
        assert uv, "these tests install with uv"
        subprocess.run([uv, "venv", "--quiet", "--python", interpreter(python), venv], check=True)
        library = f"{wheel}[{extra}]" if extra else str(wheel)
        command = [uv, "pip", "install", "--quiet", "--python", venv / "bin" / "python"]
        subprocess.run([*command, f"django~={django}.0", library], check=True)
        return venv / "bin" / "python"

    return installed


@pytest.fixture
def started_processes() -> Iterator[list[Started]]:
    """Return a list of processes to kill after the test."""
    running: list[Started] = []
    yield running
    for process in running:
        with suppress(ProcessLookupError):
            process.process.terminate()
        process.process.wait(60)
