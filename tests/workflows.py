"""The workflows of a generated project, read as GitHub reads them, and their steps run on this machine."""

import os
import re
from pathlib import Path
from typing import Any

import yaml

from tests.answers import PROJECT
from tests.machine import run

FOLDER = PROJECT / ".github" / "workflows"


def workflow(name: str) -> dict[str, Any]:
    """Return a workflow; YAML 1.1 takes its key `on` for true."""
    found = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    found["on"] = found.pop(True)
    return found


def workflows() -> dict[str, dict[str, Any]]:
    """Return every workflow by the name of its file."""
    return {path.name: workflow(path.name) for path in sorted(FOLDER.iterdir())}


def step(name: str, job: str, title: str) -> dict[str, Any]:
    """Return the step of a job by its name."""
    (found,) = (each for each in workflow(name)["jobs"][job]["steps"] if each.get("name") == title)
    return found


def run_step(text: str, cwd: Path, *, expect: int = 0, **environment: str) -> str:
    """Run a step's text as GitHub does, and return what it printed on both streams."""
    words = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", text]
    return run(*words, cwd=cwd, expect=expect, **environment)


def path_with(folder: Path) -> str:
    """Return a PATH on which the programs of a folder come first."""
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def expressions(text: str) -> list[str]:
    """Return what stands in the expressions of a text."""
    return [found.strip() for found in re.findall(r"\$\{\{(.*?)\}\}", text)]
