"""The content type of an upload, and whether browsers show or download it. Both depend on its extension only."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured

# Types that a browser may show. None of these can run a script in the origin of the uploads: no browser interprets an
# image or a video as HTML, whatever its bytes are, and a PDF's scripts run inside the viewer.
INLINE = {
    "avif": "image/avif",
    "gif": "image/gif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "mp4": "video/mp4",
    "pdf": "application/pdf",
    "png": "image/png",
    "webm": "video/webm",
    "webp": "image/webp",
}
# Files that are downloaded with their own type, so that a device knows the program. <img>, <audio>, <video>, and
# <track> can still load them, because they ignore Content-Disposition. An SVG runs its scripts only when the browser
# opens it as a document, which the download prevents.
# Everything else, above all HTML, XML, and scripts, is downloaded as application/octet-stream: S3 can't send
# X-Content-Type-Options: nosniff, and browsers never sniff for HTML in that type, but they do in a response without a
# type or with an unknown one.
DOWNLOAD = {
    "csv": "text/csv",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "heic": "image/heic",
    "ics": "text/calendar",
    "json": "application/json",
    "m3u8": "application/vnd.apple.mpegurl",
    "m4a": "audio/mp4",
    "mov": "video/quicktime",
    "mp3": "audio/mpeg",
    "odt": "application/vnd.oasis.opendocument.text",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "ogg": "audio/ogg",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "svg": "image/svg+xml",
    "txt": "text/plain",
    "vtt": "text/vtt",
    "wav": "audio/wav",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "zip": "application/zip",
}

_TYPE = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+_-]*(?:; ?charset=utf-8)?")
_EXTENSION = re.compile(r"[a-z0-9]{1,16}")
# Types that are safe to show: browsers don't sniff for HTML in them.
_HARMLESS = re.compile(
    r"(?:image|audio|video|font)/(?!.*(?:svg|xml))|(?:application/(?:pdf|json)|text/(?:plain|csv|calendar|vtt))(?:;|$)"
)
# The library guarantees that no upload is a page or a script, however a browser is made to load it.
_ACTIVE = re.compile(r"text/html|application/xhtml|multipart/|[a-z]+/.*(?:java|ecma|live)script|text/xsl")


@dataclass(frozen=True)
class Types:
    """The content types of a storage's files by extension."""

    inline: Mapping[str, str]
    download: Mapping[str, str]

    def of(self, extension: str) -> tuple[str | None, str]:
        """Return the content type of an extension (lower case, no dot) or None, and its disposition."""
        if extension in self.inline:
            return self.inline[extension], "inline"
        return self.download.get(extension), "attachment"


def resolved(inline_types: Any, content_types: Any) -> Types:
    """Return the library's types, overridden by those of the two options.

    Raises ImproperlyConfigured for an invalid type, and for types that could run a script in the origin of the uploads
    (stored XSS).
    """
    shown, kept = _read("inline_types", inline_types), _read("content_types", content_types)
    for extension, kind in shown.items():
        if not _HARMLESS.match(kind):
            raise ImproperlyConfigured(
                f"The option 'inline_types' shows .{extension} as {kind!r}, which could run a script that a user"
                " uploads: remove it, or use the option 'content_types' to have such files downloaded."
            )
        if extension in kept:
            raise ImproperlyConfigured(
                f"The options 'inline_types' and 'content_types' both have {extension!r}: remove it from one."
            )
    for extension, kind in kept.items():
        if _ACTIVE.match(kind):
            raise ImproperlyConfigured(
                f"The option 'content_types' has {kind!r} for .{extension}, so an upload could be a page or a"
                " script: remove it, and such files are downloaded as application/octet-stream."
            )
    inline = {name: kind for name, kind in INLINE.items() if name not in kept}
    return Types(inline | shown, DOWNLOAD | kept)


def _read(option: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ImproperlyConfigured(
            f"The option {option!r} is {value!r}: set it to a dictionary of content types by extension, such as"
            ' {"epub": "application/epub+zip"}.'
        )
    found = {str(name).lower().removeprefix("."): str(kind).lower() for name, kind in value.items()}
    for extension, kind in found.items():
        if not _EXTENSION.fullmatch(extension) or not _TYPE.fullmatch(kind):
            raise ImproperlyConfigured(
                f"The option {option!r} has {extension!r}: {kind!r}, which is not an extension and a content type,"
                ' such as "epub": "application/epub+zip".'
            )
    return found
