"""Each system check of S3, shown by a setting that it is about; none of them needs a network or a key."""

import base64
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.core.checks import CheckMessage, run_checks

ROOT = Path(__file__).resolve().parent.parent

PRODUCTION = {
    "DEBUG": False,
    "USE_S3": True,
    "SITE_ORIGINS": ["https://www.example.com"],
    "AWS_S3_REGION_NAME": "eu-central-1",
    "AWS_STATIC_BUCKET_NAME": "acme-static-k3v9qz",
    "AWS_MEDIA_BUCKET_NAME": "acme-media-k3v9qz",
    "AWS_MEDIA_ACCESS": "private",
}
ARN = "arn:aws:cloudfront::123456789012:distribution/E1ABCDEFGHIJKL"
CDN = {
    "AWS_CLOUDFRONT_DISTRIBUTION_ARN": ARN,
    "AWS_STATIC_CUSTOM_DOMAIN": "static.example.com",
}


@pytest.fixture(scope="module")
def pem() -> str:
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


@pytest.fixture(autouse=True)
def shell_without_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)


def found(settings: Any, **changes: Any) -> list[CheckMessage]:
    for name, value in (PRODUCTION | changes).items():
        setattr(settings, name, value)
    return run_checks(tags=["s3"])


def ids(messages: list[CheckMessage]) -> list[str | None]:
    assert all(message.msg.endswith(".") and message.hint for message in messages)
    assert not any("\n" in message.msg + (message.hint or "") for message in messages)
    return [message.id for message in messages]


def test_the_settings_of_the_tests_have_no_problem() -> None:
    assert run_checks(tags=["s3"]) == []


@pytest.mark.parametrize(
    "good",
    [
        {},
        {"AWS_MEDIA_ACCESS": "public-read"},
        {"AWS_MEDIA_ACCESS": "public-policy"},
        {"AWS_MEDIA_ACCESS": "public-read", "AWS_MEDIA_BUCKET_NAME": "acme-static-k3v9qz"},
        {"AWS_MEDIA_BUCKET_NAME": "acme-static-k3v9qz", **CDN},
        {"AWS_STATIC_CUSTOM_DOMAIN": "static.example.com"},
        {"AWS_MEDIA_CUSTOM_DOMAIN": "Media.Example.com:8443", "AWS_MEDIA_ACCESS": "public-policy", **CDN},
        {"AWS_QUERYSTRING_EXPIRE": 1},
        {"AWS_QUERYSTRING_EXPIRE": 604800},
        {"AWS_S3_ENDPOINT_URL": "https://s3.example.com"},
        {"AWS_S3_ENDPOINT_URL": "https://s3.example.com:9000/"},
        {"AWS_S3_ENDPOINT_URL": "http://127.0.0.1:9000"},
        {"AWS_S3_ENDPOINT_URL": "http://localhost:9000"},
        {"AWS_S3_ENDPOINT_URL": "http://[::1]:9000"},
        {"AWS_S3_ENDPOINT_URL": "http://store.internal:9000", "DEBUG": True},
        {"AWS_EXPECTED_BUCKET_OWNER": "123456789012"},
        {
            "AWS_S3_REGION_NAME": "cn-north-1",
            **CDN,
            "AWS_CLOUDFRONT_DISTRIBUTION_ARN": ARN.replace("aws:", "aws-cn:", 1),
        },
        {"AWS_MEDIA_BUCKET_NAME": "acme-123456789012-eu-central-1-an"},
    ],
)
def test_right_settings_have_no_problem(settings: Any, good: dict[str, Any]) -> None:
    assert ids(found(settings, **good)) == []


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("s3.E001", {"AWS_STATIC_BUCKET_NAME": "My_Bucket"}, "AWS_STATIC_BUCKET_NAME: 'My_Bucket' has"),
    ("s3.E001", {"AWS_MEDIA_BUCKET_NAME": "ab"}, "AWS_MEDIA_BUCKET_NAME: 'ab' is 2 characters long"),
    ("s3.E001", {"AWS_MEDIA_BUCKET_NAME": "acme-123456789012-eu-west-1-an"}, "its region is 'eu-central-1'"),
    ("s3.E002", {"AWS_S3_REGION_NAME": "us-esat-1"}, "'us-esat-1' is not a region"),
    ("s3.W001", {"AWS_S3_REGION_NAME": "eu-west-9"}, "'eu-west-9' is none of the regions known"),
    ("s3.E003", {"AWS_MEDIA_ACCESS": "public"}, "'public' is no access mode"),
    ("s3.W002", {"AWS_MEDIA_BUCKET_NAME": "acme-static-k3v9qz"}, "One bucket holds"),
    ("s3.E004", {"AWS_STATIC_CUSTOM_DOMAIN": "https://static.example.com"}, "AWS_STATIC_CUSTOM_DOMAIN"),
    ("s3.E004", {"AWS_STATIC_CUSTOM_DOMAIN": "static.example.com/"}, "not a bare host name"),
    ("s3.E004", {"AWS_STATIC_CUSTOM_DOMAIN": "static.example.com/files"}, "not a bare host name"),
    ("s3.E004", {"AWS_STATIC_CUSTOM_DOMAIN": "static.example.com "}, "not a bare host name"),
    ("s3.E004", {"AWS_STATIC_CUSTOM_DOMAIN": "static.example.com\n"}, "not a bare host name"),
    (
        "s3.E004",
        {"AWS_MEDIA_ACCESS": "public-policy", "AWS_MEDIA_CUSTOM_DOMAIN": "//m.example.com"},
        "MEDIA_CUSTOM",
    ),
    (
        "s3.E005",
        {"AWS_MEDIA_CUSTOM_DOMAIN": "m.example.com"},
        "AWS_CLOUDFRONT_KEY_ID and AWS_CLOUDFRONT_KEY missing",
    ),
    (
        "s3.E005",
        {"AWS_MEDIA_CUSTOM_DOMAIN": "m.example.com", "AWS_CLOUDFRONT_KEY_ID": "K1"},
        ": AWS_CLOUDFRONT_KEY missing",
    ),
    (
        "s3.W004",
        {"AWS_CLOUDFRONT_KEY_ID": "K1"},
        "AWS_CLOUDFRONT_KEY_ID is set, but AWS_CLOUDFRONT_KEY is not",
    ),
    (
        "s3.E006",
        {"AWS_CLOUDFRONT_KEY_ID": "K1", "AWS_CLOUDFRONT_KEY": "secret-text"},
        "AWS_CLOUDFRONT_KEY must be",
    ),
    (
        "s3.W006",
        {"AWS_MEDIA_ACCESS": "public-read", "AWS_MEDIA_CUSTOM_DOMAIN": "m.example.com", **CDN},
        "past CloudFront",
    ),
    ("s3.W007", {"AWS_CLOUDFRONT_DISTRIBUTION_ARN": ARN}, "pages link to the bucket"),
    ("s3.E007", {"AWS_QUERYSTRING_EXPIRE": 604801}, "is 604801"),
    ("s3.E007", {"AWS_QUERYSTRING_EXPIRE": 0}, "is 0"),
    ("s3.E008", {"AWS_S3_ENDPOINT_URL": "s3.example.com"}, "not a scheme and a host"),
    ("s3.E008", {"AWS_S3_ENDPOINT_URL": "127.0.0.1:9000"}, "not a scheme and a host"),
    ("s3.E008", {"AWS_S3_ENDPOINT_URL": "ftp://s3.example.com"}, "not a scheme and a host"),
    ("s3.E008", {"AWS_S3_ENDPOINT_URL": "https://s3.example.com/store"}, "not a scheme and a host"),
    ("s3.E008", {"AWS_S3_ENDPOINT_URL": "https://s3.example.com?x=1"}, "not a scheme and a host"),
    ("s3.E008", {"AWS_S3_ENDPOINT_URL": "https://"}, "not a scheme and a host"),
    ("s3.E008", {"AWS_S3_ENDPOINT_URL": "https://s3.example.com:99999"}, "not a scheme and a host"),
    ("s3.E008", {"AWS_S3_ENDPOINT_URL": "https://[s3"}, "not a scheme and a host"),
    ("s3.E008", {"AWS_S3_ENDPOINT_URL": "https://s3 .example.com"}, "not a scheme and a host"),
    (
        "s3.E009",
        {"AWS_S3_ENDPOINT_URL": "https://acme-media-k3v9qz.s3.example.com"},
        "names the bucket of AWS_MEDIA",
    ),
    ("s3.W008", {"AWS_S3_ENDPOINT_URL": "https://s3.eu-central-1.amazonaws.com"}, "is AWS itself"),
    ("s3.W005", {"AWS_S3_ENDPOINT_URL": "http://store.internal:9000"}, "plain http"),
    ("s3.E010", {"AWS_EXPECTED_BUCKET_OWNER": "1234-5678-9012"}, "not an account's number"),
    ("s3.E010", {"AWS_EXPECTED_BUCKET_OWNER": "\u0661" * 12}, "not an account's number"),
    (
        "s3.E011",
        {**CDN, "AWS_CLOUDFRONT_DISTRIBUTION_ARN": "E1ABCDEFGHIJKL"},
        "not the ARN of a distribution",
    ),
    (
        "s3.E011",
        {**CDN, "AWS_CLOUDFRONT_DISTRIBUTION_ARN": ARN.replace("aws:", "aws-cn:", 1)},
        "in the partition 'aws-cn', but the region eu-central-1 is in 'aws'",
    ),
    ("s3.W009", {"SITE_ORIGINS": []}, "no origin"),
]


@pytest.mark.parametrize(("expected", "wrong", "words"), WRONG)
def test_wrong_settings_have_just_their_problem(
    settings: Any, expected: str, wrong: dict[str, Any], words: str
) -> None:
    messages = found(settings, **wrong)
    assert ids(messages) == [expected]
    assert words in messages[0].msg
    assert messages[0].is_serious() == expected.startswith("s3.E")


def test_every_id_is_shown_above() -> None:
    written = set((ROOT / "s3" / "checks.py").read_text(encoding="utf-8").split('id="')[1:])
    shown = {expected for expected, _, _ in WRONG} | {"s3.W003"}
    assert {text.split('"')[0] for text in written} == shown


def test_hints_name_what_would_pass(settings: Any) -> None:
    (message,) = found(settings, AWS_STATIC_BUCKET_NAME="My_Bucket")
    assert message.hint == "A name that S3 takes: my-bucket"
    (message,) = found(settings, AWS_S3_REGION_NAME="us-esat-1")
    assert message.hint == "Did you mean us-east-1?"
    (message,) = found(settings, AWS_STATIC_CUSTOM_DOMAIN="https://cdn.example.com/x")
    assert str(message.hint).endswith("as in cdn.example.com")
    (message,) = found(
        settings, AWS_STATIC_CUSTOM_DOMAIN="", AWS_S3_ENDPOINT_URL="https://acme-media-k3v9qz.s3.example.com"
    )
    assert message.hint == "Leave the bucket out: https://s3.example.com"


def test_with_s3_off_only_the_names_count(settings: Any) -> None:
    wrong = {name: value for _, changes, _ in WRONG for name, value in changes.items()} | {
        "AWS_S3_REGION_NAME": "us-esat-1",
        "AWS_STATIC_BUCKET_NAME": "My_Bucket",
        "AWS_MEDIA_BUCKET_NAME": "ab",
    }
    assert set(ids(found(settings, **wrong, USE_S3=False))) == {"s3.E001", "s3.E002"}
    nothing = dict.fromkeys(("AWS_S3_REGION_NAME", "AWS_STATIC_BUCKET_NAME", "AWS_MEDIA_BUCKET_NAME"), "")
    assert found(settings, **nothing, USE_S3=False) == []


@pytest.mark.parametrize(
    ("variable", "value", "right"),
    [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9000", "https://s3.example.com/"),
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9000", "https://s3.example.com"),
        ("AWS_DEFAULT_REGION", "us-east-1", "eu-central-1"),
        ("AWS_REGION", "us-east-1", "eu-central-1"),
    ],
)
def test_variables_of_boto3_that_say_otherwise(
    settings: Any, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, right: str
) -> None:
    monkeypatch.setenv(variable, value)
    (message,) = found(settings, AWS_S3_ENDPOINT_URL="https://s3.example.com")
    assert message.id == "s3.W003"
    assert f"{variable} is {value!r}" in message.msg
    for harmless in (right, "", " "):
        monkeypatch.setenv(variable, harmless)
        assert found(settings, AWS_S3_ENDPOINT_URL="https://s3.example.com") == []


def test_a_right_cloudfront_key_and_its_forms(settings: Any, pem: str) -> None:
    site = {"AWS_MEDIA_CUSTOM_DOMAIN": "m.example.com", "AWS_CLOUDFRONT_KEY_ID": "K1", **CDN}
    for form in (pem, pem.replace("\n", "\\n"), base64.b64encode(pem.encode()).decode()):
        assert found(settings, **site, AWS_CLOUDFRONT_KEY=form) == []


def test_a_wrong_cloudfront_key_is_not_shown(settings: Any) -> None:
    (message,) = found(settings, AWS_CLOUDFRONT_KEY_ID="K1", AWS_CLOUDFRONT_KEY="secret-text")
    assert "secret-text" not in message.msg + str(message.hint)


def test_manage_check_shows_them(tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "DJANGO_ENV_FILE": os.devnull,
        "AWS_PROFILE": "no-such-profile",
    }
    environment |= {"USE_S3": "true", "AWS_S3_REGION_NAME": "eu-central-1", "AWS_MEDIA_BUCKET_NAME": "ab"}
    environment |= {"AWS_STATIC_BUCKET_NAME": "acme-static", "AWS_CLOUDFRONT_DISTRIBUTION_ARN": ARN}
    done = subprocess.run(
        [sys.executable, ROOT / "manage.py", "check", "--tag", "s3"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "(s3.E001) AWS_MEDIA_BUCKET_NAME: 'ab' is 2 characters long" in done.stderr
    assert "(s3.W007)" in done.stderr
    assert "Traceback" not in done.stderr
