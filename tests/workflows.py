"""Read a generated project's workflows as GitHub does, and run their steps on this machine."""

import os
import re
from pathlib import Path
from typing import Any

import yaml

from tests.answers import PROJECT
from tests.machine import run

FOLDER = PROJECT / ".github" / "workflows"


def workflow(name: str) -> dict[str, Any]:
    """Return a workflow. YAML 1.1 parses its key `on` as true."""
    found = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    found["on"] = found.pop(True)
    return found


def workflows() -> dict[str, dict[str, Any]]:
    """Return every workflow by file name."""
    return {path.name: workflow(path.name) for path in sorted(FOLDER.iterdir())}


def step(name: str, job: str, title: str) -> dict[str, Any]:
    """Return a job's step by name."""
    (found,) = (each for each in workflow(name)["jobs"][job]["steps"] if each.get("name") == title)
    return found


def run_step(text: str, cwd: Path, *, expect: int = 0, **environment: str) -> str:
    """Run a step's script as GitHub does, and return its stdout and stderr."""
    words = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", text]
    return run(*words, cwd=cwd, expect=expect, **environment)


def path_with(folder: Path) -> str:
    """Return a PATH that starts with a folder."""
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def expressions(text: str) -> list[str]:
    """Return the expressions in a text."""
    return [found.strip() for found in re.findall(r"\$\{\{(.*?)\}\}", text)]
