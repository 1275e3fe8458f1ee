"""MiniStack's environment, separate from the site's because MiniStack pins an exact version of botocore.

It is a folder of packages in the user's cache. uv or pip creates it at the first use, with the package index of the
user's configuration. `python -m s3kit.local install` creates it in advance.
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
    """Return the folder of the environments: S3KIT_CACHE_DIR, or one in the user's cache."""
    if found := os.environ.get("S3KIT_CACHE_DIR"):
        return Path(found)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "django-s3-kit"


def packages() -> Path:
    """Return the folder with MiniStack for this version of Python; install it there if it is missing.

    Raises LocalServerError if the installation fails.
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
        # Install next to the folder, then rename it, because two processes may install at the same time.
        new = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    except OSError as error:
        raise LocalServerError(
            f"Can't write to {folder.parent} ({error.strerror}): set S3KIT_CACHE_DIR to another folder."
        ) from error
    try:
        new.chmod(0o755)  # in an image, another user may run it
        # pip's configuration may set --user, which contradicts --target, or require a virtual environment.
        variables = os.environ | {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
        for command in _installers(new):
            done = subprocess.run(  # noqa: S603 -- ours
                command, capture_output=True, text=True, check=False, env=variables
            )
            if done.returncode == 0:
                break
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise LocalServerError(
                f"Can't install MiniStack {VERSION}, the local S3 server ({last}): check the network and the package"
                " index that uv or pip uses."
            )
        else:
            raise LocalServerError(
                "Can't install MiniStack, the local S3 server, without uv or pip: install uv."
            )
        try:
            new.rename(folder)
        except OSError:
            if not (folder / "ministack").is_dir():  # or another process was first
                raise LocalServerError(f"{folder} is incomplete: delete it and try again.") from None
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _installers(target: Path) -> Iterator[list[str]]:
    """Yield the command that installs MiniStack, with uv if it is available, else with pip."""
    neighbor = Path(sys.prefix).parent / ".uv" / "bin" / "uv"  # a project's Makefile may install it there
    uv = os.environ.get("UV") or shutil.which("uv") or (str(neighbor) if neighbor.exists() else None)
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
