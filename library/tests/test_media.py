"""The storage for uploads: the requests that it sends. For S3's responses, see test_media_strict.py."""

import base64
import io
import os
import pickle
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.files import storage as django_storage
from django.core.files.base import ContentFile, File
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile
from django.db import models
from django.test import override_settings
from moto import mock_aws

from s3kit import clients
from s3kit.storages import cloudfront as cloudfront_links
from s3kit.storages import media, signing
from s3kit.storages.cloudfront import private_key
from s3kit.storages.media import MediaStorage
from tests.ministack import pretended_server

# Any: what MediaStorage has beyond Django's storages.
default_storage: Any = django_storage.default_storage

BUCKET = "a-media-bucket"
UNIQUE = "-[0-9a-hjkmnp-tv-z]{13}"


@dataclass
class Request:
    operation: str
    method: str
    url: str
    headers: dict[str, str]


class Requests(list[Request]):
    @property
    def operations(self) -> list[str]:
        return [request.operation for request in self]

    def only(self, operation: str) -> Request:
        (found,) = [request for request in self if request.operation == operation]
        return found


def with_options(**options: Any) -> dict[str, Any]:
    """Return STORAGES with a media storage of these options, in BUCKET."""
    options = {"bucket_name": BUCKET} | options
    return {
        "default": {"BACKEND": "s3kit.storages.MediaStorage", "OPTIONS": options},
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }


@pytest.fixture(scope="module", autouse=True)
def session() -> Iterator[None]:
    """Create one session for all tests in this module, because that takes a tenth of a second."""

    clients.forget()
    yield
    clients.forget()


@pytest.fixture(autouse=True)
def bucket(settings: Any) -> Iterator[None]:
    settings.USE_S3 = True
    settings.AWS_S3_REGION_NAME = "eu-central-1"
    settings.STORAGES = with_options()
    clients._client.cache_clear()  # with the handlers of the last test
    with mock_aws():
        clients.command(default_storage.target).create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        yield


@pytest.fixture
def requests(bucket: None) -> Requests:  # noqa: ARG001
    """Record the requests that are sent from now on."""
    return watch()


def watch() -> Requests:
    seen = Requests()

    def note(request: Any, event_name: str, **_kwargs: Any) -> None:
        headers = {
            name.lower(): value.decode() if isinstance(value, bytes) else str(value)
            for name, value in request.headers.items()
        }
        seen.append(Request(event_name.rpartition(".")[2], request.method, request.url, headers))

    clients.web(default_storage.target).meta.events.register_first("before-send.s3", note)
    return seen


def stored(name: str) -> Any:
    return clients.command(default_storage.target).get_object(Bucket=BUCKET, Key=f"media/{name}")


def at(monkeypatch: pytest.MonkeyPatch, now: float) -> None:
    """Set the time at which links are created."""
    monkeypatch.setattr(media, "time", SimpleNamespace(time=lambda: now))


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


# Settings


def test_default_storage_is_configured_by_settings() -> None:
    storage = django_storage.storages["default"]
    assert type(storage) is MediaStorage
    assert storage.bucket_name == BUCKET
    assert storage.location == "media/"
    assert storage.file_overwrite is False
    assert storage.region_name == "eu-central-1"
    config = storage.connection.meta.client.meta.config
    assert (config.signature_version, config.s3["addressing_style"]) == ("s3v4", "virtual")
    assert storage.connection.meta.client is clients.web(default_storage.target)


@override_settings(AWS_S3_OBJECT_PARAMETERS={"CacheControl": "no-store"}, AWS_LOCATION="files")
def test_django_storages_settings_apply(requests: Requests) -> None:
    name = default_storage.save("a.css", ContentFile(b"a" * 2000))
    put = requests.only("PutObject")
    assert unquote(put.url) == f"https://{BUCKET}.s3.eu-central-1.amazonaws.com/files/{name}"
    assert put.headers["cache-control"] == "no-store"
    assert "x-amz-acl" not in put.headers
    assert "gzip" not in put.headers.get("content-encoding", "")
    assert "X-Amz-Signature" in default_storage.url(name)


def test_file_overwrite_keeps_names_and_sends_no_cache(requests: Requests, settings: Any) -> None:
    settings.STORAGES = with_options(file_overwrite=True)
    assert default_storage.save("feed.xml", ContentFile(b"1")) == "feed.xml"
    assert default_storage.save("feed.xml", ContentFile(b"2")) == "feed.xml"
    assert requests.operations == ["PutObject"] * 2
    assert requests[0].headers["cache-control"] == "no-cache"
    with default_storage.open("feed.xml") as file:
        assert file.read() == b"2"


def test_storage_instance_stores_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {
        "AWS_ACCESS_KEY_ID": "an-id",
        "AWS_SECRET_ACCESS_KEY": "a-secret",
        "AWS_SESSION_TOKEN": "a-token",
        "AWS_S3_SESSION_PROFILE": "a-profile",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert not set(variables.values()) & {
        str(value) for value in vars(MediaStorage(bucket_name="b")).values()
    }


def test_default_storage_follows_override_settings() -> None:
    storage = default_storage._wrapped if default_storage.url("a") else None
    with override_settings(AWS_S3_ENDPOINT_URL="http://127.0.0.1:9"):
        assert default_storage.url("a").startswith(f"http://127.0.0.1:9/{BUCKET}/media/a?X-Amz-")
        assert default_storage._wrapped is storage
    assert default_storage.url("a").startswith(f"https://{BUCKET}.s3.eu-central-1.amazonaws.com/media/a?")
    with override_settings(STORAGES=with_options(access="public-policy", custom_domain="m.example.com")):
        assert default_storage.url("a") == "https://m.example.com/media/a"
    with override_settings(AWS_STORAGE_BUCKET_NAME="made-within"):
        made_within = MediaStorage()
    assert made_within.bucket_name == ""


def test_options_survive_override_settings_and_typos_are_rejected() -> None:
    second = MediaStorage(bucket_name="second", access="public-policy")
    with override_settings(AWS_QUERYSTRING_EXPIRE=60):
        assert (second.bucket_name, second.access, second.querystring_expire) == (
            "second",
            "public-policy",
            60,
        )
    with pytest.raises(
        ImproperlyConfigured,
        match=r"the option .bucket_nam. is not supported: the library has no such option",
    ):
        MediaStorage(bucket_nam="second")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"access": "public"}, "'public': choose one of private, public-read, public-policy"),
        ({"bucket_name": " "}, "set its option 'bucket_name'"),
        ({"region_name": " ", "settings": {"AWS_S3_REGION_NAME": ""}}, "set AWS_S3_REGION_NAME"),
        ({"custom_domain": "m.example.com"}, "set cloudfront_key_id and cloudfront_key"),
        ({"custom_domain": "m.example.com", "cloudfront_key_id": "K1"}, "set cloudfront_key_id and"),
        (
            {"custom_domain": "m.example.com", "cloudfront_key_id": "K1", "cloudfront_key": "not a key"},
            "cloudfront_key must be a 2048-bit RSA private key",
        ),
        ({"access_key": "a"}, "Only one of the options 'access_key' and 'secret_key' is set"),
        ({"access_key": "a", "secret_key": "b", "session_profile": "c"}, "not both"),
        ({"location": "/media"}, "is not a valid prefix"),
        ({"location": "media/../static"}, "is not a valid prefix"),
        ({"location": "/"}, "is not a valid prefix"),
        ({"location": "pending/mine"}, "reserved for unchecked direct uploads"),
        ({"location": "a*"}, "special meaning in policies"),
    ],
)
def test_invalid_options_raise_a_one_line_error(wrong: dict[str, Any], message: str) -> None:
    options = {"bucket_name": BUCKET} | wrong
    with override_settings(**options.pop("settings", {})), pytest.raises(ImproperlyConfigured) as caught:
        MediaStorage(**options).url("a")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "setting", "value", "same"),
    [
        ("querystring_auth", "AWS_QUERYSTRING_AUTH", False, True),
        ("default_acl", "AWS_DEFAULT_ACL", "public-read", None),
        ("gzip", "AWS_IS_GZIPPED", True, False),
        ("signature_version", "AWS_S3_SIGNATURE_VERSION", "s3", "s3v4"),
        ("addressing_style", "AWS_S3_ADDRESSING_STYLE", "path", "virtual"),
        ("url_protocol", "AWS_S3_URL_PROTOCOL", "http:", "https:"),
        ("use_ssl", "AWS_S3_USE_SSL", False, True),
        ("verify", "AWS_S3_VERIFY", False, True),
        ("proxies", "AWS_S3_PROXIES", {"https": "proxy"}, None),
        ("client_config", "AWS_S3_CLIENT_CONFIG", object(), None),
        ("use_threads", "AWS_S3_USE_THREADS", False, True),
        ("file_name_charset", "AWS_S3_FILE_NAME_CHARSET", "latin-1", "utf-8"),
    ],
)
def test_unsupported_options_and_settings_are_rejected(
    option: str, setting: str, value: Any, same: Any
) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"the option '{option}' is .*not supported"):
        MediaStorage(bucket_name=BUCKET, **{option: value})
    with override_settings(**{setting: value}), pytest.raises(ImproperlyConfigured, match=f"^{setting} is"):
        MediaStorage(bucket_name=BUCKET)
    attribute = type("Mine", (MediaStorage,), {option: value, "__module__": "somebodys"})
    with pytest.raises(ImproperlyConfigured, match=f"Mine.{option} is"):
        attribute(bucket_name=BUCKET)
    MediaStorage(bucket_name=BUCKET, **{option: same})  # options without effect are accepted


def test_class_attributes_work_as_options() -> None:
    class Avatars(MediaStorage):
        bucket_name = "avatars"
        location = "people"
        access = "public-policy"

    assert Avatars().url("a").endswith("avatars.s3.eu-central-1.amazonaws.com/people/a")
    assert Avatars(bucket_name="other").described("avatars").bucket == "other"


def test_use_s3_local_sends_every_storage_to_the_local_server(settings: Any, tmp_path: Path) -> None:
    settings.S3KIT_LOCAL_DIR = tmp_path
    settings.USE_S3 = "local"
    options = {"endpoint_url": "https://s3.example.com", "access_key": "a", "secret_key": "b"}
    storage: Any = MediaStorage(**options, custom_domain="m.example.com", access="public-policy")
    assert storage.url("a") == "http://127.0.0.1:9000/local-media/media/a"
    private: Any = MediaStorage(**options, bucket_name=BUCKET)
    with pytest.raises(ImproperlyConfigured, match="The local S3 server is not running: start it with"):
        private.url("a")
    with pretended_server(tmp_path, "http://127.0.0.1:9321"):
        assert private.url("a").startswith(f"http://127.0.0.1:9321/{BUCKET}/media/a?")
        assert query_of(private.url("a"))["X-Amz-Credential"].startswith("LOCAL/")
        real = private.bound(local=False)
        assert real.url("a").startswith(f"https://s3.example.com/{BUCKET}/media/a?")
        assert query_of(real.url("a"))["X-Amz-Credential"].startswith("a/")
        assert real.bound(local=True).url("a") == private.url("a")


# Access


@pytest.mark.parametrize(
    ("access", "acl"), [("private", None), ("public-policy", None), ("public-read", "public-read")]
)
def test_only_public_read_sends_an_acl(requests: Requests, access: str, acl: str | None) -> None:
    with override_settings(STORAGES=with_options(access=access)):
        default_storage.save("small.png", ContentFile(b"x"))
        default_storage.save("large.mp4", ContentFile(bytes(9 * 2**20)))
        with default_storage.open("written.txt", "wb") as file:
            file.write(b"x")
    first = [r for r in requests if r.operation in ("PutObject", "CreateMultipartUpload")]
    assert [r.headers.get("x-amz-acl") for r in first] == [acl] * 3
    acl_headers = {
        name for r in requests for name in r.headers if name.startswith(("x-amz-acl", "x-amz-grant"))
    }
    assert acl_headers == ({"x-amz-acl"} if acl else set())


def test_private_links_are_signed_and_expire_as_set() -> None:
    with override_settings(AWS_QUERYSTRING_EXPIRE=600):
        url = default_storage.url("pictures/a b.jpg")
    plain, _, _ = url.partition("?")
    assert plain == f"https://{BUCKET}.s3.eu-central-1.amazonaws.com/media/pictures/a%20b.jpg"
    query = query_of(url)
    assert query["X-Amz-Expires"] == "600"
    signed = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert timedelta(0) <= datetime.now(UTC) - signed < timedelta(seconds=301)
    assert "X-Amz-Signature" in query


def test_links_are_identical_within_a_signing_window(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, 1_800_000_000.0)
    url = default_storage.url("a.jpg")
    at(monkeypatch, 1_800_000_001.5)
    assert default_storage.url("a.jpg") == MediaStorage(bucket_name=BUCKET).url("a.jpg") == url
    at(monkeypatch, 1_800_001_801.0)
    assert default_storage.url("a.jpg") != url


def test_url_accepts_expire_http_method_and_parameters() -> None:
    wanted = {"ResponseContentDisposition": 'attachment; filename="a b.jpg"', "VersionId": "v+1"}
    query = query_of(default_storage.url("a.jpg", parameters=wanted, expire=90))
    assert query["X-Amz-Expires"] == "90"
    assert query["response-content-disposition"] == 'attachment; filename="a b.jpg"'
    assert query["versionId"] == "v+1"
    get, head = (query_of(default_storage.url("a.jpg", http_method=method)) for method in (None, "HEAD"))
    assert get["X-Amz-Date"] == head["X-Amz-Date"]
    assert get["X-Amz-Signature"] != head["X-Amz-Signature"]
    assert get == query_of(default_storage.url("a.jpg", http_method="GET"))


NON_ASCII_NAMES = [
    ("日本📷.txt", "日本📷.txt", "file.txt"),
    ("Größe\u202fam 1\xa0Mai.pdf", "Größe am 1 Mai.pdf", "Groe am 1 Mai.pdf"),
    ("Отчёт.xlsx", "Отчёт.xlsx", "file.xlsx"),
    ("\u202egpj.exe é", "gpj.exe é", "gpj.exe e"),
    (r"a \"b\" é;c.txt", 'a "b" é;c.txt', "a _b_ e_c.txt"),
]


@pytest.mark.parametrize(("given", "name", "plain"), NON_ASCII_NAMES)
@pytest.mark.parametrize("kind", ["attachment", "inline"])
def test_link_encodes_non_ascii_file_names_in_content_disposition(
    kind: str, given: str, name: str, plain: str
) -> None:
    for said in (f'{kind}; filename="{given}"', f' {kind} ;filename = "{given}" '):
        query = query_of(default_storage.url("a", parameters={"ResponseContentDisposition": said}))
        sent = query["response-content-disposition"]
        assert sent.isascii()
        found = re.fullmatch(rf"{kind}; filename=\"([^\"\\]+)\"; filename\*=UTF-8''(\S+)", sent)
        assert found
        assert (unquote(found[2]), found[1]) == (name, plain)
    bare = {"ResponseContentDisposition": "attachment; filename=é.txt"}
    assert (
        "filename*=UTF-8''%C3%A9.txt"
        in query_of(default_storage.url("a", parameters=bare))["response-content-disposition"]
    )


def test_ascii_content_disposition_is_unchanged() -> None:
    for said in (
        "attachment",
        "attachment; filename*=UTF-8''%C3%A9.txt",
        'inline; filename="a;b"; filename*=x',
    ):
        query = query_of(default_storage.url("a", parameters={"ResponseContentDisposition": said}))
        assert query["response-content-disposition"] == said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ResponseContentType", "text/plain; charset=日本"),
        ("ResponseContentLanguage", "日本"),
        ("ResponseCacheControl", "max-age=1\r\nSet-Cookie: a=b"),
        ("ResponseContentDisposition", 'attachment; filename="a\r\nSet-Cookie: é"'),
        ("ResponseContentDisposition", 'attachment; filename="a\n"'),
        ("ResponseContentDisposition", 'anhängen; filename="a"'),
        ("ResponseContentDisposition", 'attachment; filename="é"; size=3'),
        ("ResponseContentDisposition", "attachment; filename=Größe 1.txt"),
    ],
)
def test_invalid_header_values_are_rejected(name: str, value: str) -> None:
    with pytest.raises(
        ValueError, match=f"^{name} is .*, which can't be sent as a header: use printable"
    ) as caught:
        default_storage.url("a", parameters={name: value})
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("expire", [0, 604801])
def test_url_rejects_invalid_expire_and_the_bucket_parameter(expire: int) -> None:
    with pytest.raises(ValueError, match="1 to 604800"):
        default_storage.url("a.jpg", expire=expire)
    with pytest.raises(ValueError, match="not Bucket"):
        default_storage.url("a.jpg", parameters={"Bucket": "other"})


@pytest.mark.parametrize("access", ["public-read", "public-policy"])
def test_public_links_are_unsigned(access: str) -> None:
    name = "pictures/사진 (1)+&?#%.jpg"
    encoded = "pictures/%EC%82%AC%EC%A7%84%20%281%29%2B%26%3F%23%25.jpg"
    with override_settings(STORAGES=with_options(access=access)):
        assert default_storage.url(name) == (
            f"https://{BUCKET}.s3.eu-central-1.amazonaws.com/media/{encoded}"
        )
        assert default_storage.url("a", parameters={"VersionId": "v+1"}).endswith("/media/a?versionId=v%2B1")
        with pytest.raises(ValueError, match="on signed links only"):
            default_storage.url("a", parameters={"ResponseContentType": "text/html"})
        with override_settings(STORAGES=with_options(access=access, custom_domain="m.example.com")):
            assert default_storage.url(name) == f"https://m.example.com/media/{encoded}"


def test_links_use_the_endpoint_url() -> None:
    with override_settings(AWS_S3_ENDPOINT_URL="http://127.0.0.1:9000"):
        assert default_storage.url("a.jpg").startswith(f"http://127.0.0.1:9000/{BUCKET}/media/a.jpg?X-Amz-")


def test_url_sends_no_request(requests: Requests) -> None:
    for number in range(100):
        default_storage.url(f"{number}.jpg")
    assert not requests


# CloudFront


@pytest.fixture(scope="session")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem_of(key: Any, form: Any = serialization.PrivateFormat.PKCS8, password: bytes | None = None) -> str:
    lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return str(key.private_bytes(serialization.Encoding.PEM, form, lock).decode())


@pytest.fixture
def cloudfront(settings: Any, rsa_key: rsa.RSAPrivateKey) -> rsa.RSAPublicKey:
    settings.AWS_CLOUDFRONT_KEY_ID = "K2EXAMPLE"
    settings.AWS_CLOUDFRONT_KEY = pem_of(rsa_key)
    settings.STORAGES = with_options(custom_domain="m.example.com")
    return rsa_key.public_key()


def test_private_links_on_a_custom_domain_have_cloudfront_signatures(
    cloudfront: rsa.RSAPublicKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, 1_800_000_000.0)
    url = default_storage.url("pictures/사 진.jpg")
    resource, _, _ = url.partition("?")
    assert resource == "https://m.example.com/media/pictures/%EC%82%AC%20%EC%A7%84.jpg"
    query = query_of(url)
    assert list(query) == ["Expires", "Signature", "Key-Pair-Id"]
    assert query["Key-Pair-Id"] == "K2EXAMPLE"
    # Signed at the start of the window, as S3's links are.
    start = signing.window_start(1_800_000_000, 3600, "media/pictures/사 진.jpg")
    assert int(query["Expires"]) == start + 3600
    # The format: CloudFront's developer guide, "Create a signed URL using a canned policy".
    policy = (
        ('{"Statement":[{"Resource":"RESOURCE","Condition":{"DateLessThan":{"AWS:EpochTime":EXPIRES}}}]}')
        .replace("RESOURCE", resource)
        .replace("EXPIRES", query["Expires"])
    )
    signature = base64.b64decode(query["Signature"].translate(str.maketrans("-_~", "+=/")), validate=True)
    cloudfront.verify(signature, policy.encode(), padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - what CloudFront verifies


@pytest.mark.usefixtures("cloudfront")
def test_cloudfront_links_include_url_parameters() -> None:
    url = default_storage.url("a.jpg", parameters={"ResponseContentType": "image/jpeg"})
    assert url.startswith("https://m.example.com/media/a.jpg?response-content-type=image%2Fjpeg&Expires=")


@pytest.mark.usefixtures("cloudfront")
def test_cloudfront_signatures_are_cached_per_window(monkeypatch: pytest.MonkeyPatch) -> None:
    cloudfront_links.signed.cache_clear()
    at(monkeypatch, 1_800_000_000.0)
    first = [default_storage.url(f"{number}.jpg") for number in range(10)]
    at(monkeypatch, 1_800_000_000.9)
    assert [default_storage.url(f"{number}.jpg") for number in range(10)] == first
    assert cloudfront_links.signed.cache_info().misses == 10
    assert cloudfront_links.signed.cache_info().maxsize
    at(monkeypatch, 1_800_001_800.0)
    assert not set(first) & {default_storage.url(f"{number}.jpg") for number in range(10)}


@pytest.mark.parametrize(
    "write",
    [
        lambda pem: pem,
        lambda pem: pem.replace("\n", "\\n"),
        lambda pem: pem.replace("\n", "\\r\\n"),
        lambda pem: f'"{pem.strip()}"'.replace("\n", "\\n"),
        lambda pem: base64.b64encode(pem.encode()).decode(),
        lambda pem: base64.encodebytes(pem.encode()).decode(),
    ],
    ids=["pem", "backslash-n", "backslash-r-n", "quoted", "base64", "base64-lines"],
)
@pytest.mark.parametrize(
    "form", [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL]
)
def test_cloudfront_key_is_read_in_every_format(
    rsa_key: rsa.RSAPrivateKey, write: Callable[[str], str], form: Any
) -> None:
    read = private_key(write(pem_of(rsa_key, form)))
    assert read.private_numbers() == rsa_key.private_numbers()


def test_invalid_cloudfront_key_raises_a_one_line_error(rsa_key: rsa.RSAPrivateKey) -> None:
    good = pem_of(rsa_key)
    wrong = {
        "can't be read": ["", "x", "사진", good[:400], good[:200] + good[300:], "LS0tLS1CRUdJTg=="],
        "a passphrase": [pem_of(rsa_key, password=b"secret")],
        "not RSA": [pem_of(ec.generate_private_key(ec.SECP256R1()))],
        "this one has 3072": [pem_of(rsa.generate_private_key(public_exponent=65537, key_size=3072))],
    }
    public = rsa_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    wrong["can't be read"].append(public.decode())
    for message, texts in wrong.items():
        for text in texts:
            with pytest.raises(ValueError, match=message) as caught:
                private_key(text)
            assert "\n" not in str(caught.value)
            assert len(str(caught.value)) < 200
            assert caught.value.__cause__ is None
            assert caught.value.__suppress_context__ or caught.value.__context__ is None


# Names


@pytest.mark.parametrize(
    ("given", "valid"),
    [
        ("photo.jpg", "photo.jpg"),
        ("My Photo (1).JPG", "My_Photo_1.JPG"),
        ("사진 한 장.png", "사진_한_장.png"),
        (unicodedata.normalize("NFD", "café 사진.jpg"), "café_사진.jpg"),
        ("हिन्दी.pdf", "हिन्दी.pdf"),
        ("Ünïcödé.tar.gz", "Ünïcödé.tar.gz"),
        ("v1.2 final.pdf", "v1.2_final.pdf"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/etc/shadow", "shadow"),
        (".htaccess", "file.htaccess"),
        ("...", "file"),
        ("..jpg", "file.jpg"),
        ("   .png", "file.png"),
        ("a\x00b\r\nc\t.jpg", "a_b_c.jpg"),
        ("exe.\u202egpj", "exe._gpj"),
        ("a\u202ejpg.exe", "a_jpg.exe"),
        ("a<b>\"c'd&e?f#g%h;i:j*k|l.jpg", "a_b_c_d_e_f_g_h_i_j_k_l.jpg"),
        ("🦊.jpg", "file.jpg"),
        ("a\ud800b.jpg", "a_b.jpg"),
        ("", "file"),
        ("-rf.txt", "rf.txt"),
        ("a.жпг", "a.жпг"),
        ("a." + "b" * 40, "a." + "b" * 40),
        ("{ % now %}.txt".replace(" ", "", 1), "now.txt"),
    ],
)
def test_get_valid_name_returns_readable_safe_names(given: str, valid: str) -> None:
    storage = MediaStorage()
    assert storage.get_valid_name(given) == valid
    assert storage.get_valid_name(valid) == valid


def test_random_part_comes_before_the_extension(requests: Requests) -> None:
    for given, pattern in {
        "photo.jpg": rf"photo{UNIQUE}\.jpg",
        "pictures/2026/a.tar.gz": rf"pictures/2026/a{UNIQUE}\.tar\.gz",
        "README": rf"README{UNIQUE}",
        "사진.JPG": rf"사진{UNIQUE}\.JPG",
        "pictures\\a b.png": rf"pictures/a_b{UNIQUE}\.png",
    }.items():
        assert re.fullmatch(pattern, default_storage.generate_filename(given))
    assert len({default_storage.generate_filename("photo.jpg") for _ in range(1000)}) == 1000
    assert not requests


def test_random_part_has_64_bits_from_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    def choice(alphabet: str) -> str:
        drawn.append(alphabet)
        return alphabet[0]

    monkeypatch.setattr("secrets.choice", choice)
    MediaStorage(bucket_name=BUCKET).generate_filename("a.jpg")
    combinations = 1
    for alphabet in drawn:
        assert len(set(alphabet)) == len(alphabet)
        combinations *= len(alphabet)
    assert combinations >= 2**64


@pytest.mark.parametrize("length", [100, 40, 21])
def test_max_length_shortens_only_the_users_part(length: int) -> None:
    def available(name: str) -> str:
        return str(default_storage.get_available_name(default_storage.generate_filename(name), length))

    name = available("p/" + "사" * 300 + ".jpg")
    assert len(name) == length
    assert re.fullmatch(rf"p/사+{UNIQUE}\.jpg", name)
    short = available("p/a.jpg")
    assert re.fullmatch(rf"p/a{UNIQUE}\.jpg", short)


def test_keys_have_at_most_1024_bytes() -> None:
    for letter in ("a", "é", "사", "𐍈"):
        name = default_storage.generate_filename(letter * 2000 + ".jpg")
        size = len(f"media/{name}".encode())
        assert 1024 - 3 <= size <= 1024
        assert re.fullmatch(rf"{letter}+{UNIQUE}\.jpg", name)
    assert len(default_storage.generate_filename("a." + "b" * 2000).encode()) <= 1018


def test_name_that_cannot_fit_raises_a_one_line_error() -> None:
    """Django: "If a free unique filename cannot be found, a SuspiciousFileOperation [...] will be raised"."""
    for name, length in (
        ("a.jpg", 18),
        ("a.jpg", 0),
        ("d" * 1024 + "/a.jpg", None),
        ("d" * 90 + "/a.jpg", 100),
    ):
        with pytest.raises(SuspiciousFileOperation, match="does not fit into") as caught:
            default_storage.get_available_name(default_storage.generate_filename(name), length)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["../a.jpg", "a/../../b.jpg", "/a.jpg", "\\a.jpg", "a\\..\\b.jpg", "..", "a/..", "", "a/", "."]
)
def test_save_and_get_available_name_reject_unsafe_paths(requests: Requests, name: str) -> None:
    with pytest.raises(SuspiciousFileOperation):
        default_storage.save(name, ContentFile(b"x"))
    with pytest.raises(SuspiciousFileOperation):
        default_storage.get_available_name(name)
    assert not requests


OUTSIDE = [
    "../a",
    "..",
    "a/../../static/x",
    "/etc/passwd",
    "/media/a",
    "..\\a",
    "../media2/a",
    "\ud800",
    "é" * 510,
]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize(
    "use",
    [
        lambda name: default_storage.open(name),
        lambda name: default_storage.open(name, "wb"),
        lambda name: default_storage.delete(name),
        lambda name: default_storage.exists(name),
        lambda name: default_storage.size(name),
        lambda name: default_storage.url(name),
        lambda name: default_storage.listdir(name),
        lambda name: default_storage.get_modified_time(name),
    ],
    ids=["open", "write", "delete", "exists", "size", "url", "listdir", "get_modified_time"],
)
def test_names_outside_the_location_are_rejected(
    requests: Requests, name: str, use: Callable[[str], Any]
) -> None:
    with pytest.raises(SuspiciousFileOperation) as caught:
        use(name)
    assert "\n" not in str(caught.value)
    assert not requests


def test_relative_paths_inside_the_location_are_normalized() -> None:
    assert default_storage.url("a/../b.jpg").partition("?")[0].endswith("/media/b.jpg")
    assert default_storage.url(PurePosixPath("a/b.jpg")).partition("?")[0].endswith("/media/a/b.jpg")


def test_file_field_saves_within_max_length() -> None:
    field: Any = models.FileField(upload_to="pictures/%Y/")
    name = field.generate_filename(None, "é" * 200 + " photo.jpg")
    saved = default_storage.save(name, ContentFile(b"x"), max_length=field.max_length)
    assert len(saved) == 100
    assert re.fullmatch(rf"pictures/20\d\d/é+{UNIQUE}\.jpg", saved)
    assert stored(saved)["Body"].read() == b"x"


# Headers for browsers


@pytest.mark.parametrize(
    ("name", "content_type", "kind"),
    [
        ("a.png", "image/png", "inline"),
        ("a.jpg", "image/jpeg", "inline"),
        ("a.JPEG", "image/jpeg", "inline"),
        ("a.gif", "image/gif", "inline"),
        ("a.webp", "image/webp", "inline"),
        ("a.avif", "image/avif", "inline"),
        ("a.mp4", "video/mp4", "inline"),
        ("a.pdf", "application/pdf", "inline"),
        ("a.txt", "text/plain", "attachment"),
        ("a.zip", "application/zip", "attachment"),
        ("a.mp3", "audio/mpeg", "attachment"),
        ("a.svg", "image/svg+xml", "attachment"),
        ("a.SVG", "image/svg+xml", "attachment"),
        ("a.vtt", "text/vtt", "attachment"),
        ("a.ics", "text/calendar", "attachment"),
        ("a.json", "application/json", "attachment"),
        ("a.m3u8", "application/vnd.apple.mpegurl", "attachment"),
        ("a.svgz", "application/octet-stream", "attachment"),
        ("a.html", "application/octet-stream", "attachment"),
        ("a.xhtml", "application/octet-stream", "attachment"),
        ("a.xml", "application/octet-stream", "attachment"),
        ("a.js", "application/octet-stream", "attachment"),
        ("a.css", "application/octet-stream", "attachment"),
        ("a.png.html", "application/octet-stream", "attachment"),
        ("a.html.png", "image/png", "inline"),
        ("a.tar.gz", "application/octet-stream", "attachment"),
        ("a.gz", "application/octet-stream", "attachment"),
        ("a.unknown", "application/octet-stream", "attachment"),
        ("png", "application/octet-stream", "attachment"),
        ("a.png ", "image/png", "inline"),
        ("a.png.", "image/png", "inline"),
    ],
)
def test_extension_determines_content_type_and_disposition(
    requests: Requests, name: str, content_type: str, kind: str
) -> None:
    default_storage.save(name, SimpleUploadedFile(name.strip(), b"<script>", content_type="text/html"))
    headers = requests.only("PutObject").headers
    assert headers["content-type"] == content_type
    assert headers["content-disposition"].split(";")[0] == kind
    assert headers.get("content-encoding") in (None, "aws-chunked")  # the latter only affects the request


def kinds(**options: Any) -> Callable[[str], tuple[str, str]]:
    """Return a function that returns a name's content type and disposition, with these options."""
    storage = MediaStorage(bucket_name=BUCKET, **options)

    def kind(name: str) -> tuple[str, str]:
        sent = storage.write_parameters(name)
        return sent["ContentType"], sent["ContentDisposition"].split(";")[0]

    return kind


def test_inline_types_and_content_types_add_types() -> None:
    kind = kinds(
        inline_types={"txt": "text/plain; charset=utf-8", ".MP3": "audio/mpeg", "woff2": "font/woff2"},
        content_types={"epub": "application/epub+zip", "pdf": "application/pdf", "xml": "application/xml"},
    )
    assert kind("a.txt") == ("text/plain; charset=utf-8", "inline")
    assert kind("a.Mp3") == ("audio/mpeg", "inline")
    assert kind("a.woff2") == ("font/woff2", "inline")
    assert kind("a.epub") == ("application/epub+zip", "attachment")
    assert kind("a.pdf") == ("application/pdf", "attachment")  # no longer displayed inline
    assert kind("a.xml") == ("application/xml", "attachment")
    assert kind("a.png") == ("image/png", "inline")
    with override_settings(
        AWS_MEDIA_INLINE_TYPES={"json": "application/json"}, AWS_MEDIA_CONTENT_TYPES={"x": "a/b"}
    ):
        assert kinds()("a.json") == ("application/json", "inline")
        assert kinds()("a.x") == ("a/b", "attachment")


@pytest.mark.parametrize(
    "active",
    [
        *("text/html", "text/html; charset=utf-8", "application/xhtml+xml", "image/svg+xml", "IMAGE/SVG+XML"),
        *(
            "text/xml",
            "application/xml",
            "application/atom+xml",
            "application/rss+xml",
            "text/xsl",
            "image/svg",
        ),
        *("text/javascript", "application/javascript", "application/ecmascript", "text/css", "font/x+xml"),
        *("multipart/x-mixed-replace", "application/octet-stream", "application/unknown", "message/rfc822"),
        "application/x-shockwave-flash",
    ],
)
def test_inline_types_reject_types_that_could_run_scripts(active: str) -> None:
    with pytest.raises(
        ImproperlyConfigured, match=r"'inline_types' shows \.a as .*, which could run a script"
    ):
        kinds(inline_types={"a": active})


@pytest.mark.parametrize(
    "active",
    [
        *(
            "text/html",
            "application/xhtml+xml",
            "text/javascript",
            "application/x-javascript",
            "text/livescript",
        ),
        *("application/ecmascript", "multipart/x-mixed-replace", "text/xsl"),
    ],
)
def test_content_types_reject_pages_and_scripts(active: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="an upload could be a page or a script"):
        kinds(content_types={"a": active})


@pytest.mark.parametrize("option", ["inline_types", "content_types"])
@pytest.mark.parametrize(
    "wrong",
    [
        *(
            ["txt"],
            "txt",
            {"": "text/plain"},
            {"tar.gz": "application/gzip"},
            {"a b": "text/plain"},
            {"txt": ""},
        ),
        *(
            {"txt": "plain"},
            {"txt": "text/plain\r\nX: y"},
            {"txt": "text/plain; charset=utf-7"},
            {"txt": "*/*"},
        ),
    ],
)
def test_invalid_type_tables_are_rejected(option: str, wrong: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"The option '{option}' (is|has) ") as caught:
        kinds(**{option: wrong})
    assert "\n" not in str(caught.value)


def test_extension_in_both_type_tables_is_rejected() -> None:
    with pytest.raises(ImproperlyConfigured, match="both have 'txt'"):
        kinds(inline_types={"txt": "text/plain"}, content_types={"txt": "text/plain"})


def test_system_mime_types_are_ignored(requests: Requests, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mimetypes.guess_type", lambda *_args, **_kwargs: ("text/html", None))
    default_storage.save("a.png", ContentFile(b"x"))
    default_storage.save("a.bin", ContentFile(b"x"))
    with default_storage.open("b.png", "wb") as file:
        file.write(b"x")
    sent = [r.headers["content-type"] for r in requests if "content-type" in r.headers and r.method != "HEAD"]
    assert sent[:3] == ["image/png", "application/octet-stream", "image/png"]


def disposition_of(requests: Requests) -> str:
    return [r.headers["content-disposition"] for r in requests if "content-disposition" in r.headers][-1]


@pytest.mark.parametrize(
    ("given", "header"),
    [
        ("report.txt", 'attachment; filename="report.txt"'),
        ("my photo (1).jpg", 'inline; filename="my photo (1).jpg"'),
        ("é.txt", "attachment; filename=\"e.txt\"; filename*=UTF-8''%C3%A9.txt"),
        ("사진.png", "inline; filename=\"file.png\"; filename*=UTF-8''%EC%82%AC%EC%A7%84.png"),
        ("a\"b;c%41'.txt", "attachment; filename=\"ab_c_41'.txt\"; filename*=UTF-8''ab%3Bc%2541%27.txt"),
        ("a\r\nSet-Cookie: x.txt", 'attachment; filename="aSet-Cookie: x.txt"'),
        ("a\u202etxt.exe", 'attachment; filename="atxt.exe"'),
        (".hidden.txt", 'attachment; filename="hidden.txt"'),
    ],
)
def test_download_has_the_uploaded_files_name(requests: Requests, given: str, header: str) -> None:
    upload: Any = SimpleUploadedFile("placeholder", b"x")
    upload._name = given  # names from parsers less careful than Django's
    field: Any = models.FileField(upload_to="files/")
    default_storage.save(field.generate_filename(None, given.replace("\r\n", "")), upload)
    assert disposition_of(requests) == header


def test_download_of_other_files_has_the_saved_name(requests: Requests, tmp_path: Path) -> None:
    (tmp_path / "tmp123.csv").write_bytes(b"x")
    with (tmp_path / "tmp123.csv").open("rb") as file:
        default_storage.save("exports/Yearly report.csv", File(file))
    assert disposition_of(requests) == 'attachment; filename="Yearly report.csv"'
    # The same if the application chose a name of another type than the user's file.
    default_storage.save("avatar.txt", SimpleUploadedFile("evil.exe", b"x"))
    assert disposition_of(requests) == 'attachment; filename="avatar.txt"'


def test_object_metadata_stays_below_2_kilobytes(requests: Requests) -> None:
    for letter in ("a", "é", "사", "𐍈"):
        name = letter * 250 + ".txt"
        default_storage.save(name, SimpleUploadedFile(name, b"x"))
        default_storage.save(None, ContentFile(b"x", name=letter * 1000 + ".txt"))
    for put in requests:
        held = ("content-type", "content-disposition", "cache-control")
        assert sum(len(name) + len(put.headers[name]) for name in held) < 2048
        assert put.headers["content-disposition"].isascii()


def test_cache_control_follows_access_and_max_age(
    requests: Requests, settings: Any, request: pytest.FixtureRequest
) -> None:
    def cache_control() -> str:
        default_storage.save(None, ContentFile(b"x", name="a.jpg"))
        return requests[-1].headers["cache-control"]

    assert cache_control() == "private, max-age=3600, immutable"
    settings.AWS_QUERYSTRING_EXPIRE = 60
    assert cache_control() == "private, max-age=60, immutable"
    request.getfixturevalue("cloudfront")
    assert cache_control() == "max-age=60, immutable"
    settings.STORAGES = with_options(access="public-policy")
    assert cache_control() == "public, max-age=31536000, immutable"
    settings.AWS_MEDIA_MAX_AGE = 3600
    assert cache_control() == "public, max-age=3600, immutable"
    settings.STORAGES = with_options(access="public-read", max_age=0)
    assert cache_control() == "public, max-age=0, immutable"
    for wrong in (-1, 31_536_001, "3600", True):
        settings.STORAGES = with_options(access="public-read", max_age=wrong)
        with pytest.raises(ImproperlyConfigured, match=rf"'max_age' is {wrong!r}: set it to 0 to 31536000"):
            default_storage.save("a.jpg", ContentFile(b"x"))


def test_subclass_can_set_object_parameters(requests: Requests) -> None:
    class Archive(MediaStorage):
        def get_object_parameters(self, name: str) -> dict[str, str]:  # noqa: ARG002
            return {"StorageClass": "STANDARD_IA", "CacheControl": "no-store"}

    Archive(bucket_name=BUCKET).save("a.jpg", ContentFile(b"x"))
    headers = requests.only("PutObject").headers
    assert headers["x-amz-storage-class"] == "STANDARD_IA"
    assert headers["cache-control"] == "no-store"
    assert headers["content-type"] == "image/jpeg"


# Uploads


class Measured(io.BytesIO):
    """A file that records the sizes of reads."""

    largest = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.largest = max(self.largest, len(data))
        return data


def test_large_file_is_uploaded_in_parts_and_never_read_at_once(requests: Requests) -> None:
    content = Measured(os.urandom(20 * 2**20))
    name = default_storage.save("a.mp4", File(content, "a.mp4"))
    assert requests.operations == [
        "HeadObject",
        "CreateMultipartUpload",
        *["UploadPart"] * 3,
        "CompleteMultipartUpload",
    ]
    assert content.largest <= 8 * 2**20
    assert stored(name)["Body"].read() == content.getvalue()
    created = requests.only("CreateMultipartUpload").headers
    assert created["content-type"] == "video/mp4"
    assert created["content-disposition"] == 'inline; filename="a.mp4"'
    assert created["cache-control"] == "no-cache"


def half_read() -> File:
    content = io.BytesIO("bytes é".encode())
    content.read(4)
    return File(content)


def half_read_text() -> File:
    content = io.StringIO("bytes é")
    content.read(4)
    return File(content)


def on_disk() -> File:
    upload = TemporaryUploadedFile("a.txt", "text/plain", 8, None)
    upload.write("bytes é".encode())
    return upload


@pytest.mark.parametrize(
    "make",
    [
        lambda: ContentFile("bytes é".encode()),
        lambda: ContentFile("bytes é"),
        lambda: File(io.StringIO("bytes é")),
        lambda: io.BytesIO("bytes é".encode()),
        lambda: SimpleUploadedFile("a.txt", "bytes é".encode()),
        half_read,
        half_read_text,
        on_disk,
    ],
    ids=[
        "bytes",
        "text",
        "text-file",
        "plain-file",
        "upload",
        "half-read",
        "half-read-text",
        "upload-on-disk",
    ],
)
def test_save_accepts_any_content_and_leaves_it_open(make: Callable[[], Any]) -> None:
    content = make()
    name = default_storage.save("a.txt", content)
    assert stored(name)["Body"].read() == "bytes é".encode()
    assert not content.closed
    content.close()


def test_save_without_a_name_uses_the_contents_name() -> None:
    """Django: "If name is None, the storage system will use content.name"."""
    assert re.fullmatch(rf"b{UNIQUE}\.txt", default_storage.save(None, ContentFile(b"x", name="b.txt")))


def test_save_returns_the_name_of_the_stored_file() -> None:
    """Django: "the actual name of the stored file will be returned"; "free and available for new content"."""
    first, second = (default_storage.save("a.txt", ContentFile(text)) for text in (b"1", b"2"))
    assert first != second
    assert stored(first)["Body"].read() == b"1"
    assert stored(second)["Body"].read() == b"2"


def test_open_for_writing_stores_the_written_bytes() -> None:
    with default_storage.open("a/b.txt", "wb") as file:
        file.write(b"1")
        file.write(b"2")
    assert stored("a/b.txt")["Body"].read() == b"12"
    with default_storage.open("a/empty.txt", "wb"):
        pass
    assert default_storage.size("a/empty.txt") == 0


# Reading


def test_storage_api_reads_saved_files() -> None:
    name = default_storage.save("a/b.bin", ContentFile(bytes(range(256))))
    assert default_storage.exists(name)
    assert not default_storage.exists("a/none.bin")
    assert default_storage.size(name) == 256
    with default_storage.open(name) as file:
        assert isinstance(file, File)
        assert file.name == name
        assert file.size == 256
        assert file.read(2) == b"\x00\x01"
        file.seek(-2, os.SEEK_END)
        assert file.tell() == 254
        assert file.read() == b"\xfe\xff"
        file.seek(0)
        assert b"".join(file.chunks(100)) == bytes(range(256))
    with default_storage.open(default_storage.save("t.txt", ContentFile("é\n2"))) as file:
        assert list(file) == ["é\n".encode(), b"2"]


def test_reading_spools_large_files_to_disk() -> None:
    name = default_storage.save("a.bin", ContentFile(bytes(3 * 2**20)))
    with default_storage.open(name) as file:
        file.read(1)
        assert file.file._rolled
    with default_storage.open(default_storage.save("b.bin", ContentFile(bytes(1000)))) as file:
        file.read(1)
        assert not file.file._rolled


def test_listdir_returns_folders_and_files() -> None:
    """Django: "a 2-tuple of lists; the first item being directories, the second item being files"."""
    for name in ("a.txt", "d/b.txt", "d/e/c.txt", "d/사진 1.txt"):
        default_storage.open(name, "wb").close()
    clients.command(default_storage.target).put_object(Bucket=BUCKET, Key="static/x.css")
    assert default_storage.listdir("") == (["d"], ["a.txt"])
    folders, files = default_storage.listdir("d")
    assert (folders, sorted(files)) == (["e"], ["b.txt", "사진 1.txt"])
    assert default_storage.listdir("d/") == (folders, files)
    assert default_storage.listdir("none") == ([], [])


def test_get_modified_time_follows_use_tz(settings: Any) -> None:
    """Django: "If USE_TZ is True, returns an aware datetime, otherwise returns a naive datetime"."""
    name = default_storage.save("a.txt", ContentFile(b"x"))
    aware = default_storage.get_modified_time(name)
    assert abs(aware - datetime.now(UTC)) < timedelta(minutes=1)
    settings.USE_TZ = False
    settings.TIME_ZONE = "Asia/Seoul"
    naive = default_storage.get_modified_time(name)
    assert naive.tzinfo is None
    assert naive.replace(tzinfo=timezone(timedelta(hours=9))) == aware


@pytest.mark.parametrize("use", ["open", "size", "get_modified_time"])
def test_missing_file_raises_file_not_found(use: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.txt"):
        getattr(default_storage, use)("none.txt")


def test_delete_ignores_missing_files_and_rejects_empty_names() -> None:
    """As in Django's own storage, a missing file is not an error, but an empty name is."""
    name = default_storage.save("a.txt", ContentFile(b"x"))
    default_storage.delete(name)
    assert not default_storage.exists(name)
    default_storage.delete(name)
    with pytest.raises(ValueError, match="needs the name of a file"):
        default_storage.delete("")


@pytest.mark.parametrize("missing", ["path", "get_accessed_time", "get_created_time"])
def test_unsupported_storage_methods_raise_not_implemented(missing: str) -> None:
    """Django: "this will raise NotImplementedError instead"."""
    with pytest.raises(NotImplementedError):
        getattr(default_storage, missing)("a.txt")


def test_storage_deconstructs_and_pickles() -> None:
    storage = MediaStorage(bucket_name="second")
    assert storage.deconstruct() == ("s3kit.storages.MediaStorage", (), {"bucket_name": "second"})
    again = pickle.loads(pickle.dumps(storage))  # noqa: S301 - its own bytes
    assert again.bucket_name == "second"
    assert again.url("a").partition("?")[0] == storage.url("a").partition("?")[0]


# Shared requests


def test_every_request_sends_the_expected_bucket_owner(settings: Any) -> None:
    settings.AWS_EXPECTED_BUCKET_OWNER = "123456789012"
    requests = watch()
    name = default_storage.save("a.txt", ContentFile(b"x"))
    default_storage.save("b.mp4", ContentFile(bytes(9 * 2**20)))
    with default_storage.open("w.txt", "wb") as file:
        file.write(b"x")
    default_storage.open("empty.txt", "wb").close()
    with default_storage.open(name) as file:
        file.read()
    default_storage.exists(name)
    default_storage.size(name)
    default_storage.listdir("")
    default_storage.get_modified_time(name)
    default_storage.delete(name)
    operations = {
        *("PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"),
        *("HeadObject", "GetObject", "ListObjects", "DeleteObject"),
    }
    assert set(requests.operations) == operations
    unnamed = [
        r.operation for r in requests if r.headers.get("x-amz-expected-bucket-owner") != "123456789012"
    ]
    assert unnamed == []


def test_requests_omit_the_bucket_owner_if_unset(requests: Requests) -> None:
    default_storage.save("a.txt", ContentFile(b"x"))
    assert "x-amz-expected-bucket-owner" not in requests[0].headers


def test_threads_share_one_client(requests: Requests) -> None:
    with ThreadPoolExecutor(8) as pool:
        used = set(pool.map(lambda _: id(default_storage.connection.meta.client), range(32)))
        names = set(pool.map(lambda _: default_storage.save(None, ContentFile(b"x", "a.txt")), range(32)))
    assert used == {id(clients.web(default_storage.target))}
    assert len(names) == 32
    assert requests.operations == ["PutObject"] * 32


FORK = """
import os
from django.conf import settings
settings.configure(AWS_S3_REGION_NAME="eu-central-1")
from s3kit.storages import MediaStorage
storage = MediaStorage(bucket_name="a")
before = storage.connection.meta.client
if child := os.fork():
    status = os.waitpid(child, 0)[1]
    assert storage.connection.meta.client is before
    raise SystemExit(os.waitstatus_to_exitcode(status))
os._exit(storage.connection.meta.client is before)
"""


def test_forked_process_gets_its_own_client() -> None:
    """Otherwise, a server that loads the site before it forks would let two processes read from one socket."""
    folder = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", FORK], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
