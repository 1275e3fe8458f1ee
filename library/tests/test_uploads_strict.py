"""Uploads straight to S3: what S3 allows, what is accepted, and what remains after errors.

The S3 server is strict, and HTTP requests replace the browser. Parts have a kilobyte, because the local S3 server
doesn't require AWS's 5 MiB.
"""

import json
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.files import storage as django_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.utils import timezone

from s3kit import clients, uploads
from s3kit.uploads import Kind, leftovers, pending, tickets
from s3kit.uploads.models import Ticket
from tests.fault_proxy import Fault, FaultProxy
from tests.ministack import Answer, MakeSite, SiteOnS3, anonymous

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

# Any: what MediaStorage has beyond Django's storages.
default_storage: Any = django_storage.default_storage

PART = 1024
LARGE = bytes(range(256)) * 20  # 5,120 bytes: 5 parts, and 3 of the copy
GOOD = b"good "


def starts_well(file: Any) -> None:
    if file.read(len(GOOD)) != GOOD:
        raise ValidationError("This file is not good.")


TEXT = Kind(("txt", "html", "mp4"), 10_000, upload_to="texts/")
CHECKED = Kind(("txt",), 10_000, upload_to="checked/", check=starts_well)
PLAIN = Kind(("txt",), 10_000)
STAFF = Kind(("txt",), 10_000, upload_to="staff/", may_upload="auth.add_user")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PART_FROM", "PART", "MIB"):
        monkeypatch.setattr(tickets, name, PART)
    for name in ("COPY_MOST", "COPY_PART"):
        monkeypatch.setattr(pending, name, 2 * PART)
    monkeypatch.setattr(tickets, "BATCH", 2)


@pytest.fixture(autouse=True)
def in_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run everything during a web request, as the views do."""
    monkeypatch.setattr(clients, "in_request", lambda: True)


@pytest.fixture
def user() -> User:
    return User.objects.create_user("editor")


@pytest.fixture
def proxy(s3_site: MakeSite, settings: Any) -> Iterator[FaultProxy]:
    """Return a proxy in front of a site's S3 server. Root's client bypasses it."""
    site = s3_site()
    with FaultProxy(site.store.endpoint) as running:
        settings.AWS_S3_ENDPOINT_URL = running.endpoint
        yield running


def put(part: dict[str, Any], content: bytes) -> Answer:
    return anonymous(part["url"], "PUT", part["headers"], content)


def send(ticket: Ticket, content: bytes) -> None:
    """Send the complete file as the page's script does."""
    while not (told := uploads.sending(ticket))["complete"]:
        for part in told["parts"] or ():
            assert put(part, content[part["start"] : part["end"]]).status == 200


def sent(user: User, kind: Kind, content: bytes, name: str = "my notes.txt") -> Ticket:
    ticket = uploads.begin(user, kind, name=name, size=len(content))
    send(ticket, content)
    return ticket


def accept(ticket: Ticket) -> str:
    with uploads.accepting(ticket) as upload:
        name = upload.keep()
        with transaction.atomic():
            upload.accepted()
    return name


def keys(site: SiteOnS3) -> list[str]:
    """Return the media bucket's content, including marked multipart uploads."""
    named = {"Bucket": site.media_bucket}
    listed = [each["Key"] for each in site.root.list_objects_v2(**named).get("Contents", [])]
    under_way = site.root.list_multipart_uploads(**named).get("Uploads", [])
    return listed + [f"parts of {each['Key']}" for each in under_way]


def on_requests(event: str, call: Any) -> None:
    """Make botocore call this function for the site's requests."""
    for made in (clients.web(default_storage.target), clients.working(default_storage.target)):
        made.meta.events.register(event, call)


def state(ticket: Ticket) -> str:
    ticket.refresh_from_db()
    return str(ticket.state)


# A complete upload


@pytest.mark.parametrize("content", [b"small", LARGE], ids=["whole", "parts"])
@pytest.mark.parametrize("access", ["private", "public-read", "public-policy"])
def test_accepted_upload_equals_a_file_saved_by_the_storage(
    s3_site: MakeSite, user: User, access: str, content: bytes
) -> None:
    site = s3_site(access)
    begun: list[dict[str, Any]] = []
    on_requests(
        "provide-client-params.s3.CreateMultipartUpload", lambda params, **_: begun.append(dict(params))
    )
    ticket = sent(user, TEXT, content, "C:\\folder\\my notes.html")
    address = site.url(site.media_bucket, ticket.key)
    assert keys(site) == ([ticket.key] if content == b"small" else [f"parts of {ticket.key}"])
    with uploads.accepting(ticket) as upload:
        assert anonymous(address).status == 403
        assert upload.file.read() == content
        name = upload.keep()
        assert anonymous(address).status == 403
        upload.accepted()
    assert re.fullmatch(r"texts/my_notes-[0-9a-z]{13}\.html", name)
    assert keys(site) == [f"media/{name}"]
    assert state(ticket) == "accepted"

    plain = default_storage.save("texts/my notes.html", SimpleUploadedFile("my notes.html", content))
    ours, theirs = (
        site.root.head_object(Bucket=site.media_bucket, Key=f"media/{each}") for each in (name, plain)
    )
    same = ("ContentLength", "ContentType", "ContentDisposition", "CacheControl", "Metadata")
    assert {each: ours[each] for each in same} == {each: theirs[each] for each in same}
    assert ours["ContentDisposition"] == 'attachment; filename="my notes.html"'
    if access == "public-read" and content == LARGE:
        assert begun[-1].get("ACL") == "public-read"  # the local S3 server forgets it
        return
    assert not any("ACL" in each for each in begun)
    statuses = [anonymous(site.url(site.media_bucket, f"media/{each}")).status for each in (name, plain)]
    assert statuses == [403 if access == "private" else 200] * 2
    assert anonymous(default_storage.url(name)).body == content


def test_direct_uploads_work_in_a_shared_bucket(s3_site: MakeSite, user: User) -> None:
    site = s3_site("public-policy", one_bucket=True)
    ticket = sent(user, TEXT, LARGE)
    accept(ticket)
    assert [key.split("/")[0] for key in keys(site)] == ["media"]


def test_every_request_sends_the_expected_bucket_owner(s3_site: MakeSite, user: User) -> None:
    s3_site(AWS_EXPECTED_BUCKET_OWNER="000000000000")
    made: dict[str, dict[str, Any]] = {}
    on_requests("before-call.s3", lambda params, model, **_: made.update({model.name: params["headers"]}))
    accept(sent(user, TEXT, LARGE))
    accept(sent(user, TEXT, b"small"))
    with uploads.accepting(sent(user, PLAIN, b"small")) as upload:
        upload.file.read()
    assert set(made) == {
        *("CreateMultipartUpload", "ListParts", "HeadObject", "CompleteMultipartUpload", "UploadPartCopy"),
        *("AbortMultipartUpload", "DeleteObject", "CopyObject", "GetObject"),
    }
    owners = {name: headers.get("x-amz-expected-bucket-owner") for name, headers in made.items()}
    assert set(owners.values()) == {"000000000000"}, owners
    for name in ("CopyObject", "UploadPartCopy"):
        assert made[name]["x-amz-source-expected-bucket-owner"] == "000000000000"


# Requests that S3 allows from a browser


def test_signed_put_accepts_only_its_file(s3_site: MakeSite, user: User) -> None:
    site = s3_site()
    ticket = uploads.begin(user, TEXT, name="a.txt", size=5)
    (part,) = uploads.sending(ticket)["parts"]
    for pattern, other in ((ticket.key, f"pending/{secrets.token_hex(16)}"), (ticket.key, "media/a.txt")):
        assert put(part | {"url": part["url"].replace(pattern, other)}, b"12345").status == 403
    for method in ("GET", "DELETE", "POST"):
        assert anonymous(part["url"], method, part["headers"], b"12345").status in {403, 405}
    for headers in ({"content-type": "text/html"}, {}):
        assert put(part | {"headers": headers}, b"12345").status == 403
    for content in (b"123456", b"1234", b""):
        assert put(part, content).status == 403
    assert keys(site) == []
    assert put(part, b"12345").status == 200
    assert uploads.sending(ticket)["complete"]
    head = site.root.head_object(Bucket=site.media_bucket, Key=ticket.key)
    assert head["ContentType"] == "text/plain"


def test_signed_put_expires(s3_site: MakeSite, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    site = s3_site()
    now = time.time()
    monkeypatch.setattr(pending, "time", SimpleNamespace(time=lambda: now - pending.LINK_LIFE - 60))
    ticket = uploads.begin(user, TEXT, name="a.txt", size=5)
    assert put(uploads.sending(ticket)["parts"][0], b"12345").status == 403
    assert keys(site) == []


def test_signed_put_creates_only_one_version(
    s3_site: MakeSite, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise, in a versioned bucket, a user with a link could create versions until the link expires."""
    site = s3_site()
    versioned = {"Status": "Enabled"}
    site.root.put_bucket_versioning(Bucket=site.media_bucket, VersioningConfiguration=versioned)
    monkeypatch.setattr(pending, "takes_conditions", lambda _target: True)
    ticket = uploads.begin(user, TEXT, name="a.txt", size=5)
    (part,) = uploads.sending(ticket)["parts"]
    assert part["headers"] == {"content-type": "text/plain", "if-none-match": "*"}
    assert put(part | {"headers": {"content-type": "text/plain"}}, b"12345").status == 403
    assert [put(part, b"%5d" % number).status for number in range(25)] == [200] + [412] * 24
    listed = site.root.list_object_versions(Bucket=site.media_bucket)["Versions"]
    assert [each["Key"] for each in listed] == [ticket.key]
    accept(ticket)
    assert state(ticket) == "accepted"


def test_signed_part_accepts_only_its_part(s3_site: MakeSite, user: User) -> None:
    s3_site()
    ticket = uploads.begin(user, TEXT, name="a.txt", size=len(LARGE))
    first, second = uploads.sending(ticket)["parts"]
    assert (first["number"], first["start"], first["end"]) == (1, 0, PART)
    for content in (LARGE[: PART + 1], LARGE[: PART - 1], b""):
        assert put(first, content).status == 403
    for pattern, other in (("partNumber=1", "partNumber=3"), (ticket.key, "media/x"), ("=3600", "=3601")):
        assert pattern in first["url"]
        assert put(first | {"url": first["url"].replace(pattern, other)}, LARGE[:PART]).status == 403
    assert anonymous(first["url"], "GET").status == 403
    assert uploads.sending(ticket)["received"] == 0
    assert put(second, LARGE[PART : 2 * PART]).status == 200
    assert uploads.sending(ticket)["received"] == PART


def test_part_of_the_wrong_size_is_sent_again(s3_site: MakeSite, user: User) -> None:
    """S3 rejects it from a browser, but another program with access to the bucket can write it."""
    site = s3_site()
    ticket = uploads.begin(user, TEXT, name="a.txt", size=len(LARGE))
    named = {"Bucket": site.media_bucket, "Key": ticket.key, "UploadId": ticket.upload_id}
    for number in range(1, 7):
        site.root.upload_part(**named, PartNumber=number, Body=bytes(PART + (number == 2)))
    told = uploads.sending(ticket)
    assert ([part["number"] for part in told["parts"]], told["received"]) == ([2], 4 * PART)
    with pytest.raises(uploads.IncompleteError):
        accept(ticket)
    assert put(told["parts"][0], bytes(PART)).status == 200
    accept(ticket)
    assert len(keys(site)) == 1


def test_upload_continues_with_the_missing_parts(s3_site: MakeSite, user: User) -> None:
    s3_site()
    ticket = uploads.begin(user, TEXT, name="a.txt", size=len(LARGE) + 1)
    for part in uploads.sending(ticket)["parts"]:
        put(part, LARGE[part["start"] : part["end"]])
    again = uploads.sending(uploads.ticket(user, str(ticket.id)))
    assert [part["number"] for part in again["parts"]] == [3, 4]
    assert (again["received"], again["complete"]) == (2 * PART, False)
    put(again["parts"][1], LARGE[3 * PART : 4 * PART])
    rest = uploads.sending(ticket)
    assert [(part["number"], part["end"] - part["start"]) for part in rest["parts"]] == [(3, PART), (5, PART)]
    with pytest.raises(uploads.IncompleteError), uploads.accepting(ticket):
        pass
    send(ticket, LARGE + b"!")
    done = uploads.sending(ticket)
    assert (done["complete"], done["parts"], done["received"]) == (True, None, len(LARGE) + 1)
    with uploads.accepting(ticket) as upload:
        upload.file.seek(-2, 2)
        assert upload.file.read() == b"\xff!"
    # Completed, but not accepted: one object exists.
    assert uploads.sending(ticket)["complete"]
    accept(ticket)


def test_sending_returns_json_serializable_data(s3_site: MakeSite, user: User) -> None:
    s3_site()
    small = uploads.begin(user, TEXT, name="a.txt", size=5)
    told = json.loads(json.dumps(uploads.sending(small)))
    assert set(told) == {"id", "state", "expires", "name", "size", "received", "complete", "parts"}
    assert (told["id"], told["size"]) == (str(small.id), 5)
    (part,) = told["parts"]
    assert part == {"number": 1, "start": 0, "end": 5, "url": part["url"], "headers": part["headers"]}
    assert "user" not in json.dumps(told)


def test_preflight_succeeds_only_for_put_from_the_sites_origin(s3_site: MakeSite, user: User) -> None:
    s3_site(AWS_SITE_ORIGINS=["https://www.example.com"])
    file_url = uploads.sending(uploads.begin(user, TEXT, name="a.txt", size=5))["parts"][0]["url"]
    part_url = uploads.sending(uploads.begin(user, TEXT, name="a.txt", size=5000))["parts"][0]["url"]
    named = "Access-Control-Request-Headers"
    for url, headers in ((file_url, "content-type,if-none-match"), (part_url, "")):
        for origin, status in (("https://www.example.com", 200), ("https://example.org", 403)):
            asked = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
            assert anonymous(url, "OPTIONS", asked | ({named: headers} if headers else {})).status == status
        asked = {"Origin": "https://www.example.com", "Access-Control-Request-Method": "DELETE"}
        assert anonymous(url, "OPTIONS", asked).status == 403


# Acceptance


def test_incomplete_upload_is_not_accepted(s3_site: MakeSite, user: User) -> None:
    s3_site()
    for size in (5, 5000):
        ticket = uploads.begin(user, TEXT, name="a.txt", size=size)
        with pytest.raises(uploads.IncompleteError), uploads.accepting(ticket):
            pass
        assert state(ticket) == "open"


def test_ticket_with_rules_removed_by_a_deploy_is_stale(s3_site: MakeSite, user: User) -> None:
    s3_site()
    ticket = sent(user, TEXT, b"bad")
    for rules in ({"check": "tests.gone"}, {"check": "tests.conftest.gone"}, {"gone": 1}):
        Ticket.objects.update(rules=json.dumps(rules))
        with pytest.raises(uploads.StaleError, match="too old"):
            accept(ticket)
        assert state(ticket) == "open"


def test_user_who_lost_the_permission_is_rejected(s3_site: MakeSite, user: User) -> None:
    s3_site()
    ticket = sent(user, TEXT, b"text")
    Ticket.objects.update(rules=STAFF.text())
    with pytest.raises(uploads.UnknownTicketError):
        accept(ticket)
    User.objects.update(is_superuser=True)
    ticket = Ticket.objects.get()
    accept(ticket)
    assert state(ticket) == "accepted"


@pytest.mark.parametrize("content", [b"bad text", b"bad" * PART], ids=["whole", "parts"])
def test_rejected_file_is_deleted_immediately(s3_site: MakeSite, user: User, content: bytes) -> None:
    site = s3_site()
    ticket = sent(user, CHECKED, content)
    for _ in range(2):
        with pytest.raises(uploads.RejectedError, match="This file is not good"):
            accept(ticket)
        assert keys(site) == []
    assert state(ticket) == "rejected"
    with pytest.raises(uploads.RejectedError, match="This file is not good"):
        uploads.sending(ticket)
    uploads.cancel(ticket)
    assert state(ticket) == "rejected"


def test_a_caller_can_reject(s3_site: MakeSite, user: User) -> None:
    site = s3_site()
    ticket = sent(user, PLAIN, b"x")

    def reject() -> None:
        with uploads.accepting(ticket) as upload:
            upload.reject("No picture." * 100)

    with pytest.raises(uploads.RejectedError, match="No picture") as caught:
        reject()
    assert len(str(caught.value)) == 500
    assert (state(ticket), keys(site)) == ("rejected", [])


def test_file_of_another_size_or_type_than_announced_is_rejected(s3_site: MakeSite, user: User) -> None:
    """S3 rejects it from a browser, but another program with access to the bucket can write it."""
    site = s3_site()
    for body, content_type in ((b"123456", "text/plain"), (b"12345", "text/html")):
        ticket = sent(user, TEXT, b"12345")
        site.root.put_object(Bucket=site.media_bucket, Key=ticket.key, Body=body, ContentType=content_type)
        with pytest.raises(uploads.RejectedError, match="not the one that was chosen"):
            accept(ticket)
        assert keys(site) == []


@pytest.mark.parametrize("content", [GOOD, GOOD * PART], ids=["whole", "parts"])
def test_only_the_checked_version_is_copied(
    s3_site: MakeSite, user: User, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = s3_site()
    ticket = sent(user, CHECKED, content)
    changed = b"evil!" * (len(content) // 5)
    monkeypatch.setattr(pending, "READ_BLOCK", PART)
    with uploads.accepting(ticket) as upload:
        named = {"Bucket": site.media_bucket, "Key": ticket.key}
        site.root.put_object(**named, Body=changed, ContentType="text/plain")
        if len(content) > PART:  # otherwise, it was read to the end
            with pytest.raises(uploads.UnavailableError):
                upload.file.read()
        with pytest.raises(uploads.IncompleteError, match="changed"):
            upload.keep()
    assert (state(ticket), keys(site)) == ("open", [ticket.key])
    with pytest.raises(uploads.RejectedError):
        accept(ticket)


def test_ticket_is_accepted_only_once(s3_site: MakeSite, user: User) -> None:
    site = s3_site()
    ticket = sent(user, TEXT, LARGE)
    with uploads.accepting(ticket) as upload:
        late = Ticket.objects.get()
        for use in (lambda: accept(late), lambda: uploads.sending(late), lambda: uploads.cancel(late)):
            with pytest.raises(uploads.InProgressError) as caught:
                use()
            assert caught.value.retry_after == 2
        upload.keep()
        upload.accepted()
    for use in (lambda: accept(late), lambda: uploads.sending(late), lambda: uploads.cancel(late)):
        late.refresh_from_db()
        with pytest.raises(uploads.AlreadyAcceptedError):
            use()
    assert len(keys(site)) == 1


def test_expired_claim_is_taken_over_and_cannot_finish(s3_site: MakeSite, user: User) -> None:
    site = s3_site()
    ticket = sent(user, TEXT, LARGE)

    def with_row(slow: uploads.Accepting) -> None:
        with transaction.atomic():
            User.objects.create_user("its row")
            slow.accepted()

    with uploads.accepting(ticket) as slow:
        slow.keep()
        Ticket.objects.update(claimed_at=timezone.now() - tickets.CLAIM_LIFE - timedelta(seconds=1))
        name = accept(Ticket.objects.get())
        with pytest.raises(uploads.InProgressError):
            with_row(slow)
        with pytest.raises(uploads.InProgressError):
            slow.keep()
    # The row is rolled back, and the faster request's copy stays, because it has the same key.
    assert not User.objects.filter(username="its row").exists()
    assert (state(ticket), keys(site)) == ("accepted", [f"media/{name}"])


def test_copy_without_a_row_is_deleted_and_can_be_retried(s3_site: MakeSite, user: User) -> None:
    site = s3_site()
    ticket = sent(user, TEXT, LARGE)
    names = []

    def fail() -> None:
        with uploads.accepting(ticket) as upload:
            names.append(upload.keep())
            with transaction.atomic():
                upload.accepted()
                raise RuntimeError("no row")

    with pytest.raises(RuntimeError, match="no row"):
        fail()
    assert (state(ticket), keys(site)) == ("open", [ticket.key])
    # Abandoned, for example because the form was invalid.
    with uploads.accepting(ticket) as upload:
        names.append(upload.keep())
    assert (state(ticket), keys(site)) == ("open", [ticket.key])
    names.append(accept(ticket))
    assert len(set(names)) == 1
    assert keys(site) == [f"media/{names[0]}"]


@pytest.mark.parametrize("claimed", [False, True])
@pytest.mark.parametrize("content", [b"small", LARGE], ids=["whole", "parts"])
def test_cancel_leaves_nothing(s3_site: MakeSite, user: User, content: bytes, claimed: bool) -> None:
    site = s3_site()
    ticket = sent(user, TEXT, content)
    if claimed:  # by a process that was killed
        old = timezone.now() - tickets.CLAIM_LIFE
        Ticket.objects.update(state=Ticket.State.CLAIMED, claim=secrets.token_hex(16), claimed_at=old)
    uploads.cancel(ticket)
    assert (state(ticket), keys(site)) == ("cancelled", [])
    uploads.cancel(ticket)
    for use in (lambda: uploads.sending(ticket), lambda: accept(ticket)):
        with pytest.raises(uploads.ExpiredError, match="was cancelled"):
            use()


def test_ticket_belongs_to_its_user(s3_site: MakeSite, user: User) -> None:
    s3_site()
    ticket = uploads.begin(user, TEXT, name="a.txt", size=5)
    assert uploads.ticket(user, ticket.id) == uploads.ticket(user, str(ticket.id)) == ticket
    with pytest.raises(uploads.UnknownTicketError):
        uploads.ticket(User.objects.create_user("other"), ticket.id)
    for wrong in ("", "x", "0" * 32):
        with pytest.raises(uploads.UnknownTicketError):
            uploads.ticket(user, wrong)


def test_ticket_expires_before_the_lifecycle_rule_deletes_the_file(s3_site: MakeSite, user: User) -> None:
    site = s3_site()
    ticket = sent(user, TEXT, b"12345")
    rules = site.root.get_bucket_lifecycle_configuration(Bucket=site.media_bucket)["Rules"]
    (days,) = (rule["Expiration"]["Days"] for rule in rules if rule["Filter"]["Prefix"] == "pending/")
    assert timedelta(hours=12) < ticket.expires_at - ticket.created_at < timedelta(days=days)
    Ticket.objects.update(expires_at=timezone.now())
    ticket.refresh_from_db()
    for use in (lambda: uploads.sending(ticket), lambda: accept(ticket)):
        with pytest.raises(uploads.ExpiredError, match="took too long"):
            use()
    uploads.cancel(ticket)
    assert keys(site) == []


def test_aborted_multipart_upload_is_expired(s3_site: MakeSite, user: User) -> None:
    site = s3_site()
    ticket = uploads.begin(user, TEXT, name="a.txt", size=len(LARGE))
    named = {"Bucket": site.media_bucket, "Key": ticket.key}
    site.root.abort_multipart_upload(**named, UploadId=ticket.upload_id)
    with pytest.raises(uploads.ExpiredError):
        uploads.sending(ticket)
    with pytest.raises(uploads.IncompleteError):
        accept(ticket)


# S3 errors


@pytest.mark.parametrize(
    ("method", "path", "use"),
    [
        ("POST", r"\?uploads$", "begin"),
        ("HEAD", r"/pending/", "accept"),
        ("POST", r"/pending/.*uploadId", "accept"),
        ("PUT", r"/media/.*partNumber=2", "accept"),
        ("POST", r"/media/.*\?uploads", "accept"),
        ("POST", r"/media/.*uploadId", "accept"),
        ("GET", r"uploadId", "sending"),
        ("GET", r"uploadId", "accept"),
    ],
)
def test_s3_errors_are_retried_and_raise_unavailable(
    proxy: FaultProxy, user: User, store: Any, settings: Any, method: str, path: str, use: str
) -> None:
    ticket = sent(user, TEXT, LARGE) if use != "begin" else None
    proxy.clear()
    proxy.faults.append(Fault(method, path, status=503, code="SlowDown"))
    operations: dict[str, Any] = {
        "begin": lambda: uploads.begin(user, TEXT, name="a.txt", size=len(LARGE)),
        "accept": lambda: accept(ticket),  # type: ignore[arg-type]
        "sending": lambda: uploads.sending(ticket),  # type: ignore[arg-type]
    }
    with pytest.raises(uploads.UnavailableError) as caught:
        operations[use]()
    assert caught.value.retry_after == 60
    assert proxy.faults[0].struck in {clients.WEB_ATTEMPTS, clients.WORKING_ATTEMPTS}
    proxy.clear()
    if ticket is None:
        assert not Ticket.objects.exists()
        return
    assert state(ticket) == "open"
    name = accept(ticket)
    root, bucket = store.client(), settings.STORAGES["default"]["OPTIONS"]["bucket_name"]
    assert [each["Key"] for each in root.list_objects_v2(Bucket=bucket)["Contents"]] == [f"media/{name}"]
    assert not root.list_multipart_uploads(Bucket=bucket).get("Uploads")


@pytest.mark.parametrize("path", [r"/pending/.*uploadId", r"/media/.*uploadId"])
def test_lost_response_to_completion_is_harmless(proxy: FaultProxy, user: User, path: str) -> None:
    ticket = sent(user, TEXT, LARGE)
    proxy.faults.append(Fault("POST", path, cut="after", times=1))
    accept(ticket)
    assert proxy.faults[0].struck == 1


def test_unreadable_file_is_not_rejected(proxy: FaultProxy, user: User) -> None:
    ticket = sent(user, PLAIN, b"x")
    proxy.faults.append(Fault("GET", r"/pending/", status=500))

    def look() -> None:
        with uploads.accepting(ticket) as upload:
            with suppress(Exception):  # as callers of Pillow must
                upload.file.read()
            upload.reject("This is not a picture.")

    with pytest.raises(uploads.UnavailableError):
        look()
    assert state(ticket) == "open"


def test_file_is_read_in_blocks(proxy: FaultProxy, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "READ_BLOCK", 2 * PART)
    ticket = sent(user, PLAIN, LARGE)
    with uploads.accepting(ticket) as upload:
        before = proxy.count("GET", ticket.key)
        assert [upload.file.read(10) for _ in range(5)] == [LARGE[at : at + 10] for at in range(0, 50, 10)]
        upload.file.seek(-1, 2)
        assert upload.file.read(10) == LARGE[-1:]
        assert (upload.file.tell(), upload.file.read()) == (len(LARGE), b"")
        assert proxy.count("GET", ticket.key) - before == 2
        assert b"".join(upload.file.chunks(100)) == LARGE
    asked = [each.headers["range"] for each in proxy.matching("GET", ticket.key) if "range" in each.headers]
    assert asked[0] == f"bytes=0-{2 * PART - 1}"
    with pytest.raises(ValueError, match="negative"):
        upload.file.seek(-1)


def test_cancel_and_reject_work_without_s3(proxy: FaultProxy, user: User) -> None:
    cancelled, rejected = sent(user, TEXT, LARGE), sent(user, CHECKED, b"bad")
    proxy.faults.append(Fault("DELETE", status=503))
    uploads.cancel(cancelled)
    with pytest.raises(uploads.RejectedError):
        accept(rejected)
    assert (state(cancelled), state(rejected)) == ("cancelled", "rejected")
    assert proxy.faults[0].struck == 2 * clients.WEB_ATTEMPTS


def test_undeleted_copy_is_deleted_by_a_later_clean(
    proxy: FaultProxy, user: User, store: Any, settings: Any
) -> None:
    ticket = sent(user, TEXT, b"small")
    proxy.faults.append(Fault("DELETE", r"/media/", status=503))
    with uploads.accepting(ticket) as upload:
        name = upload.keep()
    ticket.refresh_from_db()
    assert (ticket.state, ticket.kept) == ("open", True)
    long_ago = timezone.now() - tickets.KEPT_LIFE - timedelta(seconds=1)
    Ticket.objects.update(expires_at=long_ago, claimed_at=long_ago)
    proxy.faults[:] = [Fault("POST", r"\?delete", status=503)]
    report = leftovers.clean()
    assert (list(report.errors), report.rows) == ([str(ticket.pk)], 0)
    assert Ticket.objects.filter(pk=ticket.pk).exists()
    proxy.clear()
    assert leftovers.clean().rows == 1
    assert not Ticket.objects.filter(pk=ticket.pk).exists()
    listed = (
        store.client()
        .list_objects_v2(Bucket=settings.STORAGES["default"]["OPTIONS"]["bucket_name"])
        .get("Contents", [])
    )
    assert f"media/{name}" not in [each["Key"] for each in listed]


def test_clean_deletes_old_tickets_and_keeps_accepted_files(s3_site: MakeSite, user: User) -> None:
    site = s3_site()
    accepted = sent(user, TEXT, b"small")
    name = accept(accepted)
    young = uploads.begin(user, TEXT, name="a.txt", size=1)
    Ticket.objects.filter(pk=accepted.pk).update(expires_at=timezone.now() - timedelta(days=2))
    uploads.begin(user, TEXT, name="b.txt", size=1)
    assert {each.name for each in Ticket.objects.all()} == {"a.txt", "b.txt"}
    assert young in Ticket.objects.all()
    leftovers.clean()
    assert keys(site) == [f"media/{name}"]
