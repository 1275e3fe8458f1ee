"""Servers that answer about buckets as Ceph's radosgw, rclone and others do: a proxy before the strict S3.

with OddStore(store.endpoint, CEPH) as odd:
    site = at(odd.seen_by(store), ...)

What they answer was read in Ceph's src/rgw (rgw_rest_s3.cc, rgw_cors*.cc, rgw_lc_s3.cc, release 20) and rclone's
fork of gofakes3 (routing.go).
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
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

    # Sub-resources that it does not know: it takes GET for a listing, PUT for CreateBucket, DELETE for DeleteBucket!
    unknown: Collection[str] = ()
    # Those that it rejects, each with status and code; the second only when they are written.
    rejected: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    rejected_writes: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    # New buckets have no default encryption. Without keys it is accepted, and then every upload is rejected.
    is_unencrypted: bool = False
    has_no_keys: bool = False
    # Rules come back sorted, with empty filters as a prefix; the first CORS rule whose origin fits decides.
    rewrites_rules: bool = False


CEPH = Dialect({"ownershipControls"}, is_unencrypted=True, has_no_keys=True, rewrites_rules=True)
RCLONE = Dialect(SUB_RESOURCES)


@dataclass
class _Answer:
    """What `FaultProxy` takes for the server's answer."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)

    def getheaders(self) -> list[tuple[str, str]]:
        return list(self.headers.items())

    def getheader(self, name: str) -> str | None:
        return self.headers.get(name)


class OddStore(FaultProxy):
    """The proxy. `deleted` are the buckets that a DELETE of an unknown sub-resource would have deleted."""

    def __init__(self, upstream: str, dialect: Dialect) -> None:
        super().__init__(upstream)
        self.dialect = dialect
        # What was put, by bucket and sub-resource, where the strict S3 would not return it as this server does.
        self.kept: dict[tuple[str, str], bytes] = {}
        self.deleted: list[str] = []

    def seen_by(self, store: Any) -> Any:
        """Return what `tests.deployments.at` needs: the address, and the key of the server's root."""
        return SimpleNamespace(endpoint=self.endpoint, root=store.root)

    def _forward(self, handler: BaseHTTPRequestHandler, body: bytes) -> Any:
        parts = urlsplit(handler.path)
        bucket, _, key = parts.path.strip("/").partition("/")
        sub = next((name for name in SUB_RESOURCES if re.match(rf"{name}(=|&|$)", parts.query)), "")
        method = handler.command
        rejected = self.dialect.rejected.get(sub) or (
            self.dialect.rejected_writes.get(sub) if method != "GET" else None
        )
        if not key and rejected:
            return _error(*rejected)
        if not key and sub in self.dialect.unknown:
            return self._as_of_the_bucket(method, bucket)
        kept = {"encryption"} if self.dialect.is_unencrypted else set()
        kept |= {"cors", "lifecycle"} if self.dialect.rewrites_rules else set()
        if not key and sub in kept:
            return self._keep(method, bucket, sub, body)
        wants_key = "x-amz-server-side-encryption" in {name.lower() for name in handler.headers}
        wants_key = wants_key or (bucket, "encryption") in self.kept
        if self.dialect.has_no_keys and key and method == "PUT" and wants_key:
            return _error(400, "InvalidRequest")
        if self.dialect.rewrites_rules and method == "OPTIONS":
            return self._preflight(bucket, handler)
        return super()._forward(handler, body)

    def _as_of_the_bucket(self, method: str, bucket: str) -> Any:
        if method == "GET":
            listing = f'<ListBucketResult xmlns="{XMLNS}"><Name>{bucket}</Name></ListBucketResult>'
            return _Answer(200, {"Content-Type": "application/xml"}), listing.encode()
        if method == "PUT":
            return _error(409, "BucketAlreadyOwnedByYou")
        self.deleted.append(bucket)
        return _Answer(204), b""

    def _keep(self, method: str, bucket: str, sub: str, body: bytes) -> Any:
        if method == "PUT":
            self.kept[bucket, sub] = body
        elif method == "DELETE":
            self.kept.pop((bucket, sub), None)
        elif (bucket, sub) in self.kept:
            return _Answer(200), _RETURNED[sub](self.kept[bucket, sub])
        else:
            return _error(404, _UNSET[sub])
        return _Answer(200), b""

    def _preflight(self, bucket: str, handler: BaseHTTPRequestHandler) -> Any:
        origin, method = handler.headers["Origin"], handler.headers["Access-Control-Request-Method"]
        for rule in _parsed(self.kept[bucket, "cors"]).iter(f"{{{XMLNS}}}CORSRule"):
            patterns = [re.escape(each).replace(r"\*", ".*") for each in _texts(rule, "AllowedOrigin")]
            if any(re.fullmatch(pattern, origin) for pattern in patterns):
                if method not in _texts(rule, "AllowedMethod"):
                    break
                return _Answer(200, {"Access-Control-Allow-Origin": origin}), b""
        return _error(403, "AccessDenied")


def _error(status: int, code: str) -> Any:
    text = f"<Error><Code>{code}</Code><Message>As the dialect says.</Message></Error>"
    return _Answer(status, {"Content-Type": "application/xml"}), text.encode()


def _parsed(content: bytes) -> ET.Element:
    return ET.fromstring(content)  # noqa: S314 -- the library's own


def _texts(rule: ET.Element, name: str) -> list[str]:
    return [each.text or "" for each in rule.iter(f"{{{XMLNS}}}{name}")]


def _cors(content: bytes) -> bytes:
    """Return CORS rules as Ceph dumps them: methods in its own order, origins and headers sorted."""
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
    """Return lifecycle rules as Ceph dumps them: sorted by ID, and an empty filter as a prefix."""
    root = _parsed(content)
    for rule in root:
        for part in rule.findall(f"{{{XMLNS}}}Filter"):
            if not "".join(part.itertext()).strip():
                rule.remove(part)
                rule.insert(1, ET.Element(f"{{{XMLNS}}}Prefix"))
    root[:] = sorted(root, key=lambda rule: _texts(rule, "ID"))
    return ET.tostring(root)


_RETURNED = {"encryption": bytes, "cors": _cors, "lifecycle": _lifecycle}
_UNSET = {
    "encryption": "ServerSideEncryptionConfigurationNotFoundError",
    "cors": "NoSuchCORSConfiguration",
    "lifecycle": "NoSuchLifecycleConfiguration",
}
