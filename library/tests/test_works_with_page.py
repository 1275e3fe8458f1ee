"""docs/works-with.md matches the tests in works_with/, except for the versions, which are those of the last run."""

from works_with import page


def test_works_with_page_is_up_to_date() -> None:
    text = page.PAGE.read_text("utf-8")
    assert text == page.page(page.versions_of(text)), "run `make works-with-page`"


def test_site_settings_files_match_the_tested_packages() -> None:
    files = {file.stem for file in (page.HERE / "site" / "needs").glob("*.py")} - {"__init__"}
    assert files == {package.replace("-", "_") for package in page.needs()}
