"""Rollbacks: the earlier version's pages find their files, even after weeks of deploys and a prune."""

import gzip
import io
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin

import pytest
from django.core.management import call_command
from django.template import Context, Template

from s3kit.buckets import policies
from s3kit.deployment import Deployment
from s3kit.publishing.collect import collect
from s3kit.storages.static import StaticStorage
from tests.fault_proxy import FaultProxy
from tests.ministack import ActAs, MakeSite, SiteOnS3, anonymous, new_user

pytestmark = pytest.mark.slow

PAGE = """{% load static %}<link rel="stylesheet" href="{% static 'site/site.css' %}">
<script type="module" src="{% static 'site/page.js' %}"></script><img src="{% static 'site/logo.svg' %}">"""
TREE = {
    "site/site.css": "@font-face { src: url('font.woff2') } a { background: url('logo.svg') }\n",
    "site/logo.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>\n",
    "site/page.js": "export const page = 1;\n",
    "site/font.woff2": "a font",
}
# The versions below differ in these.
CHANGED = ("site/site.css", "site/logo.svg")


@dataclass
class Versions:
    """A site, and the source tree of its static files, which contains one version after the other."""

    site: SiteOnS3
    proxy: FaultProxy
    tree: Path
    settings: Any

    def check_out(self, version: str) -> dict[str, bytes]:
        """Write a version's files to the tree, and return the content by hashed name."""
        shutil.rmtree(self.tree, ignore_errors=True)
        for name, text in TREE.items():
            kind = "/* {} */" if name.endswith("css") else "<!-- {} -->"
            path = self.tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + kind.format(version) * (name in CHANGED), "utf-8")
        storage = StaticStorage()
        stage, content = collect(storage), {}
        for name in stage.derived.keys() - {storage.manifest_name}:
            with stage.source(name).open() as file:
                content[name] = file.read()
        return content

    def deploy(self) -> str:
        out = io.StringIO()
        call_command("collectstatic", interactive=False, stdout=out)
        return out.getvalue().strip()

    def pass_days(self, days: int) -> None:
        for key in self.keys():
            path = f"/{self.site.static_bucket}/{key}"
            self.proxy.aged[path] = self.proxy.aged.get(path, 0) + days

    def keys(self) -> set[str]:
        pages = self.site.root.get_paginator("list_objects_v2").paginate(Bucket=self.site.static_bucket)
        return {each["Key"] for page in pages for each in page["Contents"]}

    def run(self, manifest: Path) -> dict[str, bytes]:
        """Run the site with a manifest, and return everything that its page loads from S3, by hashed name."""
        self.settings.STATICFILES_MANIFEST = manifest
        self.settings.STORAGES = dict(self.settings.STORAGES)  # a new process has no manifest yet
        address = self.site.url(self.site.static_bucket, "static/").replace(
            self.site.store.endpoint, self.proxy.endpoint
        )
        found: dict[str, bytes] = {}
        urls = re.findall(r'(?:href|src)="([^"]+)"', Template(PAGE).render(Context()))
        assert all(url.startswith(address) for url in urls)
        while urls:
            url = urls.pop().partition("#")[0]
            name = unquote(url.removeprefix(address))
            if name in found:
                continue
            got = anonymous(url, headers={"Accept-Encoding": "gzip"})
            assert got.status == 200, url
            found[name] = unpacked(got.body) if "content-encoding" in got.headers else got.body
            if name.endswith(".css"):
                more = re.findall(r'url\("?([^)"]+)"?\)', found[name].decode())
                urls += [urljoin(url, each) for each in more]
        return found


def unpacked(body: bytes) -> bytes:
    return gzip.decompress(body)


@pytest.fixture
def versions(s3_site: MakeSite, act_as: ActAs, settings: Any, tmp_path: Path) -> Iterator[Versions]:
    site = s3_site()
    wanted = Deployment.load()
    roles = ("web", "deploy", "prune")
    act_as(new_user(site.store, *(policies.document(policies.ROLES[role](wanted)) for role in roles)))
    settings.DEBUG = False
    settings.STATICFILES_DIRS = [tmp_path / "static"]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    with FaultProxy(site.store.endpoint) as proxy:
        settings.AWS_S3_ENDPOINT_URL = proxy.endpoint
        yield Versions(site, proxy, tmp_path / "static", settings)


def test_rollback_works_after_later_deploys_and_a_prune(versions: Versions, tmp_path: Path) -> None:
    content, manifests = {}, {}
    for version in ("zero", "A", "B"):
        content[version] = versions.check_out(version)
        manifests[version] = tmp_path / f"{version}.json"
        call_command("s3", "manifest", output=manifests[version], stdout=io.StringIO())
        versions.deploy()
        versions.pass_days(100)
    assert versions.run(manifests["B"]).items() <= content["B"].items()

    out = io.StringIO()
    call_command("s3", "prune", "--keep", "2", "--delete", stdout=out)
    assert f"\n{len(CHANGED) + 1} of {len(CHANGED) + 1} objects removed" in out.getvalue()
    gone = {f"static/{name}" for name in content["zero"].keys() - content["A"].keys()}
    assert len(gone) == len(CHANGED)
    assert not gone & versions.keys()

    # Files older than the kept manifests are deleted; otherwise, this test would prove nothing.
    with pytest.raises(AssertionError, match=r"static/site/(site|logo)\."):
        versions.run(manifests["zero"])

    # The image of version A contains its manifest.
    loaded = versions.run(manifests["A"])
    assert loaded.items() <= content["A"].items()
    assert {name for name in loaded if re.match(r"site/(site|logo)\.", name)} & (
        content["A"].keys() - content["B"].keys()
    )
    # B's pages, which some processes may still serve.
    assert versions.run(manifests["B"]).items() <= content["B"].items()

    # The checkout of version A, deployed again: uploads plain names that B changed, and A is live.
    versions.check_out("A")
    line = versions.deploy()
    assert re.search(rf": {len(CHANGED)} uploaded, \d+ unchanged, .* manifest: new\.$", line), line
    assert versions.run(tmp_path / "no-manifest.json") == loaded
    for name in CHANGED:
        plain = anonymous(versions.site.url(versions.site.static_bucket, f"static/{name}"))
        body = unpacked(plain.body) if "content-encoding" in plain.headers else plain.body
        assert body.rstrip().endswith(b"A */" if name.endswith("css") else b"A -->")
