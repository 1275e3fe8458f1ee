"""What an upload costs the web process: straight to S3, and through the plain form.

The generated project runs as it is, served by gunicorn with one worker, on the in-memory S3; a client sends a
film as the page does. Linux only: it reads the worker's memory from /proc.

    python -m benchmarks.uploads [--size MB]      with the project's packages installed; Markdown on stdout
"""

import argparse
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from itertools import chain, islice, repeat
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any
from urllib.parse import urlencode, urlsplit

MB = 1_000_000
SIZE = 2000  # MB
BOUND = 20  # MB that the web process may grow for an upload straight to S3

HEADING = ["a film goes", "MB of memory", "s of a worker", "requests to Django", "s in all"]

ADD = "/pictures/add/"

# What says of a file that it is an MP4; all else is zeros, since nobody plays it.
HEAD = bytes.fromhex("00000018") + b"ftypisom" + bytes(4) + b"isomavc1"
_ZEROS = bytes(2**20)

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "{{cookiecutter.project_slug}}"
TITLES = {"direct": "straight to S3", "form": "the plain form"}
# Bytes of an upload before the one that is measured: what is loaded once is no upload's.
WARM = {"direct": 20 * MB, "form": 1 * MB}

# Makes a member of staff; prints the session that the cookie names.
_SIGN_IN = """
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from users.models import User
user = User.objects.create_superuser("bench")
session = SessionStore()
session[SESSION_KEY] = str(user.pk)
session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
session[HASH_SESSION_KEY] = user.get_session_auth_hash()
session.save()
print(session.session_key)
"""


@dataclass(frozen=True)
class Upload:
    """What one upload took: peak growth of the worker's memory in bytes, seconds, requests to Django."""

    memory: int
    held: float
    requests: int
    seconds: float


class Site:
    """The served project, and a visitor who is signed in."""

    def __init__(self, port: int, worker: int, session: str, log: Path) -> None:
        self.port, self.worker, self.log = port, worker, log
        self.rules = ""
        self.csrf = secrets.token_hex(16)
        self.cookie = f"sessionid={session}; csrftoken={self.csrf}"

    def ask(self, path: str, body: Any = None, **headers: str) -> Any:
        """Post the body, or get; return the answer, JSON as its value, and fail for all that is no success.

        A form that is shown again, with what is wrong in it, is none.
        """
        connection = HTTPConnection("127.0.0.1", self.port, timeout=600)
        shown = {"Cookie": self.cookie, "X-CSRFToken": self.csrf, "Accept": "application/json"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET" if body is None else "POST", path, body, shown | named)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.status >= 400 or (path == ADD and body is not None and answer.status != 302):
            raise SystemExit(f"{path} answers {answer.status}: {content[:500].decode(errors='replace')}")
        is_json = answer.headers.get_content_type() == "application/json"
        return json.loads(content) if is_json else content.decode()

    def post(self, path: str, **fields: str) -> Any:
        """Post a small form."""
        return self.ask(path, urlencode(fields), Content_Type="application/x-www-form-urlencoded")

    def memory(self, name: str) -> int:
        """Return VmRSS (now) or VmHWM (the peak) of the worker, in bytes."""
        status = Path(f"/proc/{self.worker}/status").read_text("ascii")
        return (
            int(next(line for line in status.splitlines() if line.startswith(f"{name}:")).split()[1]) * 1024
        )

    def measured(self, way: str, size: int) -> Upload:
        """Upload a film of so many bytes, and return what that took once the page was open."""
        self.log.write_text("")
        self.rules = re.search('data-rules="([^"]+)"', self.ask(ADD))[1]  # type: ignore[index]
        while not self._notes():  # of the page, written after its answer
            time.sleep(0.05)
        self.log.write_text("")
        Path(f"/proc/{self.worker}/clear_refs").write_text("5", "ascii")  # the peak begins anew
        before, began = self.memory("VmRSS"), time.perf_counter()
        {"direct": self.direct, "form": self.form}[way](size)
        seconds = time.perf_counter() - began
        notes = self._notes()
        while not any(note["path"] == ADD for note in notes):  # the last one, written after its answer
            time.sleep(0.05)
            notes = self._notes()
        held = sum(note["seconds"] for note in notes)
        return Upload(self.memory("VmHWM") - before, held, len(notes), seconds)

    def _notes(self) -> list[Any]:
        return [json.loads(line) for line in self.log.read_text("utf-8").splitlines()]

    def direct(self, size: int) -> None:
        """Send a film as the page's script does."""
        told = self.post("/uploads/", rules=self.rules, name="film.mp4", size=str(size))
        address = told["address"]
        while not told["complete"]:
            for part in told["parts"]:
                self._put(part)
            told = self.ask(address)
        token = self.post(f"{address}finish/")["token"]
        self.post(ADD, file=token, alt="A film")

    def _put(self, part: dict[str, Any]) -> None:
        url = urlsplit(part["url"])
        connection = HTTPConnection(url.hostname or "", url.port, timeout=600)
        length = {"Content-Length": str(part["end"] - part["start"])}
        body = content(part["start"], part["end"])
        connection.request("PUT", f"{url.path}?{url.query}", body, length)
        answer = connection.getresponse()
        if answer.status != 200:
            raise SystemExit(f"S3 answers {answer.status} to part {part['number']}")
        answer.read()
        connection.close()

    def form(self, size: int) -> None:
        """Send a film as a browser without JavaScript does."""
        mark = secrets.token_hex(16)
        disposition = f"--{mark}\r\nContent-Disposition: form-data; name="
        start = (
            f'{disposition}"alt"\r\n\r\nA film\r\n{disposition}"file"; filename="film.mp4"\r\n'
            "Content-Type: video/mp4\r\n\r\n"
        ).encode()
        end = f"\r\n--{mark}--\r\n".encode()
        self.ask(
            ADD,
            chain([start], content(0, size), [end]),
            Content_Type=f"multipart/form-data; boundary={mark}",
            Content_Length=str(len(start) + size + len(end)),
        )


def content(start: int, end: int) -> Iterator[bytes]:
    """Yield the bytes of a film from `start` to before `end`."""
    head = HEAD[start:end]
    if head:
        yield head
    whole, rest = divmod(end - start - len(head), len(_ZEROS))
    yield from islice(repeat(_ZEROS), whole)
    yield _ZEROS[:rest]


class Project:
    """The project of this checkout; its database and logs are in a folder that may go afterwards."""

    def __init__(self, folder: Path, endpoint: str, python: str) -> None:
        self.folder, self.python = folder, python
        self.environ = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(folder),
            "TMPDIR": gettempdir(),  # where the form's upload lies until it is stored
            "LANG": "C.UTF-8",
            "PYTHONPATH": f"{TEMPLATE}:{ROOT}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "BENCH_LOG": str(folder / "requests"),
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DJANGO_ENV_FILE": os.devnull,
            "DJANGO_SECRET_KEY": secrets.token_hex(32),
            "DJANGO_ALLOWED_HOSTS": "127.0.0.1",
            "DJANGO_SECURE_SSL_REDIRECT": "false",
            "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
            "AWS_S3_REGION_NAME": "eu-central-1",
            "AWS_STATIC_BUCKET_NAME": "bench-static",
            "AWS_MEDIA_BUCKET_NAME": "bench-media",
            "AWS_S3_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_EC2_METADATA_DISABLED": "true",
            "WEB_CONCURRENCY": "1",
        }
        self._managed("migrate", "--verbosity", "0")
        self._managed("collectstatic", "--no-input", "--verbosity", "0")
        # The last word: the shell may tell before what it has imported.
        self.session = self._managed("shell", "-c", _SIGN_IN).split()[-1]

    def _managed(self, *words: str) -> str:
        command = [self.python, "manage.py", *words]
        done = subprocess.run(command, cwd=TEMPLATE, env=self.environ, stdout=subprocess.PIPE, check=True)
        return done.stdout.decode()

    @contextmanager
    def served(self) -> Iterator[Site]:
        """Serve it with one worker as long as the context lasts."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        log = self.folder / "gunicorn.log"
        gunicorn = [self.python, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--timeout", "600"]
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*gunicorn, "benchmarks.measured_site"],
                cwd=TEMPLATE,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait_for(port, process, log)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("ascii")
            worker = int(children.split()[0])
            yield Site(port, worker, self.session, self.folder / "requests")
        finally:
            process.terminate()
            process.wait()


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", "/")
            if connection.getresponse().status == 200:
                return
        except (OSError, HTTPException):
            time.sleep(0.05)
        finally:
            connection.close()
    raise SystemExit(f"gunicorn did not start:\n{log.read_text('utf-8')[-4000:]}")


def measure(endpoint: str, size: int, python: str = sys.executable) -> dict[str, Upload]:
    """Return what an upload of `size` bytes takes, by way: direct, form; each in a process of its own."""
    taken = {}
    with TemporaryDirectory() as folder:
        project = Project(Path(folder), endpoint, python)
        for way, warm in WARM.items():
            with project.served() as site:
                site.measured(way, warm)
                taken[way] = site.measured(way, size)
    return taken


def rows(taken: dict[str, Upload]) -> list[list[str]]:
    """Return the figures as lines of a table under HEADING."""
    return [
        [
            TITLES[way],
            f"{upload.memory / MB:.1f}",
            f"{upload.held:.2f}",
            str(upload.requests),
            f"{upload.seconds:.1f}",
        ]
        for way, upload in taken.items()
    ]


def main() -> None:
    """Measure what the command line asks for."""
    from benchmarks.__main__ import server, table  # which imports this module

    parser = argparse.ArgumentParser(prog="python -m benchmarks.uploads", description=__doc__)
    parser.add_argument("--size", type=int, default=SIZE, help=f"of the film, in MB ({SIZE})")
    size = parser.parse_args().size
    with server() as s3:
        taken = measure(s3.url, size * MB)
    sys.stdout.write(f"**An upload of {size:,} MB**\n\n{table(HEADING, rows(taken), texts=1)}\n")
    if taken["direct"].memory > BOUND * MB:
        raise SystemExit(f"The web process grew by more than {BOUND} MB.")


if __name__ == "__main__":
    main()
