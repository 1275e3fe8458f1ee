"""docs/works-with.md matches the tests in works_with/, except for the versions, which are those of the last run."""

from works_with import page


def test_the_page_is_made_from_the_tests() -> None:
    text = page.PAGE.read_text("utf-8")
    assert text == page.page(page.versions_of(text)), "run `make works-with-page`"


def test_a_site_has_settings_for_a_package_that_is_tried() -> None:
    files = {file.stem for file in (page.HERE / "site" / "needs").glob("*.py")} - {"__init__"}
    assert files == {package.replace("-", "_") for package in page.needs()}
