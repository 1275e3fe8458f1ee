"""The JSON views, and a site's own view that accepts a ticket, on the local S3 server.

The test client plays the page's script. Rules that hold without HTTP are in test_uploads_strict.py.
"""

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import Group, User
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.test import Client
from django.urls import include, path
from PIL import Image

from s3kit import uploads
from s3kit.storages import MediaStorage
from s3kit.uploads import Kind, films, images, limits, tickets
from s3kit.uploads.models import Ticket
from tests.ministack import MakeSite, SiteOnS3, anonymous

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

FILM = Kind("views.film", ("mp4", "webm"), 10_000, folder="films/", check=films.check_film)
PICTURE = Kind("views.picture", ("jpg", "png"), 10_000)
ADMINS = Kind("views.admins", ("txt",), 10_000, may_upload=lambda user: user.has_perm("auth.add_user"))
uploads.register(FILM, PICTURE, ADMINS)

MP4 = b"\0\0\0\x18ftypisom\0\0\2\0isomavc1" + b"a film" * 50
BEGIN = "/uploads/"


@login_required
@uploads.answers_in_json(accepted="home")
def add(request: HttpRequest, name: str = "") -> JsonResponse:
    """Accept a ticket as a site does. A group stands for its row and holds the file's name."""
    ticket = uploads.ticket(request.user, request.POST.get("ticket", ""))  # type: ignore[arg-type]
    with uploads.accepting(ticket) as upload:
        if ticket.kind == FILM.name:
            name = upload.keep()
        else:
            made: ContentFile[bytes] = upload.clean(images.clean_picture)
            name = default_storage.save(f"pictures/{made.name}", made)
        prepared()
        with transaction.atomic():
            upload.accepted()
            write_row(name)
    messages.success(request, "Added.")
    return JsonResponse({"url": "/"})


def prepared() -> None:
    """Do nothing: a test's place between the file and its row."""


def write_row(name: str) -> None:
    Group.objects.create(name=name)


def home(_request: HttpRequest) -> JsonResponse:
    return JsonResponse({})


urlpatterns = [
    path("", home, name="home"),
    path("add/", add),
    path("login/", home, name="login"),
    path("uploads/", include("s3kit.uploads.urls")),
]


@pytest.fixture
def site(s3_site: MakeSite, settings: Any) -> SiteOnS3:
    settings.LOGIN_URL = "/login/"
    return s3_site()


@pytest.fixture
def staff(client: Client, site: SiteOnS3) -> Client:  # noqa: ARG001 - the site first
    client.force_login(User.objects.create_user("editor", is_staff=True))
    return client


def photo() -> bytes:
    """Return a picture whose metadata is a secret."""
    exif = Image.Exif()
    exif[0x010F] = "SECRET camera"
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (20, 20, 220)).save(file, "JPEG", exif=exif)
    return file.getvalue()


def begin(client: Client, name: str, size: object, kinds: str = "views.film,views.picture") -> Any:
    return client.post(BEGIN, {"name": name, "size": size, "kinds": kinds})


def send(state: dict[str, Any], data: bytes) -> None:
    for part in state["parts"] or ():
        content = data[part["start"] : part["end"]]
        assert anonymous(part["url"], "PUT", part["headers"], content).status == 200


def sent(client: Client, data: bytes, name: str = "My Film.mp4") -> dict[str, Any]:
    """Begin an upload and send the file. Return the state of its ticket."""
    answer = begin(client, name, len(data))
    assert answer.status_code == 201, answer.content
    state: dict[str, Any] = answer.json()
    send(state, data)
    return state


def accept(client: Client, state: dict[str, Any]) -> Any:
    return client.post("/add/", {"ticket": state["id"]})


def keys(site: SiteOnS3) -> list[str]:
    listed = site.root.list_objects_v2(Bucket=site.media_bucket).get("Contents", [])
    return [found["Key"] for found in listed]


def rows() -> list[str]:
    return list(Group.objects.values_list("name", flat=True))


def error(answer: Any) -> tuple[str, str, str]:
    """Return the field, the code and the sentence of the only error."""
    ((name, (only,)),) = json.loads(answer.content)["errors"].items()
    return name, only["code"], only["message"]


def test_a_film_is_sent_in_parts_resumed_and_accepted(
    site: SiteOnS3, staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PART_FROM", "PART", "MIB"):
        monkeypatch.setattr(tickets, name, 1024)
    data = MP4 + bytes(3000 - len(MP4))
    state = begin(staff, "a.mp4", len(data)).json()
    assert [part["number"] for part in state["parts"]] == [1, 2, 3]
    send(state | {"parts": state["parts"][1:2]}, data)

    early = accept(staff, state)
    assert (early.status_code, error(early)[1]) == (409, "incomplete")
    state = staff.get(state["address"]).json()
    assert (state["received"], [part["number"] for part in state["parts"]]) == (1024, [1, 3])
    send(state, data)

    assert staff.get(state["address"]).json()["complete"]
    assert accept(staff, state).json() == {"url": "/"}
    (name,) = rows()
    assert keys(site) == [f"media/{name}"]
    with default_storage.open(name) as file:
        assert file.read() == data


def test_a_picture_is_encoded_anew(site: SiteOnS3, staff: Client) -> None:
    assert b"SECRET" in photo()
    assert accept(staff, sent(staff, photo(), "Photo.JPG")).status_code == 200
    (name,) = rows()
    assert keys(site) == [f"media/{name}"]
    with default_storage.open(name) as file:
        assert b"SECRET" not in file.read()


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("a.mov", 10, "Please choose one of .mp4, .webm, .jpg, .png."),
        ("mp4", 10, "Files of this type are not accepted."),
        ("a.mp4", 0, "This file is empty."),
        ("a.mp4", "", "This file is empty."),
        ("a.mp4", "-1", "This file is empty."),
        ("a.mp4", "1e3", "This file is empty."),
        ("a.mp4", "\u0661\u0660", "This file is empty."),
        ("a.mp4", "9" * 5000, "This file is empty."),
        ("a.mp4", 10_001, "too large (9.8\xa0KB). The limit is 9.8\xa0KB."),
    ],
)
def test_no_ticket_for_what_is_not_accepted(staff: Client, name: str, size: object, message: str) -> None:
    answer = begin(staff, name, size)
    field, code, sentence = error(answer)
    assert (answer.status_code, field, code) == (400, "file", "rejected")
    assert message in sentence
    assert not Ticket.objects.exists()


def test_only_registered_kinds_on_s3(staff: Client, settings: Any) -> None:
    for kinds in ("", "nothing", "views.FILM"):
        assert begin(staff, "a.mp4", 10, kinds).status_code == 403
    assert begin(staff, "a.mp4", 10, " views.film , nothing").status_code == 201
    settings.STORAGES = settings.STORAGES | {
        "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    }
    assert begin(staff, "a.mp4", 10).status_code == 404


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.mp4", b"This is a text and no film.", films.NOT_A_FILM),
        ("a.webm", MP4, "This film is named .webm, but inside it is .mp4."),
        ("a.jpg", b"<script>alert(1)</script>", images.NOT_A_PICTURE),
        ("a.jpg", photo()[:-5], images.DAMAGED),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_rejected_and_removed(
    site: SiteOnS3, staff: Client, name: str, data: bytes, message: str
) -> None:
    state = sent(staff, data, name)
    for _ in range(2):  # however often it is asked
        answer = accept(staff, state)
        field, code, sentence = error(answer)
        assert (answer.status_code, field, code) == (400, "file", "rejected")
        assert message in sentence
        assert keys(site) == []
    assert rows() == []


def test_a_ticket_is_useless_to_others(site: SiteOnS3, staff: Client) -> None:
    state = sent(staff, MP4)
    other = Client()
    other.force_login(User.objects.create_user("other", is_staff=True))
    answers = [
        other.get(state["address"]),
        other.post(f"{state['address']}cancel/"),
        accept(other, state),
        accept(other, state | {"id": "no-ticket"}),
    ]
    assert [answer.status_code for answer in answers] == [404] * 4
    assert {error(answer)[1] for answer in answers} == {"unknown"}
    assert (rows(), len(keys(site))) == ([], 1)
    assert accept(staff, state).status_code == 200


@pytest.mark.usefixtures("site")
def test_who_may_upload(client: Client) -> None:
    address = f"{BEGIN}{'0' * 8}-0000-0000-0000-{'0' * 12}/"
    for answer in (begin(client, "a.mp4", 10), client.get(address), client.post(f"{address}cancel/")):
        assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/login/")
    client.force_login(User.objects.create_user("visitor"))
    for kinds in ("views.film", "views.admins,views.film"):
        assert begin(client, "a.mp4", 10, kinds).status_code == 403
    assert not Ticket.objects.exists()
    User.objects.update(is_staff=True)
    state = sent(client, MP4)
    # A kind that this user may not upload is as good as none.
    assert begin(client, "a.txt", 10, "views.film,views.admins").status_code == 400
    User.objects.update(is_superuser=True)
    client.force_login(User.objects.get())
    assert begin(client, "a.txt", 10, "views.film,views.admins").status_code == 201
    User.objects.update(is_staff=False, is_superuser=False)
    assert error(accept(client, state))[1] == "unknown"
    assert rows() == []


def test_every_change_needs_the_csrf_token_and_post(staff: Client) -> None:
    state = sent(staff, MP4)
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = staff.cookies
    answers = [begin(strict, "a.mp4", 10), strict.post(f"{state['address']}cancel/"), accept(strict, state)]
    assert [answer.status_code for answer in answers] == [403] * 3
    assert strict.get(state["address"]).status_code == 200
    for address in (BEGIN, f"{state['address']}cancel/"):
        assert staff.get(address).status_code == 405


@pytest.mark.parametrize("name", ["a.mp4", "a.jpg"])
@pytest.mark.parametrize("first_is_dead", [False, True])
def test_two_acceptances_at_once_make_one_row(
    site: SiteOnS3, staff: Client, monkeypatch: pytest.MonkeyPatch, name: str, first_is_dead: bool
) -> None:
    """The second arrives during the first. It has to wait, or takes over from one that was given up."""
    state = sent(staff, MP4 if name == "a.mp4" else photo(), name)
    seconds: list[Any] = []

    def second() -> None:
        if seconds:
            return
        seconds.append(None)
        with monkeypatch.context() as patch:
            if first_is_dead:
                patch.setattr(tickets, "CLAIM_LIFE", timedelta(seconds=-1))
            seconds[0] = accept(staff, state)

    monkeypatch.setattr(f"{__name__}.prepared", second)
    first = accept(staff, state)

    assert (first.status_code, seconds[0].status_code) == ((409, 200) if first_is_dead else (200, 409))
    loser = first if first_is_dead else seconds[0]
    assert (error(loser)[1], loser.headers["Retry-After"]) == ("in_progress", "2")
    assert len(rows()) == 1
    assert f"media/{rows()[0]}" in keys(site)
    late = accept(staff, state)
    assert (late.status_code, late.json()) == (409, {"url": "/"})
    assert error(staff.get(state["address"]))[1] == "accepted"


def test_a_file_that_is_sent_again_changes_nothing_that_was_accepted(site: SiteOnS3, staff: Client) -> None:
    state = sent(staff, MP4)
    accept(staff, state)
    send(state, MP4[::-1])
    assert accept(staff, state).status_code == 409
    (name,) = rows()
    with default_storage.open(name) as file:
        assert file.read() == MP4
    assert sum(key.startswith("media/") for key in keys(site)) == 1


def test_the_limits_say_when_to_try_again(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TICKETS_PER_HOUR", 2)
    statuses = [begin(staff, "a.mp4", 10).status_code for _ in range(2)]
    answer = begin(staff, "a.mp4", 10)
    assert [*statuses, answer.status_code] == [201, 201, 429]
    assert 3500 < int(answer.headers["Retry-After"]) <= 3601
    assert "Please try again in 60 minutes." in error(answer)[2]


@pytest.mark.parametrize("way", ["cancelled", "expired"])
def test_a_ticket_that_has_ended_is_useless(
    site: SiteOnS3, staff: Client, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way == "expired":
        monkeypatch.setattr(tickets, "TICKET_LIFE", timedelta(0))
        assert begin(staff, "a.mp4", len(MP4)).status_code == 410
        ticket = Ticket.objects.get()
        state = {"id": str(ticket.id), "address": f"{BEGIN}{ticket.id}/"}
    else:
        state = sent(staff, MP4)
        assert staff.post(f"{state['address']}cancel/").json() == {}
    for answer in (staff.get(state["address"]), accept(staff, state)):
        assert answer.status_code == 410
        assert "Please start it again." in error(answer)[2]
    assert (keys(site), rows()) == ([], [])


@pytest.mark.parametrize("data", [MP4, photo()], ids=["film", "picture"])
def test_a_row_that_cannot_be_written_leaves_the_upload_as_it_was(
    site: SiteOnS3, staff: Client, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    state = sent(staff, data, "a.mp4" if data == MP4 else "a.jpg")
    staff.raise_request_exception = False
    with monkeypatch.context() as patch:
        patch.setattr(f"{__name__}.write_row", lambda _name: 1 / 0)
        assert accept(staff, state).status_code == 500
    # A picture is the site's own object, which the site removes (the gallery does).
    assert [key for key in keys(site) if "/films/" in key] == []
    assert Ticket.objects.get().state == Ticket.State.OPEN
    assert accept(staff, state).status_code == 200
    assert len(rows()) == 1


def test_a_storage_that_fails_leaves_the_upload_open(
    site: SiteOnS3, staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> str:
        raise TimeoutError

    state = sent(staff, photo(), "a.jpg")
    staff.raise_request_exception = False
    with monkeypatch.context() as patch:
        patch.setattr(MediaStorage, "_save", fail)
        assert accept(staff, state).status_code == 500
    assert accept(staff, state).status_code == 200
    assert keys(site) == [f"media/{rows()[0]}"]
