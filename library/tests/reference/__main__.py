"""Write the generated pages."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from tests.reference import DOCS, PAGES  # noqa: E402 -- these import code that needs settings

for name, page in PAGES.items():
    (DOCS / f"{name}.md").write_text(page(), encoding="utf-8")
