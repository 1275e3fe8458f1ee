"""An S3 server for development and tests: MiniStack as a child process, with its data in one folder.

It runs in strict mode, which enforces what AWS enforces: signatures, IAM, bucket policies, Object Ownership, and
Block Public Access. `s3kit.local.guard` protects it, and it listens on loopback only, except in a container. Root
bypasses IAM, so the site gets the key of an IAM user with exactly the rights that `s3kit.buckets.policies` lists.

The folder contains ``objects`` and ``state`` (MiniStack's), ``ministack.log``, ``endpoint`` (the server's address),
``credentials`` and ``root`` (the site's key and root's, as AWS shared credentials files with mode 600), and ``lock``.

Linux and macOS only: the lock and the exit with the parent process need Unix.
"""

import contextlib
import errno
import http.client
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

from s3kit.deployment import Key
from s3kit.local import guard, read_key
from s3kit.local.environment import packages
from s3kit.local.errors import LocalServerError

HOST = "127.0.0.1"
USER = "site"

# Seconds to start, to stop after saving its state, and to wait for a previous server on the same folder to stop.
_START, _STOP, _LOCK = 60, 20, 5

_WINDOWS = "The local S3 server does not run on Windows: use WSL."


@dataclass(frozen=True)
class LocalServer:
    """A running local S3 server."""

    endpoint: str
    region: str
    data: Path
    root: Key
    process: "subprocess.Popen[bytes] | None" = None
    """None for a server that another process started."""

    @property
    def credentials(self) -> Path:
        """The file with the site's key, for AWS_SHARED_CREDENTIALS_FILE."""
        return self.data / "credentials"

    def client(self, service: str = "s3", key: Key | None = None) -> Any:
        """Return a boto3 client for this server, with a key, by default root's.

        It ignores the AWS_* environment variables.
        """
        key = key or self.root
        # No proxies: a proxy can't reach this machine's loopback.
        config = Config(signature_version="s3v4", s3={"addressing_style": "path"}, proxies={})
        return _session().create_client(
            service,
            region_name=self.region,
            endpoint_url=self.endpoint,
            aws_access_key_id=key.id,
            aws_secret_access_key=key.secret,
            config=config,
        )

    def site_key(self, *policies: Mapping[str, Any]) -> Key:
        """Give the site's IAM user the rights of these policy documents, and return its key.

        The first start creates the user and the key, and saves the key in `credentials`. If MiniStack was killed
        before it saved its state, the next start creates them again.
        """
        iam = self.client("iam")
        with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
            iam.create_user(UserName=USER)
        for name in iam.list_user_policies(UserName=USER)["PolicyNames"]:
            iam.delete_user_policy(UserName=USER, PolicyName=name)
        for number, policy in enumerate(policies, 1):
            iam.put_user_policy(UserName=USER, PolicyName=f"site-{number}", PolicyDocument=json.dumps(policy))
        if (key := read_key(self.credentials)) and self._is_valid(key):
            return key
        for old in iam.list_access_keys(UserName=USER)["AccessKeyMetadata"]:
            iam.delete_access_key(UserName=USER, AccessKeyId=old["AccessKeyId"])
        made = iam.create_access_key(UserName=USER)["AccessKey"]
        key = Key(made["AccessKeyId"], made["SecretAccessKey"])
        write_key(self.credentials, key)
        return key

    def _is_valid(self, key: Key) -> bool:
        try:
            self.client("sts", key).get_caller_identity()
        except ClientError:
            return False
        return True

    def wait(self) -> None:
        """Wait until MiniStack exits, which it shouldn't; then raise LocalServerError."""
        assert self.process  # noqa: S101 -- for the type checker: only its own process waits
        code = self.process.wait()
        raise LocalServerError(
            f"MiniStack exited unexpectedly with code {code}: see {self.data / 'ministack.log'}"
        )

    def stay_with(self) -> None:
        """Keep the server running when this process executes another program, until that program exits."""
        assert self.process  # noqa: S101 -- as above
        assert self.process.stdin  # noqa: S101 -- for the type checker: it is a pipe
        os.set_inheritable(self.process.stdin.fileno(), True)


def write_key(file: Path, key: Key) -> None:
    """Write a key to an AWS shared credentials file that only its owner can read."""
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as opened:
        opened.write(f"[default]\naws_access_key_id = {key.id}\naws_secret_access_key = {key.secret}\n")
    new.replace(file)


@cache
def _session() -> botocore.session.Session:
    """Return a session without profiles or AWS's configuration files, which may refer to missing things."""
    nothing: dict[str, Any] = {"profile": (None, None, None, None)}
    nothing |= dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))
    return botocore.session.Session(session_vars=nothing)


@contextlib.contextmanager
def running(
    data: Path,
    *,
    port: int = 0,
    region: str = "us-east-1",
    bind: str = HOST,
    guarding: Mapping[str, str] | None = None,
) -> Iterator[LocalServer]:
    """Run MiniStack on 127.0.0.1 with its data in the folder; on exit, save its state and stop it.

    Port 0 takes any free port. In a container, `bind` is 0.0.0.0, because published ports don't reach loopback; the
    endpoint is still 127.0.0.1. `guarding` has more variables for `s3kit.local.guard`, for tests. Raises
    LocalServerError if the server can't start.
    """
    if sys.platform == "win32":
        raise LocalServerError(_WINDOWS)
    installed = packages()
    with _locked(data) as lock:
        root = Key(f"ROOT{secrets.token_hex(8).upper()}", secrets.token_urlsafe(30))
        tries = 3 if port == 0 else 1  # another program may take the free port before MiniStack does
        for left in reversed(range(tries)):
            taken = free_port(port)
            variables = environment(data, taken, region, root, bind) | dict(guarding or {})
            with (data / "ministack.log").open("wb") as log:
                process = _start(installed, data, variables, log, lock)
            try:
                _wait_until_ready(process, taken, data)
                break
            except BaseException as error:
                _stop(process)
                if not left or not isinstance(error, LocalServerError):
                    raise
        try:
            write_key(data / "root", root)
            (data / "endpoint").write_text(f"http://{HOST}:{taken}\n", "ascii")
            yield LocalServer(f"http://{HOST}:{taken}", region, data, root, process)
        finally:
            for name in ("endpoint", "root"):
                (data / name).unlink(missing_ok=True)
            _stop(process)


def environment(data: Path, port: int, region: str, root: Key, bind: str = HOST) -> dict[str, str]:
    """Return the environment variables of MiniStack's process."""
    # Not the shell's, which may contain a real AWS key or a variable that MiniStack reads.
    return {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ} | {
        "AUTH": "true",
        "BIND_HOST": bind,
        "GATEWAY_PORT": str(port),
        "SERVICES": "s3,iam,sts",
        "IOT_MTLS_ENABLED": "0",  # it uses a fixed port, so two servers would collide
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": f"unix://{data / 'none'}",  # otherwise it deletes other MiniStacks' containers
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(data / "objects"),
        "PERSIST_STATE": "1",
        "STATE_DIR": str(data / "state"),
        "TMPDIR": str(data),
        "MINISTACK_REGION": region,
        "AWS_ACCESS_KEY_ID": root.id,
        "AWS_SECRET_ACCESS_KEY": root.secret,
    }


def _start(
    installed: Path, data: Path, variables: dict[str, str], log: IO[bytes], lock: int
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603 -- the command is fixed
        [
            sys.executable,
            "-I",
            "-S",
            guard.__file__,
            str(installed),
        ],  # -S: without the site's packages
        env=variables,
        cwd=data,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        pass_fds=(lock,),
        umask=0o077,
        start_new_session=True,  # so Ctrl-C stops the site first
    )


def _stop(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin  # noqa: S101 -- for the type checker: it is a pipe
    process.stdin.close()
    try:
        process.wait(_STOP)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _locked(data: Path) -> Iterator[int]:
    """Lock the folder; yield the lock, which is held until the last process that inherits it exits."""
    try:
        import fcntl
    except ImportError:
        raise LocalServerError(_WINDOWS) from None
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (data / "lock").open("w")
    except OSError as error:
        raise LocalServerError(f"The local S3 server can't write to {data}: {error.strerror}") from error
    with lock:
        end = time.monotonic() + _LOCK
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > end:
                    raise LocalServerError(
                        f"Another local S3 server is running on {data}: stop it first"
                    ) from None
                time.sleep(0.1)
        yield lock.fileno()


def free_port(port: int) -> int:
    """Return the port, or a free one for 0; raise LocalServerError if it is in use."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as MiniStack does
        try:
            listener.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise LocalServerError(
                    f"Port {port} of {HOST} is in use: choose another one, or 0 for any free port"
                ) from error
            raise LocalServerError(f"Can't use port {port} of {HOST}: {error.strerror}") from error
        return int(listener.getsockname()[1])


def _wait_until_ready(process: "subprocess.Popen[bytes]", port: int, data: Path) -> None:
    log = data / "ministack.log"
    end = time.monotonic() + _START
    while time.monotonic() < end:
        if process.poll() is not None:
            raise LocalServerError(f"MiniStack exited at startup with code {process.returncode}: see {log}")
        connection = http.client.HTTPConnection(HOST, port, timeout=5)
        try:
            connection.request("GET", guard.HEALTH)
            if connection.getresponse().status == 200:
                return
        except (OSError, http.client.HTTPException):
            time.sleep(0.02)
        finally:
            connection.close()
    raise LocalServerError(f"MiniStack did not start within {_START} seconds: see {log}")
