"""S3 clients: a complete configuration for botocore, and the same for obstore.

Only this module sets regions, endpoints, addressing, retries, and timeouts. The site uses botocore for media and
buckets, and obstore to upload static files. Both get their addresses from botocore's rules, so they always agree.

Each process creates one client for each target, and shares it among its threads, which boto3 supports. A forked
process creates its own.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import botocore.session
from botocore.config import Config
from botocore.endpoint_provider import EndpointProvider
from botocore.exceptions import BotoCoreError, EndpointProviderError, NoCredentialsError
from botocore.loaders import create_loader
from django.core.exceptions import ImproperlyConfigured

from s3kit import encryption
from s3kit.deployment import Key, Target
from s3kit.serving.requests import in_request

if TYPE_CHECKING:
    import boto3
    from obstore.store import ClientConfig, S3Config, S3Store

CONNECT_TIMEOUT = 5  # seconds
READ_TIMEOUT = 60  # seconds without a byte
# A part of 16 MiB at 0.5 Mbit/s takes 270 s; obstore limits the whole request, botocore only the time without a byte.
REQUEST_TIMEOUT = 300
# For calls that a visitor waits for. In a data center, connecting to S3 takes milliseconds, and a response less than
# a second. If S3 hangs, a page fails within seconds.
WEB_CONNECT_TIMEOUT, WEB_READ_TIMEOUT, WEB_ATTEMPTS = 2, 4, 3
# For calls that take S3 long, such as completing or copying gigabytes.
WORKING_READ_TIMEOUT, WORKING_ATTEMPTS = 30, 2
MAX_CONNECTIONS = 50

# At most UPLOADS_AT_ONCE uploads of a process wait for S3, so if S3 hangs, a worker's other threads still serve pages.
# The next upload waits TURN seconds and then fails.
UPLOADS_AT_ONCE, TURN = 3, 5

_lock = threading.RLock()
_turns = threading.BoundedSemaphore(UPLOADS_AT_ONCE)


class NotAnsweringError(BotoCoreError):  # type: ignore[misc]
    """The maximum number of uploads is already waiting for S3, and none has finished in time."""

    fmt = "S3 is not responding: {waiting} uploads of this process are already waiting for it"


@contextmanager
def in_turn() -> Iterator[None]:
    """Hold one of the process's UPLOADS_AT_ONCE turns; raise NotAnsweringError if none becomes free.

    Background work needs no turn, because its threads serve no pages.
    """
    if not in_request():
        yield
        return
    if not _turns.acquire(timeout=TURN):
        raise NotAnsweringError(waiting=UPLOADS_AT_ONCE)
    try:
        yield
    finally:
        _turns.release()


@cache
def _core(profile: str | None) -> botocore.session.Session:
    """Return the process's botocore session, which finds credentials and reads AWS's configuration files."""
    return botocore.session.Session(profile=profile)


@lru_cache(maxsize=16)
def _session(profile: str | None, key: Key | None) -> "boto3.Session":
    import boto3

    if key is None:
        return boto3.Session(botocore_session=_core(profile))
    # Ignore AWS_PROFILE, which may not exist and would mix identities.
    core = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
    core.set_credentials(key.id, key.secret, key.token)
    return boto3.Session(botocore_session=core)


def session(target: Target) -> "boto3.Session":
    """Return the process's boto3 session for a target.

    It has the target's key or profile; otherwise boto3 finds credentials in the usual places (environment, profile,
    role, web identity). Raises LocalServerNotRunningError if the target is the local server, which isn't running.
    """
    if target.is_local and target.key is None:
        from s3kit.local import current

        current()
    with _lock:
        return _session(target.profile, target.key)


def credentials(target: Target) -> Any:
    """Return botocore's frozen credentials (`access_key`, `secret_key`, `token`), renewed when they expire.

    Raises botocore.exceptions.NoCredentialsError if there are none.
    """
    made = session(target)
    with _lock:  # the first look-up may make a request, and isn't thread-safe
        found = made.get_credentials()
    frozen = found.get_frozen_credentials() if found else None
    if frozen is None or not frozen.access_key:
        raise NoCredentialsError
    return frozen


def _variants(target: Target) -> dict[str, bool]:
    """Return whether the environment or AWS's configuration file asks for dual-stack or FIPS hosts."""
    names = ("use_dualstack_endpoint", "use_fips_endpoint")
    if target.endpoint:  # botocore ignores both for an endpoint
        return dict.fromkeys(names, False)
    return {name: bool(_core(target.profile).get_config_variable(name)) for name in names}


def _takes_checksums(target: Target) -> bool:
    """Return whether to send checksums: buckets with Object Lock require them, some other servers reject them."""
    return not target.endpoint or target.is_local


def config(target: Target, *, patient: bool = True) -> Config:
    """Return a complete botocore configuration, without defaults that differ between machines.

    With `patient`, for commands, calls wait for minutes before they fail; otherwise, for web requests, for seconds.

    - Always SigV4: boto3 still signs links with SigV2 in nine regions, and newer buckets reject that.
    - Virtual addressing on AWS, with the region in the host; path style on an endpoint, which has no wildcard name.
    - Only the required checksums on other servers, because some reject boto3's newer ones.
    - The target's endpoint, never AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_S3.
    - The environment's proxies and CA bundle, as for boto3: HTTPS_PROXY, NO_PROXY, AWS_CA_BUNDLE.
    """
    variants = _variants(target)
    extra: dict[str, Any] = {}
    if not _takes_checksums(target):
        extra["request_checksum_calculation"] = "when_required"
        extra["response_checksum_validation"] = "when_required"
    if target.is_local:
        extra["proxies"] = {}  # no proxy reaches this machine's loopback
    return Config(
        region_name=target.region,
        signature_version="s3v4",
        s3={
            "addressing_style": "path" if target.endpoint else "virtual",
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
        **extra,
    )


def command(target: Target) -> Any:
    """Return the boto3 S3 client for commands, which may wait minutes for S3."""
    return _shared(target, _patient)


def quick(target: Target) -> Any:
    """Return the client that fails within seconds if S3 is down or slow."""
    return _shared(target, _quick)


def web(target: Target) -> Any:
    """Return the client for the site: `quick` in a web request, `command` in background work."""
    return quick(target) if in_request() else command(target)


def working(target: Target) -> Any:
    """Return the client for slow operations, such as copying gigabytes; in a web request it waits half a minute."""
    return _shared(target, _working) if in_request() else command(target)


def once(target: Target) -> Any:
    """Return the client for calls that must not be repeated: it never retries."""
    return _shared(target, _once)


def creating(target: Target) -> Any:
    """Return the client for commands that never overwrite: S3 returns 412 if the object exists.

    Of two uploads at the same time, S3 may return 409 for one (ConditionalRequestConflict): send that one again, with
    all its parts. boto3's own multipart uploads don't support conditions.
    """
    return _shared(target, _creating)


def _shared(target: Target, make: Callable[[Target], Any]) -> Any:
    with _lock:  # otherwise threads would each make a client; and making one isn't thread-safe
        return _client(target, make)


@lru_cache(maxsize=64)
def _client(target: Target, make: Callable[[Target], Any]) -> Any:
    return make(target)


def _made(target: Target, options: Config) -> Any:
    made = session(target).client(
        "s3", region_name=target.region, endpoint_url=target.endpoint, config=options
    )
    if target.owner:
        # Every call names the expected owner of the bucket; django-storages does so only in a few.
        made.meta.events.register("before-parameter-build.s3", _Owner(target.owner))
    if target.encryption:
        made.meta.events.register("before-parameter-build.s3", _Encryption(target.encryption))
    return made


class _Owner:
    def __init__(self, owner: str) -> None:
        self.owner = owner

    def __call__(self, params: dict[str, Any], model: Any, **_kwargs: Any) -> None:
        if model.input_shape is not None and "ExpectedBucketOwner" in model.input_shape.members:
            params.setdefault("ExpectedBucketOwner", self.owner)


class _Encryption:
    """Adds the encryption to each call that stores an object, unless the call sets its own."""

    def __init__(self, value: str) -> None:
        self.arguments = encryption.arguments(value)

    def __call__(self, params: dict[str, Any], model: Any, **_kwargs: Any) -> None:
        takes = model.input_shape is not None and "SSEKMSKeyId" in model.input_shape.members
        if takes and not any(name.startswith(("SSE", "ServerSideEncryption")) for name in params):
            params.update(self.arguments)


def _patient(target: Target) -> Any:
    return _made(target, config(target))


def _quick(target: Target) -> Any:
    return _made(target, config(target, patient=False))


def _working(target: Target) -> Any:
    retries = {"mode": "standard", "total_max_attempts": WORKING_ATTEMPTS}
    longer = Config(read_timeout=WORKING_READ_TIMEOUT, retries=retries)
    return _made(target, config(target, patient=False).merge(longer))


def _once(target: Target) -> Any:
    retries = {"mode": "standard", "total_max_attempts": 1}
    return _made(target, config(target).merge(Config(retries=retries)))


def _creating(target: Target) -> Any:
    made = _patient(target)
    for operation in ("PutObject", "CompleteMultipartUpload"):
        made.meta.events.register(f"before-parameter-build.s3.{operation}", _if_none_match)
    return made


def _if_none_match(params: dict[str, Any], **_kwargs: Any) -> None:
    params["IfNoneMatch"] = "*"


# A server that loads the site and then forks must not share a connection between processes.
if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_client.cache_clear)


def forget() -> None:
    """Clear the caches of sessions and clients, for tests that change the environment."""
    for cached in (_core, _session, _client, bucket_url):
        cached.cache_clear()


def owner_arguments(target: Target) -> dict[str, str]:
    """Return the argument of boto3's S3 calls that names the expected owner of the bucket, if it is set."""
    return {"ExpectedBucketOwner": target.owner} if target.owner else {}


@cache
def _rules() -> EndpointProvider:
    loader = create_loader()  # the session's loader requires the profile in AWS_PROFILE to exist
    return EndpointProvider(
        loader.load_service_model("s3", "endpoint-rule-set-1"), loader.load_data("partitions")
    )


@cache
def partition(region: str) -> str:
    """Return the partition of a region (aws, aws-cn, aws-us-gov, aws-eusc, ...); aws for an unknown region."""
    return str(_rules().ruleset.rule_lib.aws_partition(region)["name"])


@cache
def dns_suffix(region: str) -> str:
    """Return the domain of AWS's hosts in the partition of a region, such as amazonaws.com."""
    return str(_rules().ruleset.rule_lib.aws_partition(region)["dnsSuffix"])


@lru_cache(maxsize=64)
def bucket_url(target: Target, bucket: str) -> str:
    """Return the URL of a bucket by botocore's rules, without a trailing slash.

    It is virtual-hosted style on AWS, except for a name with dots, which no TLS wildcard covers. For such a name, and
    on an endpoint, it is path style.
    """
    variants = _variants(target)
    try:
        resolved = _rules().resolve_endpoint(
            Bucket=bucket,
            Region=target.region,
            UseFIPS=variants["use_fips_endpoint"],
            UseDualStack=variants["use_dualstack_endpoint"],
            ForcePathStyle=bool(target.endpoint),
            Accelerate=False,
            UseGlobalEndpoint=False,
            **({"Endpoint": target.endpoint} if target.endpoint else {}),
        )
    except EndpointProviderError as error:
        raise ImproperlyConfigured(
            f"Can't build the URL of bucket {bucket!r} in region {target.region!r}: {error}"
        ) from error
    return str(resolved.url).rstrip("/")


def object_url(target: Target, bucket: str, key: str) -> str:
    """Return the unsigned URL of an object, percent-encoded as S3 signs it."""
    return f"{bucket_url(target, bucket)}/{quote(key, safe='/~')}"


def ca_bundle(target: Target) -> str | None:
    """Return the CA bundle that the environment or AWS's configuration file names, or None."""
    if target.is_local:
        return None
    found = _core(target.profile).get_config_variable("ca_bundle")
    return str(found) if found else None


def obstore_store(target: Target, bucket: str, *, max_retries: int = 8) -> "S3Store":
    """Return an obstore store for a bucket, with the address, credentials, owner, and CA of the botocore clients.

    Its keys are full ones, including `static/`. It retries after a 500, a 503, or a cut connection, up to
    `max_retries` times, with growing pauses of at most 3 seconds. It uses the environment's proxies. Raises
    botocore.exceptions.NoCredentialsError if there are no credentials.
    """
    from obstore.store import S3Store

    url = bucket_url(target, bucket)
    credentials(target)  # obstore would hide the error in its own
    options: ClientConfig = {
        "allow_http": url.startswith("http:"),
        "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT),
        "read_timeout": timedelta(seconds=READ_TIMEOUT),
        "timeout": timedelta(seconds=REQUEST_TIMEOUT),
    }
    if target.owner:
        options["default_headers"] = {"x-amz-expected-bucket-owner": target.owner}
    extra: S3Config = {}
    if target.encryption:
        extra["server_side_encryption"] = encryption.algorithm(target.encryption)
        if key := encryption.key(target.encryption):
            extra["sse_kms_key_id"] = key
    if _takes_checksums(target):
        extra["checksum_algorithm"] = "SHA256"
    if bundle := ca_bundle(target):
        try:
            options["root_certificate"] = Path(bundle).read_bytes()
        except OSError as error:
            raise ImproperlyConfigured(f"AWS_CA_BUNDLE can't be read: {error}") from error
        if b"-----BEGIN CERTIFICATE-----" not in options["root_certificate"]:
            raise ImproperlyConfigured(
                f"AWS_CA_BUNDLE is {bundle}, which contains no certificate in PEM format."
            )
    return S3Store(
        bucket,
        config={
            # Set both names of the endpoint, because AWS_ENDPOINT_URL_S3 overrides the first one.
            "endpoint": url,
            "aws_endpoint_url_s3": url,
            # The endpoint already contains the bucket, in the host or in the path.
            "virtual_hosted_style_request": True,
            "region": target.region,
            "skip_signature": False,
            "s3_express": False,
            **extra,
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
        credential_provider=partial(_for_obstore, target),
    )


def _for_obstore(target: Target) -> Any:
    frozen = credentials(target)
    return {
        "access_key_id": frozen.access_key,
        "secret_access_key": frozen.secret_key,
        "token": frozen.token,
        # botocore's role credentials are valid for at least ten more minutes; obstore renews them five minutes before
        # they expire.
        "expires_at": datetime.now(UTC) + timedelta(minutes=10),
    }
