"""The hooks and the naming rules, imported from their source files, for tests that need no bake."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

from tests.answers import FIXED, QUESTIONS, ROOT


def load(name: str) -> ModuleType:
    """Import an unrendered hook, without writing bytecode to the template's folder."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "hooks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
post_gen = load("post_gen_project")
pre_gen = load("pre_gen_project")
with patch.dict(sys.modules):
    RULES: tuple[ModuleType, ModuleType] = post_gen.load_rules(ROOT / "library" / "src")
bucket_names, regions = RULES
sys.dont_write_bytecode = _before

GOOD = FIXED | {name: QUESTIONS[name][0] for name in ("media_access", "django_version")}


def rejections(**answers: Any) -> list[tuple[str, str, str | None]]:
    """Return the hooks' rejections of valid answers with some replaced."""
    return [tuple(rejection) for rejection in post_gen.check(GOOD | answers, *RULES)]


def config_in(folder: Path) -> Path:
    """Write a configuration that makes cookiecutter keep replay files and clones in the folder."""
    config = folder / "config.yaml"
    folders = {name: str(folder / name) for name in ("cookiecutters_dir", "replay_dir")}
    config.write_text(json.dumps(folders), encoding="utf-8")  # JSON is YAML
    return config


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file in a folder with its content, and every subfolder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
    }
