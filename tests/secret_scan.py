"""Find possible secrets in files: keys in known formats, and long strings with high entropy.

`python -m tests.secret_scan [FOLDER]` searches the files that git tracks or would add, or a folder, and
exits with 1 if it finds something. It shows only the first characters. Add values that aren't
secrets, such as the key in AWS's own examples, to tests/allowed_secrets.txt with the reason.
"""

import math
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from tests.answers import ROOT

ALLOWED = ROOT / "tests" / "allowed_secrets.txt"

# From the issuers' documentation.
FORMS = {
    "AWS access key": r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
    "private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\\n|\s)+[A-Za-z0-9+/=:, -]{16}",
    "GitHub token": r"\b(?:gh[opsur]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60,})",
    "GitLab token": r"\bglpat-[A-Za-z0-9_-]{20}",
    "index token": r"\b(?:pypi-[A-Za-z0-9_-]{50,}|npm_[A-Za-z0-9]{36})",
    "Slack token": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bhooks\.slack\.com/services/[A-Za-z0-9/]{20,}",
    "Stripe key": r"\b[rs]k_live_[A-Za-z0-9]{20,}",
    "Google key": r"\bAIza[A-Za-z0-9_-]{35}\b",
    "JSON web token": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
    # Loopback addresses, and names and addresses reserved for examples (RFC 2606, RFC 5737), are fine.
    "password in an address": r"\b[a-z][a-z0-9+]*://[^\s/:@'\"{}<>]+:(?!\*)([^\s/@'\"{}<>$]{4,})@"
    r"(?!localhost\b|127\.0\.0\.1\b|192\.0\.2\.|(?:[\w-]+\.)*example\.(?:com|net|org)\b)",
}
# An AWS secret key has 40 of these, Django's 50 or more.
RANDOM = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{32,}={0,2}(?![A-Za-z0-9+/_=-])")
ADDRESS = re.compile(r"\bhttps?://[^\s)>\"'`]+")  # a URL's path can look random
# 999 in 1,000 random strings of 40 characters have more bits per character, and change more often between lower
# case, upper case, digits, and symbols. Names, words, and paths don't.
BITS = 4.2
CHANGES = 0.38
# `.env.example` contains no secrets, and the scan reads it too.
FILES = re.compile(
    r"(?:^|/)(?:\.env(?!\.example$)(?:\..*)?|id_(?:rsa|ecdsa|ed25519)|credentials|.*\.(?:pem|p12|pfx))$"
)


class Finding(NamedTuple):
    """A possible secret, its location, and its value."""

    file: str
    line: int
    kind: str
    value: str

    def __str__(self) -> str:
        """Return one line for a log, without the secret."""
        return f"{self.file}:{self.line}: {self.kind} {self.value[:6]}... ({len(self.value)} characters)"


def allowed() -> set[str]:
    """Return the values that aren't secrets."""
    lines = ALLOWED.read_text(encoding="utf-8").splitlines()
    return {line.split()[0] for line in lines if line.strip() and not line.startswith("#")}


def bits(text: str) -> float:
    """Return the Shannon entropy in bits per character."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


def is_random(text: str) -> bool:
    """Return whether a long string mixes lower case, upper case, and digits as no word, path, or hash does."""
    kinds = [re.sub("[a-z]", "a", re.sub("[A-Z]", "A", re.sub("[0-9]", "0", letter))) for letter in text]
    changes = sum(one != other for one, other in pairwise(kinds)) / len(text)
    return {"a", "A", "0"} <= set(kinds) and bits(text) > BITS and changes > CHANGES


def find(file: str, text: str) -> Iterator[Finding]:
    """Yield possible secrets in a file's text, including allowed values."""
    if FILES.search(file):
        yield Finding(file, 1, "file of secrets", file)
    for kind, form in FORMS.items():
        for match in re.finditer(form, text):
            yield Finding(file, text.count("\n", 0, match.start()) + 1, kind, match[match.lastindex or 0])
    for match in RANDOM.finditer(ADDRESS.sub(lambda address: " " * len(address[0]), text)):
        if is_random(match[0]):
            yield Finding(file, text.count("\n", 0, match.start()) + 1, "random text", match[0])


def scan(folder: Path, names: Iterable[str]) -> list[Finding]:
    """Return possible secrets in a folder's files, except allowed values. Skip binary files."""
    fine = allowed()
    found = []
    for name in names:
        content = (folder / name).read_bytes()
        text = "" if b"\0" in content else content.decode(errors="replace")
        found += [finding for finding in find(name, text) if finding.value not in fine]
    return found


def tracked() -> list[str]:
    """Return the files that git tracks or would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def below(folder: Path) -> list[str]:
    """Return all files in a folder."""
    return [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]


if __name__ == "__main__":
    place = Path(sys.argv[1]) if sys.argv[1:] else ROOT
    sys.exit("\n".join(map(str, scan(place, below(place) if sys.argv[1:] else tracked()))) or 0)
