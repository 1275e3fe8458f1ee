"""The documentation site: mistakes in the pages fail the build, and the pages work in Chromium."""

import re
import runpy
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote, urljoin, urlsplit

import pytest
import yaml
from playwright.sync_api import Browser, Page, expect

from tests.answers import ROOT
from tests.browser import DESKTOP, PHONE, SCREENSHOTS, Console, browser, settle

CONF = runpy.run_path(str(ROOT / "docs" / "conf.py"))
REPOSITORY = f"{CONF['REPOSITORY']}/"
READMES = (ROOT / "README.md", ROOT / "library" / "README.md")
SOURCES = sorted([*(ROOT / "docs").glob("*.md"), *CONF["FILES"].values(), *READMES])
DIAGRAMS = {
    "how-it-fits": "Who talks to whom, with which permissions",
    "one-upload": "One direct upload, step by step",
}


def build(docs: Path, out: Path) -> subprocess.CompletedProcess[str]:
    options = ("--quiet", "--fail-on-warning", "--keep-going", "--nitpicky", "--doctree-dir", out / "trees")
    return subprocess.run(
        [sys.executable, "-m", "sphinx", *options, docs, out / "html"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


# Without a build


def external_links() -> dict[str, str]:
    """Return each external link and the file that contains it."""
    found = {}
    for source in SOURCES:
        text = re.sub(
            r"^ *```.*?^ *```$|`[^`\n]+`", "", source.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL
        )
        for link in re.findall(r"\]\(([^)\s]*:[^)\s]*)\)|<([a-z]+:[^>\s]*)>", text):
            found["".join(link)] = source.name
    return found


def malformed(link: str) -> bool:
    parts = urlsplit(link)
    if parts.hostname == "127.0.0.1":
        return False
    return bool(
        parts.scheme != "https"
        or "@" in parts.netloc
        or not re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", parts.netloc)
        or "//" in parts.path
        or re.search(r"[.,;:]$|[^\x21-\x7e]", link)
    )


def test_external_links_are_well_formed() -> None:
    links = external_links()
    assert len(links) > 100
    assert {link: source for link, source in links.items() if malformed(link)} == {}


@pytest.mark.parametrize(
    "link",
    ["http://example.com/", "https://example/", "https://example.com//a", "https://example.com/a.", "ftp:x"],
)
def test_a_malformed_link_is_detected(link: str) -> None:
    assert malformed(link)


def test_links_to_the_same_page_have_the_same_spelling() -> None:
    spellings: dict[str, set[str]] = {}
    for link in external_links():
        page = link.partition("#")[0]
        same = re.sub(r"/(index\.html)?$", "", page).lower().replace("https://www.", "https://")
        spellings.setdefault(same, set()).add(page)
    assert [sorted(each) for each in spellings.values() if len(each) > 1] == []


def test_the_repository_is_the_one_that_the_readme_names() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert f"uvx cookiecutter gh:{REPOSITORY.removeprefix('https://github.com/').rstrip('/')}\n" in readme


def test_the_workflow_has_only_the_permissions_that_it_needs() -> None:
    folder = ROOT / ".github"
    jobs = yaml.safe_load((folder / "workflows" / "docs.yml").read_text("utf-8"))["jobs"]
    assert {name: job["permissions"] for name, job in jobs.items()} == {
        "build": {"contents": "read"},
        "publish": {"pages": "write", "id-token": "write"},
    }
    for step in (step for job in jobs.values() for step in job["steps"] if "uses" in step):
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step["uses"]), step


# The built site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site from the checkout without warnings, and return its folder."""
    out = tmp_path_factory.mktemp("site")
    done = build(ROOT / "docs", out)
    assert (done.returncode, done.stdout) == (0, "")
    return out / "html"


class Parsed(HTMLParser):
    """The links and anchors on a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = {""}
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record a tag."""
        given = dict(attrs)
        self.anchors.add(given.get("id") or "")
        for name in ("href", "src"):
            if tag != "use" and (link := given.get(name)):
                self.links.add(link)


@pytest.mark.slow
def test_every_link_works(site: Path) -> None:
    pages = {path.name: Parsed(path) for path in site.glob("*.html")}
    dead, of_repository = [], set()
    for name, page in pages.items():
        for link in page.links - {"#", "#root"}:
            if link.startswith(REPOSITORY):
                of_repository.add(link)
            elif not urlsplit(link).scheme:
                path, _, anchor = unquote(urljoin(name, link)).partition("#")
                path = path.partition("?")[0]
                if not (site / path).is_file() or (path in pages and anchor not in pages[path].anchors):
                    dead.append((name, link))
    assert dead == []
    # Files outside the site are links to the repository.
    files = {unquote(urlsplit(link).path) for link in of_repository}
    files = {path.removeprefix(urlsplit(REPOSITORY).path).partition("/main/")[2] for path in files}
    assert "{{cookiecutter.project_slug}}/docs/aws.md" in files
    assert [path for path in files if not (ROOT / path).exists()] == []


@pytest.mark.slow
def test_files_of_the_repository_are_complete_pages(site: Path) -> None:
    for page, source in CONF["FILES"].items():
        html = (site / f"{page}.html").read_text("utf-8")
        headings = re.findall(r"^## (.+)$", source.read_text("utf-8"), re.MULTILINE)
        assert headings
        assert html.count("<h2>") == len(headings), page


@pytest.mark.slow
def test_mistakes_fail_the_build(template: Path, tmp_path: Path) -> None:
    copy = tmp_path / "checkout"
    shutil.copytree(template, copy, symlinks=True)
    (copy / "docs" / "lost.md").write_text("# In no section of the menu\n", "utf-8")
    mistakes = ["[page](no-page.md)", "[a](aws.md#no-anchor)", "[b](#no-such)", "[f](../library/no-file.py)"]
    with (copy / "docs" / "links.md").open("a", encoding="utf-8") as page:
        page.write("\n" + "\n".join(mistakes) + "\n")
    with (copy / "CHANGELOG.md").open("a", encoding="utf-8") as page:
        page.write("\n[c](docs/nowhere.md)\n")
    done = build(copy / "docs", tmp_path)
    assert done.returncode == 1
    warnings = [line for line in done.stdout.splitlines() if "WARNING" in line]
    named = ("no-page.md", "no-anchor", "no-such", "no-file.py", "nowhere.md", "lost.md")
    for name in named:
        assert any(name in line for line in warnings), f"{name}: {done.stdout}"
    assert len(warnings) == len(named), done.stdout


# In a browser


class Quiet(SimpleHTTPRequestHandler):
    """A file server without logging."""

    def log_message(self, *_arguments: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Serve the site, and return its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


def shot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"docs-{name}.png")


@pytest.mark.slow
def test_each_page_fits_a_phone_and_loads_nothing_from_other_hosts(
    chromium: Browser, address: str, site: Path
) -> None:
    with chromium.new_context(viewport=PHONE) as context:
        page = context.new_page()
        console, requests = Console(page), set()
        page.on("request", lambda request: requests.add(request.url))
        wrong = {}
        for file in sorted(site.glob("*.html")):
            page.goto(f"{address}{file.name}")
            for image in page.locator("img:visible").all():
                image.scroll_into_view_if_needed()  # loaded lazily
            problems = page.evaluate(
                """async () => {
                    await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
                    const found = [...document.images].filter((image) => !image.naturalWidth).map((image) => image.src);
                    // Tables and code may scroll by themselves; nothing else may be wider than the window.
                    for (const each of document.querySelectorAll("body > .page .content *")) {
                        const box = each.getBoundingClientRect();
                        if (box.right > innerWidth && box.width && !each.closest(".table-wrapper, pre")) {
                            found.push(`${each.tagName} ends at ${box.right} px: ${each.textContent.slice(0, 40)}`);
                        }
                    }
                    if (document.documentElement.scrollWidth > innerWidth) found.push("the page scrolls");
                    return found;
                }"""
            )
            if problems:
                wrong[file.name] = problems
            if file.stem in {"index", "how-it-fits", "options"}:
                page.evaluate("scrollTo(0, 0)")
                shot(page, f"{file.stem}-phone")
        assert wrong == {}
        assert console.errors == []
        assert len(requests) > len(list(site.glob("*.html")))
        assert [url for url in requests if not url.startswith((address, "data:"))] == []


@pytest.mark.slow
def test_the_search_finds_a_term(chromium: Browser, address: str) -> None:
    with chromium.new_context(viewport=DESKTOP) as context:
        page = context.new_page()
        console = Console(page)
        page.goto(address)
        shot(page, "index")
        page.get_by_placeholder("Search").fill("seaweedfs")
        page.get_by_placeholder("Search").press("Enter")
        result = page.locator("#search-results ul.search a[href*='providers.html']").first
        result.wait_for()
        settle(page)  # the script still reads the pages that it has found
        result.click()
        page.wait_for_url(re.compile("providers.html"))
        assert page.locator("h1").inner_text() == "Providers other than AWS"
        assert console.errors == []


ERRORS = {
    "botocore.exceptions.ClientError: An error occurred (AccessDenied) when calling the PutObject operation: User:"
    " arn:aws:iam::123456789012:user/web is not authorized": "troubleshooting.html#accessdenied",
    "An error occurred (SignatureDoesNotMatch) when calling the HeadObject operation: The request signature we"
    " calculated does not match the signature you provided.": "troubleshooting.html#invalidaccesskeyid",
    "Access to font at 'https://acme-static.s3.eu-central-1.amazonaws.com/a.woff2' from origin"
    " 'https://www.example.com' has been blocked by CORS policy": "troubleshooting.html#blocked-by-cors-policy",
    "Could not connect to the endpoint URL: 'https://acme.s3.amazonaws.com/'": "troubleshooting.html#connectionerror",
    "?: (s3kit.E002) STORAGES['uploads'] has no region.": "checks.html#s3kit-e002",
    "static objects: the bucket lacks files in the manifest: site.css": "doctor.html#static-files",
    "seaweedfs": "",
}


@pytest.mark.slow
def test_the_search_finds_the_entry_of_an_error_message(chromium: Browser, address: str) -> None:
    with chromium.new_context(viewport=PHONE) as context:
        page = context.new_page()
        console = Console(page)
        for message, entry in ERRORS.items():
            page.goto(f"{address}search.html?q={quote(message)}")
            settle(page)
            if entry:
                expect(page.locator(".errors a").first).to_have_attribute("href", entry)
            else:
                expect(page.locator("#search-results ul.search a").first).to_be_visible()
                expect(page.locator(".errors")).to_have_count(0)
        page.goto(f"{address}search.html?q=AccessDenied")
        page.locator(".errors a").first.click()
        expect(page.get_by_role("heading", name="AccessDenied")).to_be_in_viewport()
        assert console.errors == []


@pytest.mark.slow
def test_dark_mode_follows_the_system_and_the_reader(chromium: Browser, address: str) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('.drawing .name')).fill"
    with chromium.new_context(viewport=DESKTOP, color_scheme="dark") as context:
        page = context.new_page()
        page.goto(f"{address}how-it-fits.html")
        dark = page.evaluate(background), page.evaluate(ink)
        shot(page, "how-it-fits-dark")
    with chromium.new_context(viewport=DESKTOP, color_scheme="light") as context:
        page = context.new_page()
        page.goto(f"{address}how-it-fits.html")
        light = page.evaluate(background), page.evaluate(ink)
        shot(page, "how-it-fits")
        assert light[0] != dark[0]
        assert light[1] != dark[1]
        # The reader's choice overrides the system's, also in diagrams, and is kept.
        for _ in range(3):
            if page.locator("body").get_attribute("data-theme") == "dark":
                break
            page.locator(".theme-toggle:visible").click()
        assert (page.evaluate(background), page.evaluate(ink)) == dark
        page.goto(f"{address}options.html")
        assert page.evaluate(background) == dark[0]
        shot(page, "options-dark")


@pytest.mark.slow
def test_diagrams_are_readable_on_a_phone_and_by_screen_readers(chromium: Browser, address: str) -> None:
    with chromium.new_context(viewport=PHONE) as context:
        page = context.new_page()
        page.goto(f"{address}how-it-fits.html")
        for name in DIAGRAMS.values():
            drawing = page.get_by_role("img", name=re.compile(re.escape(name)))
            sizes, outside = drawing.evaluate(
                """(drawing) => {
                    const frame = drawing.getBoundingClientRect();
                    const texts = [...drawing.querySelectorAll("text")];
                    const size = (text) => parseFloat(getComputedStyle(text).fontSize) * drawing.getScreenCTM().a;
                    const out = (text) => {
                        const box = text.getBoundingClientRect();
                        return box.left < frame.left || box.right > frame.right || box.bottom > frame.bottom;
                    };
                    return [texts.map(size), texts.filter(out).map((text) => text.textContent)];
                }"""
            )
            assert len(sizes) > 20
            assert min(sizes) >= 11  # px
            assert outside == []


@pytest.mark.slow
@pytest.mark.parametrize("name", DIAGRAMS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_diagrams_have_their_own_background(chromium: Browser, name: str, scheme: str) -> None:
    """An image on GitHub only knows the system's color scheme, and the page may have another one."""
    with chromium.new_context(viewport=PHONE, color_scheme=scheme) as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.goto((ROOT / "docs" / f"{name}.svg").as_uri())
        paper, ink = page.evaluate(
            """[".paper", "text"].map((each) => getComputedStyle(document.querySelector(each)).fill)"""
        )
    luminance = [
        sum(
            weight * (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)
            for weight, value in zip((0.2126, 0.7152, 0.0722), channels, strict=True)
        )
        for channels in (
            [int(part) / 255 for part in re.findall(r"\d+", color)[:3]] for color in (paper, ink)
        )
    ]
    assert (max(luminance) + 0.05) / (min(luminance) + 0.05) >= 7
