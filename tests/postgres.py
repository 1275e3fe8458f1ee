"""A real PostgreSQL server for tests: Debian's programs, on loopback, with data in a temporary folder.

The library's tests load this file too, so it imports nothing from its package.
"""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

USER = "site"


def programs() -> Path:
    """Return the folder with the newest PostgreSQL programs, or skip the test."""
    places = [Path(found).resolve().parent] if (found := shutil.which("pg_ctl")) else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -float(path.parent.name))
    for place in places:
        if all((place / name).exists() for name in ("initdb", "pg_ctl", "postgres")):
            return place
    pytest.skip("No PostgreSQL on this machine (Debian and Ubuntu: apt install postgresql)")


def unprivileged() -> dict[str, Any]:
    """Return a function that changes a child process's user, because PostgreSQL doesn't run as root."""
    if os.geteuid():
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    pytest.skip("No user for PostgreSQL on this machine")


@dataclass(frozen=True)
class Postgres:
    """A running server. Its only user is a superuser, who needs the password over TCP."""

    programs: Path
    folder: Path
    port: int
    password: str

    @property
    def pid(self) -> int:
        """The process that accepts connections."""
        return int((self.folder / "data" / "postmaster.pid").read_text().splitlines()[0])

    def url(self, database: str = "postgres") -> str:
        """Return the DATABASE_URL of a database."""
        return f"postgres://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"site_{secrets.token_hex(4)}"
        self.psql(f"CREATE DATABASE {name}")
        return self.url(name)

    def psql(self, command: str, database: str = "postgres") -> str:
        """Run an SQL command and return its output, without headings."""
        options = ["--no-psqlrc", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1", "--command"]
        done = subprocess.run(
            [str(self.programs / "psql"), *options, command, self.url(database)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Run a server on 127.0.0.1 while the context lasts; on exit, remove its data."""
    place, as_user = programs(), unprivileged()
    # pytest's folders are closed to other users, and their paths are too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    # Keep the port from other processes. With SO_REUSEADDR on both sockets, the server can still listen on it.
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    try:
        if as_user:
            os.chown(folder, as_user["user"], as_user["group"])
        data, secret = folder / "data", folder / "password"
        server = Postgres(place, folder, holder.getsockname()[1], secrets.token_hex(16))
        secret.write_text(server.password, encoding="ascii")
        secret.chmod(0o644)  # inside a private folder

        def call(program: str, *words: object) -> None:
            done = subprocess.run(
                [str(place / program), "--pgdata", str(data), *map(str, words)],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                **as_user,
            )
            log = folder / "log"
            more = log.read_text(errors="replace") if log.exists() else ""
            assert done.returncode == 0, f"{program} ended with {done.returncode}:\n{done.stdout}{more}"

        # The data is temporary, so it need not survive a crash.
        ways = ["--auth-host=scram-sha-256", "--auth-local=reject", "--encoding=UTF8", "--locale=C.UTF-8"]
        call("initdb", f"--username={USER}", f"--pwfile={secret}", "--no-sync", *ways)
        options = [
            "listen_addresses=127.0.0.1",
            f"port={server.port}",
            f"unix_socket_directories={folder}",
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "max_connections=50",
        ]
        flags = " ".join(f"-c {option}" for option in options)
        call("pg_ctl", "start", "--wait", "--timeout=300", f"--log={folder / 'log'}", f"--options={flags}")
        try:
            yield server
        finally:
            call("pg_ctl", "stop", "--wait", "--mode=immediate")
    finally:
        holder.close()
        shutil.rmtree(folder, ignore_errors=True)
