"""What holds for any text: suggestions pass, and botocore's data agree with ours."""

import string

import boto3
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.hook import bucket_names, regions

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
NAMES = st.one_of(st.text(), st.lists(st.sampled_from(PARTS)).map("".join))
REGIONS = st.one_of(st.none(), st.sampled_from(["us-east-1", "cn-northwest-1", "us-east-3", ""]), st.text())


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


@given(
    st.one_of(st.text(), st.sampled_from(sorted(regions.KNOWN)).map(lambda region: region.replace("-", "_")))
)
def test_a_suggested_region_is_a_known_one(text: str) -> None:
    near = regions.suggestion(text)
    assert near is None or regions.is_known(near)


@given(st.sampled_from(sorted(regions.KNOWN)), st.data())
def test_two_letters_swapped_lead_back_to_the_region(region: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(region) - 2))
    swapped = region[:at] + region[at + 1] + region[at] + region[at + 2 :]
    near = regions.suggestion(swapped)
    assert near is not None
    assert sorted(near) == sorted(region)


PUBLIC = ["aws", "aws-cn", "aws-us-gov", "aws-eusc"]


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
