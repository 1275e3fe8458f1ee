"""The gallery, from the outside: what a page shows, what an upload becomes, and what is left of it."""

import io
import re
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.staticfiles import finders
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage, Storage, default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models.signals import post_save
from django.test import Client
from django.test.utils import CaptureQueriesContext
from PIL import Image, ImageCms, PngImagePlugin

from gallery import images
from gallery.models import NotStoredError, Picture
from users.models import User

HOSTILE = "</title><script>alert(1)</script>"
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
RED, GREEN, BLUE, WHITE = (220, 20, 20), (20, 200, 20), (20, 20, 220), (250, 250, 250)

Send = Callable[..., Any]

pytestmark = pytest.mark.django_db


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def plain(mode: str = "RGB", size: tuple[int, int] = (64, 48), colour: Any = RED) -> Image.Image:
    return Image.new(mode, size, colour)


def noise() -> Image.Image:
    """Return what does not compress, so that half of its file is half of the picture."""
    return Image.effect_noise((200, 150), 90).convert("RGB")


def jpeg_header(width: int, height: int) -> bytes:
    """Return a JPEG that claims a size and says almost nothing of its pixels, which is no fault in a JPEG."""
    small = encoded(plain(), "JPEG")
    at = small.index(b"\xff\xc0") + 5
    return small[:at] + struct.pack(">HH", height, width) + small[at + 4 :]


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that claims a size and has no pixels at all."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return start + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


@pytest.fixture(autouse=True)
def files(settings: LazySettings) -> Storage:
    """Empty the storage before each test: setting STORAGES makes Django build it anew."""
    settings.STORAGES = dict(settings.STORAGES)
    return default_storage


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_user("editor", is_staff=True))
    return client


@pytest.fixture
def send(staff: Client) -> Send:
    """Return a function that posts the form as a browser without scripts does."""

    def post(data: bytes, name: str = "photo.jpg", alt: str = "A test", **extra: Any) -> Any:
        file = SimpleUploadedFile(name, data, content_type=extra.pop("content_type", "image/jpeg"))
        return staff.post("/pictures/add/", {"file": file, "alt": alt}, **extra)

    return post


def stored() -> list[str]:
    return default_storage.listdir("pictures")[1] if default_storage.exists("pictures") else []


def stored_bytes() -> bytes:
    with Picture.objects.get().image.open() as file:
        data: bytes = file.read()
    return data


def stored_image() -> Image.Image:
    image = Image.open(io.BytesIO(stored_bytes()))
    image.load()
    return image


def add(count: int = 1, **values: Any) -> list[Picture]:
    data = encoded(plain(), "PNG")
    return [
        Picture.objects.create(image=ContentFile(data, name=f"{n}.png"), **({"alt": f"Picture {n}"} | values))
        for n in range(count)
    ]


# Bad uploads


BAD = {
    "empty": (b"", "photo.jpg", "This file is empty."),
    "script": (b"#!/bin/sh\necho hello\n", "script.png", images.NOT_A_PICTURE),
    "html": (b"<!doctype html><script>alert(1)</script>", "page.jpg", images.NOT_A_PICTURE),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "drawing.svg", images.NOT_A_PICTURE),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "a.jpg", images.NOT_A_PICTURE),
    "tiff": (encoded(plain(), "TIFF"), "photo.jpg", images.NOT_A_PICTURE),
    "bmp": (encoded(plain(), "BMP"), "photo.jpg", images.NOT_A_PICTURE),
    "signature only": (b"\x89PNG\r\n\x1a\n", "photo.png", images.NOT_A_PICTURE),
    "too large": (b"\xff" * (images.MAX_BYTES + 1), "photo.jpg", "too large (10.0\xa0MB)"),
    "too many pixels": (png_header(5_001, 5_000), "photo.png", "too many pixels. The limit is 25 mega"),
    "too many in a jpeg": (jpeg_header(10_001, 5_000), "photo.jpg", "too many pixels. The limit is 50 mega"),
    "as many as allowed": (png_header(5_000, 5_000), "photo.png", images.DAMAGED),
    "bomb, as Pillow warns": (png_header(12_000, 10_000), "photo.png", "too many pixels"),
    "bomb, as Pillow refuses": (png_header(60_000, 60_000), "photo.png", "too many pixels"),
    "no pixels": (png_header(100, 100), "photo.png", images.DAMAGED),
    "half a jpeg": (encoded(noise(), "JPEG")[:9000], "photo.jpg", images.DAMAGED),
    "half a png": (encoded(noise(), "PNG")[:20000], "photo.png", images.DAMAGED),
    "png with a fault": (encoded(noise(), "PNG").replace(b"\x78", b"\x77"), "photo.png", images.DAMAGED),
    "half a gif": (encoded(noise(), "GIF")[:9000], "photo.gif", images.DAMAGED),
    "half a webp": (encoded(noise(), "WEBP")[:9000], "photo.webp", "This "),
    "half an avif": (encoded(noise(), "AVIF")[:9000], "photo.avif", "This "),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_upload_is_told_on_the_form_and_leaves_nothing(send: Send, case: str) -> None:
    data, name, message = BAD[case]

    answer = send(data, name, alt="Something dear")

    page = answer.content.decode()
    assert answer.status_code == 200
    assert message.replace("'", "&#x27;") in page
    assert 'id="id_file_error"' in page
    assert 'aria-invalid="true"' in page
    assert "Nothing was added yet" in page
    assert 'value="Something dear"' in page
    assert not Picture.objects.exists()
    assert stored() == []


def test_a_file_of_exactly_the_limit_is_taken(send: Send) -> None:
    picture = encoded(plain(), "JPEG")

    send(picture + b"\0" * (images.MAX_BYTES - len(picture)))

    assert len(stored()) == 1
    assert len(stored_bytes()) < 10_000


def test_a_jpeg_may_have_as_many_pixels_as_a_phone_takes(send: Send) -> None:
    send(jpeg_header(10_000, 5_000))

    assert stored_image().size == (2560, 1280)


def test_the_size_is_checked_before_anything_is_decoded(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "open", lambda *_args, **_kwargs: pytest.fail("opened"))

    assert "too large" in send(b"\xff" * (images.MAX_BYTES + 1)).content.decode()


def test_a_picture_needs_a_description_and_a_file(staff: Client) -> None:
    page = staff.post("/pictures/add/", {"alt": "  "}).content.decode()

    assert "Please choose a picture or a film." in page
    assert "Please describe it in a few words." in page


# What an upload becomes


@pytest.mark.parametrize(
    ("sent", "kept", "extension"),
    [
        ("JPEG", "JPEG", ".jpg"),
        ("MPO", "JPEG", ".jpg"),
        ("PNG", "PNG", ".png"),
        ("GIF", "PNG", ".png"),
        ("WEBP", "WEBP", ".webp"),
        ("AVIF", "AVIF", ".avif"),
    ],
)
def test_the_bytes_decide_the_format_and_not_what_the_browser_says(
    send: Send, sent: str, kept: str, extension: str
) -> None:
    options = {"save_all": True, "append_images": [plain(colour=BLUE)]} if sent == "MPO" else {}

    answer = send(encoded(plain(), sent, **options), "Summer.html", content_type="text/html")

    picture = Picture.objects.get()
    assert answer.headers["Location"] == "/"
    assert picture.image.name == f"pictures/summer{extension}"
    assert (picture.width, picture.height) == (64, 48)
    assert picture.uploaded_by == User.objects.get()
    image = stored_image()
    assert (image.format, image.size, getattr(image, "n_frames", 1)) == (kept, (64, 48), 1)
    for channel, expected in zip(image.convert("RGB").getpixel((30, 30)), RED, strict=True):  # type: ignore[arg-type]
        assert abs(channel - expected) < 12


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(send: Send, orientation: int, file_format: str) -> None:
    upright = plain(size=(96, 64))
    for corner, colour in {(48, 0): GREEN, (0, 32): BLUE, (48, 32): WHITE}.items():
        upright.paste(colour, (*corner, corner[0] + 48, corner[1] + 32))
    turn_back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    as_taken = upright.transpose(turn_back[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation

    send(encoded(as_taken, file_format, exif=exif, quality=95))

    image = stored_image()
    picture = Picture.objects.get()
    assert (picture.width, picture.height) == image.size == (96, 64)
    for point, expected in {(24, 16): RED, (72, 16): GREEN, (24, 48): BLUE, (72, 48): WHITE}.items():
        pixel: Any = image.convert("RGB").getpixel(point)
        assert all(abs(a - b) < 25 for a, b in zip(pixel, expected, strict=True)), (point, pixel)
    assert not image.getexif()


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "WEBP", "AVIF"])
def test_nothing_personal_is_kept(send: Send, file_format: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "SECRET camera"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 30.0), 29: "SECRET day"})
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "SECRET author")
    text.add_itxt("XML:com.adobe.xmp", "<x>SECRET xmp</x>")
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"exif": exif, "comment": "SECRET comment", "xmp": b"<x>SECRET xmp</x>"},
        "PNG": {"exif": exif, "pnginfo": text},
        "GIF": {"comment": "SECRET comment"},
        "WEBP": {"exif": exif, "xmp": b"<x>SECRET xmp</x>"},
        "AVIF": {"exif": exif, "xmp": b"<x>SECRET xmp</x>"},
    }
    data = encoded(plain(), file_format, **options[file_format])
    assert b"SECRET" in data

    send(data + b"SECRET tail")

    assert b"SECRET" not in stored_bytes()
    assert not stored_image().getexif()


def test_an_odd_exif_does_not_speak_against_the_picture(send: Send) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Camera"
    # A colour map that is text: Pillow reads it, and fails to write it again.
    odd = exif.tobytes().replace(b"\x01\x0f\x00\x02", b"\x01\x40\x00\x02")

    send(encoded(plain(), "JPEG", exif=odd))
    assert stored_image().size == (48, 64)

    Picture.objects.all().delete()
    send(encoded(plain(), "JPEG", exif=b"Exif\0\0" + b"garbage" * 9))
    assert stored_image().size == (64, 48)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_the_colour_profile_is_kept(send: Send, file_format: str) -> None:
    send(encoded(plain(), file_format, icc_profile=SRGB))

    assert stored_image().info["icc_profile"] == SRGB


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_a_profile_of_another_kind_of_colour_is_dropped(send: Send, mode: str) -> None:
    send(encoded(plain(mode, colour=0), "JPEG", icc_profile=SRGB))

    assert "icc_profile" not in stored_image().info


def test_print_colours_become_screen_colours(send: Send) -> None:
    send(encoded(plain("CMYK", colour=(0, 255, 255, 0)), "JPEG"))

    image = stored_image()
    red, green, blue = image.getpixel((5, 5))  # type: ignore[misc]
    assert (image.mode, red > 200, green < 60, blue < 60) == ("RGB", True, True, True)


def test_sixteen_bits_of_grey_are_scaled(send: Send) -> None:
    send(encoded(plain("I;16", colour=0x8000), "PNG"))

    assert stored_image().convert("L").getpixel((5, 5)) == 128


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_kept(send: Send, mode: str) -> None:
    image = plain("RGBA", colour=(*RED, 255))
    image.paste((0, 0, 0, 0), (0, 0, 32, 48))

    send(encoded(image.convert(mode), "PNG"))

    kept = stored_image().convert("RGBA")
    assert [kept.getpixel((x, 20))[3] for x in (5, 60)] == [0, 255]  # type: ignore[index]


@pytest.mark.parametrize(("mode", "colour"), [("1", 1), ("P", 3), ("L", 200)])
def test_few_colours_are_no_obstacle(send: Send, mode: str, colour: int) -> None:
    image = plain(mode, colour=colour)

    send(encoded(image, "PNG"))

    expected = image.convert("RGB").getpixel((5, 5))
    assert stored_image().convert("RGB").getpixel((5, 5)) == expected


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP", "AVIF"])
def test_of_an_animation_the_first_frame_is_kept(send: Send, file_format: str) -> None:
    data = encoded(plain(), file_format, save_all=True, append_images=[plain(colour=BLUE)], duration=90)

    send(data)

    image = stored_image()
    red, _, blue = image.convert("RGB").getpixel((5, 5))  # type: ignore[misc]
    assert (getattr(image, "n_frames", 1), red > 180, blue < 60) == (1, True, True)


@pytest.mark.parametrize("mode", ["1", "P", "L", "RGB"])
def test_fine_patterns_become_grey_and_not_rough(
    send: Send, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr(images, "MAX_EDGE", 32)
    stripes = plain(size=(64, 64), colour=(0, 0, 0))
    for x in range(0, 64, 2):
        stripes.paste((255, 255, 255), (x, 0, x + 1, 64))

    send(encoded(stripes.convert(mode), "PNG"))

    assert 100 < stored_image().convert("L").getpixel((16, 16)) < 155  # type: ignore[operator]


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_large_pictures_are_made_smaller(send: Send, file_format: str) -> None:
    send(encoded(plain(size=(4000, 3000)), file_format))

    picture = Picture.objects.get()
    assert (picture.width, picture.height) == stored_image().size == (2560, 1920)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("My Holiday (1).JPEG", "my-holiday-1"),
        ("../../etc/passwd.jpg", "passwd"),
        ("shell.php.jpg", "shellphp"),
        ("사진.jpg", "사진"),
        ("....jpg", "picture"),
        ("?.jpg", "picture"),
        ("가" * 300 + ".jpg", "가" * 50),
    ],
)
def test_the_name_stays_readable_and_becomes_safe(send: Send, name: str, stem: str) -> None:
    send(encoded(plain(), "JPEG"), name)

    assert Picture.objects.get().image.name == f"pictures/{stem}.jpg"


def test_two_files_of_one_name_are_two_files(send: Send) -> None:
    for _ in range(2):
        send(encoded(plain(), "JPEG"), "photo.jpg")

    assert len(set(stored())) == Picture.objects.count() == 2


# Who may do what


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("page", ["add", "delete"])
def test_only_staff_add_and_delete(client: Client, page: str, method: str) -> None:
    picture = add()[0]
    address = {"add": "/pictures/add/", "delete": f"/pictures/{picture.pk}/delete/"}[page]

    anonymous = getattr(client, method)(address)
    assert anonymous.headers["Location"] == f"/accounts/login/?next={address}"

    client.force_login(User.objects.create_user("visitor"))
    assert getattr(client, method)(address).status_code == 403

    assert Picture.objects.count() == 1


def test_adding_and_deleting_need_the_csrf_token_that_the_forms_carry() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_user("editor", is_staff=True))
    picture = add()[0]
    file = SimpleUploadedFile("photo.jpg", encoded(plain(), "JPEG"))

    assert client.post("/pictures/add/", {"file": file, "alt": "A test"}).status_code == 403
    assert client.post(f"/pictures/{picture.pk}/delete/").status_code == 403
    assert Picture.objects.count() == 1

    def token(address: str) -> dict[str, str]:
        _, form = client.get(address).content.decode().split("<main")
        return dict(re.findall(r'name="(csrfmiddlewaretoken)" value="(\w+)"', form))

    file.seek(0)
    client.post("/pictures/add/", {"file": file, "alt": "A test"} | token("/pictures/add/"))
    assert Picture.objects.count() == 2
    address = f"/pictures/{picture.pk}/delete/"
    client.post(address, token(address))
    assert Picture.objects.get().alt == "A test"


def test_visitors_see_a_way_to_sign_in_and_staff_their_buttons(client: Client) -> None:
    picture = add()[0]
    add_link, delete_link = 'href="/pictures/add/"', f'href="/pictures/{picture.pk}/delete/"'

    page = client.get("/?page=1").content.decode()
    assert 'href="/accounts/login/?next=/%3Fpage%3D1">Sign in</a>' in page
    assert add_link not in page
    assert delete_link not in page

    client.force_login(User.objects.create_user("editor", is_staff=True))
    page = client.get("/").content.decode()
    assert "Sign in" not in page
    assert add_link in page
    assert delete_link in page


def test_a_script_gets_json(send: Send) -> None:
    bad = send(b"text", alt="", headers={"accept": "application/json"})
    assert bad.json() == {
        "errors": {
            "file": [{"message": images.NOT_A_PICTURE, "code": "not_a_picture"}],
            "alt": [{"message": "Please describe it in a few words.", "code": "required"}],
        }
    }

    good = send(encoded(plain(), "JPEG"), headers={"accept": "application/json"})
    assert good.json() == {"url": "/"}
    assert Picture.objects.count() == 1


def test_what_happened_is_said_on_the_next_page(send: Send, staff: Client) -> None:
    send(encoded(plain(), "JPEG"))
    assert "The picture was added." in staff.get("/").content.decode()

    staff.post(f"/pictures/{Picture.objects.get().pk}/delete/")
    page = staff.get("/").content.decode()
    assert "The picture was deleted." in page
    assert "No pictures yet" in page


# A file comes with its row and goes with it


def test_a_storage_that_fails_is_told_on_the_form_and_leaves_no_row(
    send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> str:
        raise TimeoutError

    monkeypatch.setattr(InMemoryStorage, "_save", fail)

    answer = send(encoded(plain(), "JPEG"))

    assert answer.status_code == 200
    assert "could not be stored just now" in answer.content.decode()
    assert not Picture.objects.exists()
    with pytest.raises(NotStoredError) as error:
        add()
    assert isinstance(error.value.__cause__, TimeoutError)


def test_a_row_that_cannot_be_inserted_leaves_no_file() -> None:
    with pytest.raises(IntegrityError):
        add(alt=None)

    assert stored() == []


@pytest.mark.django_db(transaction=True)
def test_a_row_that_cannot_be_committed_leaves_no_file() -> None:
    if not connection.features.can_defer_constraint_checks:
        pytest.fail("This test needs a database that looks at foreign keys when it commits")

    with pytest.raises(DatabaseError):
        add(uploaded_by_id=12345)

    assert not Picture.objects.exists()
    assert stored() == []


@pytest.mark.django_db(transaction=True)
def test_a_row_that_was_committed_keeps_its_file_whatever_comes_after() -> None:
    def fail() -> None:
        raise RuntimeError

    def after_saving(**_kwargs: Any) -> None:
        transaction.on_commit(fail)

    post_save.connect(after_saving, sender=Picture)
    try:
        with pytest.raises(RuntimeError):
            add()
    finally:
        post_save.disconnect(after_saving, sender=Picture)

    assert Picture.objects.count() == len(stored()) == 1


def test_a_new_description_leaves_the_file_alone() -> None:
    picture = add()[0]
    picture.alt = None  # type: ignore[assignment]

    with pytest.raises(IntegrityError), transaction.atomic():
        picture.save()

    assert stored() == ["0.png"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", ["page", "admin", "admin in bulk", "queryset", "instance"])
def test_a_deleted_picture_takes_its_file_along(client: Client, way: str) -> None:
    first, second = add(2)
    client.force_login(User.objects.create_superuser("editor"))

    if way == "page":
        assert client.get(f"/pictures/{first.pk}/delete/").status_code == 200
        assert len(stored()) == 2
        client.post(f"/pictures/{first.pk}/delete/")
    elif way == "admin":
        client.post(f"/admin/gallery/picture/{first.pk}/delete/", {"post": "yes"})
    elif way == "admin in bulk":
        form = {"action": "delete_selected", "_selected_action": [first.pk], "post": "yes"}
        client.post("/admin/gallery/picture/", form)
    elif way == "queryset":
        Picture.objects.filter(pk=first.pk).delete()
    else:
        first.delete()

    assert list(Picture.objects.all()) == [second]
    assert stored() == ["1.png"]


@pytest.mark.django_db(transaction=True)
def test_the_file_goes_when_the_transaction_commits_and_not_before() -> None:
    picture = add()[0]

    with transaction.atomic():
        picture.delete()
        assert len(stored()) == 1
        transaction.set_rollback(True)
    assert len(stored()) == 1

    with transaction.atomic():
        Picture.objects.get().delete()
        assert len(stored()) == 1
    assert stored() == []


@pytest.mark.django_db(transaction=True)
def test_a_file_that_cannot_be_deleted_does_not_stop_the_row(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_args: object) -> None:
        raise TimeoutError

    picture = add()[0]
    client.force_login(User.objects.create_user("editor", is_staff=True))
    monkeypatch.setattr(InMemoryStorage, "delete", fail)

    assert client.post(f"/pictures/{picture.pk}/delete/").headers["Location"] == "/"

    assert not Picture.objects.exists()
    assert "TimeoutError" in caplog.text


def test_a_picture_outlives_the_one_who_added_it() -> None:
    user = User.objects.create_user("editor")
    add(uploaded_by=user)

    user.delete()

    assert Picture.objects.get().uploaded_by is None


def test_the_admin_describes_but_adds_nothing(client: Client) -> None:
    picture = add()[0]
    client.force_login(User.objects.create_superuser("editor"))
    address = f"/admin/gallery/picture/{picture.pk}/change/"

    assert client.get("/admin/gallery/picture/").status_code == 200
    assert client.get("/admin/gallery/picture/add/").status_code == 403
    assert 'type="file"' not in client.get(address).content.decode()
    client.post(address, {"alt": "Better words"})
    assert Picture.objects.get().alt == "Better words"


# The page


def tags(page: str, name: str) -> list[str]:
    return re.findall(rf"<{name}\b[^>]*>", page)


def test_newest_first_on_pages_of_twelve(client: Client) -> None:
    add(13)
    # One moment for all, as a quick import makes it: no picture may show twice or never.
    Picture.objects.update(created_at=Picture.objects.latest("created_at").created_at)

    first = client.get("/").content.decode()
    last = client.get("/?page=2").content.decode()

    shown = [re.findall(r'<img src="[^"]+pictures[^>]+alt="Picture (\d+)"', page) for page in (first, last)]
    assert shown == [[str(n) for n in range(12, 0, -1)], ["0"]]
    assert 'rel="next" href="?page=2"' in first
    assert 'rel="prev"' not in first
    assert 'rel="prev" href="?page=1"' in last
    assert 'rel="next"' not in last
    assert "Page 2 of 2" in last
    assert '<span class="description" aria-hidden="true">Picture 0</span>' in last


@pytest.mark.parametrize(
    ("wanted", "given"), [("99", "Page 2 of 2"), ("0", "Page 2 of 2"), ("x", "Page 1 of 2")]
)
def test_a_page_that_is_not_there_is_the_nearest(client: Client, wanted: str, given: str) -> None:
    add(13)

    assert given in client.get("/", {"page": wanted}).content.decode()


def test_pictures_say_their_size_and_the_later_ones_wait(client: Client) -> None:
    add(6)

    pictures = [tag for tag in tags(client.get("/").content.decode(), "img") if "pictures/" in tag]

    assert len(pictures) == 6
    assert all('width="64" height="48"' in tag and 'decoding="async"' in tag for tag in pictures)
    assert ['loading="lazy"' in tag for tag in pictures] == [False] * 4 + [True] * 2


@pytest.mark.parametrize("is_staff", [True, False])
def test_the_page_asks_the_database_the_same_few_questions_and_opens_no_file(
    client: Client, monkeypatch: pytest.MonkeyPatch, is_staff: bool
) -> None:
    if is_staff:
        client.force_login(User.objects.create_user("editor", is_staff=True))
    counts = []
    for _ in range(2):
        add(6)
        with monkeypatch.context() as patch, CaptureQueriesContext(connection) as queries:
            patch.setattr(InMemoryStorage, "_open", lambda *_args: pytest.fail("opened a file"))
            client.get("/")
        counts.append(len(queries))

    # How many there are and twelve of them; for staff also the session and the user.
    assert counts == [4, 4] if is_staff else [2, 2]


def test_names_and_descriptions_are_escaped(staff: Client, settings: LazySettings) -> None:
    settings.SITE_NAME = HOSTILE
    picture = add(alt=f'" onload="alert(1) {HOSTILE}')[0]

    for address in ("/", "/pictures/add/", f"/pictures/{picture.pk}/delete/"):
        page = staff.get(address).content.decode()
        assert "&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;</title>" in page.replace("\n", "")
        assert "<script>" not in page
        assert '" onload="' not in page


def test_pages_fit_a_strict_content_security_policy(staff: Client) -> None:
    picture = add(13)[0]

    for address in ("/", "/pictures/add/", f"/pictures/{picture.pk}/delete/", "/nowhere/"):
        page = staff.get(address).content.decode()
        assert "<style" not in page
        assert not re.search(r"<[^>]*\s(style|on\w+)=", page)
        assert all("src=" in tag for tag in tags(page, "script"))
        assert not re.search(r'(src|href|action)="(https?:)?//', page)


def test_every_static_file_that_a_page_or_a_file_names_is_there(staff: Client) -> None:
    add()
    pages = staff.get("/").content.decode() + staff.get("/pictures/add/").content.decode()
    wanted = set(re.findall(r'"/static/([^"]+)"', pages))
    assert {"site/site.css", "gallery/gallery.css", "gallery/gallery.js"} <= wanted

    seen: set[str] = set()
    while wanted:
        name = wanted.pop()
        seen.add(name)
        found = finders.find(name)
        assert found, name
        if not name.endswith((".css", ".js")):
            continue
        with open(found, encoding="utf-8") as file:  # noqa: PTH123
            for reference in re.findall(r'(?:url\(|from )"([^"]+)"', file.read()):
                folder = name.rpartition("/")[0]
                wanted.add(re.sub(r"[^/]+/\.\./", "", f"{folder}/{reference}").replace("/./", "/"))
    assert {
        "gallery/send.js",
        "gallery/loop.svg",
        "gallery/play.svg",
        "fonts/bricolage-grotesque-ext.woff2",
    } <= seen
