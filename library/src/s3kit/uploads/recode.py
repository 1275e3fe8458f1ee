"""Decodes one untrusted picture and encodes it anew, as a program of its own with limits on time and memory.

`s3kit.uploads.images` runs it. A small file can take minutes or gigabytes to decode, in more ways than can be
checked beforehand. Here it costs this process at most, and never the one that answers requests.

The picture comes on standard input, and its Job as JSON in the second argument; the first is the folder with
Pillow. On standard output come a line of JSON, {"format": ...} or {"problem": ...}, and the new picture.
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


# By Pillow's name of the uploaded format. Only the first frame of an animation is kept, a GIF's without loss.
FORMATS = {
    "JPEG": Format("JPEG", ".jpg", {"quality": 85, "progressive": True, "optimize": True}),
    "PNG": Format("PNG", ".png", {}),
    "GIF": Format("PNG", ".png", {}),
    "WEBP": Format("WEBP", ".webp", {"quality": 85}),
    "AVIF": Format("AVIF", ".avif", {"quality": 75, "speed": 8}),
}


@dataclass(frozen=True)
class Limits:
    """What one picture may cost. The defaults take what phones and cameras make."""

    megapixels: int = 25
    megapixels_of_a_jpeg: int = 50
    """A JPEG can be decoded at a fraction of its size, so it may be as large as phones make them."""
    side: int = 32_000
    """Pixels on the longer side of the upload. Resizing takes memory for each of them."""
    edge: int = 2560
    """Pixels on the longer side of the result: sharp on a large screen, yet quick on a phone."""
    scans: int = 64
    """Of a progressive JPEG. Each visits every pixel; usual are 10."""
    seconds: int = 20
    """Of processor time. Measured: 5 seconds for an AVIF of 25 megapixels of noise, 1 or 2 for a photo."""
    memory: int = 768 * 2**20
    """Bytes. Measured: 490 MB for a progressive CMYK JPEG of 50 megapixels."""


# A marker that a length follows, or the end. In compressed data only \xff00 and restarts (D0 to D7) occur.
_MARKER = re.compile(rb"\xff([\x02-\xcf\xd9-\xfe])")
_SCAN, _END = b"\xda", b"\xd9"


class ProblemError(Exception):
    """The picture is not accepted. The text is one of the words that `s3kit.uploads.images` explains."""


def recode(data: bytes, limits: Limits) -> tuple[str, bytes]:
    """Return the picture's format, a key of FORMATS, and the picture encoded anew. Raise ProblemError."""
    image, found = _open(data, limits)
    known, encoded = FORMATS[found], io.BytesIO()
    try:
        picture = _upright_and_small(image, limits.edge)
        profile = _fitting_profile(picture)
        picture.info.clear()  # or Pillow would write its comment, profile or transparency
        picture.save(encoded, known.stored_as, icc_profile=profile, **known.options)
    except MemoryError as error:
        raise ProblemError("too_costly") from error
    # Pillow's decoders raise any exception for a broken file.
    except Exception as error:
        raise ProblemError("damaged") from error
    return found, encoded.getvalue()


def _open(data: bytes, limits: Limits) -> tuple[Image.Image, str]:
    """Return the image, of which only the header has been read, and its format."""
    Image.MAX_IMAGE_PIXELS = None  # the limits here say more
    try:
        image = Image.open(io.BytesIO(data), formats=tuple(FORMATS))
    except Exception as error:  # as above
        raise ProblemError("not_a_picture") from error
    # Many phones append a second picture to a JPEG. Pillow calls that MPO.
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
    """Return how many scans a JPEG has. A broken one may be read in another way, within the limit on time."""
    at = count = 0
    while (marker := _MARKER.search(data, at)) and marker[1] != _END:
        count += marker[1] == _SCAN
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
    return count


def _upright_and_small(image: Image.Image, edge: int) -> Image.Image:
    """Return the first frame as L, RGB or RGBA, at most `edge` large, rotated as its EXIF says."""
    share = min(1, edge / max(image.size))
    # JPEG only: decode at a half, a quarter or an eighth if that is enough.
    image.draft(None, (int(image.width * share), int(image.height * share)))
    # Decode everything now: at a second attempt, Pillow would accept a truncated file.
    image.load()
    if image.mode.startswith("I;16"):  # 16-bit grey, which convert() clips instead of scaling
        image = image.point(lambda value: value / 256).convert("L")
    elif image.mode != "RGBA" and image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode in ("1", "P"):  # can't be resized smoothly
        image = image.convert("L" if image.mode == "1" else "RGB")
    image.thumbnail((edge, edge), Image.Resampling.LANCZOS, reducing_gap=None)
    # Pillow rotates first and then rewrites the EXIF, which can fail. The EXIF is not kept anyway.
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)
    return image if image.mode in ("L", "RGB", "RGBA") else _to_rgb(image)


def _to_rgb(image: Image.Image) -> Image.Image:
    """Return a picture made for print as RGB, by its own profile if it has a valid one."""
    try:
        profile = io.BytesIO(image.info["icc_profile"])
        screen = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
        if screen:
            return screen
    except (KeyError, ImageCms.PyCMSError):
        image.info.pop("icc_profile", None)
    return image.convert("RGB")


def _fitting_profile(image: Image.Image) -> bytes | None:
    """Return the colour profile, unless it belongs to another colour space than the pixels by now."""
    profile = image.info.get("icc_profile") or b""
    return profile if profile[16:20] == (b"GRAY" if image.mode == "L" else b"RGB ") else None


def _restrict(limits: Limits) -> None:
    """Have the system enforce the limits. Windows has none of this kind, and macOS none on memory."""
    try:
        import resource
    except ImportError:
        return
    for what, soft, hard in (
        (resource.RLIMIT_CPU, limits.seconds, limits.seconds + 1),
        (resource.RLIMIT_DATA, limits.memory, limits.memory),
        (resource.RLIMIT_CORE, 0, 0),  # a dump would hold the user's picture
    ):
        with contextlib.suppress(ValueError, OSError):  # the process has a lower limit
            resource.setrlimit(what, (soft, hard))


def main() -> None:
    """Recode the picture on standard input."""
    limits = Limits(**json.loads(sys.argv[2]))
    _restrict(limits)
    # Each thread takes memory for its stack, and there would be one for each processor.
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    try:
        found, encoded = recode(sys.stdin.buffer.read(), limits)
        answer = {"format": found}
    except ProblemError as problem:
        answer, encoded = {"problem": str(problem)}, b""
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + encoded)


if __name__ == "__main__":
    main()
