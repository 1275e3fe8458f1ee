"""django-vite finds Vite's build, with the default settings of both."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.template import Context, Template

from tests.ministack import MakeSite, anonymous

pytestmark = pytest.mark.slow


def built(folder: Path, *, chunk: str, entry: str) -> None:
    """Write the files that Vite writes for an entry with a style sheet and a dynamic import."""
    files = {
        f"assets/main-{entry}.js": f'const l=()=>import("./lazy-{chunk}.js");export{{l as a}};'.encode(),
        f"assets/lazy-{chunk}.js": f'import{{a}}from"./main-{entry}.js";export default [a,"{chunk}"];'.encode(),
        f"assets/main-{entry}.css": f"body{{background:url(/static/assets/lake-{entry}.svg)}}".encode(),
        f"assets/lake-{entry}.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "manifest.json": json.dumps(
            {
                "src/main.js": {
                    "file": f"assets/main-{entry}.js",
                    "name": "main",
                    "src": "src/main.js",
                    "isEntry": True,
                    "dynamicImports": ["src/lazy.js"],
                    "css": [f"assets/main-{entry}.css"],
                    "assets": [f"assets/lake-{entry}.svg"],
                },
                "src/lazy.js": {
                    "file": f"assets/lazy-{chunk}.js",
                    "name": "lazy",
                    "src": "src/lazy.js",
                    "isDynamicEntry": True,
                    "imports": ["src/main.js"],
                },
            }
        ).encode(),
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def rendered() -> list[str]:
    """Return the URLs on a page of a server that has just started."""
    from django_vite.core.asset_loader import DjangoViteAssetLoader

    DjangoViteAssetLoader._instance = None
    page = Template("{% load django_vite %}{% vite_asset 'src/main.js' %}").render(Context())
    return re.findall(r'(?:src|href)="([^"]+)"', page)


@pytest.mark.works_with(
    "django-vite",
    "With the default settings, a page finds the files of two deploys, which browsers cache for a year.",
)
@pytest.mark.parametrize("command", ["collectstatic", "s3 manifest"])
def test_vite(s3_site: MakeSite, settings: Any, tmp_path: Path, command: str) -> None:
    dist = tmp_path / "dist"
    settings.STATICFILES_DIRS, settings.STATIC_ROOT = [dist], tmp_path / "static"
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    settings.STATICFILES_MANIFEST = tmp_path / "staticfiles.json"
    s3_site()
    seen: list[str] = []
    for entry, chunk in (("Bq3xK9aZ", "CxY12_ab"), ("Dk0-mN4p", "Ea77sTuv")):
        for path in [*dist.rglob("*.*"), *settings.STATIC_ROOT.rglob("*.*")]:
            path.unlink()
        dist.mkdir(exist_ok=True)
        built(dist, chunk=chunk, entry=entry)
        call_command("collectstatic", interactive=False, verbosity=0)
        if command == "s3 manifest":  # in the build of an image, whose STATIC_ROOT the server has
            shutil.rmtree(settings.STATIC_ROOT)
            call_command("s3", "manifest", verbosity=0)
        names = rendered()
        assert [each.rpartition("/")[2] for each in names] == [f"main-{entry}.css", f"main-{entry}.js"]
        seen += [*names, names[1].replace("main-", "lazy-").replace(entry, chunk)]
        for url in seen:
            answer = anonymous(url)
            assert (answer.status, "immutable" in answer.headers["cache-control"]) == (200, True)
