"""Errors when S3 is unreachable or untrusted: all commands print the same line, with the fix."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import botocore.endpoint
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from s3kit import clients
from s3kit.storages.static import require_manifest
from tests.ministack import s3_settings
from tests.processes import free_port
from tests.tls_front import certificate, self_signed, tls_front

pytestmark = pytest.mark.slow

COMMANDS = {
    "collectstatic": ("collectstatic", "--no-input"),
    "release": ("release", "--no-migrate", "--fail-level=CRITICAL"),
    "push": ("s3", "push"),
    "prune": ("s3", "prune"),
    "plan": ("s3", "plan"),
    "apply": ("s3", "apply", "--no-input"),
}
every_command = pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)


@pytest.fixture(autouse=True)
def site(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Prepare a site with a static file and an upload, whose clients retry without delay."""
    for folder in ("sources", "media"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text("a")
    settings.STATICFILES_DIRS, settings.MEDIA_ROOT = [tmp_path / "sources"], tmp_path / "media"
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    monkeypatch.setattr(botocore.endpoint.time, "sleep", lambda _seconds: None)
    made = clients.obstore_store
    monkeypatch.setattr(clients, "obstore_store", lambda *given, **_more: made(*given, max_retries=0))
    clients.forget()
    yield tmp_path
    clients.forget()


def error_of(words: tuple[str, ...]) -> str:
    """Run a command that fails with one line, and return that line."""
    with pytest.raises(CommandError) as raised:
        call_command(*words, stdout=io.StringIO(), stderr=io.StringIO())
    text = str(raised.value)
    assert len(text.splitlines()) == 1, text
    return text


@every_command
def test_unreachable_endpoint_error_contains_the_url_and_the_fix(
    settings: Any, words: tuple[str, ...]
) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    s3_settings(settings, AWS_S3_ENDPOINT_URL=address, AWS_SITE_ORIGINS=["https://www.example.com"])
    text = error_of(words)
    assert address in text
    assert text.endswith(": check the network, HTTPS_PROXY, and the endpoint_url.")
    assert "retries" not in text
    assert "Generic" not in text


@pytest.mark.parametrize("words", ["collectstatic", "plan"])
def test_port_without_tls_is_not_a_certificate_error(settings: Any, words: str) -> None:
    with denying_server() as host:
        address = f"https://{host}"
        s3_settings(settings, AWS_S3_ENDPOINT_URL=address, AWS_SITE_ORIGINS=["https://www.example.com"])
        text = error_of(COMMANDS[words])
    assert address in text
    assert text.endswith(": check the network, HTTPS_PROXY, and the endpoint_url.")


@every_command
def test_untrusted_certificate_error_contains_the_url_and_the_fix(
    settings: Any, words: tuple[str, ...], site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    _, served = certificate(site)
    with tls_front("http://127.0.0.1:9", served) as host:
        s3_settings(
            settings, AWS_S3_ENDPOINT_URL=f"https://{host}", AWS_SITE_ORIGINS=["https://www.example.com"]
        )
        text = error_of(words)
    assert text.endswith(
        f"the certificate of https://{host} is rejected, because no authority that this machine trusts has signed it:"
        " name the certificate of its authority in AWS_CA_BUNDLE, which is not set."
    )


@pytest.mark.parametrize(
    ("host", "days", "words", "why"),
    [
        (
            "localhost",
            1,
            "collectstatic",
            "it is the self-signed certificate of an authority: create an authority and",
        ),
        ("localhost", -1, "collectstatic", "it has expired: renew it."),
        ("localhost", -1, "plan", "it has expired: renew it."),
        ("other.example", 1, "plan", "it is for another host: correct the endpoint_url."),
    ],
)
def test_certificate_problems_are_reported(
    settings: Any, site: Path, monkeypatch: pytest.MonkeyPatch, host: str, days: int, words: str, why: str
) -> None:
    served = self_signed(site, host, days=days)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(served))
    clients.forget()
    with tls_front("http://127.0.0.1:9", served) as front:
        address = f"https://localhost:{front.rpartition(':')[2]}"
        s3_settings(settings, AWS_S3_ENDPOINT_URL=address, AWS_SITE_ORIGINS=["https://www.example.com"])
        text = error_of(COMMANDS[words])
    assert f"the certificate of {address} is rejected, because {why}" in text
    if "self-signed" in why:
        assert f"name the authority's certificate in AWS_CA_BUNDLE, which is {served}." in text


def test_ca_bundle_without_a_certificate_is_reported(
    settings: Any, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(site / "sources" / "a.txt"))
    clients.forget()
    s3_settings(settings, AWS_S3_ENDPOINT_URL="https://localhost:9")
    assert f"AWS_CA_BUNDLE is {site / 'sources' / 'a.txt'}, which contains no certificate" in error_of(
        COMMANDS["collectstatic"]
    )


class Denied(BaseHTTPRequestHandler):
    """An empty bucket that nobody may write to."""

    protocol_version = "HTTP/1.1"

    def do(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        reading = self.command == "GET" and "list-type" in self.path
        status, body = 403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        if reading:
            status, body = 200, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
        elif self.command == "GET":
            status, body = 404, b"<Error><Code>NoSuchKey</Code></Error>"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = do  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def denying_server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Denied)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(("command", "role"), [("collectstatic", "deploy"), ("push", "web")])
def test_denied_uploads_are_listed_with_the_fix(settings: Any, command: str, role: str) -> None:
    with denying_server() as host:
        s3_settings(settings, AWS_S3_ENDPOINT_URL=f"http://{host}")
        with pytest.raises(CommandError) as raised:
            call_command(*COMMANDS[command], stdout=io.StringIO(), stderr=io.StringIO())
    lines = str(raised.value).splitlines()
    assert any(line.startswith("  ") and line.endswith(": AccessDenied") for line in lines), lines
    fix = f"these credentials lack s3:PutObject: attach the policy that `manage.py s3 policy --role {role}` prints."
    assert any(line.endswith(fix) for line in lines), lines


def test_require_manifest_reports_an_unreachable_endpoint(settings: Any) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    s3_settings(settings, AWS_S3_ENDPOINT_URL=address)
    settings.DEBUG = False
    with pytest.raises(ImproperlyConfigured) as raised:
        require_manifest()
    text = str(raised.value)
    assert "static/staticfiles.json in bucket acme-static can't be read" in text
    assert "check the network, HTTPS_PROXY, and the endpoint_url." in text
    assert len(text.splitlines()) == 1


@every_command
def test_aws_login_credentials_without_awscrt_report_the_fix(
    words: tuple[str, ...], settings: Any, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site / "config").write_text("[profile acme]\nlogin_session = arn:aws:iam::123456789012:user/alice\n")
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(site / "config"))
    monkeypatch.setenv("AWS_PROFILE", "acme")
    monkeypatch.setattr("botocore.credentials.EC", None)  # as without awscrt
    s3_settings(settings)
    assert "come from `aws login`" in (text := error_of(words))
    assert "install 'botocore[crt]' (uv add --dev 'botocore[crt]')" in text
