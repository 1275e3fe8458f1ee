"""For any site name, the answers derived from it are valid."""

from typing import Any
from unittest import mock

import pytest
from cookiecutter.generate import generate_context
from cookiecutter.prompt import prompt_for_config
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.answers import ROOT
from tests.hook import RULES, bucket_names, post_gen


def derived(**typed: str) -> dict[str, Any]:
    """Return the answers after typing some of them and accepting the other defaults."""
    with (
        mock.patch(
            "cookiecutter.prompt.read_user_variable", lambda name, default, *_: typed.get(name, default)
        ),
        mock.patch("cookiecutter.prompt.read_user_choice", lambda _, options, *__: options[0]),
    ):
        return dict(prompt_for_config(generate_context(context_file=str(ROOT / "cookiecutter.json"))))


def rejected(**typed: str) -> set[str]:
    """Return the names of the rejected answers."""
    return {rejection.answer for rejection in post_gen.check(derived(**typed), *RULES)}


NAMES = [
    "My Site",
    "x" * 80,
    "My Very Own Site " * 5,
    "사진 갤러리",
    "여든 글자를 넘는 긴 이름 " * 6,
    "写真館",
    "\U0001f4f7",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "O'Neil",
    'The "Pub"',
    "3 Blind Mice",
    "2026",
    "sthree",
    "sthree photos",
    "sthree_photos",
    "amzn s3 demo",
    "amzn-s3-demo",
    "amzn-s3-demo bucket",
    "xn--",
    "xn--bcher-kva",
    "Django",
    "s3alias",
    "a",
    "-",
    "___",
    "...",
    "$(id)",
    "../..",
    "con",
]


@pytest.mark.parametrize("name", NAMES)
def test_derived_answers_pass(name: str) -> None:
    assert rejected(project_name=name) == set()


@settings(max_examples=50)
@given(st.text(min_size=1, max_size=120))
@example("sthree")
@example("amzn s3 demo")
def test_derived_answers_pass_for_any_text(name: str) -> None:
    assert rejected(project_name=name) <= {"project_name"}


SLUGS = st.one_of(
    st.from_regex(r"[a-z0-9]([a-z0-9_-]{0,48}[a-z0-9])?", fullmatch=True),
    st.lists(
        st.sampled_from(["sthree", "amzn", "s3", "demo", "xn", "-", "_", "--", "an", "s3alias"]), min_size=1
    )
    .map("".join)
    .filter(lambda slug: not post_gen.slug_problems(slug)),
)


@settings(max_examples=50)
@given(SLUGS)
@example("sthree")
@example("sthree_x")
@example("amzn_s3-demo_x")
@example("xn--x")
@example("a" * 50)
def test_bucket_names_derived_from_any_folder_name_are_valid(slug: str) -> None:
    answers = derived(project_slug=slug)
    for answer in ("static_bucket_name", "media_bucket_name"):
        assert bucket_names.problems(answers[answer]) == []
    assert answers["static_bucket_name"] != answers["media_bucket_name"]


def test_derived_names_keep_readable_letters() -> None:
    answers = derived(project_name="Caf\u00e9 Zürich")
    assert answers["project_slug"] == "cafe-zurich"
    assert answers["static_bucket_name"].startswith("cafe-zurich-static-")
    assert derived(project_name="\U0001f4f7")["project_slug"] == "my-site"


def test_buckets_get_a_random_suffix() -> None:
    ends = {derived()["static_bucket_name"].rpartition("-")[2] for _ in range(20)}
    assert len(ends) == 20
    assert all(len(end) == 6 and end.isascii() and end.isalpha() and end.islower() for end in ends)
