"""Find the references in style sheets: `url()`, `@import`, and source maps.

The expression below finds the tokens of CSS Syntax Module Level 3 that matter: comments, strings, escapes, url() in
its three forms, and @import. A regular expression is enough because the end of a CSS token never depends on its
context. The tests compare it with tinycss2, a full tokenizer, which takes many times as long.
"""

import re
from collections.abc import Iterator

from s3kit.publishing.references import Reference

# Bytes, because the syntax is ASCII and a style sheet needn't be valid UTF-8. Each alternative begins with a different
# character, so a search skips other characters quickly; all repetitions are possessive, so the time is linear.
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
                if found["gap"].strip():  # keep the comment
                    yield Reference(found.start("string"), at, url, b'url("%s")')
                else:
                    yield Reference(start, at, url, b'@import url("%s")')
            case b"/" if (found := _MAP.fullmatch(token[0])) and _is_alone_on_lines(body, start, at):
                yield Reference(start, at, _text(found[1]), b"/*# sourceMappingURL=%s */")


def _is_alone_on_lines(body: bytes, start: int, end: int) -> bool:
    # Django's rule for source map comments.
    return body[max(start - 1, 0) : start] in {b"", b"\n"} and body[end : end + 1] in {b"", b"\n"}


def _text(raw: bytes) -> str | None:
    """Return the value of a string or a url(), unescaped and stripped; None if it isn't UTF-8."""
    try:
        return _ESCAPE.sub(_character, raw.decode()).strip()
    except UnicodeDecodeError:
        return None


def _character(escape: re.Match[str]) -> str:
    if escape[1]:
        point = int(escape[1], 16)
        return chr(point) if 0 < point < 0x110000 and not 0xD800 <= point < 0xE000 else "\ufffd"
    return escape[3] or ""
