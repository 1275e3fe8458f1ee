"""The pictures in docs/terminal match the commands' current output."""

import re
from xml.etree import ElementTree

import pytest

from tests import terminal_pictures
from tests.answers import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    return terminal_pictures.pictures()


def test_each_picture_is_up_to_date(drawn: dict[str, str]) -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in terminal_pictures.PICTURES.iterdir()}
    assert sorted(drawn) == sorted(committed)
    old = [name for name in drawn if drawn[name] != committed[name]]
    assert not old, f"{', '.join(old)}: run `make pictures`, look at the pictures, and commit them"


def test_a_picture_is_well_formed_and_loads_nothing(drawn: dict[str, str]) -> None:
    for svg in drawn.values():
        texts = [
            "".join(each.itertext())
            for each in ElementTree.fromstring(svg).iter()  # noqa: S314 -- our own
            if each.tag.endswith("}text")
        ]
        assert max(map(len, texts)) <= terminal_pictures.COLUMNS + 1
        assert any("\xa0manage.py" in text for text in texts)
        assert not re.search(r"@import|@font-face|url\(|href|127\.0\.0\.1|localhost", svg)


def test_each_picture_is_in_a_document() -> None:
    shown = "".join(
        (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/aws.md", "docs/deploy.md")
    )
    for path in terminal_pictures.PICTURES.iterdir():
        assert f"terminal/{path.name})" in shown
