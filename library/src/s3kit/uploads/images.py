"""Turns an untrusted upload into a picture file that is safe to show.

Only the bytes decide. The name and the content type that the browser sent don't.
"""

import contextlib
import io
from pathlib import PurePath
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import UploadedFile
from django.template.defaultfilters import filesizeformat
from django.utils.text import slugify

try:
    from PIL import Image, ImageCms, ImageOps
except ImportError as error:
    raise ImportError("s3kit.uploads.images needs Pillow: install django-s3-kit[images].") from error

MAX_BYTES = 10 * 1024 * 1024
# Decoding takes up to 15 bytes a pixel, so up to 400 MB of memory for a moment. A JPEG can be decoded at a
# fraction of its size, so it may be as large as phones make them.
MAX_MEGAPIXELS = 25
MAX_MEGAPIXELS_OF_A_JPEG = 50
# Sharp on a large screen, yet quick on a phone.
MAX_EDGE = 2560
# Characters of the user's file name: file systems allow 255 bytes, and storages append to it.
MAX_STEM = 50


class Format(NamedTuple):
    """How pictures of one format are stored."""

    stored_as: str
    extension: str
    options: dict[str, Any]
    max_megapixels: int = MAX_MEGAPIXELS


# By Pillow's name of the uploaded format. Only the first frame of an animation is kept, a GIF's without loss.
FORMATS = {
    "JPEG": Format(
        "JPEG", ".jpg", {"quality": 85, "progressive": True, "optimize": True}, MAX_MEGAPIXELS_OF_A_JPEG
    ),
    "PNG": Format("PNG", ".png", {}),
    "GIF": Format("PNG", ".png", {}),
    "WEBP": Format("WEBP", ".webp", {"quality": 85}),
    "AVIF": Format("AVIF", ".avif", {"quality": 75}),
}

# For the `accept` attribute of file fields. It makes phones convert HEIC to JPEG.
ACCEPT = "image/jpeg,image/png,image/webp,image/avif,image/gif"

NOT_A_PICTURE = "This file is not a picture we can show. Please choose a JPEG, PNG, WebP, AVIF or GIF file."
DAMAGED = "This picture is damaged or incomplete. Please try another copy of it."
TOO_LARGE = "This file is too large ({size}). The limit is {limit}."
TOO_MANY_PIXELS = "This picture has too many pixels. The limit is {limit} megapixels."


def clean_picture(upload: UploadedFile, *, max_bytes: int = MAX_BYTES) -> ContentFile:
    """Return the picture re-encoded: upright, with at most MAX_EDGE pixels on its longer side.

    Only the pixels and the colour profile are kept: no EXIF, location, XMP, comment, second picture or appended
    data. The name gets the extension of the stored format.

    Raises ValidationError, with a sentence for the user, if the upload is larger than `max_bytes`, has too many
    pixels, has none of the FORMATS, or can't be decoded completely.
    """
    size = upload.size or 0
    if size > max_bytes:
        message = TOO_LARGE.format(size=filesizeformat(size), limit=filesizeformat(max_bytes))
        raise ValidationError(message, code="too_large")
    image, known = _open(upload)
    encoded = io.BytesIO()
    try:
        picture = _upright_and_small(image)
        profile = _fitting_profile(picture)
        picture.info.clear()  # or Pillow would write its comment, profile or transparency
        picture.save(encoded, known.stored_as, icc_profile=profile, **known.options)
    # Pillow's decoders raise any exception for a broken file.
    except Exception as error:
        raise ValidationError(DAMAGED, code="damaged") from error
    return ContentFile(encoded.getvalue(), name=short_name(upload.name or "", known.extension, "picture"))


def short_name(name: str, extension: str, default: str) -> str:
    """Return a safe name with this extension, of at most MAX_STEM characters of the user's file name.

    If nothing of that name is left, use `default`.
    """
    return (slugify(PurePath(name).stem, allow_unicode=True)[:MAX_STEM] or default) + extension


def _open(upload: UploadedFile) -> tuple[Image.Image, Format]:
    """Return the image, of which only the header has been read, and its format."""
    try:
        image = Image.open(upload, formats=tuple(FORMATS))
    # Pillow's own, higher limits come first.
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels(MAX_MEGAPIXELS) from error
    except Exception as error:  # as above
        raise ValidationError(NOT_A_PICTURE, code="not_a_picture") from error
    # Many phones append a second picture to a JPEG. Pillow calls that MPO.
    known = FORMATS["JPEG" if image.format == "MPO" else image.format or ""]
    if image.width * image.height > known.max_megapixels * 1_000_000:
        raise _too_many_pixels(known.max_megapixels)
    return image, known


def _too_many_pixels(limit: int) -> ValidationError:
    return ValidationError(TOO_MANY_PIXELS.format(limit=limit), code="too_many_pixels")


def _upright_and_small(image: Image.Image) -> Image.Image:
    """Return the first frame as L, RGB or RGBA, at most MAX_EDGE large, rotated as its EXIF says."""
    share = min(1, MAX_EDGE / max(image.size))
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
    image.thumbnail((MAX_EDGE, MAX_EDGE), Image.Resampling.LANCZOS, reducing_gap=None)
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
