"""Check that a release has one version everywhere and a section in the changelog. Uses the standard library only.

python .github/release.py check v0.4.0   exit with 1 unless everything names this version
python .github/release.py notes v0.4.0   print the changelog's section, for the release on GitHub
"""

import argparse
import json
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def versions(root: Path) -> dict[str, str]:
    """Return the version that each file names."""
    module = "library/src/s3kit/__init__.py"
    [code] = re.findall(r'^__version__ = "(.+)"$', (root / module).read_text(encoding="utf-8"), re.MULTILINE)
    answers = json.loads((root / "cookiecutter.json").read_text(encoding="utf-8"))
    projects = {
        name: tomllib.loads((root / name).read_text(encoding="utf-8"))["project"]["version"]
        for name in ("pyproject.toml", "library/pyproject.toml")
    }
    return {**projects, module: code, "cookiecutter.json": answers["__template_version"]}


def section(root: Path, version: str) -> tuple[str, str]:
    """Return the date and the text of a version's section in the changelog; both are empty if it has none."""
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(rf"^## \[{re.escape(version)}\] - (.+)\n((?:(?!## ).*\n?)*)", text, re.MULTILINE)
    return (found[1], found[2].strip()) if found else ("", "")


def problems(root: Path, tag: str) -> list[str]:
    """Return the problems that block the release of a tag, as sentences."""
    if not re.fullmatch(r"v\d+\.\d+\.\d+", tag):
        return [f"{tag!r} is not a version tag. Tag the release as v1.2.3."]
    version = tag.removeprefix("v")
    found = [
        f"{name} has version {other}, but the tag is {tag}. Change one of them."
        for name, other in versions(root).items()
        if other != version
    ]
    date, text = section(root, version)
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", date):
        found.append(f"CHANGELOG.md has no section '## [{version}] - YYYY-MM-DD'. Add it, or set its date.")
    elif not text:
        found.append(f"The section for {version} in CHANGELOG.md is empty. Say what changed.")
    return found


def main() -> int:
    """Run a command and return its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["check", "notes"])
    parser.add_argument("tag")
    given = parser.parse_args()
    if found := problems(ROOT, given.tag):
        print("\n".join(found), file=sys.stderr)
        return 1
    if given.command == "notes":
        print(section(ROOT, given.tag.removeprefix("v"))[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
