"""A release: its checks, its build, and the permissions of its workflow."""

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.metadata import Metadata

from tests.answers import QUESTIONS, ROOT
from tests.machine import run

PROGRAM = ".github/release.py"
NAMED_IN = ["pyproject.toml", "library/pyproject.toml", "library/src/s3kit/__init__.py", "cookiecutter.json"]


@pytest.fixture
def released(tmp_path: Path) -> tuple[Path, str]:
    """Return a copy of the files that a release checks, with a date in the changelog, and the tag."""
    for name in [PROGRAM, "CHANGELOG.md", *NAMED_IN]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    [version] = re.findall(
        r'^version = "(.+)"$', (tmp_path / "pyproject.toml").read_text("utf-8"), re.MULTILINE
    )
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text(
        changelog.read_text("utf-8").replace(f"[{version}] - unreleased", f"[{version}] - 2026-12-01")
    )
    return tmp_path, f"v{version}"


def check(root: Path, tag: str) -> str:
    done = subprocess.run(
        [sys.executable, root / PROGRAM, "check", tag], capture_output=True, text=True, check=False
    )
    assert bool(done.returncode) == bool(done.stderr)
    assert done.stdout == ""
    return done.stderr


def test_a_complete_release_passes(released: tuple[Path, str]) -> None:
    assert check(*released) == ""


@pytest.mark.parametrize("name", NAMED_IN)
def test_a_different_version_in_one_file_is_found(released: tuple[Path, str], name: str) -> None:
    root, tag = released
    file = root / name
    file.write_text(file.read_text("utf-8").replace(tag[1:], "9.9.9"), "utf-8")
    assert check(root, tag) == f"{name} has version 9.9.9, but the tag is {tag}. Change one of them.\n"


def test_the_changelog_must_be_ready(released: tuple[Path, str]) -> None:
    root, tag = released
    file = root / "CHANGELOG.md"
    text = file.read_text("utf-8")
    for other in (text.replace("- 2026-12-01", "- unreleased"), "# Changelog\n"):
        file.write_text(other, "utf-8")
        assert "Add it, or set its date." in check(root, tag)
    file.write_text(f"## [{tag[1:]}] - 2026-12-01\n\n## [0.0.1] - 2026-01-01\n\nText\n", "utf-8")
    assert "is empty" in check(root, tag)


@pytest.mark.parametrize("tag", ["0.4.0", "v0.4", "v0.4.0; rm -rf ~", "latest"])
def test_other_tags_are_rejected(released: tuple[Path, str], tag: str) -> None:
    assert "is not a version tag" in check(released[0], tag)


def test_release_notes_are_the_versions_section(released: tuple[Path, str]) -> None:
    root, tag = released
    notes = run(sys.executable, root / PROGRAM, "notes", tag, cwd=root)
    assert "### Added" in notes
    assert "\n## " not in notes
    text = (root / "CHANGELOG.md").read_text("utf-8")
    assert notes.strip() in text.partition("- 2026-12-01\n")[2]


def test_the_library_is_built_for_pypi(tmp_path: Path) -> None:
    run("make", "dist", f"DIST={tmp_path}", cwd=ROOT)
    [wheel], [source] = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        [name] = [each for each in archive.namelist() if each.endswith("/METADATA")]
        of_wheel = archive.read(name)
    with tarfile.open(source) as archive:
        file = archive.extractfile(f"{source.name.removesuffix('.tar.gz')}/PKG-INFO")
        assert file is not None
        of_source = file.read()
    described = [Metadata.from_email(each, validate=True) for each in (of_wheel, of_source)]
    for field in (
        "metadata_version",
        "name",
        "version",
        "summary",
        "requires_python",
        "license_expression",
        "classifiers",
    ):
        assert getattr(described[0], field) == getattr(described[1], field), field
    assert described[0].description == (ROOT / "library" / "README.md").read_text("utf-8")
    assert described[0].project_urls == described[1].project_urls
    assert described[0].description_content_type == "text/markdown"
    # The source distribution has all that its wheel needs.
    run("uv", "build", "--quiet", "--wheel", "--out-dir", tmp_path / "again", source, cwd=tmp_path)
    [again] = (tmp_path / "again").glob("*.whl")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert set(first.namelist()) == set(second.namelist())


def test_package_metadata_matches_the_readme() -> None:
    project = tomllib.loads((ROOT / "library" / "pyproject.toml").read_text("utf-8"))["project"]
    readme = (ROOT / "library" / "README.md").read_text("utf-8")
    # The index resolves no relative link.
    assert [link for link in re.findall(r"\]\(([^)\s]+)\)", readme) if not link.startswith("https://")] == []
    assert len(project["description"]) < 120
    oldest, newest, python = re.findall(
        r"For Django (\d\.\d) to (\d\.\d) on Python (3\.\d+) and later", readme
    )[0]
    named = {each.rpartition(" :: ")[2] for each in project["classifiers"]}
    assert {oldest, newest, python} <= named
    assert project["requires-python"] == f">={python}"
    assert f"django>={oldest}" in project["dependencies"]
    assert newest in QUESTIONS["django_version"]


def test_package_links_to_the_repository_and_its_site() -> None:
    urls = tomllib.loads((ROOT / "library" / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
    menu = (ROOT / "docs" / "conf.py").read_text("utf-8")
    [site] = re.findall(r'^html_baseurl = "(.+)"$', menu, re.MULTILINE)
    [repository] = re.findall(r'^REPOSITORY = "(.+)"$', menu, re.MULTILINE)
    assert (urls["Documentation"], urls["Source"]) == (site, repository)
    assert urls["Issues"] == f"{repository}/issues"
    page = urls["Changelog"].removeprefix(site).replace(".html", ".md")
    assert (ROOT / "docs" / page).is_file()


# The workflow

WORKFLOW = ROOT / ".github" / "workflows" / "release.yml"


def test_each_job_has_only_the_permissions_that_it_needs() -> None:
    found = yaml.safe_load(WORKFLOW.read_text("utf-8"))
    assert found["permissions"] == {}
    assert {name: job["permissions"] for name, job in found["jobs"].items()} == {
        "test": {"contents": "read"},
        "build": {"contents": "read"},
        "library": {"id-token": "write"},
        "template": {"contents": "write"},
    }
    # Jobs that can publish run no code from the repository.
    for job in ("library", "template"):
        assert not any("checkout" in step.get("uses", "") for step in found["jobs"][job]["steps"])
    assert found["jobs"]["library"]["environment"]["name"] == "pypi"


def test_workflows_are_valid_and_pass_zizmor() -> None:
    programs = Path(sys.executable).parent
    folder = WORKFLOW.parent
    for command in (
        [programs / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", *folder.iterdir()],
        [programs / "zizmor", "--offline", "--no-progress", "--min-severity", "low", folder.parent],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("before", "after", "audit"),
    [
        ("@dc37677b2e1c63e2034f94d8a5b11f265b73ba33 # v1.14.2", "@release/v1", "unpinned-uses"),
        ('"$GITHUB_REF_NAME" >notes.md', "${{ github.ref_name }} >notes.md", "template-injection"),
    ],
)
def test_zizmor_finds_mistakes(tmp_path: Path, before: str, after: str, audit: str) -> None:
    text = WORKFLOW.read_text("utf-8")
    assert before in text
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "release.yml").write_text(text.replace(before, after), "utf-8")
    command = [Path(sys.executable).parent / "zizmor", "--offline", "--no-progress", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert audit in done.stdout
