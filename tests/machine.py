"""Interpreters, a browser, and processes for tests. Processes end with their test."""

import fcntl
import os
import pty
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.answers import ROOT

# A command that takes an hour hangs, even on a busy machine.
HANGS = 3600
# Seconds to wait for a server or a browser, which need a tenth of it on an idle machine.
PATIENCE = 300


def interpreter(version: str) -> str:
    """Return the path of Python `version` ("3.12"), from PATH or from pyenv's folder, or skip the test."""
    found = shutil.which(f"python{version}")
    if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
        return found
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for candidate in sorted(pyenv.glob(f"{version}.*/bin/python{version}")):
        return str(candidate)
    pytest.skip(f"No Python {version} on this machine")


def chromium() -> str:
    """Return the path of Chromium, or skip the test."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if found := shutil.which(name):
            return found
    pytest.skip("No Chromium on this machine (Debian and Ubuntu: apt install chromium)")


def clean_environment(**more: str) -> dict[str, str]:
    """Return the environment of a new user's shell, including uv if this machine has it."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "DJANGO_", "PYTEST_", "VIRTUAL_ENV", "UV_PYTHON", "MAKE", "MFLAGS"))
        and name not in {"DATABASE_URL", "EMAIL_URL", "USE_S3", "PYTHON", "PYTHONDONTWRITEBYTECODE"}
    }
    kept["PATH"] = f"{kept['PATH']}{os.pathsep}{ROOT / '.uv' / 'bin'}"
    return kept | more


def run(*command: object, cwd: Path, expect: int | None = 0, **environment: str) -> str:
    """Run a command as a new user would, and return its stdout and stderr.

    Fail the test and show the output if the exit code is not `expect`. When the command ends, or the test is
    interrupted, end all processes that it started.
    """
    process = subprocess.Popen(
        [str(word) for word in command],
        cwd=cwd,
        env=clean_environment(**environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=HANGS)
    finally:
        end(process)
    if expect is not None:
        assert process.returncode == expect, f"{command} ended with {process.returncode}:\n{printed}"
    return printed


def run_in_terminal(*command: object, cwd: Path, typed: list[tuple[str, str]], **environment: str) -> str:
    """Run a command in its own terminal, and return what the terminal shows, including input.

    Each pair in `typed` is the end of a prompt and the line to type.
    """
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    process = subprocess.Popen(
        [str(word) for word in command],
        cwd=cwd,
        env=clean_environment(TERM="dumb", **environment),
        stdin=side,
        stdout=side,
        stderr=side,
        start_new_session=True,
    )
    os.close(side)
    printed, left = b"", list(typed)
    try:
        with suppress(OSError):  # how Linux reports the end of a terminal
            while part := os.read(main, 65536):
                printed += part
                if left and printed.endswith(left[0][0].encode()):
                    os.write(main, f"{left.pop(0)[1]}\n".encode())
        process.wait(PATIENCE)
    finally:
        end(process)
        os.close(main)
    shown = printed.decode().replace("\r\n", "\n")
    assert (process.returncode, left) == (0, []), f"{command} ended with {process.returncode}:\n{shown}"
    return shown


def end(process: "subprocess.Popen[Any]") -> None:
    """Kill a process and its descendants, in all process groups, and wait until they end.

    The local S3 server has its own session, and ends after its parent. Wait for it too: otherwise it
    would write to a folder that the test removes.
    """
    below = descendants(process.pid) if process.poll() is None else []
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pid in wait_until_ended(below, 60):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until_ended(below, PATIENCE)


def wait_until_ended(pids: list[int], seconds: float) -> list[int]:
    """Wait until these processes have ended, and return those that still run after some seconds."""
    until = time.monotonic() + seconds
    while (left := [pid for pid in pids if is_running(pid)]) and time.monotonic() < until:
        time.sleep(0.02)
    return left


def commit(folder: Path, message: str) -> None:
    """Commit all files that git doesn't ignore in a folder, as a made-up user."""
    subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
    author = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *author, "commit", "--quiet", "-m", message], cwd=folder, check=True)


_reserved: list[socket.socket] = []


def free_port() -> int:
    """Return a port of 127.0.0.1 that Linux gives to no other process that asks for any port.

    A socket stays bound to it without listening. Servers can still listen, because they set SO_REUSEADDR too.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    port = int(holder.getsockname()[1])
    if sys.platform == "linux":
        _reserved.append(holder)
    else:  # where a server couldn't listen
        holder.close()
    return port


def read_when_up(address: str, seconds: float = PATIENCE) -> str:
    """Return the response from a URL, after waiting until the server listens."""
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(address, timeout=30) as response:
                return response.read().decode()
        except urllib.error.HTTPError:
            raise
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


class Running:
    """A command that runs in its own process group, and its output so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line)

    def close(self) -> None:
        """Read the rest of the output and close it. The processes must have ended."""
        self._reader.join(10)
        if self.process.stdout:
            self.process.stdout.close()

    @property
    def output(self) -> str:
        """The output so far."""
        return "".join(self.lines)

    def wait_for(self, pattern: str, seconds: float = PATIENCE) -> re.Match[str]:
        """Wait for `pattern` in the output, and return the first match."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := re.search(pattern, self.output):
                return found
            if self.process.poll() is not None:
                self._reader.join(5)
                if found := re.search(pattern, self.output):
                    return found
                pytest.fail(f"{self.process.args} ended with {self.process.returncode}:\n{self.output}")
            time.sleep(0.05)
        pytest.fail(f"{self.process.args} printed no {pattern!r} in {seconds} s:\n{self.output}")

    def members(self) -> list[int]:
        """Return the group's running processes."""
        listed = subprocess.run(
            ["ps", "-o", "pid=,stat=", "--no-headers", "-g", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        return [int(line.split()[0]) for line in listed.splitlines() if "Z" not in line.split()[1]]

    def interrupt(self, seconds: float = PATIENCE) -> int:
        """Interrupt the command as Ctrl-C does, and return the exit code when all processes of the group have ended.

        The local S3 server, which has its own session, has ended too. gunicorn gives its workers half a minute before
        it kills them.
        """
        below = descendants(self.process.pid)
        os.killpg(self.process.pid, signal.SIGINT)
        code = self.process.wait(seconds)
        end = time.monotonic() + seconds
        while self.members() and time.monotonic() < end:
            time.sleep(0.05)
        assert not self.members(), f"still running after Ctrl-C: {self.members()}"
        left = wait_until_ended(below, seconds)
        assert not left, f"still running after Ctrl-C: {left}"
        return code


@contextmanager
def running(*command: object, cwd: Path, **environment: str) -> Iterator[Running]:
    """Run a command while the context lasts; on exit, end it and all processes that it started."""
    process = subprocess.Popen(
        [str(word) for word in command],
        cwd=cwd,
        env=clean_environment(PYTHONUNBUFFERED="1", **environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    started = Running(process)
    try:
        yield started
    finally:
        end(process)
        started.close()


def descendants(pid: int) -> list[int]:
    """Return a process's descendants."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout
    pairs = [tuple(map(int, line.split())) for line in listed.splitlines()]
    found = [pid]
    for parent in found:  # grows during the loop
        found += [child for child, its_parent in pairs if its_parent == parent]
    return found[1:]


def is_running(pid: int) -> bool:
    """Return whether a process runs. Zombies don't count."""
    state = subprocess.run(
        ["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return state.stdout.strip()[:1] not in {"", "Z"}
