"""Tickets for uploads straight to S3, and who gets them. These tests send no request to S3."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from itertools import dropwhile
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.awsrequest import AWSResponse
from django import forms
from django.contrib.auth.models import Group, User
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from s3kit import clients, csp, uploads
from s3kit.uploads import DirectFileField, Kind
from s3kit.uploads.models import Ticket
from s3kit.uploads.tickets import part_size
from tests.ministack import s3_settings, s3_storages

pytestmark = pytest.mark.django_db

TEXT = Kind(("txt", "html", "mp4"), 10_000, upload_to="texts/")
OTHER = Kind(("txt",), 10_000)


@pytest.fixture
def user() -> User:
    return User.objects.create_user("editor")


@pytest.fixture
def nowhere(settings: Any) -> None:
    """Configure a site on an S3 server that doesn't exist."""
    s3_settings(settings, AWS_S3_ENDPOINT_URL="http://127.0.0.1:9")


@pytest.mark.usefixtures("nowhere")
def test_direct_uploads_are_available_only_with_s3(settings: Any) -> None:
    assert uploads.available()
    settings.STORAGES = settings.STORAGES | {
        "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    }
    assert not uploads.available()
    with pytest.raises(ImproperlyConfigured, match=r"is not on S3.*Check uploads.available"):
        uploads.begin(User(), TEXT, name="a.txt", size=1)


@pytest.mark.usefixtures("nowhere")
def test_direct_uploads_can_be_turned_off(settings: Any) -> None:
    settings.AWS_DIRECT_UPLOADS = False
    assert not uploads.available()
    settings.STORAGES = s3_storages({}, {"bucket_name": "acme-media", "direct_uploads": True})
    assert uploads.available()
    settings.STORAGES = s3_storages({}, {"bucket_name": "acme-media", "direct_uploads": "no"})
    with pytest.raises(ImproperlyConfigured, match="'direct_uploads' is 'no': set it to True or False"):
        uploads.available()


@pytest.mark.usefixtures("nowhere")
def test_files_that_may_be_overwritten_are_not_sent_directly(settings: Any) -> None:
    """A direct upload is at its final key before its form is valid: it would replace, or delete, another row's file."""
    settings.STORAGES = s3_storages({}, {"bucket_name": "acme-media", "file_overwrite": True})
    assert not uploads.available()
    assert csp.direct_uploads() == ()
    with pytest.raises(ImproperlyConfigured, match=r"file_overwrite on.*Check uploads.available"):
        uploads.begin(User(), TEXT, name="a.txt", size=1)


def signed_headers(url: str) -> str:
    return parse_qs(urlsplit(url).query)["X-Amz-SignedHeaders"][0]


AWS = {"AWS_S3_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_S3_SECRET_ACCESS_KEY": "secret"}
STORES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "aws": ({}, ["if-none-match"]),
    # R2, B2, and others don't support forms, and some don't support If-None-Match.
    "another": ({"AWS_S3_ENDPOINT_URL": "https://s3.example.com"}, []),
}


@pytest.mark.parametrize("store", STORES)
def test_browser_requests_are_signed_and_have_no_checksum(user: User, settings: Any, store: str) -> None:
    """If CreateMultipartUpload named a checksum algorithm, AWS would reject the parts, which have no checksum."""
    shared, also = STORES[store]
    s3_settings(settings, **AWS, **shared)
    made: list[Any] = []

    def answer(request: Any, **_: Any) -> Any:
        made.append(request)
        result = "InitiateMultipartUploadResult" if request.method == "POST" else "ListPartsResult"
        body = f"<{result}><UploadId>u</UploadId></{result}>".encode()
        raw = SimpleNamespace(stream=lambda *_a, **_k: iter([body]))
        return AWSResponse(request.url, 404 if request.method == "HEAD" else 200, {}, raw)

    storage: Any = default_storage
    clients.web(storage.target).meta.events.register("before-send.s3", answer)
    whole = uploads.sending(uploads.begin(user, TEXT, name="a.html", size=5))["parts"]
    large = replace(TEXT, max_bytes=2**30)
    parts = uploads.sending(uploads.begin(user, large, name="a.txt", size=20 * 2**20))["parts"]

    assert [signed_headers(each["url"]) for each in whole] == [
        ";".join(["content-length", "content-type", "host", *also])
    ]
    assert [sorted(each["headers"]) for each in whole] == [["content-type", *also]]
    assert whole[0]["headers"]["content-type"] == "application/octet-stream"
    assert [signed_headers(each["url"]) for each in parts] == ["content-length;host"] * 2
    assert [each["headers"] for each in parts] == [{}, {}]
    (begun,) = (each for each in made if each.method == "POST")
    said = json.dumps([begun.url, str(begun.headers), *whole, *parts]).lower()
    assert "checksum" not in said
    assert "crc32" not in said


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize(
    ("name", "size", "says"),
    [
        ("", 5, "name must have"),
        ("a/b/", 5, "name must have"),
        ("\x00\ud800\n", 5, "name must have"),
        ("x" * 256 + ".txt", 5, "1 to 255 characters"),
        ("page.svg", 5, r"choose one of .txt, .html, .mp4\.$"),
        ("txt", 5, "Files of this type"),
        ("a.txt.exe", 5, "Files of this type"),
        ("a.txt", 0, "is empty"),
        ("a.txt", -1, "is empty"),
        ("a.txt", True, "is empty"),
        ("a.txt", "5", "is empty"),
        ("a.txt", 10_001, r"too large \(9.8.KB\). The limit is 9.8.KB"),
    ],
)
def test_begin_rejects_invalid_names_types_and_sizes(user: User, name: str, size: Any, says: str) -> None:
    with pytest.raises(uploads.RejectedError, match=says):
        uploads.begin(user, TEXT, name=name, size=size)
    assert not Ticket.objects.exists()


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize(
    ("name", "stored", "content_type"),
    [
        ("a.txt", "a.txt", "text/plain"),
        ("../../etc/a.TXT", "a.TXT", "text/plain"),
        ("C:\\x\\한\u202e글.html", "한글.html", "application/octet-stream"),
        ("x" * 251 + ".mp4", "x" * 251 + ".mp4", "video/mp4"),
    ],
)
def test_begin_chooses_the_key_the_target_and_the_content_type(
    user: User, name: str, stored: str, content_type: str
) -> None:
    ticket = uploads.begin(user, TEXT, name=name, size=5)
    assert (ticket.name, ticket.content_type, ticket.user) == (stored, content_type, user)
    assert re.fullmatch(r"pending/[0-9a-f]{32}", ticket.key)
    assert ticket.target.startswith("texts/")
    assert len(ticket.target) <= TEXT.max_length
    assert str(ticket) == f"{stored} (open)"


def test_kind_of_finds_a_kind_by_extension() -> None:
    assert uploads.kind_of("A.HTML", [OTHER, TEXT]) is TEXT
    assert uploads.kind_of("a.txt", [OTHER, TEXT]) is OTHER
    assert uploads.kind_of("a", [OTHER, TEXT]) is None


def test_kinds_can_be_declared_before_apps_are_ready() -> None:
    code = (
        "from s3kit.uploads import Kind, UploadError, register;"
        "register(Kind(['txt'], name='a.b', may_upload='a.b'))"
    )
    subprocess.run([sys.executable, "-c", code], env={}, check=True)
    twice = Kind(["txt"], name="tests.twice", may_upload="tests.add_text")
    uploads.register(twice)
    uploads.register(replace(twice))
    with pytest.raises(ImproperlyConfigured, match=r"Two kinds of uploads have the name 'tests\.twice'"):
        uploads.register(replace(twice, max_bytes=1))


@pytest.mark.usefixtures("nowhere")
def test_uploads_per_hour_are_limited(user: User, settings: Any) -> None:
    settings.S3KIT_UPLOADS = {"PER_HOUR": 2}
    first = uploads.begin(user, TEXT, name="a.txt", size=1)
    uploads.begin(user, TEXT, name="a.txt", size=1)
    Ticket.objects.filter(pk=first.pk).update(created_at=timezone.now() - timedelta(minutes=49, seconds=30))
    with pytest.raises(uploads.RateLimitedError, match=r"2 uploads within an hour.*in 11 minutes") as caught:
        uploads.begin(user, TEXT, name="a.txt", size=1)
    assert 600 < caught.value.retry_after <= 631  # type: ignore[operator]
    uploads.begin(User.objects.create_user("other"), TEXT, name="a.txt", size=1)
    Ticket.objects.filter(pk=first.pk).update(created_at=timezone.now() - timedelta(hours=1))
    uploads.begin(user, TEXT, name="a.txt", size=1)


def test_form_uploads_per_hour_are_limited(user: User, settings: Any) -> None:
    settings.STORAGES = settings.STORAGES | {
        "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    }
    settings.S3KIT_UPLOADS = {"PER_HOUR": 2}
    file = SimpleUploadedFile("x" * 300 + "\n.txt", b"text")
    uploads.count(user, file)
    uploads.count(user, file)
    with pytest.raises(ValidationError, match=r"2 uploads within an hour.*in 60 minutes") as caught:
        uploads.count(user, file)
    assert caught.value.code == "rate_limited"
    uploads.count(User.objects.create_user("other"), file)
    settings.S3KIT_UPLOADS = {"PER_HOUR": 2, "UNFINISHED_BYTES": 10}
    Ticket.objects.update(created_at=timezone.now() - timedelta(days=2))
    uploads.count(user, file)  # they have no unfinished uploads
    Ticket.objects.update(expires_at=timezone.now() - timedelta(days=2))
    uploads.count(user, file)
    # The user's old tickets are deleted. This request doesn't affect other users' tickets.
    assert list(Ticket.objects.order_by("user").values_list("user__username", flat=True)) == [
        "editor",
        "other",
    ]


@pytest.mark.usefixtures("nowhere")
def test_direct_and_form_uploads_share_the_hourly_limit(user: User, settings: Any) -> None:
    settings.S3KIT_UPLOADS = {"PER_HOUR": 2}
    uploads.count(user, SimpleUploadedFile("a.txt", b"text"))
    uploads.begin(user, TEXT, name="a.txt", size=1)
    with pytest.raises(uploads.RateLimitedError):
        uploads.begin(user, TEXT, name="a.txt", size=1)
    with pytest.raises(ValidationError):
        uploads.count(user, SimpleUploadedFile("a.txt", b"text"))


@pytest.mark.usefixtures("nowhere")
def test_unfinished_bytes_are_limited(user: User, settings: Any) -> None:
    settings.S3KIT_UPLOADS = {"UNFINISHED_BYTES": 1000}
    first = uploads.begin(user, TEXT, name="a.txt", size=600)
    with pytest.raises(uploads.RateLimitedError, match=r"exceed 1000.bytes\. Please finish") as caught:
        uploads.begin(user, TEXT, name="a.txt", size=401)
    assert caught.value.retry_after == pytest.approx(23 * 3600, abs=60)
    uploads.begin(user, TEXT, name="a.txt", size=400)
    for change in ({"state": "accepted"}, {"state": "cancelled"}, {"expires_at": timezone.now()}):
        Ticket.objects.filter(pk=first.pk).update(
            state="open", expires_at=timezone.now() + timedelta(hours=1)
        )
        with pytest.raises(uploads.RateLimitedError):
            uploads.begin(user, TEXT, name="a.txt", size=1)
        Ticket.objects.filter(pk=first.pk).update(**change)
        uploads.begin(user, TEXT, name="a.txt", size=600).delete()


GROUPS = {
    "editors": {"PER_HOUR": 3},
    "staff": {"PER_HOUR": 2, "UNFINISHED_BYTES": 50},
    "new": {"PER_HOUR": 1},
}


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize(
    ("groups", "per_hour", "unfinished"),
    [
        ([], 2, 20),
        (["unlisted"], 2, 20),
        (["new"], 1, 20),
        (["new", "unlisted"], 1, 20),
        (["editors"], 3, 20),
        (["staff", "editors"], 3, 50),
    ],
)
def test_users_get_the_highest_limits_of_their_groups(
    user: User, settings: Any, groups: list[str], per_hour: int, unfinished: int
) -> None:
    settings.S3KIT_UPLOADS = {"PER_HOUR": 2, "UNFINISHED_BYTES": 20, "GROUPS": GROUPS}
    user.is_superuser = True  # without effect
    user.save()
    user.groups.set([Group.objects.create(name=name) for name in groups])
    with pytest.raises(uploads.RateLimitedError, match=f"exceed {unfinished}.bytes"):
        uploads.begin(user, TEXT, name="a.txt", size=unfinished + 1)
    uploads.begin(user, TEXT, name="a.txt", size=unfinished).delete()
    for _ in range(per_hour):
        uploads.begin(user, TEXT, name="a.txt", size=1)
    with pytest.raises(uploads.RateLimitedError, match=f"started {per_hour} uploads"):
        uploads.begin(user, TEXT, name="a.txt", size=1)


def test_size_limits_of_fields_default_to_the_setting(settings: Any) -> None:
    class Form(forms.Form):
        plain = DirectFileField()
        small = DirectFileField(max_bytes=50, form_max_bytes=8)

    assert Kind().limit == 5 * 2**30
    kind = Kind(["txt"])
    packed = kind.packed()
    settings.S3KIT_UPLOADS = {"MAX_BYTES": 20, "FORM_MAX_BYTES": 10}
    assert (kind.limit, kind.packed(), Kind(max_bytes=50).limit) == (20, packed, 50)

    def rejected(**sizes: int) -> list[str]:
        files = {name: SimpleUploadedFile("a.txt", bytes(size)) for name, size in sizes.items()}
        return sorted(Form({}, files).errors)

    assert rejected(plain=10, small=8) == []
    assert rejected(plain=11, small=9) == ["plain", "small"]
    settings.S3KIT_UPLOADS = {"MAX_BYTES": 7}
    assert rejected(plain=8, small=8) == ["plain"]
    with pytest.raises(uploads.RejectedError, match="The limit is 7"):
        kind.check_announced("a.txt", 8)


WRONG: dict[str, tuple[Any, str, str]] = {
    "no dict": ([1], "S3KIT_UPLOADS is [1], which is not a dict.", "{"),
    "typo": ({"PER_HUOR": 1}, "S3KIT_UPLOADS has 'PER_HUOR', which is not a limit.", "mean 'PER_HOUR'?"),
    "case": ({"groups": {}}, "S3KIT_UPLOADS has 'groups', which is not a limit.", "mean 'GROUPS'?"),
    "text": ({"PER_HOUR": "9"}, "['PER_HOUR'] is '9', which is not a whole number above 0.", "default, 100."),
    "zero": ({"MAX_BYTES": 0}, "['MAX_BYTES'] is 0, which is", "5368709120"),
    "negative": ({"UNFINISHED_BYTES": -1}, "['UNFINISHED_BYTES'] is -1, which is", "leave it out"),
    "bool": ({"FORM_MAX_BYTES": True}, "['FORM_MAX_BYTES'] is True, which is", "for the default, "),
    "float": ({"MAX_BYTES": 5e9}, "['MAX_BYTES'] is 5000000000.0, which is", "for the default, "),
    "list of groups": ({"GROUPS": ["a"]}, "['GROUPS'] is ['a'], which is not a dict of groups.", "editors"),
    "group": ({"GROUPS": {"a": 5}}, "['GROUPS']['a'] is 5, which is not a dict.", "PER_HOUR"),
    "group's value": (
        {"GROUPS": {"a": {"PER_HOUR": 0}}},
        "['GROUPS']['a']['PER_HOUR'] is 0",
        "default, 100.",
    ),
    "group's typo": ({"GROUPS": {"a": {"UNFINISHED": 1}}}, "['a'] has 'UNFINISHED'", "'UNFINISHED_BYTES'?"),
    "not by group": (
        {"GROUPS": {"a": {"MAX_BYTES": 1}}},
        "has 'MAX_BYTES', which can't differ",
        "Move it to",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_check_says_what_is_wrong_with_the_setting(settings: Any, case: str) -> None:
    settings.S3KIT_UPLOADS, says, fix = WRONG[case]
    (error,) = run_checks(tags=["s3kit"])
    assert (error.id, error.is_serious()) == ("s3kit_uploads.E001", True)
    assert says in error.msg
    assert fix in str(error.hint)
    assert error.msg.endswith(".")


def test_check_reports_all_errors_and_accepts_valid_settings(settings: Any) -> None:
    settings.S3KIT_UPLOADS = {"A": 1, "PER_HOUR": 0, "GROUPS": {"a": {"B": 1}}}
    assert len(run_checks(tags=["s3kit"])) == 3
    settings.S3KIT_UPLOADS = {"PER_HOUR": 1, "UNFINISHED_BYTES": 1, "MAX_BYTES": 1, "FORM_MAX_BYTES": 1}
    settings.S3KIT_UPLOADS["GROUPS"] = GROUPS
    assert run_checks(tags=["s3kit"]) == []


@pytest.mark.usefixtures("nowhere")
def test_unreachable_s3_is_logged_and_raises_unavailable(
    user: User, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(uploads.UnavailableError, match="is not responding"):
        uploads.begin(user, replace(TEXT, max_bytes=2**30), name="a.txt", size=2**30)
    assert not Ticket.objects.exists()
    assert "check the network, HTTPS_PROXY" in caplog.text


@pytest.mark.parametrize("size", [16 * 2**20 + 1, 5 * 2**30, 5 * 2**40, 10_000 * 16 * 2**20 + 1])
def test_part_size_meets_s3s_limits_for_any_file_size(size: int) -> None:
    step = part_size(size)
    assert -(-size // step) <= 10_000
    assert step % 2**20 == 0
    assert 5 * 2**20 <= step <= 5 * 2**30
    assert step == 16 * 2**20 or -(-size // (step - 2**20)) > 10_000


def test_errors_have_a_status_a_code_and_a_message() -> None:
    found = {each.code: each().status for each in uploads.UploadError.__subclasses__()}
    assert found == {
        "rejected": 400,
        "invalid": 400,
        "login_required": 401,
        "forbidden": 403,
        "stale": 403,
        "unknown": 404,
        "expired": 410,
        "accepted": 409,
        "in_progress": 409,
        "incomplete": 409,
        "rate_limited": 429,
        "unavailable": 503,
    }
    assert all(str(each()).endswith(".") for each in uploads.UploadError.__subclasses__())


@pytest.mark.usefixtures("nowhere")
def test_begin_writes_first_so_concurrent_requests_wait_on_sqlite(user: User) -> None:
    """Otherwise, one of them fails with "database is locked", regardless of the timeout."""
    with CaptureQueriesContext(connection) as queries:
        uploads.begin(user, TEXT, name="a.txt", size=1)
    asked = [each["sql"] for each in queries]
    within = dropwhile(lambda sql: not sql.startswith("SAVEPOINT"), asked)
    assert next(sql for sql in within if not sql.startswith("SAVEPOINT")).startswith("UPDATE")
