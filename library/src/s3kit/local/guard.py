"""Protects MiniStack from web pages, and rejects requests that AWS would reject.

MiniStack is made for tests. It treats the keys "test" and any 12 digits as root, doesn't verify root's signatures,
lets any web page use IAM, and has paths that reset it. `Guard` is an ASGI application around it with these rules:

- Host and Origin must name this machine. This keeps other sites' pages out, DNS rebinding included.
- MiniStack's own paths, `/_...`, are blocked except for the health check.
- A request that isn't about a bucket (IAM, STS, the list of buckets) must be signed, and must not come from a page.
- A signature must be SigV4, with a key that MiniStack created or the random root key; `Guard` verifies root's.
- Response headers in a link's query must be ISO-8859-1.
- Each `x-amz-*` header must be signed. Otherwise, an unsigned `x-amz-copy-source` on the link for a part copies
  another user's file (Amazon S3 API Reference, "Signature Calculations for the Authorization Header").

A separate Python process runs this file without the site's packages, so it imports nothing from the library:
`python -I -S guard.py MINISTACK_FOLDER`.
"""

import importlib
import os
import re
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, quote

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

HEALTH = "/_ministack/health"
MAX_BODY = 2**20  # bytes of a request to IAM or STS

_HERE = r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?"
_HOST = re.compile(_HERE, re.IGNORECASE)
_ORIGIN = re.compile(f"https?://{_HERE}", re.IGNORECASE)
_SCOPE = re.compile(r"Credential=([^/,\s]*)/[^/,\s]*/[^/,\s]*/([^/,\s]*)/aws4_request")
_SIGNED = re.compile(r"SignedHeaders=([^,\s]*)")
# MiniStack treats these keys as root, whatever the secret.
_FALSE_ROOT = re.compile(r"(test|[0-9]{12})?")


class RejectedError(Exception):
    """A request that AWS would reject, or that another site's page may have sent."""

    def __init__(self, code: str, message: str, status: int = 403) -> None:
        super().__init__(message)
        self.code, self.status = code, status


class Request:
    """The method, path, query, and headers of a request, with header names in lower case."""

    def __init__(self, scope: Message) -> None:
        self.method, self.path = str(scope["method"]), str(scope["path"])
        self.raw_path = (scope.get("raw_path") or quote(self.path).encode()).decode("latin-1")
        self.query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        self.headers: dict[str, str] = {}
        for name, value in scope.get("headers", []):
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            # MiniStack might use another one of two Host or Authorization headers.
            if key in self.headers and key in {"host", "origin", "authorization"}:
                raise RejectedError("InvalidRequest", f"The header {key} is sent twice.")
            self.headers[key] = f"{self.headers[key]},{text}" if key in self.headers else text

    def parameter(self, name: str) -> str:
        """Return a query parameter, whatever the case of its name, or ""; raise RejectedError for two."""
        found = [
            value for key, values in self.query.items() if key.lower() == name.lower() for value in values
        ]
        if len(found) > 1:
            raise RejectedError("InvalidRequest", f"The parameter {name} is given twice.")
        return found[0] if found else ""


class Guard:
    """The ASGI application around MiniStack's. `verify` returns the problem with a root signature, or "".

    Tests can allow more `origins` ("*" for all) and more `accounts`, whose numbers are their access keys.
    """

    def __init__(
        self,
        app: App,
        root: str,
        verify: Callable[[Request, bytes], str],
        origins: tuple[str, ...] = (),
        accounts: tuple[str, ...] = (),
    ) -> None:
        self.app, self.root, self.verify, self.origins, self.accounts = app, root, verify, origins, accounts

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on to MiniStack, or return 403 or 400 with an error message."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            try:
                request = Request(scope)
                receive = await self._checked(request, receive)
            except RejectedError as error:
                await _answer(send, error)
            else:
                await self.app(scope, receive, send)

    async def _checked(self, request: Request, receive: Receive) -> Receive:
        """Return the `receive` to pass to MiniStack; raise RejectedError for a request to reject."""
        self._check_page(request)
        if request.path.startswith("/_"):
            if (request.method, request.path) != ("GET", HEALTH):
                raise RejectedError("AccessDenied", "MiniStack's own paths are blocked.")
            return receive
        key, service, signed = _signature(request)
        about_bucket = request.path != "/" and service in {"", "s3"} and "x-amz-target" not in request.headers
        if not about_bucket or request.parameter("Action"):
            if "origin" in request.headers:
                raise RejectedError("AccessDenied", "Pages may only request objects in a bucket.")
            if not key:
                raise RejectedError("AccessDenied", "Sign this request.")
        if signed is not None:
            unsigned = {name for name in request.headers if name.startswith("x-amz-")} - signed
            if unsigned:
                raise RejectedError(
                    "AccessDenied",
                    "There were headers present in the request which were not signed:"
                    f" {', '.join(sorted(unsigned))}",
                )
        for name, values in request.query.items():
            if name.lower().startswith("response-") and any(
                max(value, default="") > "\xff" for value in values
            ):
                message = "Header value cannot be represented using ISO-8859-1."
                raise RejectedError("InvalidArgument", message, 400)
        if signed is not None and _FALSE_ROOT.fullmatch(key) and key not in self.accounts:
            raise RejectedError("InvalidAccessKeyId", "There is no such access key.")
        if key == self.root:
            body = b""
            if "x-amz-content-sha256" not in request.headers:  # then the signature needs the body itself
                body, receive = await _whole(receive)
            if wrong := self.verify(request, body):
                raise RejectedError("SignatureDoesNotMatch", wrong)
        return receive

    def _check_page(self, request: Request) -> None:
        if not _HOST.fullmatch(request.headers.get("host", "")):
            raise RejectedError("AccessDenied", "This server is only for this machine: use http://127.0.0.1.")
        origin = request.headers.get("origin")
        known = origin is None or _ORIGIN.fullmatch(origin) or {origin, "*"} & set(self.origins)
        if not known:
            raise RejectedError("AccessDenied", "This server is only for pages of this machine.")


def _signature(request: Request) -> tuple[str, str, set[str] | None]:
    """Return the key, the service, and the signed headers of a signature; "", "", and None without one.

    Raises RejectedError for signatures other than SigV4, which the library never makes.
    """
    authorization, credential = request.headers.get("authorization"), request.parameter("X-Amz-Credential")
    others = ("AWSAccessKeyId", "Signature")
    if any(request.parameter(name) for name in others) or (authorization is not None and credential):
        raise RejectedError("InvalidRequest", "Sign this request with SigV4, and only once.")
    if authorization is not None:
        scope, signed = _SCOPE.search(authorization), _SIGNED.search(authorization)
        if not authorization.startswith("AWS4-HMAC-SHA256 ") or not scope or not signed:
            raise RejectedError("InvalidRequest", "Sign with SigV4.")
        return scope[1], scope[2], set(signed[1].lower().split(";"))
    if not credential:
        return "", "", None
    parts = credential.split("/")
    if len(parts) != 5 or request.parameter("X-Amz-Algorithm") != "AWS4-HMAC-SHA256":
        raise RejectedError("InvalidRequest", "Sign with SigV4.")
    return parts[0], parts[3], set(request.parameter("X-Amz-SignedHeaders").lower().split(";"))


async def _whole(receive: Receive) -> tuple[bytes, Receive]:
    """Return the body, and a `receive` that returns it again."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message["type"] == "http.request" and message.get("more_body", False)
        if len(body) > MAX_BODY:
            raise RejectedError("EntityTooLarge", f"More than {MAX_BODY} bytes.")
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return body, again


async def _answer(send: Send, error: RejectedError) -> None:
    text = str(error).replace("&", "&amp;").replace("<", "&lt;")
    body = f"<Error><Code>{error.code}</Code><Message>{text}</Message></Error>".encode("latin-1", "replace")
    headers = [(b"content-type", b"application/xml"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _verifier(secret: str) -> Callable[[Request, bytes], str]:
    """Return the function that verifies root's signatures, with MiniStack's SigV4 code."""
    sigv4: Any = importlib.import_module("ministack.core.sigv4")

    def verify(request: Request, body: bytes) -> str:
        headers: Mapping[str, str] = request.headers
        presigned = "authorization" not in headers
        parts = (sigv4.parse_query_signature if presigned else sigv4.parse_header_signature)(
            request.query if presigned else headers
        )
        if isinstance(parts, tuple):
            return str(parts[1])
        arguments = (request.method, request.raw_path, request.query, headers, body)
        wrong = sigv4.header_signature_failure(parts, secret, *arguments, presigned=presigned)
        if not wrong and not presigned:  # MiniStack itself looks at the age of a link
            wrong = sigv4.request_time_failure(parts)
        return str(wrong[1]) if wrong else ""

    return verify


def _end_with_parent() -> None:
    # os.read, because a thread that waits in sys.stdin would delay the exit.
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Run MiniStack behind the guard until standard input closes, so it never outlives its parent."""
    sys.path.insert(0, sys.argv.pop())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    ministack: Any = importlib.import_module("ministack.app")
    if os.environ.get("GUARD", "on") == "on":
        more = (tuple(os.environ.get(name, "").split()) for name in ("GUARD_ORIGINS", "GUARD_ACCOUNTS"))
        verify = _verifier(os.environ["AWS_SECRET_ACCESS_KEY"])
        ministack.app = Guard(ministack.app, os.environ["AWS_ACCESS_KEY_ID"], verify, *more)
    ministack.main()


if __name__ == "__main__":
    main()
