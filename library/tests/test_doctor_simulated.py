"""The doctor on behavior that the strict S3 server lacks: a proxy responds as AWS documents it."""

import base64
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import boto3
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from moto import mock_aws

from s3kit.buckets.account import Account
from s3kit.deployment import Deployment
from s3kit.doctor import direct, rights
from s3kit.doctor.shared import Probed
from s3kit.local.server import LocalServer
from tests.doctored import Doctored, change, diagnosed, examined, trouble, troubles
from tests.fault_proxy import Fault, FaultProxy
from tests.ministack import s3_settings
from tests.odd_store import CEPH, RCLONE, OddStore
from tests.tls_front import certificate, tls_front

pytestmark = pytest.mark.slow  # each test creates a site, which takes half a second

LATER = "run the doctor again; if it still fails, check the network and the status of S3"
PROBE = r"/media/\.doctor-[0-9a-f]{32}\.txt"
Faulty = Callable[..., Doctored]


@pytest.fixture
def faulty(healthy_site: Any, settings: Any) -> Iterator[Faulty]:
    """Return a function that creates a site whose S3 server has these faults."""
    proxies: list[FaultProxy] = []

    def make(*faults: Fault, access: str = "private", **more: Any) -> Doctored:
        doctored: Doctored = healthy_site(access, **more)
        proxies.append(FaultProxy(doctored.site.store.endpoint).__enter__())
        proxies[-1].faults.extend(faults)
        settings.AWS_S3_ENDPOINT_URL = proxies[-1].endpoint
        return doctored

    yield make
    for proxy in proxies:
        proxy.__exit__(None, None, None)


PART = r"^/media-[0-9a-f]+/pending/.*partNumber"
ONE_PUT = r"^/media-[0-9a-f]+/pending/[^?]*\?(?!.*partNumber).*X-Amz-Signature"
STRICT = "use a server that enforces what is signed, as S3 does"


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (
            Fault("PUT", ONE_PUT, times=1, status=400, code="InvalidArgument"),
            (
                "direct put",
                "not ok",
                "S3 rejects a browser's upload: 400 InvalidArgument; pages use the plain form instead",
                "use a server that accepts a PUT with a signed size and type, as S3 does, or turn direct uploads off:"
                " direct_uploads in STORAGES['default'] = False",
            ),
        ),
        (
            Fault("PUT", ONE_PUT, times=2, cut="before"),
            ("direct put", "not ok", "no response: Remote end closed connection without response", LATER),
        ),
        (
            Fault("HEAD", r"/pending/", status=500),
            ("direct read", "not ok", "S3 returned 500", LATER),
        ),
        (
            Fault("PUT", ONE_PUT, first=2, times=2, status=200),
            (
                "direct limits",
                "not ok",
                "a browser can send what the site has not signed: a larger file, another type",
                STRICT,
            ),
        ),
        (
            Fault("PUT", PART, times=1, status=200),
            ("direct parts", "not ok", "a browser can send a larger part than the site has signed", STRICT),
        ),
        (
            Fault("PUT", PART, first=2, status=403, code="AccessDenied"),
            ("direct parts", "not ok", "S3 rejects a browser's part: 403 AccessDenied", STRICT),
        ),
        (
            Fault("PUT", PART, cut="before"),
            ("direct parts", "not ok", "no response: Remote end closed connection without response", LATER),
        ),
    ],
    ids=lambda value: f"{value[0]}, {value[1]}" if isinstance(value, tuple) else "",
)
def test_simulated_faults_of_direct_uploads_are_reported(
    faulty: Faulty, fault: Fault, line: tuple[str, str, str, str]
) -> None:
    faulty(fault)
    assert (line[0], *trouble(line[0])) == line


UNSIGNED = ("x-amz-copy-source on a part", "x-amz-copy-source on a PUT")


def test_simulated_server_that_ignores_unsigned_headers_is_reported(faulty: Faulty) -> None:
    """The server stores the request's body instead of copying, and accepts the unsigned header by ignoring it."""
    faulty(
        Fault("PUT", "partNumber=2", header="x-amz-copy-source", status=200),
        Fault("PUT", ONE_PUT, header="x-amz-copy-source", status=200),
    )
    status, text, fix = trouble("direct headers")
    assert status == "not ok"
    assert text == (
        f"a browser can add headers that the site has not signed: the server accepts {' and '.join(UNSIGNED)}"
    )
    assert fix.endswith("until then, turn direct uploads off: direct_uploads in STORAGES['default'] = False")


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        (
            Fault("PUT", "", header="if-none-match", status=501, code="NotImplemented"),
            "warning",
            "S3 rejects the header (501 NotImplemented): `collectstatic` works without it, `s3 push` does not",
        ),
        (
            Fault("PUT", "", header="if-none-match", raw=b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            "not ok",
            "S3 ignores the header: saving a file under a name that is taken overwrites the existing file",
        ),
        (
            Fault("PUT", "", header="if-none-match", status=503),
            "can't tell",
            "An error occurred (InternalError) when calling the PutObject operation (reached max retries: 1): As"
            " the test says",
        ),
    ],
)
def test_simulated_server_without_conditional_writes_is_reported(
    faulty: Faulty, fault: Fault, status: str, text: str
) -> None:
    faulty(replace(fault))
    found = trouble("if-none-match")
    assert found[:2] == (status, text)
    option = "set conditional_writes in STORAGES['default'] to False"
    assert (option in found[2]) == (status != "can't tell")


@pytest.mark.parametrize("off", [{"conditional_writes": False}, {"file_overwrite": True}])
def test_simulated_ignored_conditions_are_a_warning_if_not_needed(
    faulty: Faulty, settings: Any, off: dict[str, bool]
) -> None:
    faulty(Fault("PUT", "", header="if-none-match", raw=b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    change(settings, "default", **off)
    status, text, fix = trouble("if-none-match")
    assert status == "warning"
    assert text == "S3 ignores the header: of two writers of the same object, the last wins"
    assert "conditional_writes" not in fix


def test_simulated_server_that_requires_a_signed_content_type_is_ok(faulty: Faulty) -> None:
    """Ceph 20 does this with presigned requests, to which a browser adds no such header."""
    faulty(Fault("PUT", "X-Amz-SignedHeaders=(?!.*content-type)", header="content-type", status=403))
    assert troubles(examined()) == {}


def test_simulated_site_without_direct_uploads_is_ok(faulty: Faulty, settings: Any) -> None:
    settings.AWS_DIRECT_UPLOADS = False
    faulty(Fault("", "/pending/", status=500))
    report = examined()
    assert troubles(report) == {}
    assert [line.text for line in report.lines if line.probe.startswith("direct ")] == [
        "turned off: browsers send files to the site"
    ]


def test_simulated_ceph_is_ok(healthy_site: Any, store: LocalServer) -> None:
    with OddStore(store.endpoint, CEPH) as odd:
        healthy_site(AWS_S3_ENDPOINT_URL=odd.endpoint)
        assert troubles(examined()) == {}


def test_simulated_server_without_lifecycle_rules_is_a_warning(
    healthy_site: Any, store: LocalServer, settings: Any
) -> None:
    with OddStore(store.endpoint, RCLONE) as odd:
        healthy_site()
        settings.AWS_S3_ENDPOINT_URL = odd.endpoint
        assert trouble("direct expiry") == (
            "warning",
            "this server has no lifecycle rules: unaccepted uploads stay under pending/ forever",
            "once a day, delete what is older than a day there",
        )


@pytest.mark.parametrize("probe", ["listing", "direct closed"])
def test_simulated_500_does_not_count_as_a_denial(faulty: Faulty, probe: str) -> None:
    path = {"listing": r"list-type=2&max-keys=1$", "direct closed": r"/pending/[^?]*$"}[probe]
    faulty(Fault("GET", path, status=500))
    status, text, _ = trouble(probe)
    assert status == "can't tell"
    assert text.endswith("500 InternalError")


def test_simulated_exception_in_a_probe_becomes_its_line(
    faulty: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe's exception becomes its line, and the other lines stay the same."""
    faulty()

    def stumble(*_args: Any) -> None:
        raise RecursionError("too\ndeep")

    monkeypatch.setattr(direct, "_cors", stumble)
    status, text, fix = trouble("direct cors")
    assert (status, text) == ("not ok", "the server is not S3: RecursionError: too deep")
    assert fix.endswith("report this line to django-s3-kit")


def test_simulated_403_for_a_missing_key_is_reported(faulty: Faulty) -> None:
    doctored = faulty(Fault("HEAD", r"\.missing$", status=403))
    assert trouble("missing key") == (
        "not ok",
        "S3 returned 403 for a missing upload instead of 404: s3:ListBucket is not allowed",
        f"allow s3:ListBucket on arn:aws:s3:::{doctored.media}: see `manage.py s3 policy --role web`",
    )


def test_simulated_bucket_of_another_account_is_reported(faulty: Faulty, settings: Any) -> None:
    doctored = faulty(Fault("GET", r"encoding-type=url", status=403, code="AccessDenied"))
    settings.AWS_EXPECTED_BUCKET_OWNER = "123456789012"
    found = troubles(examined())
    assert set(found) == {"static bucket", "media bucket"}
    assert found["media bucket"].text == (
        f"{doctored.media} does not belong to account 123456789012, and its owner can read what you store there"
    )
    assert found["media bucket"].fix == (
        "correct bucket_name in STORAGES['default'], or, if you do mean this bucket, set AWS_EXPECTED_BUCKET_OWNER"
        " to its account"
    )


@pytest.mark.parametrize(
    ("minutes", "status", "text"),
    [
        (20, "not ok", "this machine's clock is 1200 seconds ahead of S3's"),
        (-20, "not ok", "this machine's clock is 1200 seconds behind S3's"),
        (2, "warning", "this machine's clock is 120 seconds ahead of S3's"),
    ],
)
def test_simulated_clock_skew_is_reported(
    healthy_site: Any, monkeypatch: pytest.MonkeyPatch, minutes: int, status: str, text: str
) -> None:
    healthy_site()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 60 * minutes)
    report = diagnosed()
    (line,) = [line for line in report.lines if line.probe == "clock"]
    # Off by the seconds that pass in between.
    (off,), (told,) = (re.findall(r" (\d+) ", each) for each in (line.text, text))
    assert int(told) - 30 < int(off) <= int(told)
    assert line.status == status
    assert line.text.replace(off, told) == text
    assert "S3 rejects requests that are 15 minutes off" in line.fix
    assert bool(report.not_probed) == (status == "not ok")


def test_simulated_503_is_reported(faulty: Faulty) -> None:
    faulty(Fault("PUT", PROBE, status=503, code="SlowDown"))
    assert trouble("media write") == ("not ok", "S3 returned 503 SlowDown", LATER)


def test_simulated_expired_session_is_reported(faulty: Faulty) -> None:
    faulty(Fault("GET", r"list-type=2&max-keys=0|max-keys=0.*list-type=2", status=400, code="ExpiredToken"))
    status, text, _ = trouble("credentials")
    assert (status, text) == ("not ok", "S3 rejects them: the session has expired")


def test_simulated_sts_failure_is_reported(faulty: Faulty) -> None:
    faulty(Fault("POST", "^/$", status=501, code="NotImplemented"))
    status, text, fix = trouble("credentials")
    assert status == "can't tell"
    assert "STS does not say who owns it" in text
    assert fix == "give this machine access to STS; the site itself does not need it"


def test_simulated_rejection_of_a_signed_link_is_reported(faulty: Faulty) -> None:
    doctored = faulty(Fault("GET", f"{PROBE}.*X-Amz-Expires=3600", status=403, code="AccessDenied"))
    assert trouble("signed link") == (
        "not ok",
        "does not work: 403 AccessDenied",
        f"allow s3:GetObject on arn:aws:s3:::{doctored.media}/media/*",
    )


@pytest.mark.parametrize(
    ("probe", "fault", "what"),
    [
        ("tampered link", Fault("GET", f"{PROBE}.*X-Amz-Expires=3600", first=2, status=200), "signature was"),
        ("expired link", Fault("GET", f"{PROBE}.*X-Amz-Expires=60", status=200), "has expired"),
    ],
)
def test_simulated_acceptance_of_an_invalid_link_is_reported(
    faulty: Faulty, probe: str, fault: Fault, what: str
) -> None:
    faulty(fault)
    status, text, _ = trouble(probe)
    assert status == "not ok"
    assert what in text
    assert " returned 200" in text


def test_simulated_403_for_the_manifest_is_reported(faulty: Faulty) -> None:
    doctored = faulty(Fault("GET", "staticfiles.json", status=403, code="AccessDenied"))
    assert trouble("manifest") == (
        "not ok",
        "s3:GetObject is not allowed",
        f"allow s3:GetObject on arn:aws:s3:::{doctored.static}/static/staticfiles.json: see `manage.py s3 policy"
        " --role web`; if the manifest is missing, which looks the same without s3:ListBucket, run `manage.py"
        " collectstatic`",
    )


# The account's block


@pytest.fixture
def on_aws(settings: Any) -> Iterator[Any]:
    """Return the account administrator's client for a site on moto's AWS."""
    s3_settings(settings)
    with mock_aws():
        yield boto3.client("s3control", region_name="eu-central-1")


def block_line() -> tuple[str, str, str]:
    (line,) = rights.account_block(Probed(Deployment.load(), None), None)
    return line.status, line.text, line.fix


@pytest.mark.usefixtures("on_aws")
def test_simulated_account_without_a_block_is_ok() -> None:
    assert block_line() == ("ok", "the account blocks nothing that STORAGES makes public", "")


def test_simulated_account_that_blocks_public_access_is_reported(on_aws: Any, settings: Any) -> None:
    names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    on_aws.put_public_access_block(
        AccountId="123456789012", PublicAccessBlockConfiguration=dict.fromkeys(names, True)
    )
    status, text, fix = block_line()
    assert (status, text) == (
        "not ok",
        "account 123456789012 blocks what STORAGES makes public: BlockPublicPolicy, RestrictPublicBuckets",
    )
    assert fix.endswith("turn off BlockPublicPolicy, RestrictPublicBuckets")
    settings.AWS_CLOUDFRONT_DISTRIBUTION_ARN = "arn:aws:cloudfront::123456789012:distribution/E1"
    assert block_line() == ("ok", "the account blocks nothing that STORAGES makes public", "")


@pytest.mark.usefixtures("on_aws")
def test_simulated_unreadable_account_block_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = Account("1", None, "s3:GetAccountPublicAccessBlock failed: AccessDenied")
    monkeypatch.setattr(rights, "account", lambda _site: unknown)
    assert block_line() == (
        "can't tell",
        "s3:GetAccountPublicAccessBlock failed: AccessDenied",
        "allow s3:GetAccountPublicAccessBlock on *, or ask the account's administrator",
    )


# CloudFront

DISTRIBUTION = "arn:aws:cloudfront::123456789012:distribution/E1ABCDEFGHIJKL"


class Distribution:
    """CloudFront as documented: only it can read the buckets, and it verifies signed links."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.host = ""
        self.doctored: Doctored | None = None
        self.checks = True
        self.passes_queries = False

    @property
    def pem(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    def route(self, path: str, cookies: str) -> str | int:
        assert self.doctored
        parts = urlsplit(path)
        site = self.doctored.site
        may_read = not self.checks or self._is_signed(parts) or self._has_cookies(path, cookies)
        if parts.path.startswith("/media/") and not may_read:
            return 403
        bucket = site.static_bucket if parts.path.startswith("/static/") else site.media_bucket
        asked = {"Bucket": bucket, "Key": unquote(parts.path[1:])}
        if self.passes_queries and (kind := parse_qs(parts.query).get("response-content-type")):
            asked["ResponseContentType"] = kind[0]
        link = site.root.generate_presigned_url("get_object", asked)
        return str(link).removeprefix(site.store.endpoint)

    def _has_cookies(self, path: str, cookies: str) -> bool:
        found = {name: morsel.value for name, morsel in SimpleCookie(cookies).items()}
        if set(found) != {"CloudFront-Policy", "CloudFront-Signature", "CloudFront-Key-Pair-Id"}:
            return False
        policy = _decoded(found["CloudFront-Policy"])
        if not self._verifies(_decoded(found["CloudFront-Signature"]), policy):
            return False
        (statement,) = json.loads(policy)["Statement"]
        is_late = statement["Condition"]["DateLessThan"]["AWS:EpochTime"] < time.time()
        return fnmatchcase(f"https://{self.host}{path}", statement["Resource"]) and not is_late

    def _verifies(self, signature: bytes, text: bytes) -> bool:
        try:
            self.key.public_key().verify(signature, text, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - what CloudFront verifies
        except InvalidSignature:
            return False
        return True

    def _is_signed(self, parts: SplitResult) -> bool:
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if "Signature" not in query or int(query["Expires"]) < time.time():
            return False
        until = {"DateLessThan": {"AWS:EpochTime": int(query["Expires"])}}
        policy = {"Statement": [{"Resource": f"https://{self.host}{parts.path}", "Condition": until}]}
        text = json.dumps(policy, separators=(",", ":")).encode()
        try:
            return self._verifies(_decoded(query["Signature"]), text)
        except ValueError:
            return False


def _decoded(text: str) -> bytes:
    return base64.b64decode(text.translate(str.maketrans("-_~", "+=/")))


@pytest.fixture
def cdn(
    store: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> Iterator[Distribution]:
    """Return a distribution on the domain in the settings."""
    trusted, served = certificate(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(trusted))
    distribution = Distribution()
    with tls_front(store.endpoint, served, distribution.route, compresses=True) as host:
        distribution.host = host
        settings.AWS_S3_CUSTOM_DOMAIN = host
        settings.AWS_CLOUDFRONT_DISTRIBUTION_ARN = DISTRIBUTION
        settings.AWS_CLOUDFRONT_KEY_ID, settings.AWS_CLOUDFRONT_KEY = "K1", distribution.pem
        yield distribution


@pytest.mark.parametrize("access", ["private", "public-policy"])
def test_simulated_distribution_is_ok(healthy_site: Any, cdn: Distribution, access: str) -> None:
    cdn.checks = access == "private"
    cdn.doctored = healthy_site(access)
    report = examined()
    assert troubles(report) == {}
    texts = {line.probe: line.text for line in report.lines}
    assert texts["static domain"] == texts["media domain"] == f"{cdn.host} responds"
    assert texts["static bypass"] == "only CloudFront reads the bucket"
    if access == "private":
        assert texts["signed link"] == "works, for up to 3600 seconds"
    else:
        assert texts["media bypass"] == "only CloudFront reads the bucket"
    assert texts["account block"] == "the account blocks nothing that STORAGES makes public"


def test_simulated_distribution_that_ignores_signatures_is_reported(
    healthy_site: Any, cdn: Distribution
) -> None:
    cdn.checks = False
    cdn.doctored = healthy_site()
    found = troubles(examined())
    assert set(found) == {"media visitors", "tampered link", "expired link"}
    assert found["media visitors"].text == f"anyone can read uploads at {cdn.host}, which must be private"


def test_simulated_distribution_with_another_key_is_reported(healthy_site: Any, cdn: Distribution) -> None:
    cdn.doctored = healthy_site()
    cdn.key = Distribution().key
    assert trouble("signed link") == (
        "not ok",
        "does not work: 403",
        "check cloudfront_key_id and cloudfront_key against the distribution's key group",
    )


def test_simulated_distribution_with_signed_cookies_is_ok(healthy_site: Any, cdn: Distribution) -> None:
    cdn.doctored = healthy_site(media={"links": "cookies"})
    report = examined()
    assert troubles(report) == {}
    assert {line.probe: line.text for line in report.lines}[
        "signed cookies"
    ] == "work, for up to 3600 seconds"


def test_simulated_distribution_that_forwards_queries_is_reported(
    healthy_site: Any, cdn: Distribution
) -> None:
    cdn.doctored, cdn.passes_queries = healthy_site(media={"links": "cookies"}), True
    assert trouble("signed cookies") == (
        "not ok",
        "visitors with cookies can turn an upload into a page: CloudFront forwards response-content-type to S3",
        "use the cache policy CachingOptimized, and no origin request policy, for uploads",
    )


def test_simulated_distribution_that_rejects_cookies_is_reported(
    healthy_site: Any, cdn: Distribution
) -> None:
    cdn.doctored = healthy_site(media={"links": "cookies"})
    cdn.key = Distribution().key
    found = troubles(examined())
    assert set(found) == {"signed link", "signed cookies"}
    assert (found["signed cookies"].status, found["signed cookies"].text) == ("not ok", "do not work: 403")


def test_simulated_public_bucket_with_a_distribution_is_a_warning(
    healthy_site: Any, cdn: Distribution, settings: Any
) -> None:
    cdn.doctored = healthy_site(AWS_CLOUDFRONT_DISTRIBUTION_ARN="")
    settings.AWS_CLOUDFRONT_DISTRIBUTION_ARN = DISTRIBUTION
    assert trouble("static bypass") == (
        "warning",
        "the bucket's own address is open, although only CloudFront may read it",
        "run `manage.py s3 apply`",
    )
