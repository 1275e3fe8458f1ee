"""Links to private objects, signed with SigV4 at a moment of our choice.

boto3 signs with the time of the call, so that every page view has another address for the same picture and no
browser can keep it. Here the time of signing is rounded down: all processes and page views of one window hand
out the same link. Nothing but the standard library is needed.

Source of the rules: "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)" in the Amazon
S3 API reference.
"""

import hashlib
import hmac
import time
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol
from urllib.parse import quote

from s3kit.options import MAX_EXPIRE

_ALGORITHM = "AWS4-HMAC-SHA256"
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class Credentials(Protocol):
    """What signs: botocore's frozen credentials have this face. Without a session, `token` is None."""

    @property
    def access_key(self) -> str:
        """The public part of the key."""

    @property
    def secret_key(self) -> str:
        """The secret part."""

    @property
    def token(self) -> str | None:
        """The token of a session."""


def window_start(now: float, expires: int, name: str) -> int:
    """Return the time to sign a link with: `now` rounded down to half of `expires`, in Unix seconds.

    A link that is signed with it for `expires` seconds is the same for a whole window and has at least half
    of its life left. Each name has windows of its own, because otherwise all pictures of a page would change
    their address at once.

    Raises ValueError where `expires` is not within 1 and MAX_EXPIRE.
    """
    if not 1 <= expires <= MAX_EXPIRE:
        raise ValueError(
            f"A link can live 1 to {MAX_EXPIRE} seconds, not {expires}: see AWS_QUERYSTRING_EXPIRE."
        )
    window = max(expires // 2, 1)
    second = int(now)
    return second - (second + zlib.crc32(name.encode())) % window


def presign(
    url: str,
    credentials: Credentials,
    *,
    region: str,
    at: int,
    expires: int,
    parameters: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
) -> str:
    """Return `url` with a signature that is valid from `at` (Unix seconds) on for `expires` seconds.

    `url` is the plain address of an object, percent-encoded and without a query, as client.object_url gives
    it. `parameters` are further ones of the request as S3 names them, not encoded: response-content-type,
    response-content-disposition, versionId. `headers` are those that the request must have with just these
    values, in lower case: content-length. With a session token the link also ends with the session.
    """
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    stamp, date = _timestamp(at)
    scope = f"{date}/{region}/s3/aws4_request"
    # In the order that S3 sorts them before it checks the signature: by bytes, so that capitals come first.
    query = (
        f"X-Amz-Algorithm={_ALGORITHM}&X-Amz-Credential={_encoded(f'{credentials.access_key}/{scope}')}"
        f"&X-Amz-Date={stamp}&X-Amz-Expires={expires}"
    )
    if credentials.token:
        query += f"&X-Amz-Security-Token={_encoded(credentials.token)}"
    # What a browser sends: lower case, and no port where it is the scheme's own.
    signed_host = host.lower().removesuffix(_DEFAULT_PORTS.get(scheme, ""))
    signed = {"host": signed_host} | dict(headers or {})
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    query += f"&X-Amz-SignedHeaders={quote(names, safe='')}"
    if parameters:
        pairs = [pair.split("=", 1) for pair in query.split("&")]
        pairs += [[quote(name, safe=""), quote(value, safe="")] for name, value in parameters.items()]
        query = "&".join(f"{name}={value}" for name, value in sorted(pairs))
    request = f"{method}\n{slash or '/'}{path}\n{query}\n{lines}\n{names}\nUNSIGNED-PAYLOAD"
    digest = hashlib.sha256(request.encode()).hexdigest()
    to_sign = f"{_ALGORITHM}\n{stamp}\n{scope}\n{digest}"
    key = _signing_key(credentials.secret_key, date, region)
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    return f"{scheme}://{host}{slash or '/'}{path}?{query}&X-Amz-Signature={signature}"


@lru_cache(maxsize=1024)
def _timestamp(at: int) -> tuple[str, str]:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
    return stamp, stamp[:8]


@lru_cache(maxsize=64)
def _encoded(value: str) -> str:
    # Keys and session tokens: the same ones for hours, the tokens a kilobyte long.
    return quote(value, safe="")


@lru_cache(maxsize=16)
def _signing_key(secret: str, date: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
