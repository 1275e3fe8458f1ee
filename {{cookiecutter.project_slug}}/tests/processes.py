"""The site's programs, started in earnest: commands of manage.py, gunicorn, each with its own database."""

import http.client
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.ministack import Answer

ROOT = Path(__file__).resolve().parent.parent
MANAGE = [sys.executable, str(ROOT / "manage.py")]
GUNICORN = [sys.executable, "-m", "gunicorn"]

# What a server's environment has; files are local.
PRODUCTION = {
    "DJANGO_DEBUG": "false",
    "DJANGO_SECRET_KEY": "only-for-tests-" + "0123456789abcdefghijklmnopqrstuvwxyz" * 2,
    "DJANGO_ALLOWED_HOSTS": "www.example.com",
    "DJANGO_SITE_ORIGINS": "https://www.example.com",
    "DJANGO_SECURE_PROXY_SSL_HEADER": "X-Forwarded-Proto",
    "USE_S3": "false",
}


# Of a session that a page looks for in the database.
SIGNED_IN = {"Cookie": "sessionid=abcdefghijklmnopqrstuvwxyz012345"}


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a new desk: nothing is set."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {"DJANGO_ENV_FILE": os.devnull, "PYTHONDONTWRITEBYTECODE": "1"} | more


class Started:
    """A running command: what it prints, and how it is ended. Words alone are those of manage.py."""

    def __init__(
        self,
        *words: object,
        command: Sequence[str] = MANAGE,
        cwd: Path = ROOT,
        stderr: int = subprocess.STDOUT,
        **more: str,
    ) -> None:
        self.process = subprocess.Popen(
            [*command, *map(str, words)],
            env=environment(**more),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        self.output = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as stdout:
            for line in stdout:
                self.output += line

    def wait_for(self, pattern: str) -> re.Match[str]:
        def look() -> re.Match[str] | None:
            ended = self.process.poll() is not None
            found = re.search(pattern, self.output)
            assert found or not ended, self.output
            return found

        found: re.Match[str] = until(look)
        return found

    def ended(self) -> int:
        """Wait for the end and return the exit code."""
        code = self.process.wait(60)
        self._reader.join(60)
        return code

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send the signal and return the exit code."""
        self.process.send_signal(number)
        return self.ended()


def until(look: Callable[[], Any]) -> Any:
    """Return the first true result; a minute without one fails the test."""
    end = time.monotonic() + 60
    while not (found := look()):
        assert time.monotonic() < end, "it did not happen within a minute"
        time.sleep(0.05)
    return found


@contextmanager
def started(*words: object, **more: Any) -> Iterator[Started]:
    command = Started(*words, **more)
    try:
        yield command
    finally:
        if command.process.poll() is None:
            command.process.kill()
            command.process.wait(60)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Served(Started):
    """A running gunicorn, as a server runs it."""

    port: int

    def ask(
        self,
        path: str,
        method: str = "GET",
        *,
        secure: bool = True,
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
    ) -> Answer:
        """Ask as the proxy in front of it does; `secure` tells that the visitor came over https."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            proxy = {"Host": "www.example.com", "X-Forwarded-Proto": "https" if secure else "http"}
            connection.request(method, path, body, proxy | dict(headers or {}))
            got = connection.getresponse()
            return Answer(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read())
        finally:
            connection.close()

    def workers(self) -> set[int]:
        """Return the processes that serve at the moment."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return {int(number) for number in children.read_text().split()}


@contextmanager
def served(*options: object, **more: Any) -> Iterator[Served]:
    """Run gunicorn, with one worker unless WEB_CONCURRENCY tells more; yield it when it answers."""
    port = free_port()
    words = [*options, "--bind", f"127.0.0.1:{port}", "config.wsgi"]
    variables: dict[str, Any] = {"WEB_CONCURRENCY": "1"} | more
    server = Served(*words, command=GUNICORN, **variables)
    server.port = port
    try:

        def answers() -> bool:
            assert server.process.poll() is None, server.output
            try:
                return server.ask("/healthz", secure=False).status == 200
            except OSError:
                return False

        until(answers)
        yield server
    finally:
        if server.process.poll() is None:
            server.process.terminate()
            try:
                server.process.wait(10)
            except subprocess.TimeoutExpired:
                for number in server.workers():
                    os.kill(number, signal.SIGKILL)
                server.process.kill()
                server.process.wait(60)


@pytest.fixture
def database_url(tmp_path: Path) -> Iterator[str]:
    """Return the address of an empty database: on the server of TEST_DATABASE_URL, else an SQLite file."""
    server = os.environ.get("TEST_DATABASE_URL")
    if not server:
        yield f"sqlite:///{tmp_path / 'db.sqlite3'}"
        return
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield f"{server.rpartition('/')[0]}/{name}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def production(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the variables of a server whose database has tables, and whose image carries the manifest.

    Its S3 is one that nobody can reach.
    """
    folder = tmp_path_factory.mktemp("production")
    variables = PRODUCTION | {
        "DJANGO_SETTINGS_MODULE": "tests.production",
        "TEST_FOLDER": str(folder),
        "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
        "USE_S3": "true",
        "AWS_S3_REGION_NAME": "eu-central-1",
        "AWS_STATIC_BUCKET_NAME": "acme-static",
        "AWS_MEDIA_BUCKET_NAME": "acme-media",
        "AWS_S3_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for words in (["migrate", "--verbosity", "0"], ["s3", "manifest"]):
        with started(*words, **variables) as command:
            assert command.ended() == 0, command.output
    return variables
