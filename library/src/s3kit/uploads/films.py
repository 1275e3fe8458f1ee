"""Tells a film that browsers play from anything else, by its first bytes.

A film is kept as it came: to encode it anew would take minutes, and a program that the site does without. So
what a camera wrote into it stays, and only `<video>` shows it, as the type that its extension stands for.
"""

from pathlib import PurePath

from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile

# By extension. QuickTime's .mov is not among them: not every browser plays it.
TYPES = {".mp4": "video/mp4", ".webm": "video/webm"}

# For the file chooser, which knows types as well as extensions.
ACCEPT = ",".join(TYPES.values())

# Extensions of films that are none for us, so that the answer need not speak of pictures.
_OTHER_FILMS = {".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mpeg", ".mpg", ".ogv", ".ts", ".wmv"}

# Who reads them says what a file is (ISO 14496-12, "ftyp"): the brands that stand for a film of MP4's kind. A
# sound, a picture (HEIC, AVIF) and QuickTime have others in the first place, whatever else they agree with.
_MP4_BRANDS = {*(f"iso{n}".encode() for n in "m23456789abc"), b"mp41", b"mp42", b"avc1", b"av01", b"dash"}
_OTHER_BRANDS = {b"qt  ", b"M4A ", b"M4B ", b"M4P ", b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis"}

# EBML, of which WebM is made (RFC 8794): the ids of its header and of the element that names the document.
_EBML = b"\x1a\x45\xdf\xa3"
_DOC_TYPE = 0x4282

# More than any header of a film takes.
_HEAD = 4096

NOT_A_FILM = "This file is not a film that every browser plays. Please choose an MP4 or WebM file."
MISNAMED = "This film is named {named}, but inside it is {found}. Please name it {found} and try again."


def is_film(name: str) -> bool:
    """Tell by its extension whether a file claims to be a film, of whatever kind."""
    extension = PurePath(name).suffix.lower()
    return extension in TYPES or extension in _OTHER_FILMS


def check_film(upload: UploadedFile) -> None:
    """Look at the first bytes of a file, and at the extension of its name; nothing else is read.

    Raises ValidationError with a sentence for the user where it is no MP4 or WebM film, or one of them under
    the name of the other.
    """
    upload.seek(0)
    head = upload.read(_HEAD)
    upload.seek(0)
    extension = PurePath(upload.name or "").suffix.lower()
    found = ".mp4" if _is_mp4(head) else ".webm" if _is_webm(head) else ""
    if not found or extension not in TYPES:
        raise ValidationError(NOT_A_FILM, code="not_a_film")
    if found != extension:
        raise ValidationError(MISNAMED.format(named=extension, found=found), code="misnamed")


def _is_mp4(head: bytes) -> bool:
    size, kind, major = int.from_bytes(head[:4]), head[4:8], head[8:12]
    if kind != b"ftyp" or not 16 <= size <= len(head) or major in _OTHER_BRANDS:
        return False
    # After the major brand and its version come those that it agrees with.
    brands = {major, *(head[at : at + 4] for at in range(16, size, 4))}
    return bool(brands & _MP4_BRANDS)


def _is_webm(head: bytes) -> bool:
    """Walk through the elements of the EBML header; sizes that lead out of it end the walk."""
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
    """Return EBML's number of variable length at a place, and the place behind it.

    The zeros at its beginning say how many bytes more it has; the 1 behind them is part of an id (`marked`)
    and no part of a size. Where there is none, the place is the end of the data.
    """
    first = data[at] if at < len(data) else 0
    width = 9 - first.bit_length()
    if width > 8:
        return 0, len(data)
    value = int.from_bytes(data[at : at + width])
    return value if marked else value & ~(1 << (7 * width)), at + width
