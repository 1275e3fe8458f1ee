"""The baked project, installed and run by its own README as a new user would."""

import json
import os
import re
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.installed import PRODUCTION, Installed, fetch
from tests.machine import free_port, read_when_up, run, running

pytestmark = pytest.mark.slow


def test_the_versions_are_those_asked_for(installed: Installed) -> None:
    code = "import django, json, sys; print(json.dumps([django.VERSION[:2], sys.version_info[:2]]))"
    printed = run(".venv/bin/python", "-c", code, cwd=installed.path)
    wanted = [
        [int(part) for part in version.split(".")] for version in (installed.django, installed.python[-4:])
    ]
    assert json.loads(printed) == wanted


# What a developer's shell may hold: none of it may reach the tests.
HOSTILE = {
    "DATABASE_URL": "postgres://nobody:nothing@192.0.2.1:5432/live",
    "AWS_PROFILE": "production",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_MEDIA_BUCKET_NAME": "somebodys-live-media",
    "DJANGO_DEBUG": "no-such-value",
    "USE_S3": "true",
}


def test_its_own_tests_pass(install: Callable[[str], Installed]) -> None:
    project = install("6.1")
    before = {path.name for path in project.path.iterdir()}
    printed = run("make", "test", cwd=project.path)
    assert re.search(r"\d+ passed", printed)
    assert "All checks passed!" in printed
    assert "Success: no issues found" in printed
    assert "skipped" not in printed
    # Nothing but what the tools keep for their next run, all of which git ignores.
    left = {path.name for path in project.path.iterdir()} - before
    assert left <= {".mypy_cache", ".pytest_cache", ".ruff_cache", "__pycache__"}


def test_its_own_tests_are_not_moved_by_an_environment(on_lts: Installed) -> None:
    run("make", "lint", cwd=on_lts.path)
    printed = run(".venv/bin/pytest", "-n", "auto", "-m", "not slow", cwd=on_lts.path, **HOSTILE)
    assert re.search(r"\d+ passed", printed)
    assert "skipped" not in printed


def test_its_slow_tests_pass(installed: Installed) -> None:
    printed = run(".venv/bin/pytest", "-n", "4", "-m", "slow", cwd=installed.path)
    assert re.search(r"\d+ passed", printed)
    assert "skipped" not in printed


def test_its_documents_count_its_static_files(on_lts: Installed, tmp_path: Path) -> None:
    printed = on_lts.manage("s3", "manifest", "--output", str(tmp_path / "staticfiles.json"))
    count = int(re.search(r": ([\d,]+) files\.", printed)[1].replace(",", ""))  # type: ignore[index]
    shown = [
        (int(files), int(objects))
        for page in (on_lts.path / "README.md", *(on_lts.path / "docs").glob("*.md"))
        for files, objects in re.findall(r"(\d+) files as (\d+) objects", page.read_text("utf-8"))
    ]
    assert shown == [(count, 2 * count)] * len(shown)
    assert len(shown) > 2


def test_its_documents_tell_the_same_of_plan_and_apply(on_lts: Installed) -> None:
    for pattern in (r"To do: .*", r"\d+ steps done, and read back\."):
        readme, walk = (
            set(re.findall(pattern, (on_lts.path / name).read_text("utf-8")))
            for name in ("README.md", "docs/aws.md")
        )
        assert readme
        assert readme == walk


def test_the_linters_pass_over_the_uv_that_make_put_there(on_lts: Installed, tmp_path: Path) -> None:
    project = tmp_path / "project"
    run("cp", "-r", on_lts.path, project, cwd=tmp_path)
    folders = os.environ["PATH"].split(os.pathsep)
    without_uv = os.pathsep.join(folder for folder in folders if not (Path(folder) / "uv").exists())
    run("make", ".uv/bin/uv", cwd=project, PATH=without_uv)
    assert (project / ".uv" / "uv" / "__init__.py").exists()
    run("make", "lint", cwd=project, PATH=without_uv)


def test_the_template_is_itself_a_project(on_lts: Installed, template: Path, tmp_path: Path) -> None:
    place = tmp_path / "in-place"
    run("cp", "-r", template / "{{cookiecutter.project_slug}}", place, cwd=tmp_path)
    tools = on_lts.path / ".venv" / "bin"
    run(tools / "ruff", "check", ".", cwd=place)
    run(tools / "ruff", "format", "--check", ".", cwd=place)
    assert "Success: no issues found" in run(tools / "mypy", ".", cwd=place)
    assert "no issues" in run(tools / "python", "manage.py", "check", cwd=place)
    run(tools / "pytest", "-q", "tests/test_gallery.py", "tests/test_settings.py", cwd=place)
    port = free_port()
    run(tools / "python", "manage.py", "migrate", cwd=place)
    with running(tools / "python", "manage.py", "runserver", port, cwd=place):
        assert "My Site" in read_when_up(f"http://127.0.0.1:{port}/")


def test_checks_and_migrations_are_clean(installed: Installed) -> None:
    assert "no issues" in installed.manage("check")
    assert "No changes detected" in installed.manage("makemigrations", "--check", "--dry-run")


def test_deployment_checks_are_clean(installed: Installed) -> None:
    assert "no issues" in installed.manage("check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)


@pytest.mark.parametrize(
    "missing",
    [["DJANGO_SECRET_KEY"], ["DJANGO_ALLOWED_HOSTS"], ["DJANGO_SECRET_KEY", "DJANGO_ALLOWED_HOSTS"]],
)
def test_debug_off_names_what_is_missing(installed: Installed, missing: list[str]) -> None:
    environment = {name: value for name, value in PRODUCTION.items() if name not in missing}
    printed = installed.manage("check", expect=1, DJANGO_ENV_FILE=os.devnull, **environment)
    last = printed.strip().splitlines()[-1]
    for name in ("DJANGO_SECRET_KEY", "DJANGO_ALLOWED_HOSTS"):
        assert (name in last) == (name in missing)


def test_nothing_is_needed_to_start(on_lts: Installed, tmp_path: Path) -> None:
    project = tmp_path / "bare"
    run("cp", "-r", on_lts.path, project, cwd=tmp_path)
    (project / ".env").unlink()
    python = on_lts.path / ".venv" / "bin" / "python"
    bare = dict.fromkeys(PRODUCTION, "")
    assert "no issues" in run(python, "manage.py", "check", cwd=project, **bare)
    run(python, "manage.py", "migrate", cwd=project, **bare)
    run(python, "-m", "pytest", "-q", "tests/test_gallery.py", "tests/test_settings.py", cwd=project, **bare)
    port = free_port()
    with running(python, "manage.py", "runserver", str(port), cwd=project, **bare):
        assert "My Site" in read_when_up(f"http://127.0.0.1:{port}/")


def first_commands(readme: str) -> list[str]:
    """Return the lines of a README's first block of shell commands."""
    block = re.search(r"```(?:sh|shell|console)\n(.*?)```", readme, re.DOTALL)
    assert block
    return block[1].strip().splitlines()


def test_the_example_can_be_removed_in_three_steps(on_lts: Installed, tmp_path: Path) -> None:
    project = tmp_path / "without"
    run("cp", "-r", on_lts.path, project, cwd=tmp_path)
    steps = (project / "README.md").read_text(encoding="utf-8").split("## Remove the example")[1]
    first = re.search(r"1\. Delete (.*?)\n2\.", steps, re.DOTALL)
    assert first
    for pattern in re.findall("`([^`]+)`", first[1]):
        found = sorted(project.glob(pattern))
        assert found, pattern
        run("rm", "-r", *found, cwd=project)
    for file, line, instead in (
        ("config/settings.py", '    "gallery",\n', ""),
        (
            "config/urls.py",
            '    path("", include("gallery.urls")),\n',
            '    path("", TemplateView.as_view(template_name="base.html"), name="home"),\n',
        ),
        (
            "config/urls.py",
            "import include, path\n",
            "import include, path\nfrom django.views.generic import TemplateView\n",
        ),
    ):
        text = (project / file).read_text(encoding="utf-8")
        assert text.count(line) == 1
        (project / file).write_text(text.replace(line, instead), encoding="utf-8")
    tools = on_lts.path / ".venv" / "bin"
    python = tools / "python"
    assert "no issues" in run(python, "manage.py", "check", cwd=project)
    assert "Success: no issues found" in run(tools / "mypy", ".", cwd=project)
    # git leaves the folder of an app with its compiled files, and an update brings tests that are new.
    (project / "gallery" / "__pycache__").mkdir(parents=True)
    run("cp", on_lts.path / "tests" / "test_gallery_pages.py", project / "tests", cwd=project)
    run(python, "-m", "pytest", "-n", "auto", "-m", "not slow", cwd=project)
    assert "gallery" not in run(
        "grep", "-rl", "gallery", ".", "--include=*.html", "--include=*.css", cwd=project, expect=1
    )


def test_make_run_serves_the_page_and_its_files(installed: Installed) -> None:
    port = free_port()
    with running("make", "run", f"PORT={port}", "S3_PORT=0", cwd=installed.path) as server:
        server.wait_for(r"Starting (WSGI )?development server")
        assert "createsuperuser" in server.output
        page = read_when_up(f"http://127.0.0.1:{port}/")
        assert "O&#x27;Neil &amp; &lt;Söhne&gt; 사진" in page
        files = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
        assert {Path(name).suffix for name in files} >= {".css", ".js", ".svg"}
        for name in files:
            status, headers, _ = fetch(f"http://127.0.0.1:{port}{name}")
            assert status == 200, name
            assert headers["content-type"].split(";")[0] != "text/html", name
        server.interrupt()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)


def test_a_taken_port_is_said_in_one_line(on_lts: Installed) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        printed = run("make", "run", f"PORT={port}", "S3_PORT=0", cwd=on_lts.path, expect=None)
        assert f"Port {port} of 127.0.0.1 is taken" in printed
        printed = run("make", "run", f"S3_PORT={port}", cwd=on_lts.path, expect=2)
        assert f"Port {port} of 127.0.0.1 is taken" in printed
    assert "Traceback" not in printed


def test_the_readme_starts_with_commands_that_work(on_lts: Installed) -> None:
    commands = first_commands((on_lts.path / "README.md").read_text(encoding="utf-8"))
    assert 1 <= len(commands) <= 3
    targets = [command for command in commands if command.startswith("make ")]
    assert targets == ["make run"]
    printed = run("make", "-n", "run", cwd=on_lts.path)
    assert "manage.py s3 run" in printed


def test_the_lock_file_is_made_and_not_ignored(installed: Installed) -> None:
    lock = tomllib.loads((installed.path / "uv.lock").read_text(encoding="utf-8"))
    assert {"django", "django-environ", "pillow", "psycopg"} <= {
        package["name"] for package in lock["package"]
    }
    run("git", "init", "--quiet", cwd=installed.path)
    assert run("git", "check-ignore", "uv.lock", cwd=installed.path, expect=1) == ""
