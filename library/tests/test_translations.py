"""The translations of messages for a site's users: complete, with the same placeholders, and compiled."""

import ast
import gettext
import re
from typing import Any

import pytest
from django.utils import translation

from s3kit.uploads import errors, messages
from tests.translations import APP, LOCALE, catalog, languages, marked


def placeholders(text: str) -> list[str]:
    return sorted(re.findall(r"%\(\w+\)[sd]|%%", text))


@pytest.mark.parametrize("language", languages())
def test_every_message_is_translated_and_compiled(language: str) -> None:
    entries: dict[Any, Any] = {each.id: each for each in catalog(language) if each.id}
    assert set(entries) == set(marked()), "run python -m tests.translations, and translate what is new"
    with (LOCALE / language / "LC_MESSAGES" / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for msgid, entry in entries.items():
        assert not entry.fuzzy
        forms = [entry.string] if isinstance(entry.string, str) else list(entry.string)
        for text in forms:
            original = msgid if isinstance(msgid, str) else msgid[1]
            assert text, msgid
            assert placeholders(text) == placeholders(original), text
            assert text.endswith((".", "。")) == original.endswith("."), text
        if isinstance(msgid, str):
            assert compiled.gettext(msgid) == entry.string
        else:
            assert {compiled.ngettext(*msgid, number) for number in (1, 2, 5)} == set(forms)


def test_messages_follow_the_active_language() -> None:
    with translation.override("ko"):
        assert str(messages.SCRIPT["cancel"]) == "취소"
        assert "만료되었습니다" in str(errors.ExpiredError())
    with translation.override("de"):
        assert str(errors.ForbiddenError()) == "Sie dürfen hier keine Dateien hochladen."


def test_error_messages_are_marked_for_translation() -> None:
    names = {each.__name__ for each in errors.UploadError.__subclasses__()}
    calls = [
        node
        for path in sorted(APP.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in names and node.args
    ]
    assert calls
    assert [
        ast.unparse(each) for each in calls if isinstance(each.args[0], ast.Constant | ast.JoinedStr)
    ] == []
