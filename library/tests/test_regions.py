"""Valid regions, and suggestions for invalid ones."""

import pytest

from s3kit.naming.regions import KNOWN, is_known, problems, suggestion


@pytest.mark.parametrize("region", sorted(KNOWN))
def test_known_regions_are_valid_and_suggest_themselves(region: str) -> None:
    assert not problems(region)
    assert is_known(region)
    assert suggestion(region) == region


@pytest.mark.parametrize(
    "region", ["us-east-3", "eu-southwest-1", "nz-north-1", "us-isob-east-1", "eusc-fr-west-10"]
)
def test_unknown_well_formed_region_is_valid(region: str) -> None:
    assert not problems(region)
    assert not is_known(region)


@pytest.mark.parametrize(
    ("region", "rules"),
    [
        ("us_east_1", ["hyphens"]),
        ("US-EAST-1", ["lower-case"]),
        ("US_EAST_1", ["lower-case", "hyphens"]),
        ("us-EAST-1", ["lower-case"]),
        ("us-east-1\n", ["characters"]),
        ("us-east-1 ", ["characters"]),
        ("us-east-\u0661", ["characters"]),
        ("\uff55\uff53-east-1", ["characters"]),
        ("us-east-1a", ["zone"]),
        ("us-esat-1", ["direction"]),
        ("us-gov-up-1", ["direction"]),
        ("", ["form"]),
        ("-", ["form"]),
        ("useast1", ["form"]),
        ("us-east", ["form"]),
        ("us-east-0", ["form"]),
        ("us-east-100", ["form"]),
        ("us-west-2-lax-1a", ["form"]),
        ("aws-global", ["form"]),
        ("Asia Pacific (Seoul)", ["place"]),
        ("Seoul", ["place"]),
        ("seoul", ["place"]),
        ("S\u00e3o Paulo", ["place"]),
        ("Seoul 1", ["lower-case", "characters"]),
    ],
)
def test_an_invalid_region_is_rejected(region: str, rules: list[str]) -> None:
    assert [problem.rule for problem in problems(region)] == rules


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("us_east_1", "us-east-1"),
        ("us-east-1a", "us-east-1"),
        ("US-EAST-1", "us-east-1"),
        (" us-east-1 ", "us-east-1"),
        ("us-esat-1", "us-east-1"),
        ("us-wset-2", "us-west-2"),
        ("useast1", "us-east-1"),
        ("us-east", "us-east-1"),
        ("us-east-3", "us-east-1"),
        ("eu-centrl-1", "eu-central-1"),
        ("ap-notheast-2", "ap-northeast-2"),
        ("us-west-2-lax-1a", "us-west-2"),
        ("\uff55\uff53\uff0d\uff45\uff41\uff53\uff54\uff0d\uff11", "us-east-1"),
        ("Seoul", "ap-northeast-2"),
        ("seoul", "ap-northeast-2"),
        ("Frankfurt", "eu-central-1"),
        ("Frankfrut", "eu-central-1"),
        ("São Paulo", "sa-east-1"),
        ("HongKong", "ap-east-1"),
        ("Asia Pacific (Seoul)", "ap-northeast-2"),
        ("Europe (Frankfurt)", "eu-central-1"),
        ("US East (N. Virginia)", "us-east-1"),
        ("Canada West (Calgary)", "ca-west-1"),
        ("AWS GovCloud (US-East)", "us-gov-east-1"),
        ("AWS GovCloud (US-West)", "us-gov-west-1"),
        ("AWS European Sovereign Cloud (Germany)", "eusc-de-east-1"),
    ],
)
def test_typos_and_place_names_suggest_a_region(typed: str, meant: str) -> None:
    assert suggestion(typed) == meant


@pytest.mark.parametrize("typed", ["", "-", "1", "europe", "mars", "서울", "🪣", "x" * 10_000])
def test_unrecognizable_text_gets_no_suggestion(typed: str) -> None:
    assert suggestion(typed) is None
