"""Deploys as a visitor's browser sees them: it never runs modules of two deploys together."""

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.staticfiles.finders import get_finder
from django.core.files.storage import storages
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse
from django.urls import path
from playwright.sync_api import Browser, Page

from tests.ministack import MakeSite

pytestmark = pytest.mark.slow


def page(_request: HttpRequest) -> HttpResponse:
    # A new storage for each request, because a storage reads the manifest only once.
    address = storages.create_storage(django_settings.STORAGES["staticfiles"]).url("app/main.js")
    return HttpResponse(
        '<!doctype html><link rel="icon" href="data:,"><title>-</title>'
        f'<script type="module" crossorigin src="{address}"></script>'
    )


urlpatterns = [path("", page)]

# Imports that Django's own rewriting misses: without a semicolon, with a comment, circular, and in a template literal.
VERSIONS = (
    {
        "app/main.js": "import { price } from './store.js'\nimport { shown } from /* a */ './shown.js'\n"
        "const lazy = await import(`./lazy.js`)\nshown(`${price} ${lazy.word}`)\n",
        "app/store.js": "export const price = 1\n",
        "app/shown.js": "import { mark } from './mark.js'\n"
        "export function shown(text) { document.title = mark + text }\n",
        "app/mark.js": "import './shown.js'\nexport const mark = 'v1 '\n",
        "app/lazy.js": "export const word = 'one'\n",
    },
    {
        "app/main.js": "import { price, currency } from './store.js'\nimport { shown } from /* a */ './shown.js'\n"
        "const lazy = await import(`./lazy.js`)\nshown(`${price} ${currency} ${lazy.word} ${lazy.more}`)\n",
        "app/store.js": "export const price = 2\nexport const currency = 'EUR'\n",
        "app/mark.js": "import './shown.js'\nexport const mark = 'v2 '\n",
        "app/lazy.js": "export const word = 'two'\nexport const more = 'more'\n",
    },
)


def title(tab: Page) -> str:
    tab.wait_for_function("document.title != '-'")
    return tab.title()


def test_browser_never_mixes_modules_of_two_deploys(
    s3_site: MakeSite, settings: Any, tmp_path: Path, address: str, browser: Browser
) -> None:
    settings.STATICFILES_DIRS = [tmp_path]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    settings.ROOT_URLCONF = __name__
    get_finder.cache_clear()
    s3_site(AWS_SITE_ORIGINS=[address])
    errors: list[str] = []

    def deploy(version: dict[str, str]) -> None:
        for name, content in version.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(content)
        call_command("collectstatic", interactive=False, verbosity=0)

    context = browser.new_context()
    try:
        tab = context.new_page()
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        deploy(VERSIONS[0])
        tab.goto(f"{address}/")
        assert title(tab) == "v1 1 one"
        old = tab.locator("script").get_attribute("src")

        deploy(VERSIONS[1])
        tab.goto(f"{address}/")
        assert title(tab) == "v2 2 EUR two more"
        # An open page of the previous deploy still loads its own files, including modules that it loads later.
        other = browser.new_context().new_page()
        other.goto(f"{address}/")
        other.set_content(f'<title>-</title><script type="module" crossorigin src="{old}"></script>')
        assert title(other) == "v1 1 one"
        other.context.close()
    finally:
        context.close()
        get_finder.cache_clear()
    assert not errors
