"""What the probes share: lines, the site that is probed, requests as a visitor, errors as cause and cure.

A visitor's requests carry no key, follow no redirect and go by the standard library; boto3 would hide both a
redirect to another region and what a browser is told.
"""

import http.client
import re
import secrets
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.httpsession import get_cert_path
from botocore.parsers import ResponseParserError
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import storages

from s3kit import clients
from s3kit.clients import MEDIA_PREFIX
from s3kit.deployment import LOOPBACK, Site
from s3kit.storages import signing
from s3kit.storages.media import MediaStorage

Role = Literal["web", "deploy"]
Status = Literal["ok", "warning", "can't tell", "not ok"]

CONNECT, READ = 4, 8  # seconds, of one request
BODY = 64 * 1024  # bytes of an answer that are read

APPLY = "run `manage.py s3 apply`"
COLLECT = "run `manage.py collectstatic`"
# What boto3's calls raise: refused, not answered, or answered by something that is no S3.
REFUSALS = (BotoCoreError, ClientError, ResponseParserError)
LATER = "run the doctor again; if it stays, it is the network or S3 itself"


@dataclass(frozen=True)
class Line:
    """What a probe saw: in `text`, and where it is not in order, what to do about it in `cure`."""

    probe: str
    status: Status
    text: str
    cure: str = ""


def ok(probe: str, text: str) -> Line:
    """Return a line for what is in order."""
    return Line(probe, "ok", text)


def not_ok(probe: str, text: str, cure: str) -> Line:
    """Return a line for what fails on the site or opens what shall be closed."""
    return Line(probe, "not ok", text, cure)


def warning(probe: str, text: str, cure: str) -> Line:
    """Return a line for what works but should not stay."""
    return Line(probe, "warning", text, cure)


def cant_tell(probe: str, text: str, cure: str = "") -> Line:
    """Return a line for what could not be seen from here."""
    return Line(probe, "can't tell", text, cure)


@dataclass
class Patient:
    """The site that is probed, the role whose rights are probed (None: both), and what was found so far."""

    site: Site
    role: Role | None
    storage: MediaStorage
    s3: Any
    """The boto3 client: the site's own, with the doctor's time limits."""
    name: str = field(default_factory=lambda: f".doctor-{secrets.token_hex(16)}.txt")
    """Of the probe objects, which anybody may recognise and nobody guess."""
    usable: set[str] = field(default_factory=set)
    """Of "static" and "media", the buckets that are there and take the credentials."""
    not_probed: list[str] = field(default_factory=list)
    """What rests on something that failed."""
    dead_domains: set[str] = field(default_factory=set)
    """Of "static" and "media", those whose custom domain does not answer."""

    @classmethod
    def of_settings(cls, role: Role | None) -> "Patient":
        """Return the site of the settings; raise ImproperlyConfigured where it is not on S3."""
        storage = storages["default"]
        if not isinstance(storage, MediaStorage):
            raise ImproperlyConfigured("The site is not on S3: set USE_S3=true and what .env.example names.")
        where, limits = clients.place(), Config(connect_timeout=CONNECT, read_timeout=READ)
        limits = limits.merge(Config(retries={"mode": "standard", "total_max_attempts": 2}))
        s3 = clients.session().client(
            "s3",
            region_name=where.region,
            endpoint_url=where.endpoint,
            config=clients.config().merge(limits),
        )
        return cls(Site.from_settings(), role, storage, s3)

    @property
    def buckets(self) -> dict[str, str]:
        """Return the names of the buckets that the role uses, by "static" and "media"."""
        both = {"static": self.site.static_bucket, "media": self.site.media_bucket}
        return {"static": both["static"]} if self.role == "deploy" else both

    @property
    def key(self) -> str:
        """Return the key of the probe object among the uploads."""
        return MEDIA_PREFIX + self.name

    def named(self, bucket: str) -> dict[str, str]:
        """Return the arguments by which boto3's calls name a bucket and its owner."""
        return {"Bucket": bucket} | clients.owner_arguments()

    def begin_and_abort(self, bucket: str, key: str) -> None:
        """Begin an upload in parts and give it up: it needs the right to write, and nothing is written."""
        named = self.named(bucket)
        upload = self.s3.create_multipart_upload(**named, Key=key)["UploadId"]
        self.s3.abort_multipart_upload(**named, Key=key, UploadId=upload)

    def refused(self, error: Exception, action: str, arn: str, role: Role) -> tuple[str, str]:
        """Return the cause and the cure of an error of boto3's in a call that needs the action on the ARN."""
        if not isinstance(error, ClientError):
            return one_line(error), LATER
        code, message = code_of(error), str(error.response.get("Error", {}).get("Message", ""))
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status >= 500 or code in {"SlowDown", "RequestTimeout"}:
            return f"S3 answers {status} {code}", LATER
        if code not in {"AccessDenied", "403"}:
            return (
                f"S3 answers {status} {code}: {one_line(message)}",
                "see Amazon S3's list of error responses",
            )
        # S3 names the action where it tells more than "Access Denied", such as kms:GenerateDataKey.
        if found := re.search(r"perform: ([\w-]+:\w+)", message):
            action = found[1]
        if "explicit deny" in message:
            return f"a policy denies {action}", f"find the statement that denies {action} on {arn}"
        owner = f"; check that account {self.site.owner} owns the bucket" if self.site.owner else ""
        return (
            f"no right to {action}",
            f"allow {action} on {arn}: see `manage.py s3 policy --role {role}`{owner}",
        )


def code_of(error: ClientError) -> str:
    """Return S3's code of an error; other servers may answer without one."""
    return str(error.response.get("Error", {}).get("Code", ""))


def one_line(error: object) -> str:
    """Return the text of an error on one line, of bounded length, without the address that botocore adds."""
    text = (
        re.sub(r'( from| to)?( the)? endpoint URL: "https?://[^"]*"', "", str(error)) or type(error).__name__
    )
    return " ".join(text.split()).rstrip(".")[:200]


class Answer(NamedTuple):
    """What a visitor got; names of headers are in lower case, the body is cut at BODY bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """Return S3's own code of an error, or ""."""
        found = re.search(rb"<Code>\s*([^<\s]+)\s*</Code>", self.body)
        return found[1].decode() if found else ""

    def __str__(self) -> str:
        return f"{self.status} {self.code}".rstrip()


class NoAnswerError(Exception):
    """Nothing came back; the text says why, without the address, which may be signed."""

    def __init__(self, error: Exception) -> None:
        reason = getattr(error, "reason", error)
        self.untrusted = isinstance(reason, ssl.SSLCertVerificationError)
        super().__init__(one_line(reason))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None


@cache
def _opener(bundle: str | None, *, proxies: bool) -> urllib.request.OpenerDirector:
    context = ssl.create_default_context(cafile=bundle)
    if not bundle:  # an image may have no certificates but botocore's
        context.load_verify_locations(get_cert_path(True))
    handlers: list[urllib.request.BaseHandler] = [
        urllib.request.HTTPSHandler(context=context),
        _NoRedirect(),
    ]
    if not proxies:
        handlers.append(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener(*handlers)


def fetch(
    url: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> Answer:
    """Ask as a visitor's browser does; raise NoAnswerError where nothing comes back.

    Proxies are the environment's, but none is asked for this machine's own addresses.
    """
    bundle = clients._core().get_config_variable("ca_bundle")
    opener = _opener(bundle, proxies=urlsplit(url).hostname not in LOOPBACK)
    request = urllib.request.Request(url, body, dict(headers or {}), method=method)  # noqa: S310 -- http(s) only
    try:
        try:
            got = opener.open(request, timeout=READ)
        except urllib.error.HTTPError as error:  # a status of 300 or more: an answer like others
            got = error
        with got:
            return Answer(
                got.status, {name.lower(): value for name, value in got.headers.items()}, got.read(BODY)
            )
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NoAnswerError(error) from None


def signed(url: str, *, age: int = 0, parameters: Mapping[str, str] | None = None) -> str:
    """Return a link that is good for a minute, which began `age` seconds ago."""
    region, at = clients.place().region, int(time.time()) - age
    return signing.presign(url, clients.credentials(), region=region, at=at, expires=60, parameters=parameters)


def over_plain_http(probe: str, url: str) -> Line:
    """Tell whether an object that the credentials may read is refused over plain http."""
    scheme, _, rest = url.partition("://")
    if scheme == "http":
        if urlsplit(url).hostname in LOOPBACK:
            return ok(probe, "not applicable: the endpoint is plain http on this machine")
        return not_ok(
            probe,
            "the endpoint is plain http: anybody on the way can read all",
            "set AWS_S3_ENDPOINT_URL to an https address",
        )
    try:
        answer = fetch(signed(url))
        if answer.status != 200:
            return cant_tell(probe, f"a signed link answers {answer} over https already")
        answer = fetch(signed(f"http://{rest}"))
    except NoAnswerError:
        return ok(probe, "plain http is not answered")
    if answer.status < 300:
        return not_ok(probe, "plain http is answered: what is read and signed can be seen on the way", APPLY)
    return ok(probe, f"plain http is refused ({answer.status})")
