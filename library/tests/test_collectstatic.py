"""`manage.py collectstatic` as a process, with a strict S3 server behind a fault proxy.

After each deploy, fault, kill, and race, every entry in the live manifest is fetched as a visitor, and
compared with the source.
"""

import gzip
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from s3kit.publishing import history, publish
from tests import processes
from tests.fault_proxy import Fault, FaultProxy
from tests.ministack import MakeSite, SiteOnS3, anonymous

pytestmark = pytest.mark.slow

LONG = "/* " + "text that shrinks " * 20 + "*/\n"
_random = random.Random(7)
SOURCES = {
    "css/base.css": ('@import url("theme.css");\nbody { src: url("../img/dot.png") }\n' + LONG).encode(),
    "css/theme.css": ('@font-face { src: url("../fonts/a.woff2") }\n' + LONG).encode(),
    "js/app.js": ('import { one } from "./one.js";\n' + LONG).encode(),
    "js/one.js": f"export const one = 1;\n{LONG}".encode(),
    "img/dot.png": _random.randbytes(3000),
    "fonts/a.woff2": _random.randbytes(2000),
    "docs/read me ü+*~.txt": LONG.encode(),
    "docs/100%.png": _random.randbytes(100),
    "docs/tiny.txt": b"too small to shrink",
}
OBJECTS = 2 * len(SOURCES)
# Replaces the key of the manifest's copy, which contains a hash, in lists of uploads.
COPY = "static/manifests/(copy)"
SETTINGS = """
import os
from tests.process_settings import *
STATICFILES_DIRS = [os.environ["TEST_SOURCES"]]
if not os.environ.get("TEST_ALL_APPS"):
    INSTALLED_APPS = ["s3kit", "django.contrib.staticfiles"]
    STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
AWS_STATIC_BUCKET_NAME = os.environ.get("BUCKET_IN_SETTINGS")
if USE_S3:
    STORAGES["staticfiles"]["OPTIONS"]["custom_domain"] = os.environ.get("STATIC_DOMAIN")
"""


@dataclass
class Deploy:
    """A source tree, and the environment of the process that deploys it."""

    site: SiteOnS3
    proxy: FaultProxy
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def sources(self) -> Path:
        return self.folder / "sources"

    def write(self, **files: bytes) -> None:
        for name, content in files.items():
            path = self.sources / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def start(
        self,
        *arguments: str,
        command: str = "collectstatic",
        launcher: Sequence[str] = (),
        **environment: str,
    ) -> "subprocess.Popen[str]":
        given = {
            "PYTHONPATH": str(self.folder),
            "DJANGO_SETTINGS_MODULE": "settings_of_test",
            "TEST_FOLDER": str(self.folder),
            "TEST_SOURCES": str(self.sources),
            "USE_S3": "true",
            "STATIC_BUCKET": self.site.static_bucket,
            "MEDIA_BUCKET": self.site.media_bucket,
            "AWS_S3_ENDPOINT_URL": self.proxy.endpoint,
            "AWS_ACCESS_KEY_ID": self.site.key.id,
            "AWS_SECRET_ACCESS_KEY": self.site.key.secret,
        }
        return subprocess.Popen(
            [*launcher, *processes.MANAGE, *command.split(), *arguments],
            cwd=self.folder,
            env=processes.environment(**given | self.environment | environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, command: str = "collectstatic", **environment: str) -> "Outcome":
        process = self.start(*arguments, command=command, **environment)
        out, err = process.communicate(timeout=120)
        # botocore logs where it found the keys
        err = "".join(line for line in err.splitlines(keepends=True) if "botocore.credentials" not in line)
        return Outcome(process.returncode, out, err)

    def deployed(self, *arguments: str, **environment: str) -> str:
        """Deploy successfully, and return the last line."""
        outcome = self.run(*arguments, **environment)
        assert outcome.code == 0, outcome
        assert not outcome.err, outcome
        return outcome.out.strip().splitlines()[-1]

    def manifest(self) -> dict[str, Any] | None:
        """Return the live manifest as a visitor gets it, or None."""
        answer = anonymous(f"{self.site.store.endpoint}/{self.site.static_bucket}/static/staticfiles.json")
        return json.loads(answer.body) if answer.status == 200 else None

    def fetch(self, name: str) -> tuple[bytes, dict[str, str]]:
        """Return a file's decompressed content and its headers, as a visitor gets them."""
        answer = anonymous(f"{self.site.store.endpoint}/{self.site.static_bucket}/static/{quote(name)}")
        assert answer.status == 200, (name, answer)
        packed = answer.headers.get("content-encoding") == "gzip"
        return gzip.decompress(answer.body) if packed else answer.body, dict(answer.headers)

    def check_live(self, *versions: dict[str, bytes]) -> int:
        """Check that the live manifest matches exactly one of the source trees, and return its index."""
        manifest = self.manifest()
        assert manifest
        live = {name: without_hashes(self.fetch(hashed)[0]) for name, hashed in manifest["paths"].items()}
        assert live in versions
        return versions.index(live)

    def uploads(self, pattern: str = "") -> list[str]:
        """Return the keys of all successful uploads."""
        prefix = f"/{self.site.static_bucket}/"
        taken = [r for r in self.proxy.matching("PUT", pattern) if r.status == 200]
        keys = [r.path.removeprefix(prefix) for r in taken]
        return sorted(COPY if history.hash_in(key.removeprefix("static/")) else key for key in keys)


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


def without_hashes(content: bytes) -> bytes:
    """Return the source of a rewritten file."""
    return re.sub(rb"(?<=\w)\.[0-9a-f]{12}(?=\.\w)", b"", content)


@pytest.fixture
def deploy(s3_site: MakeSite, tmp_path: Path) -> Iterator[Deploy]:
    site = s3_site()
    (tmp_path / "settings_of_test.py").write_text(SETTINGS)
    with FaultProxy(site.store.endpoint) as proxy:
        made = Deploy(site, proxy, tmp_path)
        made.write(**SOURCES)
        yield made


# Counts


def test_deploy_uploads_only_changes_and_otherwise_sends_two_requests(deploy: Deploy) -> None:
    line = deploy.deployed()
    assert line.startswith(f"{len(SOURCES)} files as {OBJECTS} objects: {OBJECTS} uploaded, 0 unchanged, ")
    assert deploy.check_live(SOURCES) == 0
    keys = [request.path for request in deploy.proxy.matching("PUT")]
    assert len(keys) == OBJECTS + 2
    hashed = [re.search(r"\.[0-9a-f]{12}\.", key) is not None for key in keys]
    assert hashed == [True] * len(SOURCES) + [False] * (len(SOURCES) + 2), "hashed names, then plain ones"
    assert "/static/manifests/" in keys[-2], "then the copy of the manifest"
    assert keys[-1].endswith("/static/staticfiles.json"), "and the manifest last"

    deploy.proxy.clear()
    line = deploy.deployed()
    assert f"0 uploaded, {OBJECTS} unchanged, 0 bytes" in line
    assert [request.method for request in deploy.proxy.requests] == ["GET", "GET"]

    deploy.proxy.clear()
    changed = SOURCES | {"docs/100%.png": b"new"}
    deploy.write(**changed)
    line = deploy.deployed()
    assert f"2 uploaded, {OBJECTS - 2} unchanged" in line
    assert [request.method for request in deploy.proxy.requests] == ["GET"] * 2 + ["PUT"] * 4
    assert deploy.check_live(changed) == 0
    assert deploy.fetch("docs/100%.png")[0] == b"new"


def test_changed_file_also_changes_the_files_that_refer_to_it(deploy: Deploy) -> None:
    deploy.deployed()
    old = deploy.manifest()
    deploy.proxy.clear()
    changed = SOURCES | {"fonts/a.woff2": b"another font"}
    deploy.write(**changed)
    deploy.deployed()
    assert deploy.check_live(changed) == 0
    new = deploy.manifest()
    assert old
    assert new
    differ = {name for name in SOURCES if old["paths"][name] != new["paths"][name]}
    assert differ == {"fonts/a.woff2", "css/theme.css", "css/base.css"}
    # The old page's files still exist.
    for name, hashed in old["paths"].items():
        assert without_hashes(deploy.fetch(hashed)[0]) == SOURCES[name]


def test_listing_of_more_than_1000_objects_is_paginated(deploy: Deploy) -> None:
    deploy.write(**{f"many/{number}.txt": b"%d" % number for number in range(510)})
    deploy.deployed()
    deploy.proxy.clear()
    deploy.deployed()
    assert deploy.proxy.count("GET", "list-type") == 2
    assert deploy.proxy.count() == 3


def test_static_files_have_the_right_headers(deploy: Deploy) -> None:
    deploy.deployed()
    manifest = deploy.manifest()
    assert manifest
    for name in SOURCES:
        for key, cache in (
            (name, "public, max-age=300"),
            (manifest["paths"][name], "public, max-age=31536000, immutable"),
        ):
            headers = deploy.fetch(key)[1]
            assert headers["cache-control"] == cache
            packed = not name.endswith(("png", "woff2", "tiny.txt"))
            assert headers.get("content-encoding") == ("gzip" if packed else None)
    assert deploy.fetch("css/base.css")[1]["content-type"] == "text/css; charset=utf-8"
    assert deploy.fetch("js/app.js")[1]["content-type"] == "text/javascript; charset=utf-8"
    assert deploy.fetch("fonts/a.woff2")[1]["content-type"] == "font/woff2"
    assert deploy.fetch("img/dot.png")[1]["content-type"] == "image/png"
    headers = deploy.fetch("staticfiles.json")[1]
    assert (headers["content-type"], headers["cache-control"]) == ("application/json", "no-cache")
    acls = [r for r in deploy.proxy.requests if "x-amz-acl" in r.headers]
    assert not acls


def test_cdn_domain_disables_compression_but_keeps_hashed_objects(deploy: Deploy) -> None:
    deploy.deployed()
    deploy.proxy.clear()
    deploy.deployed(STATIC_DOMAIN="static.example.com")
    text = [f"static/{name}" for name in SOURCES if not name.endswith(("png", "woff2"))]
    assert deploy.uploads() == sorted([*text, COPY, "static/staticfiles.json"])
    for name in SOURCES:
        assert "content-encoding" not in deploy.fetch(name)[1]
    assert deploy.check_live(SOURCES) == 0
    # A file that is new afterwards is not compressed under either name.
    deploy.write(**{"new.css": LONG.encode()})
    deploy.proxy.clear()
    deploy.deployed(STATIC_DOMAIN="static.example.com")
    assert len(deploy.uploads(r"/new\.")) == 2
    assert all(r.size == len(LONG) for r in deploy.proxy.matching("PUT", r"/new\."))


def test_compression_is_deterministic(deploy: Deploy) -> None:
    deploy.deployed()
    key = "static/css/base.css"
    first = deploy.site.root.get_object(Bucket=deploy.site.static_bucket, Key=key)["Body"].read()
    deploy.site.root.delete_object(Bucket=deploy.site.static_bucket, Key=key)
    os.utime(deploy.sources / "css/base.css", (1, 1))
    deploy.deployed()
    assert deploy.site.root.get_object(Bucket=deploy.site.static_bucket, Key=key)["Body"].read() == first


# Failures


def test_rejected_upload_fails_the_command_and_keeps_the_old_manifest(deploy: Deploy) -> None:
    deploy.deployed()
    changed = SOURCES | {"img/dot.png": b"changed", "docs/100%.png": b"too"}
    deploy.write(**changed)
    deploy.proxy.clear()
    deploy.proxy.faults.append(Fault("PUT", r"/img/dot", status=403, code="AccessDenied"))
    outcome = deploy.run()
    assert outcome.code == 1
    assert "Traceback" not in outcome.err
    assert re.search(r"static/img/dot\.[0-9a-f]{12}\.png: AccessDenied\n", outcome.err)
    assert not deploy.proxy.count("PUT", "staticfiles.json")
    assert not deploy.uploads(r"static/docs/100%\.png"), "plain names wait for all hashed ones"
    assert deploy.check_live(SOURCES, changed) == 0

    deploy.proxy.clear()
    deploy.deployed()
    assert deploy.check_live(changed) == 0
    # The failed run uploaded the hashed 100%.png and base.css, which refers to dot.png.
    assert not [key for key in deploy.uploads() if re.search(r"(100%|base)\.[0-9a-f]{12}", key)]
    assert len(deploy.uploads(r"dot\.[0-9a-f]{12}")) == 1


def test_deploy_after_a_failure_uploads_only_what_is_missing(deploy: Deploy) -> None:
    deploy.proxy.faults.append(Fault("PUT", r"/static/img/dot\.png", status=403, code="AccessDenied"))
    outcome = deploy.run()
    assert outcome.code == 1
    assert "  static/img/dot.png: AccessDenied\n" in outcome.err
    assert deploy.manifest() is None
    deploy.proxy.clear()
    deploy.deployed()
    assert deploy.uploads() == ["static/img/dot.png", COPY, "static/staticfiles.json"]
    assert deploy.check_live(SOURCES) == 0


def test_failed_manifest_upload_fails_the_command(deploy: Deploy) -> None:
    deploy.proxy.faults.append(Fault("PUT", "staticfiles.json", status=403, code="AccessDenied"))
    outcome = deploy.run()
    assert outcome.code == 1
    assert "  static/staticfiles.json: AccessDenied\n" in outcome.err
    deploy.proxy.clear()
    deploy.deployed()
    assert deploy.uploads() == [COPY, "static/staticfiles.json"]
    assert deploy.check_live(SOURCES) == 0


def test_permanent_500_fails_after_retries(deploy: Deploy) -> None:
    deploy.proxy.faults.append(Fault("PUT", r"/static/img/dot\.png", status=500, code="InternalError"))
    outcome = deploy.run()
    assert outcome.code == 1
    assert "  static/img/dot.png: InternalError\n" in outcome.err
    assert deploy.manifest() is None
    assert deploy.proxy.count("PUT", r"/static/img/dot\.png") > 5


@pytest.mark.parametrize(
    "fault",
    [
        Fault("PUT", status=503, code="SlowDown", every=2),
        Fault("PUT", status=500, every=3),
        Fault("PUT", cut="before", every=3),
        Fault("PUT", cut="after", every=3),
        Fault("PUT", cut="reset", every=3),
        Fault("GET", status=503, code="SlowDown", times=2),
        Fault("GET", cut="before", times=2),
    ],
    ids=["503", "500", "cut before", "cut after", "reset", "503 on a read", "cut on a read"],
)
def test_transient_faults_are_retried(deploy: Deploy, fault: Fault) -> None:
    deploy.proxy.faults.append(fault)
    deploy.deployed()
    assert fault.struck
    assert deploy.check_live(SOURCES) == 0


def test_deploy_stops_after_many_failures_and_shortens_their_list(deploy: Deploy) -> None:
    deploy.write(**{f"many/{number:03}.png": b"%d" % number for number in range(300)})
    deploy.proxy.faults.append(Fault("PUT", "/many/", status=403, code="AccessDenied"))
    outcome = deploy.run()
    assert outcome.code == 1
    lines = outcome.err.strip().splitlines()
    assert len(lines) < 30
    assert "  and 30 more" in lines
    assert deploy.proxy.count("PUT", "/many/") < 200


@pytest.mark.parametrize(
    ("environment", "fault", "expected"),
    [
        ({}, Fault("GET", "list-type", status=404, code="NoSuchBucket"), "the bucket does not exist"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, None, "No AWS credentials"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, None, "SignatureDoesNotMatch"),
        ({}, Fault("GET", "list-type", status=403, code="AccessDenied"), "s3:ListBucket"),
        ({}, Fault("GET", "staticfiles.json", status=403, code="AccessDenied"), "s3:GetObject"),
        ({}, Fault("GET", "list-type", status=301, code="PermanentRedirect"), "AWS_S3_REGION_NAME"),
    ],
    ids=["bucket", "credentials", "secret", "listing", "manifest", "region"],
)
def test_errors_before_the_first_upload_are_reported_in_one_line(
    deploy: Deploy, environment: dict[str, str], fault: Fault | None, expected: str
) -> None:
    deploy.proxy.faults += [fault] if fault else []
    outcome = deploy.run(**environment)
    assert outcome.code == 1
    assert expected in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
    assert not deploy.proxy.count("PUT")


def test_reference_to_a_missing_file_is_a_warning(deploy: Deploy) -> None:
    deploy.write(**{"css/broken.css": b'a {\n background: url("missing.png") }'})
    outcome = deploy.run()
    assert outcome.code == 0
    assert outcome.err == (
        'css/broken.css, line 2: url("missing.png") is not rewritten: there is no css/missing.png.\n'
    )


def test_strict_references_stop_the_deploy_at_a_missing_file(deploy: Deploy) -> None:
    deploy.write(**{"css/broken.css": b'a { background: url("missing.png") }'})
    settings = deploy.folder / "settings_of_test.py"
    settings.write_text(settings.read_text() + "AWS_STATIC_STRICT_REFERENCES = True\n")
    outcome = deploy.run()
    assert outcome.code == 1
    assert "css/broken.css, line 1" in outcome.err
    assert "css/missing.png" in outcome.err
    assert "Traceback" not in outcome.err
    assert not deploy.proxy.count("PUT")


# Bundlers


def test_files_hashed_by_a_bundler_keep_their_names(deploy: Deploy) -> None:
    script, other = "build/main-Bq3xK9aZ.js", "build/index.js"
    deploy.write(**{script: b"export const a = 1;" * 20, other: b"import './main-Bq3xK9aZ.js'"})
    deploy.deployed()  # not configured yet
    assert "immutable" not in deploy.fetch(script)[1]["cache-control"]
    deploy.write(**{"build/manifest.json": b'{"a": {"file": "main-Bq3xK9aZ.js", "name": "main"}}'})
    deploy.deployed()
    manifest = deploy.manifest()
    assert manifest
    assert manifest["paths"][script] == script
    body, headers = deploy.fetch(script)
    assert body == b"export const a = 1;" * 20
    assert headers["cache-control"] == publish.IMMUTABLE
    assert deploy.fetch(manifest["paths"][other])[0] == b'import"./main-Bq3xK9aZ.js"'
    deploy.proxy.clear()
    deploy.deployed()
    assert not deploy.uploads()


@pytest.mark.parametrize("remembered", [True, False])
def test_different_content_under_a_prehashed_name_stops_the_deploy(
    deploy: Deploy, *, remembered: bool
) -> None:
    script = "build/main-Bq3xK9aZ.js"
    settings = deploy.folder / "settings_of_test.py"
    settings.write_text(settings.read_text() + "AWS_STATIC_PREHASHED = ['build/*']\n")
    deploy.write(**{script: b"export const a = 1;"})
    deploy.deployed()
    before = deploy.manifest()
    if not remembered:
        deploy.site.root.put_object(Bucket=deploy.site.static_bucket, Key=f"static/{script}", Body=b"another")
    deploy.write(**{script: b"export const a = 2;", "css/new.css": b"a {}"})
    outcome = deploy.run()
    assert outcome.code == 1
    assert f"{script} is already published with different content" in outcome.err
    assert deploy.manifest() == before
    assert deploy.fetch(script)[0] == (b"export const a = 1;" if remembered else b"another")


# Kills and races


@pytest.mark.parametrize("after", [0, 3, len(SOURCES) + 2, OBJECTS])
def test_killed_deploy_leaves_the_site_intact_and_can_be_repeated(deploy: Deploy, after: int) -> None:
    deploy.deployed()
    changed = {name: content + b"\n" for name, content in SOURCES.items()}
    deploy.write(**changed)
    deploy.proxy.clear()
    # This many uploads succeed, the others hang until the process is dead.
    hanging = threading.Event()
    deploy.proxy.faults.append(Fault("PUT", first=after + 1, hold=hanging, cut="before"))
    process = deploy.start()
    deploy.proxy.wait_for(after, "PUT")
    deploy.proxy.wait_for_hanging()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    hanging.set()
    assert deploy.check_live(SOURCES, changed) == 0

    before = set(deploy.uploads())
    deploy.proxy.clear()
    deploy.deployed()
    assert deploy.check_live(changed) == 0
    assert not before & set(deploy.uploads()), "nothing is uploaded twice"
    for name, content in changed.items():
        assert deploy.fetch(name)[0] == content


def test_concurrent_deploys_leave_one_complete_version(deploy: Deploy, tmp_path: Path) -> None:
    deploy.deployed()
    other = Deploy(deploy.site, deploy.proxy, tmp_path / "other")
    other.folder.mkdir()
    (other.folder / "settings_of_test.py").write_text(SETTINGS)
    ours = {name: content + b"\n" for name, content in SOURCES.items()}
    theirs = SOURCES | {"img/dot.png": b"theirs", "new.txt": b"only theirs"}
    deploy.write(**ours)
    other.write(**theirs)
    deploy.proxy.faults.append(Fault("PUT", delay=0.02))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda one: one.deployed(), [deploy, other]))
    deploy.check_live(ours, theirs)
    # The next deploy restores the plain names, even if it also uploaded the live manifest.
    deploy.proxy.clear()
    deploy.deployed()
    assert deploy.check_live(ours) == 0
    for name, content in ours.items():
        assert deploy.fetch(name)[0] == content


def test_identical_concurrent_deploys_write_each_hashed_object_once(deploy: Deploy) -> None:
    both_have_looked = threading.Event()
    deploy.proxy.faults.append(Fault("PUT", hold=both_have_looked))
    with ThreadPoolExecutor(2) as pool:
        deploys = [pool.submit(deploy.deployed) for _ in range(2)]
        deploy.proxy.wait_for(2, "GET", "list-type")
        both_have_looked.set()
        for one in deploys:
            one.result()
    assert deploy.check_live(SOURCES) == 0
    hashed = deploy.uploads(r"\.[0-9a-f]{12}\.")
    assert len(hashed) == len(set(hashed)) == len(SOURCES)
    # Both deploys tried to upload; otherwise, the assertions above would prove nothing.
    assert deploy.proxy.count("PUT", r"\.[0-9a-f]{12}\.") == 2 * len(SOURCES)


def test_overwritten_plain_object_is_restored(deploy: Deploy) -> None:
    deploy.deployed()
    bucket = deploy.site.static_bucket
    deploy.site.root.put_object(Bucket=bucket, Key="static/img/dot.png", Body=SOURCES["img/dot.png"][::-1])
    deploy.proxy.clear()
    deploy.deployed()
    assert deploy.uploads("/img/") == ["static/img/dot.png"]
    assert not deploy.uploads("/(css|js|fonts|docs)/")
    assert deploy.fetch("img/dot.png")[0] == SOURCES["img/dot.png"]
    deploy.proxy.clear()
    deploy.deployed()
    assert deploy.proxy.count() == 2


def test_hashed_object_is_replaced_only_if_its_content_is_wrong(deploy: Deploy) -> None:
    deploy.deployed()
    manifest = deploy.manifest()
    assert manifest
    bucket, root = deploy.site.static_bucket, deploy.site.root
    # The same content, compressed differently, as by another build of zlib. The manifest doesn't know it.
    same = f"static/{manifest['paths']['css/base.css']}"
    head = root.head_object(Bucket=bucket, Key=same)
    body = gzip.decompress(root.get_object(Bucket=bucket, Key=same)["Body"].read())
    root.put_object(
        Bucket=bucket,
        Key=same,
        Body=gzip.compress(body, 1) + gzip.compress(b""),
        ContentType=head["ContentType"],
        ContentEncoding="gzip",
        Metadata=head["Metadata"],
    )
    wrong = f"static/{manifest['paths']['img/dot.png']}"
    root.put_object(Bucket=bucket, Key=wrong, Body=b"cut off")
    deploy.proxy.clear()
    deploy.deployed()
    assert deploy.uploads() == sorted([wrong, COPY, "static/staticfiles.json"])
    assert deploy.check_live(SOURCES) == 0


@pytest.mark.parametrize("name", ["js/one.js", "img/dot.png", "docs/tiny.txt"])
def test_hashed_object_with_forged_content_is_restored(deploy: Deploy, name: str) -> None:
    """The forged object has the same size and headers, and the original's SHA-256 in its metadata."""
    deploy.deployed()
    manifest = deploy.manifest()
    assert manifest
    hashed = manifest["paths"][name]
    swap(deploy, f"static/{hashed}")
    assert deploy.fetch(hashed)[0] != SOURCES[name]
    deploy.proxy.clear()
    deploy.deployed()
    assert deploy.check_live(SOURCES) == 0
    assert deploy.uploads(r"\.[0-9a-f]{12}\.") == [f"static/{hashed}"]
    reads = [r.path for r in deploy.proxy.matching("GET") if hashed in r.path]
    assert len(reads) == 1, "the listing and the manifest cover the rest"
    assert deploy.proxy.count("GET") == 3
    deploy.proxy.clear()
    deploy.deployed()
    assert deploy.proxy.count() == 2


def swap(deploy: Deploy, key: str) -> None:
    """Replace an object's content with other content of the same size, and leave the rest unchanged."""
    bucket, root = deploy.site.static_bucket, deploy.site.root
    there = root.get_object(Bucket=bucket, Key=key)
    names = ("ContentType", "ContentEncoding", "CacheControl", "Metadata")
    packed, body = there.get("ContentEncoding") == "gzip", there["Body"].read()
    if packed:  # stored, not compressed, and padded with empty gzip members
        plain = gzip.compress(b"alert(1)", mtime=0)
        body = plain + gzip_padding(len(body) - len(plain))
    else:
        body = body[::-1]
    root.put_object(
        Bucket=bucket, Key=key, Body=body, **{name: there[name] for name in names if name in there}
    )
    assert root.head_object(Bucket=bucket, Key=key)["ContentLength"] == len(body) == there["ContentLength"]


def gzip_padding(size: int) -> bytes:
    """Return an empty gzip file of this size: a long file name fills its header."""
    empty = gzip.compress(b"", mtime=0)
    name = b"x" * (size - len(empty) - 1) + b"\0"
    return empty[:3] + b"\x08" + empty[4:10] + name + empty[10:]


def test_hashed_object_with_invalid_compression_is_restored(deploy: Deploy) -> None:
    """One decompresses to more than the file, one is not gzip, and one is truncated."""
    deploy.deployed()
    manifest = deploy.manifest()
    assert manifest
    key = f"static/{manifest['paths']['js/one.js']}"
    bucket, root = deploy.site.static_bucket, deploy.site.root
    there = root.head_object(Bucket=bucket, Key=key)
    names = ("ContentType", "ContentEncoding", "CacheControl", "Metadata")
    for body in (gzip.compress(bytes(2**20)), b"not gzip at all", gzip.compress(b"cut off")[:-4]):
        root.put_object(Bucket=bucket, Key=key, Body=body, **{name: there[name] for name in names})
        deploy.deployed()
        assert deploy.check_live(SOURCES) == 0


def test_first_deploy_after_an_upgrade_verifies_hashed_objects_once(deploy: Deploy) -> None:
    deploy.deployed()
    bucket, root, key = deploy.site.static_bucket, deploy.site.root, "static/staticfiles.json"
    manifest = json.loads(root.get_object(Bucket=bucket, Key=key)["Body"].read())
    manifest["s3"]["hashed"] = dict.fromkeys(
        manifest["s3"]["hashed"], 100
    )  # sizes, in the format of older versions
    root.put_object(Bucket=bucket, Key=key, Body=json.dumps(manifest).encode())
    deploy.proxy.clear()
    line = deploy.deployed()
    assert f"0 uploaded, {OBJECTS} unchanged" in line
    assert deploy.proxy.count("GET") == 2 + len(SOURCES)
    deploy.proxy.clear()
    deploy.deployed()
    assert deploy.proxy.count() == 2


# If-None-Match


@pytest.mark.parametrize("body", ["", "<html>Not Implemented</html>"], ids=["S3's code", "no code"])
def test_if_none_match_is_not_sent_again_after_a_501(deploy: Deploy, body: str) -> None:
    files = {f"many/{number:03}.png": b"%d" % number for number in range(200)}
    deploy.write(**files)
    deploy.proxy.faults.append(
        Fault("PUT", header="if-none-match", status=501, code="NotImplemented", body=body)
    )
    deploy.deployed()
    assert deploy.check_live(SOURCES | files) == 0
    puts = deploy.proxy.matching("PUT", r"\.[0-9a-f]{12}\.")
    conditional = [r.path for r in puts if "if-none-match" in r.headers]
    assert 0 < len(conditional) <= publish.CONCURRENCY, "only uploads that had already started"
    assert len(conditional) == len(set(conditional)), "each once"
    assert len(puts) - len(conditional) == len(SOURCES) + 200


def test_upload_is_retried_after_a_409(deploy: Deploy) -> None:
    """409 means that another upload or deletion is in progress, not that the object exists."""
    conflict = Fault(
        "PUT", header="if-none-match", status=409, code="ConditionalRequestConflict", times=len(SOURCES)
    )
    deploy.proxy.faults.append(conflict)
    deploy.deployed()
    assert conflict.struck == len(SOURCES)
    assert deploy.check_live(SOURCES) == 0


def test_forged_object_created_during_the_deploy_is_replaced(deploy: Deploy) -> None:
    """An attacker who predicts a hashed name can't occupy it by uploading first."""
    deploy.deployed()
    manifest = deploy.manifest()
    assert manifest
    bucket, root, key = (
        deploy.site.static_bucket,
        deploy.site.root,
        f"static/{manifest['paths']['img/dot.png']}",
    )
    root.delete_object(Bucket=bucket, Key=key)
    hold = threading.Event()
    deploy.proxy.clear()
    deploy.proxy.faults.append(Fault("PUT", "dot", hold=hold, times=1))

    def meanwhile() -> None:
        deploy.proxy.wait_for_hanging()
        digest = hashlib.sha256(SOURCES["img/dot.png"]).hexdigest()
        forged = {"ContentType": "image/png", "Metadata": {"sha256": digest}}
        root.put_object(Bucket=bucket, Key=key, Body=b"x" * 3000, **forged)
        hold.set()

    thread = threading.Thread(target=meanwhile)
    thread.start()
    deploy.deployed()
    thread.join()
    assert deploy.check_live(SOURCES) == 0


@pytest.mark.parametrize(
    ("fault", "parts"),
    [
        (None, 2),
        (Fault("POST", "uploadId", status=409, code="ConditionalRequestConflict", times=1), 4),
        (Fault("POST", "uploadId", header="if-none-match", status=501, code="NotImplemented"), 4),
    ],
    ids=["no fault", "409: sends all parts again", "501: sends no condition"],
)
def test_multipart_upload_of_a_hashed_file_ends_with_if_none_match(
    deploy: Deploy, fault: Fault | None, parts: int
) -> None:
    video = random.Random(3).randbytes(publish.PART + 1000)
    deploy.write(**{"video.mp4": video})
    deploy.proxy.faults += [fault] if fault else []
    deploy.deployed()
    assert deploy.check_live(SOURCES | {"video.mp4": video}) == 0
    manifest = deploy.manifest()
    assert manifest
    hashed = manifest["paths"]["video.mp4"]
    headers = deploy.fetch(hashed)[1]
    assert headers["content-type"] == "video/mp4"
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert headers["x-amz-meta-sha256"] == hashlib.sha256(video).hexdigest()
    completed = deploy.proxy.matching("POST", rf"{hashed}\?uploadId")
    assert completed[0].headers.get("if-none-match") == "*"
    assert deploy.proxy.count("PUT", rf"{hashed}\?.*partNumber") == parts
    assert [
        r.headers.get("if-none-match") for r in deploy.proxy.matching("POST", "/video.mp4.*uploadId=")
    ] == [None]
    deploy.proxy.clear()
    deploy.deployed()
    assert deploy.proxy.count() == 2


def test_concurrent_deploys_write_a_large_hashed_file_once(deploy: Deploy) -> None:
    video = random.Random(3).randbytes(publish.PART + 1000)
    deploy.write(**{"video.mp4": video})
    both_have_looked = threading.Event()
    deploy.proxy.faults.append(Fault("PUT", hold=both_have_looked))
    with ThreadPoolExecutor(2) as pool:
        deploys = [pool.submit(deploy.deployed) for _ in range(2)]
        deploy.proxy.wait_for(2, "GET", "list-type")
        both_have_looked.set()
        for one in deploys:
            one.result()
    assert deploy.check_live(SOURCES | {"video.mp4": video}) == 0
    completed = deploy.proxy.matching("POST", r"/video\.[0-9a-f]{12}\.mp4\?uploadId")
    assert sorted(r.status for r in completed) == [200, 412]


def test_lost_or_invalid_manifest_is_rewritten_without_other_uploads(deploy: Deploy) -> None:
    deploy.deployed()
    for body in (None, b"{", b"[]", b'{"version": "9"}'):
        if body is None:
            deploy.site.root.delete_object(Bucket=deploy.site.static_bucket, Key="static/staticfiles.json")
        else:
            deploy.site.root.put_object(
                Bucket=deploy.site.static_bucket, Key="static/staticfiles.json", Body=body
            )
        deploy.proxy.clear()
        deploy.deployed()
        assert deploy.uploads() == [COPY, "static/staticfiles.json"]
        assert deploy.check_live(SOURCES) == 0


def test_unusual_keys_in_the_bucket_are_ignored(deploy: Deploy) -> None:
    control = ("static/\x01", "static/return\r", "static/line\n", "static/\ufffe", "static/a+b%20&#x1; ")
    for key in ("static/", "static/a//b", "static/./c", "static/css/", *control):
        deploy.site.root.put_object(Bucket=deploy.site.static_bucket, Key=key, Body=b"")
    deploy.deployed()
    deploy.proxy.clear()
    assert f"0 uploaded, {OBJECTS} unchanged" in deploy.deployed()
    # obstore can't parse them, so boto3 lists again, and requests URL-encoded keys.
    assert deploy.proxy.count("GET", "list-type=2.*encoding-type=url") == 1
    assert deploy.proxy.count() == 3


# Options


def test_dry_run_lists_uploads_without_making_them(deploy: Deploy) -> None:
    outcome = deploy.run("--dry-run")
    assert outcome.code == 0
    assert not deploy.proxy.count("PUT")
    lines = outcome.out.splitlines()
    assert "Would upload static/css/base.css" in lines
    assert len([line for line in lines if line.startswith("Would upload ")]) == OBJECTS
    assert f"{OBJECTS} to upload" in lines[-1]
    deploy.deployed()
    assert "Would upload" not in deploy.run("--dry-run").out


def test_no_post_process_uploads_only_plain_names(deploy: Deploy) -> None:
    outcome = deploy.run("--no-post-process")
    assert outcome.code == 0
    assert "no manifest" in outcome.err
    assert deploy.uploads() == sorted(f"static/{name}" for name in SOURCES)
    assert deploy.manifest() is None

    deploy.deployed()
    manifest = deploy.manifest()
    changed = SOURCES | {"img/dot.png": b"changed"}
    deploy.write(**changed)
    deploy.proxy.clear()
    deploy.deployed("--no-post-process")
    assert deploy.uploads() == ["static/img/dot.png"]
    assert deploy.manifest() == manifest, "unchanged, as with Django's own storage"
    deploy.proxy.clear()
    deploy.deployed()
    assert "static/img/dot.png" not in deploy.uploads()
    assert deploy.check_live(changed) == 0


@pytest.mark.parametrize("option", ["--clear", "--link"])
def test_unsupported_options_are_rejected_in_one_line(deploy: Deploy, option: str) -> None:
    outcome = deploy.run(option)
    assert outcome.code == 1
    assert option in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
    assert not deploy.proxy.count()


def test_ignore_options_exclude_files(deploy: Deploy) -> None:
    deploy.write(**{".hidden": b"1", "css/.secret.css": b"2", "CVS/x": b"3", "y~": b"4"})
    deploy.deployed("-i", "*.png", "--ignore", "docs", "-i", "css", "--no-input")
    manifest = deploy.manifest()
    assert manifest
    assert set(manifest["paths"]) == {"js/app.js", "js/one.js", "fonts/a.woff2"}
    deploy.deployed("--no-default-ignore")
    manifest = deploy.manifest()
    assert manifest
    assert set(manifest["paths"]) == {*SOURCES, ".hidden", "css/.secret.css", "CVS/x", "y~"}


def test_verbosity_controls_the_output(deploy: Deploy) -> None:
    outcome = deploy.run("-v", "2")
    assert "Uploaded static/css/base.css\n" in outcome.out
    assert outcome.out.count("Uploaded ") == OBJECTS
    assert deploy.run("-v", "0").out == ""
    assert "Uploaded static" not in deploy.run().out


def test_local_storage_uses_djangos_own_command(deploy: Deploy, tmp_path: Path) -> None:
    outcome = deploy.run("--noinput", "--clear", USE_S3="false")
    assert outcome.code == 0
    assert f"copied to '{tmp_path / 'static'}'" in outcome.out
    assert (tmp_path / "static/css/base.css").read_bytes() == SOURCES["css/base.css"]
    assert not deploy.proxy.count()
    assert not outcome.err


def test_collecting_to_disk_despite_a_bucket_name_is_a_warning(deploy: Deploy, tmp_path: Path) -> None:
    given = {"USE_S3": "false", "BUCKET_IN_SETTINGS": "acme-static"}
    for options in (["-v", "1"], ["-v", "0"]):
        outcome = deploy.run("--noinput", *options, **given)
        assert outcome.code == 0
        assert outcome.err == (
            f"Nothing was published: USE_S3 is off, so the files are in {tmp_path / 'static'} on this machine."
            " To publish them to the bucket 'acme-static' (AWS_STATIC_BUCKET_NAME), set USE_S3=true.\n"
        )
    given |= {"TEST_ALL_APPS": "1"}
    outcome = deploy.run("--no-migrate", "--fail-level=CRITICAL", command="release", **given)
    assert outcome.code == 0
    assert "Nothing was published: USE_S3 is off" in outcome.err


def test_uploads_run_concurrently(deploy: Deploy) -> None:
    deploy.write(**{f"many/{number}.png": b"%d" % number for number in range(60)})
    deploy.proxy.faults.append(Fault("PUT", "/many/", delay=0.2))
    deploy.deployed()
    assert deploy.proxy.busiest > 30


class Sink(BaseHTTPRequestHandler):
    """An S3 server that accepts every upload, whole or multipart, and stores nothing."""

    protocol_version = "HTTP/1.1"

    def do(self) -> None:
        left = int(self.headers.get("Content-Length") or 0)
        self.server.taken.append((self.command, self.path, left))  # type: ignore[attr-defined]
        while left:
            left -= len(self.rfile.read(min(left, 65536)))
        status, body = 200, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
        if self.command == "GET" and "list-type" not in self.path:
            status, body = 404, b"<Error><Code>NoSuchKey</Code></Error>"
        elif self.command == "PUT":
            body = b""
        elif self.command == "POST" and "uploads" in self.path:
            body = b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
        elif self.command == "POST":
            body = b'<CompleteMultipartUploadResult><ETag>"x-1"</ETag></CompleteMultipartUploadResult>'
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"x"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = do  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


# Starts a command from a small process, because a child's peak includes that of its parent.
PEAK = """
import os
import sys
_, status, usage = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)
print(f"peak {usage.ru_maxrss} KiB")
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_large_files_are_streamed_with_limited_memory(deploy: Deploy) -> None:
    video, data = 300 * 1024 * 1024, 50 * 1024 * 1024
    for name, size in (("video.mp4", video), ("data.json", data)):
        with (deploy.sources / name).open("wb") as file:
            file.truncate(size)  # zeros, which take no disk space
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    server.daemon_threads = True
    server.taken = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        endpoint = f"http://127.0.0.1:{server.server_port}"
        launcher = (sys.executable, "-S", "-c", PEAK)
        out, err = deploy.start(launcher=launcher, AWS_S3_ENDPOINT_URL=endpoint).communicate()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    taken = server.taken  # type: ignore[attr-defined]
    videos = [length for method, path, length in taken if method == "PUT" and "/video." in path]
    assert sum(videos) == 2 * video
    assert max(videos) < 20 * 1024 * 1024
    packed = [length for method, path, length in taken if method == "PUT" and "/data." in path]
    assert len(packed) == 2
    assert max(packed) < data // 100
    peak = re.search(r"^peak (\d+) KiB$", out, re.MULTILINE)
    assert peak, out + err
    assert int(peak[1]) * 1024 < 150 * 1024 * 1024, f"{int(peak[1]) // 1024} MiB at the peak"


# Manifest


@pytest.mark.parametrize("use_s3", ["true", "local", "false"])
def test_local_manifest_equals_the_published_one(deploy: Deploy, tmp_path: Path, use_s3: str) -> None:
    deploy.deployed(TEST_ALL_APPS="1")
    published = deploy.manifest()
    assert published
    local = tmp_path / "local.json"
    # No bucket, no key, and no network, as in the build of an image.
    given = {"STATIC_BUCKET": "", "MEDIA_BUCKET": "", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    outcome = deploy.run(
        "--output", str(local), command="s3 manifest", TEST_ALL_APPS="1", USE_S3=use_s3, **given
    )
    assert outcome.code == 0, outcome
    assert f"{len(published['paths'])} files" in outcome.out
    assert len(published["paths"]) > 100, "the admin's files are among them"
    kept = {key: published[key] for key in ("paths", "version", "hash", "integrity")}
    assert kept["integrity"]
    # The same bytes in all three modes.
    assert local.read_text() == json.dumps(kept)
