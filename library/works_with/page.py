"""docs/works-with.md, made from the marks of the tests and from the settings of their sites."""

import ast
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "works-with.md"

HEAD = """\
# Works with

These packages have been tried with the library on Django {django}: debug off, all files on a local S3 server. Where a
package has pages, Chromium has clicked them, under the Content-Security-Policy of the template. `make works-with` runs
these tests, and `make works-with-page` makes this page from them.

A package that is not here may work as well. If one does not, open an issue.

| package | version | what was tried |
|---|---|---|
"""

SETTINGS = """
## Settings

The other packages need none beyond their own. List `s3kit` in `INSTALLED_APPS` before packages that build on
`STATIC_URL`: some, such as django-location-field, copy it while they are imported.
[headers.md](headers.md#a-wider-policy-for-some-pages) explains `S3KIT_CSP_ADDITIONS`.
"""


def tried() -> dict[str, list[str]]:
    """Return what was tried with each package, from the marks; raise ValueError for one that is no plain text."""
    found: dict[str, list[str]] = {}
    for file in sorted(HERE.glob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.works_with":
                package, sentence = map(ast.literal_eval, node.args)
                found.setdefault(package, [])
                if sentence not in found[package]:
                    found[package].append(sentence)
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def needs() -> dict[str, tuple[str, str]]:
    """Return for packages with settings why they need them, and the settings as Python."""
    found = {}
    for package in tried():
        file = HERE / "site" / "needs" / f"{package.replace('-', '_')}.py"
        if file.exists():
            text = file.read_text("utf-8")
            _, why, code = text.split('"""', 2)
            lines = [
                line for line in code.strip().splitlines() if "works_with" not in line
            ]  # the site's folder
            found[package] = (why.strip(), "\n".join(lines).strip())
    return found


def page(versions: Mapping[str, str]) -> str:
    """Return the page; `versions` has a version for each package, and for Django."""
    lines = [
        f"| [{package}](https://pypi.org/project/{package}/) | {versions[package]} | {' '.join(sentences)} |"
        for package, sentences in tried().items()
    ]
    parts = [HEAD.format(django=versions["django"]) + "\n".join(lines), SETTINGS.rstrip()]
    parts += [
        f"\n### {package}\n\n{why}\n\n```python\n{code}\n```" for package, (why, code) in needs().items()
    ]
    return "\n".join(parts) + "\n"


def versions_of(text: str) -> dict[str, str]:
    """Return the versions that a page names."""
    found = dict(re.findall(r"^\| \[([^]]+)\]\([^)]*\) \| ([^|]+) \|", text, re.MULTILINE))
    return found | {"django": re.findall(r"on Django ([\d.]+[a-z\d]*):", text)[0]}


if __name__ == "__main__":
    PAGE.write_text(page({package: version(package) for package in ("django", *tried())}), "utf-8")
