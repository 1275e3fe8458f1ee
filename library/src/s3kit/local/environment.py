"""The environment of MiniStack, apart from the site's, because MiniStack pins one exact botocore.

It is a folder of packages in the user's cache, made at the first use by uv or pip, which take the index from
the user's own configuration. `python -m s3kit.local install` makes it without starting anything.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from s3kit.local.errors import LocalServerError

VERSION = "1.5.33"
REQUIREMENT = f"ministack=={VERSION}"


def cache() -> Path:
    """Return the folder of the environments: S3KIT_CACHE_DIR, else one in the user's cache."""
    if found := os.environ.get("S3KIT_CACHE_DIR"):
        return Path(found)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "django-s3-kit"


def packages() -> Path:
    """Return the folder with MiniStack for this Python; install it there if it is missing.

    Raises LocalServerError, in one line, where it cannot be installed.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = cache() / f"ministack-{VERSION}-py{version}"
    if not (folder / "ministack").is_dir():
        _install(folder)
    return folder


def _install(folder: Path) -> None:
    print(f"Installing MiniStack {VERSION}, the local S3 server, into {folder}.", file=sys.stderr)  # noqa: T201
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Beside its place, and put there as a whole: two processes may install at once.
        new = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    except OSError as error:
        raise LocalServerError(
            f"Cannot write to {folder.parent} ({error.strerror}): set S3KIT_CACHE_DIR."
        ) from error
    try:
        new.chmod(0o755)  # whoever installs it into an image is not who runs it
        # pip takes --user from its configuration, which contradicts --target, or insists on an environment.
        variables = os.environ | {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
        for command in _installers(new):
            done = subprocess.run(  # noqa: S603 -- ours
                command, capture_output=True, text=True, check=False, env=variables
            )
            if done.returncode == 0:
                break
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise LocalServerError(
                f"MiniStack {VERSION}, the local S3 server, could not be installed ({last}): check the network"
                " and the package index that uv or pip is configured with."
            )
        else:
            raise LocalServerError(
                "MiniStack, the local S3 server, cannot be installed: neither uv nor pip was found. Install uv."
            )
        try:
            new.rename(folder)
        except OSError:
            if not (folder / "ministack").is_dir():  # or another process was first
                raise LocalServerError(f"{folder} is incomplete: remove it.") from None
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _installers(target: Path) -> Iterator[list[str]]:
    """Yield the command that installs MiniStack: uv's, if it is there, else pip's."""
    beside = Path(sys.prefix).parent / ".uv" / "bin" / "uv"  # where a project's Makefile may put it
    uv = os.environ.get("UV") or shutil.which("uv") or (str(beside) if beside.exists() else None)
    if uv:
        yield [
            *(uv, "pip", "install", "--quiet", "--python", sys.executable),
            *("--target", str(target), REQUIREMENT),
        ]
        return
    for python in dict.fromkeys((sys.executable, getattr(sys, "_base_executable", sys.executable))):
        has_pip = subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False)  # noqa: S603
        if has_pip.returncode == 0:
            yield [
                *(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
                *("--target", str(target), REQUIREMENT),
            ]
            return
