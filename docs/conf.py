"""The documentation site: Sphinx reads the pages as Markdown, with MyST, and lays them out with Furo. See `make docs`.

The pages are written for GitHub and stay readable there. What only the site needs is added here: the menu, pages
made of files outside this folder, addresses of other files of the repository, and diagrams that follow the theme.
"""

import re
import tomllib
from os.path import normpath
from pathlib import Path
from urllib.parse import quote

from docutils import nodes
from sphinx.application import Sphinx

DOCS = Path(__file__).parent
ROOT = DOCS.parent
REPOSITORY = "https://github.com/org/django-s3-template"
BRANCH = "main"
PROJECT = ROOT / "{{cookiecutter.project_slug}}"

# The menu. A page that is in no section is an error; a title replaces the page's own.
SECTIONS = {
    "Start": [
        *("Quickstart <quickstart>", "first-app", "Move an existing site <adopt>"),
        *("Move from WhiteNoise <adopt-whitenoise>", "copy-uploads"),
        *("how-it-fits", "comparison", "not-for", "한국어 <quickstart.ko>"),
    ],
    "Use": [
        *("static-files", "Direct uploads <uploads>", "Uploads in the admin <uploads-admin>"),
        *("Uploads from an app <uploads-api>", "uploads-hooks", "Guarantees and costs <uploads-guarantees>"),
        *("names", "Private files in rich text <links>", "works-with"),
    ],
    "Operate": [
        *("aws", "aws-access", "cloudfront", "deploy", "running", "Headers and S3 failures <headers>"),
        *("security", "troubleshooting", "cloudformation"),
        *("Other S3 servers <other-servers>", "Other providers <providers>"),
    ],
    "Reference": [
        *(
            "settings",
            "options",
            "commands",
            "checks",
            "Messages of s3 doctor <doctor>",
            "Public names <library>",
        ),
        "What was tested <enforcement>",
        *("decisions", "changelog"),
    ],
    "Contribute": [
        *("contributing", "how-it-is-built", "Add a prompt <add-a-prompt>", "Add a check <add-a-check>"),
        *("Add a probe <add-a-probe>", "Add a provider <add-a-provider>", "Release <release>"),
        "Report a vulnerability <vulnerabilities>",
    ],
}

# On GitHub these pages are a link to the file; on the site they are the file.
FILES = {
    "changelog": ROOT / "CHANGELOG.md",
    "contributing": ROOT / "CONTRIBUTING.md",
    "vulnerabilities": ROOT / "SECURITY.md",
}

project = "django-s3-template and django-s3-kit"
version = release = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
language = "en"

extensions = ["myst_parser"]
myst_enable_extensions = ["html_image"]
myst_heading_anchors = 4  # as GitHub makes them
nitpicky = True
smartquotes = False  # they make a dash of the two hyphens of an option

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = "Django on S3"
html_baseurl = "https://org.github.io/django-s3-template/"
html_logo = str(PROJECT / "static" / "site" / "logo.svg")
html_favicon = str(PROJECT / "static" / "site" / "favicon.svg")
html_static_path = ["_static", *(str(PROJECT / "static" / name) for name in ("fonts", "site/stroke.svg"))]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_theme_options = {
    "source_repository": REPOSITORY,
    "source_branch": BRANCH,
    "source_directory": "docs/",
    "top_of_page_buttons": ["view"],
    # The colors of the template's pages: static/site/site.css.
    "light_css_variables": {
        "color-brand-primary": "#bf2a18",
        "color-brand-content": "#bf2a18",
        "color-brand-visited": "#8c3a52",
        "color-background-primary": "#fbfcfc",
        "color-background-secondary": "#eef1f0",
        "color-background-border": "#c9d2ce",
        "color-foreground-primary": "#121b18",
        "color-foreground-secondary": "#52605a",
        "color-foreground-muted": "#5c6a64",
        "color-highlight-on-target": "#f6e3df",
        "color-sidebar-link-text": "#52605a",
        "color-sidebar-link-text--top-level": "#121b18",
    },
    "dark_css_variables": {
        "color-brand-primary": "#ff7752",
        "color-brand-content": "#ff7752",
        "color-brand-visited": "#e59fb4",
        "color-background-primary": "#120c0a",
        "color-background-secondary": "#1f1613",
        "color-background-border": "#3d2e28",
        "color-foreground-primary": "#f5e9e1",
        "color-foreground-secondary": "#b9a499",
        "color-foreground-muted": "#a8948a",
        "color-highlight-on-target": "#3d2018",
        "color-sidebar-link-text": "#b9a499",
        "color-sidebar-link-text--top-level": "#f5e9e1",
    },
}

# `make docs-links`. GitHub makes anchors in the browser, where a checker does not see them.
linkcheck_anchors_ignore_for_url = [r"https://github\.com/.*"]
linkcheck_ignore = [rf"{REPOSITORY}.*", r"http://127\.0\.0\.1.*"]
linkcheck_timeout = 20

CODE = re.compile(r"(^ *```.*?^ *```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
NAME = re.compile(r'(?<=<span class="pre">)[^<]{12,}(?=</span>)')
BREAK = re.compile(r"([_./(])(?=[\w{])")
LINK = re.compile(r"(?P<name>\[[\w./-]+\.md)?\]\((?!#)(?P<link>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


def address(link: str, folder: Path) -> str:
    """Return where a link of a file in a folder leads on the site: to a page, or to the repository."""
    file = link.removeprefix(f"{REPOSITORY}/blob/{BRANCH}/")
    if "://" in file or file.startswith("mailto:"):
        return link
    path = Path(normpath((folder if file == link else ROOT) / file))
    for page, source in FILES.items():
        if path == source:
            return f"{page}.md"
    if path.parent in {DOCS, DOCS / "images", DOCS / "terminal"}:
        return path.relative_to(DOCS).as_posix()
    if not path.exists() or not path.is_relative_to(ROOT):
        return link  # Sphinx warns
    kind = "tree" if path.is_dir() else "blob"
    return f"{REPOSITORY}/{kind}/{BRANCH}/{quote(path.relative_to(ROOT).as_posix())}"


def linked(text: str, folder: Path) -> str:
    """Return the Markdown of a file in a folder, with links for the site."""

    def rewritten(link: re.Match[str]) -> str:
        target = address(link["link"], folder)
        name = link["name"] or ""
        if name and not target.startswith("https:"):
            name = "["  # MyST puts the title there
        return f"{name}]({target}{link['anchor'] or ''})"

    parts = CODE.split(text)
    parts[::2] = [LINK.sub(rewritten, part) for part in parts[::2]]
    return "".join(parts)


def menu() -> str:
    """Return the sections as Sphinx's own tables of contents."""
    blocks = [
        ["```{toctree}", ":hidden:", ":titlesonly:", f":caption: {title}", "", *pages, "```", ""]
        for title, pages in SECTIONS.items()
    ]
    return "\n".join(line for block in blocks for line in block)


def read(app: Sphinx, page: str, source: list[str]) -> None:
    """Complete the text of a page before it is parsed."""
    file = FILES.get(page)
    if file:
        app.env.note_dependency(str(file))
        source[0] = file.read_text("utf-8")
    source[0] = linked(source[0], file.parent if file else DOCS)
    if page == app.config.root_doc:
        source[0] += f"\n{menu()}"


def add_dark(_app: Sphinx, doctree: nodes.document) -> None:
    """Add the dark variant of each screenshot, for the theme to choose."""
    for image in list(doctree.findall(nodes.image)):
        path = Path(image["uri"])
        dark = path.with_stem(f"{path.stem}-dark")
        if (DOCS / dark).is_file():
            other = image.copy()
            other["uri"] = dark.as_posix()
            image["classes"].append("only-light")
            other["classes"].append("only-dark")
            image.parent.insert(image.parent.index(image) + 1, other)


def draw(app: Sphinx, doctree: nodes.document, _page: str) -> None:
    """Put diagrams into the page itself, where they follow the theme and their text can be selected."""
    for image in list(doctree.findall(nodes.image)):
        # What terminals show has no theme to follow.
        is_diagram = image["uri"].endswith(".svg") and not image["uri"].startswith("terminal/")
        if is_diagram and app.builder.format == "html":
            text = (DOCS / image["uri"]).read_text("utf-8")
            image.replace_self(nodes.raw("", f'<div class="diagram">{text}</div>', format="html"))


def narrow(app: Sphinx, page: str, _template: str, context: dict[str, str], _doctree: object) -> None:
    """Let browsers break long names in tables, so that all columns fit, and tell them the page's language."""
    if page == "search":
        app.add_js_file("errors.js", type="module")
    if page.endswith(".ko"):
        context["language"] = "ko"
    context["body"] = NAME.sub(lambda name: BREAK.sub(r"\1<wbr>", name[0]), context.get("body", ""))


def setup(app: Sphinx) -> None:
    """Connect the functions above."""
    app.connect("source-read", read)
    app.connect("doctree-read", add_dark, priority=400)  # before Sphinx collects the images
    app.connect("doctree-resolved", draw)
    app.connect("html-page-context", narrow)
