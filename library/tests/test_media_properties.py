"""For any name of a user's file: its key in S3, its link, and its headers are safe."""

import re
import unicodedata
from email.message import Message
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

from botocore.exceptions import ClientError
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.files.utils import validate_file_name
from hypothesis import example, given
from hypothesis import strategies as st
from storages.utils import clean_name

from s3kit.storages import MediaStorage

STORAGE = MediaStorage(
    bucket_name="a-bucket",
    region_name="eu-central-1",
    access="public-policy",
    custom_domain="m.example.com",
)


class Client:
    """A fake S3 client for saving. `puts` contains the stored objects; `is_taken` says which keys other files have."""

    def __init__(self, *, is_taken: bool) -> None:
        self.is_taken = is_taken
        self.puts: list[dict[str, Any]] = []

    def put_object(self, **sent: Any) -> None:
        assert sent["IfNoneMatch"] == "*"
        if self.is_taken:
            answer = {
                "Error": {"Code": "PreconditionFailed"},
                "ResponseMetadata": {"HTTPStatusCode": 412, "RetryAttempts": 0},
            }
            raise ClientError(answer, "PutObject")
        self.puts.append(sent)

    def upload_fileobj(self, _file: Any, bucket: str, key: str, **_options: Any) -> None:
        self.puts.append({"Bucket": bucket, "Key": key})


class Saving(MediaStorage):
    """A storage with a fake client."""

    client: Client

    @property
    def connection(self) -> Any:
        return SimpleNamespace(meta=SimpleNamespace(client=self.client))


FREE, TAKEN = (Saving(bucket_name="a-bucket", region_name="eu-central-1") for _ in range(2))
FREE.client, TAKEN.client = Client(is_taken=False), Client(is_taken=True)

PARTS = [
    "..",
    "/",
    "\\",
    ".",
    " ",
    "\u202e",
    "\x00",
    "\r\n",
    '"',
    "%",
    ";",
    "'",
    "é",
    "e\u0301",
    "사진",
    "\ud800",
]
PARTS += ["photo", ".jpg", ".HTML", ".tar.gz", "𐍈" * 300, "a" * 300, "~", "-", "_", "CON", "\u200d", "ﬀ"]
TEXT = st.one_of(st.text(), st.lists(st.sampled_from(PARTS)).map("".join))
UNIQUE = "-[0-9a-hjkmnp-tv-z]{13}"


@given(name=TEXT)
@example("a." + "b" * 17)
@example("0:.0:")
def test_valid_name_is_one_path_segment_of_safe_characters(name: str) -> None:
    valid = STORAGE.get_valid_name(name)
    validate_file_name(valid)
    assert valid.encode()
    assert not valid.startswith((".", "-", "_"))
    for character in valid:
        assert unicodedata.category(character)[0] in "LMN" or character in "._-"
    assert unicodedata.is_normalized("NFC", valid)
    assert STORAGE.get_valid_name(valid) == valid


@given(
    name=TEXT,
    folder=st.sampled_from(["", "pictures", "사진/2026", "d" * 60]),
    length=st.integers(0, 300) | st.none(),
)
def test_available_name_fits_and_keeps_the_extension(name: str, folder: str, length: int | None) -> None:
    given_name = f"{folder}/{STORAGE.get_valid_name(name)}".lstrip("/")
    try:
        available = STORAGE.get_available_name(STORAGE.generate_filename(given_name), max_length=length)
    except SuspiciousFileOperation:
        assert length is not None
        assert length < len(folder) + 1 + 1 + 14 + len(".tar.") + 16
        return
    assert length is None or len(available) <= length
    assert len(f"media/{available}".encode()) <= 1024
    assert available.rpartition("/")[0] == folder
    found = re.search(rf"{UNIQUE}((?:\.tar)?(?:\.[A-Za-z0-9]{{1,16}})?)$", available)
    assert found
    assert given_name.endswith(found[1])
    validate_file_name(available, allow_relative_path=True)
    assert STORAGE.generate_filename(given_name) != available


SEGMENTS = st.lists(TEXT, max_size=4).map("/".join)


@given(name=SEGMENTS)
@example("a/../../b")
@example("/media/a")
@example("a" * 1019)
@example("사" * 340)
def test_key_stays_in_its_location_or_the_name_is_rejected(name: str) -> None:
    try:
        key = STORAGE._normalize_name(clean_name(name))
    except SuspiciousFileOperation:
        return
    assert key.startswith("media/")
    assert len(key.encode()) <= 1024
    assert not {".", ".."} & set(key.split("/"))
    # The name in the database has the same key.
    relative = key.removeprefix("media/")
    assert not relative or STORAGE._normalize_name(clean_name(relative)) == key


@given(name=SEGMENTS, length=st.integers(20, 300) | st.none())
@example("../a.jpg", None)
@example("a\\..\\b.jpg", None)
@example("사/" * 200 + "a.jpg", None)
@example("a.tar.gz", 20)
@example("a b?#+%.jpg", None)
@example("\ud800" + 30 * "a", 20)
def test_save_stores_a_safe_key_or_rejects_the_name(name: str, length: int | None) -> None:
    """`storage.save(name, file)` with any name, without a field's generate_filename."""
    for storage in (FREE, TAKEN):
        storage.client.puts.clear()
        try:
            saved = storage.save(name, ContentFile(b"x"), max_length=length)
        except SuspiciousFileOperation:
            continue
        (sent,) = storage.client.puts
        assert sent["Key"] == storage.key(saved)
        assert sent["Key"].startswith("media/")
        assert len(sent["Key"].encode()) <= 1024
        assert length is None or len(saved) <= length
        plain = name.replace("\\", "/")
        if storage is FREE and (length is None or len(plain) <= length):
            assert saved == clean_name(plain)
            assert saved == plain or "//" in plain or "./" in plain
        else:
            assert re.search(rf"{UNIQUE}(?:\.tar)?(?:\.[A-Za-z0-9]{{1,16}})?$", saved)
            kind = re.search(r"\.[A-Za-z0-9]{1,16}$", plain, re.ASCII)
            assert kind is None or saved.endswith(kind[0])


@given(name=TEXT)
def test_url_never_leaves_the_location(name: str) -> None:
    try:
        url = STORAGE.url(name)
    except SuspiciousFileOperation:
        return
    split = urlsplit(url)
    assert (split.scheme, split.netloc, split.query, split.fragment) == ("https", "m.example.com", "", "")
    assert split.path.isascii()
    segments = unquote(split.path).split("/")
    assert segments[:2] == ["", "media"]
    assert not {".", ".."} & set(segments)


@given(
    name=TEXT,
    stored=st.sampled_from(["a-0123456789abc.jpg", "a.html", "a", "사진-0123456789abc.tar.gz"]),
)
def test_headers_are_short_ascii_and_inline_only_for_safe_types(name: str, stored: str) -> None:
    upload = SimpleUploadedFile("a", b"x", content_type="text/html")
    upload._name = name
    for content in (upload, ContentFile(b"x")):
        sent = STORAGE._get_write_parameters(f"media/{stored}", content)
        assert sum(len(value) for value in sent.values()) < 1900
        header = sent["ContentDisposition"]
        assert re.fullmatch(
            r"""[a-z]+; filename="[^"\\%;\x00-\x1f\x7f-\uffff]+"(; filename\*=UTF-8''[\w.~%-]+)?""",
            header,
            re.ASCII,
        )
        assert header.startswith("inline") == stored.endswith(".jpg")
        assert "html" not in sent["ContentType"]
        # An independent parser finds a name of the same type, without paths and control characters.
        message = Message()
        message["Content-Disposition"] = header
        shown = message.get_filename() or ""
        assert shown.isprintable()
        assert not set(shown) & set('/\\"')
        assert shown.lower().endswith(stored[stored.find(".") :] if "." in stored else "")
