"""The prompts, and which files are copied or rendered."""

from fnmatch import fnmatch
from pathlib import Path

from cookiecutter.generate import generate_context
from cookiecutter.prompt import prompt_for_config

from tests.answers import PROMPTS, QUESTIONS, RENDERED


def test_seven_prompts_in_the_order_of_the_design() -> None:
    assert PROMPTS == [
        "project_name",
        "project_slug",
        "aws_region",
        "static_bucket_name",
        "media_bucket_name",
        "media_access",
        "django_version",
    ]


def test_every_prompt_and_choice_has_a_text() -> None:
    sentences = QUESTIONS["__prompts__"]
    assert sorted(sentences) == sorted(PROMPTS)
    for name in PROMPTS:
        if isinstance(QUESTIONS[name], list):
            assert sorted(sentences[name]) == sorted(["__prompt__", *QUESTIONS[name]])
            for choice in QUESTIONS[name]:
                assert sentences[name][choice].startswith(f"{choice}: ")
            assert "?" in sentences[name]["__prompt__"]
        else:
            assert "?" in sentences[name]


def test_no_prompt_asks_for_a_person_or_a_secret() -> None:
    for name in QUESTIONS:
        assert not any(word in name for word in ("key", "secret", "token", "password", "author", "email"))


def test_all_files_except_three_are_copied(template: Path) -> None:
    project = template / "{{cookiecutter.project_slug}}"
    patterns = QUESTIONS["_copy_without_render"]
    for path in project.rglob("*"):
        name = path.relative_to(project).as_posix()
        copied = any(fnmatch(name, pattern) for pattern in patterns)
        # With --overwrite-if-exists, cookiecutter deletes a folder that it copies whole, with the user's files in it.
        assert copied == (name == "vendor/src" or (path.is_file() and name not in RENDERED)), name


def test_every_pattern_of_copied_files_has_a_file(template: Path) -> None:
    project = template / "{{cookiecutter.project_slug}}"
    names = [path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()]
    for pattern in QUESTIONS["_copy_without_render"]:
        assert any(fnmatch(name, pattern) for name in names), pattern


def test_defaults_differ_only_in_their_random_suffix(template: Path) -> None:
    context = generate_context(context_file=str(template / "cookiecutter.json"))
    answers = prompt_for_config(context, no_input=True)
    end = answers["__bucket_suffix"]
    assert len(end) == 6
    assert end.isascii()
    assert end.islower()
    assert answers["static_bucket_name"] == f"my-site-static-{end}"
    assert answers["media_bucket_name"] == f"my-site-media-{end}"
