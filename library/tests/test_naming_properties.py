"""For any text, suggestions are valid, and botocore's data matches the library's."""

import re
import string

import boto3
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from s3kit.naming import buckets as bucket_names
from s3kit.naming import regions

PARTS = [
    "xn--",
    "sthree-",
    "amzn-s3-demo-",
    "-s3alias",
    "--ol-s3",
    ".mrap",
    "--x-s3",
    "--table-s3",
    "-an",
    "an",
]
PARTS += [
    "-",
    "..",
    ".-",
    "_",
    "a",
    "b" * 40,
    "123456789012",
    "-us-east-1-an",
    "192.168.5.4",
    "\u0663",
    "é",
    "\n",
]
# Include lone surrogates: JSON and environments that aren't UTF-8 can contain them.
ANY = st.text(st.characters(exclude_categories=()))
NAMES = st.one_of(ANY, st.lists(st.sampled_from(PARTS)).map("".join))
REGIONS = st.one_of(st.none(), st.sampled_from(["us-east-1", "cn-northwest-1", "us-east-3", ""]), ANY)


@given(NAMES, REGIONS)
@example("", None)
@example("x" * 10_000, "us-east-1")
@example("\U0001faa3" * 10_000, None)
@example("photos-123456789012-eu-central-1-an", "nowhere")
@example("p" * 60 + "-123456789012-eu-central-1-an", "ap-southeast-7")
def test_suggested_bucket_name_is_valid_in_its_region(name: str, region: str | None) -> None:
    near = bucket_names.suggestion(name, region=region)
    assert bucket_names.problems(near, region=region) == []
    assert bucket_names.suggestion(near, region=region) == near


@given(NAMES, REGIONS)
@example("sthree-a", None)
@example("xn--a", None)
@example("amzn-s3-demo-a", None)
def test_valid_bucket_names_follow_s3s_rules(name: str, region: str | None) -> None:
    if not bucket_names.problems(name, region=region):
        assert 3 <= len(name) <= 63
        assert set(name) <= set(string.ascii_lowercase + string.digits + "-")
        assert "-" not in name[0] + name[-1]
        assert not name.startswith(("xn--", "sthree-", "amzn-s3-demo-"))
        assert not name.endswith(("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"))
        assert not name.endswith("-an") or bucket_names.is_account_regional(name)


@given(NAMES)
def test_every_problem_is_one_printable_line(name: str) -> None:
    for problem in [*bucket_names.problems(name, region="us-east-1"), *regions.problems(name)]:
        assert problem.rule
        assert problem.message.isprintable()
        assert len(problem.message) < 160


@given(st.one_of(ANY, st.sampled_from(sorted(regions.KNOWN)).map(lambda region: region.replace("-", "_"))))
def test_suggested_region_is_known(text: str) -> None:
    near = regions.suggestion(text)
    if near is not None:
        assert regions.is_known(near)
        assert regions.problems(near) == []
        assert regions.suggestion(near) == near


PUBLIC = ["aws", "aws-cn", "aws-us-gov", "aws-eusc"]

# An independent definition of a region: the parts, each with a few possible values.
AREAS = ["us", "eu", "ap", "zz", "us-gov", "us-iso", "eu-isoe", "eusc-de", "abcd-ef"]
FORMS = st.builds(
    "{}-{}-{}".format,
    st.sampled_from(AREAS),
    st.sampled_from(
        [
            *("central", "north", "south", "east", "west"),
            *(a + b for a in ("north", "south") for b in ("east", "west")),
        ]
    ),
    st.integers(1, 99),
)


@given(FORMS)
def test_well_formed_regions_are_valid_even_if_unknown(region: str) -> None:
    assert regions.problems(region) == []
    name = f"photos-123456789012-{region}-an"
    assert bucket_names.problems(name, region=region) == []
    assert bucket_names.is_account_regional(name)


@given(st.one_of(ANY, FORMS), st.data())
def test_region_with_an_invalid_character_is_rejected(region: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(region)))
    foreign = data.draw(
        st.sampled_from(["\n", " ", "_", ".", "/", "\u0661", "\uff41", "\ud800", "é", "A", "\0"])
    )
    found = regions.problems(region[:at] + foreign + region[at:])
    assert found
    assert all(problem.message.isprintable() for problem in found)


@given(st.sampled_from(["", "-", "my", "사진", "xn--"]), ANY)
def test_suggestion_keeps_the_names_words(before: str, text: str) -> None:
    """The suggested name contains the plain words of the original, so users recognize it."""
    words = re.findall("[a-z0-9]+", text)
    near = bucket_names.suggestion(f"{before} {text}")
    if len(near) < 40 and text.isascii() and text == text.lower():
        assert [word for word in words if word not in near] == []


@given(st.sampled_from(sorted(regions.KNOWN)), st.data())
def test_region_with_swapped_letters_is_recognized(region: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(region) - 2))
    swapped = region[:at] + region[at + 1] + region[at] + region[at + 2 :]
    near = regions.suggestion(swapped)
    assert near is not None
    assert sorted(near) == sorted(region)


def test_known_regions_match_botocore() -> None:
    session = boto3.Session()
    listed = {region for name in PUBLIC for region in session.get_available_regions("s3", name)}
    assert listed == regions.KNOWN
    others = set(session.get_available_partitions()) - set(PUBLIC)
    assert all(name.startswith("aws-iso") for name in others), "a new partition that may be public"


@pytest.mark.parametrize("partition", ["aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f"])
def test_regions_of_isolated_partitions_are_valid(partition: str) -> None:
    for region in boto3.Session().get_available_regions("s3", partition):
        assert regions.problems(region) == []
