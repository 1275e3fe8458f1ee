"""The baked project, installed and run according to its own README."""

import json
import os
import re
import shutil
import socket
import sqlite3
import stat
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.answers import ROOT
from tests.installed import PRODUCTION, Installed, fetch
from tests.machine import free_port, read_when_up, run, running

pytestmark = pytest.mark.slow


def test_the_versions_match_the_answer(installed: Installed) -> None:
    code = "import django, json, sys; print(json.dumps([django.VERSION[:2], sys.version_info[:2]]))"
    printed = run(".venv/bin/python", "-c", code, cwd=installed.path)
    wanted = [
        [int(part) for part in version.split(".")] for version in (installed.django, installed.python[-4:])
    ]
    assert json.loads(printed) == wanted


# Variables in a developer's shell, which must not affect the tests.
HOSTILE = {
    "DATABASE_URL": "postgres://nobody:nothing@192.0.2.1:5432/live",
    "AWS_PROFILE": "production",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_MEDIA_BUCKET_NAME": "somebodys-live-media",
    "DJANGO_DEBUG": "no-such-value",
    "USE_S3": "true",
}


def test_projects_own_tests_pass(install: Callable[[str], Installed]) -> None:
    project = install("6.1")
    before = {path.name for path in project.path.iterdir()}
    printed = run("make", "test", cwd=project.path)
    assert re.search(r"\d+ passed", printed)
    assert "All checks passed!" in printed
    assert "Success: no issues found" in printed
    assert "skipped" not in printed
    # Only caches, which git ignores.
    left = {path.name for path in project.path.iterdir()} - before
    assert left <= {".mypy_cache", ".pytest_cache", ".ruff_cache", "__pycache__"}


def test_a_second_developer_needs_no_env_file(on_lts: Installed, tmp_path: Path) -> None:
    project = on_lts.copy(tmp_path / "clone")
    (project / ".env").unlink()
    run("make", ".env", cwd=project)
    example = (project / ".env.example").read_text(encoding="utf-8")
    written = (project / ".env").read_text(encoding="utf-8")
    assert re.sub(r"(?m)^(DJANGO_SECRET_KEY=)[\w-]{50,}$", r"\1", written) == example
    assert written != example
    assert stat.S_IMODE((project / ".env").stat().st_mode) == 0o600
    run("make", ".env", cwd=project)
    assert (project / ".env").read_text(encoding="utf-8") == written


def test_project_installs_offline_from_the_lock_file(on_lts: Installed, tmp_path: Path) -> None:
    """The library is in vendor/, and everything else in uv's cache, as in a developer's second checkout."""
    project = on_lts.copy(tmp_path / "offline")
    (project / ".venv").unlink()
    run("uv", "sync", "--quiet", "--locked", "--offline", "--python", on_lts.python, cwd=project)
    assert "no issues" in run(".venv/bin/python", "manage.py", "check", cwd=project)


def test_projects_tests_ignore_the_environment_and_need_no_env_file(
    on_lts: Installed, tmp_path: Path
) -> None:
    project = on_lts.copy(tmp_path / "clone")
    (project / ".env").unlink()
    printed = run(".venv/bin/pytest", "-q", cwd=project, **HOSTILE)
    assert re.search(r"\d+ passed", printed)
    assert "skipped" not in printed


def test_the_linters_ignore_the_uv_that_make_installed(on_lts: Installed, tmp_path: Path) -> None:
    project = on_lts.copy(tmp_path / "project")
    folders = os.environ["PATH"].split(os.pathsep)
    without_uv = os.pathsep.join(folder for folder in folders if not (Path(folder) / "uv").exists())
    run("make", ".uv/bin/uv", cwd=project, PATH=without_uv)
    assert (project / ".uv" / "uv" / "__init__.py").exists()
    # Without --old-file, make would use the new uv to install into the environment of other tests.
    run("make", "--old-file", ".venv", "lint", cwd=project, PATH=without_uv)


def test_templates_own_folder_runs_as_a_project(on_lts: Installed, template: Path, tmp_path: Path) -> None:
    """Except for the rendered pyproject.toml, which configures the tools."""
    place = tmp_path / "in-place"
    source = template / "{{cookiecutter.project_slug}}"
    shutil.copytree(source, place, symlinks=True, ignore=shutil.ignore_patterns("vendor"))
    shutil.copy(on_lts.path / "pyproject.toml", place)
    tools = on_lts.path / ".venv" / "bin"
    run(tools / "ruff", "check", ".", cwd=place)
    run(tools / "ruff", "format", "--check", ".", cwd=place)
    assert "Success: no issues found" in run(tools / "mypy", ".", cwd=place)
    development = {"DJANGO_DEBUG": "true", "DJANGO_SECRET_KEY": "x" * 50, "USE_S3": "false"}
    assert "no issues" in run(tools / "python", "manage.py", "check", cwd=place, **development)
    port = free_port()
    run(tools / "python", "manage.py", "migrate", cwd=place, **development)
    with running(tools / "python", "manage.py", "runserver", port, cwd=place, **development):
        assert "My Site" in read_when_up(f"http://127.0.0.1:{port}/")


def test_checks_and_migrations_are_clean(installed: Installed) -> None:
    assert "no issues" in installed.manage("check")
    assert "No changes detected" in installed.manage("makemigrations", "--check", "--dry-run")


def test_deployment_checks_are_clean(installed: Installed) -> None:
    of_ecs = {"AWS_REGION": "us-east-1"}  # the task's region, not the buckets'
    assert "no issues" in installed.manage(
        "check", "--deploy", "--fail-level", "WARNING", **PRODUCTION, **of_ecs
    )


@pytest.mark.parametrize(
    "missing",
    [["DJANGO_SECRET_KEY"], ["DJANGO_ALLOWED_HOSTS"], ["DJANGO_SECRET_KEY", "DJANGO_ALLOWED_HOSTS"]],
)
def test_without_debug_mode_missing_variables_are_named(installed: Installed, missing: list[str]) -> None:
    environment = {name: value for name, value in PRODUCTION.items() if name not in missing}
    printed = installed.manage("check", expect=1, DJANGO_ENV_FILE=os.devnull, **environment)
    last = printed.strip().splitlines()[-1]
    for name in ("DJANGO_SECRET_KEY", "DJANGO_ALLOWED_HOSTS"):
        assert (name in last) == (name in missing)
    assert "Traceback" not in printed


def test_a_server_survives_slow_clients_and_large_bodies_and_prints_json(
    on_lts: Installed, tmp_path: Path
) -> None:
    """Five times as many slow clients as the server has threads."""
    port = free_port()
    environment = PRODUCTION | {
        "DJANGO_ALLOWED_HOSTS": "127.0.0.1",
        "DJANGO_SECURE_SSL_REDIRECT": "false",
        "DJANGO_LOG_FORMAT": "json",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'db.sqlite3'}",
        "USE_S3": "false",
        "PYTHONWARNINGS": "always",
        "TMPDIR": str(tmp_path),
        "WEB_CONCURRENCY": "1",
    }
    on_lts.manage("collectstatic", "--no-input", **environment)
    on_lts.manage("migrate", **environment)
    before = {path.name for path in tmp_path.iterdir()}
    gunicorn = (".venv/bin/gunicorn", "config.wsgi", "--bind", f"127.0.0.1:{port}")
    with ExitStack() as clients, running(*gunicorn, cwd=on_lts.path, **environment) as server:
        read_when_up(f"http://127.0.0.1:{port}/healthz")
        large = []
        for page in (b"/accounts/login/", b"/pictures/add/", b"/no/such/page/"):
            head = b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\n" % page
            for rest in (
                b"X-Slow: ",
                b"Content-Length: 1000\r\n\r\n",
                b"Content-Length: 600000000\r\n\r\n" + b"x" * 100_000,
                b"Transfer-Encoding: chunked\r\n\r\n186a0\r\n" + b"x" * 100_000,
            ):
                for _ in range(2):
                    client = clients.enter_context(socket.create_connection(("127.0.0.1", port), 120))
                    client.sendall(head + rest)
                    large += [client] if len(rest) > 1000 else []
        for client in large:
            assert client.recv(1000).startswith(b"HTTP/1.1 413 ")
        for _ in range(5):
            assert read_when_up(f"http://127.0.0.1:{port}/healthz") == '{"status": "ok"}'
        assert "Neil" in read_when_up(f"http://127.0.0.1:{port}/")
        # SQLite deletes its two files whenever the last connection closes, so a connection keeps them here.
        database = clients.enter_context(closing(sqlite3.connect(tmp_path / "db.sqlite3")))
        database.execute("SELECT name FROM sqlite_master").fetchall()
        files = {f"db.sqlite3{ending}" for ending in ("", "-wal", "-shm")}
        assert {path.name for path in tmp_path.iterdir()} - before <= files
        assert {name: (tmp_path / name).stat().st_mode & 0o777 for name in files} == dict.fromkeys(
            files, 0o600
        )
        server.wait_for('"gunicorn.access"')  # printed after the response
        lines = [json.loads(line) for line in server.output.splitlines()]
    assert {"gunicorn.access", "gunicorn.error"} <= {line["logger"] for line in lines}


def test_missing_variables_error_is_one_line_with_the_fix(on_lts: Installed, tmp_path: Path) -> None:
    project = on_lts.copy(tmp_path / "bare")
    (project / ".env").unlink()
    bare = dict.fromkeys([*PRODUCTION, "USE_S3"], "")
    python = on_lts.path / ".venv" / "bin" / "python"
    for command in (["manage.py", "check"], ["manage.py", "runserver"], ["-m", "gunicorn", "config.wsgi"]):
        printed = run(python, *command, cwd=project, expect=1, PORT="0", **bare)
        assert "Missing variables: DJANGO_SECRET_KEY, DJANGO_ALLOWED_HOSTS. Set them in" in printed
        assert "Traceback" not in printed
    run(python, "-m", "pytest", "-q", "-k", "page", cwd=project, **bare)
    run("make", ".env", cwd=project, **bare)
    assert "no issues" in run(python, "manage.py", "check", cwd=project, **bare)
    printed = run(python, "-m", "gunicorn", "config.wsgi", cwd=project, expect=1, PORT="0", **bare)
    assert "set DJANGO_DEBUG=false" in printed
    assert "Traceback" not in printed


def first_commands(readme: str) -> list[str]:
    """Return the lines of a README's first block of shell commands."""
    block = re.search(r"```(?:sh|shell|console)\n(.*?)```", readme, re.DOTALL)
    assert block
    return block[1].strip().splitlines()


def test_collectstatic_reports_that_nothing_was_published(on_lts: Installed, tmp_path: Path) -> None:
    project = on_lts.copy(tmp_path / "project")
    printed = run(".venv/bin/python", "manage.py", "collectstatic", "--no-input", cwd=project, USE_S3="false")
    assert "Nothing was published: USE_S3 is off" in printed
    assert re.search(r"to the bucket '[\w-]+' \(AWS_STATIC_BUCKET_NAME\), set USE_S3=true\.", printed)


ADD_A_PICTURE = """
from django.core.files.base import ContentFile
from gallery.models import Picture
from users.models import User
user = User.objects.create_user("ada")
Picture.objects.create(video=ContentFile(b"a video", name="waves.mp4"), alt="Waves", uploaded_by=user)
"""


def test_the_example_can_be_removed(on_lts: Installed, tmp_path: Path) -> None:
    def manage(*words: str, expect: int = 0) -> str:
        return run(python, "manage.py", *words, cwd=project, expect=expect, USE_S3="false")

    project = on_lts.copy(tmp_path / "without")
    video = project / "var" / "media" / "videos"
    tools = on_lts.path / ".venv" / "bin"
    python = tools / "python"
    manage("migrate")
    manage("shell", "-c", ADD_A_PICTURE)
    assert "Nothing was changed." in manage("remove_gallery", expect=1)  # without confirmation

    # Obstacles are reported before anything changes.
    urls = (project / "config" / "urls.py").read_text(encoding="utf-8")
    (project / "config" / "urls.py").write_text(
        urls.replace('"gallery.urls")', '"gallery.urls"),'), encoding="utf-8"
    )
    assert "config/urls.py yourself" in manage("remove_gallery", "--no-input", expect=1).splitlines()[-1]
    (project / "config" / "urls.py").write_text(urls, encoding="utf-8")
    assert len(list(video.iterdir())) == 1

    # It fails halfway, and continues the next time.
    static = project / "static" / "gallery"
    static.rename(tmp_path / "kept")
    static.write_text("no folder", encoding="utf-8")
    printed = manage("remove_gallery", "--no-input", "--delete-uploads", expect=1)
    assert "run the command again" in printed.splitlines()[-1]
    assert "no issues" in manage("check")
    static.unlink()
    (tmp_path / "kept").rename(static)
    manage("remove_gallery", "--no-input")
    assert list(video.iterdir()) == []

    manage("shell", "-c", "from users.models import User; User.objects.get(username='ada').delete()")
    count = "print('left', Permission.objects.filter(content_type__app_label='gallery').count())"
    left = f"from django.contrib.auth.models import Permission; {count}"
    assert "left 0" in manage("shell", "-c", left)
    assert "No changes detected" in manage("makemigrations", "--check", "--dry-run")
    run(tools / "ruff", "check", ".", cwd=project)
    run(tools / "ruff", "format", "--check", ".", cwd=project)
    assert "Success: no issues found" in run(tools / "mypy", ".", cwd=project)
    run(python, "-m", "pytest", "-q", cwd=project)
    searched = [
        path for path in project.iterdir() if path.name not in {".venv", "var", "vendor", "db.sqlite3"}
    ]
    run(
        "grep",
        "-rIil",
        "--exclude-dir=.*_cache",
        "--exclude-dir=__pycache__",
        "gallery",
        *searched,
        cwd=project,
        expect=1,
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


def test_second_terminal_uses_the_s3_server_of_make_run(on_lts: Installed, tmp_path: Path) -> None:
    project = on_lts.copy(tmp_path / "two")
    media = project / "var" / "media"
    python, port, other = on_lts.path / ".venv" / "bin" / "python", free_port(), free_port()
    add = (python, "manage.py", "add_picture", ROOT / "docs" / "images" / "hills.jpg", "Hills")
    with running(python, "manage.py", "s3", "run", "--port", port, "--s3-port", "0", cwd=project) as server:
        endpoint = server.wait_for(r"local S3 server at (\S+),")[1]
        read_when_up(f"http://127.0.0.1:{port}/")
        assert "Added hills.jpg." in run(*add, cwd=project)
        with running(python, "manage.py", "runserver", other, cwd=project):
            for page in (read_when_up(f"http://127.0.0.1:{each}/") for each in (port, other)):
                link = re.search(rf'src="({endpoint}/[^"]+)"', page)
                assert link
                assert fetch(link[1].replace("&amp;", "&"))[0] == 200
        server.interrupt()
    printed = run(*add, cwd=project, expect=1)
    assert "The local S3 server is not running: start it with `make run`" in printed
    assert "Traceback" not in printed
    assert not media.exists()


def test_the_setup_can_be_rehearsed_as_documented(on_lts: Installed, tmp_path: Path) -> None:
    project = on_lts.copy(tmp_path / "rehearsal")
    text = (project / "docs" / "aws.md").read_text(encoding="utf-8").partition("## Rehearse")[2]
    block = text.partition("```sh\n")[2].partition("```")[0]
    (serve,) = re.findall(r"^manage\.py (s3 serve.*) &$", block, re.MULTILINE)
    (variables,) = re.findall("^export (.*)$", block, re.MULTILINE)
    environment = dict(word.split("=") for word in variables.split())
    commands = [line.removeprefix("manage.py ") for line in block.splitlines() if not line.endswith("&")][1:]
    assert len(commands) == 4
    manage = (on_lts.path / ".venv" / "bin" / "python", "manage.py")
    with running(*manage, *serve.split(), cwd=project, **environment) as server:
        server.wait_for("listens on")
        for words in commands:
            answer = ("--no-input",) if " apply " in f" {words} " else ()
            expected = 2 if " plan " in f" {words} " else 0
            printed = run(*manage, *words.split(), *answer, cwd=project, expect=expected, **environment)
        assert "not ok" not in printed
    assert (project / "var" / "rehearsal").is_dir()
    assert not (project / "var" / "s3").exists()


def test_port_in_use_is_a_one_line_error(on_lts: Installed) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        printed = run("make", "run", f"PORT={port}", "S3_PORT=0", cwd=on_lts.path, expect=None)
        assert f"Port {port} of 127.0.0.1 is in use" in printed
        printed = run("make", "run", f"PORT={free_port()}", f"S3_PORT={port}", cwd=on_lts.path, expect=2)
        assert f"Port {port} of 127.0.0.1 is in use" in printed
    assert "Traceback" not in printed


def test_the_readme_starts_with_commands_that_work(on_lts: Installed) -> None:
    commands = first_commands((on_lts.path / "README.md").read_text(encoding="utf-8"))
    assert 1 <= len(commands) <= 3
    targets = [command for command in commands if command.startswith("make ")]
    assert targets == ["make run"]
    printed = run("make", "-n", "run", cwd=on_lts.path)
    assert "manage.py s3 run" in printed


def test_the_lock_file_is_created_and_not_ignored(installed: Installed) -> None:
    lock = tomllib.loads((installed.path / "uv.lock").read_text(encoding="utf-8"))
    assert {"django", "django-environ", "django-s3-kit", "pillow", "psycopg"} <= {
        package["name"] for package in lock["package"]
    }
    run("git", "init", "--quiet", cwd=installed.path)
    assert run("git", "check-ignore", "uv.lock", cwd=installed.path, expect=1) == ""
