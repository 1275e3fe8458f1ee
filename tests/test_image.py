"""The image of a baked project: built, searched for secrets, and run with PostgreSQL and the local S3 server."""

import configparser
import dataclasses
import json
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values
from pytest_cookies.plugin import Cookies

from tests import containers
from tests.answers import FIXED, PROJECT, ROOT, SECRET_FILES
from tests.containers import Builder, Image, as_root
from tests.machine import PATIENCE, Running, free_port, read_when_up, run
from tests.postgres import Postgres, running_postgres
from tests.workflows import path_with, run_step, step, workflow

pytestmark = pytest.mark.slow

# Values that must not be in any layer, by file.
HIDDEN = {
    **{name: f"hidden-in-{name}" for name in SECRET_FILES if name != ".env"},
    "env": "hidden-in-env",
    "var/media/upload.txt": "hidden-in-an-upload",
    ".git/config": "hidden-in-git",
    ".venv/lib/module.py": "hidden-in-the-environment",
    "staticfiles.json": "hidden-in-an-old-manifest",
}
SERVER = {
    "DJANGO_SECRET_KEY": "only-for-this-test-" + "0123456789abcdefghijklmnopqrstuvwxyz" * 2,
    "DJANGO_ALLOWED_HOSTS": "127.0.0.1",
    "DJANGO_SECURE_SSL_REDIRECT": "false",
    "AWS_S3_REGION_NAME": "eu-central-1",
    "AWS_STATIC_BUCKET_NAME": "acme-static",
    "AWS_MEDIA_BUCKET_NAME": "acme-media",
}


def base_name() -> str:
    """Return the base image from the Dockerfile's FROM line."""
    text = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", text, re.MULTILINE))
    (name,) = (name for name in re.findall(r"^FROM (\S+)", text, re.MULTILINE) if name not in stages)
    return name


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    containers.needed()
    builder = Builder(tmp_path_factory.mktemp("images"))
    try:
        builder.make_base(f"docker.io/library/{base_name()}")
        yield builder
    finally:
        builder.close()


@pytest.fixture(scope="module")
def project(cookies_session: Cookies, template: Path) -> Path:
    """Return a baked project with a lock file, and with files that must not be in an image."""
    result = cookies_session.bake(extra_context=FIXED | {"django_version": "5.2"}, template=str(template))
    assert result.exit_code == 0, result.exception
    for name, text in HIDDEN.items():
        (result.project_path / name).parent.mkdir(parents=True, exist_ok=True)
        (result.project_path / name).write_text(text + "\n", encoding="utf-8")
    # As with a umask of 077.
    (result.project_path / "config" / "urls.py").chmod(0o600)
    run("uv", "lock", "--quiet", cwd=result.project_path, UV_PYTHON_DOWNLOADS="never")
    return result.project_path


@pytest.fixture(scope="module")
def image(builder: Builder, project: Path) -> Image:
    """Return the image that the workflow's command builds."""
    program, action, *words = shlex.split(step("ci.yml", "image", "Build")["run"])
    assert (program, action, words[-1]) == ("docker", "build", ".")
    printed = builder.build(
        project, "--build-arg", "VERSION=1.2.3", "--build-arg", "SOURCE=https://h/r", *words
    )
    assert printed.endswith("exit code 0"), printed
    return builder.open("site")


@pytest.fixture(scope="module")
def local(builder: Builder, project: Path) -> Image:
    """Return compose.yaml's image for the S3 server."""
    build = compose()["services"]["s3"]["build"]
    printed = builder.build(project, "--target", build["target"], "--tag", "local", build["context"])
    assert printed.endswith("exit code 0"), printed
    return builder.open("local")


def compose(**values: str) -> dict[str, Any]:
    """Return compose.yaml with variables replaced as Compose does."""

    def value(found: re.Match[str]) -> str:
        name, kind, text = found.groups()
        if name in values:
            return values[name]
        assert kind != ":?", f"{name}: {text}"
        return text

    text = (PROJECT / "compose.yaml").read_text(encoding="utf-8")
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    if not values:
        values = {"DJANGO_SECRET_KEY": "none"}
    replaced = re.sub(r"\$\{([A-Z0-9_]+)(:[-?])([^}]*)\}", value, code)
    return yaml.safe_load(replaced.replace("$$", "$"))


def test_build_without_a_lock_file_stops_with_the_fix(
    builder: Builder, project: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    run("cp", "-r", project, bare, cwd=tmp_path)
    (bare / "uv.lock").unlink()
    printed = builder.build(bare, ".")
    assert not printed.endswith("exit code 0")
    (line,) = (line for line in printed.splitlines() if line.startswith("uv.lock is missing"))
    assert "'make .venv' (or 'uv lock') and commit uv.lock" in line


def test_layers_contain_no_secrets_and_no_local_configuration(
    image: Image, builder: Builder, project: Path
) -> None:
    key = re.search(r"^DJANGO_SECRET_KEY=(.+)$", (project / ".env").read_text(encoding="utf-8"), re.MULTILINE)
    assert key
    found = subprocess.run(
        [*containers.SUDO, "grep", "-rlaE", f"hidden-in-|{re.escape(key[1])}", *builder.layers()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stdout) == (1, "")
    assert "AWS_" not in image.history
    assert not {name for name in image.environment if re.search("KEY|SECRET|TOKEN|PASSWORD", name)}
    # The build machine's package index.
    assert "/etc/pip.conf" not in as_root("ls", "-d", image.root / "etc")
    for name in ("etc/pip.conf", "etc/uv/uv.toml"):
        listed = as_root("sh", "-c", f'cat "{image.root / name}" 2>/dev/null || true')
        assert listed == "", name


def test_image_contains_only_what_it_runs(image: Image) -> None:
    files = image.files()
    at_top = {name.split("/")[2] for name in files if name.startswith("/app/")}
    assert not [name for name in files if name.startswith("/app/certs/")]
    assert at_top - {"certs"} == {
        *("config", "gallery", "users", "static", "templates"),
        *("manage.py", "gunicorn.conf.py", "staticfiles.json", "__pycache__"),
    }
    packages = {name.split("/")[6].lower() for name in files if "/site-packages/" in name}
    assert {"django", "gunicorn", "obstore", "psycopg"} <= packages
    assert not {"pytest", "mypy", "ruff", "ministack", "moto", "uv", "pip"} & packages
    assert not [name for name in files if re.search(r"/(uv|uvx|pip|ruff|pytest)$", name)]
    # Compiled in advance, because nothing can be written at runtime.
    for name in ("/app/gallery/__pycache__", "/app/config/__pycache__"):
        assert any(file.startswith(name) for file in files), name


def test_image_runs_as_an_unprivileged_user_without_writable_files(image: Image) -> None:
    assert image.user == "10001:10001"
    assert image.run("id", "-u").strip() == "10001"
    assert [name for name, kind in image.files().items() if kind[0] != "l" and kind[-1] not in "45"] == []
    # For this user, even without a read-only root.
    owned = as_root("find", image.root / "app", image.root / "opt", "!", "-user", "0")
    assert owned == ""


def test_image_configuration_has_command_port_and_labels(image: Image) -> None:
    assert image.config["Cmd"] == ["gunicorn", "config.wsgi"]
    assert not image.config.get("Entrypoint")
    assert image.config["StopSignal"] == "SIGTERM"
    assert list(image.config["ExposedPorts"]) == ["8000/tcp"]
    assert image.environment["PORT"] == "8000"
    assert image.environment["DJANGO_DEBUG"] == "false"
    assert image.config["Labels"]["org.opencontainers.image.version"] == "1.2.3"
    assert image.config["Labels"]["org.opencontainers.image.source"] == "https://h/r"


def test_image_adds_less_than_160_mb_to_its_base(image: Image, capsys: pytest.CaptureFixture[str]) -> None:
    base, *own = image.layers
    with capsys.disabled():
        sys.stdout.write(f"\nimage: {sum(own) / 1e6:.0f} MB on a base of {base / 1e6:.0f} MB, uncompressed\n")
    assert sum(own) < 160e6


def test_manifest_in_the_image_fits_any_bucket_and_domain(image: Image) -> None:
    built = json.loads(image.run("cat", "staticfiles.json"))
    assert built["paths"]["site/site.css"].startswith("site/site.")
    other = {
        "USE_S3": "true",
        "AWS_STATIC_CUSTOM_DOMAIN": "cdn.example.com",
        "AWS_MEDIA_CUSTOM_DOMAIN": "cdn.example.com",
        "AWS_STATIC_BUCKET_NAME": "quite-another",
    }
    for variables in (SERVER, SERVER | other):
        text = "python manage.py s3 manifest --output /tmp/m.json >&2 && cat /tmp/m.json"
        again = image.run("sh", "-c", text, variables=variables, network=False).partition("{")
        assert json.loads("{" + again[2]) == built


def test_image_without_a_secret_key_does_not_start(image: Image) -> None:
    done = image.call()
    assert done.returncode not in {None, 0}
    assert "Missing variables: DJANGO_SECRET_KEY, DJANGO_ALLOWED_HOSTS." in done.stdout


def end_group(leader: int) -> None:
    """Kill the remaining processes of a process group, including root's. There may be none."""
    # The program, because the shell's builtin doesn't accept "--".
    subprocess.run([*containers.SUDO, "kill", "-KILL", "--", f"-{leader}"], capture_output=True, check=False)


@contextmanager
def started(command: list[str]) -> Iterator[Running]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    running = Running(process)
    try:
        yield running
    finally:
        end_group(process.pid)
        process.wait(60)
        running.close()


def is_healthy(image: Image, variables: dict[str, str]) -> bool:
    kind, *command = image.config["Healthcheck"]["Test"]
    assert kind == "CMD"
    return image.call(*command, variables=variables).returncode == 0


def test_image_starts_without_s3_and_stops_on_sigterm(image: Image) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        variables = SERVER | {
            "PORT": str(port),
            "GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{port}",
            "AWS_S3_ENDPOINT_URL": f"http://127.0.0.1:{nobody.getsockname()[1]}",
            "DATABASE_URL": "sqlite:////tmp/db.sqlite3",
        }
        text = 'python manage.py migrate --verbosity 0 && exec "$@"'
        command = image.command(["sh", "-c", text, "sh", *image.config["Cmd"]], variables)
        with started(command) as server:
            assert read_when_up(f"http://127.0.0.1:{port}/healthz")
            assert is_healthy(image, variables)
            page = urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60).read().decode()
            assert "acme-static/static/site/site." in page
            as_root("kill", "-TERM", server.process.pid)
            assert server.process.wait(24) == 0  # before gunicorn kills a worker that doesn't end
        assert not is_healthy(image, variables)
        nobody.setblocking(False)
        with pytest.raises(BlockingIOError):
            nobody.accept()


# The services of compose.yaml as plain processes, which share this machine's network.

BLANK = re.compile(r"\$\{\{ *(?:vars|needs\.image\.outputs)\.(\w+) *\}\}")


@dataclasses.dataclass(frozen=True)
class Stack:
    """The services' addresses, and the variables that compose.yaml passes to the site."""

    services: dict[str, Any]
    port: int
    s3_port: int
    data: Path
    variables: dict[str, str]
    database: Postgres

    @property
    def key(self) -> dict[str, str]:
        """The site's access key, as variables for boto3."""
        parser = configparser.ConfigParser()
        parser.read_string(as_root("cat", self.data / "credentials"))
        return {name.upper(): value for name, value in parser["default"].items()}


@pytest.fixture(scope="module")
def stack(local: Image, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    port, s3_port = free_port(), free_port()
    values = {name: value or "" for name, value in dotenv_values(project / ".env").items()}
    services = compose(**values | {"PORT": str(port), "S3_PORT": str(s3_port)})["services"]
    data = tmp_path_factory.mktemp("compose") / "data"
    # A new volume gets the owner and mode of the folder that it covers.
    as_root("cp", "-a", local.root / "data", data)
    with running_postgres() as server:
        variables = {name: str(value) for name, value in services["web"]["environment"].items()}
        assert variables["DATABASE_URL"] == "postgres://postgres@127.0.0.1:5432/postgres"
        variables["DATABASE_URL"] = server.new_database()
        variables["GUNICORN_CMD_ARGS"] = f"--bind 127.0.0.1:{port}"  # only on this machine
        words = services["s3"]["command"]
        assert words[-2:] == ["--bind", "0.0.0.0"]
        own = {name: str(value) for name, value in services["s3"]["environment"].items()}
        assert not {"DJANGO_SECRET_KEY", "DATABASE_URL"} & own.keys()
        assert values["DJANGO_SECRET_KEY"] not in str(services["s3"])
        command = local.command([*words[:-1], "127.0.0.1"], own, {data: "/data"})
        with started(command) as s3:
            kind, *test = services["s3"]["healthcheck"]["test"]
            assert kind == "CMD"
            end = time.monotonic() + PATIENCE
            while local.call(*test, variables=own, volumes={data: "/data"}).returncode:
                assert time.monotonic() < end, s3.output
                assert s3.process.poll() is None, s3.output
            yield Stack(services, port, s3_port, data, variables, server)
            as_root("kill", "-TERM", s3.process.pid)
            assert s3.process.wait(60) == 0


def test_composes_s3_server_listens_on_all_addresses(local: Image) -> None:
    # Published ports forward to a container's external address. Use an isolated network namespace.
    services = compose()["services"]
    environment = {name: str(value) for name, value in services["s3"]["environment"].items()}
    environment["S3KIT_LOCAL_DIR"] = "/tmp/data"
    with started(local.command(services["s3"]["command"], environment, network=False)) as s3:
        assert s3.wait_for(r"listens on (\S+),")[1] == "http://127.0.0.1:9000"
        sockets = as_root("cat", f"/proc/{s3.process.pid}/net/tcp").splitlines()[1:]
        listening = {line.split()[1] for line in sockets if line.split()[3] == "0A"}
    assert f"00000000:{9000:04X}" in listening


def status(address: str) -> int:
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_compose_serves_the_page_and_an_upload(image: Image, stack: Stack) -> None:
    services = stack.services
    assert services["release"]["depends_on"] == {
        name: {"condition": "service_healthy"} for name in ("db", "s3")
    }
    assert services["web"]["depends_on"] == {"release": {"condition": "service_completed_successfully"}}
    assert "command" not in services["web"]
    place: Any = {
        "variables": stack.variables,
        "volumes": {stack.data: "/data", ROOT / "docs" / "images": "/pictures"},
    }
    printed = image.run(*services["release"]["command"], **place)
    published = re.search(r" as (\d+) objects: (\d+) uploaded, 0 unchanged", printed)
    assert published, printed
    assert int(published[1]) == int(published[2]) > 200
    image.run("python", "manage.py", "add_picture", "/pictures/hills.jpg", "Hills", **place)
    with started(image.command((), stack.variables, {stack.data: "/data"})):
        assert "ok" in read_when_up(f"http://127.0.0.1:{stack.port}/readyz")
        page = read_when_up(f"http://127.0.0.1:{stack.port}/")
    s3 = f"http://127.0.0.1:{stack.s3_port}"
    (style,) = re.findall(rf'href="({s3}/acme-photos-static-k3v9qz/static/site/site\.[^"]+\.css)"', page)
    assert status(style) == 200
    link = re.search(rf'src="({s3}/acme-photos-media-k3v9qz/media/[^"]+)"', page)
    assert link
    picture = link[1].replace("&amp;", "&")
    assert status(picture) == 200
    assert status(picture.partition("?")[0]) == 403


# The workflows' steps for the image, with a replacement for docker.


@pytest.fixture
def stand_in(image: Image, tmp_path: Path) -> dict[str, str]:
    """Return a runner's variables, with a `docker run` that runs this image."""
    known = {field.name: getattr(image, field.name) for field in dataclasses.fields(image)}
    file = tmp_path / "stand-in.json"
    file.write_text(json.dumps({"site": known | {"root": str(image.root)}}), encoding="utf-8")
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -P -m tests.containers "$@"\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    return {"PATH": path_with(program.parent), "STAND_IN": str(file), "RUNNER_TEMP": str(tmp_path)}


def test_the_image_job_of_ci_passes(project: Path, stand_in: dict[str, str], tmp_path: Path) -> None:
    job = workflow("ci.yml")["jobs"]["image"]
    exported = tmp_path / "exported"
    environment = job["env"] | stand_in | {"GITHUB_ENV": str(exported)}
    steps = {each["name"]: each["run"] for each in job["steps"] if "run" in each}
    assert list(steps) == ["Build", "Environment of the site", "Deployment checks", "Start"]
    run_step(steps["Environment of the site"], project, **environment)
    environment |= dict(line.split("=", 1) for line in exported.read_text(encoding="utf-8").splitlines())
    assert "no issues" in run_step(steps["Deployment checks"], project, **environment)
    try:
        text = steps["Start"].replace("127.0.0.1:8000", f"127.0.0.1:{free_port()}")
        assert '{"status": "ok"}' in run_step(text, project, **environment)
    finally:
        pid = Path(stand_in["STAND_IN"]).with_suffix(".pid").read_text(encoding="ascii")
        end_group(int(pid))
    job["env"]["DJANGO_ALLOWED_HOSTS"] = "*"
    run_step(steps["Deployment checks"], project, expect=1, **environment | {"DJANGO_SECRET_KEY": "short"})


def test_the_deploy_publishes_and_migrates(stack: Stack, stand_in: dict[str, str], tmp_path: Path) -> None:
    jobs = workflow("deploy.yml")["jobs"]
    values = {
        "name": "site",
        "DJANGO_ALLOWED_HOSTS": "www.example.com",
        "AWS_S3_ENDPOINT_URL": f"http://127.0.0.1:{stack.s3_port}",
        **{name: stack.variables[name] for name in stack.variables if name.startswith("AWS_S3_REGION")},
        **{name: stack.variables[name] for name in stack.variables if name.endswith("_BUCKET_NAME")},
    }
    environment = {
        name: BLANK.sub(lambda found: values.get(found[1], ""), text)
        for name, text in jobs["static"]["env"].items()
    }
    assert not [text for text in environment.values() if "${{" in text]
    exported = tmp_path / "exported"
    environment |= stack.key | stand_in | {"GITHUB_ENV": str(exported)}
    # The steps above replace the credentials action; there is no registry.
    steps = {each["name"]: each["run"] for each in jobs["static"]["steps"] if "run" in each}
    names = [
        "Environment of the site",
        "Check that the buckets match the settings",
        "Publish the static files",
        "Check what was published",
    ]
    assert list(steps) == ["Pull the image", *names]
    run_step(steps[names[0]], tmp_path, **environment)
    environment |= dict(line.split("=", 1) for line in exported.read_text(encoding="utf-8").splitlines())
    named = (tmp_path / "names").read_text(encoding="utf-8")
    assert stack.key["AWS_SECRET_ACCESS_KEY"] not in named
    assert "=" not in named

    differs = environment | {"DJANGO_SITE_ORIGINS": "https://www.example.com"}
    assert "cors" in run_step(steps[names[1]], tmp_path, expect=2, **differs)
    run_step(steps[names[1]], tmp_path, **environment)
    run_step(steps[names[2]], tmp_path, **environment)
    assert "unchanged" in run_step(steps[names[2]], tmp_path, **environment)
    printed = run_step(steps[names[3]], tmp_path, **environment)
    assert stack.key["AWS_SECRET_ACCESS_KEY"] not in printed

    own = environment | {"DATABASE_URL": stack.database.new_database()}
    own = {name: text for name, text in own.items() if re.match("AWS_|DJANGO_|DATABASE_", name)}
    site = tmp_path / "site.env"
    site.write_text("".join(f"{name}={text}\n" for name, text in own.items()), encoding="utf-8")
    migrate = step("deploy.yml", "release", "Migrate")["run"]
    assert migrate.count("/etc/site.env") == 1
    run_step(migrate.replace("/etc/site.env", str(site)), tmp_path, **stand_in, IMAGE="site")
    database = own["DATABASE_URL"].rsplit("/", 1)[1]
    assert stack.database.psql("SELECT count(*) FROM gallery_picture", database) == "0"
