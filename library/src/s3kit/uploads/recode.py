"""Decodes one untrusted picture and re-encodes it, as a separate program with limits on time and memory.

`s3kit.uploads.images` runs it. A small file can take minutes or gigabytes to decode, in more ways than can be checked
in advance. That can only crash this process, never the one that handles requests.

The program reads the picture from standard input. Its arguments are the folder with Pillow, and the Limits as JSON. It
writes a line of JSON, {"format": ...} or {"problem": ...}, and then the new picture to standard output.
"""

import contextlib
import io
import json
import re
import sys
from dataclasses import dataclass
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path.append(sys.argv[1])

from PIL import AvifImagePlugin, Image, ImageCms, ImageOps


class Format(NamedTuple):
    """How pictures of one format are stored."""

    stored_as: str
    extension: str
    options: dict[str, Any]


# By Pillow's name of the uploaded format. Of an animation, only the first frame is kept; GIFs become lossless PNGs.
FORMATS = {
    "JPEG": Format("JPEG", ".jpg", {"quality": 85, "progressive": True, "optimize": True}),
    "PNG": Format("PNG", ".png", {}),
    "GIF": Format("PNG", ".png", {}),
    "WEBP": Format("WEBP", ".webp", {"quality": 85}),
    "AVIF": Format("AVIF", ".avif", {"quality": 75, "speed": 8}),
}


@dataclass(frozen=True)
class Limits:
    """Limits for one picture. The defaults accept pictures from phones and cameras."""

    megapixels: int = 25
    megapixels_of_a_jpeg: int = 50
    """Higher, because a JPEG can be decoded at a fraction of its size, and phones take large ones."""
    side: int = 32_000
    """Pixels on the longer side of the upload. Resizing takes memory for each of them."""
    edge: int = 2560
    """Pixels on the longer side of the result: sharp on a large screen, and fast on a phone."""
    scans: int = 64
    """Scans of a progressive JPEG, each of which visits every pixel. 10 are usual."""
    seconds: int = 20
    """Processor time. Measured: 5 seconds for a 25-megapixel AVIF of noise, 1 or 2 for a photo."""
    memory: int = 768 * 2**20
    """Bytes. Measured: 490 MB for a progressive CMYK JPEG of 50 megapixels."""


# The end marker, or a marker that is followed by a length. Compressed data only contains \xff00 and restarts (D0 to
# D7).
_MARKER = re.compile(rb"\xff([\x02-\xcf\xd9-\xfe])")
_SCAN, _END = b"\xda", b"\xd9"


class ProblemError(Exception):
    """The picture is not accepted. The text is a code for which `s3kit.uploads.images` has a message."""


def recode(data: bytes, limits: Limits) -> tuple[str, bytes]:
    """Return the picture's format, a key of FORMATS, and the re-encoded picture. Raise ProblemError."""
    image, found = _open(data, limits)
    known, encoded = FORMATS[found], io.BytesIO()
    try:
        picture = _upright_and_small(image, limits.edge)
        profile = _fitting_profile(picture)
        picture.info.clear()  # or Pillow would write its comment, profile, or transparency
        picture.save(encoded, known.stored_as, icc_profile=profile, **known.options)
    except MemoryError as error:
        raise ProblemError("too_costly") from error
    # Pillow's decoders can raise any exception for a damaged file.
    except Exception as error:
        raise ProblemError("damaged") from error
    return found, encoded.getvalue()


def _open(data: bytes, limits: Limits) -> tuple[Image.Image, str]:
    """Return the image, of which only the header has been read, and its format."""
    Image.MAX_IMAGE_PIXELS = None  # `limits` apply instead
    try:
        image = Image.open(io.BytesIO(data), formats=tuple(FORMATS))
    except Exception as error:  # as above
        raise ProblemError("not_a_picture") from error
    # Many phones append a second picture to a JPEG; Pillow's format is MPO then.
    found = "JPEG" if image.format == "MPO" else image.format or ""
    if image.width * image.height > 1_000_000 * (
        limits.megapixels_of_a_jpeg if found == "JPEG" else limits.megapixels
    ):
        raise ProblemError("too_many_pixels_of_a_jpeg" if found == "JPEG" else "too_many_pixels")
    if max(image.size) > limits.side:
        raise ProblemError("too_long")
    if found == "JPEG" and _scans(data) > limits.scans:
        raise ProblemError("too_costly")
    return image, found


def _scans(data: bytes) -> int:
    """Return how many scans a JPEG has. For a damaged file the count may be wrong; the time limit still applies."""
    at = count = 0
    while (marker := _MARKER.search(data, at)) and marker[1] != _END:
        count += marker[1] == _SCAN
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
    return count


def _upright_and_small(image: Image.Image, edge: int) -> Image.Image:
    """Return the first frame as L, RGB, or RGBA, with at most `edge` pixels on a side, rotated as its EXIF says."""
    share = min(1, edge / max(image.size))
    # JPEG only: decode at a half, a quarter, or an eighth of the size if that is enough.
    image.draft(None, (int(image.width * share), int(image.height * share)))
    # Decode everything now: on a second attempt, Pillow would accept a truncated file.
    image.load()
    if image.mode.startswith("I;16"):  # 16-bit gray, which convert() clips instead of scaling
        image = image.point(lambda value: value / 256).convert("L")
    elif image.mode != "RGBA" and image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode in ("1", "P"):  # can't be resized smoothly
        image = image.convert("L" if image.mode == "1" else "RGB")
    image.thumbnail((edge, edge), Image.Resampling.LANCZOS, reducing_gap=None)
    # Pillow rotates first and then rewrites the EXIF, which can fail. The EXIF isn't kept anyway.
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)
    return image if image.mode in ("L", "RGB", "RGBA") else _to_rgb(image)


def _to_rgb(image: Image.Image) -> Image.Image:
    """Return a CMYK or other picture as RGB, converted with its own profile if that is valid."""
    try:
        profile = io.BytesIO(image.info["icc_profile"])
        screen = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
        if screen:
            return screen
    except (KeyError, ImageCms.PyCMSError):
        image.info.pop("icc_profile", None)
    return image.convert("RGB")


def _fitting_profile(image: Image.Image) -> bytes | None:
    """Return the color profile, unless the pixels are now in another color space."""
    profile = image.info.get("icc_profile") or b""
    return profile if profile[16:20] == (b"GRAY" if image.mode == "L" else b"RGB ") else None


def _restrict(limits: Limits) -> None:
    """Let the system enforce the limits. Windows doesn't support any, and macOS none on memory."""
    try:
        import resource
    except ImportError:
        return
    for what, soft, hard in (
        (resource.RLIMIT_CPU, limits.seconds, limits.seconds + 1),
        (resource.RLIMIT_DATA, limits.memory, limits.memory),
        (resource.RLIMIT_CORE, 0, 0),  # a dump would contain the user's picture
    ):
        with contextlib.suppress(ValueError, OSError):  # the process has a lower limit
            resource.setrlimit(what, (soft, hard))


def main() -> None:
    """Recode the picture on standard input."""
    limits = Limits(**json.loads(sys.argv[2]))
    _restrict(limits)
    # By default there is one thread for each processor, and each takes memory for its stack.
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    try:
        found, encoded = recode(sys.stdin.buffer.read(), limits)
        result = {"format": found}
    except ProblemError as problem:
        result, encoded = {"problem": str(problem)}, b""
    sys.stdout.buffer.write(json.dumps(result).encode() + b"\n" + encoded)


if __name__ == "__main__":
    main()
