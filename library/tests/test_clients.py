"""The client configuration: botocore and obstore reach the same host in every partition."""

import io
import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import obstore
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import NoCredentialsError
from django.core.exceptions import ImproperlyConfigured

from s3kit import clients, isolation
from s3kit.deployment import Target, arn
from s3kit.storages import MediaStorage

KEYS = ["static/css/base.css", "static/a b+c~d*(e)'é%25#?&=@:,;!$.css", "media/[x]/{y}^`|\\.png"]


@pytest.fixture(autouse=True)
def fresh_clients() -> Iterator[None]:
    clients.forget()
    yield
    clients.forget()


def current_target() -> Target:
    """Return a storage's target with the current settings."""
    return MediaStorage(bucket_name="example").target


class EmptyBody(io.BytesIO):
    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        return iter(())


def sent_by_botocore(bucket: str, key: str) -> Any:
    """Return the signed request that botocore would send."""
    sent = []

    def instead_of_sending(request: Any, **_: Any) -> AWSResponse:
        sent.append(request)
        return AWSResponse(request.url, 200, {}, EmptyBody())

    s3 = clients.command(current_target())
    s3.meta.events.register("before-send.s3", instead_of_sending)
    try:
        s3.head_object(Bucket=bucket, Key=key, **clients.owner_arguments(current_target()))
    finally:
        s3.meta.events.unregister("before-send.s3", instead_of_sending)
    return sent[0]


HOSTS = [
    ("eu-central-1", "aws", "s3.eu-central-1.amazonaws.com"),
    ("us-east-1", "aws", "s3.us-east-1.amazonaws.com"),
    ("eu-west-1", "aws", "s3.eu-west-1.amazonaws.com"),
    ("ap-southeast-7", "aws", "s3.ap-southeast-7.amazonaws.com"),
    ("cn-north-1", "aws-cn", "s3.cn-north-1.amazonaws.com.cn"),
    ("cn-northwest-1", "aws-cn", "s3.cn-northwest-1.amazonaws.com.cn"),
    ("us-gov-west-1", "aws-us-gov", "s3.us-gov-west-1.amazonaws.com"),
    ("eusc-de-east-1", "aws-eusc", "s3.eusc-de-east-1.amazonaws.eu"),
    ("us-iso-east-1", "aws-iso", "s3.us-iso-east-1.c2s.ic.gov"),
]
BUCKETS = [
    ("example-static", "https://example-static.{host}"),
    ("example-123456789012-eu-central-1-an", "https://example-123456789012-eu-central-1-an.{host}"),
    ("static.example.com", "https://{host}/static.example.com"),  # no TLS wildcard covers the dots
]


@pytest.mark.parametrize(("bucket", "expected"), BUCKETS)
@pytest.mark.parametrize(("region", "partition", "host"), HOSTS)
def test_botocore_and_obstore_use_the_same_url_in_every_partition(
    settings: Any, region: str, partition: str, host: str, bucket: str, expected: str
) -> None:
    settings.AWS_S3_REGION_NAME = region
    base = expected.format(host=host)
    assert clients.partition(region) == partition
    assert clients.bucket_url(current_target(), bucket) == base
    for key in KEYS:
        request = sent_by_botocore(bucket, key)
        assert request.url == clients.object_url(current_target(), bucket, key)
        assert request.url.startswith(f"{base}/")
        assert f"/{region}/s3/aws4_request" in request.headers["Authorization"].decode()
    store = clients.obstore_store(current_target(), bucket)
    assert store.config["endpoint"] == base
    assert store.config["region"] == region
    # Signing sends nothing, and shows obstore's URL.
    signed = urlsplit(obstore.sign(store, "GET", KEYS[0], timedelta(minutes=1)))
    assert f"{signed.scheme}://{signed.netloc}{signed.path}" == clients.object_url(
        current_target(), bucket, KEYS[0]
    )


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:9", "http://127.0.0.1:9/", "https://s3.example.org/sub"]
)
def test_custom_endpoints_use_path_style_urls(settings: Any, endpoint: str) -> None:
    settings.AWS_S3_REGION_NAME = "eu-central-1"
    settings.AWS_S3_ENDPOINT_URL = endpoint
    for bucket in ("example-static", "static.example.com"):
        assert clients.bucket_url(current_target(), bucket) == f"{endpoint.rstrip('/')}/{bucket}"
        assert sent_by_botocore(bucket, KEYS[1]).url == clients.object_url(current_target(), bucket, KEYS[1])
        assert clients.obstore_store(current_target(), bucket).config["endpoint"] == clients.bucket_url(
            current_target(), bucket
        )


class Listener:
    """A loopback server that responds to every request with 200."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        listener = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                listener.requests.append((self.command, self.path, headers))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.send_header("ETag", '"x"')
                self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
                self.end_headers()

            do_HEAD = do_PUT = do_GET = do  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def test_obstore_and_boto3_send_the_same_path_host_and_owner(
    settings: Any, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.AWS_S3_REGION_NAME = "eu-central-1"
    settings.AWS_S3_ENDPOINT_URL = listener.url
    settings.AWS_EXPECTED_BUCKET_OWNER = "123456789012"
    # Variables that obstore would read and prefer.
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    for key in KEYS:
        clients.command(current_target()).head_object(
            Bucket="example", Key=key, **clients.owner_arguments(current_target())
        )
        obstore.head(clients.obstore_store(current_target(), "example"), key)
    for first, second in zip(listener.requests[::2], listener.requests[1::2], strict=True):
        assert first[:2] == second[:2]
        assert first[2]["host"] == second[2]["host"]
        for headers in (first[2], second[2]):
            assert headers["x-amz-expected-bucket-owner"] == "123456789012"
            assert "x-amz-expected-bucket-owner" in headers["authorization"]
            assert "/eu-central-1/s3/aws4_request" in headers["authorization"]


def test_expected_owner_is_sent_only_if_set(settings: Any, listener: Listener) -> None:
    settings.AWS_S3_REGION_NAME = "eu-central-1"
    settings.AWS_S3_ENDPOINT_URL = listener.url
    assert clients.owner_arguments(current_target()) == {}
    obstore.put(clients.obstore_store(current_target(), "example"), "static/x", b"x")
    assert "x-amz-expected-bucket-owner" not in listener.requests[0][2]


def test_both_clients_use_the_proxy_variables(
    settings: Any, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "check_host", lambda _host: None)
    settings.AWS_S3_REGION_NAME = "eu-central-1"
    settings.AWS_S3_ENDPOINT_URL = "http://s3.example.org"
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, listener.url)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    clients.command(current_target()).head_object(Bucket="example", Key="x")
    obstore.head(clients.obstore_store(current_target(), "example"), "x")
    assert [request[:2] for request in listener.requests] == [("HEAD", "http://s3.example.org/example/x")] * 2


def test_both_clients_use_aws_ca_bundle(
    settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings.AWS_S3_REGION_NAME = "eu-central-1"
    missing = tmp_path / "missing.pem"
    monkeypatch.setenv("AWS_CA_BUNDLE", str(missing))
    assert clients.command(current_target())._endpoint.http_session._verify == str(missing)
    with pytest.raises(ImproperlyConfigured, match=r"missing\.pem"):
        clients.obstore_store(current_target(), "example")


def test_custom_endpoints_get_only_required_checksums(settings: Any) -> None:
    settings.AWS_S3_REGION_NAME = "eu-central-1"
    assert clients.command(current_target()).meta.config.request_checksum_calculation == "when_supported"
    settings.AWS_S3_ENDPOINT_URL = "http://127.0.0.1:9"
    made = clients.command(current_target()).meta.config
    assert (made.request_checksum_calculation, made.response_checksum_validation) == ("when_required",) * 2


def test_settings_override_boto3s_environment_variables(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.AWS_S3_REGION_NAME = "eu-central-1"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    assert sent_by_botocore("example", "x").url == "https://example.s3.eu-central-1.amazonaws.com/x"
    assert clients.command(current_target()).meta.config.signature_version == "s3v4"
    assert clients.command(current_target()).meta.config.retries["mode"] == "standard"


def test_links_are_signed_with_v4_in_every_region(settings: Any) -> None:
    for region in ("us-east-1", "eu-west-1", "eu-central-1"):  # by default, boto3 uses SigV2 in the first two
        settings.AWS_S3_REGION_NAME = region
        link = clients.command(current_target()).generate_presigned_url(
            "get_object", Params={"Bucket": "example", "Key": "x"}
        )
        assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in link


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("AWS_USE_DUALSTACK_ENDPOINT", "https://example.s3.dualstack.us-east-1.amazonaws.com"),
        ("AWS_USE_FIPS_ENDPOINT", "https://example.s3-fips.us-east-1.amazonaws.com"),
    ],
)
def test_dualstack_and_fips_variables_change_only_aws_urls(
    settings: Any, monkeypatch: pytest.MonkeyPatch, variable: str, url: str
) -> None:
    settings.AWS_S3_REGION_NAME = "us-east-1"
    monkeypatch.setenv(variable, "true")
    assert clients.bucket_url(current_target(), "example") == url
    assert sent_by_botocore("example", "x").url == f"{url}/x"
    # A custom endpoint has no variants.
    settings.AWS_S3_ENDPOINT_URL = "http://127.0.0.1:9"
    assert clients.bucket_url(current_target(), "example") == "http://127.0.0.1:9/example"
    assert sent_by_botocore("example", "x").url == "http://127.0.0.1:9/example/x"


def test_missing_region_error_names_the_setting(settings: Any) -> None:
    settings.AWS_S3_REGION_NAME = " "
    with pytest.raises(ImproperlyConfigured, match="AWS_S3_REGION_NAME"):
        current_target()


def test_malformed_region_raises_improperly_configured(settings: Any) -> None:
    settings.AWS_S3_REGION_NAME = "eu central"
    with pytest.raises(ImproperlyConfigured, match="eu central"):
        clients.object_url(current_target(), "example", "x")


def test_clients_are_cached_by_their_settings(settings: Any) -> None:
    settings.AWS_S3_REGION_NAME = "eu-central-1"
    first = clients.command(current_target())
    assert clients.command(current_target()) is first
    settings.AWS_S3_REGION_NAME = "us-west-2"
    assert clients.command(current_target()) is not first
    assert clients.command(current_target()).meta.region_name == "us-west-2"
    settings.AWS_S3_REGION_NAME = "eu-central-1"
    assert clients.command(current_target()) is first


def test_both_clients_use_credentials_from_a_profile(
    settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings.AWS_S3_REGION_NAME = "eu-central-1"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    profile = tmp_path / "credentials"
    profile.write_text(
        "[work]\naws_access_key_id = of-profile\naws_secret_access_key = s\naws_session_token = t\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(profile))
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert clients.credentials(current_target()).access_key == "of-profile"
    assert clients.session(current_target()).get_credentials().access_key == "of-profile"
    given = clients._for_obstore(current_target())
    assert (given["access_key_id"], given["secret_access_key"], given["token"]) == ("of-profile", "s", "t")


def test_missing_credentials_raise_botocores_error(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.AWS_S3_REGION_NAME = "eu-central-1"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(NoCredentialsError):
        clients.obstore_store(current_target(), "example")
    assert "AWS_ACCESS_KEY_ID" not in os.environ


def test_arns_contain_the_partition() -> None:
    target = Target("cn-north-1")
    assert arn(target, "b") == "arn:aws-cn:s3:::b"
    assert arn(target, "b", "static/*") == "arn:aws-cn:s3:::b/static/*"


def test_storage_options_may_set_a_key_or_a_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    profiles = tmp_path / "credentials"
    profiles.write_text("[backup]\naws_access_key_id = of-profile\naws_secret_access_key = s\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(profiles))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-environment")
    options = {"bucket_name": "example", "region_name": "eu-central-1"}
    keyed = MediaStorage(**options, access_key="of-options", secret_key="s", security_token="t").target
    assert clients.credentials(keyed)[:3] == ("of-options", "s", "t")
    assert "secret" not in repr(keyed)
    profiled = MediaStorage(**options, session_profile="backup").target
    assert clients.credentials(profiled).access_key == "of-profile"
    assert clients.credentials(MediaStorage(**options).target).access_key == "of-environment"
