"""Shared parts of the probes: lines, the probed site, visitors' requests, and errors with their fixes.

A visitor's requests have no credentials and follow no redirects. They use the standard library, because boto3 would
hide redirects to another region, and what a browser gets.
"""

import http.client
import re
import secrets
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.httpsession import get_cert_path
from botocore.parsers import ResponseParserError

from s3kit import clients
from s3kit.deployment import LOOPBACK, Bucket, Deployment, Location, Target
from s3kit.storages import signing

Role = Literal["web", "deploy"]
Status = Literal["ok", "warning", "can't tell", "not ok"]

CONNECT, READ = 4, 8  # seconds, of one request
BODY = 64 * 1024  # bytes to read of a response

# The site that `runserver` serves, whose pages use a local S3 server.
LOCAL_SITE = "http://127.0.0.1:8000"

APPLY = "run `manage.py s3 apply`"
COLLECT = "run `manage.py collectstatic`"
LATER = "run the doctor again; if it still fails, check the network and the status of S3"
NOT_S3 = "use a server that behaves like S3; if this is Amazon S3, report this line to django-s3-kit"


@dataclass(frozen=True)
class Line:
    """The result of a probe: `text`, and `fix` if something is wrong.

    `storage` names the storage if the site has several of the kind.
    """

    probe: str
    status: Status
    text: str
    fix: str = ""
    storage: str = ""


def ok(probe: str, text: str) -> Line:
    """Return a line for a success."""
    return Line(probe, "ok", text)


def not_ok(probe: str, text: str, fix: str) -> Line:
    """Return a line for something that fails on the site, or is open and must not be."""
    return Line(probe, "not ok", text, fix)


def warning(probe: str, text: str, fix: str) -> Line:
    """Return a line for something that works but should be changed."""
    return Line(probe, "warning", text, fix)


def cant_tell(probe: str, text: str, fix: str = "") -> Line:
    """Return a line for something that the probe can't see."""
    return Line(probe, "can't tell", text, fix)


def seen(
    probe: str,
    look: Callable[[], Line | Iterable[Line]],
    explain: Callable[[Exception], tuple[str, str]] | None = None,
) -> list[Line]:
    """Return the lines of `look`; an exception becomes the last line.

    `explain` returns the meaning of an exception and the fix; without it, S3's errors become "can't tell".
    """
    lines: list[Line] = []
    try:
        found = look()
        for line in [found] if isinstance(found, Line) else found:
            lines.append(line)  # noqa: PERF402 -- keep those before an error
    except Exception as error:  # noqa: BLE001 -- neither a response nor a bug may break the report
        if explain is None and isinstance(error, ClientError):
            lines.append(cant_tell(probe, one_line(error), LATER))
        else:
            lines.append(not_ok(probe, *(explain or _unexpected)(error)))
    return lines


@dataclass
class Probed:
    """The probed site, the role whose rights are probed (None: both), and the findings so far."""

    deployment: Deployment
    role: Role | None
    name: str = field(default_factory=lambda: f".doctor-{secrets.token_hex(16)}.txt")
    """The name of the probe objects: easy to recognize, impossible to guess."""
    accounts: dict[Target, str] = field(default_factory=dict)
    """The account numbers of the credentials on AWS, from STS."""
    broken: set[Target] = field(default_factory=set)
    """Targets that don't respond or don't accept the credentials."""
    usable: set[Bucket] = field(default_factory=set)
    """Buckets that exist and accept the credentials."""
    dead_domains: set[str] = field(default_factory=set)
    """The aliases of storages whose custom domain doesn't respond."""
    not_probed: list[str] = field(default_factory=list)
    """Skipped probes, which depend on a failed one."""
    _clients: dict[Target, Any] = field(default_factory=dict)

    @property
    def reachable(self) -> tuple[Bucket, ...]:
        """The buckets of targets that are not broken."""
        return tuple(each for each in self.deployment.buckets if each.target not in self.broken)

    @property
    def buckets(self) -> tuple[Bucket, ...]:
        """The reachable buckets that the role uses."""
        return tuple(each for each in self.reachable if self.role != "deploy" or each.static)

    @property
    def locations(self) -> tuple[Location, ...]:
        """The locations that the role uses, those of static files first."""
        found = [each for each in self.deployment.locations if self.role != "deploy" or each.kind == "static"]
        return tuple(sorted(found, key=lambda each: each.kind != "static"))

    def origins(self, target: Target) -> list[str]:
        """Return the origins whose pages use a target; for the local server, only this machine's."""
        if target.is_local:
            return [LOCAL_SITE]
        return [*self.deployment.origins, *([LOCAL_SITE] if target.is_loopback else [])]

    def storage(self, location: Location) -> Any:
        """Return the storage of a location."""
        return self.deployment.storages[location.alias]

    def key(self, location: Location) -> str:
        """Return the key of the probe object at a location."""
        return location.prefix + self.name

    def s3(self, target: Target) -> Any:
        """Return the boto3 client of a target: the site's own, with the doctor's time limits."""
        if target not in self._clients:
            limits = Config(
                connect_timeout=CONNECT,
                read_timeout=READ,
                retries={"mode": "standard", "total_max_attempts": 2},
            )
            self._clients[target] = clients.session(target).client(
                "s3",
                region_name=target.region,
                endpoint_url=target.endpoint,
                config=clients.config(target).merge(limits),
            )
        return self._clients[target]

    def begin_and_abort(self, target: Target, bucket: str, key: str) -> None:
        """Begin a multipart upload and abort it: this tests the right to write, and writes nothing."""
        s3, named = self.s3(target), names(target, bucket)
        upload = s3.create_multipart_upload(**named, Key=key)["UploadId"]
        s3.abort_multipart_upload(**named, Key=key, UploadId=upload)


def names(target: Target, bucket: str) -> dict[str, str]:
    """Return the arguments of boto3's calls that name a bucket and its owner."""
    return {"Bucket": bucket} | clients.owner_arguments(target)


def option(name: str, location: Location) -> str:
    """Return how a message names an option of a storage."""
    return f"{name} in STORAGES[{location.alias!r}]"


def failure(error: Exception, action: str, arn: str, role: Role, owner: str | None) -> tuple[str, str]:
    """Return the meaning of an error of a boto3 call that needs `action` on `arn`, and the fix."""
    if not isinstance(error, ClientError):
        return _unexpected(error)
    code, message = code_of(error), str(error.response.get("Error", {}).get("Message", ""))
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    both = f"{status} {code}".removeprefix(f"{code} ")  # a response to HEAD has no code but the status
    if status >= 500 or code in {"SlowDown", "RequestTimeout"}:
        return f"S3 returned {both}", LATER
    if code not in {"AccessDenied", "403"}:
        return f"S3 returned {both}: {one_line(message)}", "see Amazon S3's list of error responses"
    # A longer message than "Access Denied" names the action, such as kms:GenerateDataKey.
    if found := re.search(r"perform: ([\w-]+:\w+)", message):
        action = found[1]
    if "explicit deny" in message:
        return f"a policy denies {action}", f"find the statement that denies {action} on {arn}"
    whose = f"; check that account {owner} owns the bucket" if owner else ""
    return (
        f"{action} is not allowed",
        f"allow {action} on {arn}: see `manage.py s3 policy --role {role}`{whose}",
    )


def _unexpected(error: Exception) -> tuple[str, str]:
    """Return the meaning of an error that isn't a response of S3's, and the fix."""
    match error:
        case NoResponseError():
            return f"no response: {error}", LATER
        case BotoCoreError():
            return one_line(error), LATER
        case ResponseParserError():
            return "the server is not S3: its response is not XML", NOT_S3
        case KeyError():
            return f"the server is not S3: its response lacks {one_line(error)}", NOT_S3
    return f"the server is not S3: {type(error).__name__}: {one_line(error)}", NOT_S3


def code_of(error: ClientError) -> str:
    """Return S3's error code; "" for a server that sends none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def one_line(error: object) -> str:
    """Return the text of an error on one line, of limited length, without the URL that botocore adds."""
    text = (
        re.sub(r'( from| to)?( the)? endpoint URL: "https?://[^"]*"', "", str(error)) or type(error).__name__
    )
    return " ".join(text.split()).rstrip(".")[:200]


class Response(NamedTuple):
    """A response to a visitor, with header names in lower case, and at most BODY bytes of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """Return S3's error code, or ""."""
        found = re.search(rb"<Code>\s*([^<\s]{1,100})\s*</Code>", self.body)
        return found[1].decode(errors="replace") if found else ""

    @property
    def is_denial(self) -> bool:
        """Whether S3 denied the request; other failures say nothing about rights."""
        return self.status in {401, 403}

    def __str__(self) -> str:
        return f"{self.status} {self.code}".rstrip()


class NoResponseError(Exception):
    """There was no response; the text is the reason, without the URL, which may be signed."""

    def __init__(self, error: Exception) -> None:
        reason = getattr(error, "reason", error)
        self.untrusted = isinstance(reason, ssl.SSLCertVerificationError)
        self.was_cut = isinstance(reason, ConnectionResetError | BrokenPipeError | http.client.HTTPException)
        super().__init__(one_line(reason))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def http_error_302(self, *_args: Any) -> None:
        return None

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302  # type: ignore[assignment]


class _NoContentType(urllib.request.BaseHandler):
    """Removes the Content-Type that urllib adds to every body: browsers don't send it, and Ceph wants it signed."""

    handler_order = 900  # after the handlers that add it

    def http_request(self, request: urllib.request.Request) -> urllib.request.Request:
        request.unredirected_hdrs.pop("Content-type", None)
        return request

    https_request = http_request


@cache
def _opener(bundle: str | None, *, proxies: bool) -> urllib.request.OpenerDirector:
    context = ssl.create_default_context(cafile=bundle)
    if not bundle:  # an image may only have botocore's certificates
        context.load_verify_locations(get_cert_path(True))
    handlers: list[urllib.request.BaseHandler] = [
        urllib.request.HTTPSHandler(context=context),
        _NoRedirect(),
        _NoContentType(),
    ]
    if not proxies:
        handlers.append(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener(*handlers)


def fetch(
    url: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    *,
    again: bool = True,
) -> Response:
    """Send a request as a visitor's browser does, twice (`again`) if the connection is cut.

    Uses the environment's proxies, except for loopback addresses. Raises NoResponseError if there is no response.
    """
    bundle = clients.ca_bundle(Target(""))
    try:
        opener = _opener(bundle, proxies=urlsplit(url).hostname not in LOOPBACK)
    except OSError as error:
        unreadable = ssl.SSLCertVerificationError(f"AWS_CA_BUNDLE={bundle} can't be read: {error}")
        raise NoResponseError(unreadable) from None
    request = urllib.request.Request(url, body, dict(headers or {}), method=method)  # noqa: S310 -- http(s) only
    try:
        try:
            got = opener.open(request, timeout=READ)
        except urllib.error.HTTPError as error:  # a status of 300 or more is a response like others
            got = error
        with got:
            content = got.read(BODY)
            if len(content) < BODY and method != "HEAD" and got.length:  # read() doesn't raise for it
                raise http.client.IncompleteRead(content, got.length)
            return Response(got.status, {name.lower(): value for name, value in got.headers.items()}, content)
    except (OSError, http.client.HTTPException, ValueError) as error:
        failed = NoResponseError(error)
        if not (again and failed.was_cut):
            raise failed from None
    return fetch(url, method, headers, body, again=False)


def signed(target: Target, url: str, *, age: int = 0, **more: Any) -> str:
    """Return a link that is valid for a minute from `age` seconds ago; `more` is for `signing.presign`."""
    keys, at = clients.credentials(target), int(time.time()) - age
    return signing.presign(url, keys, region=target.region, at=at, expires=60, **more)


def over_plain_http(probe: str, target: Target, url: str) -> Line:
    """Probe whether S3 rejects plain http for an object that the credentials may read."""
    scheme, _, rest = url.partition("://")
    if scheme == "http":
        if target.is_loopback:
            return ok(probe, "not applicable: the endpoint is plain http on this machine")
        text = "the endpoint is plain http: anyone on the network path can read everything"
        return not_ok(probe, text, "set AWS_S3_ENDPOINT_URL to an https address")
    try:
        response = fetch(signed(target, url))
        if response.status != 200:
            return cant_tell(probe, f"a signed link already fails over https: {response}")
        response = fetch(signed(target, f"http://{rest}"))
    except NoResponseError:
        return ok(probe, "plain http gets no response")
    if response.status < 300:
        text = "plain http works: anyone on the network path can read files and signed links"
        return not_ok(probe, text, APPLY)
    return ok(probe, f"plain http is rejected ({response.status})")
