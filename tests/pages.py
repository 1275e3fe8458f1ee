"""The blocks of code in documents, which tests carry out as they are written."""

import re
from pathlib import Path
from typing import NamedTuple

BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
# A sentence before a block says where it goes: "Write `file`", or "In `file`, after `the beginning of a line`", or
# instead of it, or at its end. One that names no file goes on with the last.
FILE = re.compile(r"\b(?:[Ii]n|(?P<write>[Ww]rite))\s`([^`]+)`")
PLACE = re.compile(r"(?:(?P<how>after|instead of) (`{1,2})(?P<anchor>[^\n]+?)\2|(?P<end>at its end)):$")


class Block(NamedTuple):
    """A block of code, and where it goes in which file, if the sentence before it says so."""

    language: str
    code: str
    before: str
    file: str
    how: str | None
    anchor: str


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a document. `how` is "write", "after", "instead of", "at its end" or None."""
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
    """Put a block where it goes below a folder."""
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
    """Tell whether lines of a document are in an output, in this order. A line of "..." leaves lines out."""
    at, printed = 0, re.sub(r" +$", "", printed, flags=re.MULTILINE)
    for part in re.split(r"^\.\.\.\n", shown, flags=re.MULTILINE):
        at = printed.find(part.rstrip("\n"), at)
        if at < 0:
            return False
        at += len(part)
    return True
