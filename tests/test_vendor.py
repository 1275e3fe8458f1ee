"""How a project gets the library: as a wheel in vendor/, with every caller, or from the package index."""

import functools
import hashlib
import http.server
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cookiecutter.exceptions import FailedHookException
from cookiecutter.main import cookiecutter

from tests.answers import FIXED, PROJECT, QUESTIONS, ROOT
from tests.conftest import Bake
from tests.hook import config_in, post_gen, pre_gen, tree
from tests.machine import commit, interpreter, run

VERSION = QUESTIONS["__template_version"]
WHEEL = f"django_s3_kit-{VERSION}-py3-none-any.whl"


def build(folder: Path, library: Path = ROOT / "library") -> Path:
    """Build the library's wheel in a folder, and return its path."""
    printed = run(sys.executable, library / "wheel.py", "--out", folder, cwd=folder.parent)
    return Path(printed.strip())


def test_all_versions_are_the_same() -> None:
    def version(name: str) -> str:
        return str(tomllib.loads((ROOT / name).read_text(encoding="utf-8"))["project"]["version"])

    package = (ROOT / "library" / "src" / "s3kit" / "__init__.py").read_text(encoding="utf-8")
    said = {version("pyproject.toml"), version("library/pyproject.toml"), VERSION}
    assert said | set(re.findall(r'^__version__ = "(.+)"$', package, re.MULTILINE)) == {VERSION}


def test_vendor_has_only_links_to_the_librarys_sources() -> None:
    links = {
        path.name: path.readlink().as_posix() for path in (PROJECT / "vendor").iterdir() if path.is_symlink()
    }
    assert links == {name: f"../../library/{name}" for name in post_gen.SOURCES}
    assert pre_gen.SOURCES == post_gen.SOURCES
    assert {path.name for path in (PROJECT / "vendor").iterdir()} == set(links)


def test_vendored_wheel_equals_the_librarys_build(baked: Path, tmp_path: Path) -> None:
    [vendored] = (baked / "vendor").iterdir()
    assert vendored.name == WHEEL
    assert vendored.read_bytes() == build(tmp_path / "out").read_bytes()
    config = tomllib.loads((baked / "pyproject.toml").read_text(encoding="utf-8"))
    assert config["tool"]["uv"]["sources"] == {"django-s3-kit": {"path": f"vendor/{WHEEL}"}}
    assert [line for line in config["project"]["dependencies"] if line.endswith(f"=={VERSION}")] == [
        f"django-s3-kit[cloudfront,images]=={VERSION}"
    ]


@pytest.fixture
def copy(template: Path, tmp_path: Path) -> Path:
    """Return a copy of the template that tests can change."""
    folder = tmp_path / "template"
    shutil.copytree(template, folder, symlinks=True)
    return folder


@pytest.fixture
def bake_copy(copy: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that bakes from the copy."""
    config = str(config_in(tmp_path))

    def bake(**options: object) -> Path:
        return Path(
            cookiecutter(
                str(copy),
                config_file=config,
                no_input=True,
                output_dir=str(tmp_path / "out"),
                extra_context=FIXED,
                **options,  # type: ignore[arg-type]
            )
        )

    return bake


def test_junk_in_the_library_is_not_in_the_wheel(
    copy: Path, bake_copy: Callable[..., Path], baked: Path
) -> None:
    package = copy / "library" / "src" / "s3kit"
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "a.cpython-311.pyc").write_bytes(b"junk")
    (package / ".DS_Store").write_bytes(b"junk")
    project = bake_copy()
    assert (project / "vendor" / WHEEL).read_bytes() == (baked / "vendor" / WHEEL).read_bytes()
    assert [path.name for path in (project / "vendor").iterdir()] == [WHEEL]


def test_a_bake_over_an_older_project_replaces_its_wheel_and_nothing_else(
    bake_copy: Callable[..., Path],
) -> None:
    vendor = bake_copy() / "vendor"
    (vendor / WHEEL).rename(vendor / "django_s3_kit-0.0.1-py3-none-any.whl")
    (vendor / "another-1.0-py3-none-any.whl").write_bytes(b"ours")
    bake_copy(overwrite_if_exists=True)
    assert {path.name for path in vendor.iterdir()} == {WHEEL, "another-1.0-py3-none-any.whl"}


def break_link(copy: Path) -> None:
    """Replace the link with a text file, as git does without core.symlinks."""
    link = copy / PROJECT.name / "vendor" / "src"
    link.unlink()
    link.write_text("../../library/src", encoding="utf-8")


def break_builder(copy: Path) -> None:
    (copy / "library" / "wheel.py").unlink()


def break_pyproject(copy: Path) -> None:
    path = copy / "library" / "pyproject.toml"
    path.write_text(
        path.read_text("utf-8").replace("[project]", '[project]\nauthors = [{ name = "A" }]', 1), "utf-8"
    )


def break_version(copy: Path) -> None:
    path = copy / "library" / "pyproject.toml"
    path.write_text(path.read_text("utf-8").replace(f'version = "{VERSION}"', 'version = "99"', 1), "utf-8")


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (break_link, "vendor/src is missing. Clone the template with git, with core.symlinks enabled."),
        (break_builder, None),
        (break_pyproject, "building the library's wheel failed: wheel.py doesn't support these keys"),
        (break_version, "pyproject.toml requires another version than django_s3_kit-99-py3-none-any.whl"),
    ],
)
def test_without_the_wheel_no_project_is_created(
    copy: Path,
    bake_copy: Callable[..., Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    break_it: Callable[[Path], None],
    message: str | None,
) -> None:
    break_it(copy)
    with pytest.raises((FailedHookException, FileNotFoundError)):
        bake_copy()
    told = capfd.readouterr().err
    assert (message or "") in told
    assert "Traceback" not in told.split("ERROR: Stopping")[0]
    assert message is None or not list((tmp_path / "out").iterdir())


def test_old_python_error_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    with pytest.raises(SystemExit) as caught:
        post_gen.load_rules(ROOT / "library" / "src")
    assert str(caught.value.code) == (
        "cookiecutter runs on Python 3.10, but this template needs Python 3.11 or later."
    )


# Callers that pass nothing to a hook, on systems without /proc

CRUFT = [sys.executable, "-m", "cruft"]


def hidden(*words: object) -> list[object]:
    """Return a command that runs another command without /proc, as on macOS."""
    if not shutil.which("unshare"):
        pytest.skip("No unshare on this machine (Debian and Ubuntu: apt install util-linux)")
    mount = 'mount -t tmpfs none /proc && exec "$@"'
    if os.geteuid() == 0:
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh", *words]
    who = ["setpriv", "--reuid", os.geteuid(), "--regid", os.getegid(), "--init-groups"]
    kept = [f"{name}={os.environ[name]}" for name in ("PATH", "HOME") if name in os.environ]
    kept += [f"{name}={value}" for name, value in os.environ.items() if name.startswith("COOKIECUTTER_")]
    start = [
        "sudo",
        "--non-interactive",
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        mount,
        "sh",
    ]
    return [*start, *who, "env", *kept, *words]


@pytest.fixture
def repository(copy: Path) -> Path:
    """Return a git repository with the template."""
    subprocess.run(["git", "init", "--quiet", "--initial-branch", "main"], cwd=copy, check=True)
    commit(copy, "the template")
    return copy


def test_git_keeps_the_links(repository: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "clone", "--quiet", repository, tmp_path / "clone"], check=True)
    assert (tmp_path / "clone" / PROJECT.name / "vendor" / "src" / "s3kit" / "__init__.py").is_file()


def test_rejection_under_cruft_prints_a_cruft_command(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COOKIECUTTER_CONFIG", str(config_in(tmp_path)))
    answers = json.dumps({**FIXED, "aws_region": "Seoul"})
    words = [*CRUFT, "create", repository, "--output-dir", "out", "--no-input", "--extra-context", answers]
    monkeypatch.setenv("PWD", str(tmp_path))
    printed = run(*words, cwd=tmp_path, expect=1)
    start = shlex.join([*map(str, CRUFT), "create", str(repository), "--output-dir", str(tmp_path / "out")])
    [command] = [line for line in printed.splitlines() if line.startswith(f"  {start} --no-input ")]
    assert "Your project is ready." in run("sh", "-c", command, cwd=tmp_path)
    project = tmp_path / "out" / FIXED["project_slug"]
    assert "\nAWS_S3_REGION_NAME=ap-northeast-2\n" in (project / ".env").read_text(encoding="utf-8")

    # A later version of the template may reject answers that an earlier one accepted.
    state = json.loads((project / ".cruft.json").read_text(encoding="utf-8"))
    state["context"]["cookiecutter"]["project_name"] = "a\\b"
    (project / ".cruft.json").write_text(json.dumps(state), encoding="utf-8")
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    commit(project, "as it was made")
    (repository / "new").touch()
    commit(repository, "another version")
    printed = run(*CRUFT, "update", "--skip-apply-ask", cwd=project, expect=1)
    update = shlex.join([*CRUFT, "update", "--variables-to-update", json.dumps({"project_name": "ab"})])
    assert f"  {update}\n" in printed


def test_cruft_without_proc_creates_and_updates(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COOKIECUTTER_CONFIG", str(config_in(tmp_path)))
    answers = json.dumps(FIXED)
    words = ["create", repository, "--no-input", "--extra-context", answers]
    printed = run(*hidden(*CRUFT, *words), cwd=tmp_path)
    assert "Your project is ready." in printed
    project = tmp_path / FIXED["project_slug"]
    assert [path.name for path in (project / "vendor").iterdir()] == [WHEEL]
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    commit(project, "as it was made")
    assert (project / "vendor" / WHEEL).is_file()

    new_version(repository, "99.0.0")
    commit(repository, "a newer library")
    printed = run(*hidden(*CRUFT, "update", "--skip-apply-ask"), cwd=project)
    assert "Good work!" in printed
    [wheel] = (project / "vendor").iterdir()
    assert wheel.name == "django_s3_kit-99.0.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        assert "Version: 99.0.0\n" in archive.read("django_s3_kit-99.0.0.dist-info/METADATA").decode()
    assert f"vendor/{wheel.name}" in (project / "pyproject.toml").read_text(encoding="utf-8")


def new_version(template: Path, version: str) -> None:
    """Give a copy of the template and its library another version."""
    for name in ("cookiecutter.json", "library/pyproject.toml"):
        path = template / name
        path.write_text(path.read_text(encoding="utf-8").replace(f'"{VERSION}"', f'"{version}"', 1), "utf-8")


def test_a_bad_answer_by_cruft_without_proc_is_rejected(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COOKIECUTTER_CONFIG", str(config_in(tmp_path)))
    answers = json.dumps(FIXED | {"aws_region": "us_east_1"})
    words = ["create", repository, "--no-input", "--extra-context", answers]
    printed = run(*hidden(*CRUFT, *words), cwd=tmp_path, expect=1)
    assert "The run stopped. These answers need another value:\n  aws_region: 'us_east_1'" in printed
    assert not (tmp_path / FIXED["project_slug"]).exists()


def test_pre_gen_is_silent_without_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getppid", lambda: 0)
    assert pre_gen.template_folder(dict(FIXED)) is None


# The package index, and packages by others


class Index(http.server.SimpleHTTPRequestHandler):
    """A package index that serves folders of wheels, without logging."""

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Return the URL of a package index, and its folder for the library's wheels."""
    packages = tmp_path / "index" / "django-s3-kit"
    packages.mkdir(parents=True)
    handler = functools.partial(Index, directory=str(tmp_path / "index"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", packages
        server.shutdown()
        thread.join()


def test_a_project_without_vendor_depends_on_the_index(bake: Bake) -> None:
    project = bake(**FIXED, __library_from_index="yes")
    assert not (project / "vendor").exists()
    config = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    assert "sources" not in config["tool"]["uv"]
    assert f"django-s3-kit[cloudfront,images]=={VERSION}" in config["project"]["dependencies"]


@pytest.mark.slow
def test_the_switch_to_the_index_installs_from_it(bake: Bake, index: tuple[str, Path]) -> None:
    address, packages = index
    build(packages)
    project = bake(**FIXED, __library_from_index="yes")
    python = interpreter("3.11")
    run("uv", "sync", "--quiet", "--no-dev", "--index", address, "--python", python, cwd=project, UV_INDEX="")
    lock = tomllib.loads((project / "uv.lock").read_text(encoding="utf-8"))
    [ours] = [package for package in lock["package"] if package["name"] == "django-s3-kit"]
    assert ours["source"] == {"registry": address}
    code = "import s3kit; print(s3kit.__version__)"
    assert run(".venv/bin/python", "-c", code, cwd=project).strip() == VERSION


def pip_line(project: Path) -> list[str]:
    """Return the README's pip command."""
    readme = (project / "README.md").read_text(encoding="utf-8")
    [line] = re.findall(r"^(?:\.venv/bin/)?(?:python -m )?pip (install .*vendor.*)$", readme, re.MULTILINE)
    return str(line).split(" #")[0].split()


@pytest.mark.slow
def test_pip_prefers_the_vendored_wheel_to_a_newer_one_in_the_index(
    bake: Bake, copy: Path, index: tuple[str, Path], tmp_path: Path
) -> None:
    address, packages = index
    library = copy / "library"
    # An attacker's version 99, and an attacker's file for the pinned version.
    new_version(copy, "99.0.0")
    build(packages, library)
    stranger = build(packages, ROOT / "library")
    with zipfile.ZipFile(stranger, "a") as archive:
        archive.writestr("evil.py", "raise SystemExit")
    project = bake(**FIXED)
    run(interpreter("3.11"), "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    pip = [tmp_path / "venv" / "bin" / "python", "-m", "pip"]
    words = " ".join(pip_line(project))
    report = tmp_path / "report.json"
    options = ["--quiet", "--dry-run", "--report", report, "--extra-index-url", address]
    command = " ".join(map(str, [*pip, words, *options]))
    run("sh", "-c", command, cwd=project, PIP_DISABLE_PIP_VERSION_CHECK="1")
    found = json.loads(report.read_text(encoding="utf-8"))["install"]
    [ours] = [entry for entry in found if entry["metadata"]["name"] == "django-s3-kit"]
    assert ours["metadata"]["version"] == VERSION
    assert ours["download_info"]["url"] == f"file://{project}/vendor/{WHEEL}"
    digest = hashlib.sha256((project / "vendor" / WHEEL).read_bytes()).hexdigest()
    hashes = ours["download_info"]["archive_info"].get("hashes", {})  # none from pip 23.0
    assert hashes.get("sha256", digest) == digest
    names = {entry["metadata"]["name"].lower() for entry in found}
    assert {"django", "cryptography", "pillow", "boto3"} <= names  # its extras and its dependencies


# Updating the library in a project


@pytest.mark.slow
def test_one_command_updates_the_library_in_a_project(bake: Bake, copy: Path) -> None:
    project = bake(**FIXED)
    python = interpreter("3.11")
    run("uv", "lock", "--quiet", cwd=project, UV_PYTHON=python)
    before = tree(project)
    new_version(copy, "99.0.0")
    run(sys.executable, copy / "library" / "wheel.py", "--into", project, cwd=copy, UV_PYTHON=python)
    after = tree(project)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    newer = "vendor/django_s3_kit-99.0.0-py3-none-any.whl"
    assert changed - {"README.md"} == {"pyproject.toml", "uv.lock", f"vendor/{WHEEL}", newer}
    assert f"vendor/{WHEEL}" not in after
    run("uv", "lock", "--check", "--quiet", cwd=project, UV_PYTHON=python)
    assert hashlib.sha256(after[newer]).hexdigest() in after["uv.lock"].decode()
