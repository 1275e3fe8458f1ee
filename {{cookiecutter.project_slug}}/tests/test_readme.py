"""What README.md says about variables is what the settings read, and what it says of s3/ is what is there."""

import os
import re
import runpy
from pathlib import Path
from unittest import mock

from config.env import Env

ROOT = Path(__file__).resolve().parent.parent


class Recorder(dict[str, str]):
    """An environment that remembers which variables were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self.asked.add(str(name))
        return super().__contains__(name)

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
        self.asked.add(name)
        return super().get(name, default)


def variables_that_settings_read() -> set[str]:
    recorder = Recorder()

    def load(_file: Path) -> Env:
        Env.ENVIRON = recorder
        return Env()

    before = Env.ENVIRON
    try:
        with mock.patch.object(Env, "load", load):
            runpy.run_path(str(ROOT / "config" / "settings.py"))
    finally:
        Env.ENVIRON = before
    return recorder.asked


def table() -> list[tuple[str, str, str]]:
    rows = re.findall(
        r"^\| `([A-Z0-9_]+)` \| (.+?) \| (.+?) \|$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE
    )
    assert rows
    return rows


def test_every_variable_is_in_the_table_once() -> None:
    names = [name for name, _default, _meaning in table()]
    assert len(names) == len(set(names))
    assert set(names) == variables_that_settings_read() | {"DJANGO_ENV_FILE"}


def test_every_variable_of_the_example_is_in_the_table() -> None:
    example = (ROOT / ".env.example").read_text("utf-8")
    names = set(re.findall(r"^(?:# )?([A-Z0-9_]+)=", example, re.MULTILINE))
    assert names
    assert names <= {name for name, _default, _meaning in table()}


def test_plain_defaults_are_those_of_the_settings() -> None:
    with mock.patch.dict(os.environ, {"DJANGO_ENV_FILE": os.devnull}, clear=True):
        settings = runpy.run_path(str(ROOT / "config" / "settings.py"))
    for name, default, _meaning in table():
        value = settings.get(name.removeprefix("DJANGO_"), settings.get(name))
        plain = re.fullmatch(r"`([^`]+)`", default)
        if plain and name != "DJANGO_ENV_FILE":
            assert str(value) == plain[1], name
        elif default == "none":
            assert not value, name


def modules() -> list[tuple[str, str]]:
    """Return what the list on s3/ names, modules and folders, each with its words."""
    text = (
        (ROOT / "README.md").read_text("utf-8").partition("\nIn `s3/`, by idea:\n")[2].partition("\n## ")[0]
    )
    return re.findall(r"`([a-z0-9_]+(?:\.py|/))` \(([^)]+)\)", text)


def test_every_module_of_s3_is_named_once() -> None:
    top = (ROOT / "s3").iterdir()
    folders = [f"{path.name}/" for path in top if path.is_dir() and any(path.rglob("*.py"))]
    files = [path.name for path in (ROOT / "s3").glob("*.py") if path.name != "__init__.py"]
    assert len(files) > 20
    assert sorted(name for name, _words in modules()) == sorted(folders + files)


def test_each_module_is_told_in_a_few_words() -> None:
    assert {name: words for name, words in modules() if not 3 <= len(words.split()) <= 6} == {}
