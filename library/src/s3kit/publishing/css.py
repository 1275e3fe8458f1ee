"""References in style sheets: `url()`, `@import` and the address of a source map.

The expression below splits a style sheet into the tokens of CSS Syntax Module Level 3 that matter here: comments,
strings, escapes, url() in its three forms, and @import. All other characters begin none of them and are passed over.
CSS needs no more for that, because where a token ends never depends on its context. The tests compare it with
tinycss2, a whole tokenizer, which takes many times as long.
"""

import re
from collections.abc import Iterator

from s3kit.publishing.references import Reference

# Bytes, since no character above 127 takes part in the syntax, and a style sheet need not be UTF-8 as a whole. Each
# alternative begins with a character of its own, so that a search passes quickly over those that begin none; and no
# repetition gives back what it has, so that the time grows with the length alone.
_SPACE = rb"[ \t\n\r\f]*+"
_ESCAPED = rb"\\(?:[0-9a-fA-F]{1,6}+(?:\r\n|[ \t\n\r\f])?+|[^\n\r\f])"
_STRING = rb"""(?:"(?:[^"\\\n\r\f]|\\(?:\r\n|.))*+"|'(?:[^'\\\n\r\f]|\\(?:\r\n|.))*+')"""
_TOKEN = re.compile(
    rb"""/\*(?:.*?\*/|.*+)"""
    rb"""|"(?:[^"\\\n\r\f]|\\(?:\r\n|.))*+"?|'(?:[^'\\\n\r\f]|\\(?:\r\n|.))*+'?"""
    rb"""|ESCAPED(?:[\w\x80-\xff-]|ESCAPED)*+\(?|\\|@[iI][mM][pP][oO][rR][tT]|u(?<![\w\x80-\xff@#-]u)[rR][lL]\(|U(?<![\w\x80-\xff@#-]U)[rR][lL]\(""".replace(
        b"ESCAPED", _ESCAPED
    ),
    re.DOTALL,
)
# What follows `url(` and `@import`.
_URL = re.compile(
    rb"(?:SPACE(?P<quoted>STRING)(?P<closed>SPACE\))?"
    rb"|SPACE(?P<bare>(?:[^\"'()\\\x00-\x20\x7f]|ESCAPED)*+)SPACE(?:\)|\Z)"
    rb"|SPACE(?![\"'])(?:[^)\\]|\\.)*+\)?)".replace(b"SPACE", _SPACE)
    .replace(b"ESCAPED", _ESCAPED)
    .replace(b"STRING", _STRING),
    re.DOTALL,
)
_IMPORTED = re.compile(
    rb"(?P<gap>(?:[ \t\n\r\f]|/\*.*?\*/)*+)(?P<string>STRING)".replace(b"STRING", _STRING), re.DOTALL
)
_MAP = re.compile(rb"/\*#[ \t]sourceMappingURL=(.*)\*/", re.IGNORECASE)
_ANY = re.compile(rb"url\(|@import|sourceMappingURL=", re.IGNORECASE)
_ESCAPE = re.compile(
    r"\\(?:([0-9a-f]{1,6})(?:\r\n|[ \t\n\r\f])?|(\r\n|[\n\r\f])|(.))", re.IGNORECASE | re.DOTALL
)


def references(body: bytes) -> Iterator[Reference]:
    """Yield the references of a style sheet, in order; `body` has an encoding that extends ASCII."""
    if not _ANY.search(body):
        return
    at = 0
    while token := _TOKEN.search(body, at):
        start, at = token.span()
        match body[start : start + 1]:
            case b"u" | b"U" if found := _URL.match(body, at):
                at = found.end()
                if found["quoted"]:
                    form = b'url("%s")' if found["closed"] else b'url("%s"'
                    yield Reference(start, at, _text(found["quoted"][1:-1]), form)
                elif found["bare"]:
                    yield Reference(start, at, _text(found["bare"]), b'url("%s")')
            case b"@" if found := _IMPORTED.match(body, at):
                at = found.end()
                url = _text(found["string"][1:-1])
                if found["gap"].strip():  # a comment, which stays
                    yield Reference(found.start("string"), at, url, b'url("%s")')
                else:
                    yield Reference(start, at, url, b'@import url("%s")')
            case b"/" if (found := _MAP.fullmatch(token[0])) and _has_lines_of_its_own(body, start, at):
                yield Reference(start, at, _text(found[1]), b"/*# sourceMappingURL=%s */")


def _has_lines_of_its_own(body: bytes, start: int, end: int) -> bool:
    # Django's rule for comments with a source map.
    return body[max(start - 1, 0) : start] in {b"", b"\n"} and body[end : end + 1] in {b"", b"\n"}


def _text(raw: bytes) -> str | None:
    """Return what a string or a url() stands for, without space at its ends."""
    try:
        return _ESCAPE.sub(_character, raw.decode()).strip()
    except UnicodeDecodeError:
        return None


def _character(escape: re.Match[str]) -> str:
    if escape[1]:
        point = int(escape[1], 16)
        return chr(point) if 0 < point < 0x110000 and not 0xD800 <= point < 0xE000 else "\ufffd"
    return escape[3] or ""
