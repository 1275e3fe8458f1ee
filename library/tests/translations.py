"""Update and compile the catalogs of `s3kit.uploads`: `python -m tests.translations [LANGUAGE ...]`.

A named language without a catalog gets a new one.
"""

import ast
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages import Catalog, mofile, pofile
from django.template.base import Lexer, TokenType

import s3kit.uploads

APP = Path(s3kit.uploads.__file__).parent
LOCALE = APP / "locale"


def marked() -> Iterator[str | tuple[str, str]]:
    """Yield the translatable strings in code and templates; a pair for plural forms."""
    for path in sorted(APP.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(getattr(node, "func", None), "id", "")
            if isinstance(node, ast.Call) and name in {"_", "gettext", "gettext_lazy"}:
                yield ast.literal_eval(node.args[0])
            elif isinstance(node, ast.Call) and name in {"ngettext", "ngettext_lazy"}:
                yield ast.literal_eval(node.args[0]), ast.literal_eval(node.args[1])
    for path in sorted(APP.rglob("*.html")):
        for token in Lexer(path.read_text(encoding="utf-8")).tokenize():
            if token.token_type == TokenType.BLOCK and token.contents.startswith("translate "):
                yield token.split_contents()[1].strip("\"'")


def languages() -> list[str]:
    return sorted(path.name for path in LOCALE.iterdir())


def catalog(language: str) -> Catalog:
    """Return a language's catalog, or an empty one."""
    path = LOCALE / language / "LC_MESSAGES" / "django.po"
    if not path.exists():
        return Catalog(locale=language)
    with path.open("rb") as file:
        return pofile.read_po(file, locale=language)


def update(language: str) -> None:
    """Write the catalog with only the current strings, in the order of the code, and compile it."""
    before = catalog(language)
    at = datetime(2026, 1, 1, tzinfo=UTC)  # the same bytes every time
    names = {
        "project": "django-s3-kit",
        "version": "1",
        "last_translator": "django-s3-kit",
        "language_team": language,
    }
    after = Catalog(
        language, fuzzy=False, header_comment="", creation_date=at, msgid_bugs_address="none", **names
    )
    after.revision_date = at
    for msgid in dict.fromkeys(marked()):
        known = before.get(msgid)
        after.add(msgid, known.string if known else None)
    folder = LOCALE / language / "LC_MESSAGES"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "django.po").open("wb") as file:
        pofile.write_po(file, after, width=120)
    with (folder / "django.mo").open("wb") as file:
        mofile.write_mo(file, after)


if __name__ == "__main__":
    for each in sorted({*languages(), *sys.argv[1:]}):
        update(each)
