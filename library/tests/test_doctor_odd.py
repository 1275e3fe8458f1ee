"""The doctor on servers with invalid responses: the report has one line for each probe, and is complete."""

import gc
import json
import re
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any

import pytest

from tests.doctored import Doctored, examined
from tests.fault_proxy import Fault, FaultProxy
from tests.test_doctor import EVERY_PROBE, LINKS, run

# botocore leaves a socket open if a redirect has no location.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
]


def answer(status: str, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {size}", "Connection: close", *headers])
    return head.encode() + b"\r\n\r\n" + body


HTML = b"<!doctype html><title>Welcome</title><p>It works & is not S3."
XML = b'<?xml version="1.0" encoding="UTF-8"?>'
NOT_IMPLEMENTED = XML + b"<Error><Code>NotImplemented</Code></Error>"
ODD: dict[str, dict[str, Any]] = {
    "an empty 200": {"raw": answer("200 OK")},
    "an empty 204": {"raw": answer("204 No Content")},
    "an HTML page": {"raw": answer("200 OK", HTML, "Content-Type: text/html")},
    "JSON": {"raw": answer("200 OK", b'{"ok": true}', "Content-Type: application/json")},
    "other XML": {
        "raw": answer("200 OK", XML + b"<Welcome><Key/></Welcome>", "Content-Type: application/xml")
    },
    "truncated XML": {"raw": answer("200 OK", XML + b"<ListBucketResult><Contents><Key>")},
    "a truncated body": {"raw": answer("200 OK", b"<List", length=5000)},
    "500": {"raw": answer("500 Internal Server Error", HTML, "Content-Type: text/html")},
    "501": {"raw": answer("501 Not Implemented", NOT_IMPLEMENTED, "Content-Type: application/xml")},
    "403 without a body": {"raw": answer("403 Forbidden")},
    "404 with an HTML page": {"raw": answer("404 Not Found", HTML, "Content-Type: text/html")},
    "400 with terminal escapes": {
        "raw": answer("400 \x1b[31mBad", b"<Error><Code>\xff\x1b]0;x\x07</Code></Error>")
    },
    "a redirect to a closed port": {"raw": answer("302 Found", b"", "Location: http://127.0.0.1:9/")},
    "a redirect to an invalid URL": {"raw": answer("301 Moved Permanently", b"", "Location: http://[::")},
    "not HTTP": {"raw": b"SSH-2.0-OpenSSH_9.9\r\n"},
    "a closed connection": {"cut": "before"},
}

GROUND = r"^HEAD /[^/]*$|^GET /[^/]*/\?.*max-keys=0|^POST /$"
WRITES = r"^(PUT|DELETE) .*doctor-(?!.*partNumber)|^POST /media-[^?]*$|^POST .*[?&]uploads"
# These probes depend on an invalid response, so they don't run.
ON_PARTS = {"direct headers"}
ON_MANIFEST = {probe for probe in EVERY_PROBE if probe.startswith("static ")} - {
    *("static bucket", "static domain", "static write")
}
ON_HEAD = {"missing key"}
ON_LISTING = {"media existing"}
ON_WRITES = ON_HEAD | {"direct read", "direct limits", "direct closed", "if-none-match"}
ON_WRITES |= {"media head", "media read", "media acl", "media visitors", "media cors", "media tls", *LINKS}
ON_VISITORS = {"static types", "static cache", "static encoding", "media cors"}


@dataclass(frozen=True)
class Layer:
    """The requests that get valid responses: "METHOD /path?query" and header names."""

    passes: Callable[[str, Container[str]], object]
    unseen: set[str]


LAYERS = [
    Layer(lambda request, _: re.search(GROUND, request), ON_PARTS | ON_MANIFEST | ON_WRITES | ON_LISTING),
    Layer(
        lambda request, _: re.search(f"{GROUND}|{WRITES}", request),
        ON_PARTS | ON_MANIFEST | ON_HEAD | ON_VISITORS | ON_LISTING,
    ),
    # The site's requests and a form, but no other requests by visitors.
    Layer(
        lambda request, headers: "authorization" in headers or re.search(f"{GROUND}|{WRITES}", request),
        ON_PARTS | ON_VISITORS,
    ),
]


@dataclass
class Odd(Fault):
    """A fault for every request that a layer doesn't let through."""

    passes: Callable[[str, Container[str]], object] = lambda *_: True

    def strikes(self, method: str, path: str, headers: Container[str] = ()) -> bool:
        return not self.passes(f"{method} {path}", headers)


@pytest.mark.parametrize("odd", ODD)
def test_report_is_complete_after_invalid_responses(healthy_site: Any, settings: Any, odd: str) -> None:
    doctored: Doctored = healthy_site()
    with FaultProxy(doctored.site.store.endpoint) as proxy:
        settings.AWS_S3_ENDPOINT_URL = proxy.endpoint
        for number, layer in enumerate(LAYERS):
            proxy.faults[:] = [Odd(passes=layer.passes, **ODD[odd])]
            report = examined()
            assert report.failed, number
            probes = [line.probe for line in report.lines]
            assert len(probes) == len(set(probes)), number
            assert set(EVERY_PROBE) - set(probes) <= layer.unseen, number
            assert set(probes) <= {*EVERY_PROBE, "uploads", "direct uploads", "static files"}, number
        proxy.faults[:] = [Odd(passes=lambda *_: False, **ODD[odd])]
        code, text = run("--json")
    assert code == 1
    assert not json.loads(text)["ok"]
    gc.collect()  # in this test, where open sockets are not an error
