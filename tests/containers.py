"""Build and run images without a daemon: buildah builds them in a chroot, on a base from debootstrap.

The base has this machine's distribution and Python, and the name in the Dockerfile. A container's process
runs as the image's user, with only the image's files and variables, on a read-only root with its own
/tmp. It uses this machine's network. All of this needs root, or sudo for other users.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

SUDO = [] if os.geteuid() == 0 else ["sudo", "-n"]
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")

# Set up the image's files, read-only except for /tmp and the volumes.
START = """
set -e
root=$1 folder=$2 user=$3; shift 3
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
[ "$APART" = no ] || ip link set lo up
while [ "$1" != -- ]; do mount --bind "$1" "$root$2"; shift 2; done
shift
unset APART
exec chroot --userspec="$user" --groups= "$root" /bin/sh -c 'cd "$0" && exec "$@"' "$folder" "$@"
"""


def as_root(*command: object) -> str:
    """Run a command as root and return its stdout and stderr; fail the test if the command fails."""
    done = subprocess.run(
        [*SUDO, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def mirror() -> list[str]:
    """Return the URL from which apt installs this distribution, or nothing if only debootstrap knows it."""
    listed = subprocess.run(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(REPO_URI) $(RELEASE) $(COMPONENT)",
            "Created-By: Packages",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    wanted = f"{_release()['VERSION_CODENAME']} main"
    found = [line.split()[0] for line in listed.splitlines() if line.split(maxsplit=1)[1] == wanted]
    return [address for address in found if address.startswith(("http://", "https://"))][:1]


def _release() -> dict[str, str]:
    lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    return {name: value.strip('"') for name, _, value in (line.partition("=") for line in lines)}


@dataclass(frozen=True)
class Image:
    """An image's configuration, and the folder with its files."""

    name: str
    root: Path
    config: dict[str, Any]
    history: str
    layers: list[int]

    @cached_property
    def environment(self) -> dict[str, str]:
        """The variables that the image sets."""
        return dict(variable.split("=", 1) for variable in self.config["Env"])

    @cached_property
    def user(self) -> str:
        """The image's UID and GID, in the format of `chroot --userspec`."""
        for line in as_root("cat", self.root / "etc/passwd").splitlines():
            name, _, user, group, *_ = line.split(":")
            if self.config["User"] in {name, user}:
                return f"{user}:{group}"
        raise AssertionError(f"{self.config['User']!r} is no user of {self.name}")

    def command(
        self,
        command: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
        volumes: Mapping[Path, str] | None = None,
        *,
        network: bool = True,
    ) -> list[str]:
        """Return a command line that runs a command in the image, by default the image's own.

        `volumes` maps folders of this machine to paths in the container.
        """
        bound = [str(word) for pair in (volumes or {}).items() for word in pair]
        for target in (volumes or {}).values():
            as_root("mkdir", "-p", f"{self.root}{target}")
        assigned = [f"{name}={value}" for name, value in (self.environment | dict(variables or {})).items()]
        apart = f"APART={'no' if network else 'yes'}"
        names = ["unshare", "--mount", *([] if network else ["--net"])]
        start = [
            apart,
            *names,
            "/bin/sh",
            "-c",
            START,
            "sh",
            str(self.root),
            self.config["WorkingDir"],
            self.user,
        ]
        return [*SUDO, "env", "-i", *assigned, *start, *bound, "--", *(command or self.config["Cmd"])]

    def call(self, *command: str, **more: Any) -> "subprocess.CompletedProcess[str]":
        """Run a command in the image, by default the image's own, with stderr redirected to stdout."""
        return subprocess.run(
            self.command(command, **more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )

    def run(self, *command: str, **more: Any) -> str:
        """Do the same, and return the output; fail the test if the command fails."""
        done = self.call(*command, **more)
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def files(self) -> dict[str, str]:
        """Return the type and mode of each file that the image adds to its base, by path."""
        listed = as_root("find", self.root / "app", self.root / "opt", "-printf", "%P\\t%y%m\\t%h\\n")
        found = {}
        for line in listed.splitlines():
            name, kind, folder = line.split("\t")
            if name:
                found["/" + str((Path(folder) / Path(name).name).relative_to(self.root))] = kind
        return found


class Builder:
    """A store of images in a folder, which `close` empties.

    It takes 1 to 2 GB of memory: on disk, dpkg would sync each file, and without overlay mounts, buildah would copy
    a whole image for each layer.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        as_root("mount", "-t", "tmpfs", "-o", "mode=0711,size=6g", "images", folder)
        as_root("chown", os.getuid(), folder)
        self.stacks = self._stacks()
        driver = "overlay" if self.stacks else "vfs"
        self._place = ["--root", str(folder / "store"), "--runroot", str(folder / "run")]
        self._place += ["--storage-driver", driver]

    def _stacks(self) -> bool:
        probe = self.folder / "probe"
        for name in ("below", "above", "work", "both"):
            (probe / name).mkdir(parents=True)
        options = f"lowerdir={probe}/below,upperdir={probe}/above,workdir={probe}/work"
        mount = [*SUDO, "mount", "-t", "overlay", "-o", options, "overlay", str(probe / "both")]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            return False
        as_root("umount", probe / "both")
        return True

    def layers(self) -> list[str]:
        """Return the folders with the layers of all images."""
        place = self.folder / "store" / ("overlay" if self.stacks else "vfs/dir")
        names = as_root("ls", place).split()
        return [f"{place}/{name}/diff" for name in names if name != "l"] if self.stacks else [str(place)]

    def buildah(self, *words: object) -> str:
        """Run buildah on the store, and return its output."""
        return as_root("buildah", *self._place, *words)

    def make_base(self, name: str) -> None:
        """Create an image from this machine's distribution and Python."""
        container = self.buildah("from", "scratch").strip()
        root = self.buildah("mount", container).strip()
        release = _release()
        parts = ["--components=main,universe"] if release["ID"] == "ubuntu" else []
        packages = "--include=python3,python3-venv,ca-certificates"
        suite = release["VERSION_CODENAME"]
        as_root("debootstrap", "--variant=minbase", packages, *parts, suite, root, *mirror())
        as_root(
            *(
                "sh",
                "-c",
                'cd "$0" && rm -rf var/cache/apt/* var/lib/apt/lists/* usr/share/doc/* usr/share/locale/*',
            ),
            root,
        )
        if BUNDLE.exists():  # the package index may be behind a proxy with its own certificate authority
            as_root("cp", BUNDLE, f"{root}{BUNDLE}")
        self.buildah("commit", "--quiet", "--disable-compression", "--format", "docker", container, name)
        self.buildah("rm", container)

    def build(self, context: Path, *words: str) -> str:
        """Build a folder's Dockerfile with these arguments; return the output and the exit code."""
        options = ["--isolation", "chroot", "--pull-never", "--format", "docker", "--disable-compression"]
        options += ["--layers"] * self.stacks  # the second build reuses the first one's layers
        done = subprocess.run(
            [*SUDO, "buildah", *self._place, "build", *options, *self.secrets(), *words],
            cwd=context,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=600,
        )
        return done.stdout + f"\nexit code {done.returncode}"

    def secrets(self) -> list[str]:
        """Return the options that tell pip and uv in the build how this machine reaches the package index."""
        pip, uv = ["[global]"], []
        if BUNDLE.exists():
            pip.append(f"cert = {BUNDLE}")
            uv.append("native-tls = true")
        listed = subprocess.run(
            [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
        ).stdout
        index = re.findall(r"^.*\.index-url='(https?://[^']+)'$", listed, re.MULTILINE)
        index += [os.environ[name] for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL") if os.environ.get(name)]
        if index:
            pip.append(f"index-url = {index[0]}")
            uv.append(f"index-url = {json.dumps(index[-1])}")
        options = []
        for name, lines in (("pip", pip), ("uv", uv)):
            path = self.folder / f"{name}.conf"
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
            options += ["--secret", f"id={name},src={path}"]
        return options

    def open(self, name: str) -> Image:
        """Return an image with its files mounted."""
        described = json.loads(self.buildah("inspect", "--type", "image", name))
        container = self.buildah("from", "--pull-never", name).strip()
        root = Path(self.buildah("mount", container).strip())
        manifest = json.loads(described["Manifest"])
        return Image(
            name,
            root,
            described["Docker"]["config"],
            json.dumps(described["History"]) + json.dumps(described["Docker"]["config"]),
            [layer["size"] for layer in manifest["layers"]],
        )

    def close(self) -> None:
        """Give the memory back."""
        for line in reversed(Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()):
            if line.split()[1].startswith(str(self.folder)):
                as_root("umount", "--lazy", line.split()[1])


def needed() -> None:
    """Skip the test if a program that builds or runs images is missing."""
    for program in ("buildah", "debootstrap", "unshare", "chroot"):
        if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin"):
            pytest.skip(f"No {program} on this machine (Debian and Ubuntu: apt install buildah debootstrap)")
    if SUDO and subprocess.run([*SUDO, "true"], capture_output=True, check=False).returncode:
        pytest.skip("No root on this machine, and no sudo without a password: images are built by root")


def command_line(words: Sequence[str]) -> None:
    """Replace `docker run` in a workflow. STAND_IN names a file with the images by name.

    Ignore options that this module implies anyway. gunicorn listens on the published port, because the network is
    this machine's.
    """
    images = json.loads(Path(os.environ["STAND_IN"]).read_text(encoding="utf-8"))
    if words[0] != "run":
        raise SystemExit(f"no docker here, and no stand-in for docker {words[0]}")
    rest, variables, detached = list(words[1:]), {}, False
    while rest[0].startswith("--"):
        option = rest.pop(0)
        match option:
            case "--rm" | "--read-only":
                pass
            case "--detach":
                detached = True
            case "--tmpfs":
                assert rest.pop(0) == "/tmp"
            case "--env-file":
                for line in Path(rest.pop(0)).read_text(encoding="utf-8").splitlines():
                    name, given, value = line.partition("=")
                    if given or name in os.environ:
                        variables[name] = value if given else os.environ[name]
            case "--publish":
                address, port, _ = rest.pop(0).split(":")
                variables["GUNICORN_CMD_ARGS"] = f"--bind {address}:{port}"
                variables["PORT"] = port
            case _:
                raise SystemExit(f"no stand-in for docker run {option}")
    known = images[rest.pop(0)]
    command = Image(**known | {"root": Path(known["root"])}).command(rest, variables)
    if not detached:
        os.execvp(command[0], command)
    with Path(os.environ["STAND_IN"]).with_suffix(".log").open("w") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    Path(os.environ["STAND_IN"]).with_suffix(".pid").write_text(str(process.pid), encoding="ascii")


if __name__ == "__main__":
    command_line(sys.argv[1:])
