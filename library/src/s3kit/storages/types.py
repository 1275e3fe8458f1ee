"""How a browser treats an upload, by its extension alone: shown or downloaded, and as which content type."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured

# What a browser may show under the address of the media. None of these can run a script with the rights of
# that address, and no browser takes an image or a video for HTML, whatever the bytes are. A PDF's scripts run
# inside the viewer, apart from the page's origin.
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
# What is downloaded under a type of its own, so that a device knows the program, and <img>, <audio>, <video>
# and <track> take it: they don't look at Content-Disposition. An SVG runs its scripts only where it is the
# document itself, which being downloaded prevents.
# All else, HTML, XML and scripts above all, is downloaded as plain bytes: S3 cannot send
# X-Content-Type-Options: nosniff, and browsers never look for HTML in application/octet-stream, while they do
# in an answer that has no type, or none that they understand.
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
# Shown, these are pictures, sound, films, fonts or text; browsers look for no HTML in them.
_HARMLESS = re.compile(
    r"(?:image|audio|video|font)/(?!.*(?:svg|xml))|(?:application/(?:pdf|json)|text/(?:plain|csv|calendar|vtt))(?:;|$)"
)
# The library promises that no upload is a page or a script, however somebody gets a browser to load it.
_ACTIVE = re.compile(r"text/html|application/xhtml|multipart/|[a-z]+/.*(?:java|ecma|live)script|text/xsl")


@dataclass(frozen=True)
class Types:
    """The content types of a storage's files, by extension."""

    inline: Mapping[str, str]
    download: Mapping[str, str]

    def of(self, extension: str) -> tuple[str | None, str]:
        """Return the content type of an extension (lower case, no dot), or None, and its disposition."""
        if extension in self.inline:
            return self.inline[extension], "inline"
        return self.download.get(extension), "attachment"


def resolved(inline_types: Any, content_types: Any) -> Types:
    """Return the library's types with those of the two options, which come first.

    Raises ImproperlyConfigured, with one sentence, for what is no type, and for types that could run a script
    with the rights of the uploads' address (stored XSS).
    """
    shown, kept = _read("inline_types", inline_types), _read("content_types", content_types)
    for extension, kind in shown.items():
        if not _HARMLESS.match(kind):
            raise ImproperlyConfigured(
                f"The option 'inline_types' shows .{extension} as {kind!r}, which could run a script of whoever"
                " uploads it: leave it out, or let it be downloaded with the option 'content_types'."
            )
        if extension in kept:
            raise ImproperlyConfigured(
                f"The options 'inline_types' and 'content_types' both have {extension!r}: leave it out of one."
            )
    for extension, kind in kept.items():
        if _ACTIVE.match(kind):
            raise ImproperlyConfigured(
                f"The option 'content_types' keeps {kind!r} for .{extension}, so an upload could be a page or a"
                " script: leave it out, and such files are downloaded as plain bytes."
            )
    inline = {name: kind for name, kind in INLINE.items() if name not in kept}
    return Types(inline | shown, DOWNLOAD | kept)


def _read(option: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ImproperlyConfigured(
            f"The option {option!r} is {value!r}: set it to a dictionary from extensions to content types, as in"
            ' {"epub": "application/epub+zip"}.'
        )
    found = {str(name).lower().removeprefix("."): str(kind).lower() for name, kind in value.items()}
    for extension, kind in found.items():
        if not _EXTENSION.fullmatch(extension) or not _TYPE.fullmatch(kind):
            raise ImproperlyConfigured(
                f"The option {option!r} has {extension!r}: {kind!r}, which is not an extension with its content"
                ' type, such as "epub": "application/epub+zip".'
            )
    return found
