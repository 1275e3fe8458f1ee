"""The pages that add a check, a probe and a provider, each done on a copy of the repository."""

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.answers import ROOT
from tests.machine import run
from tests.pages import blocks, follow, shows

pytestmark = pytest.mark.slow

Done = Callable[[str], Path]


@pytest.fixture
def done(template: Path, tmp_path: Path) -> Done:
    """Return a function that does what a page says on a copy, and returns the copy's folder of the library."""

    def do(name: str) -> Path:
        page, copy = ROOT / "docs" / f"{name}.md", tmp_path / "copy"
        shutil.copytree(template, copy, symlinks=True)
        steps = [block for block in blocks(page) if block.how]
        assert len(steps) == page.read_text(encoding="utf-8").count("```python")
        for step in steps:
            follow(step, copy)
        library, changed = copy / "library", {str(copy / step.file) for step in steps}
        for command in (["check"], ["format", "--check"]):
            python(library, "-m", "ruff", *command, "--no-cache", "--quiet", *changed)
        python(library, "-m", "tests.reference")  # `make reference`
        return library

    return do


def python(library: Path, *words: str, **environment: str) -> str:
    """Run Python in a copy of the library, with the copy's source."""
    return run(sys.executable, *words, cwd=library, PYTHONPATH=str(library / "src"), **environment)


def passed(library: Path, *words: str) -> int:
    """Run tests of a copy, and return how many have passed."""
    printed = python(library, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words)
    found = re.search(r"(\d+) passed", printed)
    assert found, printed
    return int(found[1])


def page_of(library: Path, name: str) -> str:
    return (library.parent / "docs" / f"{name}.md").read_text(encoding="utf-8")


def test_the_steps_add_a_check(done: Done, tmp_path: Path) -> None:
    library = done("add-a-check")
    assert "### s3kit.W021" in page_of(library, "checks")
    chosen = "W021 or valid_settings or every_check"
    assert passed(library, "tests/test_checks.py", "tests/test_reference.py", "-k", chosen) > 30
    origins = "\nAWS_SITE_ORIGINS = ['http://www.example.com']\n"
    (library / "site_settings.py").write_text(f"from tests.process_settings import *{origins}", "utf-8")
    printed = python(
        library,
        *("tests/manage.py", "check", "--tag", "s3kit"),
        DJANGO_SETTINGS_MODULE="site_settings",
        DJANGO_DEBUG="false",
        TEST_FOLDER=str(tmp_path),
        USE_S3="true",
        MEDIA_BUCKET="acme-media",
        STATIC_BUCKET="acme-static",
    )
    shown = next(each.code for each in blocks(ROOT / "docs" / "add-a-check.md") if each.language == "console")
    assert shows(shown.partition("\n")[2], printed)


def test_the_steps_add_a_probe(done: Done) -> None:
    library = done("add-a-probe")
    assert "`versions`: anyone can list the versions in …" in page_of(library, "doctor")
    chosen = "versions or (healthy_site_has_no_problems and private-False) or unreachable_endpoint"
    assert passed(library, "tests/test_doctor.py", "-k", chosen) == 3


def test_the_steps_add_a_provider(done: Done) -> None:
    library = done("add-a-provider")
    shown = next(
        each.code for each in blocks(ROOT / "docs" / "add-a-provider.md") if each.language == "markdown"
    )
    assert shown in page_of(library, "providers")
    chosen = "source or replayed or (acme and (host or apply or site_works))"
    assert passed(library, "tests/test_providers.py", "-k", chosen) == 5
