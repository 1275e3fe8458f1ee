"""The wheel from wheel.py: equivalent to a build backend's, with the same bytes on every machine."""

import email.parser
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

LIBRARY = Path(__file__).resolve().parent.parent
VERSION = tomllib.loads((LIBRARY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def run(*words: object, cwd: Path = LIBRARY, expect: int = 0, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == expect, done.stdout
    return done.stdout


def wheel(folder: Path, library: Path = LIBRARY, python: str = sys.executable, **environment: str) -> Path:
    run(python, library / "wheel.py", "--out", folder, **environment)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the wheel's sources."""
    folder = tmp_path / "library"
    shutil.copytree(LIBRARY / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "wheel.py"):
        shutil.copy(LIBRARY / name, folder)
    return folder


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def described(metadata: bytes) -> tuple[dict[str, list[str]], str]:
    """Return the normalized fields of METADATA, and the description."""
    message = email.parser.Parser().parsestr(metadata.decode())
    fields = {name: sorted(message.get_all(name, [])) for name in set(message) - {"Metadata-Version"}}
    fields["Requires-Dist"] = sorted(str(Requirement(line)) for line in fields["Requires-Dist"])
    fields["Keywords"] = sorted(fields["Keywords"][0].split(","))
    return fields, message.get_payload().strip()


@pytest.mark.slow
def test_wheel_matches_a_build_backends(built: Path, copy: Path, tmp_path: Path) -> None:
    if shutil.which("uv") is None:
        pytest.skip("No uv on this machine")
    run("uv", "build", "--quiet", "--wheel", "--out-dir", tmp_path / "uv", cwd=copy)
    [reference] = (tmp_path / "uv").glob("*.whl")
    assert built.name == reference.name
    ours, theirs = contents(built), contents(reference)
    assert sorted(ours) == sorted(theirs)
    info = f"django_s3_kit-{VERSION}.dist-info"
    assert described(ours[f"{info}/METADATA"]) == described(theirs[f"{info}/METADATA"])
    apart = {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD")}
    assert {name: ours[name] for name in ours if name not in apart} == {
        name: theirs[name] for name in theirs if name not in apart
    }
    tags = [line for line in theirs[f"{info}/WHEEL"].decode().splitlines() if "Generator" not in line]
    assert [line for line in ours[f"{info}/WHEEL"].decode().splitlines() if "Generator" not in line] == tags


def test_record_lists_every_file(built: Path) -> None:
    files = contents(built)
    lines = files[f"django_s3_kit-{VERSION}.dist-info/RECORD"].decode().splitlines()
    assert [line.split(",")[0] for line in lines] == list(files)
    for line in lines[:-1]:
        name, _, size = line.split(",")
        assert len(files[name]) == int(size)
    assert lines[-1].endswith("RECORD,,")


def test_wheel_entries_are_uncompressed_with_fixed_metadata(built: Path) -> None:
    with zipfile.ZipFile(built) as archive:
        for entry in archive.infolist():
            assert entry.compress_type == zipfile.ZIP_STORED
            assert entry.create_system == 3
            assert entry.date_time == (2020, 2, 2, 0, 0, 0)
            assert entry.external_attr == 0o100644 << 16


def pythons() -> list[str]:
    """Return this machine's interpreters that the library supports."""
    found = [shutil.which(f"python3.{minor}") for minor in range(11, 16)]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found += [str(path) for path in pyenv.glob("3.1[1-9].*/bin/python3")]
    works = (
        path
        for path in found
        if path and not subprocess.run([path, "-c", ""], check=False, capture_output=True).returncode
    )
    return [sys.executable, *works]


def test_wheel_bytes_are_reproducible(built: Path, copy: Path, tmp_path: Path) -> None:
    """With other file times, modes, junk files, folders, and Python versions."""
    for path in copy.rglob("*.py"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
        path.chmod(0o755)
    for name in (
        "__pycache__/a.cpython-311.pyc",
        ".DS_Store",
        "naming/.a.py.swp",
        "clients.py~",
        "checks.py.orig",
    ):
        (copy / "src" / "s3kit" / name).parent.mkdir(exist_ok=True)
        (copy / "src" / "s3kit" / name).write_bytes(b"junk")
    expected = hashlib.sha256(built.read_bytes()).hexdigest()
    for number, python in enumerate(pythons()):
        again = wheel(tmp_path / str(number), copy, python, TZ="Asia/Seoul", LC_ALL="C")
        assert hashlib.sha256(again.read_bytes()).hexdigest() == expected, python


def test_unsupported_pyproject_key_is_an_error(copy: Path, tmp_path: Path) -> None:
    path = copy / "pyproject.toml"
    path.write_text(
        path.read_text("utf-8").replace("[project]", '[project]\nauthors = [{ name = "A" }]', 1), "utf-8"
    )
    printed = run(sys.executable, copy / "wheel.py", "--out", tmp_path / "out", expect=1)
    assert "wheel.py doesn't support these keys of [project] in pyproject.toml: authors" in printed
    assert not list(tmp_path.glob("out/*"))


def test_wheel_contains_markers_and_entry_points(copy: Path, tmp_path: Path) -> None:
    path = copy / "pyproject.toml"
    text = path.read_text("utf-8").replace(
        "[project.optional-dependencies]",
        '[project.entry-points.group]\nname = "s3kit:x"\n\n'
        "[project.optional-dependencies]\nodd = [\"tzdata>=1; sys_platform == 'win32'\"]",
        1,
    )
    path.write_text(text, encoding="utf-8")
    files = contents(wheel(tmp_path / "out", copy))
    info = f"django_s3_kit-{VERSION}.dist-info"
    fields, _ = described(files[f"{info}/METADATA"])
    assert 'tzdata>=1; sys_platform == "win32" and extra == "odd"' in fields["Requires-Dist"]
    assert "Source, https://github.com/org/django-s3-template" in fields["Project-URL"]
    assert files[f"{info}/entry_points.txt"] == b"[group]\nname = s3kit:x\n"


PROJECT = """\
[project]
name = "site"
version = "1"
requires-python = ">=3.11"
dependencies = ["Django", "django-s3-kit[cloudfront, images]==0.3.9"]

[tool.uv.sources]
django-s3-kit = { path = "vendor/django_s3_kit-0.3.9-py3-none-any.whl" }
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    (folder / "vendor").mkdir(parents=True)
    (folder / "vendor" / "django_s3_kit-0.3.9-py3-none-any.whl").write_bytes(b"old")
    (folder / "vendor" / "another-1.0-py3-none-any.whl").write_bytes(b"ours")
    (folder / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    return folder


def test_into_updates_a_projects_wheel(built: Path, project: Path) -> None:
    run(sys.executable, LIBRARY / "wheel.py", "--into", project, PATH=os.devnull)  # without uv
    assert (project / "pyproject.toml").read_text(encoding="utf-8") == PROJECT.replace("0.3.9", VERSION)
    assert {path.name for path in (project / "vendor").iterdir()} == {
        built.name,
        "another-1.0-py3-none-any.whl",
    }
    assert (project / "vendor" / built.name).read_bytes() == built.read_bytes()


@pytest.mark.slow
def test_into_updates_uv_lock(built: Path, project: Path) -> None:
    if shutil.which("uv") is None:
        pytest.skip("No uv on this machine")
    printed = run(sys.executable, LIBRARY / "wheel.py", "--into", project)
    assert "commit vendor/, pyproject.toml and uv.lock" in printed
    lock = (project / "uv.lock").read_text(encoding="utf-8")
    assert f'"vendor/{built.name}"' in lock
    assert hashlib.sha256(built.read_bytes()).hexdigest() in lock


@pytest.mark.parametrize("text", [None, PROJECT.replace("==", ">="), re.sub(r"vendor/", "other/", PROJECT)])
def test_into_rejects_a_project_without_the_dependency(project: Path, text: str | None) -> None:
    path = project / "pyproject.toml"
    path.unlink() if text is None else path.write_text(text, encoding="utf-8")
    printed = run(sys.executable, LIBRARY / "wheel.py", "--into", project, expect=1)
    assert f"{path} has no line with django-s3-kit to update. Add one that matches /" in printed
    assert "Traceback" not in printed
    assert {path.name for path in (project / "vendor").glob("django*")} == {
        "django_s3_kit-0.3.9-py3-none-any.whl"
    }
