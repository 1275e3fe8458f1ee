"""Each system check, with settings that trigger it. None of them needs a network or credentials."""

import base64
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.core.checks import CheckMessage, run_checks

import s3kit
from tests.deployments import ARN
from tests.ministack import s3_settings, s3_storages

NAMES = {"static": {"bucket_name": "acme-static-k3v9qz"}, "media": {"bucket_name": "acme-media-k3v9qz"}}
ONE_BUCKET = {"media": {"bucket_name": "acme-static-k3v9qz"}}
CDN = {"AWS_CLOUDFRONT_DISTRIBUTION_ARN": ARN, "static": {"custom_domain": "static.example.com"}}
CDN_IN_CHINA = CDN | {"AWS_CLOUDFRONT_DISTRIBUTION_ARN": ARN.replace("aws:", "aws-cn:", 1)}
KEY_ID = {"AWS_CLOUDFRONT_KEY_ID": "K1"}


@pytest.fixture(scope="module")
def pem() -> str:
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


@pytest.fixture(autouse=True)
def no_aws_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)


def found(settings: Any, **changes: Any) -> list[CheckMessage]:
    """Return the checks' messages for a valid site with changed storage options and settings."""
    options = {kind: NAMES[kind] | changes.pop(kind, {}) for kind in NAMES}
    shared = {"AWS_SITE_ORIGINS": ["https://www.example.com"], "DEBUG": False} | changes
    s3_settings(settings, **options, **shared)
    return run_checks(tags=["s3kit"])


def media(**options: Any) -> dict[str, Any]:
    return {"media": options}


def static(**options: Any) -> dict[str, Any]:
    return {"static": options}


def endpoint(url: str) -> dict[str, Any]:
    return {"AWS_S3_ENDPOINT_URL": url}


def ids(messages: list[CheckMessage]) -> list[str | None]:
    assert all(message.msg.endswith(".") for message in messages)
    assert not any("\n" in message.msg + (message.hint or "") for message in messages)
    return [message.id for message in messages]


def test_checks_pass_with_files_on_disk() -> None:
    assert run_checks(tags=["s3kit"]) == []


@pytest.mark.parametrize(
    "good",
    [
        {},
        media(access="public-read"),
        media(access="public-policy"),
        media(access="public-read", **ONE_BUCKET["media"]),
        {**CDN, **ONE_BUCKET},
        static(custom_domain="static.example.com"),
        CDN | media(access="public-policy", custom_domain="Media.Example.com:8443"),
        {"AWS_QUERYSTRING_EXPIRE": 1},
        {"AWS_QUERYSTRING_EXPIRE": 604800},
        endpoint("https://s3.example.com"),
        endpoint("https://s3.example.com:9000/"),
        endpoint("http://127.0.0.1:9000"),
        endpoint("http://localhost:9000"),
        endpoint("http://[::1]:9000"),
        endpoint("http://store.internal:9000") | {"DEBUG": True},
        {"AWS_EXPECTED_BUCKET_OWNER": "123456789012"},
        CDN_IN_CHINA | {"AWS_S3_REGION_NAME": "cn-north-1"},
        CDN | {"AWS_S3_ENCRYPTION": "aws:kms"},
        media(bucket_name="acme-123456789012-eu-central-1-an"),
        {"AWS_SITE_ORIGINS": None, "CSRF_TRUSTED_ORIGINS": ["https://www.example.com"]},
        {
            "AWS_SITE_ORIGINS": [
                " https://WWW.example.com/ ",
                "https://*.example.com:8443",
                "http://[::1]:8000",
                "",
            ]
        },
        *(
            endpoint("https://s3.example.com") | {"AWS_S3_REGION_NAME": region}
            for region in ("auto", "nyc3", "fsn1", "us-west-004", "fr-par", "garage", "default", "RegionOne")
        ),
        {"USE_S3": "local"},
        {"USE_S3": "local", "AWS_S3_REGION_NAME": "", "AWS_SITE_ORIGINS": []} | media(bucket_name=""),
    ],
)
def test_checks_pass_with_valid_settings(settings: Any, good: dict[str, Any]) -> None:
    assert ids(found(settings, **good)) == []


NOT_AN_ENDPOINT = (
    *("s3.example.com", "127.0.0.1:9000", "ftp://s3.example.com", "https://s3.example.com/store", "https://"),
    *("https://s3.example.com?x=1", "https://s3.example.com:99999", "https://[s3", "https://s3 .example.com"),
)
NOT_AN_ORIGIN = (
    *("www.example.com", "https://www.example.com/shop", "https://", "ftp://a.example", "*", "null"),
    *("https://a.example?x", "https://user@a.example", "https://a b", "https://a.example,https://b.example"),
)
NOT_A_HOST = ("https://static.example.com", "static.example.com/", "static.example.com/files", "//a", "a\nb")
BUCKET_HOSTS = (
    *(
        "acme-files.s3.amazonaws.com",
        "acme-files.s3.eu-central-1.amazonaws.com",
        "s3-eu-west-1.amazonaws.com",
    ),
    *("acme-files.s3-website.eu-central-1.amazonaws.com", "acme-files.s3.cn-north-1.amazonaws.com.cn"),
)

WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("E001", static(bucket_name=""), "STORAGES['staticfiles'] has no bucket"),
    (
        "E001",
        static(bucket_name="My_Bucket"),
        "STORAGES['staticfiles']: the bucket name 'My_Bucket' contains",
    ),
    ("E001", media(bucket_name="ab"), "STORAGES['default']: the bucket name 'ab' is 2 characters long"),
    ("E001", media(bucket_name="acme-123456789012-eu-west-1-an"), "its region is 'eu-central-1'"),
    ("E002", media(region_name="us-esat-1"), "'us-esat-1' is not a region"),
    *(
        (
            "E002",
            endpoint("https://s3.example.com") | {"AWS_S3_REGION_NAME": each},
            f"{each!r} is not a valid name",
        )
        for each in ("eu/west", "eu west", "-a", "123", "a_b", "a" * 64)
    ),
    ("E001", media(bucket_name="acme-123456789012-me-south-1-an"), "'me-south-1' does not have"),
    *(("E015", {"AWS_SITE_ORIGINS": [each]}, "is not an origin") for each in NOT_AN_ORIGIN),
    (
        "E015",
        {"AWS_SITE_ORIGINS": None, "CSRF_TRUSTED_ORIGINS": ["https://a/b"]},
        "CSRF_TRUSTED_ORIGINS has",
    ),
    (
        "E016",
        {"AWS_TRUSTED_ACCOUNTS": ["1234-5678-9012"]},
        "'1234-5678-9012', which is not an account ID",
    ),
    (
        "E017",
        static(encryption="aws:kms"),
        "STORAGES['staticfiles'] is encrypted with a KMS key, and S3 rejects visitors",
    ),
    ("E017", media(encryption="aws:kms", access="public-policy"), "STORAGES['default'] is encrypted"),
    ("W001", {"AWS_S3_REGION_NAME": "eu-west-9"}, "does not know the region 'eu-west-9'"),
    ("E003", media(access="public"), "STORAGES['default']: The option 'access' is 'public': choose one of"),
    ("E003", static(location="/"), "STORAGES['staticfiles']: The location '/' is not a valid prefix"),
    ("E003", media(gzip=True), "STORAGES['default']: the option 'gzip' is True, which is not supported"),
    ("W002", ONE_BUCKET, "has public static files and private uploads"),
    *(("E004", static(custom_domain=each), "is not a host name") for each in NOT_A_HOST),
    ("E004", media(custom_domain="//m.example.com", access="public-policy"), "STORAGES['default']: the cus"),
    *(
        ("E004", change(custom_domain=each), "address of a bucket")
        for each in BUCKET_HOSTS
        for change in (static, media)
    ),
    ("E005", media(custom_domain="m.example.com"), "without cloudfront_key_id and cloudfront_key."),
    ("E005", media(custom_domain="m.example.com") | KEY_ID, "without cloudfront_key."),
    ("W004", KEY_ID, "cloudfront_key_id is set, but cloudfront_key is not"),
    ("E006", KEY_ID | {"AWS_CLOUDFRONT_KEY": "secret-text"}, "cloudfront_key must be"),
    (
        "W006",
        CDN | media(access="public-read", custom_domain="m.example.com"),
        "public at the bucket's address, too",
    ),
    ("W007", {"AWS_CLOUDFRONT_DISTRIBUTION_ARN": ARN}, "pages link to the bucket"),
    ("E007", {"AWS_QUERYSTRING_EXPIRE": 604801}, "is 604801"),
    ("E007", {"AWS_QUERYSTRING_EXPIRE": 0}, "is 0"),
    *(("E008", endpoint(each), "is not a scheme and a host") for each in NOT_AN_ENDPOINT),
    ("E009", endpoint("https://acme-media-k3v9qz.s3.example.com"), "STORAGES['default']: the endpoint_url"),
    (
        "E019",
        endpoint("https://s3.example.com") | {"AWS_S3_PROVIDER": "minioo"},
        "does not know the provider 'minioo'",
    ),
    ("W013", endpoint("https://abc.r2.cloudflarestorage.com"), "of Cloudflare R2 needs auto"),
    ("W008", endpoint("https://s3.eu-central-1.amazonaws.com"), "is AWS. With an endpoint_url"),
    ("W005", endpoint("http://store.internal:9000"), "plain HTTP"),
    ("E010", media(expected_bucket_owner="1234-5678-9012"), "not an account ID"),
    ("E010", media(expected_bucket_owner="\u0661" * 12), "not an account ID"),
    (
        "E011",
        CDN | {"AWS_CLOUDFRONT_DISTRIBUTION_ARN": "E1ABCDEFGHIJKL"},
        "not the ARN of a CloudFront distribution",
    ),
    ("E011", CDN_IN_CHINA, "in the partition 'aws-cn', but the region eu-central-1 is in 'aws'"),
    ("E013", ONE_BUCKET | static(location="media/static/"), "differ in kind or access"),
    ("W009", {"AWS_SITE_ORIGINS": []}, "are empty, so the buckets"),
    ("W010", media(file_overwrite=True), "replaces any other file of the same name"),
]


@pytest.mark.parametrize(("expected", "wrong", "words"), WRONG)
def test_invalid_setting_triggers_only_its_check(
    settings: Any, expected: str, wrong: Mapping[str, Any], words: str
) -> None:
    messages = [each for each in found(settings, **wrong) if expected == "W002" or each.id != "s3kit.W002"]
    assert ids(messages) == [f"s3kit.{expected}"]
    assert words in messages[0].msg
    assert messages[0].is_serious() == expected.startswith("E")
    if expected not in {"W001", "W009"} and (expected, words) != (
        "E001",
        "STORAGES['staticfiles'] has no bucket",
    ):
        # The checks also run with the local server, to report mistakes before they matter.
        assert f"s3kit.{expected}" in ids(found(settings, **wrong, USE_S3="local"))
    assert set(ids(found(settings, **wrong, USE_S3=False))) == {"s3kit.W011"}


def found_with_cookies(
    settings: Any, pem: str, domain: str, custom_domain: str, **more: Any
) -> list[CheckMessage]:
    """Return the checks' messages for a site with signed cookies."""
    options = {"links": "cookies", "custom_domain": custom_domain, "cloudfront_cookie_domain": domain}
    key = {"AWS_CLOUDFRONT_KEY_ID": "K1", "AWS_CLOUDFRONT_KEY": pem}
    middleware = {"MIDDLEWARE": ["s3kit.links.cookies.CookiesMiddleware"]}
    return found(settings, **media(**options), **(key | middleware | more))


@pytest.mark.parametrize(
    ("domain", "custom_domain"),
    [
        ("example.com", "media.example.com"),
        (".example.com", "media.example.com"),
        ("Example.com", "Media.example.com"),
        ("www.example.com", "media.www.example.com"),
    ],
)
def test_checks_pass_with_a_cookie_domain_for_site_and_cdn(
    settings: Any, pem: str, domain: str, custom_domain: str
) -> None:
    assert ids(found_with_cookies(settings, pem, domain, custom_domain)) == []
    # On the local server, links are signed.
    assert ids(found_with_cookies(settings, pem, domain, custom_domain, USE_S3="local")) == []


@pytest.mark.parametrize(
    ("domain", "custom_domain", "words"),
    [
        ("example.com", "", "it has no custom_domain"),
        ("", "media.example.com", "cloudfront_cookie_domain is ''"),
        ("com", "media.example.com", "cloudfront_cookie_domain is 'com'"),
        ("https://example.com", "media.example.com", "cloudfront_cookie_domain is 'https://example.com'"),
        ("cloudfront.net", "d111111abcdef8.cloudfront.net", "browsers reject cookies for cloudfront.net"),
        ("example.com", "media.example.net", "media.example.net is not part of cloudfront_cookie_domain"),
        ("example.com", "notexample.com", "notexample.com is not part of"),
        ("media.example.com", "media.example.com", "www.example.com is not part of"),
    ],
)
def test_cookie_domain_that_cannot_work_is_an_error(
    settings: Any, pem: str, domain: str, custom_domain: str, words: str
) -> None:
    (message,) = found_with_cookies(settings, pem, domain, custom_domain)
    assert message.id == "s3kit.E021"
    assert words in message.msg
    assert str(message.hint).endswith(".")


def test_cookies_without_the_middleware_are_a_warning(settings: Any, pem: str) -> None:
    assert ids(found_with_cookies(settings, pem, "example.com", "media.example.com", MIDDLEWARE=[])) == [
        "s3kit.W020"
    ]


def test_every_check_id_is_tested() -> None:
    written = re.findall(r'id="s3kit\.(\w+)"', (Path(s3kit.__path__[0]) / "checks.py").read_text("utf-8"))
    assert set(written) == {expected for expected, _, _ in WRONG} | {
        *("E012", "E014", "E018", "E020", "E021", "E022", "W003", "W011", "W020")
    }


def test_hints_suggest_a_valid_value(settings: Any) -> None:
    for wrong, hint in (
        (static(bucket_name="My_Bucket"), "A valid name: my-bucket"),
        (media(region_name="us-esat-1"), "Did you mean us-east-1?"),
        (static(custom_domain="https://cdn.example.com/x"), ": cdn.example.com"),
        (
            endpoint("https://acme-media-k3v9qz.s3.example.com"),
            "Leave out the bucket: https://s3.example.com",
        ),
    ):
        (message,) = found(settings, **wrong)
        assert str(message.hint).endswith(hint)


def test_messages_name_the_storage(settings: Any) -> None:
    s3_settings(settings, AWS_SITE_ORIGINS=["https://www.example.com"])
    avatars = {"BACKEND": "s3kit.storages.MediaStorage", "OPTIONS": {"bucket_name": "My_Bucket"}}
    settings.STORAGES = settings.STORAGES | {"avatars": avatars, "backup": avatars | {"OPTIONS": {"a": 1}}}
    names = [(each.id, each.msg.partition(":")[0]) for each in run_checks(tags=["s3kit"])]
    assert names == [("s3kit.E001", "STORAGES['avatars']"), ("s3kit.E003", "STORAGES['backup']")]


@pytest.mark.parametrize("ours", ["s3kit", "s3kit.apps.S3KitConfig"])
@pytest.mark.parametrize(
    "theirs", ["django.contrib.staticfiles", "django.contrib.staticfiles.apps.StaticFilesConfig"]
)
def test_s3kit_must_come_before_django_staticfiles(settings: Any, ours: str, theirs: str) -> None:
    others = [app for app in settings.INSTALLED_APPS if app not in {"s3kit", "django.contrib.staticfiles"}]
    settings.INSTALLED_APPS = [ours, *others, theirs]
    assert run_checks(tags=["s3kit"]) == []
    settings.INSTALLED_APPS = [theirs, *others, ours]
    (message,) = run_checks(tags=["s3kit"])
    assert message.id == "s3kit.E012"
    assert message.hint == "Move 's3kit' above 'django.contrib.staticfiles'."


def test_invalid_use_s3_or_backend_is_the_only_message(settings: Any) -> None:
    (message,) = found(settings, USE_S3="false")
    assert (message.id, message.msg) == (
        "s3kit.E014",
        "USE_S3 is 'false': set it to True, False, or 'local'.",
    )
    typo = {"BACKEND": "s3kit.storages.MediaStorag"}
    settings.USE_S3, settings.STORAGES = True, s3_storages(NAMES["static"]) | {"default": typo}
    (message,) = run_checks(tags=["s3kit"])
    assert message.id == "s3kit.E014"
    assert message.msg.startswith("STORAGES['default'] has no usable BACKEND: ")


@pytest.mark.parametrize(
    ("variable", "value", "right"),
    [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9000", "https://s3.example.com/"),
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9000", "https://s3.example.com"),
    ],
)
def test_endpoint_variables_that_contradict_the_setting_are_a_warning(
    settings: Any, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, right: str
) -> None:
    monkeypatch.setenv(variable, value)
    (message,) = found(settings, **endpoint("https://s3.example.com"))
    assert message.id == "s3kit.W003"
    assert f"{variable} is {value!r}" in message.msg
    for harmless in (right, "", " "):
        monkeypatch.setenv(variable, harmless)
        assert found(settings, **endpoint("https://s3.example.com")) == []


def test_region_variables_may_differ_from_the_setting(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """ECS and Lambda set both variables to their region."""
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    assert found(settings) == []


def test_cloudfront_key_may_be_pem_escaped_pem_or_base64(settings: Any, pem: str) -> None:
    site = CDN | KEY_ID | media(custom_domain="m.example.com")
    for form in (pem, pem.replace("\n", "\\n"), base64.b64encode(pem.encode()).decode()):
        assert found(settings, **site, AWS_CLOUDFRONT_KEY=form) == []


def test_message_does_not_contain_an_invalid_cloudfront_key(settings: Any) -> None:
    (message,) = found(settings, AWS_CLOUDFRONT_KEY_ID="K1", AWS_CLOUDFRONT_KEY="secret-text")
    assert "secret-text" not in message.msg + str(message.hint)
