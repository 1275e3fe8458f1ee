"""`make demo` and the installation of uv, on a machine with only Python, make, and git."""

import html
import os
import re
import shutil
import stat
import sys
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from django.contrib.auth.password_validation import get_password_validators, validate_password

from tests.answers import PROJECT
from tests.machine import read_when_up, run, running

MAKEFILES = [".", "{{cookiecutter.project_slug}}"]


def path_without_uv() -> str:
    folders = os.environ["PATH"].split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if not (Path(folder) / "uv").exists())


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """Return a folder to use as PATH, with a few programs, but without Python and uv."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "make", "sed", "git", "touch", "env", "rm"):
        (folder / name).symlink_to(shutil.which(name) or f"/bin/{name}")
    return folder


def uv_goal(makefile: str, template: Path, path: Path, *words: str, python: str = "python3") -> str:
    make = shutil.which("make") or "make"
    return run(
        make,
        "--no-print-directory",
        f"PYTHON={python}",
        *words,
        ".uv/bin/uv",
        cwd=template / makefile,
        expect=2,
        PATH=str(path),
    )


@pytest.mark.parametrize("makefile", MAKEFILES)
def test_missing_python_error_is_one_line(makefile: str, template: Path, bare: Path) -> None:
    printed = uv_goal(makefile, template, bare)
    assert (
        "\nPython 3.11 or later is needed. Install it, or name another one: make PYTHON=python3.12 ..."
        in printed
    )
    assert len(printed.splitlines()) == 3  # the other lines come from the shell and make


@pytest.mark.parametrize("makefile", MAKEFILES)
def test_old_python_error_is_one_line(makefile: str, template: Path, bare: Path) -> None:
    script(bare / "python3", "exit 1")
    printed = uv_goal(makefile, template, bare)
    assert printed.startswith("Python 3.11 or later is needed.")
    assert len(printed.splitlines()) == 2


@pytest.mark.parametrize("makefile", MAKEFILES)
def test_missing_pip_error_is_one_line(makefile: str, template: Path, bare: Path) -> None:
    script(bare / "python3", f'[ "$1" = -m ] && exit 1; exec {sys.executable} "$@"')
    printed = uv_goal(makefile, template, bare)
    assert (
        printed.splitlines()[0]
        == "pip is missing: install it first (Debian and Ubuntu: apt install python3-pip)."
    )
    assert len(printed.splitlines()) == 2


def log_in(address: str, name: str, password: str) -> str:
    """Log in with the form at a URL, and return the next page."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with opener.open(address, timeout=30) as response:
        token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', response.read().decode())[-1]
    form = {"username": name, "password": password, "csrfmiddlewaretoken": token}
    with opener.open(address, urllib.parse.urlencode(form).encode(), timeout=30) as response:
        return str(response.read().decode())


@pytest.mark.slow
def test_make_demo_from_a_clone_without_uv(template: Path, tmp_path: Path) -> None:
    clone = tmp_path / "a clone"  # a folder's name can contain a space
    shutil.copytree(template, clone, symlinks=True)
    run("git", "init", "--quiet", cwd=clone)
    environment = {"PATH": path_without_uv(), "HOME": str(tmp_path)}
    # Reuse this machine's download caches.
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for name, folder in (("UV", "uv"), ("PIP", "pip"), ("S3KIT", "django-s3-kit")):
        environment[f"{name}_CACHE_DIR"] = os.environ.get(f"{name}_CACHE_DIR") or str(cache / folder)
    password, settings = "", PROJECT / "config" / "settings.py"
    for round_ in (1, 2):
        with running("make", "demo", cwd=clone, **environment) as demo:
            address = demo.wait_for(r"The site is at (http://127\.0\.0\.1:\d+/)", seconds=600)[1]
            # One line per step, then the next steps.
            assert re.findall(r"^(\d)/4 \S", demo.output, re.MULTILINE) == ["1", "2", "3", "4"]
            following = demo.output.rpartition("4/4")[2]
            assert f"\nOpen it     {address}\n" in following
            assert re.search(r"^Stop it +Ctrl-C;", following, re.MULTILINE)
            assert re.search(r"^Your own +\.uv/bin/uvx cookiecutter \. ", following, re.MULTILINE)
            login = re.search(
                r"^Log in +as demo, with the password (\S+), which is not", following, re.MULTILINE
            )
            assert bool(login) == (round_ == 1)
            password = login[1] if login else password
            assert demo.output.count(password) == (round_ == 1)
            assert ("demo/my-site already exists." in demo.output) == (round_ == 2)
            # The doctor runs last, before the site starts.
            summary = re.search(r"^(?:\d+ can't tell, )?(\d+) ok\.$", demo.output, re.MULTILINE)
            assert summary
            assert int(summary[1]) > 25
            report = demo.output.partition("\nCan't tell\n")[2].partition("\n\n")[0]
            unsure = re.findall(r"^  (\S.*)$", report, re.MULTILINE)
            assert all(line.startswith(("account block", "custom domain")) for line in unsure), unsure
            page = read_when_up(address)
            assert "My Site" in page
            assert page.count("<img src=") - 1 == 1  # the logo, and one picture
            files = re.findall(r'(?:href|src)="([^"]+\.(?:css|js|svg|woff2|jpg)[^"]*)"', page)
            assert len(files) >= 5
            for file in files:
                assert "/my-site-" in file  # that is, on S3
                assert urllib.request.urlopen(html.unescape(file), timeout=30).status == 200
            assert 'action="/accounts/logout/"' in log_in(f"{address}accounts/login/", "demo", password)
            demo.interrupt()
        changed = clone / "demo" / "my-site" / "changed.txt"
        changed.write_text("mine", encoding="utf-8")
    named = re.findall(
        r'"NAME": "(django\.contrib\.auth\.password_validation\.\w+)"', settings.read_text("utf-8")
    )
    assert len(named) >= 4
    validate_password(
        password, password_validators=get_password_validators([{"NAME": name} for name in named])
    )
    assert changed.read_text(encoding="utf-8") == "mine"
    assert (clone / ".uv" / "bin" / "uv").exists()
    assert run("git", "status", "--porcelain", "--ignored", "demo", cwd=clone).startswith("!! demo/")


def test_demo_does_not_copy_ignored_files(template: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    shutil.copytree(template, clone, symlinks=True)
    run("git", "init", "--quiet", cwd=clone)
    (clone / "{{cookiecutter.project_slug}}" / "db.sqlite3").write_bytes(b"")
    printed = run("make", "demo", cwd=clone, expect=2)
    assert "The template's folder contains files that git ignores. Remove them: git clean -fdX" in printed
    assert not (clone / "demo").exists()
