"""The S3 settings as one botocore Config, and the same for obstore.

Region, endpoint, addressing, retries and time limits are decided here and nowhere else. botocore speaks for
the site (media, buckets), obstore uploads static files; both are given the address that botocore's own rules
name, so that they cannot disagree. Every function reads the settings when it is called.
"""

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import botocore.session
from botocore.config import Config
from botocore.endpoint_provider import EndpointProvider
from botocore.exceptions import EndpointProviderError, NoCredentialsError
from botocore.loaders import create_loader
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from s3kit import patience

if TYPE_CHECKING:
    import boto3
    from obstore.store import ClientConfig, S3Store

# The two parts of a bucket. Fixed, because policies, permissions and CDN behaviours are written for them.
STATIC_PREFIX = "static/"
MEDIA_PREFIX = "media/"
# Of the media bucket: what browsers sent straight to S3 and nobody has checked yet. Never public; it expires.
PENDING_PREFIX = "pending/"

CONNECT_TIMEOUT = 5  # seconds
READ_TIMEOUT = 60  # seconds without a byte
# One part of 16 MiB at 0.5 Mbit/s takes 270 s; obstore counts the whole request, botocore only the silence.
REQUEST_TIMEOUT = 300
# Of a call that a visitor waits for; s3/patience.py has more. In a data centre S3 is connected to in
# milliseconds, and answers in less than a second.
WEB_CONNECT_TIMEOUT, WEB_READ_TIMEOUT, WEB_ATTEMPTS = 3, 10, 3
MAX_CONNECTIONS = 50

_lock = threading.RLock()


class Place(NamedTuple):
    """Which S3 the settings mean. `endpoint` is None for AWS itself; `owner` is an account number or None."""

    region: str
    endpoint: str | None
    owner: str | None


def place() -> Place:
    """Return the S3 that the settings name; a blank setting counts as unset."""
    region = settings.AWS_S3_REGION_NAME.strip()
    if not region:
        raise ImproperlyConfigured(
            "AWS_S3_REGION_NAME is not set: name the region of the buckets, as in eu-central-1."
        )
    return Place(
        region,
        settings.AWS_S3_ENDPOINT_URL.strip() or None,
        settings.AWS_EXPECTED_BUCKET_OWNER.strip() or None,
    )


@cache
def _core() -> botocore.session.Session:
    """Return the process's botocore session, which finds credentials and reads AWS's configuration files."""
    return botocore.session.get_session()


@cache
def session() -> "boto3.Session":
    """Return the process's boto3 session: keys, profile, role or web identity by boto3's default chain."""
    import boto3

    return boto3.Session(botocore_session=_core())


def credentials() -> Any:
    """Return botocore's frozen credentials (`access_key`, `secret_key`, `token`), renewed when they run out.

    Raises botocore.exceptions.NoCredentialsError where the default chain finds none.
    """
    with _lock:  # the first look-up can mean a request, and botocore does not guard it
        found = _core().get_credentials()
    frozen = found.get_frozen_credentials() if found else None
    if frozen is None or not frozen.access_key:
        raise NoCredentialsError
    return frozen


def _variants() -> dict[str, bool]:
    """Return whether the environment or AWS's configuration file asks for dual-stack or FIPS hosts."""
    if place().endpoint:  # botocore ignores both for an endpoint
        return {"use_dualstack_endpoint": False, "use_fips_endpoint": False}
    names = ("use_dualstack_endpoint", "use_fips_endpoint")
    return {name: bool(_core().get_config_variable(name)) for name in names}


def config(*, patient: bool = True) -> Config:
    """Return the complete botocore configuration: nothing is left to defaults that differ between machines.

    Commands are `patient`: they wait for minutes rather than fail. A web request is not.

    - SigV4 always: boto3 still signs links with SigV2 in nine regions, and newer buckets refuse that.
    - Virtual addressing on AWS, with the region in the host; path style on an endpoint, which has no
      wildcard name.
    - On an endpoint no checksums beyond those required: boto3's newer ones are refused by some stores.
    - The settings' endpoint counts, never AWS_ENDPOINT_URL(_S3).
    - Proxies and the CA bundle are the environment's, as for boto3: HTTPS_PROXY, NO_PROXY, AWS_CA_BUNDLE.
    """
    region, endpoint, _ = place()
    variants = _variants()
    checksums: dict[str, Any] = {}
    if endpoint:
        checksums["request_checksum_calculation"] = "when_required"
        checksums["response_checksum_validation"] = "when_required"
    return Config(
        region_name=region,
        signature_version="s3v4",
        s3={
            "addressing_style": "path" if endpoint else "virtual",
            "us_east_1_regional_endpoint": "regional",
            "use_accelerate_endpoint": False,
            "use_dualstack_endpoint": variants["use_dualstack_endpoint"],
        },
        use_fips_endpoint=variants["use_fips_endpoint"],
        ignore_configured_endpoint_urls=True,
        retries={"mode": "standard", "total_max_attempts": 5 if patient else WEB_ATTEMPTS},
        connect_timeout=CONNECT_TIMEOUT if patient else WEB_CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT if patient else WEB_READ_TIMEOUT,
        max_pool_connections=MAX_CONNECTIONS,
        tcp_keepalive=True,
        **checksums,
    )


def client() -> Any:
    """Return the boto3 S3 client of the settings; it is shared by threads and kept for the process."""
    return _shared(_patient)


def web_client() -> Any:
    """Return the client for what a web request waits for: it fails in seconds where S3 is down or slow.

    Its calls also raise s3.patience.NotAnsweringError, a BotoCoreError.
    """
    return _shared(_in_web)


def working_client() -> Any:
    """Return the client for what takes S3 long while a web request waits: completing and copying gigabytes.

    A refusal or a lost connection is tried again at once, silence for READ_TIMEOUT seconds is not.
    """
    return _shared(_working)


def client_that_asks_once() -> Any:
    """Return the client for what must not be sent again after a while: botocore tries nothing twice."""
    return _shared(_once)


def _shared(make: Callable[[Place], Any]) -> Any:
    with _lock:  # or threads that come at once would each make one; and one session makes one at a time
        return _client(place(), make)


@lru_cache(maxsize=16)
def _client(where: Place, make: Callable[[Place], Any]) -> Any:
    return make(where)


def _made(where: Place, options: Config) -> Any:
    return session().client("s3", region_name=where.region, endpoint_url=where.endpoint, config=options)


def _patient(where: Place) -> Any:
    return _made(where, config())


def _in_web(where: Place) -> Any:
    made = _made(where, config(patient=False))
    patience.Limits().attach(made)
    return made


def _working(where: Place) -> Any:
    made = _made(where, config(patient=False).merge(Config(read_timeout=READ_TIMEOUT)))
    made.meta.events.register_first("needs-retry.s3", patience.not_after_silence)
    return made


def _once(where: Place) -> Any:
    return _made(where, config().merge(Config(retries={"mode": "standard", "total_max_attempts": 1})))


# A server that loads the site and then forks must not leave two processes on one connection.
os.register_at_fork(after_in_child=_client.cache_clear)


def owner_arguments() -> dict[str, str]:
    """Return the argument of boto3's S3 calls that refuses a bucket which another account has taken over."""
    owner = place().owner
    return {"ExpectedBucketOwner": owner} if owner else {}


@cache
def _rules() -> EndpointProvider:
    loader = create_loader()  # the session's own would need the profile that AWS_PROFILE names
    return EndpointProvider(
        loader.load_service_model("s3", "endpoint-rule-set-1"), loader.load_data("partitions")
    )


def partition(region: str) -> str:
    """Return the partition of a region (aws, aws-cn, aws-us-gov, aws-eusc, ...); of an unknown one, aws."""
    return str(_rules().ruleset.rule_lib.aws_partition(region)["name"])


def bucket_arn(bucket: str, key: str = "") -> str:
    """Return the ARN of a bucket in the settings' region, or of objects: `bucket_arn("b", "static/*")`."""
    return f"arn:{partition(place().region)}:s3:::{bucket}" + (f"/{key}" if key else "")


def bucket_url(bucket: str) -> str:
    """Return the address of a bucket by botocore's rules, without a slash at its end.

    Virtual style on AWS (path style for a name with dots, which no TLS wildcard covers), path style on an
    endpoint.
    """
    return _bucket_url(place(), bucket)


@lru_cache(maxsize=32)
def _bucket_url(where: Place, bucket: str) -> str:
    variants = _variants()
    try:
        resolved = _rules().resolve_endpoint(
            Bucket=bucket,
            Region=where.region,
            UseFIPS=variants["use_fips_endpoint"],
            UseDualStack=variants["use_dualstack_endpoint"],
            ForcePathStyle=bool(where.endpoint),
            Accelerate=False,
            UseGlobalEndpoint=False,
            **({"Endpoint": where.endpoint} if where.endpoint else {}),
        )
    except EndpointProviderError as error:
        raise ImproperlyConfigured(
            f"No address for bucket {bucket!r} in region {where.region!r}: {error}"
        ) from error
    return str(resolved.url).rstrip("/")


def object_url(bucket: str, key: str) -> str:
    """Return the plain address of an object, percent-encoded as S3 signs it."""
    return f"{bucket_url(bucket)}/{quote(key, safe='/~')}"


def obstore_store(bucket: str, *, max_retries: int = 8) -> "S3Store":
    """Return an obstore store of a bucket: the address, credentials, owner and CA of `client()`.

    Keys are given to it in full, `static/` included. Answers 500 and 503 and cut connections are tried
    again up to `max_retries` times, with growing pauses of at most 3 seconds. It finds the proxies of the
    environment by itself.
    Raises botocore.exceptions.NoCredentialsError where there are no credentials.
    """
    from obstore.store import S3Store

    region, _, owner = place()
    url = bucket_url(bucket)
    credentials()  # obstore would bury the error in its own
    options: ClientConfig = {
        "allow_http": url.startswith("http:"),
        "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT),
        "read_timeout": timedelta(seconds=READ_TIMEOUT),
        "timeout": timedelta(seconds=REQUEST_TIMEOUT),
    }
    if owner:
        options["default_headers"] = {"x-amz-expected-bucket-owner": owner}
    if bundle := _core().get_config_variable("ca_bundle"):
        try:
            options["root_certificate"] = Path(bundle).read_bytes()
        except OSError as error:
            raise ImproperlyConfigured(f"AWS_CA_BUNDLE can't be read: {error}") from error
    return S3Store(
        bucket,
        config={
            # Both names of the endpoint, because obstore lets AWS_ENDPOINT_URL_S3 win over the first.
            "endpoint": url,
            "aws_endpoint_url_s3": url,
            # That is: the endpoint names the bucket already, be it in the host or in the path.
            "virtual_hosted_style_request": True,
            "region": region,
            "skip_signature": False,
            "s3_express": False,
        },
        client_options=options,
        retry_config={
            "max_retries": max_retries,
            "retry_timeout": timedelta(minutes=3),
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=3),
                "base": 2,
            },
        },
        credential_provider=_for_obstore,
    )


def _for_obstore() -> Any:
    frozen = credentials()
    return {
        "access_key_id": frozen.access_key,
        "secret_access_key": frozen.secret_key,
        "token": frozen.token,
        # botocore hands out role credentials with ten minutes left at worst; obstore asks again five minutes
        # before this time.
        "expires_at": datetime.now(UTC) + timedelta(minutes=10),
    }
