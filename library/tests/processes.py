"""Processes for tests: start commands of the test site, read their output, and end them."""

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MANAGE = (sys.executable, str(ROOT / "tests" / "manage.py"))
PATIENCE = 300  # seconds; on a busy machine, a process may need a minute to start


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a new shell: only the paths of programs, caches, and packages, without AWS files."""
    names = {"PATH", "HOME", "XDG_CACHE_HOME", "S3KIT_CACHE_DIR", "HTTPS_PROXY", "https_proxy"}
    installers = (
        "UV_",
        "PIP_",
        "SSL_CERT_",
        "REQUESTS_CA_BUNDLE",
    )  # the first start installs MiniStack
    kept = {name: value for name, value in os.environ.items() if name in names or name.startswith(installers)}
    nothing = {
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return kept | nothing | more


class Started:
    """A running command, with its output. Without a program, the words are a manage.py command."""

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
            if ended:
                self._reader.join(10)  # which may not have read the last lines yet
            found = re.search(pattern, self.output)
            assert found or not ended, self.output
            return found

        found: re.Match[str] = until(look)
        return found

    def ended(self) -> int:
        """Wait for the end and return the exit code."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send the signal and return the exit code."""
        self.process.send_signal(number)
        return self.ended()


def until(look: Callable[[], Any]) -> Any:
    """Return the first true result; fail the test after five minutes without one."""
    end = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < end, f"it did not happen within {PATIENCE} seconds"
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
    """Return a port that the system doesn't give to other servers and clients meanwhile: it gives higher ones."""
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
