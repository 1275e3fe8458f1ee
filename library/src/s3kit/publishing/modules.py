"""Find the references in scripts: ES module imports and exports, `new URL(..., import.meta.url)`, and source maps.

A full JavaScript parser finds them, so a string, comment, or template literal that looks like an import is no
reference. Only scripts that may contain an import are parsed.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from s3kit.publishing.references import Reference

if TYPE_CHECKING:
    from tree_sitter import Node

# `from`, `import`, or `import(` before a relative URL, with whitespace and comments between; `import.meta.url` and
# `import.meta.resolve`.
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
    """Return the references of a script, in order; `body` is UTF-8. Skips what can't be parsed."""
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
    """Yield the references to source maps in a script, each of which is alone on its line."""
    at = body.find(_MAP_LINE)
    while at >= 0:
        end = body.find(b"\n", at)
        end = len(body) if end < 0 else end
        if body[max(at - 1, 0) : at] in {b"", b"\n"} and _is_comment(body, at, end):
            url = body[at + len(_MAP_LINE) : end].decode(errors="replace").strip()
            yield Reference(at, end, url, _MAP_LINE + b"%s")
        at = body.find(_MAP_LINE, end)


def _is_comment(body: bytes, at: int, end: int) -> bool:
    """Return whether a source map line is a comment: it isn't if it is inside a template literal."""
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
    """Yield the reference in the first argument; for `new URL()`, `./` may be missing."""
    given = [each for each in arguments.named_children if each.type != "comment"]
    if given and given[0].type in {"string", "template_string"}:
        yield from _reference(body, given[0], (given[0].start_byte, b'"%s"'), bare=of_url)


def _reference(
    body: bytes, literal: "Node", replacement: tuple[int, bytes], *, bare: bool = False
) -> Iterator[Reference]:
    """Yield the reference in a string or template literal, if it refers to a file by path.

    `replacement` is where the rewritten text starts, and its form. Without `bare`, a bare specifier (a name without
    `./`) is a package in an import map, not a file.
    """
    start, form = replacement
    raw = body[literal.start_byte + 1 : literal.end_byte - 1]
    text = raw.decode(errors="replace")
    if b"\\" in raw or any(child.type == "template_substitution" for child in literal.children):
        if text.startswith(("./", "../", "/")):
            yield Reference(literal.start_byte, literal.end_byte, None, b"")
    elif bare or text.startswith(("./", "../", "/")):
        yield Reference(start, literal.end_byte, text, form)


def _static(body: bytes, literal: "Node") -> tuple[int, bytes]:
    """Return where a rewritten statement starts, and its form, with the same spaces around `from` as Django's."""
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
