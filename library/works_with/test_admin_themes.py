"""Admin themes: open menus, tabs, and dialogs, and write, save, and read a note."""

import re

import pytest
from playwright.sync_api import Locator, expect

from works_with.sites import Tab, on_site

pytestmark = pytest.mark.slow


def write_a_note(tab: Tab, collapsed: Locator, calendar: str, day: str) -> None:
    """Fill in a new note: text, an autocomplete list, a date from the calendar, and a collapsed field."""
    page = tab.page
    page.locator("#id_title").fill("Alpine lakes")
    page.locator(".select2-selection").first.click()
    page.locator(".select2-search__field").last.fill("lak")
    page.locator(".select2-results__option", has_text="Lakes").click()
    page.locator(calendar).last.click()
    page.locator(day).first.click()
    collapsed.click()
    page.locator("#id_text").fill("Deep and cold")
    tab.expect_no_errors()


def save_and_read_it_back(tab: Tab) -> None:
    page = tab.page
    page.locator("[name=_save]").first.click()
    page.locator("#result_list").get_by_role("link", name="Alpine lakes").click()
    expect(page.locator("#id_title")).to_have_value("Alpine lakes")
    expect(page.locator(".select2-selection__rendered").first).to_contain_text("Lakes")
    expect(page.locator("#id_text")).to_have_value("Deep and cold")
    expect(page.locator("#id_on")).to_have_value(re.compile(r"\d{4}-\d\d-\d\d"))
    tab.expect_no_errors()


# Bootstrap 5's check mark, in Jazzmin, is an image in the style sheet.
CHECKBOX = """document.querySelector("form#note_form, form").append(
    Object.assign(document.createElement("input"), {type: "checkbox", checked: true, className: "form-check-input"}))"""

DJANGOS = {"calendar": ".datetimeshortcuts a", "day": ".calendarbox td a"}


@on_site("django-admin-interface")
@pytest.mark.works_with(
    "django-admin-interface",
    "A user adds a related object in a frame, and writes, saves, and reopens a note.",
)
def test_admin_interface(tab: Tab) -> None:
    page = tab.open("/admin/site/note/add/")
    page.locator("#add_id_topic").click()
    frame = page.frame_locator(".related-modal iframe, iframe.related-iframe, iframe")
    frame.locator("#id_name").fill("Rivers")
    frame.locator("[name=_save]").click()
    expect(page.locator(".select2-selection__rendered").first).to_contain_text("Rivers")
    tab.expect_no_errors()
    write_a_note(tab, page.get_by_text("Details"), **DJANGOS)
    save_and_read_it_back(tab)


@on_site("django-grappelli")
@pytest.mark.works_with(
    "django-grappelli",
    "A user opens the user menu, and writes, saves, and reopens a note, with the calendar.",
)
def test_grappelli(tab: Tab) -> None:
    page = tab.page
    page.locator("#grp-user-tools .grp-user-options-container").click()
    expect(page.get_by_role("button", name="Log out").or_(page.get_by_text("Log out")).first).to_be_visible()
    page = tab.open("/admin/site/note/add/")
    write_a_note(tab, page.get_by_text("Details"), ".ui-datepicker-trigger", ".ui-datepicker-calendar td a")
    save_and_read_it_back(tab)


@on_site("django-unfold")
@pytest.mark.works_with(
    "django-unfold",
    "A user opens the user menu and a tab, and writes, saves, and reopens a note, with the calendar.",
)
def test_unfold(tab: Tab) -> None:
    page = tab.page
    page.get_by_text("anna@example.com").click()
    expect(page.get_by_text("Log out")).to_be_visible()
    page = tab.open("/admin/site/note/add/")
    expect(page.locator("#id_text")).to_be_hidden()
    write_a_note(tab, page.get_by_text("Details").first, **DJANGOS)
    save_and_read_it_back(tab)


@on_site("django-jazzmin")
@pytest.mark.works_with(
    "django-jazzmin",
    "A user opens the user menu and a tab, checks a Bootstrap 5 checkbox, and writes, saves, and reopens a note, with"
    " the calendar.",
)
def test_jazzmin(tab: Tab) -> None:
    page = tab.page
    page.locator("nav.main-header .nav-item.dropdown > a, [title=anna]").last.click()
    expect(page.get_by_text("Log out")).to_be_visible()
    page = tab.open("/admin/site/note/add/")
    page.evaluate(CHECKBOX)
    expect(page.locator(".form-check-input")).to_have_css(
        "background-image", re.compile("^url..data:image/svg")
    )
    expect(page.locator("#id_text")).to_be_hidden()
    write_a_note(
        tab, page.get_by_role("tab", name="Details").or_(page.get_by_text("Details")).first, **DJANGOS
    )
    save_and_read_it_back(tab)
