"""A fake AWS inside botocore, without a network: S3 with bucket owners, STS, and S3 Control.

Requests are created and signed as usual, then answered instead of sent. The caller can use a bucket of another
account, because its owner allows it; only `x-amz-expected-bucket-owner` rejects it.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import EndpointConnectionError

from s3kit import clients
from tests.ministack import REGION

ACCOUNT, OTHER = "111111111111", "999999999999"

_STS = """<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:iam::{0}:user/a</Arn><UserId>AIDA</UserId><Account>{0}</Account></GetCallerIdentityResult>
</GetCallerIdentityResponse>"""
_BLOCKS = "".join(
    f"<{name}>true</{name}>"
    for name in ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
)
_USER = '<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"><ID>a</ID></Grantee>'
# A new bucket on AWS.
NEW = {
    "encryption": "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256"
    "</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>",
    "acl": f"<AccessControlPolicy><Owner><ID>a</ID></Owner><AccessControlList><Grant>{_USER}"
    "<Permission>FULL_CONTROL</Permission></Grant></AccessControlList></AccessControlPolicy>",
    "ownershipControls": "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>"
    "</OwnershipControls>",
    "publicAccessBlock": f"<PublicAccessBlockConfiguration>{_BLOCKS}</PublicAccessBlockConfiguration>",
}
_UNSET = {
    "lifecycle": "NoSuchLifecycleConfiguration",
    "cors": "NoSuchCORSConfiguration",
    "policy": "NoSuchBucketPolicy",
}


@dataclass
class FakeAWS:
    """`owners` maps buckets to accounts; `documents` contains each bucket's configuration, as it was sent."""

    account: str = ACCOUNT
    owners: dict[str, str] = field(default_factory=dict)
    documents: dict[str, dict[str, str]] = field(default_factory=dict)
    has_sts: bool = True
    requests: Counter[str] = field(default_factory=Counter)
    """The number of requests by service, and of writes to buckets as "write"."""

    def __call__(self, request: Any, event_name: str, **_more: Any) -> AWSResponse:
        service = event_name.split(".")[1]
        self.requests[service] += 1
        if service == "sts":
            if not self.has_sts:
                raise EndpointConnectionError(endpoint_url=request.url)
            return _answer(request, 200, _STS.format(self.account))
        if service == "s3-control":
            return _error(request, 404, "NoSuchPublicAccessBlockConfiguration")
        return self._s3(request)

    def _s3(self, request: Any) -> AWSResponse:
        url = urlsplit(request.url)
        bucket = (url.hostname or "").partition(".")[0]
        what = next(iter(parse_qs(url.query, keep_blank_values=True)), "")
        owner = self.owners.get(bucket)
        if owner is None and request.method == "PUT" and not what:
            self.owners[bucket] = self.account
            return _answer(request, 200, "")
        if owner is None:
            return _error(request, 404, "NoSuchBucket")
        expected = request.headers.get("x-amz-expected-bucket-owner", owner)
        expected = expected.decode() if isinstance(expected, bytes) else expected
        if expected != owner:
            return _error(request, 403, "AccessDenied", "Access Denied")
        if what == "list-type":
            return _answer(request, 200, "<ListBucketResult/>")
        found = self.documents.setdefault(bucket, dict(NEW))
        if request.method == "PUT":
            self.requests["write"] += 1
            body = request.body
            found[what] = body.decode() if isinstance(body, bytes) else str(body)
        elif request.method == "DELETE":
            found.pop(what)
        if what in _UNSET and what not in found:
            return _error(request, 404, _UNSET[what])
        return _answer(request, 200, found.get(what, "") if request.method == "GET" else "")


def _answer(request: Any, status: int, body: str) -> AWSResponse:
    headers = {"Content-Type": "application/xml", "x-amz-bucket-region": REGION}
    response = AWSResponse(request.url, status, HTTPHeaders.from_dict(headers), None)
    response._content = b"" if request.method == "HEAD" else body.encode()
    return response


def _error(request: Any, status: int, code: str, message: str = "No.") -> AWSResponse:
    return _answer(request, status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAWS]:
    """Return the fake AWS, with a key of the account `ACCOUNT` in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    clients.forget()
    fake = FakeAWS()
    clients._core(None).register("before-send", fake)
    yield fake
    clients.forget()
