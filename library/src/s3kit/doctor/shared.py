"""What the probes share: lines, the site that is probed, requests as a visitor, errors with their fixes.

A visitor's requests carry no key, follow no redirect and go through the standard library; boto3 would hide
both a redirect to another region and what a browser gets.
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
BODY = 64 * 1024  # bytes of an answer that are read

# The site that `runserver` serves, whose pages use a local S3 server.
LOCAL_SITE = "http://127.0.0.1:8000"

APPLY = "run `manage.py s3 apply`"
COLLECT = "run `manage.py collectstatic`"
LATER = "run the doctor again; if it stays, it is the network or S3 itself"
NOT_S3 = "use a server that answers as S3 does; if Amazon S3 answers so, report this line to django-s3-kit"


@dataclass(frozen=True)
class Line:
    """What a probe saw: in `text`, and where it is not in order, what to do about it in `fix`.

    `storage` names the storage where the site has several of the kind.
    """

    probe: str
    status: Status
    text: str
    fix: str = ""
    storage: str = ""


def ok(probe: str, text: str) -> Line:
    """Return a line for what is in order."""
    return Line(probe, "ok", text)


def not_ok(probe: str, text: str, fix: str) -> Line:
    """Return a line for what fails on the site, or is open and must not be."""
    return Line(probe, "not ok", text, fix)


def warning(probe: str, text: str, fix: str) -> Line:
    """Return a line for what works but should not stay."""
    return Line(probe, "warning", text, fix)


def cant_tell(probe: str, text: str, fix: str = "") -> Line:
    """Return a line for what can't be seen from here."""
    return Line(probe, "can't tell", text, fix)


def seen(
    probe: str,
    look: Callable[[], Line | Iterable[Line]],
    explain: Callable[[Exception], tuple[str, str]] | None = None,
) -> list[Line]:
    """Return the lines of a look; whatever it raises becomes the last of them, the line of the probe.

    `explain` returns what an error means and the fix; without it, what S3 rejects is what can't be told.
    """
    lines: list[Line] = []
    try:
        found = look()
        for line in [found] if isinstance(found, Line) else found:
            lines.append(line)  # noqa: PERF402 -- those before an error stay
    except Exception as error:  # noqa: BLE001 -- no answer, and no fault of ours, may cost the report
        if explain is None and isinstance(error, ClientError):
            lines.append(cant_tell(probe, one_line(error), LATER))
        else:
            lines.append(not_ok(probe, *(explain or _odd)(error)))
    return lines


@dataclass
class Probed:
    """The site that is probed, the role whose rights are probed (None: both), and what was found so far."""

    deployment: Deployment
    role: Role | None
    name: str = field(default_factory=lambda: f".doctor-{secrets.token_hex(16)}.txt")
    """The name of the probe objects, which anybody may recognize and nobody guess."""
    accounts: dict[Target, str] = field(default_factory=dict)
    """The numbers of the credentials' accounts on AWS, as STS says."""
    broken: set[Target] = field(default_factory=set)
    """Targets that don't answer or don't accept the credentials."""
    usable: set[Bucket] = field(default_factory=set)
    """Buckets that exist and accept the credentials."""
    dead_domains: set[str] = field(default_factory=set)
    """The aliases of storages whose custom domain does not answer."""
    not_probed: list[str] = field(default_factory=list)
    """What depends on something that failed."""
    _clients: dict[Target, Any] = field(default_factory=dict)

    @property
    def reachable(self) -> tuple[Bucket, ...]:
        """The buckets of targets that are not broken."""
        return tuple(each for each in self.deployment.buckets if each.target not in self.broken)

    @property
    def buckets(self) -> tuple[Bucket, ...]:
        """Those that the role uses."""
        return tuple(each for each in self.reachable if self.role != "deploy" or each.static)

    @property
    def locations(self) -> tuple[Location, ...]:
        """The locations that the role uses, those of static files first."""
        found = [each for each in self.deployment.locations if self.role != "deploy" or each.kind == "static"]
        return tuple(sorted(found, key=lambda each: each.kind != "static"))

    def origins(self, target: Target) -> list[str]:
        """Return the origins whose pages use a target; the local server takes those of this machine alone."""
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
        """Begin a multipart upload and abort it: it needs the right to write, and nothing is written."""
        s3, named = self.s3(target), names(target, bucket)
        upload = s3.create_multipart_upload(**named, Key=key)["UploadId"]
        s3.abort_multipart_upload(**named, Key=key, UploadId=upload)


def names(target: Target, bucket: str) -> dict[str, str]:
    """Return the arguments by which boto3's calls name a bucket and its owner."""
    return {"Bucket": bucket} | clients.owner_arguments(target)


def option(name: str, location: Location) -> str:
    """Return how a message names an option of a storage."""
    return f"{name} in STORAGES[{location.alias!r}]"


def failure(error: Exception, action: str, arn: str, role: Role, owner: str | None) -> tuple[str, str]:
    """Return what an error of a call of boto3's means, which needs the action on the ARN, and the fix."""
    if not isinstance(error, ClientError):
        return _odd(error)
    code, message = code_of(error), str(error.response.get("Error", {}).get("Message", ""))
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    if status >= 500 or code in {"SlowDown", "RequestTimeout"}:
        return f"S3 answers {status} {code}", LATER
    if code not in {"AccessDenied", "403"}:
        return f"S3 answers {status} {code}: {one_line(message)}", "see Amazon S3's list of error responses"
    # S3 names the action where it says more than "Access Denied", such as kms:GenerateDataKey.
    if found := re.search(r"perform: ([\w-]+:\w+)", message):
        action = found[1]
    if "explicit deny" in message:
        return f"a policy denies {action}", f"find the statement that denies {action} on {arn}"
    whose = f"; check that account {owner} owns the bucket" if owner else ""
    return f"no right to {action}", f"allow {action} on {arn}: see `manage.py s3 policy --role {role}`{whose}"


def _odd(error: Exception) -> tuple[str, str]:
    """Return what an error means that is no answer of S3's, and the fix."""
    match error:
        case NoAnswerError():
            return f"no answer: {error}", LATER
        case BotoCoreError():
            return one_line(error), LATER
        case ResponseParserError():
            return "what answers is not S3: the answer is not the XML that S3 sends", NOT_S3
        case KeyError():
            return f"what answers is not S3: the answer lacks {one_line(error)}", NOT_S3
    return f"the answer is not as S3's: {type(error).__name__}: {one_line(error)}", NOT_S3


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
    """What a visitor got; names of headers are in lower case, the body ends after BODY bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """Return S3's own code of an error, or ""."""
        found = re.search(rb"<Code>\s*([^<\s]{1,100})\s*</Code>", self.body)
        return found[1].decode(errors="replace") if found else ""

    @property
    def is_denial(self) -> bool:
        """Whether S3 denies it; another failure tells nothing of who may do what."""
        return self.status in {401, 403}

    def __str__(self) -> str:
        return f"{self.status} {self.code}".rstrip()


class NoAnswerError(Exception):
    """Nothing came back; the text says why, without the address, which may be signed."""

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
    """Takes back the Content-Type that urllib gives to every body: no browser sends it, and Ceph wants it signed."""

    handler_order = 900  # after the handlers that add it

    def http_request(self, request: urllib.request.Request) -> urllib.request.Request:
        request.unredirected_hdrs.pop("Content-type", None)
        return request

    https_request = http_request


@cache
def _opener(bundle: str | None, *, proxies: bool) -> urllib.request.OpenerDirector:
    context = ssl.create_default_context(cafile=bundle)
    if not bundle:  # an image may have no certificates but botocore's
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
) -> Answer:
    """Send a request as a visitor's browser does, `again` if the connection is cut.

    Raises NoAnswerError where nothing comes back. Proxies are the environment's, but none is used for this
    machine's own addresses.
    """
    bundle = clients.ca_bundle(Target(""))
    try:
        opener = _opener(bundle, proxies=urlsplit(url).hostname not in LOOPBACK)
    except OSError as error:
        unreadable = ssl.SSLCertVerificationError(f"AWS_CA_BUNDLE={bundle} can't be read: {error}")
        raise NoAnswerError(unreadable) from None
    request = urllib.request.Request(url, body, dict(headers or {}), method=method)  # noqa: S310 -- http(s) only
    try:
        try:
            got = opener.open(request, timeout=READ)
        except urllib.error.HTTPError as error:  # a status of 300 or more: an answer like others
            got = error
        with got:
            content = got.read(BODY)
            if len(content) < BODY and method != "HEAD" and got.length:  # which read() does not mind
                raise http.client.IncompleteRead(content, got.length)
            return Answer(got.status, {name.lower(): value for name, value in got.headers.items()}, content)
    except (OSError, http.client.HTTPException, ValueError) as error:
        failed = NoAnswerError(error)
        if not (again and failed.was_cut):
            raise failed from None
    return fetch(url, method, headers, body, again=False)


def signed(target: Target, url: str, *, age: int = 0, **more: Any) -> str:
    """Return a link that is valid for a minute from `age` seconds ago; `more` is for `signing.presign`."""
    keys, at = clients.credentials(target), int(time.time()) - age
    return signing.presign(url, keys, region=target.region, at=at, expires=60, **more)


def over_plain_http(probe: str, target: Target, url: str) -> Line:
    """Tell whether S3 rejects plain http for an object that the credentials may read."""
    scheme, _, rest = url.partition("://")
    if scheme == "http":
        if target.is_loopback:
            return ok(probe, "not applicable: the endpoint is plain http on this machine")
        text = "the endpoint is plain http: anybody on the network path can read everything"
        return not_ok(probe, text, "set AWS_S3_ENDPOINT_URL to an https address")
    try:
        answer = fetch(signed(target, url))
        if answer.status != 200:
            return cant_tell(probe, f"a signed link answers {answer} over https already")
        answer = fetch(signed(target, f"http://{rest}"))
    except NoAnswerError:
        return ok(probe, "plain http is not answered")
    if answer.status < 300:
        text = "plain http is answered: what is read and signed can be seen on the network path"
        return not_ok(probe, text, APPLY)
    return ok(probe, f"plain http is rejected ({answer.status})")
