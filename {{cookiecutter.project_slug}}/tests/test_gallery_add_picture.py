"""`manage.py add_picture` does what the page's form does."""

import io
from pathlib import Path

import pytest
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from PIL import Image

from gallery.models import Picture

pytestmark = pytest.mark.django_db


@pytest.fixture
def hills(tmp_path: Path) -> Path:
    file = tmp_path / "Hills.png"
    Image.new("RGB", (40, 30), "green").save(file)
    return file


def test_it_adds_the_picture(hills: Path) -> None:
    out = io.StringIO()
    call_command("add_picture", str(hills), "Green hills", stdout=out)
    picture = Picture.objects.get()
    assert (picture.alt, picture.width, picture.height) == ("Green hills", 40, 30)
    assert storages["default"].exists(str(picture.image.name))
    assert out.getvalue() == "Added Hills.png.\n"


def test_if_empty_adds_the_first_one_only(hills: Path) -> None:
    call_command("add_picture", "--if-empty", str(hills), "Green hills", stdout=io.StringIO())
    call_command("add_picture", "--if-empty", str(hills), "Again", stdout=io.StringIO())
    assert Picture.objects.get().alt == "Green hills"


@pytest.mark.parametrize(
    ("content", "description", "reason"),
    [
        (b"<script>alert(1)</script>", "x", "This file is not a picture we can show."),
        (b"", "x", "This file is empty."),
        (None, "x", "Cannot read"),
        (b"x", "", "Please describe it in a few words."),
    ],
)
def test_what_is_no_picture_is_one_line(
    tmp_path: Path, content: bytes | None, description: str, reason: str
) -> None:
    file = tmp_path / "x.png"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CommandError, match=reason) as caught:
        call_command("add_picture", str(file), description)
    assert "\n" not in str(caught.value)
    assert not Picture.objects.exists()
