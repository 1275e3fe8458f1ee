"""Answers are data: they are rejected, or arrive unchanged in every file that contains them, and never run."""

import importlib.util
import io
import marshal
import os
import re
import shlex
import shutil
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
from tests.hook import GOOD, config_in, rejections

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
REJECTED = [
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
REJECTED += ["${HOME}", "it's $HOME", 'it\'s "x"', "it's `x`", '"x"', '""', "\ud83d", "\u2067x"]
REJECTED += ["{" + rest for rest in ("{ 7*7 }}", "% raw %}", "# x #}", "{")]

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
def test_every_reader_gets_a_harmless_name_unchanged(tmp_path: Path, name: str) -> None:
    assert rejections(project_name=name) == []
    path = tmp_path / ".env"
    path.write_text(RENDER(cookiecutter=GOOD | {"project_name": name}), encoding="utf-8")
    assert {reader: read(path) for reader, read in READERS.items()} == dict.fromkeys(READERS, name)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", REJECTED)
def test_other_names_are_rejected_with_a_valid_suggestion(name: str) -> None:
    found = rejections(project_name=name)
    assert found
    assert all(answer == "project_name" and message.isprintable() for answer, message, _ in found)
    assert rejections(project_name=found[0][2]) == []


TRICKY = "'\"\\$`!#;&|<>(){}[]*?~%=-, \t\n\r\x00\x85\u2028\u202e\u00a0\ufeff"
TRICKY += "aB7\u00e9\u0301\uc0ac\u05e9\U0001f600\u200d"


@given(st.one_of(st.text(TRICKY, max_size=8), st.text(max_size=110)))
@example('"x"')
@example("'${x}'")
def test_any_name_is_rejected_or_unchanged(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    found = rejections(project_name=name)
    if found:
        assert rejections(project_name=found[0][2]) == []
        return
    path = tmp_path_factory.getbasetemp() / "any.env"
    path.write_text(RENDER(cookiecutter=GOOD | {"project_name": name}), encoding="utf-8")
    assert by_environ(path) == name
    assert by_dotenv(path) == name


@given(st.text())
def test_any_folder_name_is_rejected_or_plain(slug: str) -> None:
    found = rejections(project_slug=slug)
    assert found or re.fullmatch(r"[a-z0-9]([a-z0-9_-]{0,48}[a-z0-9])?", slug)
    assert not found or rejections(project_slug=found[0][2]) == []


ALL_AT_ONCE = [
    '</title>$(touch canary)`touch canary`; #1 "x" & <b> *b* _i_ [l](u) ~s~ $HOME 사진 שלום \U0001f600',
    "O'Neil's </title>; touch canary # & <b> *b* _i_ [l](u) ~s~ 写真 صور \U0001f468\u200d\U0001f467!",
]


@pytest.mark.parametrize("name", ALL_AT_ONCE)
def test_a_name_is_unchanged_in_every_file(bake: Bake, name: str) -> None:
    project = bake(project_name=name, project_slug="whole")
    assert {reader: read(project / ".env") for reader, read in READERS.items()} == dict.fromkeys(
        READERS, name
    )
    tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    assert heading((project / "README.md").read_text(encoding="utf-8")) == name
    assert [*project.parent.rglob("canary"), *Path.cwd().glob("canary")] == []
    for path in project.rglob("*"):
        if path.is_file() and path.name not in {".env", ".env.example", "README.md"}:
            assert b"canary" not in path.read_bytes(), path


def heading(markdown: str) -> str:
    """Return the text of the first heading as rendered."""
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
    """Run cookiecutter, type these answers at the prompts, and press Enter at the others."""
    lines = "".join(f"{answers.get(name, '')}\n" for name in PROMPTS)
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    config = tmp_path / "config"
    config.mkdir()
    return cookiecutter(str(template), output_dir=str(tmp_path / "out"), config_file=str(config_in(config)))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{{ 7*7 }}", "project_name: '{{ 7*7 }}' has {{, which cookiecutter treats as code. Try 7*7"),
        ("{% include '/etc/passwd' %}", "which cookiecutter treats as code. Try % include '/etc/passwd' %"),
        ("a\\b", r"project_name: 'a\\b' has a backslash"),
    ],
)
def test_code_typed_at_the_prompt_is_rejected(
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
def test_other_answers_accept_only_names(answer: str, value: str) -> None:
    assert {name for name, _, _ in rejections(**{answer: value})} == {answer}


def bytecode(source: Path, code: str) -> None:
    """Write bytecode for a source file that Python loads without checking the source."""
    cached = Path(importlib.util.cache_from_source(str(source)))
    cached.parent.mkdir(parents=True, exist_ok=True)
    compiled = marshal.dumps(compile(code, str(source), "exec"))
    cached.write_bytes(importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + bytes(8) + compiled)


@pytest.mark.parametrize("options", [[], ["--skip-if-file-exists"]])
@pytest.mark.parametrize("python_path", ["", "."])
def test_hooks_run_no_code_from_the_projects_folder(
    template: Path, tmp_path: Path, options: list[str], python_path: str
) -> None:
    mark, project, copy = tmp_path / "mark", tmp_path / "out" / "my-site", tmp_path / "template"
    code = f"open({str(mark)!r}, 'a').write(__file__ + '\\n')"
    modules = ["argparse", "base64", "difflib", "json", "runpy", "secrets", "shlex", "shutil", "tomllib"]
    modules += ["unicodedata", "zipfile", "wheel", "s3kit"]
    modules += (
        [] if python_path else ["sitecustomize", "usercustomize"]
    )  # Python runs these before every hook
    for folder in (project, project / "vendor", project / "vendor" / "src", project / "hooks"):
        for module in modules:
            (folder / module).mkdir(parents=True)
            (folder / module / "__init__.py").write_text(code, encoding="utf-8")
            bytecode(folder / f"{module}.py", code)
    (project / "vendor" / "wheel.py").write_text(code, encoding="utf-8")
    shutil.copytree(template, copy, symlinks=True)
    # Bytecode that Python, or an attacker, wrote to the targets of the links in the template's vendor/.
    for name in ("__init__", "naming/__init__", "naming/regions", "naming/buckets", "../../wheel"):
        bytecode(copy / "library" / "src" / "s3kit" / f"{name}.py", code)
    bytecode(copy / "hooks" / "post_gen_project.py", code)
    config = tmp_path / "config"
    config.mkdir()
    command = [
        sys.executable,
        "-m",
        "cookiecutter",
        "--no-input",
        "-f",
        *options,
        "-o",
        tmp_path / "out",
        copy,
    ]
    done = subprocess.run(
        [*command, "project_slug=my-site"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": python_path, "COOKIECUTTER_CONFIG": str(config_in(config))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not mark.exists(), mark.read_text(encoding="utf-8")
    assert len([*project.glob("vendor/*.whl")]) == 1
    assert not (project / "vendor" / "wheel.py").exists()


def test_sources_are_not_written_through_links(template: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    (mine / "src").mkdir(parents=True)
    (mine / "src" / "a.py").touch()
    (tmp_path / "out" / "my-site").mkdir(parents=True)
    (tmp_path / "out" / "my-site" / "vendor").symlink_to(mine)
    with pytest.raises(FailedHookException):
        cookiecutter(
            str(template),
            no_input=True,
            overwrite_if_exists=True,
            output_dir=str(tmp_path / "out"),
            default_config=True,
            extra_context={"project_slug": "my-site"},
        )
    assert [path.name for path in mine.rglob("*")] == ["src", "a.py"]
