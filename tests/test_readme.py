"""What README.md says can be seen in the template."""

import re
import subprocess
import sys
from pathlib import Path

from tests.answers import PROMPTS, ROOT
from tests.conftest import Bake

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
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "cookiecutter",
                "--default-config",
                "--no-input",
                "-o",
                tmp_path,
                template,
            ),
            *("aws_region=us_east_1", "static_bucket_name=My_Bucket"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    shown = re.search(r"```\n(-{9,}\n.+?)```", README, re.DOTALL)
    assert shown
    for line in shown[1].splitlines()[:5]:
        assert line in done.stderr


def test_files_that_it_links_to_are_there() -> None:
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link
