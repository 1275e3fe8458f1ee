"""The guard in front of the local S3 server: attacks from web pages, and with guessed or known keys."""

import base64
import hashlib
import hmac
import http.client
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from s3kit.deployment import Key
from s3kit.local.guard import MAX_BODY
from s3kit.local.server import LocalServer, running
from tests.ministack import Answer, anonymous

BUCKET = "private-media"
TEST = Key("test", "test")
PAGE = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """Return a guarded server with a private object."""
    with running(tmp_path_factory.mktemp("guarded")) as found:
        found.client().create_bucket(Bucket=BUCKET)
        found.client().put_object(Bucket=BUCKET, Key="media/a.txt", Body=b"private")
        yield found


def ask(server: LocalServer, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
    """Send a request without a signature. Underscores in header names become hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return anonymous(f"{server.endpoint}{path}", method, named, body)


def signed(
    server: LocalServer,
    key: Key,
    method: str,
    path: str,
    body: bytes = b"",
    service: str = "s3",
    more: Mapping[str, str] | None = None,
) -> Answer:
    """Send a request signed in the Authorization header; `more` contains unsigned headers."""
    request = AWSRequest(method, f"{server.endpoint}{path}", data=body)
    auth = S3SigV4Auth if service == "s3" else SigV4Auth
    if service != "s3":
        request.headers["Content-Type"] = "application/x-www-form-urlencoded"
    auth(Credentials(key.id, key.secret), service, "us-east-1").add_auth(request)
    return anonymous(request.url, method, dict(request.headers.items()) | dict(more or {}), body)


def still_private(server: LocalServer) -> bool:
    found = server.client().get_object(Bucket=BUCKET, Key="media/a.txt")["Body"].read()
    return bool(found == b"private" and ask(server, "GET", f"/{BUCKET}/media/a.txt").status == 403)


LINK = {"Bucket": BUCKET, "Key": "media/a.txt"}


def test_foreign_host_is_rejected_even_with_a_signed_link(server: LocalServer) -> None:
    link = server.client().generate_presigned_url("get_object", LINK)
    assert anonymous(link).body == b"private"
    rebound = f"attacker.example:{urlsplit(server.endpoint).port}"
    assert ask(server, "GET", link.removeprefix(server.endpoint), Host=rebound).status == 403
    assert signed(server, TEST, "GET", f"/{BUCKET}/media/a.txt", more={"Host": rebound}).status == 403
    assert ask(server, "GET", "/_ministack/health", Host=rebound).status == 403


@pytest.mark.parametrize(
    "origin", ["https://attacker.example", "null", "http://127.0.0.1.attacker.example", ""]
)
def test_foreign_origin_is_rejected_even_with_a_signed_link(server: LocalServer, origin: str) -> None:
    link = server.client().generate_presigned_url("get_object", LINK).removeprefix(server.endpoint)
    for method in ("GET", "OPTIONS", "PUT"):
        answer = ask(server, method, link, Origin=origin)
        assert answer.status == 403
        assert "access-control-allow-origin" not in answer.headers
    assert still_private(server)


def test_loopback_origins_can_use_signed_links(server: LocalServer) -> None:
    link = server.client().generate_presigned_url("get_object", LINK).removeprefix(server.endpoint)
    for origin in (PAGE, "http://localhost:3000", "http://[::1]:8000"):
        assert ask(server, "GET", link, Origin=origin).body == b"private"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/_ministack/reset"),
        ("POST", "/_ministack/config"),
        ("GET", "/_ministack/ready"),
        ("POST", "/_ministack/health"),
        ("GET", "/_localstack/health"),
        ("GET", "/_aws/execute-api/x"),
    ],
)
def test_ministacks_admin_paths_are_rejected(server: LocalServer, method: str, path: str) -> None:
    assert ask(server, method, path).status == 403
    assert ask(server, "GET", "/_ministack/health").status == 200
    assert still_private(server)


CREATE_KEY = b"Action=CreateAccessKey&Version=2010-05-08&UserName=site"
FORM = "application/x-www-form-urlencoded"


def test_iam_rejects_unsigned_requests_and_requests_from_pages(server: LocalServer) -> None:
    server.site_key()
    assert ask(server, "POST", "/", CREATE_KEY, Content_Type=FORM).status == 403
    assert ask(server, "GET", f"/?{CREATE_KEY.decode()}").status == 403
    assert ask(server, "GET", f"/{BUCKET}?{CREATE_KEY.decode()}").status == 403
    own = signed(server, server.root, "POST", "/", CREATE_KEY, "iam")
    assert own.status == 200
    assert signed(server, server.root, "POST", "/", CREATE_KEY, "iam", {"Origin": PAGE}).status == 403
    assert ask(server, "OPTIONS", "/", Origin=PAGE).status == 403
    target = {"x-amz-target": "AWSSecurityTokenServiceV20110615.GetCallerIdentity"}
    assert anonymous(f"{server.endpoint}/{BUCKET}", "POST", target | {"Origin": PAGE}, b"{}").status == 403


@pytest.mark.parametrize("key_id", ["test", "000000000000", "123456789012", ""])
def test_ministacks_default_root_keys_are_rejected(server: LocalServer, key_id: str) -> None:
    key = Key(key_id, "test")
    assert signed(server, key, "POST", "/", CREATE_KEY, "iam").status == 403
    assert signed(server, key, "PUT", f"/{BUCKET}/media/a.txt", b"overwritten").status == 403
    assert signed(server, key, "GET", f"/{BUCKET}/media/a.txt").status == 403
    assert still_private(server)


def test_root_key_id_with_a_wrong_secret_is_rejected(server: LocalServer) -> None:
    guessed = Key(server.root.id, "guessed")
    assert signed(server, guessed, "PUT", f"/{BUCKET}/media/a.txt", b"overwritten").status == 403
    assert signed(server, guessed, "POST", "/", CREATE_KEY, "iam").status == 403
    assert signed(server, server.root, "GET", f"/{BUCKET}/media/a.txt").body == b"private"
    assert still_private(server)


def test_old_signature_is_rejected(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    early = datetime.now(UTC) - timedelta(hours=1)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_args, **_kwargs: early)
    assert signed(server, server.root, "GET", f"/{BUCKET}/media/a.txt").status == 403


def presigned(server: LocalServer, key: Key, auth: type = S3SigV4QueryAuth, **options: Any) -> str:
    """Return a link to the private object, signed with a key."""
    request = AWSRequest("GET", f"{server.endpoint}/{BUCKET}/media/a.txt")
    credentials = Credentials(key.id, key.secret)
    made = auth(credentials, **options) if auth is HmacV1QueryAuth else auth(credentials, "s3", "us-east-1")
    made.add_auth(request)
    return str(request.url)


def test_links_with_default_keys_or_other_signatures_are_rejected(server: LocalServer) -> None:
    assert anonymous(presigned(server, server.root)).body == b"private"
    for key in (TEST, Key("123456789012", "test"), Key(server.root.id, "guessed")):
        assert anonymous(presigned(server, key)).status == 403
    for key in (TEST, server.root):
        assert anonymous(presigned(server, key, HmacV1QueryAuth)).status == 403
    assert ask(server, "GET", f"/{BUCKET}/media/a.txt", Authorization="AWS test:c2lnbmVk").status == 403
    assert ask(server, "GET", f"/{BUCKET}/media/a.txt", Authorization="Bearer test").status == 403


def send_form(server: LocalServer, key: Key, name: str) -> int:
    """Send a form signed with a key to store an object, and return the status."""
    now = datetime.now(UTC)
    scope = f"{now:%Y%m%d}/us-east-1/s3/aws4_request"
    fields = {
        "key": name,
        "x-amz-algorithm": "AWS4-HMAC-SHA256",
        "x-amz-credential": f"{key.id}/{scope}",
        "x-amz-date": f"{now:%Y%m%dT%H%M%SZ}",
    }
    conditions = [{"bucket": BUCKET}, *({name: value} for name, value in fields.items())]
    expires = f"{now + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    policy = base64.b64encode(json.dumps({"expiration": expires, "conditions": conditions}).encode()).decode()
    signing = f"AWS4{key.secret}".encode()
    for part in (*scope.split("/"), policy):
        signing = hmac.new(signing, part.encode(), hashlib.sha256).digest()
    fields |= {"policy": policy, "x-amz-signature": signing.hex()}
    parts = [f'name="{name}"\r\n\r\n{value}' for name, value in fields.items()]
    parts.append('name="file"; filename="a.txt"\r\n\r\noverwritten')
    body = (
        "".join(f"--limit\r\nContent-Disposition: form-data; {part}\r\n" for part in parts) + "--limit--\r\n"
    )
    headers = {"Content-Type": "multipart/form-data; boundary=limit"}
    return anonymous(f"{server.endpoint}/{BUCKET}", "POST", headers, body.encode()).status


@pytest.mark.parametrize("key", [TEST, Key("123456789012", "test"), Key("", "")])
def test_forms_signed_with_default_keys_are_rejected(server: LocalServer, key: Key) -> None:
    assert send_form(server, key, "media/a.txt") == 403
    assert still_private(server)
    assert send_form(server, server.root, "media/other.txt") == 204


def test_unsigned_amz_headers_are_rejected(server: LocalServer) -> None:
    s3 = server.client()
    begun = s3.create_multipart_upload(Bucket=BUCKET, Key="pending/mine")["UploadId"]
    part = {"Bucket": BUCKET, "Key": "pending/mine", "UploadId": begun, "PartNumber": 1}
    link = s3.generate_presigned_url("upload_part", part)
    answer = anonymous(link, "PUT", {"x-amz-copy-source": f"/{BUCKET}/media/a.txt"})
    assert answer.status == 403
    assert b"headers present in the request which were not signed" in answer.body
    assert not s3.list_parts(Bucket=BUCKET, Key="pending/mine", UploadId=begun).get("Parts")
    assert anonymous(link, "PUT", body=b"mine").status == 200
    put = signed(server, server.root, "PUT", f"/{BUCKET}/b.txt", b"", "s3", {"x-amz-acl": "public-read"})
    assert put.status == 403


def test_ambiguous_requests_are_rejected(server: LocalServer) -> None:
    parts = urlsplit(server.endpoint)
    assert parts.hostname
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    connection.putrequest("GET", f"/{BUCKET}/media/a.txt", skip_host=True)
    for host in ("attacker.example", "127.0.0.1"):
        connection.putheader("Host", host)
    connection.endheaders()
    assert connection.getresponse().status in {400, 403}
    link = presigned(server, TEST)
    assert (
        anonymous(f"{link}&X-Amz-Credential={server.root.id}/20300101/us-east-1/s3/aws4_request").status
        == 403
    )


def test_oversized_request_to_iam_is_rejected(server: LocalServer) -> None:
    assert signed(server, server.root, "POST", "/", b"x" * (MAX_BODY + 1), "iam").status == 403


def test_attacks_succeed_without_the_guard(tmp_path: Path) -> None:
    """The attacks above work on MiniStack without the guard."""
    with running(tmp_path / "s3", guarding={"GUARD": "off"}) as bare:
        bare.client().create_bucket(Bucket=BUCKET)
        made = signed(bare, Key("test", "wrong"), "PUT", f"/{BUCKET}/media/a.txt", b"overwritten")
        assert made.status == 200
        rebound = {"Host": "attacker.example"}
        assert signed(bare, TEST, "GET", f"/{BUCKET}/media/a.txt").body == b"overwritten"
        assert ask(bare, "POST", "/_ministack/reset", **rebound).status == 200
        with pytest.raises(ClientError, match="NoSuchBucket"):
            bare.client().list_objects_v2(Bucket=BUCKET)


def test_root_key_is_random_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    with running(tmp_path / "s3") as one:
        file = tmp_path / "s3" / "root"
        assert file.stat().st_mode & 0o777 == 0o600
        assert one.root.secret in file.read_text()
        first = one.root
    assert not file.exists()
    with running(tmp_path / "s3") as two:
        assert two.root.id != first.id
        assert two.root.secret != first.secret


def test_link_parameters_outside_iso_8859_1_are_rejected_as_on_s3(server: LocalServer) -> None:
    def answer(name: str) -> Answer:
        shown = {"ResponseContentDisposition": f'attachment; filename="{name}"'}
        return anonymous(server.client().generate_presigned_url("get_object", LINK | shown))

    assert (answer("a.txt").status, answer("Größe.txt").status) == (200, 200)
    rejected = answer("日本📷.txt")
    assert rejected.status == 400
    assert b"<Code>InvalidArgument</Code>" in rejected.body
    assert b"Header value cannot be represented using ISO-8859-1." in rejected.body
