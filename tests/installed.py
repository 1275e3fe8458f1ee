"""A baked project with its own virtual environment, as after `make .venv`."""

import shutil
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tests.machine import run

# A server's variables, with dummy values.
PRODUCTION = {
    "DJANGO_DEBUG": "false",
    "DJANGO_SECRET_KEY": "only-for-this-test-" + "0123456789abcdefghijklmnopqrstuvwxyz" * 2,
    "DJANGO_ALLOWED_HOSTS": "www.example.com",
    "DJANGO_SITE_ORIGINS": "https://www.example.com",
}


@dataclass(frozen=True)
class Installed:
    """A baked project with its virtual environment."""

    path: Path
    django: str
    python: str

    def manage(self, *words: str, expect: int = 0, **environment: str) -> str:
        """Run a command of manage.py and return its output."""
        return run(".venv/bin/python", "manage.py", *words, cwd=self.path, expect=expect, **environment)

    def copy(self, folder: Path) -> Path:
        """Return a copy of the project that a test can change, with .env. All copies share the environment."""
        apart = shutil.ignore_patterns(".venv", "var", "db.sqlite3*", ".*_cache", "__pycache__")
        shutil.copytree(self.path, folder, symlinks=True, ignore=apart)
        return self.lend(folder)

    def lend(self, project: Path) -> Path:
        """Share this project's environment and lock file with a project that needs the same packages."""
        (project / ".venv").symlink_to(self.path / ".venv")
        if not (project / "uv.lock").exists():
            shutil.copy2(self.path / "uv.lock", project)
        (project / ".venv").touch()  # newer than pyproject.toml, for make
        return project


PYTHONS = {"5.2": "3.11", "6.1": "3.12"}


def fetch(address: str) -> tuple[int, dict[str, str], str]:
    """Return the status, headers (in lower case), and body of the response from a URL."""
    try:
        with urllib.request.urlopen(address, timeout=30) as response:
            return (
                response.status,
                {k.lower(): v for k, v in response.headers.items()},
                response.read().decode(errors="replace"),
            )
    except urllib.error.HTTPError as error:
        return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read().decode()
