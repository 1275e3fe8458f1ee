"""What README.md says can be seen in the template."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.answers import PROMPTS, ROOT
from tests.conftest import Bake
from tests.hook import config_in

README = (ROOT / "README.md").read_text(encoding="utf-8")


def sample_answers() -> dict[str, str]:
    rows = re.findall(r"^\| `([a-z_]+)` \| .+ \| `(.+?)` \|$", README, re.MULTILINE)
    return dict(rows)


def test_the_prompts_are_those_of_the_table() -> None:
    assert list(sample_answers()) == PROMPTS


def test_the_sample_answers_bake(bake: Bake) -> None:
    answers = sample_answers()
    assert bake(**answers).name == answers["project_slug"]


def test_the_refusal_shown_is_the_one_printed(template: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    command = [sys.executable, "-m", "cookiecutter"]
    done = subprocess.run(
        [*command, template, "--no-input", "aws_region=Seoul", "static_bucket_name=My_Bucket"],
        cwd=here,
        env=os.environ | {"PWD": str(here), "COOKIECUTTER_CONFIG": str(config_in(tmp_path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    shown = re.search(r"```\n(-{9,}\n.+?)```", README, re.DOTALL)
    assert shown
    printed = done.stderr.replace(
        shlex.join([*command, str(template)]), "uvx cookiecutter gh:org/django-s3-template"
    )
    assert shown[1] in re.sub(r"(-static|-media)-[a-z]{6}\b", r"\1-k3v9qz", printed)


def test_files_that_it_links_to_are_there() -> None:
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link
