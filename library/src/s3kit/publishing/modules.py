"""References in scripts: what ES modules import and export, `new URL(..., import.meta.url)`, and source maps.

A parser of the whole language finds them, so that a string, comment or template literal that looks like an import is
left alone. It reads only scripts in which an import is possible.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from s3kit.publishing.references import Reference

if TYPE_CHECKING:
    from tree_sitter import Node

# `from`, `import` or `import(` before a relative address, with space and comments between; and what `import.meta` has.
_POSSIBLE = re.compile(
    rb"""from(?<!\wfrom)GAP["'`][./]|import(?<!\wimport)GAP(?:(?:\(GAP)?+["'`][./]|\.\s*+meta\s*+\.\s*+(?:url|resolve)\b)""".replace(
        b"GAP", rb"(?:\s|/\*.*?\*/|//[^\n]*+\n)*+"
    ),
    re.DOTALL,
)
_MAP_LINE = b"//# sourceMappingURL="
_QUERY = """
(import_statement source: (string) @static)
(export_statement source: (string) @static)
(call_expression function: (import) arguments: (arguments) @dynamic)
(call_expression function: (member_expression) @function arguments: (arguments) @dynamic
    (#match? @function "^import\\s*\\.\\s*meta\\s*\\.\\s*resolve$"))
(new_expression constructor: (identifier) @class arguments: (arguments (member_expression) @base) @url
    (#eq? @class "URL") (#match? @base "^import\\s*\\.\\s*meta\\s*\\.\\s*url$"))
"""


def references(body: bytes) -> Iterator[Reference]:
    """Return the references of a script, in order; `body` is UTF-8. What can't be parsed is passed over."""
    found = list(source_maps(body))
    if _POSSIBLE.search(body):
        captured = _cursor().captures(_parser().parse(body).root_node)
        for node in captured.get("static", ()):
            found += _reference(body, node, _static(body, node))
        for node in captured.get("dynamic", ()):
            found += _argument(body, node)
        for node in captured.get("url", ()):
            found += _argument(body, node, of_url=True)
    return iter(sorted(found))


def source_maps(body: bytes) -> Iterator[Reference]:
    """Yield the addresses of source maps in a script, which have a line of their own."""
    at = body.find(_MAP_LINE)
    while at >= 0:
        end = body.find(b"\n", at)
        end = len(body) if end < 0 else end
        if body[max(at - 1, 0) : at] in {b"", b"\n"} and _is_comment(body, at, end):
            url = body[at + len(_MAP_LINE) : end].decode(errors="replace").strip()
            yield Reference(at, end, url, _MAP_LINE + b"%s")
        at = body.find(_MAP_LINE, end)


def _is_comment(body: bytes, at: int, end: int) -> bool:
    """Tell whether the line is a comment: only a template literal can hold one that is none, and not as its last."""
    if b"`" not in body[:at] or not body[end:].strip():
        return True
    return bool(_parser().parse(body).root_node.descendant_for_byte_range(at, at + 1).type == "comment")


@cache
def _parser() -> Any:
    import tree_sitter
    import tree_sitter_javascript

    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_javascript.language()))


@cache
def _cursor() -> Any:
    import tree_sitter

    return tree_sitter.QueryCursor(tree_sitter.Query(_parser().language, _QUERY))


def _argument(body: bytes, arguments: "Node", *, of_url: bool = False) -> Iterator[Reference]:
    """Yield the reference that the first argument is; `URL` takes a file's name without `./`, too."""
    given = [each for each in arguments.named_children if each.type != "comment"]
    if given and given[0].type in {"string", "template_string"}:
        yield from _reference(body, given[0], (given[0].start_byte, b'"%s"'), bare=of_url)


def _reference(
    body: bytes, literal: "Node", place: tuple[int, bytes], *, bare: bool = False
) -> Iterator[Reference]:
    """Yield the reference of a string or template literal, nothing for what names no file beside this one.

    `place` is where it begins to be written anew, and in which form. Names that are `bare` are otherwise those of
    packages, for an import map.
    """
    start, form = place
    raw = body[literal.start_byte + 1 : literal.end_byte - 1]
    text = raw.decode(errors="replace")
    if b"\\" in raw or any(child.type == "template_substitution" for child in literal.children):
        if text.startswith(("./", "../", "/")):
            yield Reference(literal.start_byte, literal.end_byte, None, b"")
    elif bare or text.startswith(("./", "../", "/")):
        yield Reference(start, literal.end_byte, text, form)


def _static(body: bytes, literal: "Node") -> tuple[int, bytes]:
    """Return where to write a statement anew: space around `from` as Django does, so that the bytes are the same."""
    word = literal.prev_sibling
    while word is not None and word.type == "comment":
        word = word.prev_sibling
    if word is None or body[word.end_byte : literal.start_byte].strip():
        return literal.start_byte, b'"%s"'
    if word.type == "import":
        return word.start_byte, b'import"%s"'
    before = word.prev_sibling
    if before is None or before.type == "comment":
        return literal.start_byte, b'"%s"'
    return before.end_byte, b' from "%s"'
