"""Invalid answers are rejected immediately, with a command that works, and no files are left behind."""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.exceptions import FailedHookException
from cookiecutter.generate import generate_files
from cookiecutter.main import cookiecutter

from tests.answers import FIXED, PROMPTS, QUESTIONS, ROOT
from tests.hook import GOOD, RULES, config_in, post_gen, pre_gen, rejections, tree
from tests.machine import clean_environment

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def shell(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a function that runs a command line in a folder with a user's shell."""
    environment = os.environ | {
        "COOKIECUTTER_CONFIG": str(config_in(tmp_path_factory.mktemp("config"))),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }

    def run(line: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
        variables = environment | {"PWD": str(folder)} | more
        return subprocess.run(["bash", "-c", line], cwd=folder, env=variables, capture_output=True, text=True)

    return run


@pytest.fixture
def generate(template: Path, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Callable[..., str]:
    """Return a function that runs cookiecutter in this process, with tmp_path as the output folder."""
    config = str(config_in(tmp_path_factory.mktemp("config")))

    def run(source: Path = template, **options: Any) -> str:
        if "replay" not in options:
            options["extra_context"] = FIXED | options.get("extra_context", {})
            options["no_input"] = True
        return cookiecutter(str(source), config_file=config, output_dir=str(tmp_path), **options)

    return run


def pasted(stderr: str) -> str:
    """Return the command that a rejection prints."""
    [line] = [line for line in stderr.splitlines() if line.startswith("  cookiecutter ")]
    return line.strip()


def test_the_hooks_and_cookiecutter_json_have_the_same_answers() -> None:
    assert list(post_gen.ANSWERS) == PROMPTS
    choices = {name: tuple(QUESTIONS[name]) for name in PROMPTS if isinstance(QUESTIONS[name], list)}
    assert choices == post_gen.CHOICES


def test_hooks_run_on_every_python_that_cookiecutter_runs_on() -> None:
    naming = ROOT / "library" / "src" / "s3kit" / "naming"
    for path in [*(ROOT / "hooks").glob("*.py"), *naming.glob("*.py"), naming.parent / "__init__.py"]:
        imported = [
            node
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10)))
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        names = {
            alias.name if isinstance(node, ast.Import) else node.module
            for node in imported
            for alias in node.names
        }
        assert {str(name).split(".")[0] for name in names} <= sys.stdlib_module_names | {"s3kit"}, path


def test_valid_answers_are_not_rejected() -> None:
    assert rejections() == []
    assert rejections(media_bucket_name=GOOD["static_bucket_name"]) == []
    assert rejections(aws_region="us-east-3") == []


BAD = [
    ({"project_name": ""}, ["is 0 characters long; 1 to 100", "no visible character"], "My Site"),
    ({"project_name": "x" * 101}, ["is 101 characters long; 1 to 100"], "x" * 100),
    ({"project_name": " \u200b\u3164 "}, ["no visible character"], "My Site"),
    ({"project_name": "a\nb"}, ["invisible characters"], "a b"),
    ({"project_name": "a\x1b[31mb"}, ["invisible characters"], "a [31mb"),
    ({"project_name": "a\u2028b"}, ["invisible characters"], "a b"),
    ({"project_name": "a\ud800b"}, ["invisible characters"], "a b"),
    ({"project_name": "a\u202eb"}, ["invisible characters"], "a b"),
    ({"project_name": "a\uffffb"}, ["invisible characters"], "a b"),
    ({"project_name": "a\\b"}, ["a backslash"], "ab"),
    ({"project_name": "${HOME}"}, ["${"], "$HOME"),
    ({"project_name": "{{ 7*7 }}"}, ["has {{, which cookiecutter treats as code"], "7*7"),
    ({"project_name": "{% raw %}"}, ["has {%, which cookiecutter"], "% raw %"),
    ({"project_name": "{# x #}"}, ["has {#, which cookiecutter"], "# x #"),
    ({"project_name": "O'Neil's \"Pub\""}, ["apostrophe together with"], 'O\u2019Neil\u2019s "Pub"'),
    ({"project_name": "it's $5"}, ["apostrophe together with"], "it\u2019s $5"),
    ({"project_name": "it's `x`"}, ["apostrophe together with"], "it\u2019s `x`"),
    ({"project_name": '"Pub"'}, ['begins and ends with "'], "\u201cPub\u201d"),
    ({"project_slug": ""}, ["is 0 characters long; 1 to 50"], "my-site"),
    ({"project_slug": "a" * 51}, ["is 51 characters long; 1 to 50"], "a" * 50),
    ({"project_slug": "My Site"}, ["characters other than a-z, 0-9, -, and _"], "my-site"),
    ({"project_slug": "my-site\n"}, ["characters other than"], "my-site"),
    ({"project_slug": "../x"}, ["characters other than"], "x"),
    ({"project_slug": "사진"}, ["characters other than"], "my-site"),
    ({"project_slug": "-a_"}, ["must begin and end with"], "a"),
    ({"aws_region": "us_east_1"}, ["write it with hyphens"], "us-east-1"),
    ({"aws_region": "us-east-1a"}, ["is an availability zone"], "us-east-1"),
    ({"aws_region": "Seoul"}, ["a place, not a region"], "ap-northeast-2"),
    ({"aws_region": "EU-Central-1"}, ["write it in lowercase"], "eu-central-1"),
    ({"aws_region": "us-esat-1"}, ["no direction 'esat'"], "us-east-1"),
    ({"aws_region": "mars"}, ["is not a region"], None),
    (
        {"static_bucket_name": "My_Bucket"},
        ["contains 'M', '_', 'B'; only a-z, 0-9, and - are allowed"],
        "my-bucket",
    ),
    ({"media_bucket_name": "a.b.c"}, ["has a dot"], "a-b-c"),
    ({"media_bucket_name": ".x"}, ["2 characters long", "begin and end", "has a dot"], "x-bucket"),
    (
        {"media_bucket_name": "photos-123456789012-us-east-1-an"},
        ["names the region 'us-east-1', but its region is 'eu-central-1'"],
        "photos-123456789012-eu-central-1-an",
    ),
    ({"media_access": "Public-Read"}, ["is not one of private, public-read, public-policy"], "public-read"),
    ({"media_access": "everyone"}, ["is not one of"], None),
    ({"django_version": "4.2"}, ["is not one of 5.2, 6.1"], "5.2"),
    *(({name: None}, ["is not text"], None) for name in PROMPTS),
    *(({name: ["a"]}, ["is not text"], None) for name in PROMPTS),
    ({"project_name": 7}, ["is not text"], None),
]


@pytest.mark.parametrize(("answers", "messages", "suggestion"), BAD)
def test_an_invalid_answer_is_rejected_with_reasons_and_a_suggestion(
    answers: dict[str, Any], messages: list[str], suggestion: str | None
) -> None:
    [name] = answers
    found = rejections(**answers)
    assert [answer for answer, _, _ in found] == [name] * len(messages)
    for (_, message, near), part in zip(found, messages, strict=True):
        assert part in message
        assert near == suggestion
    if suggestion is not None:
        assert rejections(**{name: suggestion}) == []


@pytest.mark.parametrize("answers", [answers for answers, _, _ in BAD])
def test_each_reason_is_one_printable_line(answers: dict[str, Any]) -> None:
    found = post_gen.check(GOOD | answers, *RULES)
    lines = post_gen.report("Stop.", found, GOOD | answers).strip("\n").split("\n")
    assert all(line.isprintable() and len(line) < 400 for line in lines)
    assert [line.split(":")[0] for line in lines[2:-3]] == [f"  {rejection.answer}" for rejection in found]


def test_a_missing_answer_is_a_rejection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post_gen, "caller", lambda _: ["cookiecutter"])
    found = post_gen.check({}, *RULES)
    assert [(rejection.answer, rejection.message) for rejection in found] == [
        (name, "is missing") for name in PROMPTS
    ]
    assert post_gen.command(found, {}) == f"cookiecutter {post_gen.TEMPLATE}"


def test_a_region_in_a_bucket_name_is_compared_only_with_a_valid_region() -> None:
    name = "photos-123456789012-us-east-1-an"
    for region in ("us_east_1", "mars"):
        assert [answer for answer, _, _ in rejections(aws_region=region, media_bucket_name=name)] == [
            "aws_region"
        ]


def test_different_names_get_different_suggestions() -> None:
    suggestions = {
        name: suggestion
        for name, _, suggestion in rejections(static_bucket_name="사진", media_bucket_name="그림")
    }
    assert suggestions == {"static_bucket_name": "my-bucket", "media_bucket_name": "my-bucket-media"}
    suggestions = {
        name: suggestion
        for name, _, suggestion in rejections(static_bucket_name="사진", media_bucket_name="사진")
    }
    assert suggestions == {"static_bucket_name": "my-bucket", "media_bucket_name": "my-bucket"}
    blank = {
        name: suggestion for name, _, suggestion in rejections(static_bucket_name="", media_bucket_name="")
    }
    assert blank == {"static_bucket_name": "my-bucket", "media_bucket_name": "my-bucket-media"}


def test_all_problems_are_reported_at_once_and_the_command_can_be_pasted(
    shell: Run, template: Path, tmp_path: Path
) -> None:
    here, shared = tmp_path / "it's here", tmp_path / "shared"
    here.mkdir()
    bad = {
        "project_name": "O'Neil's \"Pub\"",
        "aws_region": "us_east_1",
        "static_bucket_name": "My_Bucket\x07",
    }
    words = shlex.join(f"{name}={value}" for name, value in bad.items())
    source = os.path.relpath(template, here)
    line = f"cookiecutter --no-input {source} -o sub/out project_slug=pub django_version=6.1 {words}"
    done = shell(f"{line} media_bucket_name={'x' * 2000}", here)
    assert done.returncode == 1
    assert list(here.rglob("*")) == [here / "sub", here / "sub/out"]
    told = done.stderr.split("-" * 72)[1].strip("\n").split("\n")
    [static] = set(re.findall(r"pub-static-[a-z]{6}", done.stderr))  # the default, with a random suffix
    assert told[:-1] == [
        "Nothing was written. These answers need another value:",
        "  project_name: 'O\\'Neil\\'s \"Pub\"' has an apostrophe together with \", $, or `; "
        'a typographic apostrophe (\u2019) is fine. Try O\u2019Neil\u2019s "Pub"',
        "  aws_region: 'us_east_1' is not a region: write it with hyphens, not underscores. Try us-east-1",
        "  static_bucket_name: 'My_Bucket\\x07' contains 'M', '_', 'B', '\\x07'; "
        f"only a-z, 0-9, and - are allowed (lowercase only). Try {static}",
        "  static_bucket_name: 'My_Bucket\\x07' must begin and end with a letter or a digit (a-z, 0-9). "
        f"Try {static}",
        f"  media_bucket_name: '{'x' * 65}... is 2000 characters long; 3 to 63 are allowed. "
        f"Try {'x' * 40}-{'x' * 22}",
        "Run the command again with these values:",
    ]
    command = pasted(done.stderr)
    assert shlex.split(command)[:4] == ["cookiecutter", source, "--output-dir", str(here / "sub/out")]

    # Hooks run in the temporary folder, where other users can write. Nothing there may be imported.
    shared.mkdir()
    for name in ("json", "re", "secrets", "importlib", "s3kit", "wheel"):
        (shared / f"{name}.py").write_text(f"raise SystemExit('{name}.py was run')", encoding="utf-8")
    again = shell(command, here, TMPDIR=str(shared))
    assert again.returncode == 0, again.stderr
    assert "  cd sub/out/pub\n  make run\n" in again.stdout
    project = here / "sub/out/pub"
    written = (project / ".env").read_text(encoding="utf-8")
    assert "\nDJANGO_SITE_NAME='O\u2019Neil\u2019s \"Pub\"'\n" in written
    assert "\nAWS_S3_REGION_NAME=us-east-1\n" in written
    assert f"\nAWS_STATIC_BUCKET_NAME={static}\n" in written
    assert "django~=6.1" in (project / "pyproject.toml").read_text(encoding="utf-8")


def test_the_command_names_the_version_and_only_what_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PWD", str(tmp_path))
    answers = GOOD | {
        "_template": "gh:me/mine",
        "_checkout": "v1 x",
        "_output_dir": str(tmp_path),
        "__private": "x",
    }
    monkeypatch.setattr(post_gen, "caller", lambda _: ["cookiecutter"])
    words = ["cookiecutter", "gh:me/mine", "--checkout", "v1 x"]
    given = [f"{name}={GOOD[name]}" for name in PROMPTS]
    assert shlex.split(post_gen.command([], answers)) == [*words, "--no-input", *given]
    # An answer without a suggestion needs a prompt, so cookiecutter asks for all of them.
    rejected = [post_gen.Rejection("aws_region", "is not a region", None)]
    given.remove(f"aws_region={GOOD['aws_region']}")
    assert shlex.split(post_gen.command(rejected, answers)) == [*words, *given]
    assert "press Enter to keep an answer" in post_gen.report("Stop.", rejected, answers)
    monkeypatch.delenv("PWD")
    assert f"--output-dir {tmp_path} " in post_gen.command([], answers)


RANDOM = {"__bucket_prefix": "pub", "__bucket_suffix": "k3v9qz"}


def test_suggestion_for_an_unusable_bucket_name_is_the_default() -> None:
    suggestions = {
        n: c for n, _, c in rejections(**RANDOM, static_bucket_name="사진", media_bucket_name="My_Bucket")
    }
    assert suggestions == {
        "static_bucket_name": "pub-static-k3v9qz",
        "media_bucket_name": "pub-media-k3v9qz",
    }
    suggestions = {
        n: c for n, _, c in rejections(**RANDOM, static_bucket_name="사진", media_bucket_name="사진")
    }
    assert set(suggestions.values()) == {"pub-static-k3v9qz"}  # the user meant one bucket
    blank = [each[2] for each in rejections(**RANDOM, static_bucket_name="", media_bucket_name="")]
    assert {*blank} == {"pub-static-k3v9qz", "pub-media-k3v9qz"}
    assert rejections(**RANDOM, media_bucket_name="My_Photos")[0][2] == "my-photos"
    broken = RANDOM | {"__bucket_suffix": "$(x)"}
    assert rejections(**broken, media_bucket_name="사진")[0][2] == "my-bucket"


PYTHON_M = [sys.executable, "-m", "cookiecutter"]
UVX = ["uvx", "--from", "cookiecutter", "--with", "cookiecutter", "cookiecutter"]
CALLERS = [PYTHON_M, pytest.param(UVX, marks=pytest.mark.slow), ["cookiecutter"]]


@pytest.mark.parametrize("caller", CALLERS, ids=["python -m", "uvx", "cookiecutter"])
def test_the_command_begins_like_the_users_command(
    shell: Run, template: Path, tmp_path: Path, caller: list[str]
) -> None:
    (tmp_path / "my-site").mkdir()
    (tmp_path / "my-site" / "mine.txt").touch()
    path = os.pathsep.join([str(Path(sys.executable).parent), clean_environment()["PATH"]])
    line = shlex.join([*caller, "--no-input", "-f", str(template), "project_slug=my-site"])
    done = shell(f"{line} aws_region=Seoul", tmp_path, PATH=path)
    start = f"  {shlex.join([*caller, str(template)])} --overwrite-if-exists --no-input "
    [command] = [line for line in done.stderr.splitlines() if line.startswith(start)]
    again = shell(command, tmp_path, PATH=path)
    assert again.returncode == 0, again.stderr
    written = (tmp_path / "my-site" / ".env").read_text(encoding="utf-8")
    assert "\nAWS_S3_REGION_NAME=ap-northeast-2\n" in written


def test_the_command_runs_even_if_the_caller_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "getppid", lambda: 0)  # as on systems without /proc
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert post_gen.caller({}) == PYTHON_M
    assert post_gen.caller({"_commit": "1"}) == [sys.executable, "-m", "cruft", "create"]
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert post_gen.caller({}) == ["cookiecutter"]
    monkeypatch.setattr(sys, "prefix", "/home/me/.cache/uv/archive-v0/x1")
    assert post_gen.caller({}) == ["uvx", "cookiecutter"]


def test_an_existing_project_is_unchanged(generate: Callable[..., str], tmp_path: Path) -> None:
    project = Path(generate())
    (project / "mine.txt").write_text("mine", encoding="utf-8")
    (project / "manage.py").write_text("changed", encoding="utf-8")
    before = tree(tmp_path)
    with pytest.raises(FailedHookException):
        generate(extra_context={"aws_region": "us_east_1"}, overwrite_if_exists=True)
    assert tree(tmp_path) == before


def test_post_gen_rejects_invalid_answers_without_pre_gen(
    generate: Callable[..., str],
    template: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    capfd: pytest.CaptureFixture[str],
) -> None:
    copy = tmp_path_factory.mktemp("copy") / "template"
    shutil.copytree(template, copy, symlinks=True)
    (copy / "hooks" / "pre_gen_project.py").unlink()
    with pytest.raises(FailedHookException):
        generate(copy, extra_context={"aws_region": "us_east_1", "media_access": "private"})
    assert list(tmp_path.iterdir()) == []
    told = capfd.readouterr().err
    assert "The run stopped. These answers need another value:\n  aws_region: 'us_east_1'" in told


def test_a_caller_without_private_variables_is_rejected_too(template: Path, tmp_path: Path) -> None:
    with pytest.raises(FailedHookException):
        generate_files(template, {"cookiecutter": GOOD | {"aws_region": "us_east_1"}}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_pre_gen_finds_the_template(template: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "getppid", lambda: 0)  # as on systems without /proc
    monkeypatch.setenv("PWD", str(template.parent))
    assert pre_gen.template_folder({"_repo_dir": str(template)}) == template
    assert pre_gen.template_folder({"_repo_dir": template.name}) == template
    assert pre_gen.template_folder({"_repo_dir": "elsewhere"}) is None
    assert pre_gen.template_folder({}) is None
    monkeypatch.setenv("PWD", str(template))
    assert pre_gen.template_folder({"_repo_dir": "."}) == template
    assert pre_gen.template_folder({}) is None
    monkeypatch.delenv("PWD")
    assert pre_gen.template_folder({"_repo_dir": "."}) is None
    relative = {"_repo_dir": template.name, "_output_dir": str(template.parent)}
    assert pre_gen.template_folder(relative) is None  # files in the output folder don't run
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks" / "post_gen_project.py").touch()
    assert pre_gen.template_folder({"_repo_dir": str(tmp_path)}) is None  # another template


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "media_access",
            "everyone",
            "media_access: 'everyone' is not one of private, public-read, public-policy",
        ),
        ("static_bucket_name", ["a"], "static_bucket_name: ['a'] is not text"),
        ("project_name", None, "project_name: None is not text"),
    ],
)
def test_a_replay_file_is_checked_too(
    generate: Callable[..., str],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    capfd: pytest.CaptureFixture[str],
    name: str,
    value: object,
    message: str,
) -> None:
    replay = tmp_path_factory.mktemp("replay") / "answers.json"
    private = {key: value for key, value in QUESTIONS.items() if key.startswith("_")}
    replay.write_text(json.dumps({"cookiecutter": private | GOOD | {name: value}}), encoding="utf-8")
    with pytest.raises(FailedHookException):
        generate(replay=str(replay))
    assert message in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_choice_on_the_command_line_is_rejected_by_cookiecutter(
    generate: Callable[..., str], tmp_path: Path
) -> None:
    with pytest.raises(
        ValueError, match="everyone provided for choice variable media_access, but the choices are"
    ):
        generate(extra_context={"media_access": "everyone"})
    assert list(tmp_path.iterdir()) == []


def test_unknown_region_prints_a_note_and_is_accepted(
    generate: Callable[..., str], capfd: pytest.CaptureFixture[str]
) -> None:
    project = Path(generate(extra_context={"aws_region": "us-east-3"}))
    told = capfd.readouterr()
    assert told.err.count("us-east-3") == 1
    assert "Note: this template doesn't know the region us-east-3. Did you mean us-east-1?" in told.err
    assert "\nAWS_S3_REGION_NAME=us-east-3\n" in (project / ".env").read_text(encoding="utf-8")


def test_hooks_write_no_bytecode_to_the_template(
    generate: Callable[..., str], template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    project = Path(generate())
    assert [*template.rglob("__pycache__"), *project.rglob("__pycache__")] == []
