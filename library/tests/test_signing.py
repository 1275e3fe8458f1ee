"""Signed links: AWS's own example, botocore's signature for the same time, and a link's lifetime."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import boto3
import botocore.auth
import pytest
from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials, RefreshableCredentials

from s3kit.storages import signing

NOW = int(datetime(2026, 11, 22, 9, 30, tzinfo=UTC).timestamp())
KEY = ReadOnlyCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None)
SESSION = ReadOnlyCredentials("ASIDEXAMPLE", "secret/+", "token/with+every=sign " * 3)


def parts(url: str) -> tuple[str, str, str, dict[str, str]]:
    split = urlsplit(url)
    pairs = parse_qsl(split.query, keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return split.scheme, split.netloc, split.path, dict(pairs)


def by_botocore(
    monkeypatch: pytest.MonkeyPatch,
    credentials: ReadOnlyCredentials,
    *,
    region: str = "eu-central-1",
    endpoint: str | None = None,
    at: int = NOW,
    expires: int = 3600,
    method: str = "GET",
    **parameters: str,
) -> str:
    now = datetime.fromtimestamp(at, UTC).replace(tzinfo=None)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: now)
    s3 = boto3.client(
        "s3",
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        aws_session_token=credentials.token,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path" if endpoint else "virtual"}),
    )
    try:
        return str(s3.generate_presigned_url("get_object", parameters, ExpiresIn=expires, HttpMethod=method))
    finally:
        s3.close()


def test_presign_matches_the_example_in_aws_documentation() -> None:
    """Source: "Authenticating Requests: Using Query Parameters", Amazon S3 API reference."""
    url = signing.presign(
        "https://examplebucket.s3.amazonaws.com/test.txt",
        ReadOnlyCredentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None),
        region="us-east-1",
        at=int(datetime(2013, 5, 24, tzinfo=UTC).timestamp()),
        expires=86400,
    )
    query = parts(url)[3]
    assert query["X-Amz-Credential"] == "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"
    assert query["X-Amz-Date"] == "20130524T000000Z"
    assert query["X-Amz-Signature"] == "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"


@pytest.mark.parametrize("credentials", [KEY, SESSION], ids=["key", "session"])
@pytest.mark.parametrize(
    ("path", "wire"),
    [
        ("media/photo.jpg", "media/photo.jpg"),
        ("media/a b+c&d=e?f#g%20h;~'()*!@:,$.jpg", None),
        ("media/사진/épée-ﬀ-🦊.jpg", None),
        ("media/a//b/../c./", None),
    ],
)
@pytest.mark.parametrize(
    ("endpoint", "region", "host"),
    [
        (None, "eu-central-1", "https://a-bucket.s3.eu-central-1.amazonaws.com"),
        (None, "cn-north-1", "https://a-bucket.s3.cn-north-1.amazonaws.com.cn"),
        ("http://127.0.0.1:9000", "eu-central-1", "http://127.0.0.1:9000/a-bucket"),
        ("https://S3.Example.com:443", "eu-central-1", "https://S3.Example.com:443/a-bucket"),
        ("http://[::1]:9000", "eu-central-1", "http://[::1]:9000/a-bucket"),
    ],
    ids=["virtual", "china", "path", "default-port", "ipv6"],
)
def test_presigned_url_equals_botocores(
    monkeypatch: pytest.MonkeyPatch,
    credentials: ReadOnlyCredentials,
    path: str,
    wire: str | None,
    endpoint: str | None,
    region: str,
    host: str,
) -> None:
    theirs = by_botocore(
        monkeypatch, credentials, region=region, endpoint=endpoint, Bucket="a-bucket", Key=path
    )
    plain = theirs.partition("?")[0]
    assert wire is None or plain.endswith(wire)
    ours = signing.presign(plain, credentials, region=region, at=NOW, expires=3600)
    assert parts(ours) == parts(theirs)
    assert parts(ours)[:3] == parts(plain + "?a=b")[:3]
    assert plain.lower().startswith(host.lower())


def test_presigned_url_with_parameters_equals_botocores(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = by_botocore(
        monkeypatch,
        SESSION,
        Bucket="a-bucket",
        Key="media/a.pdf",
        ResponseContentDisposition="attachment; filename=\"a b\"; filename*=UTF-8''%C3%A9&=+~.pdf",
        ResponseContentType="application/pdf",
        VersionId="a+b/c=",
        expires=604800,
        method="HEAD",
    )
    ours = signing.presign(
        theirs.partition("?")[0],
        SESSION,
        region="eu-central-1",
        at=NOW,
        expires=604800,
        method="HEAD",
        parameters={
            "versionId": "a+b/c=",
            "response-content-disposition": "attachment; filename=\"a b\"; filename*=UTF-8''%C3%A9&=+~.pdf",
            "response-content-type": "application/pdf",
        },
    )
    assert parts(ours) == parts(theirs)


def test_parameters_are_sorted_together_with_the_signatures() -> None:
    url = signing.presign(
        "https://b.example.com/k",
        KEY,
        region="eu-central-1",
        at=NOW,
        expires=60,
        parameters={"a-b": "1", "a": "2", "X-Amz-A": "3", "Z": "4"},
    )
    names = [pair.partition("=")[0] for pair in urlsplit(url).query.split("&")[:-1]]
    assert names == sorted(names)
    assert names.index("a") < names.index("a-b")


def test_window_lasts_half_of_a_links_lifetime() -> None:
    for expires in (1, 2, 3, 60, 3600, 3601, 604800):
        half = max(expires // 2, 1)
        seconds = range(0, 3 * half, max(half // 50, 1))
        starts = [signing.window_start(NOW + second, expires, "a") for second in seconds]
        assert len(set(starts)) <= 4
        for second, start in zip(seconds, starts, strict=True):
            assert 0 <= NOW + second - start < half
            assert start + expires - (NOW + second) >= expires / 2


def test_window_start_is_constant_within_its_window() -> None:
    start = signing.window_start(NOW, 3600, "media/a.jpg")
    assert signing.window_start(start, 3600, "media/a.jpg") == start
    assert signing.window_start(start + 1799.999, 3600, "media/a.jpg") == start
    assert signing.window_start(start + 1800, 3600, "media/a.jpg") == start + 1800


def test_links_on_a_page_do_not_all_change_at_once() -> None:
    starts = {signing.window_start(NOW, 3600, f"media/photo-{number}.jpg") for number in range(100)}
    assert len(starts) > 80


def test_windows_are_the_same_in_every_process() -> None:
    # A fixed value, because Python's hash() differs between processes.
    assert signing.window_start(1_800_000_000, 3600, "media/photo.jpg") == 1_799_998_534


@pytest.mark.parametrize("expires", [0, -1, 604801])
def test_lifetime_outside_the_limits_is_rejected(expires: int) -> None:
    with pytest.raises(ValueError, match=f"1 to 604800 seconds, not {expires}") as caught:
        signing.window_start(NOW, expires, "a")
    assert "\n" not in str(caught.value)


def test_signature_depends_on_secret_date_and_region() -> None:
    def signature(secret: str = "a", at: int = NOW, region: str = "eu-central-1") -> str:
        url = signing.presign(
            "https://h/k", ReadOnlyCredentials("k", secret, None), region=region, at=at, expires=60
        )
        return parts(url)[3]["X-Amz-Signature"]

    first = signature()
    others = [signature(secret="b"), signature(at=NOW + 86400), signature(region="eu-west-1")]
    assert len({first, *others}) == 4
    assert signature() == first


def test_signing_key_is_cached() -> None:
    signing._signing_key.cache_clear()
    for number in range(100):
        signing.presign(f"https://h/{number}", KEY, region="eu-central-1", at=NOW, expires=60)
    assert signing._signing_key.cache_info().misses == 1


def test_link_does_not_contain_the_secret() -> None:
    url = signing.presign("https://h/k", SESSION, region="eu-central-1", at=NOW, expires=60)
    assert SESSION.secret_key not in dict(parse_qsl(urlsplit(url).query)).values()


@pytest.fixture
def ending_session() -> RefreshableCredentials:
    """Return a role's credentials that expire in five seconds."""
    now = datetime.now(UTC)

    def renew() -> dict[str, Any]:
        later = (now + timedelta(hours=1)).isoformat()
        return {"access_key": "ASIA1", "secret_key": "secret1", "token": "token1", "expiry_time": later}

    return RefreshableCredentials(
        "ASIA0", "secret0", "token0", now + timedelta(seconds=5), renew, "test", time_fetcher=lambda: now
    )


def test_links_are_signed_by_the_renewed_session(
    ending_session: RefreshableCredentials,
) -> None:
    def link() -> str:
        frozen = ending_session.get_frozen_credentials()
        return signing.presign("https://h/k", frozen, region="eu-central-1", at=NOW, expires=60)

    assert parts(link())[3]["X-Amz-Security-Token"] == "token1"
    assert link() == link()


def test_threads_get_the_same_links() -> None:
    signing._signing_key.cache_clear()
    found: list[tuple[str, ...]] = []

    def page() -> None:
        found.append(
            tuple(
                signing.presign(f"https://h/{number}", SESSION, region="eu-central-1", at=NOW, expires=60)
                for number in range(50)
            )
        )

    threads = [threading.Thread(target=page) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
