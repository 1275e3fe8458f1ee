"""Documents, messages, and comments contain no words that confuse readers."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.answers import ROOT

# Patterns to avoid, and what to write instead.
BANNED = {
    r"\bshall\b": "should, must, or is",
    r"\banew\b": "again",
    r"\b(?:thereby|hereby|whereby|therein|whither)\b": "a new sentence",
    r"(?<!connection )(?<!\|)\brefus(?:e[sd]?|als?|ing)\b": "reject",
    r"\b(?:is|are|was|were) told\b": "an active verb: the command says",
    r"\bbelongs? into\b": "belongs in",
    r"\bin the place of\b": "instead of",
    r"\bby hand\b": "manually",
    r"\btak(?:e|en) back\b": "undo or roll back",
    r"\ba (?:line|sentence|pattern) each\b": "one per line",
    r"\bcures?\b": "fix",
    r"\bdesks?\b": "local",
    r"\bdoors?\b": "entry point",
    r"\bset-up\b": "setup",
    r"\bS3 of your own\b": "local S3 server",
    r"\bserver of your own machine\b": "local server",
    r"\bsomebody else's\b": "another user's, account's, or package's",
    r"\bleads? nowhere\b": "is broken",
    r"\bnot your fault\b": "the error has been logged",
    r"\b(?:that|which) (?:is|are) none\b": "that is not one",
    r"\bwhoever\b": "the user, or anyone who",
    r"\bmends?\b": "fix",
    r"\"\"\"tells? whether\b": "Return whether",
    r"\bbeside\b": "next to, with, or in addition to",
    r"\bbut for\b": "except",
    r"\bpass(?:es|ed) over\b": "ignore or skip",
    r"\banswer(?:s|ed|ing)?\b (?:with )?(?:an? )?(?:empty )?(?:\{|[1-5](?:\d\d|xx)\b|…)": "return",
    r"\b(?:S3|servers?|buckets?|CloudFront|MinIO|Ceph|Garage|sites?) (?:[a-z']+ )?answer(?:s|ed)?\b": "respond",
}
SKIPPED = {"LICENSE", "OFL.txt", "test_words.py"}
PROSE = {
    *("", ".css", ".example", ".html", ".js", ".json", ".md", ".mk", ".py", ".svg", ".toml", ".txt"),
    *(".yaml", ".yml"),
}


def findings(name: str, text: str) -> Iterator[str]:
    """Yield a message for each banned word in a file's text."""
    for pattern, instead in BANNED.items():
        for match in re.finditer(pattern, text, re.IGNORECASE):
            line = text.count("\n", 0, match.start()) + 1
            yield f"{name}:{line}: {match[0]!r}: write {instead}"


def test_no_file_has_a_banned_word() -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    names = [name for name in tracked.stdout.split("\0") if name and Path(name).suffix in PROSE]
    assert len(names) > 300
    found = [
        finding
        for name in names
        if Path(name).name not in SKIPPED and (ROOT / name).is_file()
        for finding in findings(name, (ROOT / name).read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("mistakes fail at your desk", True),
        ("The request was refused.", True),
        ("Connection refused", False),
        ("Written\nanew.", True),
        ("It renews, and shallow waters", False),
        ('f"{bucket.name} answers {response}"', True),
        ("a missing upload answers 404", True),
        ("Garage answers with an empty 404", True),
        ("S3 doesn't answer", True),
        ("The hooks reject invalid answers with a suggestion", False),
    ],
)
def test_the_list_finds_words(text: str, is_found: bool) -> None:
    assert bool(list(findings("a.md", text))) is is_found
