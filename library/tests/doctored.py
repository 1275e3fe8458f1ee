"""Helpers for the doctor's tests: a healthy site to break, and reports on it."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import create_loader
from django.core.management import call_command

from s3kit.deployment import Deployment
from s3kit.doctor.report import Report, diagnose
from s3kit.doctor.shared import Line, Role
from s3kit.local.server import LocalServer
from tests.ministack import MakeSite, SiteOnS3

TEXT = "/* text that shrinks when it is compressed, so that it is */\n" * 30
_random = random.Random(7)
FILES = {
    "site.css": ("@font-face { src: url('font.woff2') }\n" + TEXT).encode(),
    "page.js": TEXT.encode(),
    "logo.svg": f"<svg xmlns='http://www.w3.org/2000/svg'><!-- {TEXT} --></svg>".encode(),
    "font.woff2": _random.randbytes(2000),
    "dot.png": _random.randbytes(1000),
    "sub folder/ü+.txt": b"short",
}
# Only AWS has accounts, so these probes can't tell on the local server.
BY_DESIGN = {"account block"}


_loader = cache(create_loader)


@dataclass(frozen=True)
class Doctored:
    """A site on S3 with deployed static files, for tests to break."""

    site: SiteOnS3

    @property
    def root(self) -> Any:
        return _root(self.site.store)

    @property
    def static(self) -> str:
        return self.site.static_bucket

    @property
    def media(self) -> str:
        return self.site.media_bucket

    def left(self) -> list[str]:
        """Return the objects and multipart uploads that a doctor has left behind."""
        found = []
        for bucket in {self.static, self.media}:
            try:
                found += self.root.list_objects_v2(Bucket=bucket).get("Contents", [])
                found += self.root.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
            except self.root.exceptions.NoSuchBucket:
                continue
        return [entry["Key"] for entry in found if ".doctor-" in entry["Key"]]

    def hashed(self, name: str) -> str:
        """Return the key of a static file's hashed name."""
        listed = self.root.list_objects_v2(Bucket=self.static, Prefix="static/")["Contents"]
        stem, _, suffix = name.rpartition(".")
        found = [entry["Key"] for entry in listed if entry["Key"].startswith(f"static/{stem}.")]
        return str(next(key for key in found if key.endswith(suffix) and key != f"static/{name}"))


def diagnosed(role: Role | None = None) -> Report:
    """Return the report on STORAGES."""
    return diagnose(Deployment.load(), role)


def change(settings: Any, alias: str, **options: Any) -> None:
    """Change options of an entry in STORAGES."""
    entry = settings.STORAGES[alias]
    settings.STORAGES = settings.STORAGES | {alias: entry | {"OPTIONS": entry["OPTIONS"] | options}}


def examined(role: Role | None = None) -> Report:
    """Return the report on STORAGES, after checking that it fits a terminal, suggests fixes, and has no secrets."""
    report = diagnosed(role)
    for width in (80, 100):
        text = report.as_text(width=width, verbosity=2)
        assert max(map(len, text.splitlines())) <= width + 20, text  # ARNs and URLs don't wrap
        assert "Signature=" not in text
    assert all((line.text + line.fix).isprintable() for line in report.lines)
    assert all(line.fix for line in report.lines if line.status in {"not ok", "warning"})
    assert not any(line.fix for line in report.lines if line.status == "ok")
    return report


def troubles(report: Report) -> dict[str, Line]:
    """Return the lines that are not ok, except those that can't be ok on a local server."""
    return {
        line.probe: line
        for line in report.lines
        if line.status != "ok" and not (line.probe in BY_DESIGN and line.status == "can't tell")
    }


def trouble(probe: str, role: Role | None = None) -> tuple[str, str, str]:
    """Return the status, text, and fix of the only line that is not ok."""
    found = troubles(examined(role))
    assert set(found) == {probe}, found
    return found[probe].status, found[probe].text, found[probe].fix


@cache
def _root(store: LocalServer) -> Any:
    return store.client()


@pytest.fixture
def healthy_site(
    s3_site: MakeSite, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Return a function that creates a healthy site, and check at the end that the doctor left nothing behind."""
    # Each test has its own session, but botocore's service descriptions are loaded only once.
    monkeypatch.setattr("botocore.session.create_loader", _loader)
    made: list[Doctored] = []
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    settings.STATICFILES_DIRS = [tmp_path]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    settings.STATICFILES_MANIFEST = tmp_path.parent / "no-manifest.json"
    settings.DEBUG = False

    def make(access: str = "private", *, deployed: bool = True, **more: Any) -> Doctored:
        site = s3_site(access, **more)
        if deployed:
            call_command("collectstatic", interactive=False, verbosity=0)
        made.append(Doctored(site))
        return made[-1]

    yield make
    assert [doctored.left() for doctored in made] == [[]] * len(made)
