"""Films in the gallery: what passes for one, where it is shown, and what becomes of its file."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage, Storage, default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, transaction
from django.test import Client

from gallery import films
from gallery.models import Picture
from users.models import User

pytestmark = pytest.mark.django_db


def mp4(*brands: bytes, rest: bytes = b"\0\0\0\x08mdat") -> bytes:
    """Return the beginning of a file of MP4's family: its major brand, and those that it agrees with."""
    major, *others = brands or (b"isom", b"iso2", b"mp41")
    ftyp = b"ftyp" + major + b"\0\0\2\0" + b"".join(others)
    return (len(ftyp) + 4).to_bytes(4) + ftyp + rest


def ebml(document: bytes, before: bytes = b"\x42\x86\x81\x01") -> bytes:
    """Return the header of a file of Matroska's family, which names its kind after some other element."""
    elements = before + b"\x42\x82" + (0x80 | len(document)).to_bytes(1) + document
    return b"\x1a\x45\xdf\xa3" + (0x80 | len(elements)).to_bytes(1) + elements + b"\x18\x53\x80\x67\xff"


FILM, WEBM = mp4(), ebml(b"webm")


@pytest.fixture(autouse=True)
def files(settings: LazySettings) -> Storage:
    """Empty the storage before each test: setting STORAGES makes Django build it anew."""
    settings.STORAGES = dict(settings.STORAGES)
    return default_storage


@pytest.fixture
def send(client: Client) -> Callable[..., Any]:
    """Return a function that posts the form of a staff member as a browser without scripts does."""
    client.force_login(User.objects.create_user("editor", is_staff=True))

    def post(data: bytes, name: str = "My film.mp4", alt: str = "Waves", content_type: str = "x/y") -> Any:
        file = SimpleUploadedFile(name, data, content_type=content_type)
        return client.post("/pictures/add/", {"file": file, "alt": alt})

    return post


# What passes for a film


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.mp4", FILM),
        ("A.MP4", FILM),
        ("a.mp4", mp4(b"mp42", b"mp42", b"isom")),
        ("a.mp4", mp4(b"iso5")),
        ("a.mp4", mp4(b"avc1")),
        ("a.mp4", mp4(b"XAVC", b"XAVC", b"mp42", b"iso2")),  # a camera's own brand, and what it agrees with
        ("a.webm", WEBM),
        ("a.webm", ebml(b"webm", before=b"")),
        # A size may be written longer than it need be, and a name filled up with zeros.
        ("a.webm", b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x09\x42\x82\x40\x05webm\0"),
    ],
)
def test_a_film_is_known_by_its_first_bytes(name: str, data: bytes) -> None:
    film = SimpleUploadedFile(name, data)

    films.check_film(film)

    assert film.read() == data  # from its beginning


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.mp4", b""),
        ("a.mp4", b"This is a text and no film at all."),
        ("a.mp4", b"<!doctype html><script>alert(1)</script>"),
        ("a.mp4", b"\xff\xd8\xff\xe0JFIF"),
        ("a.mp4", b"\0\0\0\x18ftyp"),
        ("a.mp4", b"\0\0\0\x08ftypisom\0\0\0\0mp42"),  # the box ends before its brands
        ("a.mp4", b"\xff\xff\xff\xffftypisom\0\0\0\0"),
        ("a.mp4", mp4(b"qt  ", b"qt  ", b"mp42")),  # QuickTime
        ("a.mp4", mp4(b"M4A ", b"isom", b"mp42")),  # a sound
        ("a.mp4", mp4(b"heic", b"mif1", b"heic")),  # pictures
        ("a.mp4", mp4(b"avis", b"msf1", b"iso8")),
        ("a.mp4", mp4(b"none")),
        ("a.mp4", b"<p>" + FILM),
        ("a.webm", ebml(b"matroska")),
        ("a.webm", b"\x1a\x45\xdf\xa3"),
        ("a.webm", b"\x1a\x45\xdf\xa3\x80\x42\x82\x84webm"),  # behind the header
        ("a.webm", b"\x1a\x45\xdf\xa3\x8b" + b"\0" * 11),
        ("a.webm", b"\x1a\x45\xdf\xa3\x86\x42\x86\xff\xff\xff\xff\x42\x82\x84webm"),
        ("a.mov", FILM),
        ("a.m4v", FILM),
        ("film", FILM),
    ],
)
def test_all_else_is_no_film(name: str, data: bytes) -> None:
    with pytest.raises(ValidationError) as caught:
        films.check_film(SimpleUploadedFile(name, data))

    assert caught.value.messages == [films.NOT_A_FILM]


@pytest.mark.parametrize(("name", "data", "right"), [("a.webm", FILM, ".mp4"), ("a.mp4", WEBM, ".webm")])
def test_a_film_under_the_name_of_another_kind_is_told_so(name: str, data: bytes, right: str) -> None:
    with pytest.raises(ValidationError, match=f"inside it is {right}"):
        films.check_film(SimpleUploadedFile(name, data))


# Through the form, as a browser without scripts sends it, and with local files


def test_a_film_is_kept_as_it_is(send: Callable[..., Any], client: Client) -> None:
    answer = send(FILM, "My Film (1).MP4")

    picture = Picture.objects.get()
    assert answer.headers["Location"] == "/"
    assert (picture.film.name, picture.image.name) == ("films/my-film-1.mp4", "")
    assert (picture.width, picture.height, picture.alt) == (None, None, "Waves")
    assert picture.uploaded_by == User.objects.get()
    with picture.film.open() as file:
        assert file.read() == FILM
    assert "The film was added." in client.get("/").content.decode()


@pytest.mark.parametrize(
    ("name", "message"),
    [("a.mp4", films.NOT_A_FILM), ("a.webm", "inside it is .mp4"), ("a.mov", films.NOT_A_FILM)],
)
def test_what_is_no_film_is_told_on_the_form(send: Callable[..., Any], name: str, message: str) -> None:
    answer = send(FILM if name != "a.mp4" else b"no film", name)

    page = answer.content.decode()
    assert message in page
    assert 'id="id_file_error"' in page
    assert not Picture.objects.exists()


def test_the_form_takes_films_up_to_its_limit(
    send: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(films, "MAX_BYTES_BY_FORM", len(FILM))

    send(FILM)
    assert Picture.objects.count() == 1

    page = send(FILM + b"\0").content.decode()
    assert f"This film is too large ({len(FILM) + 1}\xa0bytes). The limit is {len(FILM)}\xa0bytes." in page
    assert Picture.objects.count() == 1


def test_with_local_files_the_page_says_what_the_form_takes(client: Client) -> None:
    client.force_login(User.objects.create_user("editor", is_staff=True))

    page = client.get("/pictures/add/").content.decode()

    assert "film of up to 100\xa0MB" in page
    assert f'data-max-film-bytes="{100 * 1024**2}"' in page
    assert "data-tickets" not in page
    assert "<noscript>" not in page


def test_with_local_files_nobody_gets_a_ticket(client: Client) -> None:
    client.force_login(User.objects.create_user("editor", is_staff=True))

    answer = client.post("/pictures/uploads/", {"name": "a.mp4", "size": 10, "alt": "A test"})

    assert answer.status_code == 404


# The row and its file


def add(**values: Any) -> Picture:
    return Picture.objects.create(film=ContentFile(FILM, name="waves.mp4"), **({"alt": "Waves"} | values))


def test_a_row_has_a_picture_or_a_film_and_never_both() -> None:
    for values in ({}, {"film": "films/a.mp4", "image": "pictures/a.jpg", "width": 1, "height": 1}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Picture.objects.bulk_create([Picture(alt="x", **values)])


@pytest.mark.django_db(transaction=True)
def test_a_deleted_film_takes_its_file_along() -> None:
    picture = add()
    assert default_storage.exists(picture.film.name or "")

    picture.delete()

    assert default_storage.listdir("films")[1] == []


def test_what_is_written_along_with_the_row_is_there_with_it_or_not_at_all() -> None:
    def fail() -> None:
        assert default_storage.listdir("films")[1] == ["waves.mp4"]
        raise RuntimeError

    picture = Picture(film=ContentFile(FILM, name="waves.mp4"), alt="Waves")
    with pytest.raises(RuntimeError):
        picture.save(also=fail)
    assert not Picture.objects.exists()
    assert default_storage.listdir("films")[1] == []


def test_the_page_shows_a_film_without_opening_it(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = add(alt='Waves "at sea"')
    monkeypatch.setattr(InMemoryStorage, "_open", lambda *_args: pytest.fail("opened a file"))

    page = client.get("/").content.decode()

    assert re.search(rf'<a class="shot film" href="[^"]*{picture.film.name}">', page)
    (video,) = re.findall(r"<video\b[^>]*>", page)
    for attribute in ('preload="metadata"', "muted", "playsinline", 'data-alt="Waves &quot;at sea&quot;"'):
        assert attribute in video
    assert '<span class="visually-hidden">Film: Waves &quot;at sea&quot;</span>' in page


def test_a_film_is_deleted_as_a_film(client: Client) -> None:
    client.force_login(User.objects.create_user("editor", is_staff=True))
    picture = add()
    address = f"/pictures/{picture.pk}/delete/"

    page = client.get(address).content.decode()
    assert "Delete this film?" in page
    assert "<video" in page
    client.post(address)
    assert "The film was deleted." in client.get("/").content.decode()


def test_the_admin_shows_films(client: Client) -> None:
    client.force_login(User.objects.create_superuser("editor"))
    picture = add()
    address = f"/admin/gallery/picture/{picture.pk}/change/"

    assert str(picture.film.name) in client.get(address).content.decode()
    client.post(address, {"alt": "Better words"})
    picture.refresh_from_db()
    assert (picture.alt, picture.film.name) == ("Better words", "films/waves.mp4")
