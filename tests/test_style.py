"""The template's own Python code is linted and formatted. Other tests check the baked project."""

import subprocess
import sys

import pytest

from tests.answers import ROOT


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=["linted", "formatted"])
def test_own_code_passes(command: list[str]) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            *command,
            "--no-cache",
            ".github",
            "demo.py",
            "docs/conf.py",
            "hooks",
            "tests",
            "benchmarks",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
