"""The last released versions of the template, each in a small archive: what a bake needs, and its commit.

A clone may be shallow and have no tags, so the tests of updates read these archives in tests/releases/.
`make release-archive VERSION=0.3.0` writes the one of a version from its tag.
"""

import io
import json
import lzma
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

from tests.answers import PROJECT, QUESTIONS, ROOT

FOLDER = ROOT / "tests" / "releases"
PARTS = ("cookiecutter.json", "hooks", PROJECT.name)

# Released before the template said its version in cookiecutter.json.
UNNUMBERED = {
    "0.1.0": "074e71b85103fc5678fd870a2a9fff4cfed8c533",
    "0.2.0": "ff285815a5d9c993b5029feccd82e5ec1a0d51bb",
}

PRESENT: str = QUESTIONS["__template_version"]


class NoReleaseError(Exception):
    """A commit that is not the version asked for, or one without an archive; the message is one line."""


def number(version: str) -> tuple[int, ...]:
    """Return what versions are sorted by; raises ValueError where the text is none."""
    return tuple(int(part) for part in version.split("."))


def versions() -> list[str]:
    """Return the versions that have an archive, the oldest first."""
    return sorted((path.name.removesuffix(".tar.xz") for path in FOLDER.glob("*.tar.xz")), key=number)


def open_archive(version: str) -> tarfile.TarFile:
    """Open the archive of a version, unpacked in memory."""
    try:
        packed = (FOLDER / f"{version}.tar.xz").read_bytes()
    except FileNotFoundError:
        raise NoReleaseError(f"No archive of {version} in tests/releases, only of {versions()}.") from None
    return tarfile.open(fileobj=io.BytesIO(lzma.decompress(packed)))


def commit_of(archive: tarfile.TarFile) -> str:
    """Return the commit that `git archive` wrote into the header."""
    return archive.pax_headers["comment"]


def extract(version: str, folder: Path) -> None:
    """Write the template as it was at a version into a folder."""
    with open_archive(version) as archive:
        archive.extractall(folder, filter="data")


def write(version: str, revision: str, *, repository: Path = ROOT) -> Path:
    """Write the archive of a version from a commit, a tag or a branch, and return its path.

    Raises NoReleaseError where the revision is unknown, or the template says another version there.
    """
    revision = UNNUMBERED.get(version, revision)
    commit = _git(repository, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
    commit = commit.strip()
    if version not in UNNUMBERED:
        said = json.loads(_git(repository, "show", f"{commit}:cookiecutter.json")).get("__template_version")
        also = tomllib.loads(_git(repository, "show", f"{commit}:pyproject.toml"))["project"]["version"]
        if {said, also} != {version}:
            raise NoReleaseError(
                f"{revision} is no {version}: cookiecutter.json says {said}, pyproject.toml {also}."
            )
    path = FOLDER / f"{version}.tar.xz"
    archive = _git_bytes(repository, "archive", "--format=tar", commit, *PARTS)
    path.write_bytes(lzma.compress(archive, preset=9 | lzma.PRESET_EXTREME))
    return path


def _git(repository: Path, *words: str) -> str:
    return _git_bytes(repository, *words).decode()


def _git_bytes(repository: Path, *words: str) -> bytes:
    done = subprocess.run(["git", *words], cwd=repository, capture_output=True, check=False)
    if done.returncode:
        raise NoReleaseError(
            f"git {words[0]}: {done.stderr.decode(errors='replace').strip().splitlines()[0]}"
        )
    return done.stdout


def main(words: list[str]) -> None:
    """Write the archive that the command line asks for: a version, and perhaps where it is."""
    if len(words) not in (1, 2):
        sys.exit("Usage: make release-archive VERSION=0.3.0 [REF=v0.3.0]")
    try:
        number(words[0])
        path = write(words[0], words[1] if len(words) == 2 else f"v{words[0]}")
    except ValueError:
        sys.exit(f"{words[0]!r} is no version: write it as 0.3.0, without a v.")
    except NoReleaseError as error:
        sys.exit(str(error))
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
