"""Recognizes videos that every browser can play, by their first bytes.

Videos are stored unchanged, including the camera's metadata: re-encoding takes minutes and needs another program. Show
them in `<video>` only, with the content type of their extension.
"""

from pathlib import PurePath

from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _

# By extension. Without QuickTime's .mov, which not every browser can play.
TYPES = {".mp4": "video/mp4", ".webm": "video/webm"}

# For the `accept` attribute of file fields.
ACCEPT = ",".join(TYPES.values())

# Other extensions of videos, for which the error message is about videos.
_OTHER_VIDEOS = {".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mpeg", ".mpg", ".ogv", ".ts", ".wmv"}

# ISO 14496-12, "ftyp": the brands of MP4 videos. Audio files, pictures (HEIC, AVIF), and QuickTime videos have another
# major brand, even if they list one of these as compatible.
_MP4_BRANDS = {*(f"iso{n}".encode() for n in "m23456789abc"), b"mp41", b"mp42", b"avc1", b"av01", b"dash"}
_OTHER_BRANDS = {b"qt  ", b"M4A ", b"M4B ", b"M4P ", b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis"}

# WebM is EBML (RFC 8794): the IDs of its header and of the DocType element.
_EBML = b"\x1a\x45\xdf\xa3"
_DOC_TYPE = 0x4282

# Bytes: larger than the header of any video.
_HEAD = 4096

NOT_A_VIDEO = _("This file is not a video that every browser can play. Please choose an MP4 or WebM file.")
MISNAMED = _(
    "This video's extension is %(named)s, but its content is %(found)s. Please rename it to %(found)s and try again."
)


def is_video(name: str) -> bool:
    """Return whether the extension is that of a video, accepted or not."""
    extension = PurePath(name).suffix.lower()
    return extension in TYPES or extension in _OTHER_VIDEOS


def check_video(upload: UploadedFile) -> None:
    """Raise ValidationError unless the file is an MP4 or WebM video whose extension matches its content.

    Reads only the first bytes.
    """
    upload.seek(0)
    head = upload.read(_HEAD)
    upload.seek(0)
    extension = PurePath(upload.name or "").suffix.lower()
    found = ".mp4" if _is_mp4(head) else ".webm" if _is_webm(head) else ""
    if not found or extension not in TYPES:
        raise ValidationError(NOT_A_VIDEO, code="not_a_video")
    if found != extension:
        raise ValidationError(MISNAMED, code="misnamed", params={"named": extension, "found": found})


def _is_mp4(head: bytes) -> bool:
    size, kind, major = int.from_bytes(head[:4]), head[4:8], head[8:12]
    if kind != b"ftyp" or not 16 <= size <= len(head) or major in _OTHER_BRANDS:
        return False
    # The compatible brands come after the major brand and its version.
    brands = {major, *(head[at : at + 4] for at in range(16, size, 4))}
    return bool(brands & _MP4_BRANDS)


def _is_webm(head: bytes) -> bool:
    """Return whether the DocType in the EBML header is WebM. A size beyond the header ends the search."""
    if not head.startswith(_EBML):
        return False
    length, at = _number(head, 4)
    end = min(at + length, len(head))
    while at < end:
        ident, at = _number(head, at, marked=True)
        length, at = _number(head, at)
        if ident == _DOC_TYPE:
            return head[at : at + length].rstrip(b"\0") == b"webm"
        at += length
    return False


def _number(data: bytes, at: int, *, marked: bool = False) -> tuple[int, int]:
    """Return the variable-length number at a position, and the position after it.

    The number of leading zero bits is the number of further bytes. The 1 after them is part of an ID (`marked`) but not
    of a size. If there is no number, the position is the end of the data.
    """
    first = data[at] if at < len(data) else 0
    width = 9 - first.bit_length()
    if width > 8:
        return 0, len(data)
    value = int.from_bytes(data[at : at + width])
    return value if marked else value & ~(1 << (7 * width)), at + width
