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
def test_a_suggestion_always_passes_with_the_same_region(name: str, region: str | None) -> None:
    near = bucket_names.suggestion(name, region=region)
    assert bucket_names.problems(near, region=region) == []
    assert bucket_names.suggestion(near, region=region) == near


@given(NAMES, REGIONS)
@example("sthree-a", None)
@example("xn--a", None)
@example("amzn-s3-demo-a", None)
def test_what_passes_is_a_host_name_s3_can_use(name: str, region: str | None) -> None:
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
def test_a_suggested_region_is_a_known_one(text: str) -> None:
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
def test_a_well_formed_region_is_no_problem_known_or_not(region: str) -> None:
    assert regions.problems(region) == []
    name = f"photos-123456789012-{region}-an"
    assert bucket_names.problems(name, region=region) == []
    assert bucket_names.is_account_regional(name)


@given(st.one_of(ANY, FORMS), st.data())
def test_a_region_with_anything_else_in_it_is_rejected(region: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(region)))
    foreign = data.draw(
        st.sampled_from(["\n", " ", "_", ".", "/", "\u0661", "\uff41", "\ud800", "é", "A", "\0"])
    )
    found = regions.problems(region[:at] + foreign + region[at:])
    assert found
    assert all(problem.message.isprintable() for problem in found)


@given(st.sampled_from(["", "-", "my", "사진", "xn--"]), ANY)
def test_a_suggestion_keeps_what_can_be_kept(before: str, text: str) -> None:
    """The suggested name contains the plain words of the original, so users recognize it."""
    words = re.findall("[a-z0-9]+", text)
    near = bucket_names.suggestion(f"{before} {text}")
    if len(near) < 40 and text.isascii() and text == text.lower():
        assert [word for word in words if word not in near] == []


@given(st.sampled_from(sorted(regions.KNOWN)), st.data())
def test_two_letters_swapped_lead_back_to_the_region(region: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(region) - 2))
    swapped = region[:at] + region[at + 1] + region[at] + region[at + 2 :]
    near = regions.suggestion(swapped)
    assert near is not None
    assert sorted(near) == sorted(region)


def test_the_known_regions_are_botocores() -> None:
    session = boto3.Session()
    listed = {region for name in PUBLIC for region in session.get_available_regions("s3", name)}
    assert listed == regions.KNOWN
    others = set(session.get_available_partitions()) - set(PUBLIC)
    assert all(name.startswith("aws-iso") for name in others), "a new partition that may be public"


@pytest.mark.parametrize("partition", ["aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f"])
def test_regions_that_are_not_public_are_no_problem(partition: str) -> None:
    for region in boto3.Session().get_available_regions("s3", partition):
        assert regions.problems(region) == []
