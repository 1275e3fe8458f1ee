"""Which files are accepted as videos, according to their first bytes."""

import pytest
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile

from s3kit.uploads import videos


def mp4(*brands: bytes, rest: bytes = b"\0\0\0\x08mdat") -> bytes:
    """Return the start of an MP4 file with a major brand and compatible brands."""
    major, *others = brands or (b"isom", b"iso2", b"mp41")
    ftyp = b"ftyp" + major + b"\0\0\2\0" + b"".join(others)
    return (len(ftyp) + 4).to_bytes(4) + ftyp + rest


def ebml(document: bytes, before: bytes = b"\x42\x86\x81\x01") -> bytes:
    """Return the header of a Matroska file, whose document type follows another element."""
    elements = before + b"\x42\x82" + (0x80 | len(document)).to_bytes(1) + document
    return b"\x1a\x45\xdf\xa3" + (0x80 | len(elements)).to_bytes(1) + elements + b"\x18\x53\x80\x67\xff"


VIDEO, WEBM = mp4(), ebml(b"webm")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.mp4", VIDEO),
        ("A.MP4", VIDEO),
        ("a.mp4", mp4(b"mp42", b"mp42", b"isom")),
        ("a.mp4", mp4(b"iso5")),
        ("a.mp4", mp4(b"avc1")),
        ("a.mp4", mp4(b"XAVC", b"XAVC", b"mp42", b"iso2")),  # a camera's own brand, with compatible brands
        ("a.webm", WEBM),
        ("a.webm", ebml(b"webm", before=b"")),
        # Sizes can have more bytes than necessary, and names can be padded with zeros.
        ("a.webm", b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x09\x42\x82\x40\x05webm\0"),
    ],
)
def test_videos_are_recognized_by_their_first_bytes(name: str, data: bytes) -> None:
    video = SimpleUploadedFile(name, data)

    videos.check_video(video)

    assert video.read() == data  # from the start


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.mp4", b""),
        ("a.mp4", b"This is a text and no video at all."),
        ("a.mp4", b"<!doctype html><script>alert(1)</script>"),
        ("a.mp4", b"\xff\xd8\xff\xe0JFIF"),
        ("a.mp4", b"\0\0\0\x18ftyp"),
        ("a.mp4", b"\0\0\0\x08ftypisom\0\0\0\0mp42"),  # the box ends before the brands
        ("a.mp4", b"\xff\xff\xff\xffftypisom\0\0\0\0"),
        ("a.mp4", mp4(b"qt  ", b"qt  ", b"mp42")),  # QuickTime
        ("a.mp4", mp4(b"M4A ", b"isom", b"mp42")),  # audio
        ("a.mp4", mp4(b"heic", b"mif1", b"heic")),  # images
        ("a.mp4", mp4(b"avis", b"msf1", b"iso8")),
        ("a.mp4", mp4(b"none")),
        ("a.mp4", b"<p>" + VIDEO),
        ("a.webm", ebml(b"matroska")),
        ("a.webm", b"\x1a\x45\xdf\xa3"),
        ("a.webm", b"\x1a\x45\xdf\xa3\x80\x42\x82\x84webm"),  # after the header
        ("a.webm", b"\x1a\x45\xdf\xa3\x8b" + b"\0" * 11),
        ("a.webm", b"\x1a\x45\xdf\xa3\x86\x42\x86\xff\xff\xff\xff\x42\x82\x84webm"),
        ("a.mov", VIDEO),
        ("a.m4v", VIDEO),
        ("video", VIDEO),
    ],
)
def test_other_files_are_rejected(name: str, data: bytes) -> None:
    with pytest.raises(ValidationError) as caught:
        videos.check_video(SimpleUploadedFile(name, data))

    assert caught.value.messages == [videos.NOT_A_VIDEO]


@pytest.mark.parametrize(("name", "data", "right"), [("a.webm", VIDEO, ".mp4"), ("a.mp4", WEBM, ".webm")])
def test_video_with_the_wrong_extension_is_rejected(name: str, data: bytes, right: str) -> None:
    with pytest.raises(ValidationError, match=f"its content is {right}"):
        videos.check_video(SimpleUploadedFile(name, data))
