"""Answers are data: refused in plain words, or whole in every file that shows them; nothing is run."""

import io
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import environ
import pytest
from cookiecutter.exceptions import FailedHookException
from cookiecutter.main import cookiecutter
from cookiecutter.utils import create_env_with_context
from dotenv import dotenv_values
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tests.answers import PROJECT, PROMPTS
from tests.conftest import Bake
from tests.hook import GOOD, config_in, refusals

HARMLESS = [
    "$(touch canary)",
    "`touch canary`",
    "; touch canary #",
    "a # b",
    "#",
    "$HOME",
    "$",
    "100% & more; <b>",
    "</title><script>alert(1)</script>",
    "<!-- --> --",
    'The "Pub"',
    '"a" or b',
    "O'Neil",
    "'quoted'",
    "it's 5! # isn't it?",
    "*bold* _x_ ~~y~~ [link](u) ![i](u) &amp;",
    "C#",
    "Site #",
    "- item",
    "1. item",
    "=",
    "a=b",
    "export A=b",
    "{x}",
    "}} %}",
    "%(x)s",
    "사진 갤러리",
    "写真館",
    "שלום עולם",
    "صور",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308",
    " spaces around ",
    "two  spaces",
    "caf\u00e9 cafe\u0301 \u00a0x",
]
REFUSED = [
    "\\",
    "C:\\temp",
    "a\nTOUCH=1",
    "a\rb",
    "a\tb",
    "a\x00b",
    "a\u2028b",
    "a\u2029b",
    "a\x85b",
    "a\u202eb",
]
REFUSED += ["${HOME}", "it's $HOME", 'it\'s "x"', "it's `x`", '"x"', '""', "\ud83d", "\u2067x"]
REFUSED += ["{" + rest for rest in ("{ 7*7 }}", "% raw %}", "# x #}", "{")]

EXAMPLE = (PROJECT / ".env.example").read_text(encoding="utf-8")
RENDER = create_env_with_context({}).from_string(EXAMPLE).render


def by_environ(path: Path) -> str:
    reader = type("Reader", (environ.Env,), {"ENVIRON": {}})
    reader.read_env(path)
    return str(reader.ENVIRON["DJANGO_SITE_NAME"])


def by_dotenv(path: Path) -> str | None:
    return dotenv_values(path)["DJANGO_SITE_NAME"]


def by_shell(shell: str) -> Callable[[Path], str]:
    def read(path: Path) -> str:
        code = f'set -eu; . {shlex.quote(str(path))}; printf %s "$DJANGO_SITE_NAME"'
        return subprocess.run(
            [shell, "-c", code], cwd=path.parent, check=True, capture_output=True
        ).stdout.decode()

    return read


READERS = {
    "django-environ": by_environ,
    "python-dotenv": by_dotenv,
    "bash": by_shell("bash"),
    "sh": by_shell("sh"),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_harmless_name_is_read_whole_by_every_reader(tmp_path: Path, name: str) -> None:
    assert refusals(project_name=name) == []
    path = tmp_path / ".env"
    path.write_text(RENDER(cookiecutter=GOOD | {"project_name": name}), encoding="utf-8")
    assert {reader: read(path) for reader, read in READERS.items()} == dict.fromkeys(READERS, name)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", REFUSED)
def test_the_rest_is_refused_with_a_name_that_passes(name: str) -> None:
    found = refusals(project_name=name)
    assert found
    assert all(answer == "project_name" and message.isprintable() for answer, message, _ in found)
    assert refusals(project_name=found[0][2]) == []


TRICKY = "'\"\\$`!#;&|<>(){}[]*?~%=-, \t\n\r\x00\x85\u2028\u202e\u00a0\ufeff"
TRICKY += "aB7\u00e9\u0301\uc0ac\u05e9\U0001f600\u200d"


@given(st.one_of(st.text(TRICKY, max_size=8), st.text(max_size=110)))
@example('"x"')
@example("'${x}'")
def test_any_name_is_refused_or_read_whole(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    found = refusals(project_name=name)
    if found:
        assert refusals(project_name=found[0][2]) == []
        return
    path = tmp_path_factory.getbasetemp() / "any.env"
    path.write_text(RENDER(cookiecutter=GOOD | {"project_name": name}), encoding="utf-8")
    assert by_environ(path) == name
    assert by_dotenv(path) == name


@given(st.text())
def test_any_folders_name_is_refused_or_plain(slug: str) -> None:
    found = refusals(project_slug=slug)
    assert found or re.fullmatch(r"[a-z0-9]([a-z0-9_-]{0,48}[a-z0-9])?", slug)
    assert not found or refusals(project_slug=found[0][2]) == []


ALL_AT_ONCE = [
    '</title>$(touch canary)`touch canary`; #1 "x" & <b> *b* _i_ [l](u) ~s~ $HOME 사진 שלום \U0001f600',
    "O'Neil's </title>; touch canary # & <b> *b* _i_ [l](u) ~s~ 写真 صور \U0001f468\u200d\U0001f467!",
]


@pytest.mark.parametrize("name", ALL_AT_ONCE)
def test_a_name_arrives_whole_in_every_file(bake: Bake, name: str) -> None:
    project = bake(project_name=name, project_slug="whole")
    assert {reader: read(project / ".env") for reader, read in READERS.items()} == dict.fromkeys(
        READERS, name
    )
    tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    assert heading((project / "README.md").read_text(encoding="utf-8")) == name
    assert "canary" not in {
        path.name for folder in (project.parent, Path.cwd()) for path in folder.rglob("canary")
    }
    for path in project.rglob("*"):
        if path.is_file() and path.name not in {".env", ".env.example", "README.md"}:
            assert b"canary" not in path.read_bytes(), path


def heading(markdown: str) -> str:
    """Return the text of the first heading as a reader of the page sees it."""
    tokens = MarkdownIt("commonmark").enable("strikethrough").parse(markdown)
    assert [token.tag for token in tokens[:3]] == ["h1", "", "h1"]
    children = tokens[1].children or []
    assert {child.type for child in children} <= {"text", "text_special"}
    return "".join(child.content for child in children)


README = create_env_with_context({}).from_string((PROJECT / "README.md").read_text(encoding="utf-8")).render


@pytest.mark.parametrize("name", HARMLESS)
def test_the_readme_shows_the_name(name: str) -> None:
    assert heading(README(cookiecutter=GOOD | {"project_name": name})) == name.strip()


def typed(monkeypatch: pytest.MonkeyPatch, template: Path, tmp_path: Path, **answers: str) -> str:
    """Run cookiecutter with these answers typed at the prompts, and Enter pressed at the others."""
    lines = "".join(f"{answers.get(name, '')}\n" for name in PROMPTS)
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    config = tmp_path / "config"
    config.mkdir()
    return cookiecutter(str(template), output_dir=str(tmp_path / "out"), config_file=str(config_in(config)))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{{ 7*7 }}", "project_name: '{{ 7*7 }}' has {{, which cookiecutter takes for code. Try 7*7"),
        ("{% include '/etc/passwd' %}", "which cookiecutter takes for code. Try % include '/etc/passwd' %"),
        ("a\\b", r"project_name: 'a\\b' has a backslash"),
    ],
)
def test_code_typed_at_the_prompt_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    template: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    name: str,
    message: str,
) -> None:
    with pytest.raises(FailedHookException):
        typed(monkeypatch, template, tmp_path, project_name=name)
    assert message in capfd.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_an_answer_typed_at_the_prompt_is_not_run(
    monkeypatch: pytest.MonkeyPatch, template: Path, tmp_path: Path
) -> None:
    name = '$(touch canary) `touch canary`; # </title> "x" %s [bold]사진[/bold]'
    project = Path(
        typed(monkeypatch, template, tmp_path, project_name=name, project_slug="typed", media_access="3")
    )
    assert by_environ(project / ".env") == name
    assert "\nAWS_MEDIA_ACCESS=public-policy\n" in (project / ".env").read_text(encoding="utf-8")
    assert not [*tmp_path.rglob("canary")]


@pytest.mark.parametrize("answer", ["project_slug", "aws_region", "static_bucket_name", "media_bucket_name"])
@pytest.mark.parametrize(
    "value", ["$(touch canary)", "a;b", "a#b", "'", '"', "\\", "a\nb", "{{ 7*7 }}", "</title>", "사진"]
)
def test_no_other_answer_takes_more_than_names(answer: str, value: str) -> None:
    assert {name for name, _, _ in refusals(**{answer: value})} == {answer}
