"""The code blocks of documents, for tests that carry out the documents' steps."""

import re
from pathlib import Path
from typing import NamedTuple

BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
# The sentence before a block says where it goes: "Write `file`", "In `file`, after `the beginning of a line`",
# "instead of", or "at its end". If it names no file, the block goes into the previous file.
FILE = re.compile(r"\b(?:[Ii]n|(?P<write>[Ww]rite))\s`([^`]+)`")
PLACE = re.compile(r"(?:(?P<how>after|instead of) (`{1,2})(?P<anchor>[^\n]+?)\2|(?P<end>at its end)):$")


class Block(NamedTuple):
    """A code block, and its file and position if the sentence before it names them."""

    language: str
    code: str
    before: str
    file: str
    how: str | None
    anchor: str


def blocks(page: Path) -> list[Block]:
    """Return a document's code blocks. `how` is "write", "after", "instead of", "at its end", or None."""
    text = page.read_text(encoding="utf-8")
    found, file = [], ""
    for match in BLOCK.finditer(text):
        before = text[: match.start()].strip().rpartition("\n\n")[2]
        named, place = list(FILE.finditer(before)), PLACE.search(before)
        file = named[-1][2] if named else file
        how = "write" if named and named[-1]["write"] else place and (place["how"] or place["end"])
        anchor = (place and place["anchor"]) or ""
        found.append(Block(match["language"], match["code"], before, file, how, anchor))
    return found


def follow(block: Block, folder: Path) -> None:
    """Apply a block to its file in a folder."""
    path = folder / block.file
    if block.how == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.code, encoding="utf-8")
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    if block.how == "at its end":
        lines.append(block.code)
    else:
        wanted = block.anchor.lstrip()
        at = [number for number, line in enumerate(lines) if line.lstrip().startswith(wanted)]
        assert len(at) == 1, f"{block.file} has {len(at)} lines that begin with {wanted!r}"
        lines[at[0] : at[0] + 1] = [block.code] if block.how == "instead of" else [lines[at[0]], block.code]
    path.write_text("".join(lines), encoding="utf-8")


def shows(shown: str, printed: str) -> bool:
    """Return whether an output contains a document's lines, in this order. A line "..." stands for omitted lines."""
    at, printed = 0, re.sub(r" +$", "", printed, flags=re.MULTILINE)
    for part in re.split(r"^\.\.\.\n", shown, flags=re.MULTILINE):
        at = printed.find(part.rstrip("\n"), at)
        if at < 0:
            return False
        at += len(part)
    return True
