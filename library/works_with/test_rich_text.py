"""Editors in the admin: type a text, make it bold, save it, and read it."""

import re
from importlib.resources import files

import pytest
from django.contrib.staticfiles import finders
from playwright.sync_api import Page, expect

from works_with.sites import Tab, on_site

pytestmark = pytest.mark.slow


def editor(tab: Tab, note: str) -> Page:
    """Open a note and its collapsed fieldset."""
    page = tab.open(f"/admin/site/note/{note}/")
    page.get_by_text("Details").click()
    return page


def save(tab: Tab) -> None:
    page = tab.page
    page.locator("#id_title").fill("Alpine lakes")
    page.locator("#id_on").fill("2026-05-01")
    page.locator(".select2-selection").click()
    page.locator(".select2-results__option", has_text="Lakes").click()
    tab.expect_no_errors()
    page.locator("[name=_save]").click()
    page.wait_for_url(f"{tab.address}/admin/site/note/")


@on_site("django-tinymce")
@pytest.mark.works_with(
    "django-tinymce", "A user types text in the admin, makes it bold, centers it, saves, and reopens it."
)
def test_tinymce(tab: Tab) -> None:
    page = editor(tab, "add")
    frame = page.frame_locator("iframe.tox-edit-area__iframe")
    page.locator("button[data-mce-name=bold]").click()
    page.locator("button[data-mce-name=aligncenter]").click()
    frame.locator("body").press_sequentially("Deep")
    save(tab)
    page = editor(tab, "1/change")
    expect(frame.locator("strong")).to_have_text("Deep")
    expect(frame.locator("p")).to_have_css("text-align", "center")
    tab.expect_no_errors()


@on_site("django-ckeditor-5")
@pytest.mark.works_with(
    "django-ckeditor-5", "A user types text in the admin, makes it bold, centers it, saves, and reopens it."
)
def test_ckeditor(tab: Tab) -> None:
    page = editor(tab, "add")
    text = page.locator(".ck-editor__editable")
    text.click()
    page.locator(".ck-toolbar button[data-cke-tooltip-text^=Bold]").click()
    page.locator(".ck-toolbar button[data-cke-tooltip-text='Text alignment']").click()
    page.locator("button[data-cke-tooltip-text='Align center']").click()
    page.keyboard.type("Deep")
    save(tab)
    editor(tab, "1/change")
    expect(text.locator("strong")).to_have_text("Deep")
    expect(text.locator("p")).to_have_css("text-align", "center")
    tab.expect_no_errors()


@on_site("django-prose-editor")
@pytest.mark.works_with(
    "django-prose-editor", "A user types text in the admin, makes it bold, saves, and reopens it."
)
def test_prose_editor(tab: Tab) -> None:
    page = editor(tab, "add")
    text = page.locator(".ProseMirror")
    text.click()
    page.locator(".prose-menubar__button", has_text="format_bold").click()
    page.keyboard.type("Deep")
    save(tab)
    editor(tab, "1/change")
    expect(text.locator("strong")).to_have_text("Deep")
    tab.expect_no_errors()


@on_site("django-summernote")
@pytest.mark.works_with(
    "django-summernote", "A user types text in the admin, makes it bold, saves, and reopens it."
)
def test_summernote(tab: Tab) -> None:
    # Instead of the package's hosts, because these tests' browser can only reach this machine.
    jquery = finders.find("admin/js/vendor/jquery/jquery.min.js")
    vendor = files("jazzmin") / "static" / "vendor"
    copies = {"jquery": jquery, "min.css": vendor / "adminlte" / "css" / "adminlte.min.css"}
    copies |= {"bundle.min.js": vendor / "bootstrap" / "js" / "bootstrap.bundle.min.js"}
    for word, copy in copies.items():
        tab.page.route(
            re.compile(rf"(jquery\.com|jsdelivr\.net)/.*{word}"),
            lambda route, _, copy=copy: route.fulfill(path=copy),
        )
    page = editor(tab, "add")
    frame = page.frame_locator("iframe")
    text = frame.locator(".note-editable")
    text.click()
    frame.locator(".note-btn-bold").click()
    page.keyboard.type("Deep")
    save(tab)
    editor(tab, "1/change")
    expect(text.locator("b, strong")).to_have_text("Deep")
    tab.expect_no_errors()
