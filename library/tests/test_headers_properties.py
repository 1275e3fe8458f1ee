"""For any file name and access mode, the headers are valid, and no browser runs the file."""

import re
import unicodedata
from email.message import Message
from typing import Any
from urllib.parse import unquote

import pytest
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import SimpleUploadedFile
from hypothesis import example, given
from hypothesis import strategies as st

from s3kit.publishing import publish
from s3kit.storages import MediaStorage
from s3kit.storages.media import _override
from s3kit.storages.names import UniqueName

# One per mode; the fourth is behind a CDN that checks no signature.
MODES = [("private", ""), ("public-read", ""), ("public-policy", ""), ("public-policy", "cdn.example.com")]
STORAGES = [
    MediaStorage(bucket_name="b", region_name="eu-central-1", access=access, custom_domain=domain)
    for access, domain in MODES
]

# Field values that both RFC 9110 and S3 allow: visible ASCII, with spaces inside.
SENDABLE = re.compile(r"[\x21-\x7e]+( +[\x21-\x7e]+)*")
MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+-]*(; charset=utf-8)?")

INLINE = {"avif", "gif", "jpeg", "jpg", "mp4", "pdf", "png", "webm", "webp"}
# Content types that a browser may run: scripts, documents, and styles.
ACTIVE = re.compile(r"html|xml|svg|script|css|json|wasm|flash|manifest")

PARTS = [
    "a",
    "é",
    "사진",
    "e\u0301",
    ".",
    "..",
    " ",
    "-",
    "_",
    "%",
    '"',
    "\\",
    "/",
    ";",
    "\r\n",
    "\x00",
    "\u202e",
]
PARTS += [
    ".jpg",
    ".JPG",
    ".png",
    ".svg",
    ".svgz",
    ".html",
    ".xhtml",
    ".js",
    ".mjs",
    ".pdf",
    ".tar.gz",
    ".zip",
    ".\u017fvg",
]
PARTS += [
    ".css",
    ".woff2",
    ".map",
    ".json",
    ".wasm",
    ".unknown",
    "x" * 200,
    "\ud800",
    "\U0001d504",
    ".\uff48\uff54\uff4d\uff4c",
]
NAMES = st.one_of(st.text(), st.lists(st.sampled_from(PARTS)).map("".join))


def saved_as(storage: MediaStorage, name: str) -> str:
    """Return the key of an upload with this name."""
    return UniqueName(f"media/{storage.generate_filename(storage.get_valid_name(name))}")


@given(
    name=NAMES,
    mode=st.sampled_from(range(len(MODES))),
    declared=st.sampled_from(["", "text/html", "image/png"]),
)
@example(name="a.jpg\r\nSet-Cookie: a=b", mode=0, declared="text/html\r\nX: y")
@example(name="a.\u017fvg", mode=1, declared="")
def test_upload_headers_are_valid_and_prevent_execution(name: str, mode: int, declared: str) -> None:
    storage = STORAGES[mode]
    key = saved_as(storage, name)
    upload = SimpleUploadedFile("a", b"<script>", content_type=declared)
    upload._name = name
    for content in (upload, ContentFile(b"<script>")):
        sent: dict[str, Any] = storage._get_write_parameters(key, content)
        assert set(sent) - {"ACL"} == {"ContentType", "ContentDisposition", "CacheControl"}
        assert sent.get("ACL") == ("public-read" if MODES[mode][0] == "public-read" else None)
        for value in sent.values():
            assert SENDABLE.fullmatch(value)
        # "The size of system-defined metadata is limited to 2 KB", S3 User Guide.
        assert sum(len(header) + len(value) for header, value in sent.items()) < 2048
        assert MEDIA_TYPE.fullmatch(sent["ContentType"])
        extension = re.findall(r"\.([A-Za-z0-9]+)$", key, re.ASCII)
        kind = extension[0].lower() if extension else ""
        shown = sent["ContentDisposition"].partition(";")[0]
        assert shown == ("inline" if kind in INLINE else "attachment")
        active = ACTIVE.search(sent["ContentType"].replace("openxmlformats", ""))
        # Browsers download these types instead of running them.
        assert active is None or (shown == "attachment" and kind in {"svg", "json"})
        # An independent parser finds a name of the same type.
        message = Message()
        message["Content-Disposition"] = sent["ContentDisposition"]
        found = message.get_filename() or ""
        assert found
        assert not set(found) & set('/\\"\r\n\x00')
        assert found.lower().endswith(f".{kind}") if kind else True


@given(name=NAMES, mode=st.sampled_from(range(len(MODES))))
def test_shared_caches_may_store_only_public_uploads(name: str, mode: int) -> None:
    storage = STORAGES[mode]
    cache_control = storage._get_write_parameters(saved_as(storage, name), ContentFile(b""))["CacheControl"]
    assert cache_control.startswith("private," if MODES[mode][0] == "private" else "public,")
    assert cache_control.endswith(", immutable")
    # A name that only looks hashed can get other content at any time.
    cache_control = storage._get_write_parameters(str(saved_as(storage, name)), ContentFile(b""))[
        "CacheControl"
    ]
    assert cache_control == "no-cache"


@given(name=NAMES, cdn=st.booleans())
def test_static_files_have_valid_types_and_only_text_is_compressed(name: str, *, cdn: bool) -> None:
    headers = publish.Headers.of(name, publish.IMMUTABLE, compress=not cdn)
    assert MEDIA_TYPE.fullmatch(headers.content_type)
    assert headers.content_type.startswith("text/") == headers.content_type.endswith("; charset=utf-8")
    if headers.encoding == "gzip":
        assert not cdn
        assert re.match(r"text/|.*[/+](json|xml|yaml)\b|.*javascript", headers.content_type)


@given(name=NAMES, digest=st.text("0123456789abcdef", min_size=12, max_size=12))
def test_hashed_name_has_the_content_type_of_the_plain_name(name: str, digest: str) -> None:
    """Django puts the hash before the last extension."""
    base, dot, extension = name.rpartition(".")
    if not base or not dot or not extension or "/" in extension or base.endswith("/"):
        return
    assert publish.content_type(f"{base}.{digest}.{extension}") == publish.content_type(name)
    assert publish.content_type(name.lower()) == publish.content_type(f"static/{name.lower()}")


@given(name=NAMES, kind=st.sampled_from(["attachment", "inline"]))
@example(name='日本📷 "a".txt', kind="attachment")
def test_content_disposition_of_a_link_is_ascii_for_any_file_name(name: str, kind: str) -> None:
    asked = kind + '; filename="' + re.sub(r'(["\\])', r"\\\1", name) + '"'
    if any(unicodedata.category(c) == "Cc" for c in name):
        with pytest.raises(ValueError, match="which can't be sent as a header"):
            _override("ResponseContentDisposition", asked)
        return
    sent = _override("ResponseContentDisposition", asked)
    assert SENDABLE.fullmatch(sent)
    if name.isascii():
        assert sent == asked
        return
    wanted = "".join(
        " " if unicodedata.category(c) == "Zs" else c for c in unicodedata.normalize("NFC", name)
    )
    wanted = "".join(c for c in wanted if c.isprintable())
    found = re.fullmatch(rf"{kind}(?:; filename=\"([^\"\\]+)\"(?:; filename\*=UTF-8''(\S+))?)?", sent)
    assert found
    assert (unquote(found[2]) if found[2] else found[1] or "") == wanted
