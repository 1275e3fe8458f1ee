"""API documentation pages, with requests from the page."""

import json

import pytest
from playwright.sync_api import expect

from works_with.sites import Tab, on_site

pytestmark = pytest.mark.slow


@on_site("drf-spectacular")
@pytest.mark.parametrize("path", ["/api/docs/", "/api/docs/split/"])
@pytest.mark.works_with(
    "drf-spectacular", "Swagger UI, from drf-spectacular-sidecar, opens an operation and runs it."
)
def test_swagger_ui(tab: Tab, path: str) -> None:
    page = tab.open(path)
    page.get_by_role("button", name="POST /api/topics/", exact=True).click()
    page.get_by_role("button", name="Try it out").click()
    page.locator("textarea").fill('{"name": "Rivers"}')
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table .response-col_status").last).to_contain_text("201")
    tab.expect_no_errors()


@on_site("drf-spectacular")
@pytest.mark.works_with(
    "drf-spectacular", "Redoc, from drf-spectacular-sidecar, shows the API and searches it."
)
def test_redoc(tab: Tab) -> None:
    page = tab.open("/api/redoc/")
    page.get_by_role("textbox").fill("topics")
    expect(page.locator("[role=menuitem]", has_text="topics").first).to_be_visible()
    tab.expect_no_errors(
        "https://fonts.googleapis.com/", "https://cdn.redoc.ly/"
    )  # its fonts, and the vendor's logo


@on_site("drf-spectacular")
@pytest.mark.works_with(
    "drf-spectacular", "The schema describes a DirectFileField of `s3kit.uploads.rest` as a string."
)
def test_schema_describes_direct_uploads(tab: Tab) -> None:
    schema = json.loads(tab.open("/api/schema/?format=json").locator("body").inner_text())
    described = schema["components"]["schemas"]["Note"]["properties"]["file"]
    assert described == {"type": "string", "description": "A token, or a file."}
    assert not [path for path in schema["paths"] if "uploads" in path]  # which have their own page
    tab.expect_no_errors()
