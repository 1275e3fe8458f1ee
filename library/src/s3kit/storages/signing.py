"""Links to private objects, signed with AWS Signature Version 4 (SigV4) at a rounded time.

boto3 signs with the current time, so each page view has a different URL for the same picture and browsers can't cache
it. This module rounds the time down: all processes return the same link for a window of time.

Source: "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)" in the Amazon S3 API reference.
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
    """Credentials to sign with; botocore's frozen credentials have this interface."""

    @property
    def access_key(self) -> str:
        """The access key ID."""

    @property
    def secret_key(self) -> str:
        """The secret access key."""

    @property
    def token(self) -> str | None:
        """The session token, None for long-term credentials."""


def window_start(now: float, expires: int, name: str) -> int:
    """Return the time to sign a link with: `now` rounded down to half of `expires`, in Unix seconds.

    A link that is signed at that time for `expires` seconds stays the same for a window of time and has at least half
    of its lifetime left. Windows are staggered by name: otherwise the URLs of all pictures on a page would change at
    once.

    Raises ValueError unless `expires` is between 1 and MAX_EXPIRE.
    """
    if not 1 <= expires <= MAX_EXPIRE:
        raise ValueError(
            f"A link can be valid for 1 to {MAX_EXPIRE} seconds, not {expires}: see AWS_QUERYSTRING_EXPIRE."
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
    """Return `url` with a signature that is valid from `at` (Unix seconds) for `expires` seconds.

    `url` is the plain URL of an object, percent-encoded and without a query string, such as clients.object_url returns.
    `parameters` are further query parameters under S3's names, not encoded: response-content-type,
    response-content-disposition, versionId. `headers` are those that the request must have with exactly these values;
    their names are in lower case: content-length. With a session token, the link also ends when the session does.
    """
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    stamp, date = _timestamp(at)
    scope = f"{date}/{region}/s3/aws4_request"
    # S3 sorts the parameters by bytes before it checks the signature, so capitals come first.
    query = (
        f"X-Amz-Algorithm={_ALGORITHM}&X-Amz-Credential={_encoded(f'{credentials.access_key}/{scope}')}"
        f"&X-Amz-Date={stamp}&X-Amz-Expires={expires}"
    )
    if credentials.token:
        query += f"&X-Amz-Security-Token={_encoded(credentials.token)}"
    # As a browser sends it: in lower case, and without the scheme's default port.
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
    # Keys and session tokens stay the same for hours, and tokens are a kilobyte long.
    return quote(value, safe="")


@lru_cache(maxsize=16)
def _signing_key(secret: str, date: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
