"""What the tests of a page's headers share: a site on AWS, its policy, and the points of the Observatory."""

import re
import tempfile
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from csp.constants import HEADER
from django.test import Client

from s3kit.publishing.manifest import write_manifest
from ministack import STORAGES

BUCKETS = {"AWS_STATIC_BUCKET_NAME": "acme-static", "AWS_MEDIA_BUCKET_NAME": "acme-media"}

Policy = dict[str, list[str]]


def parsed(header: str) -> Policy:
    directives = [directive.split() for directive in header.split(";")]
    assert all(directives)
    assert len({names[0] for names in directives}) == len(directives), "a directive stands twice"
    return {name: sources for name, *sources in directives}


@pytest.fixture
def on_aws(settings: Any, tmp_path: Path) -> Any:
    """Set the settings to a site on AWS behind https, with the manifest as a file, and return them."""
    settings.DEBUG = False
    settings.USE_S3 = True
    settings.AWS_S3_REGION_NAME = "eu-central-1"
    for name, value in BUCKETS.items():
        setattr(settings, name, value)
    settings.STORAGES = STORAGES
    settings.STATICFILES_MANIFEST = tmp_path / "staticfiles.json"
    settings.ALLOWED_HOSTS = ["www.example.com"]
    settings.SECURE_SSL_REDIRECT = settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    settings.SECURE_HSTS_SECONDS = 365 * 24 * 3600
    settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    directives = settings.CONTENT_SECURITY_POLICY["DIRECTIVES"] | {"upgrade-insecure-requests": True}
    settings.CONTENT_SECURITY_POLICY = {"DIRECTIVES": directives}
    settings.STATICFILES_MANIFEST.write_bytes(manifest())
    return settings


@cache
def manifest() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write_manifest(Path(folder) / "staticfiles.json")
        return (Path(folder) / "staticfiles.json").read_bytes()


@pytest.fixture
def visitor() -> Client:
    return Client(headers={"host": "www.example.com"}, raise_request_exception=False)


class Page(HTMLParser):
    """What a policy without 'unsafe-inline' would not run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.inline: list[str] = []
        self.scripts: list[dict[str, str | None]] = []
        self.modules: list[dict[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.inline += [f"<{tag} {name}>" for name in given if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in given):
            self.inline.append(f"<{tag}>")
        if tag == "script":
            self.scripts.append(given)
        if tag == "link" and given.get("rel") == "modulepreload":
            self.modules.append(given)
        if any((value or "").lower().startswith("javascript:") for value in given.values()):
            self.inline.append(f"<{tag}> javascript:")


def assert_nothing_inline(answer: Any) -> None:
    """Hold a page to the policy: it came with one, and has nothing that it would not run."""
    assert parsed(answer.headers[HEADER])["default-src"] == ["'none'"]
    assert Page(answer.content.decode()).inline == []


# Mozilla's HTTP Observatory. https://developer.mozilla.org/en-US/observatory/docs/tests_and_scoring


BROAD = {"ftp:", "http:", "https:", "*", "http://*", "https://*", "data:", "'unsafe-inline'", "'unsafe-eval'"}


def observatory(answer: Any, host: str) -> dict[str, int]:
    """Return, by test, the points that Mozilla's HTTP Observatory (its version 1.6) gives or takes.

    100 points are given to begin with; rewards count only from 90 on.
    """
    headers = {name.lower(): value for name, value in answer.headers.items()}
    policy = parsed(headers.get("content-security-policy", "default-src *"))
    fetched = {name: set(sources) for name, sources in policy.items()}
    default = fetched.get("default-src", {"*"})
    unsafe = fetched.get("script-src", default) | fetched.get("style-src", default)
    unsafe |= fetched.get("object-src", default)
    plain = [source for sources in policy.values() for source in sources if source.startswith("http:")]
    points = {"csp": -25 if unsafe & BROAD or plain else 10 if default == {"'none'"} else 5}

    points["cookies"] = 5 if answer.cookies else 0
    for name, morsel in answer.cookies.items():
        if not morsel["secure"] or morsel["samesite"] not in {"Lax", "Strict"}:
            points["cookies"] = -20
        if "sess" in name and not morsel["httponly"]:
            points["cookies"] = -30
    points["cors"] = -50 if "access-control-allow-origin" in headers else 0
    age = re.search(r"max-age=(\d+)", headers.get("strict-transport-security", ""))
    points["hsts"] = 0 if age and int(age[1]) >= 15768000 else -20
    strict = {"no-referrer", "same-origin", "strict-origin", "strict-origin-when-cross-origin"}
    points["referrer"] = 5 if headers.get("referrer-policy") in strict else 0
    points["nosniff"] = 0 if headers.get("x-content-type-options") == "nosniff" else -5
    framed = fetched.get("frame-ancestors", {"*"})
    points["frames"] = 5 if not framed & BROAD else -20
    isolated = {"same-origin", "require-corp", "credentialless"}
    for short, name in (("corp", "resource"), ("coep", "embedder"), ("coop", "opener")):
        points[short] = 10 if headers.get(f"cross-origin-{name}-policy") in isolated else 0

    points["integrity"] = 0
    for script in Page(answer.content.decode()).scripts:
        source = urlsplit(str(script.get("src")))
        if source.netloc in {"", host}:
            continue
        if source.scheme != "https":
            points["integrity"] = -20 if "integrity" in script else -50
        elif points["integrity"] >= 0:
            points["integrity"] = 5 if "integrity" in script else -5
    return points


BEST = {
    "csp": 10,
    "cookies": 5,
    "cors": 0,
    "hsts": 0,  # 5 for the browsers' preload list, which is the owner's decision
    "referrer": 5,
    "nosniff": 0,
    "frames": 5,
    "corp": 10,
    "coep": 10,
    "coop": 10,
    "integrity": 5,
}
