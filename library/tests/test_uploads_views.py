"""What the page's script asks, and a site's own view that accepts what was sent, on the strict server."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import Client
from django.urls import include, path

from s3kit import uploads
from s3kit.uploads import Kind
from s3kit.uploads.models import Ticket
from tests.ministack import MakeSite, SiteOnS3, anonymous, post_form

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]


def upper(file: Any) -> bytes:
    content: bytes = file.read()
    if b"bad" in content:
        raise ValidationError("This is no good letter.")
    return content.upper()


LETTER = Kind("views.letter", ("txt",), 1000, folder="letters/")
SHOUT = Kind("views.shout", ("md",), 1000, may_upload=lambda user: user.has_perm("auth.add_user"))
uploads.register(LETTER, SHOUT)
KEPT: list[Any] = []


@login_required
@uploads.answers_in_json(accepted="home")
def add(request: HttpRequest) -> JsonResponse:
    """Accept a ticket, as a site does."""
    ticket = uploads.ticket(request.user, request.POST["ticket"])  # type: ignore[arg-type]
    with uploads.accepting(ticket) as upload:
        kept = upload.keep() if ticket.kind == LETTER.name else upload.clean(upper)
        with transaction.atomic():
            upload.accepted()
            KEPT.append(kept)
    return JsonResponse({"url": "/"})


def home(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("home")


urlpatterns = [
    path("", home, name="home"),
    path("add/", add),
    path("admin/", admin.site.urls),
    path("uploads/", include("s3kit.uploads.urls")),
]


@pytest.fixture
def site(s3_site: MakeSite) -> SiteOnS3:
    KEPT.clear()
    return s3_site()


@pytest.fixture
def staff(client: Client, site: SiteOnS3) -> Client:  # noqa: ARG001 -- the site first
    client.force_login(User.objects.create_superuser("editor"))
    return client


def ask(client: Client, name: str, size: object, kinds: str = "views.letter,views.shout") -> Any:
    return client.post("/uploads/", {"name": name, "size": size, "kinds": kinds})


def sent(client: Client, data: bytes, name: str = "My letter.txt") -> dict[str, Any]:
    """Return the state of a ticket by which the file was sent."""
    answer = ask(client, name, len(data))
    assert answer.status_code == 201, answer.content
    state: dict[str, Any] = answer.json()
    assert post_form(state["post"], data).status == 204
    return state


def accept(client: Client, state: dict[str, Any]) -> Any:
    return client.post("/add/", {"ticket": state["id"]})


def keys(site: SiteOnS3) -> list[str]:
    return [each["Key"] for each in site.root.list_objects_v2(Bucket=site.media_bucket).get("Contents", [])]


def test_a_file_is_sent_accepted_and_kept(site: SiteOnS3, staff: Client) -> None:
    state = sent(staff, b"hello")
    assert keys(site) == [f"pending/{state['id'].replace('-', '')}"]
    assert staff.get(state["address"]).json()["complete"]
    assert accept(staff, state).json() == {"url": "/"}
    assert keys(site) == [f"media/{KEPT[0]}"]
    assert KEPT[0].startswith("letters/My_letter-")
    # Asked again, because the answer was lost: the page goes on.
    again = accept(staff, state)
    assert (again.status_code, again.json()) == (409, {"url": "/"})
    assert len(KEPT) == 1


def test_a_file_that_is_made_anew_leaves_nothing_pending(site: SiteOnS3, staff: Client) -> None:
    accept(staff, sent(staff, b"hello", "a.md"))
    assert (KEPT, keys(site)) == ([b"HELLO"], [])
    answer = accept(staff, sent(staff, b"bad", "a.md"))
    assert answer.status_code == 400
    assert answer.json() == {"errors": {"file": [{"message": "This is no good letter.", "code": "refused"}]}}
    assert (len(KEPT), keys(site)) == (1, [])


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("a.exe", 10, "Files of this type are not accepted. Please choose one of .txt, .md."),
        ("", 10, "Files of this type are not accepted. Please choose one of .txt, .md."),
        ("a.txt", 0, "This file is empty."),
        ("a.txt", "many", "This file is empty."),
        ("a.txt", "-5", "This file is empty."),
        ("a.txt", 1001, "This file is too large (1001\xa0bytes). The limit is 1000\xa0bytes."),
    ],
)
def test_what_would_not_be_accepted_gets_no_ticket(
    site: SiteOnS3, staff: Client, name: str, size: object, message: str
) -> None:
    answer = ask(staff, name, size)
    assert answer.status_code == 400
    assert answer.json()["errors"]["file"][0]["message"] == message
    assert not Ticket.objects.exists()
    assert keys(site) == []


def test_who_may_upload_is_the_kinds_to_say(site: SiteOnS3, client: Client) -> None:
    assert ask(client, "a.txt", 5).status_code == 302  # to the login page
    user = User.objects.create_user("somebody")
    client.force_login(user)
    assert ask(client, "a.txt", 5).status_code == 403
    assert ask(client, "a.txt", 5, kinds="views.letter,views.unknown").status_code == 403
    User.objects.update(is_staff=True)
    assert ask(client, "a.txt", 5).status_code == 201
    assert ask(client, "a.md", 5).status_code == 400  # no permission for this kind
    assert keys(site) == []


def test_a_ticket_is_its_users_own(site: SiteOnS3, staff: Client) -> None:
    state = sent(staff, b"hello")
    other = Client()
    other.force_login(User.objects.create_superuser("other"))
    assert other.get(state["address"]).status_code == 404
    assert other.post(f"{state['address']}cancel/").status_code == 404
    assert accept(other, state).status_code == 404
    assert len(keys(site)) == 1
    assert staff.post(f"{state['address']}cancel/").json() == {}
    assert keys(site) == []
    ended = staff.get(state["address"])
    assert (ended.status_code, ended.json()["errors"]["__all__"][0]["code"]) == (410, "expired")


def test_a_missing_file_can_be_sent_later(site: SiteOnS3, staff: Client) -> None:
    state = ask(staff, "a.txt", 5).json()
    incomplete = accept(staff, state)
    assert (incomplete.status_code, incomplete.json()["errors"]["__all__"][0]["code"]) == (409, "incomplete")
    assert post_form(state["post"], b"hello").status == 204
    assert accept(staff, state).json() == {"url": "/"}
    assert len(keys(site)) == 1


def test_nobody_else_reads_what_is_pending(site: SiteOnS3, staff: Client) -> None:
    state = sent(staff, b"hello")
    key = f"pending/{state['id'].replace('-', '')}"
    assert anonymous(site.url(site.media_bucket, key)).status == 403


def test_limits_say_when_to_come_back(site: SiteOnS3, staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    del site
    monkeypatch.setattr("s3kit.uploads.limits.TICKETS_PER_HOUR", 1)
    ask(staff, "a.txt", 5)
    answer = ask(staff, "a.txt", 5)
    assert (answer.status_code, answer.json()["errors"]["__all__"][0]["code"]) == (429, "rate_limited")
    assert 3590 < int(answer.headers["Retry-After"]) <= 3601


def test_with_files_on_disk_there_is_no_ticket(client: Client) -> None:
    client.force_login(User.objects.create_superuser("editor"))
    assert ask(client, "a.txt", 5).status_code == 404
