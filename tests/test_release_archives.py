"""The archives of released versions are what they say, and the template says which version it is."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter

from tests import release_archives
from tests.answers import FIXED, PROJECT, ROOT
from tests.conftest import Bake
from tests.hook import config_in, tree
from tests.machine import commit
from tests.release_archives import PRESENT, UNNUMBERED, NoReleaseError, number, versions


def version_of(project: Path) -> str | None:
    config = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    return config["tool"].get("django-s3-template", {}).get("version")


def test_the_version_is_the_same_everywhere(bake: Bake) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", PRESENT)
    assert (
        tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"] == PRESENT
    )
    assert version_of(bake(**FIXED)) == PRESENT


def test_the_readme_of_a_project_says_where_its_version_is(baked: Path) -> None:
    assert "[tool.django-s3-template]" in (baked / "README.md").read_text(encoding="utf-8")


def test_the_last_two_releases_are_kept() -> None:
    assert len(versions()) == 2, (
        "make release-archive adds one; remove the oldest, so that the repository stays small"
    )
    assert all(number(version) < number(PRESENT) for version in versions())


@pytest.mark.parametrize("version", versions())
def test_an_archive_is_the_version_that_it_says(version: str, tmp_path: Path) -> None:
    with release_archives.open_archive(version) as archive:
        commit_of = release_archives.commit_of(archive)
    assert re.fullmatch("[0-9a-f]{40}", commit_of)
    release_archives.extract(version, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"cookiecutter.json", "hooks", PROJECT.name}
    said = json.loads((tmp_path / "cookiecutter.json").read_text(encoding="utf-8")).get("__template_version")
    if version in UNNUMBERED:
        assert (said, commit_of) == (None, UNNUMBERED[version])
    else:
        assert said == version


@pytest.mark.parametrize("version", versions())
def test_an_archive_bakes(version: str, tmp_path: Path) -> None:
    release_archives.extract(version, tmp_path / "template")
    project = cookiecutter(
        str(tmp_path / "template"),
        no_input=True,
        extra_context=FIXED,
        output_dir=str(tmp_path),
        config_file=str(config_in(tmp_path)),
    )
    assert (Path(project) / ".env").read_text(encoding="utf-8").count(FIXED["static_bucket_name"]) == 1
    assert version_of(Path(project)) == (None if version in UNNUMBERED else version)


@pytest.fixture
def repository(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository with the present template, and have archives written to another folder."""
    folder = tmp_path / "repository"
    for name in ("cookiecutter.json", "pyproject.toml", "hooks", PROJECT.name):
        folder.mkdir(exist_ok=True)
        subprocess.run(["cp", "-r", template / name, folder / name], check=True)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    commit(folder, "present")
    archives = tmp_path / "archives"
    archives.mkdir()
    monkeypatch.setattr(release_archives, "FOLDER", archives)
    return folder


def test_an_archive_that_is_written_gives_the_template_back(
    repository: Path, template: Path, tmp_path: Path
) -> None:
    subprocess.run(["git", "tag", f"v{PRESENT}"], cwd=repository, check=True)
    path = release_archives.write(PRESENT, f"v{PRESENT}", repository=repository)
    assert path.name == f"{PRESENT}.tar.xz"
    assert versions() == [PRESENT]
    assert path.stat().st_size < 600_000
    release_archives.extract(PRESENT, tmp_path / "out")
    assert tree(tmp_path / "out" / PROJECT.name) == tree(template / PROJECT.name)
    assert tree(tmp_path / "out" / "hooks") == tree(template / "hooks")
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=repository, capture_output=True, text=True, check=True
    )
    with release_archives.open_archive(PRESENT) as archive:
        assert release_archives.commit_of(archive) == head.stdout.strip()


@pytest.mark.parametrize(
    ("version", "revision", "message"),
    [
        ("99.0.0", "HEAD", "HEAD is no 99.0.0: cookiecutter.json says"),
        (PRESENT, "v0.0.0", "git rev-parse: "),
        (PRESENT, "--output=x", "git rev-parse: "),
    ],
)
def test_no_archive_of_another_version_is_written(
    repository: Path, version: str, revision: str, message: str
) -> None:
    with pytest.raises(NoReleaseError, match=re.escape(message)) as caught:
        release_archives.write(version, revision, repository=repository)
    assert "\n" not in str(caught.value)
    assert versions() == []


@pytest.mark.parametrize(
    ("words", "message"),
    [([], "Usage: make release-archive"), (["v0.3.0"], "write it as 0.3.0"), (["99.0.0"], "git rev-parse: ")],
)
def test_a_wrong_command_is_told_in_one_line(words: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match=message) as caught:
        release_archives.main(words)
    assert "\n" not in str(caught.value)
