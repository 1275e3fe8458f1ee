"""The rules for bucket names: names that break each of them, and names that barely pass."""

import pytest

from s3kit.naming.buckets import is_account_regional, problems, suggestion

ACCOUNT_REGIONAL = "photos-123456789012-eu-central-1-an"


@pytest.mark.parametrize(
    "name",
    [
        *("abc", "a" * 63, "a-b", "a--b", "123", "0-0", "1-2-3-4", "my-site-static-k3v9qz"),
        # Similar to reserved names, but allowed.
        *("xn-abc", "xnabc", "my-xn--abc", "sthree", "amzn-s3-dem", "s3alias", "as3alias", "a-s3aliases"),
        *("a-ol-s3", "a--x-s3x", "a-table-s3", "plan", "a-an-b", "a--x-s3-b"),
        ACCOUNT_REGIONAL,
        "photos-123456789012-us-gov-west-1-an",
    ],
)
def test_valid_bucket_names_have_no_problems(name: str) -> None:
    assert problems(name) == []


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("", ["length"]),
        ("ab", ["length"]),
        ("a" * 64, ["length"]),
        ("My-bucket", ["characters"]),
        ("my_bucket", ["characters"]),
        ("my bucket", ["characters"]),
        ("my/bucket", ["characters"]),
        ("bücher", ["characters"]),
        ("abc\u0661", ["characters", "ends"]),  # an Arabic digit, which str.isdigit and \d match
        ("\uff41\uff42\uff43", ["characters", "ends"]),
        ("abc\n", ["characters", "ends"]),  # re.match with $ accepts it
        ("abc\x00", ["characters", "ends"]),
        ("-abc", ["ends"]),
        ("abc-", ["ends"]),
        (".abc", ["ends", "dots"]),
        ("abc.", ["ends", "dots"]),
        ("www.example.com", ["dots"]),
        ("a..b", ["adjacent-dots", "dots"]),
        ("a.-b", ["dot-hyphen", "dots"]),
        ("a-.b", ["dot-hyphen", "dots"]),
        ("192.168.5.4", ["ip-address", "dots"]),
        ("999.999.999.999", ["ip-address", "dots"]),
        ("1.2.3.4.5", ["dots"]),
        ("xn--bcher-kva", ["prefix"]),
        ("sthree-photos", ["prefix"]),
        ("sthree-configurator", ["prefix"]),
        ("amzn-s3-demo-bucket", ["prefix"]),
        ("photos-s3alias", ["suffix"]),
        ("photos--ol-s3", ["suffix"]),
        ("photos.mrap", ["dots", "suffix"]),
        ("photos--use1-az4--x-s3", ["suffix"]),
        ("photos--table-s3", ["suffix"]),
        ("photos--xa-s3", ["suffix"]),
        ("photos--op-s3", ["suffix"]),
        ("photos-an", ["account-regional"]),
        ("photos-12345678901-eu-central-1-an", ["account-regional"]),
        ("photos-123456789012-eu-cental-1-an", ["account-regional"]),
        ("photos-12345678901\u0662-eu-central-1-an", ["characters", "account-regional"]),
        ("photos-123456789012-me-south-1-an", ["account-regional"]),
        ("photos-123456789012-me-central-1-an", ["account-regional"]),
        ("-123456789012-eu-central-1-an", ["ends", "account-regional"]),
        ("sthree-_" + "x" * 60 + "-s3alias", ["length", "characters", "prefix", "suffix"]),
    ],
)
def test_every_broken_rule_is_reported(name: str, rules: list[str]) -> None:
    assert [problem.rule for problem in problems(name)] == rules


def test_account_regional_name_must_match_the_region() -> None:
    assert not problems(ACCOUNT_REGIONAL, region="eu-central-1")
    [problem] = problems(ACCOUNT_REGIONAL, region="us-east-1")
    assert problem.rule == "account-regional"
    assert "'eu-central-1'" in problem.message
    assert "'us-east-1'" in problem.message


@pytest.mark.parametrize(
    ("name", "regional"),
    [
        (ACCOUNT_REGIONAL, True),
        ("photos-an", False),
        ("photos", False),
        ("photos-123456789012-x-an", False),
        ("photos-123456789012-me-south-1-an", False),
        (f"{ACCOUNT_REGIONAL}\n", False),
    ],
)
def test_account_regional_names_are_recognized(name: str, regional: bool) -> None:
    assert is_account_regional(name) is regional


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("ab", "is 2 characters long; 3 to 63 are allowed"),
        ("a", "is 1 character long"),
        ("My\nBucket", r"contains 'M', '\n', 'B'; only a-z, 0-9, and - are allowed"),
        ("ABCDEFGH", "'E' and others"),
        ("a.b", "breaks HTTPS"),
        ("sthree-a", "'sthree-', which AWS reserves"),
        ("abc-an", "<prefix>-<12-digit account>-<region>-an"),
    ],
)
def test_messages_state_the_rule_and_the_allowed_values(name: str, part: str) -> None:
    assert part in problems(name)[0].message


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("photos", "photos"),
        ("My_Bucket", "my-bucket"),
        ("  My  Bucket  ", "my-bucket"),
        ("www.example.com", "www-example-com"),
        ("192.168.5.4", "192-168-5-4"),
        ("Café Zürich", "cafe-zurich"),
        ("ab", "ab-bucket"),
        ("", "my-bucket"),
        ("사진", "my-bucket"),
        ("🪣", "my-bucket"),
        ("\u0661\u0662\u0663", "my-bucket"),
        ("sthree-photos", "my-sthree-photos"),
        ("xn--photos", "xn-photos"),
        ("photos-s3alias", "photos"),
        ("photos-an-an", "photos"),
        ("photos-123456789012-me-south-1-an", "photos-123456789012-me-south-1"),
        ("photos--ol-s3", "photos-ol-s3"),
        ("-an", "an-bucket"),
        ("a" * 10_000, "a" * 40 + "-" + "a" * 22),
        ("acme-" * 20 + "static", "acme-" * 8 + "acme-acme-acme-static"),
    ],
)
def test_suggestions_are_similar_and_valid(name: str, near: str) -> None:
    assert suggestion(name) == near
    assert not problems(near)


def test_suggestions_keep_the_account_and_use_the_region() -> None:
    assert suggestion(ACCOUNT_REGIONAL, region="us-east-1") == "photos-123456789012-us-east-1-an"
    assert suggestion("Photos-123456789012-eu_west_1-an") == "photos-123456789012-eu-west-1-an"
    assert suggestion(ACCOUNT_REGIONAL, region="me-central-1") == "photos-123456789012-eu-central-1"
    assert suggestion(ACCOUNT_REGIONAL, region="nowhere") == "photos-123456789012-eu-central-1"
