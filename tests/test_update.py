"""A project follows the template by cruft: changes arrive, and what is the user's own stays."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.answers import FIXED
from tests.machine import run

pytestmark = pytest.mark.slow

PROJECT = "{{cookiecutter.project_slug}}"


def commit(folder: Path, message: str) -> None:
    subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
    author = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    subprocess.run(["git", *author, "commit", "--quiet", "-m", message], cwd=folder, check=True)


@pytest.fixture
def repository(template: Path, tmp_path: Path) -> Path:
    """Return the template in git, with an earlier commit in which some files were otherwise."""
    folder = tmp_path / "template"
    shutil.copytree(template, folder)
    subprocess.run(["git", "init", "--quiet", "--initial-branch", "main"], cwd=folder, check=True)
    present = {
        name: (folder / PROJECT / name).read_text(encoding="utf-8")
        for name in ("README.md", "config/wsgi.py")
    }
    (folder / PROJECT / "README.md").write_text(
        present["README.md"].replace("## Layout", "## Folders"), "utf-8"
    )
    (folder / PROJECT / "config" / "wsgi.py").write_text("# earlier\n" + present["config/wsgi.py"], "utf-8")
    moved = folder / PROJECT / "users" / "admin.py"
    later = moved.read_text(encoding="utf-8")
    moved.unlink()
    commit(folder, "earlier")
    for name, text in present.items():
        (folder / PROJECT / name).write_text(text, encoding="utf-8")
    moved.write_text(later, encoding="utf-8")
    commit(folder, "present")
    return folder


def test_an_update_brings_changes_and_keeps_what_is_the_users(repository: Path, tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path)}
    answers = [f'"{name}": "{answer}"' for name, answer in FIXED.items()]
    cruft = [sys.executable, "-m", "cruft"]
    earlier = subprocess.run(
        ["git", "rev-parse", "HEAD~1"], cwd=repository, check=True, capture_output=True, text=True
    ).stdout.strip()
    run(
        *cruft,
        "create",
        repository,
        "--checkout",
        earlier,
        "--no-input",
        "--extra-context",
        "{" + ", ".join(answers) + "}",
        cwd=tmp_path,
        **environment,
    )
    project = tmp_path / FIXED["project_slug"]
    secrets = (project / ".env").read_bytes()
    assert b"DJANGO_SECRET_KEY=" in secrets
    readme = project / "README.md"
    readme.write_text(readme.read_text(encoding="utf-8") + "\n## Ours\n", encoding="utf-8")
    (project / "ours.py").write_text("ours = True\n", encoding="utf-8")
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    commit(project, "ours")

    printed = run(*cruft, "update", "--skip-apply-ask", "--checkout", "main", cwd=project, **environment)
    assert "Good work!" in printed
    assert "## Layout" in readme.read_text(encoding="utf-8")
    assert "## Ours" in readme.read_text(encoding="utf-8")
    assert not (project / "config" / "wsgi.py").read_text(encoding="utf-8").startswith("# earlier")
    assert (project / "users" / "admin.py").exists()
    assert (project / "ours.py").exists()
    assert (project / ".env").read_bytes() == secrets
    assert not list(project.rglob("*.rej"))
    run(*cruft, "check", "--checkout", "main", cwd=project, **environment)
