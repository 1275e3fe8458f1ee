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
_LITERALS = {"static", "dynamic", "resolved", "url"}
_QUERY = """
(import_statement source: (string) @static)
(export_statement source: (string) @static)
(call_expression function: (import) arguments: (arguments . [(string) (template_string)] @dynamic))
(call_expression function: (member_expression object: (meta_property) property: (property_identifier) @method)
    arguments: (arguments . [(string) (template_string)] @resolved) (#eq? @method "resolve"))
(new_expression constructor: (identifier) @class
    arguments: (arguments . [(string) (template_string)] @url . (member_expression) @base)
    (#eq? @class "URL") (#eq? @base "import.meta.url"))
"""


def references(body: bytes) -> Iterator[Reference]:
    """Return the references of a script, in order; `body` is UTF-8. What can't be parsed is passed over."""
    found = list(source_maps(body))
    if _POSSIBLE.search(body):
        for group, nodes in _cursor().captures(_parser().parse(body).root_node).items():
            if group in _LITERALS:
                found += filter(None, (_reference(body, node, group) for node in nodes))
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


def _reference(body: bytes, literal: "Node", group: str) -> Reference | None:
    """Return the reference of a string or template literal, None for what names no file beside this one."""
    raw = body[literal.start_byte + 1 : literal.end_byte - 1]
    text = raw.decode(errors="replace")
    if group != "url" and not text.startswith(("./", "../", "/")):
        return None  # a package's name, for an import map
    start, end = literal.start_byte, literal.end_byte
    if b"\\" in raw or any(child.type == "template_substitution" for child in literal.children):
        return Reference(start, end, None, b"")
    if group != "static":
        return Reference(start, end, text, b'"%s"')
    # Space around `from` is written as Django writes it, which makes names and bytes the same.
    word = literal.prev_sibling
    while word is not None and word.type not in {"from", "import"}:
        word = word.prev_sibling
    if word is None or body[word.end_byte : start].strip():
        return Reference(start, end, text, b'"%s"')
    if word.type == "import":
        return Reference(word.start_byte, end, text, b'import"%s"')
    before = word.prev_sibling
    if before is None or body[before.end_byte : word.start_byte].strip():
        return Reference(start, end, text, b'"%s"')
    return Reference(before.end_byte, end, text, b' from "%s"')
