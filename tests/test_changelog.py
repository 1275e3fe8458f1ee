"""CHANGELOG.md has a section for each version, which says what a project has to do."""

import re
from datetime import date
from itertools import pairwise
from typing import NamedTuple

import pytest

from tests.answers import QUESTIONS, ROOT

CHANGELOG = ROOT / "CHANGELOG.md"
PRESENT: str = QUESTIONS["__template_version"]


class Section(NamedTuple):
    """A version's section; `day` is None until the release."""

    version: str
    day: date | None
    parts: dict[str, str]


HEADING = re.compile(r"\[(\d+\.\d+\.\d+)\] - (?:unreleased|(\d{4}-\d\d-\d\d))")


def number(version: str) -> tuple[int, ...]:
    """Return a version's sort key, or raise ValueError for text that is not a version."""
    return tuple(int(part) for part in version.split("."))


def sections(text: str) -> list[Section]:
    """Return the sections in order, or raise ValueError for an invalid heading."""
    found = []
    for heading, body in re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", text, re.MULTILINE):
        match = HEADING.fullmatch(heading)
        if not match:
            raise ValueError(f"{heading!r} is neither [1.2.3] - unreleased nor [1.2.3] - 2026-01-31")
        parts = dict(re.findall(r"^### (.+)\n((?:(?!^### ).*\n)*)", body, re.MULTILINE))
        day = date.fromisoformat(match[2]) if match[2] else None
        found.append(Section(match[1], day, parts))
    return found


@pytest.fixture(scope="module")
def found() -> list[Section]:
    return sections(CHANGELOG.read_text(encoding="utf-8"))


@pytest.mark.parametrize("heading", ["0.1.0 - 2026-01-31", "[0.1.0]", "[0.1.0] - 2026-13-01", "Unreleased"])
def test_an_invalid_heading_is_rejected(heading: str) -> None:
    with pytest.raises(ValueError, match=r"neither|month"):
        sections(f"# Changelog\n\n## {heading}\n\n### Added\n")


def test_newest_section_is_the_current_version(found: list[Section]) -> None:
    assert found
    assert found[0].version == PRESENT
    assert all(section.day for section in found[1:])
    assert all(number(section.version) < number(PRESENT) for section in found[1:])


def test_versions_and_dates_descend(found: list[Section]) -> None:
    released = [section for section in found if section.day]
    assert len(released) >= 2
    for newer, older in pairwise(released):
        assert number(newer.version) > number(older.version)
        assert newer.day is not None
        assert older.day is not None
        assert newer.day >= older.day


def test_each_version_says_what_a_project_has_to_do(found: list[Section]) -> None:
    assert found
    for section in found:
        assert section.parts.get("What a project has to do", "").strip(), section.version
