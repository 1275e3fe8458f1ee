"""The static storage: on S3, it does what Django documents about its manifest storage."""

import importlib
import io
import json
import mimetypes
import os
import threading
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from django.contrib.staticfiles.finders import get_finder
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import storages
from django.core.management import call_command
from django.core.management.base import CommandError, OutputWrapper
from django.forms import Media
from django.template import Context, Template

from s3kit import clients
from s3kit.apps import set_addresses
from s3kit.progress import ProgressBar
from s3kit.publishing import publish
from s3kit.publishing.collect import Source, collect
from s3kit.publishing.manifest import write_manifest
from s3kit.publishing.publish import Headers, content_type, planned
from s3kit.storages import static
from s3kit.storages.static import StaticStorage, require_manifest
from tests.djangos import collected_by_django
from tests.fault_proxy import Fault, FaultProxy
from tests.ministack import MakeSite, s3_settings, s3_storages

OPTIONS = {"bucket_name": "example-static", "region_name": "eu-central-1"}
BUCKET_URL = "https://example-static.s3.eu-central-1.amazonaws.com/static/"
# Split, so that no other template engine interprets the tags.
PAGE = "<load static><static 'css/base.css'>".replace("<", "{" + "% ").replace(">", " %" + "}")
PATHS = {
    "css/base.css": "css/base.27e20196a850.css",
    "fonts/a.eot": "fonts/a.b8d603e42714.eot",
    "img/a b é+100%.png": "img/a b é+100%.000011112222.png",
}


@pytest.fixture
def manifest(settings: Any, tmp_path: Path) -> Path:
    """Point the settings at a site on AWS with a local manifest, and return the manifest."""
    path = tmp_path / "staticfiles.json"
    path.write_text(json.dumps({"paths": PATHS, "version": "1.1", "hash": "abc123"}))
    s3_settings(settings, static=OPTIONS, STATICFILES_MANIFEST=path, DEBUG=False)
    return path


@pytest.fixture
def no_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    def reject(_target: object) -> None:
        raise AssertionError("a request to S3")

    monkeypatch.setattr(clients, "command", reject)
    monkeypatch.setattr(clients, "web", reject)


@pytest.fixture
def tree(settings: Any, tmp_path: Path) -> Iterator[Path]:
    """Return a folder with the only static files."""
    folder = tmp_path / "sources"
    folder.mkdir()
    settings.STATICFILES_DIRS = [folder]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    forget: Any = get_finder
    forget.cache_clear()
    yield folder
    forget.cache_clear()


def write(folder: Path, **files: str | bytes) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


# Addresses


@pytest.mark.usefixtures("manifest", "no_requests")
@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("css/base.css", "css/base.27e20196a850.css"),
        ("css/base.css#top", "css/base.27e20196a850.css#top"),
        ("css/base.css?v=1", "css/base.27e20196a850.css?v=1"),
        ("css/base.css?v=1#top", "css/base.27e20196a850.css?v=1#top"),
        ("fonts/a.eot?#iefix", "fonts/a.b8d603e42714.eot?#iefix"),
        ("img/a b é+100%.png", "img/a%20b%20%C3%A9%2B100%25.000011112222.png"),
        ("img/a%20b%20%C3%A9+100%25.png", "img/a%20b%20%C3%A9%2B100%25.000011112222.png"),
        ("img/", "img/"),
    ],
)
def test_urls_point_to_the_bucket(name: str, address: str) -> None:
    assert isinstance(storages["staticfiles"], StaticStorage)
    assert storages["staticfiles"].url(name) == BUCKET_URL + address


@pytest.mark.usefixtures("manifest", "no_requests")
def test_urls_follow_custom_domain_endpoint_and_partition() -> None:
    hashed = "css/base.27e20196a850.css"

    def url(name: str = "css/base.css", **options: str) -> str:
        return StaticStorage(**OPTIONS | options).url(name)

    china = f"https://example-static.s3.cn-north-1.amazonaws.com.cn/static/{hashed}"
    assert url(region_name="cn-north-1") == china
    here = f"http://127.0.0.1:9/example-static/static/{hashed}"
    assert url(endpoint_url="http://127.0.0.1:9") == here
    domain = f"https://static.example.com/static/{hashed}"
    assert url(endpoint_url="http://127.0.0.1:9", custom_domain="static.example.com") == domain
    below = f"https://static.example.com/tenants/a%20b/{hashed}"
    assert url(location="tenants/a b", custom_domain="static.example.com") == below
    # The URL is the same as the client's.
    key = f"static/{PATHS['img/a b é+100%.png']}"
    target = StaticStorage(**OPTIONS).target
    assert url("img/a b é+100%.png") == clients.object_url(target, "example-static", key)


@pytest.mark.usefixtures("manifest", "no_requests")
def test_templates_and_form_media_use_hashed_urls() -> None:
    page = Template(PAGE).render(Context())
    assert page == f"{BUCKET_URL}css/base.27e20196a850.css"
    media = str(Media(css={"all": ["css/base.css"]}))
    assert f'href="{BUCKET_URL}css/base.27e20196a850.css"' in media


@pytest.mark.usefixtures("manifest", "no_requests")
def test_urls_are_plain_and_local_with_debug(settings: Any) -> None:
    settings.DEBUG = True
    url = storages["staticfiles"].url
    assert url("css/base.css") == "/static/css/base.css"
    assert url("not/in/the/manifest.css") == "/static/not/in/the/manifest.css"
    assert url("a b é.css?v=1#x") == "/static/a%20b%20%C3%A9.css?v=1#x"
    assert Template(PAGE).render(Context()) == "/static/css/base.css"
    assert url("css/base.css", force=True) == f"{BUCKET_URL}css/base.27e20196a850.css"


@pytest.mark.usefixtures("manifest")
def test_missing_bucket_name_is_an_error(settings: Any) -> None:
    settings.STORAGES = s3_storages({"bucket_name": " "})
    with pytest.raises(ImproperlyConfigured, match="bucket_name"):
        storages["staticfiles"].url("css/base.css")


# The manifest


@pytest.mark.usefixtures("manifest", "no_requests")
def test_name_missing_from_the_manifest_is_an_error_if_strict() -> None:
    with pytest.raises(ValueError, match=r"Missing staticfiles manifest entry for 'nothing\.css'"):
        storages["staticfiles"].url("nothing.css")

    class Lenient(StaticStorage):
        manifest_strict = False

    assert Lenient(**OPTIONS).url("nothing.css") == f"{BUCKET_URL}nothing.css"
    assert Lenient(**OPTIONS).url("css/base.css") == f"{BUCKET_URL}css/base.27e20196a850.css"


@pytest.mark.usefixtures("manifest", "no_requests")
def test_manifest_hash_and_paths_come_from_the_manifest() -> None:
    storage: Any = storages["staticfiles"]
    assert storage.manifest_hash == "abc123"
    assert storage.hashed_files == PATHS


@pytest.mark.usefixtures("no_requests")
def test_storage_can_be_created_without_settings(settings: Any) -> None:
    settings.STORAGES = s3_storages({})
    assert isinstance(storages["staticfiles"], StaticStorage)


@pytest.mark.usefixtures("no_requests")
def test_server_needs_a_valid_manifest_to_start(manifest: Path, settings: Any) -> None:
    manifest.write_text("{")
    with pytest.raises(ImproperlyConfigured, match=r"manage\.py s3 manifest"):
        require_manifest()
    settings.DEBUG = True
    require_manifest()
    settings.DEBUG = False
    settings.STORAGES = s3_storages()
    require_manifest()


@pytest.mark.parametrize("text", ["", "{", '{"version": "9"}', b"\xff"])
@pytest.mark.usefixtures("no_requests")
def test_broken_local_manifest_is_an_error_that_names_it(manifest: Path, text: str | bytes) -> None:
    manifest.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ImproperlyConfigured) as caught:
        storages["staticfiles"].url("css/base.css")
    assert "staticfiles.json" in str(caught.value)
    assert "manage.py s3 manifest" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_buckets_manifest_is_read_once_by_all_threads(
    s3_site: MakeSite, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = s3_site()
    settings.STATICFILES_MANIFEST = tmp_path / "none.json"
    settings.DEBUG = False
    key = "static/staticfiles.json"
    monkeypatch.setattr(static, "RETRY_AFTER", 3600)
    with FaultProxy(site.store.endpoint) as proxy:
        settings.AWS_S3_ENDPOINT_URL = proxy.endpoint
        storage: Any = storages["staticfiles"]
        proxy.faults.append(Fault(delay=0.1))

        # No manifest yet: one request, one error for all callers, and no further request for a while.
        def asked(_: int) -> str:
            with pytest.raises(ImproperlyConfigured) as caught:
                storage.url("css/base.css")
            return str(caught.value)

        with ThreadPoolExecutor(8) as pool:
            messages = set(pool.map(asked, range(16)))
        assert len(messages) == 1
        message = messages.pop()
        assert site.static_bucket in message
        assert key in message
        assert "none.json" in message
        assert "collectstatic" in message
        assert "\n" not in message
        assert proxy.count() == 1

        body = json.dumps({"paths": PATHS, "version": "1.1", "hash": ""})
        site.root.put_object(Bucket=site.static_bucket, Key=key, Body=body)
        assert asked(0) == message
        monkeypatch.setattr(static, "RETRY_AFTER", 0)
        storage._failure = None
        with ThreadPoolExecutor(8) as pool:
            urls = set(pool.map(lambda _: storage.url("css/base.css"), range(16)))
        assert urls == {f"{proxy.endpoint}/{site.static_bucket}/static/css/base.27e20196a850.css"}
        assert proxy.count() == 2


def test_local_manifest_overrides_the_buckets(manifest: Path, s3_site: MakeSite, settings: Any) -> None:
    site = s3_site()
    body = json.dumps({"paths": {"css/base.css": "other.css"}, "version": "1.1", "hash": ""})
    site.root.put_object(Bucket=site.static_bucket, Key="static/staticfiles.json", Body=body)
    settings.DEBUG = False
    options = {"bucket_name": site.static_bucket}
    assert StaticStorage(**options).url("css/base.css").endswith("/css/base.27e20196a850.css")
    manifest.unlink()
    assert StaticStorage(**options).url("css/base.css").endswith("/static/other.css")


# collectstatic, as with Django's own storage

NASTY: dict[str, str | bytes] = {
    "css/base.css": """
        @import url("theme.css"); @import 'sub/other.css';
        a { background: url(../img/dot.png) } b { background: url('../img/dot.png') }
        c { src: url("../fonts/f.eot?#iefix"), url('../fonts/f.svg#name') }
        d { background: url("/static/img/dot.png"), url(data:image/png;base64,AAAA), url(#local) }
        e { background: url("https://example.com/x.png"), url(//cdn.example.com/y.png), url("/other/z.png") }
        f { background: url("../img/dot.png?v=1"), URL("../img/dot.png") } g { src: url("../img/") }
        /*# sourceMappingURL=base.css.map */
""",
    "css/theme.css": '@import url("sub/other.css");',
    "css/sub/other.css": "a { background: url(../../img/dot.png) }",
    "css/none.css": "a { color: red }",
    "css/ascii.css": "é { color: red }",
    "css/base.css.map": "{}",
    "img/dot.png": b"\x89PNG\x00\xff",
    "img/a b.png": b"ab",
    "fonts/f.eot": b"eot",
    "fonts/f.svg": "<svg/>",
    "js/app.js": """
import { one } from "./one.js";
import * as two from './sub/two.js';
import "./three.js";
const later = () => import("./sub/two.js");
const text = "no import at all";
//# sourceMappingURL=app.js.map
""",
    "js/again.js": 'export { x } from "./one.js";',
    "js/one.js": "export const one = 1, x = 2;",
    "js/three.js": "IMPORT; important(); exported = 1;",
    "js/sub/two.js": "import { one } from '../one.js';\n",
    "js/app.js.map": "{}",
    "staticfiles.txt": "x",
    "empty.txt": "",
    "empty.css": "",
}


def content_of(source: Source) -> bytes:
    with source.open() as file:
        return bytes(file.read())


@pytest.mark.parametrize("admin", [False, True])
def test_names_and_bytes_match_djangos_storage(
    settings: Any, tree: Path, tmp_path: Path, *, admin: bool
) -> None:
    if admin:  # the largest available tree of scripts
        settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.AppDirectoriesFinder"]
    write(tree, **NASTY)
    theirs = tmp_path / "theirs"
    expected = collected_by_django(theirs)

    stage = collect(StaticStorage())
    ours = json.loads(content_of(stage.source("staticfiles.json")))
    del stage.derived["staticfiles.json"]
    items = planned(stage, ours["paths"])
    assert ours | {"integrity": None} == expected | {"integrity": None}
    # Not in Django's: browsers verify each script's bytes.
    scripts = {name: hashed for name, hashed in expected["paths"].items() if name.endswith(".js")}
    assert scripts
    assert ours["integrity"] == {
        name: "sha256-" + b64encode(sha256((theirs / hashed).read_bytes()).digest()).decode()
        for name, hashed in scripts.items()
    }
    assert len(expected["paths"]) == (len(NASTY) if not admin else len(stage.plain))
    for item in items:
        assert content_of(item.source) == (theirs / item.name).read_bytes(), item.name
    # Files from Django's intermediate passes are not published.
    assert {item.name for item in items} == set(expected["paths"]) | set(expected["paths"].values())


def test_file_hash_can_be_overridden(tree: Path) -> None:
    write(tree, **{"a.txt": "a", "b.txt": "b"})

    class Own(StaticStorage):
        def file_hash(self, name: str, content: Any = None) -> Any:  # noqa: ARG002
            return None if name == "b.txt" else "0wn"

    storage = Own()
    stage = collect(storage)
    paths = dict(storage.hashed_files)
    stage.derived.pop("staticfiles.json")
    items = {item.name: item for item in planned(stage, paths)}
    assert paths == {"a.txt": "a.0wn.txt", "b.txt": "b.txt"}
    assert {name: item.immutable for name, item in items.items()} == {
        "a.0wn.txt": True,
        "a.txt": False,
        "b.txt": False,  # without a hash in its name, it must not be cached for a year
    }


def test_save_and_delete_are_not_implemented(tree: Path) -> None:
    write(tree, **{"a.txt": "a"})
    storage = StaticStorage()
    with (tree / "a.txt").open("rb") as file, pytest.raises(NotImplementedError, match="collectstatic"):
        storage.save("a.txt", file)
    with pytest.raises(NotImplementedError, match="collectstatic"):
        storage.delete("a.txt")


def test_file_changed_after_collection_is_not_published(
    s3_site: MakeSite, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise, the hashed name would permanently contain other content than its hash."""
    site = s3_site()
    write(tree, **{"a.txt": "old", "video.mp4": b"0" * publish.LARGE})
    published = publish.Publisher.publish

    def later(self: Any, stage: Any, **more: Any) -> Any:
        write(tree, **{"a.txt": "new", "video.mp4": b"1" * publish.LARGE})
        return published(self, stage, **more)

    monkeypatch.setattr(publish.Publisher, "publish", later)
    with pytest.raises(CommandError) as raised:
        call_command("collectstatic", interactive=False, verbosity=0)
    text = str(raised.value)
    assert f"{tree / 'a.txt'} changed after it was collected: run this command again." in text
    assert "video.mp4 changed after it was collected" in text
    found = site.root.list_objects_v2(Bucket=site.static_bucket).get("Contents", [])
    assert not [each["Key"] for each in found if not each["Key"].startswith("static/manifests/")]


def test_open_and_exists_read_published_files(s3_site: MakeSite) -> None:
    site = s3_site()
    site.root.put_object(Bucket=site.static_bucket, Key="static/a b.txt", Body=b"content")
    storage = StaticStorage(bucket_name=site.static_bucket)
    assert storage.exists("a b.txt")
    assert not storage.exists("b.txt")
    assert storage.open("a b.txt").read() == b"content"
    with pytest.raises(FileNotFoundError):
        storage.open("b.txt")


# Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_a_bar_on_a_terminal() -> None:
    out = Terminal()
    progress = ProgressBar(OutputWrapper(out), verbose=False)
    progress(1, 4, "Uploaded static/a")
    progress(4, 4, "Uploaded static/b")
    progress.close()
    assert out.getvalue() == f"\r[{'#' * 10}{'.' * 30}] 1/4\r[{'#' * 40}] 4/4\r\x1b[K"


def test_progress_is_plain_lines_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    progress = ProgressBar(OutputWrapper(out), verbose=False)
    progress(1, 4, "Uploaded static/a")
    assert out.getvalue() == ""
    monkeypatch.setattr(progress, "next", 0.0)
    progress(2, 4, "Uploaded static/b")
    progress(3, 4, "Uploaded static/c")
    progress.close()
    assert out.getvalue() == "2 of 4 objects\n"


# S3 manifest


def test_write_manifest(tree: Path, tmp_path: Path, settings: Any) -> None:
    write(tree, **NASTY)
    settings.STATICFILES_MANIFEST = tmp_path / "new" / "staticfiles.json"
    assert f"{len(NASTY)} files" in write_manifest()[0]
    assert set(json.loads(settings.STATICFILES_MANIFEST.read_text())["paths"]) == set(NASTY)
    assert [path.name for path in settings.STATICFILES_MANIFEST.parent.iterdir()] == ["staticfiles.json"]
    assert settings.STATICFILES_MANIFEST.stat().st_mode & 0o777 == 0o644


def test_write_manifest_replaces_no_device_or_pipe(tree: Path, tmp_path: Path) -> None:  # noqa: ARG001
    os.mkfifo(pipe := tmp_path / "pipe")
    with pytest.raises(CommandError, match=r"pipe is not a regular file: name another one with --output"):
        call_command("s3", "manifest", "--output", str(pipe))
    assert pipe.is_fifo()


def test_write_manifest_keeps_a_symbolic_link(tree: Path, tmp_path: Path) -> None:  # noqa: ARG001
    (link := tmp_path / "link.json").symlink_to(target := tmp_path / "target.json")
    for _ in range(2):
        write_manifest(link)
        assert link.is_symlink()
        assert "paths" in json.loads(target.read_text())


def test_write_manifest_replaces_a_symbolic_link_to_itself(tree: Path, tmp_path: Path) -> None:  # noqa: ARG001
    (loop := tmp_path / "loop.json").symlink_to(loop)
    write_manifest(loop)
    assert loop.is_file()


def test_write_manifest_keeps_the_old_file_when_it_fails(tree: Path, tmp_path: Path, settings: Any) -> None:
    target = tmp_path / "staticfiles.json"
    target.write_text("old")
    write(tree, **{"a.css": "@import 'missing.css';"})
    settings.AWS_STATIC_STRICT_REFERENCES = True
    with pytest.raises(CommandError, match=r"a.css, line 1: @import 'missing.css'"):
        write_manifest(target)
    assert target.read_text() == "old"
    write(tree, **{"a.css": ""})
    with pytest.raises(OSError, match="file"):
        write_manifest(target / "below" / "a" / "file")


def test_manifest_subcommand_writes_the_output_file(
    tree: Path, tmp_path: Path, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tree, **{"a.css": "a {}"})
    call_command("s3", "manifest", "--output", str(tmp_path / "out.json"))
    assert "1 files" in capsys.readouterr().out
    assert set(json.loads((tmp_path / "out.json").read_text())["paths"]) == {"a.css"}
    settings.STATICFILES_MANIFEST = None
    with pytest.raises(CommandError, match=r"--output, or set STATICFILES_MANIFEST"):
        call_command("s3", "manifest")


class Named(StaticStorage):
    manifest_name = "files.json"

    def file_hash(self, name: str, content: Any = None) -> Any:  # noqa: ARG002
        return "0wn"


def test_manifest_uses_the_sites_storage_class(tree: Path, tmp_path: Path, settings: Any) -> None:
    write(tree, **{"a.css": "a {}"})
    settings.STORAGES = {"staticfiles": {"BACKEND": f"{__name__}.Named"}}
    write_manifest(tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text())["paths"] == {"a.css": "a.0wn.css"}


# Content types


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.css", "text/css; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.mjs", "text/javascript; charset=utf-8"),
        ("A.MIN.JS", "text/javascript; charset=utf-8"),
        ("a.html", "text/html; charset=utf-8"),
        ("LICENSE.txt", "text/plain; charset=utf-8"),
        ("a.csv", "text/csv; charset=utf-8"),
        ("a.vtt", "text/vtt; charset=utf-8"),
        ("a.js.map", "application/json"),
        ("a.json", "application/json"),
        ("site.webmanifest", "application/manifest+json"),
        ("a.xml", "application/xml"),
        ("a.svg", "image/svg+xml"),
        ("a.png", "image/png"),
        ("a.jpg", "image/jpeg"),
        ("a.jpeg", "image/jpeg"),
        ("a.gif", "image/gif"),
        ("a.webp", "image/webp"),
        ("a.avif", "image/avif"),
        ("favicon.ico", "image/vnd.microsoft.icon"),
        ("a.woff", "font/woff"),
        ("a.woff2", "font/woff2"),
        ("a.ttf", "font/ttf"),
        ("a.otf", "font/otf"),
        ("a.eot", "application/vnd.ms-fontobject"),
        ("a.wasm", "application/wasm"),
        ("a.pdf", "application/pdf"),
        ("a.zip", "application/zip"),
        ("a.mp4", "video/mp4"),
        ("a.webm", "video/webm"),
        ("a.mp3", "audio/mpeg"),
        ("a.tar.gz", "application/octet-stream"),
        ("a.unknown", "application/octet-stream"),
        ("LICENSE", "application/octet-stream"),
        ("dir.css/file", "application/octet-stream"),
    ],
)
def test_content_types(name: str, expected: str) -> None:
    assert content_type(name) == expected


def test_content_types_do_not_depend_on_the_machine() -> None:
    mimetypes.init()
    kept = mimetypes.types_map.copy()
    try:
        for suffix in (".js", ".css", ".pdf", ".mp3", ".zip"):
            mimetypes.add_type("text/wrong", suffix)
        for suffix in (".js", ".css", ".pdf", ".mp3", ".zip"):
            assert "wrong" not in content_type(f"a{suffix}")
    finally:
        mimetypes.types_map.clear()
        mimetypes.types_map.update(kept)
        mimetypes.init()


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("a.css", "gzip"),
        ("a.js", "gzip"),
        ("a.json", "gzip"),
        ("a.svg", "gzip"),
        ("a.xml", "gzip"),
        ("a.webmanifest", "gzip"),
        ("a.svgz", "gzipped"),
        ("a.png", ""),
        ("a.woff2", ""),
        ("a.zip", ""),
        ("a.mp4", ""),
        ("a", ""),
    ],
)
def test_only_text_is_compressed_and_only_without_a_cdn(name: str, encoding: str) -> None:
    assert Headers.of(name, "x").encoding == encoding
    behind_cdn = Headers.of(name, "x", compress=False).encoding
    assert behind_cdn == ("gzipped" if encoding == "gzipped" else "")


def test_threads_share_one_manifest_read(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, reads, all_wait = StaticStorage(**OPTIONS), [], threading.Barrier(8)

    def read() -> str:
        reads.append(1)
        return manifest.read_text()

    monkeypatch.setattr(storage, "read_manifest", read)

    def ask(_: int) -> str:
        all_wait.wait(10)
        return storage.url("css/base.css")

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1
    assert reads == [1]


# The same behavior with DEBUG on and off


@pytest.mark.usefixtures("manifest", "no_requests")
@pytest.mark.parametrize("name", ["css", "img", "/css"])
def test_folder_has_a_plain_url(name: str) -> None:
    assert storages["staticfiles"].url(name) == BUCKET_URL + name.lstrip("/")


@pytest.mark.usefixtures("manifest", "no_requests")
def test_leading_slash_is_ignored(settings: Any) -> None:
    url = storages["staticfiles"].url
    assert url("/css/base.css#top") == url("css/base.css#top") == f"{BUCKET_URL}css/base.27e20196a850.css#top"
    with pytest.raises(ValueError, match="Missing"):
        url("/other.css")
    settings.DEBUG = True
    assert url("/css/base.css") == "/static/css/base.css"


def imported(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> Any:
    """Import a module that calls url() on import, as forms with `class Media` do, and return the URL."""
    module = f"named_{folder.name}"
    (folder / f"{module}.py").write_text(
        f"from django.templatetags.static import static\nADDRESS = static({name!r})\n"
    )
    monkeypatch.syspath_prepend(folder)
    return importlib.import_module(module).ADDRESS


@pytest.mark.usefixtures("no_requests")
@pytest.mark.parametrize(
    ("bucket", "name", "address"),
    [
        ("example-static", "css/base.css", BUCKET_URL + "css/base.css"),
        ("example-static", "/a b.css?v=1", BUCKET_URL + "a%20b.css?v=1"),
        ("", "css/base.css", "/static/css/base.css"),
    ],
)
def test_import_time_urls_work_without_a_manifest(
    manifest: Path, settings: Any, monkeypatch: pytest.MonkeyPatch, bucket: str, name: str, address: str
) -> None:
    manifest.unlink()
    settings.STORAGES = s3_storages(OPTIONS | {"bucket_name": bucket})
    if bucket:  # the bucket doesn't contain one
        monkeypatch.setattr(StaticStorage, "_find_manifest", Mock(side_effect=ImproperlyConfigured("none")))
    assert imported(manifest.parent, monkeypatch, name) == address
    with pytest.raises(ImproperlyConfigured):
        storages["staticfiles"].url(name)


@pytest.mark.usefixtures("no_requests")
def test_import_time_urls_of_unpublished_files_are_plain(
    manifest: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert imported(manifest.parent, monkeypatch, "css/new.css") == f"{BUCKET_URL}css/new.css"
    assert "css/new.css has its plain URL" in caplog.text
    with pytest.raises(ValueError, match="Missing"):
        storages["staticfiles"].url("css/new.css")


def test_missing_static_file_is_logged_once_with_debug(
    tree: Path, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    s3_settings(settings, static=OPTIONS, DEBUG=True)
    write(tree, **{"css/a.css": "a"})
    static._note_missing.cache_clear()
    for name in (
        "css/a.css",
        "/css/a.css?v=1#x",
        "css",
        "css/",
        "",
        "css/b.css?v=1",
        "css/b.css?v=1",
        "../c",
    ):
        storages["staticfiles"].url(name)
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "There is no static file css/b.css",
        "There is no static file ../c",
    ]


@pytest.mark.parametrize("domain", ["", "cdn.example.com"])
def test_static_url_and_media_url_are_set_to_s3(settings: Any, domain: str) -> None:
    s3_settings(settings, static={"custom_domain": domain}, media={"custom_domain": domain}, DEBUG=False)
    settings.STATIC_URL, settings.MEDIA_URL = "static/", "media/"
    set_addresses()
    static_host = domain or "acme-static.s3.eu-central-1.amazonaws.com"
    media_host = domain or "acme-media.s3.eu-central-1.amazonaws.com"
    assert f"https://{static_host}/static/" == settings.STATIC_URL
    assert f"https://{media_host}/media/" == settings.MEDIA_URL


@pytest.mark.parametrize(
    "given",
    [
        {"DEBUG": True},
        {"STATIC_URL": "https://x.example/", "MEDIA_URL": "//y.example/"},
        {"STORAGES": s3_storages()},
        {"STORAGES": s3_storages({}, {})},
        {"STORAGES": {}},
        {"STORAGES": {"default": {"BACKEND": "no.such.Module"}}},
    ],
)
def test_static_url_and_media_url_are_otherwise_unchanged(settings: Any, given: dict[str, Any]) -> None:
    s3_settings(settings, DEBUG=False)
    settings.STATIC_URL, settings.MEDIA_URL = "/static/", "/media/"
    for name, value in given.items():
        setattr(settings, name, value)
    before = settings.STATIC_URL, settings.MEDIA_URL
    set_addresses()
    assert before == (settings.STATIC_URL, settings.MEDIA_URL)
