"""Any answers pass once their suggestions are applied."""

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from tests.answers import PROMPTS, QUESTIONS
from tests.hook import GOOD, RULES, post_gen

PARTS = ["xn--", "sthree-", "amzn-s3-demo-", "-s3alias", "--x-s3", "-an", "-", "..", ".-", "_", "a", "b" * 40]
PARTS += ["123456789012", "-us-east-1-an", "192.168.5.4", "\u0663", "é", "\n"]
# Include lone surrogates: JSON and environments that aren't UTF-8 can contain them.
NAMES = st.one_of(
    st.text(st.characters(exclude_categories=())), st.lists(st.sampled_from(PARTS)).map("".join)
)
REGIONS = st.builds(
    "{}-{}-{}".format,
    st.sampled_from(["us", "eu", "zz", "us-gov", "eusc-de"]),
    st.sampled_from(["central", "north", "southeast"]),
    st.integers(1, 99),
)
ANSWERS = st.fixed_dictionaries(
    {},
    optional={
        name: st.one_of(NAMES, st.sampled_from(QUESTIONS[name]))
        if isinstance(QUESTIONS[name], list)
        else st.one_of(NAMES, REGIONS)
        for name in PROMPTS
    },
)


@given(ANSWERS)
@example({"static_bucket_name": "photos-123456789012-us-east-1-an", "aws_region": "US-EAST-1"})
@example({"static_bucket_name": "A", "media_bucket_name": "a"})
def test_answers_with_suggestions_applied_pass(typed: dict[str, Any]) -> None:
    answers = GOOD | typed
    rejected = post_gen.check(answers, *RULES)
    for rejection in rejected:
        assert rejection.message.isprintable()
    suggestions = {rejection.answer: rejection.suggestion for rejection in rejected if rejection.suggestion}
    uncured = {rejection.answer for rejection in rejected if not rejection.suggestion}
    left = {rejection.answer for rejection in post_gen.check(answers | suggestions, *RULES)}
    assert left <= uncured
    # Only a region or a choice may be too different to have a suggestion.
    assert uncured <= {"aws_region", "media_access", "django_version"}
    told = post_gen.report("Nothing was written.", rejected, answers).replace("\n", "")
    assert not any(post_gen.is_control(character) for character in told)
