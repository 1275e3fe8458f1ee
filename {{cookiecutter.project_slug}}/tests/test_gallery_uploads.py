"""The gallery's files that go straight to S3: who gets a ticket, what is accepted, and what is left behind.

The S3 is strict, and the page's script is played by the test client and by plain HTTP requests. What holds
for every kind of upload is in test_uploads.py.
"""

import io
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from PIL import Image

from gallery import films, images
from gallery.models import Picture
from s3 import uploads
from s3.media import MediaStorage
from s3.models import Ticket
from tests.ministack import MakeSite, SiteOnS3, anonymous, post_form
from tests.test_gallery_films import FILM
from users.models import User

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def site(s3_site: MakeSite, settings: Any) -> SiteOnS3:
    made = s3_site()
    # Pages without a collectstatic.
    plain = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": plain}}
    return made


@pytest.fixture
def staff(client: Client, site: SiteOnS3) -> Client:  # noqa: ARG001 - the site first
    client.force_login(User.objects.create_user("editor", is_staff=True))
    return client


def photo() -> bytes:
    """Return a picture that says where it was taken."""
    exif = Image.Exif()
    exif[0x010F] = "SECRET camera"
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (20, 20, 220)).save(file, "JPEG", exif=exif)
    return file.getvalue()


def ask(client: Client, name: str, size: int, alt: str = "A test") -> Any:
    return client.post("/pictures/uploads/", {"name": name, "size": size, "alt": alt})


def send(state: dict[str, Any], data: bytes) -> None:
    """Send what is asked for, as the page's script does."""
    if state["post"]:
        assert post_form(state["post"], data).status == 204
    for part in state["parts"] or ():
        content = data[part["start"] : part["end"]]
        assert anonymous(part["url"], "PUT", body=content).status == 200


def sent(client: Client, data: bytes, name: str = "My Film.mp4") -> dict[str, Any]:
    """Return the state of a ticket by which the file was sent."""
    answer = ask(client, name, len(data))
    assert answer.status_code == 201, answer.content
    state: dict[str, Any] = answer.json()
    send(state, data)
    return state


def add(client: Client, state: dict[str, Any], alt: str = "A test") -> Any:
    headers = {"accept": "application/json"}
    return client.post("/pictures/add/", {"ticket": state["id"], "alt": alt}, headers=headers)


def keys(site: SiteOnS3) -> list[str]:
    listed = site.root.list_objects_v2(Bucket=site.media_bucket).get("Contents", [])
    return [found["Key"] for found in listed]


def errors(answer: Any) -> dict[str, list[str]]:
    """Return the sentences by field."""
    return {name: [one["message"] for one in list_] for name, list_ in answer.json()["errors"].items()}


# What is added


def test_a_film_is_kept_as_it_was_sent(site: SiteOnS3, staff: Client) -> None:
    state = sent(staff, FILM)
    assert keys(site) == [f"pending/{state['id'].replace('-', '')}"]

    answer = add(staff, state, "Waves")

    assert (answer.status_code, answer.json()) == (200, {"url": "/"})
    picture = Picture.objects.get()
    assert (picture.alt, picture.image.name, picture.uploaded_by) == ("Waves", "", User.objects.get())
    assert str(picture.film.name).startswith("films/My_Film-")
    assert keys(site) == [f"media/{picture.film.name}"]
    found = site.root.get_object(Bucket=site.media_bucket, Key=f"media/{picture.film.name}")
    assert (found["Body"].read(), found["ContentType"]) == (FILM, "video/mp4")
    page = staff.get("/").content.decode()
    assert "The film was added." in page
    assert "<video" in page


def test_a_film_in_parts_goes_on_where_it_was(
    site: SiteOnS3, staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PART_FROM", "PART", "MIB"):
        monkeypatch.setattr(uploads, name, 1024)
    data = FILM + bytes(3000)
    state = ask(staff, "a.mp4", len(data)).json()
    assert [part["number"] for part in state["parts"]] == [1, 2, 3]
    send(state | {"parts": state["parts"][1:2]}, data)

    incomplete = add(staff, state)
    assert (incomplete.status_code, incomplete.json()["errors"]["__all__"][0]["code"]) == (409, "incomplete")
    state = staff.get(state["address"]).json()
    assert (state["received"], [part["number"] for part in state["parts"]]) == (1024, [1, 3])
    send(state, data)

    assert staff.get(state["address"]).json()["complete"]
    assert add(staff, state).json() == {"url": "/"}
    with Picture.objects.get().film.open() as file:
        assert file.read() == data
    assert len(keys(site)) == 1


def test_a_picture_is_made_anew_and_says_nothing_of_where_it_was_taken(site: SiteOnS3, staff: Client) -> None:
    data = photo()
    assert b"SECRET" in data

    assert add(staff, sent(staff, data, "Photo.JPG")).json() == {"url": "/"}

    picture = Picture.objects.get()
    assert (picture.width, picture.height, picture.film.name) == (64, 48, "")
    assert keys(site) == [f"media/{picture.image.name}"]
    with picture.image.open() as file:
        kept = file.read()
    assert b"SECRET" not in kept
    image = Image.open(io.BytesIO(kept))
    image.load()
    assert not image.getexif()


def test_a_missing_description_costs_nothing(site: SiteOnS3, staff: Client) -> None:
    none = ask(staff, "a.mp4", 10, alt=" ")
    assert (none.status_code, errors(none)) == (400, {"alt": ["Please describe it in a few words."]})
    assert not Ticket.objects.exists()

    state = sent(staff, FILM)
    assert errors(add(staff, state, alt="")) == {"alt": ["Please describe it in a few words."]}
    assert add(staff, state).status_code == 200
    assert len(keys(site)) == 1


# What is not


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("a.mov", 10, films.NOT_A_FILM),
        ("a.html", 10, images.NOT_A_PICTURE),
        ("a.svg", 10, images.NOT_A_PICTURE),
        ("mp4", 10, images.NOT_A_PICTURE),
        ("a.mp4", 0, "This file is empty."),
        ("a.mp4", films.MAX_BYTES + 1, "too large (5.0\xa0GB). The limit is 5.0\xa0GB."),
        ("a.jpg", images.MAX_BYTES + 1, "too large (10.0\xa0MB). The limit is 10.0\xa0MB."),
    ],
)
def test_what_would_not_be_accepted_gets_no_ticket(
    site: SiteOnS3, staff: Client, name: str, size: int, message: str
) -> None:
    answer = ask(staff, name, size)

    assert answer.status_code == 400
    assert message in errors(answer)["file"][0]
    assert not Ticket.objects.exists()
    assert keys(site) == []


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.mp4", b"This is a text and no film.", films.NOT_A_FILM),
        ("a.webm", FILM, "This film is named .webm, but inside it is .mp4."),
        ("a.jpg", b"<script>alert(1)</script>", images.NOT_A_PICTURE),
        ("a.jpg", photo()[:-5], images.DAMAGED),
    ],
)
def test_what_is_not_what_its_name_says_is_refused_and_removed(
    site: SiteOnS3, staff: Client, name: str, data: bytes, message: str
) -> None:
    state = sent(staff, data, name)

    for _ in range(2):  # however often it is asked
        answer = add(staff, state)
        assert answer.status_code == 400
        assert message in errors(answer)["file"][0]
        assert keys(site) == []
    assert not Picture.objects.exists()


@pytest.mark.parametrize("size", [len(FILM) - 1, len(FILM) + 1])
def test_s3_takes_no_other_size_than_was_asked_for(site: SiteOnS3, staff: Client, size: int) -> None:
    state = ask(staff, "a.mp4", len(FILM)).json()

    assert post_form(state["post"], (FILM + b"\0")[:size]).status == 400

    assert keys(site) == []
    assert add(staff, state).json()["errors"]["__all__"][0]["code"] == "incomplete"


# Whose it is


def test_a_ticket_is_of_no_use_to_others(site: SiteOnS3, staff: Client) -> None:
    state = sent(staff, FILM)
    other = Client()
    other.force_login(User.objects.create_user("other", is_staff=True))

    answers = [
        other.get(state["address"]),
        other.post(f"{state['address']}cancel/"),
        add(other, state),
        add(other, state | {"id": "no-ticket"}),
    ]

    assert [answer.status_code for answer in answers] == [404] * 4
    assert all(answer.json()["errors"]["__all__"][0]["code"] == "unknown" for answer in answers)
    assert not Picture.objects.exists()
    assert len(keys(site)) == 1
    assert add(staff, state).status_code == 200


@pytest.mark.usefixtures("site")
def test_only_staff_get_tickets(client: Client) -> None:
    state = {"id": "0" * 32, "address": f"/pictures/uploads/{'0' * 8}-0000-0000-0000-{'0' * 12}/"}

    def everything() -> list[Any]:
        cancel = client.post(f"{state['address']}cancel/")
        return [ask(client, "a.mp4", 10), client.get(state["address"]), cancel, add(client, state)]

    assert [answer.status_code for answer in everything()] == [302] * 4
    client.force_login(User.objects.create_user("visitor"))
    assert [answer.status_code for answer in everything()] == [403] * 4
    assert not Ticket.objects.exists()


def test_every_change_needs_the_csrf_token(staff: Client) -> None:
    state = sent(staff, FILM)
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = staff.cookies

    answers = [ask(strict, "a.mp4", 10), strict.post(f"{state['address']}cancel/"), add(strict, state)]

    assert [answer.status_code for answer in answers] == [403] * 3
    assert strict.get(state["address"]).status_code == 200


# How often


@pytest.mark.parametrize("name", ["a.mp4", "a.jpg"])
@pytest.mark.parametrize("first_is_dead", [False, True])
def test_two_completions_at_once_make_one_row(
    site: SiteOnS3, staff: Client, monkeypatch: pytest.MonkeyPatch, name: str, first_is_dead: bool
) -> None:
    """The second comes while the first is at it: it has to wait, or takes over from one that was given up."""
    state = sent(staff, FILM if name == "a.mp4" else photo(), name)
    seconds: list[Any] = []
    original = Picture.save

    def save(self: Picture, **options: Any) -> None:
        if not seconds:
            seconds.append(None)
            if first_is_dead:
                monkeypatch.setattr(uploads, "CLAIM_LIFE", timedelta(seconds=-1))
            seconds[0] = add(staff, state)
        original(self, **options)

    monkeypatch.setattr(Picture, "save", save)
    first = add(staff, state)

    assert (first.status_code, seconds[0].status_code) == ((409, 200) if first_is_dead else (200, 409))
    loser = first if first_is_dead else seconds[0]
    assert loser.json()["errors"]["__all__"][0]["code"] == "in_progress"
    assert loser.headers["Retry-After"] == "2"
    assert Picture.objects.count() == 1
    assert keys(site) == [f"media/{Picture.objects.get().file.name}"]
    for late in (add(staff, state), staff.get(state["address"])):
        assert (late.status_code, late.json()) == (409, {"url": "/"})


def test_a_form_that_is_sent_again_changes_nothing_that_was_accepted(site: SiteOnS3, staff: Client) -> None:
    state = sent(staff, FILM)
    add(staff, state)

    assert post_form(state["post"], FILM[::-1]).status == 204

    assert add(staff, state).status_code == 409
    with Picture.objects.get().film.open() as file:
        assert file.read() == FILM
    assert Picture.objects.count() == 1
    assert sum(key.startswith("media/") for key in keys(site)) == 1


def test_too_many_tickets_are_told_when_to_come_back(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "TICKETS_PER_HOUR", 2)
    statuses = [ask(staff, "a.mp4", 10).status_code for _ in range(2)]

    answer = ask(staff, "a.mp4", 10)

    assert [*statuses, answer.status_code] == [201, 201, 429]
    assert 3500 < int(answer.headers["Retry-After"]) <= 3601
    assert "Please try again in 60 minutes." in errors(answer)["__all__"][0]


# What comes in between


@pytest.mark.parametrize("way", ["cancelled", "expired"])
def test_a_ticket_whose_time_is_over_is_of_no_more_use(
    site: SiteOnS3, staff: Client, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way == "expired":
        monkeypatch.setattr(uploads, "TICKET_LIFE", timedelta(0))
        assert ask(staff, "a.mp4", len(FILM)).status_code == 410
        ticket = Ticket.objects.get()
        state = {"id": str(ticket.id), "address": f"/pictures/uploads/{ticket.id}/"}
    else:
        state = sent(staff, FILM)
        assert staff.post(f"{state['address']}cancel/").status_code == 200

    for answer in (staff.get(state["address"]), add(staff, state)):
        assert answer.status_code == 410
        assert "Please start it again." in errors(answer)["__all__"][0]
    assert keys(site) == []
    assert not Picture.objects.exists()


@pytest.mark.parametrize("name", ["a.mp4", "a.jpg"])
def test_a_row_that_cannot_be_written_leaves_the_upload_as_it_was(
    site: SiteOnS3, staff: Client, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    state = sent(staff, FILM if name == "a.mp4" else photo(), name)
    pending = keys(site)
    staff.raise_request_exception = False

    with monkeypatch.context() as patch:
        patch.setattr(Picture, "save_base", lambda *_args, **_kwargs: 1 / 0)
        assert add(staff, state).status_code == 500

    assert keys(site) == pending
    assert Ticket.objects.get().state == Ticket.State.OPEN
    assert add(staff, state).status_code == 200
    assert Picture.objects.count() == len(keys(site)) == 1


def test_a_store_that_fails_is_told_and_the_upload_can_go_on(
    site: SiteOnS3, staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> str:
        raise TimeoutError

    state = sent(staff, photo(), "a.jpg")
    with monkeypatch.context() as patch:
        patch.setattr(MediaStorage, "_save", fail)
        answer = add(staff, state)

    assert answer.status_code == 503
    assert "could not be stored just now" in errors(answer)["__all__"][0]
    assert not Picture.objects.exists()
    assert add(staff, state).status_code == 200
    assert len(keys(site)) == 1


# The page


def test_the_page_tells_its_script_where_tickets_are(staff: Client) -> None:
    page = staff.get("/pictures/add/").content.decode()

    assert 'data-tickets="/pictures/uploads/"' in page
    assert "film of up to 5\xa0GB" in page
    assert (
        "a film can have at most 100.0\xa0MB" in page.partition("<noscript>")[2].partition("</noscript>")[0]
    )


@pytest.mark.parametrize("name", ["My Film.mp4", "photo.jpg"])
def test_without_scripts_the_form_takes_the_file_itself(site: SiteOnS3, staff: Client, name: str) -> None:
    file = io.BytesIO(FILM if name == "My Film.mp4" else photo())
    file.name = name

    answer = staff.post("/pictures/add/", {"file": file, "alt": "A test"})

    assert answer.headers["Location"] == "/"
    assert keys(site) == [f"media/{Picture.objects.get().file.name}"]
    assert not Ticket.objects.exists()
