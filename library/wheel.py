"""Build the wheel of django-s3-kit with only the standard library, and with the same bytes on every machine.

    python library/wheel.py --out FOLDER     write it to a folder
    python library/wheel.py --into PROJECT   write it to a project's vendor/ folder, and update the project's lock file

The template's post-generation hook calls `build` for new projects. Entries are stored uncompressed, because versions of
zlib compress differently.
"""

import argparse
import base64
import hashlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

UNDERSTOOD = {
    *("name", "version", "description", "readme", "requires-python", "license", "license-files", "keywords"),
    *("classifiers", "dependencies", "optional-dependencies", "urls", "entry-points"),
}
JUNK = re.compile(r"(^|/)(\.|__pycache__/)|(~|\.py[co]|\.orig|\.rej)$")


def wheel_name(project: dict[str, Any]) -> str:
    """Return the file name of the wheel that a pyproject.toml's [project] table describes."""
    return f"{project['name'].replace('-', '_')}-{project['version']}-py3-none-any.whl"


def metadata(project: dict[str, Any], readme: str) -> str:
    """Return the content of METADATA, or raise ValueError for a key of [project] that it doesn't support."""
    if unknown := sorted(set(project) - UNDERSTOOD):
        raise ValueError(
            f"wheel.py doesn't support these keys of [project] in pyproject.toml: {', '.join(unknown)}"
        )
    lines = [
        *("Metadata-Version: 2.4", f"Name: {project['name']}", f"Version: {project['version']}"),
        *(f"Summary: {project['description']}", f"Keywords: {','.join(project.get('keywords', []))}"),
        *(f"Project-URL: {label}, {address}" for label, address in project.get("urls", {}).items()),
        *(
            f"License-Expression: {project['license']}",
            *(f"License-File: {n}" for n in project["license-files"]),
        ),
        *(f"Classifier: {classifier}" for classifier in project.get("classifiers", [])),
        f"Requires-Python: {project['requires-python']}",
        *(f"Requires-Dist: {requirement}" for requirement in project["dependencies"]),
    ]
    for extra, requirements in project.get("optional-dependencies", {}).items():
        lines.append(f"Provides-Extra: {extra}")
        for requirement in requirements:
            package, _, marker = requirement.partition(";")
            condition = f"({marker.strip()}) and extra == '{extra}'" if marker else f"extra == '{extra}'"
            lines.append(f"Requires-Dist: {package.strip()}; {condition}")
    return "\n".join([*lines, "Description-Content-Type: text/markdown", "", readme])


def build(library: Path, target: Path) -> Path:
    """Build the wheel of the library in a folder, write it to another folder, and return its path."""
    project = tomllib.loads((library / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    source, info = library / "src", f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    files = {path.relative_to(source).as_posix(): path for path in source.rglob("*") if path.is_file()}
    content = {name: files[name].read_bytes() for name in sorted(files) if not JUNK.search(name)}
    readme = (library / project["readme"]).read_text(encoding="utf-8")
    content[f"{info}/METADATA"] = metadata(project, readme).encode()
    tags = "Wheel-Version: 1.0\nGenerator: django-s3-kit\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    content[f"{info}/WHEEL"] = tags.encode()
    if groups := project.get("entry-points"):
        sections = (
            f"[{name}]\n" + "".join(f"{k} = {v}\n" for k, v in groups[name].items()) for name in groups
        )
        content[f"{info}/entry_points.txt"] = "\n".join(sections).encode()
    for name in project["license-files"]:
        content[f"{info}/licenses/{name}"] = (library / name).read_bytes()
    content[f"{info}/RECORD"] = record(content, f"{info}/RECORD").encode()
    target.mkdir(parents=True, exist_ok=True)
    wheel = target / wheel_name(project)
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in content.items():
            entry = zipfile.ZipInfo(name, (2020, 2, 2, 0, 0, 0))
            entry.create_system = 3  # Unix, on Windows too
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, data, zipfile.ZIP_STORED)
    return wheel


def record(content: dict[str, bytes], own_name: str) -> str:
    """Return the content of RECORD: the hash and size of each file, and the name of RECORD itself."""
    lines = []
    for name, data in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        lines.append(f"{name},sha256={digest},{len(data)}\n")
    return "".join(lines) + f"{own_name},,\n"


def put_into(project: Path, library: Path) -> Path:
    """Replace the wheel in a project's vendor/ folder, update pyproject.toml, and return the wheel's path.

    Raise ValueError if pyproject.toml doesn't name the wheel and its version.
    """
    wanted = tomllib.loads((library / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name, path = wanted["name"], project / "pyproject.toml"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    for pattern, new in (
        (rf"({name}(?:\[[\w, -]*\])? *== *)[\w.!+-]+", rf"\g<1>{wanted['version']}"),
        (rf"(vendor/){name.replace('-', '_')}-[\w.!+]+-py3-none-any\.whl", rf"\g<1>{wheel_name(wanted)}"),
    ):
        text, count = re.subn(pattern, new, text)
        if not count:
            raise ValueError(f"{path} has no line with {name} to update. Add one that matches /{pattern}/.")
    wheel = build(library, project / "vendor")
    path.write_text(text, encoding="utf-8", newline="\n")
    for other in wheel.parent.glob(f"{name.replace('-', '_')}-*.whl"):
        if other != wheel:
            other.unlink()
    return wheel


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Build the wheel of django-s3-kit.")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--out", type=Path, metavar="FOLDER", help="write the wheel to this folder")
    place.add_argument(
        "--into", type=Path, metavar="PROJECT", help="update this project's wheel and lock file"
    )
    options, library = parser.parse_args(), Path(__file__).resolve().parent
    try:
        print(build(library, options.out) if options.out else put_into(options.into, library))
    except ValueError as error:
        sys.exit(str(error))
    if options.out:
        return
    uv = shutil.which("uv") or shutil.which("uv", path=str(options.into.resolve() / ".uv" / "bin"))
    if uv is None:
        print("uv was not found. If the project has a uv.lock file, run `uv lock` there.")
    elif subprocess.run([uv, "lock", "--quiet"], cwd=options.into, check=False).returncode:  # noqa: S603
        sys.exit("The wheel was written, but `uv lock` failed. Run it in the project again.")
    print("Now run the project's tests, and commit vendor/, pyproject.toml and uv.lock.")


if __name__ == "__main__":
    main()
