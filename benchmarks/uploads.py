"""Measure what uploads cost the web process: straight to S3, and with the form.

gunicorn serves `measured_site/`, a small site with the library's form fields, with one worker and the in-memory S3
server. A client sends videos as the page's script does. Runs on Linux only, because it reads the worker's memory from
/proc.

    python -m benchmarks.uploads [--size MB]      prints Markdown; needs gunicorn
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from http.client import HTTPConnection, HTTPException
from itertools import islice, repeat
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

MB = 1_000_000
SIZE = 2000  # MB
BY_FORM = (
    10  # a video that comes with the form has a tenth of the size, because it occupies a worker all the time
)
MANY, EACH = 50, 2 * MB
BOUND = 5  # MB by which an upload straight to S3 can grow the web process
PART = 2**24  # bytes, as in s3kit.uploads.tickets

HEADING = [
    "what is sent",
    "how",
    "MB of memory",
    "s of a worker",
    "s of CPU",
    "requests to Django",
    "Django's to S3",
    "of these to save",
    "the browser's to S3",
    "MB sent again",
]

# The first bytes of an MP4. The rest are zeros, because nobody plays the file.
HEAD = bytes.fromhex("00000018") + b"ftypisom" + bytes(4) + b"isomavc1"
_ZEROS = bytes(2**20)

ROOT = Path(__file__).resolve().parent.parent
# Files that are sent before the measurement, so that it doesn't count what a new process loads.
WARM = 15

# Creates a user, and prints the session key for the user's cookie.
_SIGN_IN = """
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
session = SessionStore()
user = User.objects.create_user(session._get_new_session_key())
session[SESSION_KEY] = str(user.pk)
session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
session[HASH_SESSION_KEY] = user.get_session_auth_hash()
session.save()
print(session.session_key)
"""


class Case(NamedTuple):
    """A measurement: this number of files of this size in bytes, straight to S3 or with the form.

    With `cut`, the client loses the connection in the middle of a part.
    """

    files: int
    size: int
    direct: bool
    cut: bool = False

    @property
    def title(self) -> str:
        """Return the description in the table."""
        if self.files > 1:
            return f"{self.files} files of {self.size // MB} MB in one field"
        return f"a file of {self.size // MB:,} MB{', cut once' if self.cut else ''}"


def cases(size: int) -> list[Case]:
    """Return the measurements. `size` is that of the largest file, in MB."""
    smaller = size // BY_FORM * MB
    return [
        Case(1, size * MB, direct=True),
        Case(1, smaller, direct=True),
        Case(1, smaller, direct=True, cut=True),
        Case(1, smaller, direct=False),
        Case(MANY, EACH, direct=True),
        Case(MANY, EACH, direct=False),
    ]


@dataclass(frozen=True)
class Taken:
    """The figures of a case, from its first request to Django until its rows are saved.

    - `memory` is the peak growth of the worker's memory in bytes.
    - `held` is how long Django handled requests, and `cpu` its processor time, in seconds.
    - `requests` counts requests to Django, `to_s3` requests from Django to S3, `saving` those among them that saved the
      form, and `from_browser` requests from the browser to S3.
    - `again` is the number of bytes that the browser sent more than once.
    """

    memory: int
    held: float
    cpu: float
    requests: int
    to_s3: int
    saving: int
    from_browser: int
    again: int


class Site:
    """The running site, and a logged-in user."""

    def __init__(self, port: int, worker: int, session: str, log: Path, s3: str) -> None:
        self.port, self.worker, self.log, self.s3 = port, worker, log, s3
        self.csrf = secrets.token_hex(16)
        self.cookie = f"sessionid={session}; csrftoken={self.csrf}"
        self.sent = self.saving = 0

    def ask(self, path: str, body: Any = None, **headers: str) -> bytes:
        """POST the body, or GET without one; return the response's body, and exit if the status is not 2xx."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=600)
        shown = {"Cookie": self.cookie, "X-CSRFToken": self.csrf, "Accept": "application/json"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET" if body is None else "POST", path, body, shown | named)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.status >= 300:
            raise SystemExit(f"{path} returned {answer.status}: {content[:500].decode(errors='replace')}")
        return content

    def post(self, path: str, fields: Any = ()) -> Any:
        """Post a small form; return the JSON of the response."""
        body = urlencode(fields)
        return json.loads(self.ask(path, body, Content_Type="application/x-www-form-urlencoded"))

    def _stats(self) -> Any:
        with urlopen(f"{self.s3}/-/stats", timeout=60) as answer:
            return json.load(answer)

    def _to_s3(self) -> int:
        """Return the number of Django's requests to S3: those of browsers are presigned."""
        stats = self._stats()
        return int(stats["requests"] - stats["presigned"])

    def memory(self, name: str) -> int:
        """Return VmRSS (now) or VmHWM (the peak) of the worker, in bytes."""
        status = Path(f"/proc/{self.worker}/status").read_text("ascii")
        line = next(line for line in status.splitlines() if line.startswith(f"{name}:"))
        return int(line.split()[1]) * 1024

    def warmed_up(self, case: Case) -> Taken:
        """Return the figures of a case, after the process has handled small uploads of the same kind."""
        for _ in range(WARM):
            self.measured(Case(1, MB, case.direct))
        return self.measured(case)

    def measured(self, case: Case) -> Taken:
        """Send the files of a case, and return its figures."""
        path = "/many/" if case.files > 1 else "/one/"
        rules = unescape(re.findall(r'data-rules="([^"]+)"', self.ask(path).decode())[0])
        self._notes(1)
        self.log.write_text("")
        self.sent, to_s3, presigned = 0, self._to_s3(), self._stats()["presigned"]
        Path(f"/proc/{self.worker}/clear_refs").write_text("5", "ascii")  # resets the peak
        before = self.memory("VmRSS")
        requests = 1
        if case.direct:
            tokens = []
            for number in range(case.files):
                token, asked = self._direct(f"{number}.mp4", case, rules)
                tokens.append(("file", token))
                requests += asked
            self.saving = self._to_s3()
            self.post(path, tokens)
        else:
            self.saving = self._to_s3()
            self._form(path, case)
        saving = self._to_s3() - self.saving
        notes = self._notes(requests)
        return Taken(
            memory=self.memory("VmHWM") - before,
            held=sum(note["seconds"] for note in notes),
            cpu=sum(note["cpu"] for note in notes),
            requests=len(notes),
            to_s3=self._to_s3() - to_s3,
            saving=saving,
            from_browser=self._stats()["presigned"] - presigned,
            again=self.sent - case.files * case.size if case.direct else 0,
        )

    def _notes(self, count: int) -> list[Any]:
        """Wait for the notes of this number of requests, which are written after the responses, and return them."""
        until = time.monotonic() + 60
        while len(lines := self.log.read_text("utf-8").splitlines()) < count and time.monotonic() < until:
            time.sleep(0.01)
        return [json.loads(line) for line in lines]

    def _direct(self, name: str, case: Case, rules: str) -> tuple[str, int]:
        """Send a file as the page's script does; return its token and the number of requests to Django."""
        state, asked, cut = (
            self.post("/uploads/", {"rules": rules, "name": name, "size": case.size}),
            2,
            case.cut,
        )
        while not state["complete"]:
            for part in state["parts"]:
                if cut and part["start"]:
                    self._put(part, cut=True)
                    cut = False
                self._put(part)
            here = sum(part["end"] - part["start"] for part in state["parts"])
            if state["received"] + here == case.size:  # nothing is missing
                break
            state = json.loads(self.ask(state["address"]))
            asked += 1
        return self.post(f"{state['address']}finish/")["token"], asked

    def _put(self, part: dict[str, Any], *, cut: bool = False) -> None:
        """Send a part, or with `cut` lose the connection just before its end."""
        url = urlsplit(part["url"])
        connection = HTTPConnection(url.hostname or "", url.port, timeout=600)
        start, end = part["start"], part["end"]
        headers = part["headers"] | {"Content-Length": str(end - start)}
        if cut:
            end -= 1
        connection.request("PUT", f"{url.path}?{url.query}", content(start, end), headers)
        self.sent += end - start
        if not cut:
            answer = connection.getresponse()
            if answer.status != 200:
                raise SystemExit(f"S3 returned {answer.status} for part {part['number']}")
            answer.read()
        connection.close()

    def _form(self, path: str, case: Case) -> None:
        """Send files as a browser without JavaScript does."""
        mark = secrets.token_hex(16)
        heads = [
            f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{number}.mp4"\r\n'
            "Content-Type: video/mp4\r\n\r\n".encode()
            for number in range(case.files)
        ]
        end = f"--{mark}--\r\n".encode()

        def body() -> Iterator[bytes]:
            for head in heads:
                yield head
                yield from content(0, case.size)
                yield b"\r\n"
            yield end

        self.ask(
            path,
            body(),
            Content_Type=f"multipart/form-data; boundary={mark}",
            Content_Length=str(sum(map(len, heads)) + case.files * (case.size + 2) + len(end)),
        )


def content(start: int, end: int) -> Iterator[bytes]:
    """Yield the bytes of a video from `start` to before `end`."""
    head = HEAD[start:end]
    if head:
        yield head
    whole, rest = divmod(end - start - len(head), len(_ZEROS))
    yield from islice(repeat(_ZEROS), whole)
    yield _ZEROS[:rest]


class Project:
    """The measured site with this checkout's library. Its database and logs are in a folder."""

    def __init__(self, folder: Path, endpoint: str, python: str) -> None:
        self.folder, self.python, self.endpoint = folder, python, endpoint
        self.environ = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(folder),
            "TMPDIR": gettempdir(),  # where Django keeps a form's upload until it is stored
            "LANG": "C.UTF-8",
            "PYTHONPATH": f"{ROOT}:{ROOT / 'library' / 'src'}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "DJANGO_SETTINGS_MODULE": "benchmarks.measured_site.settings",
            "BENCH_LOG": str(folder / "requests"),
            "BENCH_DATABASE": str(folder / "db.sqlite3"),
            "BENCH_ENDPOINT": endpoint,
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self._managed("migrate", "--run-syncdb", "--verbosity", "0")

    def _managed(self, *words: str) -> str:
        command = [self.python, "-m", "django", *words]
        done = subprocess.run(command, cwd=self.folder, env=self.environ, stdout=subprocess.PIPE, check=True)
        return done.stdout.decode()

    @contextmanager
    def served(self) -> Iterator[Site]:
        """Serve the site to a new user, with one worker, while the context lasts."""
        # The last word, because the shell may first print its imports.
        session = self._managed("shell", "-c", _SIGN_IN).split()[-1]
        holder = socket.socket()  # keeps the port from other processes until gunicorn has stopped
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        port = int(holder.getsockname()[1])
        log = self.folder / "gunicorn.log"
        gunicorn = [self.python, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--timeout", "600"]
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*gunicorn, "--workers", "1", "--threads", "4", "benchmarks.measured_site.wsgi"],
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait_for(port, process, log)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("ascii")
            yield Site(port, int(children.split()[0]), session, self.folder / "requests", self.endpoint)
        finally:
            process.terminate()
            process.wait()
            holder.close()


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", "/one/")
            if connection.getresponse().status == 200:
                return
        except (OSError, HTTPException):
            time.sleep(0.05)
        finally:
            connection.close()
    raise SystemExit(f"gunicorn did not start:\n{log.read_text('utf-8')[-4000:]}")


def measure(endpoint: str, measured: Sequence[Case], python: str = sys.executable) -> dict[Case, Taken]:
    """Return the figures of each case, each in a new process that has already handled uploads."""
    taken = {}
    with TemporaryDirectory() as folder:
        project = Project(Path(folder), endpoint, python)
        for case in measured:
            with project.served() as site:
                taken[case] = site.warmed_up(case)
    return taken


def rows(taken: dict[Case, Taken]) -> list[list[str]]:
    """Return the figures as rows of a table with HEADING."""
    return [
        [
            case.title,
            "straight to S3" if case.direct else "with the form",
            f"{found.memory / MB:.1f}",
            f"{found.held:.2f}",
            f"{found.cpu:.2f}",
            f"{found.requests:,}",
            f"{found.to_s3:,}",
            f"{found.saving:,}",
            f"{found.from_browser:,}",
            f"{found.again / MB:.1f}",
        ]
        for case, found in taken.items()
    ]


def main() -> None:
    """Measure what the command line asks for."""
    from benchmarks.__main__ import server, table  # which imports this module

    parser = argparse.ArgumentParser(prog="python -m benchmarks.uploads", description=__doc__)
    parser.add_argument("--size", type=int, default=SIZE, help=f"of the largest file, in MB ({SIZE})")
    with server() as s3:
        taken = measure(s3.url, cases(parser.parse_args().size))
    sys.stdout.write(f"{table(HEADING, rows(taken), texts=2)}\n")


if __name__ == "__main__":
    main()
