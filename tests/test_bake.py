"""The baked project: its files and their content."""

import ast
import configparser
import json
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from itertools import cycle
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from tests import golden_copies as golden
from tests.answers import FIXED, QUESTIONS, RENDERED, SECRET_FILES
from tests.conftest import Bake

WHEEL = f"vendor/django_s3_kit-{QUESTIONS['__template_version']}-py3-none-any.whl"


def files_of(project: Path) -> dict[str, Path]:
    """Return the file names, without the library's sources, from which the hook builds the wheel."""
    files = (path for path in project.rglob("*") if path.is_file() and path.parent.name != "vendor")
    return {path.relative_to(project).as_posix(): path for path in files}


@pytest.fixture(scope="module")
def source(template: Path) -> Path:
    return template / "{{cookiecutter.project_slug}}"


def test_project_has_the_templates_files_and_env(baked: Path, source: Path) -> None:
    assert set(files_of(baked)) == set(files_of(source)) | {".env"}
    assert [f"vendor/{path.name}" for path in (baked / "vendor").iterdir()] == [WHEEL]


# The files that the owner reads and changes. Leave out the library, pictures, fonts, and files that uv writes.
BUDGET = 3_900
NOT_COUNTED = re.compile(r"^vendor/|^static/fonts/|\.(svg|png|jpe?g|webp|avif|ico|woff2)$|^uv\.lock$")


def test_the_project_is_small(baked: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    subprocess.run(["cp", "-r", baked, project], check=True)
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    subprocess.run(["git", "add", "-A"], cwd=project, check=True)
    listed = subprocess.run(
        ["git", "ls-files"], cwd=project, check=True, capture_output=True, text=True
    ).stdout
    counted = [name for name in listed.splitlines() if not NOT_COUNTED.search(name)]
    lines = {name: (project / name).read_bytes().count(b"\n") for name in counted}
    assert sum(lines.values()) <= BUDGET, sorted(lines.items(), key=lambda item: -item[1])[:20]
    assert not [name for name in counted if name.startswith("s3/")]


def test_the_layout_is_flat(baked: Path) -> None:
    folders = {path.name for path in baked.iterdir() if path.is_dir()}
    assert folders == {
        *(".github", "config", "docs", "gallery", "static", "templates", "tests", "users", "vendor")
    }


def test_other_files_are_copied_byte_for_byte(baked: Path, source: Path) -> None:
    for name, path in files_of(source).items():
        if name not in RENDERED:
            assert (baked / name).read_bytes() == path.read_bytes(), name
            assert (baked / name).stat().st_mode == path.stat().st_mode, name


def test_no_python_file_contains_jinja(source: Path) -> None:
    for path in source.rglob("*.py"):
        assert not re.search(r"\{\{ *cookiecutter|\{% |\{# ", path.read_text(encoding="utf-8")), path


def test_no_jinja_is_left_in_the_rendered_files(baked: Path) -> None:
    for name in RENDERED:
        assert not re.search(r"\{\{|\{%|\{#|cookiecutter\.", (baked / name).read_text(encoding="utf-8")), name


def test_every_file_is_valid_in_its_format(baked: Path) -> None:
    unread = []
    for name, path in files_of(baked).items():
        match path.suffix or path.name:
            case ".py":
                ast.parse(path.read_text(encoding="utf-8"), filename=name)
            case ".toml":
                tomllib.loads(path.read_text(encoding="utf-8"))
            case ".ini" | ".editorconfig":
                parser = configparser.ConfigParser(interpolation=None)
                text = path.read_text(encoding="utf-8")
                parser.read_string(text if text.startswith("[") else f"[top]\n{text}")
            case ".svg":
                ElementTree.fromstring(path.read_text(encoding="utf-8"))  # noqa: S314 - the template's own file
            case ".html":
                HTMLParser().feed(path.read_text(encoding="utf-8"))
            case ".woff2":
                assert path.read_bytes()[:4] == b"wOF2"
            case ".css" | ".js":
                text = path.read_text(encoding="utf-8")
                assert text.count("{") == text.count("}"), name
            case "Makefile" | ".mk":
                subprocess.run(["make", "-n", "help"], cwd=baked, check=True, capture_output=True)
            case ".yml" | ".yaml":
                assert yaml.safe_load(path.read_text(encoding="utf-8")), name
            case ".md" | ".txt" | ".env" | ".example" | ".gitignore" | ".dockerignore" | "Dockerfile":
                assert path.read_text(encoding="utf-8").endswith("\n"), name
            case _:
                unread.append(name)
    assert not unread


def test_the_golden_copies_are_up_to_date(template: Path, tmp_path: Path) -> None:
    golden.write(template, tmp_path)
    for path in (golden.GOLDEN).rglob("*"):
        if path.is_file():
            name = path.relative_to(golden.GOLDEN)
            assert (tmp_path / name).read_text(encoding="utf-8") == path.read_text(encoding="utf-8"), name
    assert set(files_of(tmp_path)) == set(files_of(golden.GOLDEN))


# Vary these two choices together, because no file depends on both.
COMBINATIONS = list(
    zip(QUESTIONS["media_access"], cycle(QUESTIONS["django_version"]), strict=False),
)


@pytest.mark.parametrize(("access", "django"), COMBINATIONS)
def test_each_choice_is_written_to_its_file(bake: Bake, access: str, django: str) -> None:
    project = bake(**FIXED, media_access=access, django_version=django)
    assert f"\nAWS_MEDIA_ACCESS={access}\n" in (project / ".env").read_text(encoding="utf-8")
    config = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    assert f"django~={django}.0" in config["project"]["dependencies"]
    assert config["project"]["requires-python"] == {"5.2": ">=3.11", "6.1": ">=3.12"}[django]


def test_the_baked_project_is_linted_and_formatted(baked: Path) -> None:
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "."],
            cwd=baked,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_git_ignores_secret_and_local_files(baked: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    subprocess.run(["cp", "-r", baked, project], check=True)
    local = [*SECRET_FILES, "env", "var/media/a.png", "var/static/a.css"]
    local += [".venv/bin/python", ".uv/bin/uv", "config/__pycache__/a.pyc", ".mypy_cache/a", ".ruff_cache/a"]
    for name in local:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("local", encoding="utf-8")
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    # Many users ignore wheels in their global gitignore file.
    (tmp_path / "ignored").write_text("*.whl\n", encoding="utf-8")
    subprocess.run(["git", "config", "core.excludesFile", tmp_path / "ignored"], cwd=project, check=True)
    subprocess.run(["git", "add", "-A"], cwd=project, check=True)
    staged = subprocess.run(
        ["git", "ls-files"], cwd=project, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert not set(local) & set(staged)
    assert {".env.example", ".gitignore", "manage.py", WHEEL} <= set(staged)
    assert set(staged) == set(files_of(baked)) - {".env"} | {WHEEL}


def test_the_replay_file_contains_no_secret(
    bake: Bake,
    _cookiecutter_config_file: object,  # noqa: PT019 - pytest-cookies' own name
) -> None:
    project = bake()
    key = re.search(r"^DJANGO_SECRET_KEY=(.+)$", (project / ".env").read_text(encoding="utf-8"), re.MULTILINE)
    assert key
    folder = Path(str(_cookiecutter_config_file)).parent / "cookiecutter_replay"
    replays = list(folder.glob("*.json"))
    assert replays
    for replay in replays:
        assert key[1] not in replay.read_text(encoding="utf-8")
        assert set(json.loads(replay.read_text(encoding="utf-8"))["cookiecutter"]) >= set(FIXED)
