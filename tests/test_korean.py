"""The Korean pages keep in step with the English ones: the same commands, output, pictures, tables, and structure."""

import re
from pathlib import Path

import pytest

from tests.answers import ROOT

PAGES = [("README.md", "README.ko.md"), ("docs/quickstart.md", "docs/quickstart.ko.md")]
BLOCK = re.compile(r"^ *```(.*?)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
HANGUL = re.compile("[가-힣]")


def blocks(text: str) -> list[tuple[str, str]]:
    """Return the blocks of code with their languages, without the comments behind commands."""
    return [(language, re.sub(r" +# .*", "", code)) for language, code in BLOCK.findall(text)]


def headings(text: str) -> list[str]:
    """Return the headings' levels."""
    return re.findall(r"^(#+) ", BLOCK.sub("", text), re.MULTILINE)


def pictures(text: str) -> list[str]:
    return re.findall(r"!\[[^\]]*\]\(([^)]+)\)|<img src=\"([^\"]+)\"", text)


def first_cells(text: str) -> list[str]:
    """Return what the tables list, where that is a name in code."""
    return re.findall(r"^\| (`.+?`) \|", text, re.MULTILINE)


def targets(text: str) -> set[str]:
    """Return the pages and addresses that a page links to, without languages and anchors."""
    links = re.findall(r"(?<!!)\[[^\]]*\]\(([^)#]+)", BLOCK.sub("", text))
    return {link.replace(".ko.md", ".md") for link in links}


@pytest.mark.parametrize(("english", "korean"), PAGES)
def test_korean_page_matches_the_english_one(english: str, korean: str) -> None:
    original, translated = ((ROOT / name).read_text(encoding="utf-8") for name in (english, korean))
    assert blocks(translated) == blocks(original)
    assert headings(translated) == headings(original)
    assert pictures(translated) == pictures(original)
    assert first_cells(translated) == first_cells(original)
    # The page links to its original, which links back.
    assert targets(translated) - {Path(english).name} == targets(original) - {Path(english).name}


@pytest.mark.parametrize(("english", "korean"), PAGES)
def test_every_paragraph_is_translated(english: str, korean: str) -> None:
    prose = BLOCK.sub("", (ROOT / korean).read_text(encoding="utf-8"))
    paragraphs = [
        part
        for part in prose.split("\n\n")
        if re.search(r"[a-z]{4}", re.sub(r"\(.*?\)|<.*?>|`.*?`", "", part))
    ]
    untranslated = [part for part in paragraphs if not HANGUL.search(part)]
    assert untranslated == [f"[English]({Path(english).name})"]


def test_comparison_ignores_only_comments_and_languages() -> None:
    page = "# A\n\n```sh\nmake run  # starts it\n```\n\n| `a` | b |\n\n![p](p.png) [q](q.md#x)\n"
    assert blocks(page) == blocks(page.replace("starts it", "시작"))
    assert blocks(page) != blocks(page.replace("run", "test"))
    assert headings(page) == ["#"]
    assert first_cells(page) == ["`a`"]
    assert targets(page) == targets(page.replace("q.md#x", "q.ko.md#y")) == {"q.md"}
