"""A proxy in front of the strict S3 server, with the bucket APIs of Ceph's radosgw, rclone, and others.

with OddStore(store.endpoint, CEPH) as odd:
    site = at(odd.seen_by(store), ...)

The sources are Ceph's src/rgw (rgw_rest_s3.cc, rgw_cors*.cc, rgw_lc_s3.cc, release 20) and rclone's
fork of gofakes3 (routing.go), and for `REPLAYS` the sources in `s3kit.providers`.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from tests.fault_proxy import FaultProxy

XMLNS = "http://s3.amazonaws.com/doc/2006-03-01/"
SUB_RESOURCES = frozenset(
    ("encryption", "lifecycle", "cors", "acl", "ownershipControls", "publicAccessBlock", "policy")
)
ET.register_namespace("", XMLNS)


@dataclass(frozen=True)
class Dialect:
    """How a server differs from AWS."""

    # Unknown subresources: it treats GET as a listing, PUT as CreateBucket, and DELETE as DeleteBucket!
    unknown: Collection[str] = ()
    # Rejected subresources, with status and code; those in the second only when they are written.
    rejected: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    rejected_writes: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    # New buckets have no default encryption. Without keys, the server accepts one, then rejects every upload.
    is_unencrypted: bool = False
    has_no_keys: bool = False
    # The response to an upload that the server can't encrypt.
    keyless: tuple[int, str] = (400, "InvalidRequest")
    # Returns rules in sorted order, with a prefix instead of an empty filter. The first CORS rule with a matching
    # origin decides.
    rewrites_rules: bool = False
    # How rules are returned, by subresource; None if they are rejected as malformed.
    returned: Mapping[str, Callable[[bytes], bytes | None]] = field(default_factory=dict)
    # The status, without a body, if no rules are set.
    unset: Mapping[str, int] = field(default_factory=dict)
    # The owner has no name in a bucket's ACL.
    is_nameless: bool = False
    # The region in signatures, "" for any.
    region: str = ""
    # With BlockPublicAcls it denies every upload (https://tracker.ceph.com/issues/49135).
    blocks_uploads: bool = False
    # Every origin is allowed, regardless of the bucket's rules.
    allows_origins: bool = False
    # The response to a PUT with If-None-Match.
    unconditional: tuple[int, str] | None = None


@dataclass
class _Answer:
    """The server's response, for `FaultProxy`."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)

    def getheaders(self) -> list[tuple[str, str]]:
        return list(self.headers.items())

    def getheader(self, name: str) -> str | None:
        return self.headers.get(name)


class OddStore(FaultProxy):
    """The proxy. `deleted` contains the buckets that a DELETE of an unknown subresource would have deleted."""

    def __init__(self, upstream: str, dialect: Dialect, root: Any = None) -> None:
        super().__init__(upstream)
        # The strict S3 server blocks public access to new buckets; this server doesn't support that.
        is_open = dialect.blocks_uploads or "publicAccessBlock" in dialect.rejected
        self.root = root if is_open else None
        self.blocked: dict[str, bool] = {}
        self.dialect = dialect
        # Stored documents, by bucket and subresource, that the strict S3 server would not return in the same form.
        self.kept: dict[tuple[str, str], bytes] = {}
        self.deleted: list[str] = []

    def seen_by(self, store: Any) -> Any:
        """Return the arguments for `tests.deployments.at`: the URL, and root's key."""
        return SimpleNamespace(endpoint=self.endpoint, root=store.root)

    def _forward(self, handler: BaseHTTPRequestHandler, body: bytes) -> Any:
        parts = urlsplit(handler.path)
        bucket, _, key = parts.path.strip("/").partition("/")
        known = (*SUB_RESOURCES, "versioning", "tagging")
        sub = next((name for name in known if re.match(rf"{name}(=|&|$)", parts.query)), "")
        method, headers = handler.command, {name.lower(): value for name, value in handler.headers.items()}
        scope = re.search(r"Credential=[^/]+/[0-9]+/([^/]+)/", headers.get("authorization", ""))
        if scope and self.dialect.region not in {"", scope[1]}:
            return _error(400, "AuthorizationHeaderMalformed")
        rejected = self.dialect.rejected.get(sub) or (
            self.dialect.rejected_writes.get(sub) if method != "GET" else None
        )
        if not key and rejected:
            return _error(*rejected)
        if not key and sub in self.dialect.unknown:
            return self._as_bucket_request(method, bucket)
        if not key and sub == "acl" and self.dialect.is_nameless and method == "GET":
            return _Answer(200, {"Content-Type": "application/xml"}), _NAMELESS_ACL
        kept = {"encryption"} if self.dialect.is_unencrypted else set()
        kept |= {"cors", "lifecycle"} if self.dialect.rewrites_rules else {*self.dialect.returned}
        if not key and sub in kept:
            if sub == "cors" and not self.dialect.rewrites_rules and method != "GET":
                super()._forward(handler, body)  # so that the server responds to browsers
            return self._keep(method, bucket, sub, body)
        wants_key = "x-amz-server-side-encryption" in headers or (bucket, "encryption") in self.kept
        if self.dialect.has_no_keys and key and method == "PUT" and wants_key:
            return _error(*self.dialect.keyless)
        if self.dialect.unconditional and method == "PUT" and "if-none-match" in headers:
            return _error(*self.dialect.unconditional)
        if sub == "publicAccessBlock" and method == "PUT":
            self.blocked[bucket] = b"<BlockPublicAcls>true" in body
        if self.dialect.blocks_uploads and key and method == "PUT" and self.blocked.get(bucket):
            return _error(403, "AccessDenied")
        answers_browsers = self.dialect.allows_origins or self.dialect.rewrites_rules
        origin = headers.get("origin", "") if answers_browsers else ""
        wanted = headers.get("access-control-request-method", method)
        allowed = {"Access-Control-Allow-Origin": origin} if self._allows(bucket, origin, wanted) else {}
        if method == "OPTIONS" and answers_browsers:
            return (_Answer(200, allowed), b"") if allowed else _error(403, "AccessDenied")
        answer = super()._forward(handler, body)
        if allowed:
            return _Answer(answer[0].status, dict(answer[0].getheaders()) | allowed), answer[1]
        if self.root and method == "PUT" and not key and not parts.query and answer[0].status == 200:
            self.root.delete_public_access_block(Bucket=bucket)
        return answer

    def _as_bucket_request(self, method: str, bucket: str) -> Any:
        if method == "GET":
            listing = f'<ListBucketResult xmlns="{XMLNS}"><Name>{bucket}</Name></ListBucketResult>'
            return _Answer(200, {"Content-Type": "application/xml"}), listing.encode()
        if method == "PUT":
            return _error(409, "BucketAlreadyOwnedByYou")
        self.deleted.append(bucket)
        return _Answer(204), b""

    def _keep(self, method: str, bucket: str, sub: str, body: bytes) -> Any:
        returned = (_RETURNED if self.dialect.rewrites_rules else self.dialect.returned).get(sub, bytes)
        if method == "PUT":
            if returned(body) is None:
                return _error(400, "MalformedXML")
            self.kept[bucket, sub] = body
        elif method == "DELETE":
            self.kept.pop((bucket, sub), None)
        elif (bucket, sub) in self.kept:
            return _Answer(200), returned(self.kept[bucket, sub])
        elif sub in self.dialect.unset:
            return _Answer(self.dialect.unset[sub]), b""
        else:
            return _error(404, _UNSET[sub])
        return _Answer(200), b""

    def _allows(self, bucket: str, origin: str, method: str) -> bool:
        """Return whether an origin may send a request. The first rule with a matching origin decides."""
        if not origin or self.dialect.allows_origins:
            return bool(origin)
        for rule in _parsed(self.kept[bucket, "cors"]).iter(f"{{{XMLNS}}}CORSRule"):
            patterns = [re.escape(each).replace(r"\*", ".*") for each in _texts(rule, "AllowedOrigin")]
            if any(re.fullmatch(pattern, origin) for pattern in patterns):
                return method in _texts(rule, "AllowedMethod")
        return False


def _error(status: int, code: str) -> Any:
    text = f"<Error><Code>{code}</Code><Message>As the dialect says.</Message></Error>"
    return _Answer(status, {"Content-Type": "application/xml"}), text.encode()


def _parsed(content: bytes) -> ET.Element:
    return ET.fromstring(content)  # noqa: S314 -- the library's own


def _texts(rule: ET.Element, name: str) -> list[str]:
    return [each.text or "" for each in rule.iter(f"{{{XMLNS}}}{name}")]


def _cors(content: bytes) -> bytes:
    """Return CORS rules as Ceph returns them: methods in Ceph's order, and origins and headers sorted."""
    root = _parsed(content)
    order = ("ID", "AllowedMethod", "AllowedOrigin", "AllowedHeader", "MaxAgeSeconds", "ExposeHeader")
    methods = ("GET", "PUT", "DELETE", "HEAD", "POST")

    def place(element: ET.Element) -> tuple[int, int, str]:
        name, text = element.tag.rpartition("}")[2], element.text or ""
        return order.index(name), methods.index(text) if name == "AllowedMethod" else 0, text

    for rule in root:
        rule[:] = sorted(rule, key=place)
    return ET.tostring(root)


def _lifecycle(content: bytes) -> bytes:
    """Return lifecycle rules as Ceph returns them: sorted by ID, with a prefix instead of an empty filter."""
    root = _parsed(content)
    for rule in root:
        for part in rule.findall(f"{{{XMLNS}}}Filter"):
            if not "".join(part.itertext()).strip():
                rule.remove(part)
                rule.insert(1, ET.Element(f"{{{XMLNS}}}Prefix"))
    root[:] = sorted(root, key=lambda rule: _texts(rule, "ID"))
    return ET.tostring(root)


def _without(action: str, *, strict: bool = False) -> Callable[[bytes], bytes | None]:
    """Return a function that removes an action from a lifecycle rule, or returns None if the rule is then empty."""

    def returned(content: bytes) -> bytes | None:
        root = _parsed(content)
        for rule in root:
            for part in rule.findall(f"{{{XMLNS}}}{action}"):
                rule.remove(part)
            if strict and {part.tag.rpartition("}")[2] for part in rule} <= {
                "ID",
                "Status",
                "Filter",
                "Prefix",
            }:
                return None
        return ET.tostring(root)

    return returned


def _split(content: bytes) -> bytes:
    """Return lifecycle rules as Backblaze B2 does: one per action, and one for orphaned markers."""
    root, split = _parsed(content), ET.Element(f"{{{XMLNS}}}LifecycleConfiguration")
    for rule in root:
        shared = [part for part in rule if part.tag.rpartition("}")[2] in {"Status", "Filter"}]
        for part in rule:
            if part.tag.rpartition("}")[2] not in {"ID", "Status", "Filter"}:
                ET.SubElement(split, rule.tag).extend([*shared, part])
            if part.tag.endswith("}Expiration"):
                marker = ET.Element(part.tag)
                ET.SubElement(marker, f"{{{XMLNS}}}ExpiredObjectDeleteMarker").text = "true"
                ET.SubElement(split, rule.tag).extend([*shared, marker])
    return ET.tostring(split)


def _nameless(content: bytes) -> bytes:
    """Return CORS rules without their names."""
    root = _parsed(content)
    for rule in root:
        for part in rule.findall(f"{{{XMLNS}}}ID"):
            rule.remove(part)
    return ET.tostring(root)


_NAMELESS_ACL = (
    f'<AccessControlPolicy xmlns="{XMLNS}"><Owner><ID></ID><DisplayName></DisplayName></Owner><AccessControlList>'
    '<Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser">'
    "<Type>CanonicalUser</Type></Grantee><Permission>FULL_CONTROL</Permission></Grant></AccessControlList>"
    "</AccessControlPolicy>"
).encode()
_RETURNED = {"encryption": bytes, "cors": _cors, "lifecycle": _lifecycle}
_UNSET = {
    "encryption": "ServerSideEncryptionConfigurationNotFoundError",
    "cors": "NoSuchCORSConfiguration",
    "lifecycle": "NoSuchLifecycleConfiguration",
}

NOT_IMPLEMENTED = (501, "NotImplemented")


def _missing(*names: str) -> dict[str, tuple[int, str]]:
    return dict.fromkeys(names, NOT_IMPLEMENTED)


CEPH = Dialect({"ownershipControls"}, is_unencrypted=True, has_no_keys=True, rewrites_rules=True)
RCLONE = Dialect(SUB_RESOURCES)
# What each provider rejects or does differently, according to its documentation. Everything else is as on AWS.
REPLAYS: Mapping[str, Dialect] = {
    "r2": Dialect(
        rejected=_missing("policy", "publicAccessBlock", "ownershipControls", "acl", "versioning", "tagging"),
        rejected_writes=_missing("encryption"),
    ),
    "b2": Dialect(
        rejected=_missing("policy"),
        returned={"lifecycle": _split, "cors": _nameless},
        unconditional=NOT_IMPLEMENTED,
    ),
    "digitalocean": Dialect(rejected=_missing("encryption")),
    "hetzner": Dialect(rejected=_missing("encryption", "ownershipControls", "tagging")),
    "wasabi": Dialect(),
    "minio": Dialect(
        rejected=_missing("publicAccessBlock", "ownershipControls"),
        rejected_writes=_missing("cors", "acl"),
        is_unencrypted=True,
        has_no_keys=True,
        keyless=NOT_IMPLEMENTED,
        returned={"lifecycle": _without("AbortIncompleteMultipartUpload", strict=True)},
        is_nameless=True,
        allows_origins=True,
    ),
    "ceph": replace(CEPH, blocks_uploads=True),
    "garage": Dialect(
        rejected=_missing("policy", "publicAccessBlock", "ownershipControls", "acl", "encryption", "tagging"),
        rejected_writes=_missing("versioning"),
        returned={"lifecycle": _without("NoncurrentVersionExpiration"), "cors": bytes},
        unset={"lifecycle": 404, "cors": 204},
        region="garage",
    ),
    "seaweedfs": Dialect(rejected=_missing("publicAccessBlock")),
    "rustfs": Dialect(
        rejected=_missing("ownershipControls"), is_unencrypted=True, has_no_keys=True, is_nameless=True
    ),
}
