"""References in style sheets and scripts: which ones are found, how they are rewritten, and in which order."""

import json
import posixpath
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import django
import pytest
import tinycss2
from django.contrib.staticfiles import finders
from django.contrib.staticfiles.finders import BaseFinder, get_finder
from django.core.files.base import File
from django.core.files.storage import FileSystemStorage, Storage
from django.core.management import call_command
from django.core.management.base import CommandError
from hypothesis import given
from hypothesis import strategies as st

from s3kit.publishing import css, modules
from s3kit.publishing.collect import Stage, collect
from s3kit.storages.static import StaticStorage
from tests.djangos import collected_by_django

Write = Callable[[dict[str, str | bytes]], Path]


@pytest.fixture
def write(settings: Any, tmp_path: Path) -> Iterator[Write]:
    """Return a function that replaces all static files."""
    folder = tmp_path / "sources"
    folder.mkdir()
    settings.STATICFILES_DIRS = [folder]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]

    def write_them(files: dict[str, str | bytes]) -> Path:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return folder

    get_finder.cache_clear()
    yield write_them
    get_finder.cache_clear()


class Collected:
    """The collected files."""

    def __init__(self, storage: StaticStorage | None = None) -> None:
        self.storage = storage or StaticStorage()
        self.stage: Stage = collect(self.storage)
        self.names = dict(self.storage.hashed_files)

    def __getitem__(self, name: str) -> str:
        """Return a file's content under its final name."""
        with self.stage.source(self.names[name]).open() as content:
            return str(content.read().decode())

    def base(self, name: str) -> str:
        """Return a final name without its folder."""
        return posixpath.basename(self.names[name])

    @property
    def warnings(self) -> list[str]:
        return [str(each) for each in self.stage.unresolved]


# Style sheets


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a { b: url(x.png) }", ["x.png"]),
        ("a { b: url( 'x.png' ), URL(\n\"y.png\"\t) }", ["x.png", "y.png"]),
        ("a { b: url() }", []),
        ('a { b: url("") }', [""]),
        ("@import 'x.css'; @IMPORT\n\"y.css\" screen; @import/**/'z.css';", ["x.css", "y.css", "z.css"]),
        ("@import url(x.css) layer(a);", ["x.css"]),
        ("@important 'x.css';", []),
        ("/* url(x.png) @import 'y.css'; */ a { b: url(z.png) }", ["z.png"]),
        ("/* never closed url(x.png)", []),
        ("a { b: 'url(x.png)'; c: \"@import 'x'\" }", []),
        ("a { b: 'broken\n; c: url(x.png) }", ["x.png"]),
        ("a { b: 'it\\'s url(x.png)'; c: url(y.png) }", ["y.png"]),
        ("a { b: 'two\\\nlines'; c: url(y.png) }", ["y.png"]),
        ("a { b: url(var(--x)) }", []),
        ("a { b: url(x y.png); c: url(z.png) }", ["z.png"]),
        ("a { b: my-url(x.png); c: éurl(y.png); d: src(z.png) }", []),
        (r"a { b: url(a\20 b.png), url('a\)b.png') url(a\(1\).png) }", ["a b.png", "a)b.png", "a(1).png"]),
        ("a { b: url('x.png' fallback()) }", ["x.png"]),
        ("a { b: url(é.png) }", ["é.png"]),
        ("a {}\n/*# sourceMappingURL=x.css.map */\n", ["x.css.map"]),
        ("a {} /*# sourceMappingURL=x.css.map */", []),  # as in Django: only if it is alone on its line
    ],
)
def test_css_references_are_found(text: str, found: list[str]) -> None:
    assert [each.url for each in css.references(text.encode())] == found


PIECES = st.lists(
    st.sampled_from(
        [
            *(
                "url(",
                "URL( ",
                "uRl(",
                "my-url(",
                ")",
                "(",
                "{",
                "}",
                "[",
                "]",
                ";",
                ":",
                ",",
                " ",
                "\n",
                "\t",
            ),
            *(
                "'",
                '"',
                "\\'",
                "'l\\\n'",
                "\\20 ",
                "\\)",
                "/*",
                "*/",
                "/",
                "*",
                "@import",
                "@import ",
                "@",
            ),
            *("x.png", "../y", "é", "#a", "?b", "url", "-", "'z.css'", '"w.css"', "a", "format("),
        ]
    ),
    max_size=14,
).map(lambda pieces: "".join(pieces) + " \n")  # or a string might end with the file


def by_tinycss2(text: str) -> list[str]:
    """Return the references that a complete CSS tokenizer finds."""
    found: list[str] = []

    def walk(nodes: list[Any]) -> None:
        for number, node in enumerate(nodes):
            if node.type == "url":
                found.append(node.value.strip())
            elif node.type == "function" and node.name.lower() == "url":
                given = [each for each in node.arguments if each.type not in {"whitespace", "comment"}]
                if given and given[0].type == "string":
                    found.append(given[0].value.strip())
                    walk(node.arguments[1:])
            elif node.type == "at-keyword" and node.lower_value == "import":
                rest = [each for each in nodes[number + 1 :] if each.type not in {"whitespace", "comment"}]
                if rest and rest[0].type == "string":
                    found.append(rest[0].value.strip())
            else:
                walk(getattr(node, "content", None) or getattr(node, "arguments", None) or [])

    walk(tinycss2.parse_component_value_list(text))
    return found


@given(PIECES)
def test_css_references_match_tinycss2(text: str) -> None:
    ours = [each.url for each in css.references(text.encode()) if each.url]
    assert ours == [each for each in by_tinycss2(text) if each]


@pytest.mark.parametrize("piece", ["'", "url(", "/*", "@import ", "url('", "\\", "@import/*", "url( "])
def test_css_parsing_takes_linear_time(piece: str) -> None:
    """A completely broken style sheet. With backtracking, it would take hours."""
    began = time.process_time()
    list(css.references((piece * 100_000).encode()))
    assert time.process_time() - began < 20


# Scripts


@pytest.mark.parametrize(
    ("text", "rewritten"),
    [
        (
            "import { a } from './a.js'\nimport { b } from './b.js'\n",
            'import { a } from "A"\nimport { b } from "A"\n',
        ),
        (
            "import './a.js'\nimport \"./b.js\";\nexport * from './c.js'",
            'import"A"\nimport"A";\nexport * from "A"',
        ),
        (
            'import{a as x}from"./a.js";export{x,y}from"./b.js";',
            'import{a as x} from "A";export{x,y} from "A";',
        ),
        (
            'import a, * as b from "./a.js"; export * as c from "../b.js";',
            'import a, * as b from "A"; export * as c from "A";',
        ),
        (
            "import /* one */ a from /* two */ './a.js' // three",
            'import /* one */ a from /* two */ "A" // three',
        ),
        (
            'import data from "./data.json" with { type: "json" };',
            'import data from "A" with { type: "json" };',
        ),
        (
            "const a = () => import('./a.js').then(m => m.default);",
            'const a = () => import("A").then(m => m.default);',
        ),
        ('import(/* webpackChunkName: "c" */ "./c.js", {})', 'import(/* webpackChunkName: "c" */ "A", {})'),
        ("import(`./c.js`)", 'import("A")'),
        ('const u = new URL("a.png", import.meta.url);', 'const u = new URL("A", import.meta.url);'),
        (
            "new Worker(new URL('./w.js', import.meta.url), {})",
            'new Worker(new URL("A", import.meta.url), {})',
        ),
        ("import.meta.resolve('./a.js')", 'import.meta.resolve("A")'),
        (
            "class A { #x = 1; async *[Symbol.iterator]() { yield import('./a.js') } }",
            'class A { #x = 1; async *[Symbol.iterator]() { yield import("A") } }',
        ),
        (
            "x = a / b; y = /'/.test(c); import './a.js'; z = 1 / 2;",
            'x = a / b; y = /\'/.test(c); import"A"; z = 1 / 2;',
        ),
        ("let t = `${`nested ${import('./a.js')}`} ./b.js`;", 'let t = `${`nested ${import("A")}`} ./b.js`;'),
        ("x()\n//# sourceMappingURL=x.js.map\n", "x()\n//# sourceMappingURL=A\n"),
        ("`\n//# sourceMappingURL=x.js.map\n`", None),
        ("x() //# sourceMappingURL=x.js.map", None),  # as in Django: only if it is alone on its line
        ("import { html } from 'lit'; import x from '@org/x'; import('three');", None),
        ("export const line = 'import x from \"./not-there.js\";';", None),
        ("// import x from './x.js'\n/* import './x.js' */", None),
        ("const s = `import x from './x.js'`; const r = /import x from '.\\/x.js'/;", None),
        ("new URL('./a.js', document.baseURI); new Link('./a.js', import.meta.url)", None),
        ("a.import('./a.js'); const from = './a.js';", None),
        ("const { from } = Array; from('./a.js')", None),
    ],
)
def test_script_references_are_found_and_rewritten(text: str, rewritten: str | None) -> None:
    body, at, out = text.encode(), 0, b""
    for each in modules.references(body):
        assert each.url is not None
        out, at = out + body[at : each.start] + each.form % b"A", each.end
    assert (out + body[at:]).decode() == (text if rewritten is None else rewritten)


def test_dynamic_import_is_kept_with_a_warning(write: Write) -> None:
    write({"app/main.js": "let n;\nconst one = () => import(`./${n}.js`);\n", "app/a.js": ""})
    collected = Collected(type("Strict", (StaticStorage,), {"strict_references": True})())
    assert "import(`./${n}.js`)" in collected["app/main.js"]
    assert collected.warnings == [
        "app/main.js, line 2: `./${n}.js` is not rewritten: its URL is only known in the browser."
    ]


# Names


def test_circular_references_are_hashed_together(write: Write) -> None:
    files = {
        "app/alert.js": 'import { request } from "./request.js";\nexport function alert(t) { return request(t); }\n',
        "app/request.js": 'import { alert } from "./alert.js";\nexport function request(t) { return t; }\n',
        "app/main.js": 'import "./alert.js";',
        "app/self.css": "a { background: url(self.css) }",
        "app/other.js": "",
    }
    write(dict(files))
    before = Collected()
    assert not before.warnings
    assert before.base("app/request.js") in before["app/alert.js"]
    assert before.base("app/alert.js") in before["app/request.js"]
    assert before.base("app/alert.js") in before["app/main.js"]
    assert before.base("app/self.css") in before["app/self.css"]

    write({"app/request.js": files["app/request.js"] + "// changed"})
    after = Collected()
    changed = {name for name in files if before.names[name] != after.names[name]}
    assert changed == {"app/alert.js", "app/request.js", "app/main.js"}


def test_circular_lazy_chunks_of_a_bundler_are_rewritten(write: Write) -> None:
    write(
        {
            "assets/main-Bq3xK9aZ.js": 'const lazy = () => import("./Lazy-C7d_e2Fh.js");\nexport function t(n) {}\n',
            "assets/Lazy-C7d_e2Fh.js": 'import{t}from"./main-Bq3xK9aZ.js";export default()=>{t("lazy")};',
        }
    )
    collected = Collected()
    assert collected.base("assets/Lazy-C7d_e2Fh.js") in collected["assets/main-Bq3xK9aZ.js"]
    assert collected.base("assets/main-Bq3xK9aZ.js") in collected["assets/Lazy-C7d_e2Fh.js"]


def test_change_at_the_end_of_a_long_chain_renames_every_file(write: Write) -> None:
    chain = {f"{n}.css": f'@import "{n + 1}.css";' for n in range(3000)} | {"3000.css": "a {}"}
    write(dict(chain))
    before = Collected().names
    write({"3000.css": "b {}"})
    after = Collected().names
    assert all(before[name] != after[name] for name in chain)


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("app/a.css", 'a {\n  background: url("missing.png") }', 'line 2: url("missing.png")'),
        ("app/a.css", '@import "tailwindcss";\n@layer base;', 'line 1: @import "tailwindcss"'),
        ("app/a.css", "a { background: url(../../out.png) }", "line 1: url(../../out.png)"),
        ("app/a.css", "\n/*# sourceMappingURL=missing.map */", "line 2: /*# sourceMappingURL=missing.map */"),
        ("app/a.js", 'import { x } from\n"./missing.js";', 'line 1: from "./missing.js"'),
        (
            "app/a.min.js",
            "console.log(1);\n//# sourceMappingURL=a.min.js.map\n",
            "line 2: //# sourceMappingURL=a.min.js.map",
        ),
    ],
)
def test_missing_reference_is_kept_with_a_warning(write: Write, name: str, content: str, line: str) -> None:
    write({name: content})
    collected = Collected()
    assert collected[name] == content
    (warning,) = collected.warnings
    assert warning.startswith(f"{name}, {line} is not rewritten: there is no ")


def test_strict_references_fail_only_for_the_projects_files(write: Write, settings: Any) -> None:
    folder = write(
        {
            "a.css": "a { b: url(x.png); c: url(y.png) }",
            "b.js": "import './z.js'\n//# sourceMappingURL=b.js.map",
        }
    )
    settings.AWS_STATIC_STRICT_REFERENCES = True
    with pytest.raises(CommandError) as raised:
        Collected()
    assert str(raised.value).splitlines() == [
        "a.css, line 1: url(x.png) refers to x.png, which does not exist.",
        "a.css, line 1: url(y.png) refers to y.png, which does not exist.",
        "b.js, line 1: import './z.js' refers to z.js, which does not exist.",
    ]
    packages = folder.parent / "site-packages"
    folder.rename(packages)  # a third-party package
    settings.STATICFILES_DIRS = [packages]
    get_finder.cache_clear()
    assert len(Collected().warnings) == 4


@pytest.mark.parametrize(
    "content",
    [
        "/* was: background: url(old/missing.png); */ a {}",
        '/* use it as: @import "tokens/missing.css"; */ a {}',
        "a { background: url(var(--x)); }",
        "a { background: url(data:image/png;base64,AAAA), url(#a), url(//x.example/y.png), url(HTTPS://x.example/y) }",
        "a { background: url(/elsewhere/x.png), url(img/), url(../app), url('') , url(?x) }",
        "\N{BYTE ORDER MARK}a { content: '\N{PILE OF POO}' }".encode("utf-16-le"),
        b"a { content: '\xe9' }",
        b"\xff\xfe\x00",
    ],
)
def test_text_that_is_no_local_reference_is_unchanged(write: Write, content: str | bytes) -> None:
    write({"app/a.css": content, "app/img/x.png": "x"})
    collected = Collected()
    raw = content.encode() if isinstance(content, str) else content
    with collected.stage.source(collected.names["app/a.css"]).open() as file:
        assert file.read() == raw
    assert not collected.warnings


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-8"])
def test_rewriting_keeps_the_files_encoding(write: Write, encoding: str) -> None:
    write({"é.png": "x", "a.css": "\N{BYTE ORDER MARK}a { background: url(é.png) }".encode(encoding)})
    collected = Collected()
    with collected.stage.source(collected.names["a.css"]).open() as file:
        text = file.read().decode(encoding)
    assert text.startswith('\N{BYTE ORDER MARK}a { background: url("%C3%A9.')


@pytest.mark.parametrize(
    "name", ["a+b.png", "50%.png", "b c.png", "é.png", "a'b.png", "a&b@2x.png", "a(1).png"]
)
def test_rewritten_urls_are_encoded_as_in_templates(write: Write, settings: Any, name: str) -> None:
    settings.AWS_STORAGE_BUCKET_NAME, settings.AWS_S3_REGION_NAME = "acme-static", "eu-central-1"
    write(
        {
            f"app/i+/{name}": "x",
            "app/a.css": f'a {{ b: url("i+/{quote(name)}") }}',
            "app/a.js": f"import('./i+/{quote(name)}')",
        }
    )
    collected = Collected()
    in_page = collected.storage.url(f"app/i+/{name}", force=True).partition("/static/app/")[2]
    assert f'url("{in_page}")' in collected["app/a.css"]
    assert f'import("./{in_page}")' in collected["app/a.js"]


def test_references_that_django_misses_are_rewritten(write: Write) -> None:
    write(
        {
            "a.mjs": "import './b.js'\n",
            "b.js": "import './c.js'; export { x } from './c.js';",
            "c.js": "export const x = 1;",
            "d.js": "import('./b.js?v=2#top')",
        }
    )
    collected = Collected()
    assert collected["a.mjs"] == f'import"./{collected.base("b.js")}"\n'
    c = collected.base("c.js")
    assert collected["b.js"] == f'import"./{c}"; export {{ x }} from "./{c}";'
    # The final name of a rewritten file, with or without a query.
    assert collected["d.js"] == f'import("./{collected.base("b.js")}?v=2#top")'


def test_root_relative_urls_are_rewritten_for_any_static_url(write: Write, settings: Any) -> None:
    write({"img/x.png": "x", "a.css": "a { b: url(/static/img/x.png); c: url(/assets/img/x.png) }"})
    settings.STATIC_URL = "/static/"
    one = Collected()
    settings.STATIC_URL = "https://acme-static.s3.eu-central-1.amazonaws.com/static/"
    other = Collected()
    assert one.names == other.names
    assert f'url("/static/img/{one.base("img/x.png")}"); c: url(/assets/img/x.png)' in one["a.css"]


# Finders


class InArchive(Storage):
    """A storage for files that are not on disk."""

    def __init__(self) -> None:
        self.archive = zipfile.ZipFile(BytesIO(), "w")
        self.archive.writestr("zipped/a.css", "a { background: url(a.png) }")
        self.archive.writestr("zipped/a.png", "png")

    def _open(self, name: str, mode: str = "rb") -> Any:
        del mode
        return File(self.archive.open(name))


class ArchiveFinder(BaseFinder):
    def find(self, path: str, find_all: bool = False, **_more: Any) -> list[str]:  # noqa: ARG002
        return []

    def list(self, _ignore_patterns: Any) -> Any:
        storage = InArchive()
        for name in storage.archive.namelist():
            yield name, storage


class TemporaryFinder(finders.FileSystemFinder):
    """A finder for files that exist only while they are open."""

    def list(self, ignore_patterns: Any) -> Any:
        for path, storage in super().list(ignore_patterns):
            yield path, TemporaryStorage(storage.location)


class TemporaryStorage(FileSystemStorage):
    def _open(self, name: str, mode: str = "rb") -> Any:
        del mode
        file = tempfile.NamedTemporaryFile()  # noqa: SIM115 - the caller closes it
        file.write(Path(self.path(name)).read_bytes().upper())
        file.seek(0)
        return File(file)


def test_files_that_are_not_on_disk_are_read_through_their_finder(write: Write, settings: Any) -> None:
    write({"b.txt": "b"})
    settings.STATICFILES_FINDERS = [f"{__name__}.ArchiveFinder", f"{__name__}.TemporaryFinder"]
    collected = Collected()
    assert set(collected.names) == {"zipped/a.css", "zipped/a.png", "b.txt"}
    assert collected.base("zipped/a.png") in collected["zipped/a.css"]
    assert collected["b.txt"] == "B"


# Bundlers

VITE = {
    "_vendor.js": {"file": "assets/vendor-D1rVq0aQ.js", "name": "vendor"},
    "src/main.js": {
        "file": "assets/main-Bq3xK9aZ.js",
        "name": "main",
        "src": "src/main.js",
        "isEntry": True,
        "imports": ["_vendor.js"],
        "css": ["assets/main-D9kqWz1x.css"],
        "assets": ["assets/logo-Cq1w2e3r.svg"],
    },
    "src/plain.js": {"file": "assets/my-language.js", "name": "my-language", "src": "src/my-language.js"},
}
BUILT = {
    "assets/main-Bq3xK9aZ.js": 'import{v}from"./vendor-D1rVq0aQ.js";',
    "assets/vendor-D1rVq0aQ.js": "export const v=1;",
    "assets/main-D9kqWz1x.css": "a{background:url(./logo-Cq1w2e3r.svg)}",
    "assets/logo-Cq1w2e3r.svg": "<svg/>",
    "assets/my-language.js": "1",
    "assets/language-selector.js": "2",
}


@pytest.mark.parametrize("manifest", ["manifest.json", ".vite/manifest.json"])
def test_names_in_vites_manifest_are_kept(write: Write, manifest: str) -> None:
    write(
        {f"dist/{name}": content for name, content in BUILT.items()} | {f"dist/{manifest}": json.dumps(VITE)}
    )
    collected = Collected()
    hashed = {f"dist/{name}" for name in BUILT if "language" not in name}
    assert {name for name, final in collected.names.items() if name == final} == hashed
    assert collected.stage.prehashed == hashed
    for name in hashed:
        assert collected[name] == BUILT[name.removeprefix("dist/")]


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"name": "An app", "icons": []}', '{"a": {"file": 1}}', '{"a": {"file": "b", "css": 1}}'],
)
def test_other_manifest_json_files_are_ignored(write: Write, text: str) -> None:
    write({"manifest.json": text, "b": "b"})
    collected = Collected()
    assert not collected.stage.prehashed
    assert all(name != final for name, final in collected.names.items())


def test_prehashed_setting_keeps_names_of_other_bundlers(write: Write, settings: Any) -> None:
    write(
        {
            "build/app.0a1b2c3d.js": "import './gone.js'",
            "build/app.js": "",
            "main.css": "@import 'build/app.0a1b2c3d.js'",
        }
    )
    settings.AWS_STATIC_PREHASHED = ["build/*.????????.js"]
    collected = Collected()
    assert collected.stage.prehashed == {"build/app.0a1b2c3d.js"}
    assert collected["main.css"] == '@import url("build/app.0a1b2c3d.js")'
    assert not collected.warnings


def test_vites_manifest_is_written_to_static_root(write: Write, settings: Any, tmp_path: Path) -> None:
    write(
        {f"dist/{name}": content for name, content in BUILT.items()}
        | {"dist/manifest.json": json.dumps(VITE)}
    )
    settings.STATIC_ROOT = tmp_path / "root"
    call_command("s3", "manifest", "--output", str(tmp_path / "staticfiles.json"))
    assert json.loads((tmp_path / "root/dist/manifest.json").read_text()) == VITE
    assert [path.name for path in settings.STATIC_ROOT.rglob("*") if path.is_file()] == ["manifest.json"]


# The same as Django's


def by_django(folder: Path) -> dict[str, bytes]:
    """Return each file's name and content from Django's own command and storage."""
    paths = collected_by_django(folder)["paths"]
    return {name: (final.encode() + b"\n" + (folder / final).read_bytes()) for name, final in paths.items()}


LEAVES = ["img/a.png", "fonts/f.woff2", "img/deep/b.svg", "x.map"]
CSS = ["css/a.css", "css/b.css", "css/deep/c.css", "d.css"]
JS = ["js/a.js", "js/b.js", "js/deep/c.js", "d.js"]
IMPORTS = [
    'import {{ x }} from "{}";',
    "import * as y from '{}';",
    "import z, {{ w }}\n  from '{}';",
    'import "{}";',
    "export {{ x }} from '{}';",
    'export * from "{}";',
    'const l = () => import("{}");',
]
if django.VERSION >= (6, 1):
    IMPORTS += [
        "import {{ v }} from '{}'\n",
        "import'{}'\n",
        'import{{u}}from"{}"\n',
        "export {{ t }} from '{}'\n",
    ]


@st.composite
def trees(draw: Any) -> dict[str, str]:
    """Draw files with references to later files, in forms that Django rewrites."""
    ending = st.sampled_from(["", "#f", "?v=1", "?#iefix", "?v=1#f"])
    found = {name: name for name in LEAVES}
    for kind, others in ((CSS, LEAVES), (JS, [])):
        for number, name in enumerate(kind):
            lines: list[str] = []
            # Django 5.2 treats an import followed by an export as one statement.
            form = draw(st.sampled_from(IMPORTS))
            for other in draw(st.lists(st.sampled_from([*kind[number + 1 :], *others, "x.map"]), max_size=4)):
                address = posixpath.relpath(other, posixpath.dirname(name) or ".")
                if kind is JS:
                    address = address if address.startswith(".") else f"./{address}"
                if draw(st.booleans()) and kind is CSS:
                    address = f"/static/{other}"
                if other == "x.map":
                    lines.append(
                        f"/*# sourceMappingURL={address} */"
                        if kind is CSS
                        else f"//# sourceMappingURL={address}"
                    )
                elif kind is JS:
                    statement = draw(st.sampled_from(IMPORTS)) if django.VERSION >= (6, 1) else form
                    lines.append(statement.format(address))
                elif other.endswith(".css"):
                    at_rule = draw(
                        st.sampled_from(["@import '{}';", '@import "{}" print;', "@import url({});"])
                    )
                    lines.append(at_rule.format(address))
                else:
                    function = draw(st.sampled_from(["url({})", "url('{}')", 'URL("{}")']))
                    lines.append("a { background: " + function.format(address + draw(ending)) + " }")
            found[name] = "\n".join(lines) + draw(st.sampled_from(["", "\n"]))
    return found


@pytest.mark.slow
def test_names_and_bytes_of_any_tree_match_django(
    write: Write, tmp_path_factory: pytest.TempPathFactory
) -> None:
    @given(trees())
    def same(tree: dict[str, str]) -> None:
        write(dict(tree))
        collected = Collected()
        ours = {name: f"{final}\n{collected[name]}".encode() for name, final in collected.names.items()}
        assert not collected.warnings
        assert ours == by_django(tmp_path_factory.mktemp("theirs"))

    same()


def test_each_file_is_parsed_and_hashed_once(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Django's own storage does it again in each pass over the files."""
    chain = {f"{n}.css": f'@import "{n + 1}.css";' for n in range(50)} | {"50.css": "a {}"}
    circle = {f"{n}.js": f'import "./{(n + 1) % 50}.js";' for n in range(50)}
    write({**chain, **circle, "a.png": b"png"})
    parsed, named = [], []
    for parser in (css, modules):
        original = parser.references
        monkeypatch.setattr(parser, "references", lambda body, o=original: (parsed.append(body), o(body))[1])

    class Counting(StaticStorage):
        def hashed_name(self, name: str, *arguments: Any, **more: Any) -> Any:
            named.append(name)
            return super().hashed_name(name, *arguments, **more)

    collected = Collected(Counting())
    assert len(parsed) == len(chain) + len(circle)
    assert sorted(named) == sorted(collected.names)
