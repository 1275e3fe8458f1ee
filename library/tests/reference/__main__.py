"""Writes the pages."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from tests.reference import DOCS, PAGES  # noqa: E402 -- they import what needs settings

for name, page in PAGES.items():
    (DOCS / f"{name}.md").write_text(page(), encoding="utf-8")
