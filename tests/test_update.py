"""cruft updates a project: the template's changes arrive, and the user's own changes stay.

The template's repository has two commits: a predecessor, and the current state. The
predecessor is the same template with an older library and a few differences. Tests create a project from the
predecessor, change it as a user does, and update it. Functions from text to text describe the changes: after the
update, a file that the user changed must be the current template's file with the same change, and every other
file must be exactly the current template's.
"""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pytest_cookies.plugin import Cookies

from tests.answers import FIXED, PROJECT, QUESTIONS, ROOT
from tests.hook import config_in
from tests.installed import Installed
from tests.machine import commit, interpreter, run

pytestmark = pytest.mark.slow

CRUFT = [sys.executable, "-m", "cruft"]
PRESENT = QUESTIONS["__template_version"]
PARTS = ("cookiecutter.json", "hooks", "library", PROJECT.name)

# A user's change to a file: takes the text and returns the changed text.
Edit = Callable[[str], str]


def after(line: str, new: str) -> Edit:
    """Return an edit that inserts `new` after a line that occurs once in the file."""

    def edit(text: str) -> str:
        assert text.count(f"{line}\n") == 1, line
        return text.replace(f"{line}\n", f"{line}\n{new}")

    return edit


def instead(old: str, new: str) -> Edit:
    """Return an edit that replaces a text that occurs once in the file."""

    def edit(text: str) -> str:
        assert text.count(old) == 1, old
        return text.replace(old, new)

    return edit


def at_the_end(new: str) -> Edit:
    return lambda text: text + new


@dataclass(frozen=True)
class Life:
    """A user's changes to a project: edits, new files, and deleted files (or folders, with a slash)."""

    edits: dict[str, list[Edit]] = field(default_factory=dict)
    new: dict[str, str] = field(default_factory=dict)
    deleted: tuple[str, ...] = ()

    def edited(self, name: str, text: str) -> str:
        for edit in self.edits.get(name, ()):
            text = edit(text)
        return text

    def has_deleted(self, name: str) -> bool:
        return any(name == gone or (gone.endswith("/") and name.startswith(gone)) for gone in self.deleted)

    def live(self, project: Path) -> None:
        for name, text in self.new.items():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_text(text, encoding="utf-8")
        for name in self.edits:
            path = project / name
            path.write_text(self.edited(name, path.read_text(encoding="utf-8")), encoding="utf-8")
        for name in self.deleted:
            path = project / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()


OWN_APP = Life(
    edits={
        "README.md": [
            at_the_end("\n## Ours\n\nHow we work.\n"),
            instead("A Django 5.2 site whose", "The site of Acme, whose"),
        ],
        "config/settings.py": [
            after('    "gallery",', '    "notes",\n'),
            instead('TIME_ZONE = "UTC"', 'TIME_ZONE = "Asia/Seoul"'),
            at_the_end("\nNOTES_A_PAGE = 20\n"),
        ],
        "config/urls.py": [
            after("urlpatterns = [", '    path("notes/", notes),\n'),
            after("from django.urls import include, path", "\nfrom notes.views import notes\n"),
        ],
        "pyproject.toml": [after('    "gunicorn>=27,<28",', '    "python-dateutil>=2.9",\n')],
    },
    new={
        "notes/__init__.py": "",
        "notes/models.py": "from django.db import models\n\n\nclass Note(models.Model):\n"
        "    text = models.TextField()\n\n    def __str__(self):\n        return self.text\n",
        "notes/views.py": "from django.http import HttpResponse\n\n\n"
        "def notes(request):\n    return HttpResponse(request.method)\n",
        "notes/migrations/__init__.py": "",
    },
)

NO_EXAMPLE = Life(
    edits={
        "config/settings.py": [instead('    "gallery",\n', "")],
        "config/urls.py": [
            instead(
                '    path("", include("gallery.urls")),\n',
                '    path("", TemplateView.as_view(template_name="base.html"), name="home"),\n',
            ),
            after("from django.urls import include, path", "from django.views.generic import TemplateView\n"),
        ],
    },
    deleted=("gallery/", "templates/gallery/", "static/gallery/", "tests/test_gallery.py"),
)


def change(path: Path, *edits: Edit) -> None:
    """Apply edits to a file."""
    text = path.read_text(encoding="utf-8")
    for edit in edits:
        text = edit(text)
    path.write_text(text, encoding="utf-8")


def copy_template(template: Path, folder: Path, version: str) -> Path:
    """Copy the parts of the template that a bake needs, with another version of the template and the library."""
    folder.mkdir()
    for name in PARTS:
        if (template / name).is_dir():
            shutil.copytree(template / name, folder / name, symlinks=True)
        else:
            shutil.copy(template / name, folder / name)
    shutil.rmtree(folder / "library" / "tests")
    for name in ("cookiecutter.json", "library/pyproject.toml", "library/src/s3kit/__init__.py"):
        change(folder / name, instead(f'"{PRESENT}"', f'"{version}"'))
    return folder


@pytest.fixture
def predecessor(template: Path, tmp_path: Path) -> Path:
    """Return an older template with an older library."""
    older = copy_template(template, tmp_path / "older", "0.3.9")
    project = older / PROJECT.name
    change(project / "config" / "settings.py", instead('STATIC_URL = "static/"', 'STATIC_URL = "old/"'))
    change(project / "README.md", after("## Start", "\nWords of another time.\n"))
    change(project / "templates" / "base.html", at_the_end("{# old #}\n"))
    (project / "config" / "gone.py").write_text("GONE = True\n", encoding="utf-8")
    (project / "templates" / "404.html").unlink()
    change(older / "library" / "src" / "s3kit" / "naming" / "regions.py", at_the_end("OLD = True\n"))
    return older


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def replace_template(repository: Path, source: Path, message: str) -> None:
    """Replace the template in the repository with the one in another folder, and commit it."""
    for name in PARTS:
        old, new = repository / name, source / name
        shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
        shutil.copytree(new, old, symlinks=True) if new.is_dir() else shutil.copy(new, old)
    commit(repository, message)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return an empty repository for the template."""
    folder = tmp_path / "template"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    return folder


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a user without a cookiecutter configuration."""
    return {"COOKIECUTTER_CONFIG": str(config_in(tmp_path))}


def create(repository: Path, folder: Path, home: dict[str, str]) -> Path:
    """Create a project with cruft and commit it, as the README says."""
    answers = json.dumps(FIXED)
    run(*CRUFT, "create", repository, "--no-input", "--extra-context", answers, cwd=folder, **home)
    project = folder / FIXED["project_slug"]
    git(project, "init", "--quiet")
    commit(project, "as it was made")
    return project


def update(project: Path, home: dict[str, str]) -> None:
    printed = run(*CRUFT, "update", "--skip-apply-ask", "--checkout", "main", cwd=project, **home)
    assert "Good work!" in printed
    assert "conflicts" not in printed, printed


def files_of(project: Path) -> dict[str, bytes]:
    """Return the names of the files that git tracks or would add."""
    listed = git(project, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    return {name: (project / name).read_bytes() for name in listed if name and (project / name).exists()}


def assert_updated(project: Path, fresh: Path, life: Life) -> None:
    """Compare every file with a fresh bake plus the user's changes."""
    found = files_of(project)
    assert not [name for name in found if name.endswith((".rej", ".orig"))]
    wanted = {
        path.relative_to(fresh).as_posix(): path.read_bytes()
        for path in fresh.rglob("*")
        if path.is_file() and path.name != ".env"
    }
    wanted = {name: content for name, content in wanted.items() if not life.has_deleted(name)}
    for name in life.edits:
        wanted[name] = life.edited(name, wanted[name].decode()).encode()
    wanted |= {name: text.encode() for name, text in life.new.items()}
    own = {".cruft.json", "uv.lock", *(name for name in found if name.startswith("notes/migrations/"))}
    assert sorted(set(found) - own) == sorted(set(wanted) - own)
    for name in sorted(set(wanted) - own):
        assert found[name].decode(errors="replace") == wanted[name].decode(errors="replace"), name


@pytest.fixture
def fresh(cookies: Cookies, template: Path) -> Path:
    """Return a project of the current template with the same answers."""
    result = cookies.bake(extra_context=FIXED, template=str(template))
    assert result.exit_code == 0, result.exception
    return Path(result.project_path)


@dataclass(frozen=True)
class Project:
    """A project with an environment that its Makefile created."""

    path: Path
    home: dict[str, str]

    def manage(self, *words: object) -> str:
        """Run a command of manage.py, with uploads on disk, because no S3 server is running."""
        return run(".venv/bin/python", "manage.py", *words, cwd=self.path, USE_S3="false", **self.home)

    def install(self) -> None:
        python = interpreter("3.11")
        run("make", ".venv", cwd=self.path, PYTHON=python, UV_PYTHON=python)

    def version(self) -> str:
        """Return the installed version of the library."""
        return run(".venv/bin/python", "-c", "import s3kit; print(s3kit.__version__)", cwd=self.path).strip()

    def rows(self, *models: str) -> list[int]:
        """Return the number of rows of each model, such as `gallery.Picture`."""
        code = (
            f"from django.apps import apps; print(*(apps.get_model(m).objects.count() for m in {models!r}))"
        )
        return [int(word) for word in self.manage("shell", "--no-imports", "-c", code).split()]


def assert_it_runs(project: Project) -> None:
    """Run checks, and migrate the earlier version's database."""
    assert "no issues" in project.manage("check")
    assert "No changes detected" in project.manage("makemigrations", "--check", "--dry-run")
    project.manage("migrate")
    assert "[ ]" not in project.manage("showmigrations")


def test_an_update_keeps_the_users_changes(
    predecessor: Path, repository: Path, template: Path, fresh: Path, tmp_path: Path, home: dict[str, str]
) -> None:
    replace_template(repository, predecessor, "predecessor")
    project = Project(create(repository, tmp_path, home), home)
    OWN_APP.live(project.path)
    env = project.path / ".env"
    env.write_text(
        f"{env.read_text(encoding='utf-8')}DJANGO_SITE_ORIGINS=https://acme.example.com\n", "utf-8"
    )
    before = env.read_bytes()
    project.install()
    assert project.version() == "0.3.9"
    project.manage("makemigrations", "notes")
    project.manage("migrate")
    project.manage("add_picture", ROOT / "docs" / "images" / "hills.jpg", "Hills")
    commit(project.path, "lived with")

    replace_template(repository, template, "present")
    update(project.path, home)

    assert_updated(project.path, fresh, OWN_APP)
    assert env.read_bytes() == before
    config = tomllib.loads((project.path / "pyproject.toml").read_text(encoding="utf-8"))
    assert config["tool"]["django-s3-template"]["version"] == PRESENT
    state = json.loads((project.path / ".cruft.json").read_text(encoding="utf-8"))
    assert state["commit"] == git(repository, "rev-parse", "HEAD")
    assert FIXED.items() <= state["context"]["cookiecutter"].items()
    run(*CRUFT, "check", "--checkout", "main", cwd=project.path, **home)

    project.install()
    assert project.version() == PRESENT
    assert_it_runs(project)
    assert project.rows("gallery.Picture", "notes.Note") == [1, 0]
    # Its files match a new project, whose tests test_generated_project.py runs.
    printed = run("make", "test", cwd=project.path, PYTEST_ADDOPTS="-k page", **home)
    assert re.search(r"\d+ passed", printed)
    assert "skipped" not in printed


def test_an_update_does_not_restore_the_example(
    predecessor: Path,
    repository: Path,
    template: Path,
    fresh: Path,
    tmp_path: Path,
    home: dict[str, str],
    on_lts: Installed,
) -> None:
    replace_template(repository, predecessor, "predecessor")
    project = create(repository, tmp_path, home)
    NO_EXAMPLE.live(project)
    commit(project, "without the example")
    replace_template(repository, template, "present")
    update(project, home)
    assert_updated(project, fresh, NO_EXAMPLE)
    assert_it_runs(Project(on_lts.lend(project), home))
    assert "test_gallery" not in run(".venv/bin/pytest", "-q", "--collect-only", cwd=project)


def test_an_update_after_an_update_of_the_library(
    predecessor: Path, repository: Path, template: Path, fresh: Path, tmp_path: Path, home: dict[str, str]
) -> None:
    """library/wheel.py updated the library first; the template's changes follow."""
    replace_template(repository, predecessor, "predecessor")
    project = create(repository, tmp_path, home)
    run(sys.executable, template / "library" / "wheel.py", "--into", project, cwd=tmp_path)
    commit(project, "a newer library")
    replace_template(repository, template, "present")
    update(project, home)
    assert_updated(project, fresh, Life())


def test_an_update_to_a_later_version(
    repository: Path, template: Path, tmp_path: Path, home: dict[str, str]
) -> None:
    """Private variables come from the template: the version, and which files are copied.

    Settings that the user adds at the end cause no conflict.
    """
    replace_template(repository, template, "present")
    project = create(repository, tmp_path, home)
    ours = Life(edits={"config/settings.py": [at_the_end("\nNOTES_A_PAGE = 20\n")]})
    ours.live(project)
    commit(project, "ours")
    secrets = (project / ".env").read_bytes()
    later = copy_template(template, tmp_path / "later", "99.0.0")
    questions = json.loads((later / "cookiecutter.json").read_text(encoding="utf-8"))
    questions["__later"] = "{{ cookiecutter.project_slug }} later"
    questions["_copy_without_render"].append("*.later")
    (later / "cookiecutter.json").write_text(json.dumps(questions), encoding="utf-8")
    (later / PROJECT.name / "copied.later").write_text("${{ github.ref }} {% raw\n", encoding="utf-8")
    readme = later / PROJECT.name / "README.md"
    readme.write_text(f"{readme.read_text(encoding='utf-8')}\n{{{{ cookiecutter.__later }}}}\n", "utf-8")
    (later / PROJECT.name / "users" / "admin.py").unlink()
    settings = later / PROJECT.name / "config" / "settings.py"
    *before, end = settings.read_text(encoding="utf-8").rstrip("\n").split("\n\n\n")
    before[-1] += "\nLATER = True"  # the line right before the last comment
    changed = "\n\n\n".join([*before, end]) + "\n"
    settings.write_text(changed, encoding="utf-8")
    replace_template(repository, later, "later")

    update(project, home)
    config = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    assert config["tool"]["django-s3-template"]["version"] == "99.0.0"
    assert (project / "copied.later").read_text(encoding="utf-8") == "${{ github.ref }} {% raw\n"
    assert (project / "README.md").read_text(encoding="utf-8").endswith("\nacme-photos later\n")
    assert not (project / "users" / "admin.py").exists()
    merged = (project / "config" / "settings.py").read_text(encoding="utf-8")
    assert merged == ours.edited("config/settings.py", changed)
    assert (project / ".env").read_bytes() == secrets


def test_a_conflict_is_detected(
    repository: Path, template: Path, tmp_path: Path, home: dict[str, str]
) -> None:
    """The tests above would fail if the user and the template changed the same line differently."""
    replace_template(repository, template, "present")
    project = create(repository, tmp_path, home)
    settings = project / "config" / "settings.py"
    ours = settings.read_text(encoding="utf-8").replace('TIME_ZONE = "UTC"', 'TIME_ZONE = "Asia/Seoul"')
    settings.write_text(ours, encoding="utf-8")
    commit(project, "ours")
    theirs = repository / PROJECT.name / "config" / "settings.py"
    text = theirs.read_text(encoding="utf-8")
    theirs.write_text(text.replace('TIME_ZONE = "UTC"', 'TIME_ZONE = "Europe/Berlin"'), encoding="utf-8")
    commit(repository, "theirs")
    with pytest.raises(AssertionError, match="conflicts"):
        update(project, home)
    merged = settings.read_text(encoding="utf-8")
    assert "<<<<<<<" in merged
    assert "Asia/Seoul" in merged
    assert "Europe/Berlin" in merged
