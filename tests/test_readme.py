"""README.md matches the template."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import PEERS
from tests.answers import PROMPTS, ROOT
from tests.conftest import Bake
from tests.hook import config_in

README = (ROOT / "README.md").read_text(encoding="utf-8")


def sample_answers() -> dict[str, str]:
    rows = re.findall(r"^\| `([a-z_]+)` \| .+ \| `(.+?)` \|$", README, re.MULTILINE)
    return dict(rows)


def test_table_lists_the_prompts() -> None:
    assert list(sample_answers()) == PROMPTS


def test_the_sample_answers_bake(bake: Bake) -> None:
    answers = sample_answers()
    assert bake(**answers).name == answers["project_slug"]


COMMAND = (sys.executable, "-m", "cookiecutter")


def cookiecutter(template: Path, tmp_path: Path, *answers: str) -> subprocess.CompletedProcess[str]:
    """Run cookiecutter as a user does, without prompts."""
    here = tmp_path / "here"
    here.mkdir()
    return subprocess.run(
        [*COMMAND, template, "--no-input", *answers],
        cwd=here,
        env=os.environ | {"PWD": str(here), "COOKIECUTTER_CONFIG": str(config_in(tmp_path))},
        capture_output=True,
        text=True,
        check=False,
    )


def test_first_console_block_shows_the_real_output(template: Path, tmp_path: Path) -> None:
    done = cookiecutter(template, tmp_path)
    assert done.returncode == 0, done.stderr
    shown = re.search(r"```console\n\$ uvx cookiecutter [^\n]+\n\.\.\.\n(.+?)\n\$ ", README, re.DOTALL)
    assert shown
    assert shown[1] in done.stdout


def test_rejection_in_the_readme_is_the_one_printed(template: Path, tmp_path: Path) -> None:
    done = cookiecutter(template, tmp_path, "aws_region=Seoul", "static_bucket_name=My_Bucket")
    assert done.returncode != 0
    shown = re.search(r"```\n(-{9,}\n.+?)```", README, re.DOTALL)
    assert shown
    printed = done.stderr.replace(
        shlex.join([*COMMAND, str(template)]), "uvx cookiecutter gh:org/django-s3-template"
    )
    assert shown[1] in re.sub(r"(-static|-media)-[a-z]{6}\b", r"\1-k3v9qz", printed)


def rows(text: str, heading: str) -> list[list[str]]:
    """Return the rows of the table under a heading."""
    table = text.split(heading, 1)[1].split("\n\n", 1)[0].strip().splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_figures_match_the_comparison_page() -> None:
    heading = "| deploy | django-s3-kit | Collectfasta | django-capo-s3 | django-storages |\n"
    packages = ("django-s3-kit", "Collectfasta", "django-capo-s3", "`S3ManifestStaticStorage`")
    short = {
        (deploy, package): figures
        for deploy, *cells in rows(README, heading)
        for package, figures in zip(packages, cells, strict=True)
    }
    page = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
    full = {
        (deploy, package): f"{requests} requests, {seconds} s"
        for deploy, package, requests, _, seconds, _ in rows(page, "| seconds | MB of memory |\n")
    }
    assert len(short) == 12
    assert short == full


def test_comparison_names_the_benchmarked_versions() -> None:
    page = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
    (versions,) = re.findall(r"^\| Version \|.*$", page, re.MULTILINE)
    for peer, package in (
        ("manifest", "django-storages[s3]"),
        ("collectfasta", "Collectfasta"),
        ("capo", "django-capo-s3"),
    ):
        pins = dict(pin.split("==") for pin in PEERS[peer].packages)
        assert f"| {pins[package]}, " in versions, package


@pytest.mark.parametrize("django", ["5.2", "6.1"])
def test_project_readme_is_under_120_lines(django: str) -> None:
    readme = ROOT / "tests" / "golden" / f"django-{django}" / "README.md"
    assert len(readme.read_text(encoding="utf-8").splitlines()) < 120
