"""Generate docs/works-with.md from the tests' marks and the settings of their sites."""

import ast
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "works-with.md"

HEAD = """\
# Works with

The library's tests use these packages on Django {django}, with `DEBUG = False` and all files on a local S3 server. If a
package has pages, Chromium clicks through them under the template's Content-Security-Policy. `make works-with` runs
the tests, and `make works-with-page` creates this page from them.

Other packages may work as well. If one doesn't, open an issue.

| package | version | what is tested |
|---|---|---|
"""

SETTINGS = """
## Settings

The packages below need settings besides their own; the others don't. List `s3kit` in `INSTALLED_APPS` before packages
that use `STATIC_URL`: some, such as django-location-field, copy it when they are imported.
[headers.md](headers.md#a-wider-policy-for-some-pages) explains `S3KIT_CSP_ADDITIONS`.
"""


def tested() -> dict[str, list[str]]:
    """Return what is tested with each package, from the marks, or raise ValueError for a mark that is not a literal."""
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
    """Return, for each package that needs settings, the reason and the settings as Python."""
    found = {}
    for package in tested():
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
    """Return the page; `versions` contains the versions of the packages and Django."""
    lines = [
        f"| [{package}](https://pypi.org/project/{package}/) | {versions[package]} | {' '.join(sentences)} |"
        for package, sentences in tested().items()
    ]
    parts = [HEAD.format(django=versions["django"]) + "\n".join(lines), SETTINGS.rstrip()]
    parts += [
        f"\n### {package}\n\n{why}\n\n```python\n{code}\n```" for package, (why, code) in needs().items()
    ]
    return "\n".join(parts) + "\n"


def versions_of(text: str) -> dict[str, str]:
    """Return the versions on a page."""
    found = dict(re.findall(r"^\| \[([^]]+)\]\([^)]*\) \| ([^|]+) \|", text, re.MULTILINE))
    return found | {"django": re.findall(r"on Django ([\d.]+[a-z\d]*), with", text)[0]}


if __name__ == "__main__":
    PAGE.write_text(page({package: version(package) for package in ("django", *tested())}), "utf-8")
