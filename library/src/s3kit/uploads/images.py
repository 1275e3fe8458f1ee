"""Turns an untrusted upload into a picture file that is safe to show.

Only the content matters, not the name and the content type that the browser sends. `s3kit.uploads.recode` does the work
in a separate process.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path, PurePath

from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import UploadedFile
from django.core.validators import validate_image_file_extension
from django.forms import ImageField
from django.template.defaultfilters import filesizeformat
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _

from s3kit.uploads.errors import UploadError

try:
    import PIL
    from PIL import Image

    from s3kit.uploads.recode import FORMATS, Limits
except ImportError as error:
    raise ImportError("s3kit.uploads.images needs Pillow: install django-s3-kit[images].") from error

__all__ = ["ACCEPT", "FORMATS", "MAX_BYTES", "Limits", "check_picture", "clean_picture", "short_name"]

logger = logging.getLogger(__name__)

MAX_BYTES = 10 * 1024 * 1024
# Characters of the user's file name: file systems allow 255 bytes, and storages append to it.
MAX_STEM = 50
# Pictures that one server process re-encodes at a time, to limit its memory. Others wait.
AT_ONCE = 2
# Seconds of wall-clock time for each second of processor time, because the machine may be busy.
SLOWNESS = 4

# For the `accept` attribute of file fields. It makes phones convert HEIC to JPEG.
ACCEPT = "image/jpeg,image/png,image/webp,image/avif,image/gif"

NOT_A_PICTURE = _(
    "This file is not a picture we can show. Please choose a JPEG, PNG, WebP, AVIF, or GIF file."
)
DAMAGED = _("This picture is damaged or incomplete. Please try another copy of it.")
TOO_LARGE = _("This file is too large (%(size)s). The limit is %(limit)s.")
TOO_MANY_PIXELS = _("This picture has too many pixels. The limit is %(limit)d megapixels.")
TOO_LONG = _("This picture is too wide or too high. The limit is %(limit)d pixels on the longer side.")
TOO_COSTLY = _(
    "This picture takes too much time or memory to process."
    " Please open it in an image editor, save it as a new file, and choose that one."
)

_turns = threading.BoundedSemaphore(AT_ONCE)


def clean_picture(
    upload: UploadedFile, *, max_bytes: int | None = None, limits: Limits | None = None
) -> ContentFile:
    """Return the picture re-encoded: upright, with at most `limits.edge` pixels on its longer side.

    Keeps only the pixels and the color profile: no EXIF, location, XMP, comment, second picture, or appended data. The
    name gets the extension of the stored format.

    Raises ValidationError, with a message for the user, if the upload is larger than `max_bytes` (default: the field's,
    or else MAX_BYTES), has too many pixels, is in none of the FORMATS, can't be decoded completely, or takes more time
    or memory than `limits` (default: Limits()) allow.
    """
    limits = limits or Limits()
    size = upload.size or 0
    most = getattr(upload, "max_bytes", MAX_BYTES) if max_bytes is None else max_bytes
    if size > most:
        sizes = {"size": filesizeformat(size), "limit": filesizeformat(most)}
        raise ValidationError(TOO_LARGE, code="too_large", params=sizes)
    upload.seek(0)
    result, encoded = _recoded(upload.read(), limits)
    if problem := result.get("problem"):
        raise _error(problem, limits)
    extension = FORMATS[result["format"]].extension
    return ContentFile(encoded, name=short_name(upload.name or "", extension, "picture"))


def check_picture(upload: UploadedFile) -> None:
    """Raise ValidationError unless Pillow supports the file's extension and finds a picture in the file.

    Django's ImageField checks the same. The file keeps its metadata, and its pixels may be damaged.
    """
    validate_image_file_extension(upload)
    upload.seek(0)
    try:
        with Image.open(upload) as image:
            image.verify()
    except UploadError:
        raise
    except Exception as error:  # Pillow's decoders can raise any exception
        raise ValidationError(
            ImageField.default_error_messages["invalid_image"], code="invalid_image"
        ) from error


def short_name(name: str, extension: str, default: str) -> str:
    """Return a safe name: at most MAX_STEM characters of the user's file name, and this extension.

    If no characters of the name are left, use `default`.
    """
    return (slugify(PurePath(name).stem, allow_unicode=True)[:MAX_STEM] or default) + extension


def _error(problem: str, limits: Limits) -> ValidationError:
    """Return the error for a problem, with a message for the user."""
    message, limit = {
        "not_a_picture": (NOT_A_PICTURE, 0),
        "damaged": (DAMAGED, 0),
        "too_many_pixels": (TOO_MANY_PIXELS, limits.megapixels),
        "too_many_pixels_of_a_jpeg": (TOO_MANY_PIXELS, limits.megapixels_of_a_jpeg),
        "too_long": (TOO_LONG, limits.side),
        "too_costly": (TOO_COSTLY, 0),
    }[problem]
    return ValidationError(message, code=problem.removesuffix("_of_a_jpeg"), params={"limit": limit})


def _recoded(data: bytes, limits: Limits) -> tuple[dict[str, str], bytes]:
    """Run `s3kit.uploads.recode`; return its JSON (a format or a problem) and the picture."""
    # -I and -S: ignore the environment, the current folder, and site-packages.
    command = [
        *(_python(), "-I", "-S", str(Path(__file__).with_name("recode.py"))),
        *(str(Path(PIL.__file__).parents[1]), json.dumps(asdict(limits))),
    ]
    # The child process gets no secrets. Some systems need these variables to find shared libraries.
    environment = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}
    with _turns:
        try:
            done = subprocess.run(  # noqa: S603 -- the user's part is on standard input
                command,
                input=data,
                capture_output=True,
                timeout=SLOWNESS * limits.seconds,
                env=environment,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"problem": "too_costly"}, b""
    if done.returncode > 0:
        raise RuntimeError(f"s3kit.uploads.recode failed: {done.stderr.decode(errors='replace')[-2000:]}")
    if done.returncode < 0:
        logger.warning("A picture of %d bytes crashed its decoder: signal %d", len(data), -done.returncode)
        # The system also sends SIGKILL when it is out of memory.
        costly = -done.returncode in {getattr(signal, "SIGXCPU", 0), getattr(signal, "SIGKILL", 0)}
        return {"problem": "too_costly" if costly else "damaged"}, b""
    line, _, encoded = done.stdout.partition(b"\n")
    return json.loads(line), encoded


def _python() -> str:
    """Return the path of the interpreter. In servers that embed Python, such as uWSGI, sys.executable is the server."""
    if Path(sys.executable).name.startswith("python"):
        return sys.executable
    return str(Path(sys.prefix) / "bin" / "python")
