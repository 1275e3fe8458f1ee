"""Other packages' static files are collected and published, and their pages' URLs work."""

import gzip
import html
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from importlib.util import find_spec
from pathlib import Path
from posixpath import dirname, join, normpath
from urllib.parse import unquote, urlencode, urljoin
from urllib.request import HTTPCookieProcessor, OpenerDirector, build_opener

import pytest

from tests.ministack import anonymous
from works_with.sites import PASSWORD, on_site

pytestmark = [pytest.mark.slow, on_site("together")]

# Cheaper than a parser, and independent of the library's.
IMPORT = re.compile(r"""(?:\bfrom|\bimport)\s*\(?\s*["'](\.{1,2}/[^"'\s]+)["']""")


class Addresses(HTMLParser):
    """The URLs that a page loads immediately."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        wanted = {"img": "src", "script": "src", "link": "href"}.get(tag)
        self.found |= {value for name, value in attrs if name == wanted and value}


class Visitor:
    """A superuser who visits a site, without a browser."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.opener: OpenerDirector = build_opener(HTTPCookieProcessor(CookieJar()))

    def get(self, path: str, **form: str) -> str:
        """Return an existing page; with form data, post it."""
        data = urlencode(form).encode() if form else None
        with self.opener.open(self.address + path, data, timeout=30) as answer:
            return str(answer.read().decode())

    def log_in(self) -> None:
        """Log in to the admin."""
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', self.get("/admin/login/"))
        assert token
        self.get(
            "/admin/login/?next=/admin/", username="anna", password=PASSWORD, csrfmiddlewaretoken=token[1]
        )

    def files(self, path: str) -> dict[str, str]:
        """Return the URLs that a page loads from S3, which must all work, with their Cache-Control."""
        addresses = {urljoin(f"{self.address}{path}", each) for each in Addresses(self.get(path)).found}
        answers = {each: anonymous(each) for each in addresses if is_local(each, self.address)}
        assert {each: answer.status for each, answer in answers.items() if answer.status != 200} == {}
        return {each: answer.headers.get("cache-control", "") for each, answer in answers.items()}


def is_local(address: str, site: str) -> bool:
    """Return whether a URL is on this machine and not an admin page, which needs a login."""
    return address.startswith("http://127.0.0.1:") and not address.startswith(f"{site}/admin/")


@pytest.fixture(scope="module")
def visitor(site: str) -> Visitor:
    """Return a logged-in visitor."""
    found = Visitor(site)
    found.log_in()
    return found


@pytest.fixture(scope="module")
def prefix(visitor: Visitor) -> str:
    """Return the URL of the static files."""
    found = re.search(r'"(http://[^"]+/static/)[^"]+"', visitor.get("/place/"))
    assert found
    return found[1]


@pytest.fixture(scope="module")
def names(prefix: str) -> dict[str, str]:
    """Return the published names by plain name."""
    return dict(json.loads(anonymous(f"{prefix}staticfiles.json").body)["paths"])


def files_of(module: str) -> Iterator[tuple[str, Path]]:
    """Yield the names and paths of a package's static files, except those that collectstatic ignores."""
    spec = find_spec(module)
    assert spec
    assert spec.origin
    folder = Path(spec.origin).parent / "static"
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") or part.endswith("~") for part in name.parts):
            yield name.as_posix(), path


def is_published(module: str, names: dict[str, str], prefix: str) -> None:
    """Check that all of a package's files have hashed names, and that modules import only hashed names."""
    files = dict(files_of(module))
    assert files
    assert {name for name in files if names.get(name, name) == name} == set()
    for name, path in files.items():
        if path.suffix in {".js", ".mjs"} and IMPORT.search(path.read_text("utf-8", "replace")):
            answer = anonymous(prefix + names[name])
            assert "immutable" in answer.headers["cache-control"]
            text = unpacked(answer.body).decode("utf-8", "replace")
            plain = {normpath(join(dirname(name), unquote(each))) for each in IMPORT.findall(text)}
            assert plain & names.keys() == set(), name


def unpacked(body: bytes) -> bytes:
    """Return a body as the browser decodes it."""
    return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body


@pytest.mark.works_with(
    "django-ace", "`collectstatic` publishes all static files, and no module imports an unhashed name."
)
def test_ace_collected(names: dict[str, str], prefix: str) -> None:
    is_published("django_ace", names, prefix)


@pytest.mark.works_with(
    "django-ckeditor-5", "`collectstatic` publishes all static files, and no module imports an unhashed name."
)
def test_ckeditor_collected(names: dict[str, str], prefix: str) -> None:
    is_published("django_ckeditor_5", names, prefix)


@pytest.mark.works_with(
    "django-cms", "`collectstatic` publishes all static files, and no module imports an unhashed name."
)
def test_cms_collected(names: dict[str, str], prefix: str) -> None:
    is_published("cms", names, prefix)


@pytest.mark.works_with(
    "django-filer", "`collectstatic` publishes all static files, and no module imports an unhashed name."
)
def test_filer_collected(names: dict[str, str], prefix: str) -> None:
    is_published("filer", names, prefix)


@pytest.mark.works_with(
    "django-nested-admin",
    "`collectstatic` publishes all static files, and no module imports an unhashed name.",
)
def test_nested_admin_collected(names: dict[str, str], prefix: str) -> None:
    is_published("nested_admin", names, prefix)


@pytest.mark.works_with(
    "django-sql-explorer",
    "`collectstatic` publishes all static files, and no module imports an unhashed name.",
)
def test_explorer_collected(names: dict[str, str], prefix: str) -> None:
    is_published("explorer", names, prefix)


@pytest.mark.works_with(
    "django-baton",
    "Pages find the logo, whose address is built from `STATIC_URL`, and the admin's other files.",
)
def test_baton(visitor: Visitor, prefix: str) -> None:
    assert f"{prefix}baton/img/logo.png" in visitor.files("/admin/")


@pytest.mark.works_with(
    "django-location-field",
    "Pages find its script and the folder that the script loads from; both addresses are built from `STATIC_URL`.",
)
def test_location_field(visitor: Visitor, prefix: str) -> None:
    assert f"{prefix}location_field/js/form.js" in visitor.files("/place/")
    options = re.search(r'data-location-field-options="([^"]+)"', visitor.get("/place/"))
    assert options
    root = json.loads(html.unescape(options[1]))["resources.root_path"]
    assert anonymous(f"{root}/leaflet/leaflet.js").status == 200


@pytest.mark.works_with(
    "django-mdeditor", "The editor finds the folder of its parts, which it addresses with `{% static %}`."
)
def test_mdeditor(visitor: Visitor) -> None:
    found = re.search(r'path ?: ?"([^"]+)"', visitor.get("/place/"))
    assert found
    assert anonymous(f"{found[1]}/marked.min.js").status == 200


@pytest.mark.works_with(
    "django-compressor",
    "Pages find files that were compressed offline and the files these refer to; browsers cache them for a year.",
)
def test_compressor(visitor: Visitor, prefix: str) -> None:
    files = {
        each: age for each, age in visitor.files("/place/").items() if each.startswith(f"{prefix}CACHE/")
    }
    assert sorted(each.rpartition(".")[2] for each in files) == ["css", "js"]
    assert all("immutable" in age for age in files.values())
    (style,) = (each for each in files if each.endswith(".css"))
    inner = re.findall(r"""url\(["']?(?!data:)([^"')]+)""", unpacked(anonymous(style).body).decode())
    assert inner
    assert {each for each in inner if anonymous(urljoin(style, each)).status != 200} == set()


@pytest.mark.works_with(
    "django-cms",
    "A page with the toolbar finds its files, including those whose addresses are built from `STATIC_URL`.",
)
def test_cms(visitor: Visitor, prefix: str) -> None:
    assert len(visitor.files("/lakes/")) > 1
    assert f'"static": "{prefix}"' in visitor.get("/lakes/")
