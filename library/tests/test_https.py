"""A site over HTTPS, from `apply` to uploads, with only the printed policies and the TLS-only statement."""

import io
import json
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from django.core.files import storage as django_storage
from django.core.files.base import ContentFile
from django.core.management import call_command

from s3kit import clients
from s3kit.deployment import Key
from s3kit.local import guard
from s3kit.local.environment import packages
from s3kit.local.server import LocalServer, environment
from tests.ministack import REGION, ActAs, new_user, s3_settings
from tests.processes import free_port, until
from tests.tls_front import certificate

pytestmark = pytest.mark.slow

default_storage: Any = django_storage.default_storage


@pytest.fixture
def https_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    """Return an empty MiniStack that only accepts HTTPS."""
    trusted, served = certificate(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(trusted))
    port, root = free_port(), Key("ROOTROOTROOTROOT", "a secret of the tests")
    ssl_variables = {"USE_SSL": "1", "MINISTACK_SSL_CERT": str(served), "MINISTACK_SSL_KEY": str(served)}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, str(packages())],
            env=environment(tmp_path, port, REGION, root) | ssl_variables,
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
    try:
        store = LocalServer(f"https://127.0.0.1:{port}", REGION, tmp_path, root, process)

        def is_up() -> bool:
            assert process.poll() is None, (tmp_path / "log").read_text()
            with suppress(OSError):
                return visit(f"{store.endpoint}/_ministack/health", trusted)[0] == 200
            return False

        until(is_up)
        yield store
    finally:
        process.kill()  # a normal exit waits half a minute for open connections, and no data needs to be saved
        process.communicate()


def visit(url: str, trusted: Path, **headers: str) -> tuple[int, bytes]:
    """Send a visitor's request that trusts the tests' CA."""
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(
            request, timeout=30, context=ssl.create_default_context(cafile=str(trusted))
        ) as got:
            return got.status, got.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def printed(*words: str) -> str:
    out = io.StringIO()
    call_command("s3", *words, stdout=out)
    return out.getvalue()


def test_site_works_over_https_with_only_the_printed_policies(
    https_store: LocalServer, act_as: ActAs, settings: Any, tmp_path: Path, bucket_name: str
) -> None:
    trusted = tmp_path / "authority.pem"
    media = f"{bucket_name}-media"
    s3_settings(
        settings,
        static={"bucket_name": f"{bucket_name}-static"},
        media={"bucket_name": media},
        AWS_S3_ENDPOINT_URL=https_store.endpoint,
    )
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "a.css").write_text("a {}")
    settings.STATICFILES_DIRS = [sources]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]

    def become(role: str) -> None:
        act_as(new_user(https_store, json.loads(printed("policy", "--role", role))))

    become("setup")
    with pytest.raises(SystemExit, match="2"):
        printed("plan")
    text = printed("apply", "--no-input")
    assert text.count("DjangoS3TlsOnly: deny everyone s3:*") == 2
    assert "omitted" not in text
    assert "Nothing to do: everything is up to date." in printed("plan")

    become("deploy")
    call_command("collectstatic", interactive=False, verbosity=0)
    assert "Nothing to do: everything is up to date." in printed("plan")
    static = django_storage.storages["staticfiles"].url("a.css")
    assert static.startswith("https://127.0.0.1:")
    assert visit(static, trusted) == (200, b"a {}")

    become("web")
    name = default_storage.save("a.txt", ContentFile(b"upload"))
    link = default_storage.url(name)
    assert visit(link, trusted) == (200, b"upload")
    assert visit(link.partition("?")[0], trusted)[0] == 403

    # S3 rejects requests that reached a proxy over plain HTTP, from visitors and from the site.
    plain = {"X-Forwarded-Proto": "http"}
    assert visit(static, trusted, **plain)[0] == 403
    assert visit(link, trusted, **plain)[0] == 403
    s3 = clients.command(default_storage.target)
    s3.meta.events.register(
        "before-sign.s3", lambda request, **_: request.headers.add_header("X-Forwarded-Proto", "http")
    )
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.list_objects_v2(Bucket=media)
