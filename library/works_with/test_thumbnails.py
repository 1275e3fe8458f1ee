"""Packages that make pictures smaller name the file themselves, and link it under that name."""

import io

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from PIL import Image

from tests.ministack import MakeSite, anonymous

pytestmark = pytest.mark.slow


def picture() -> bytes:
    """Return a PNG of 200 by 100 pixels."""
    body = io.BytesIO()
    Image.new("RGB", (200, 100), "teal").save(body, "PNG")
    return body.getvalue()


@pytest.mark.django_db
@pytest.mark.works_with("easy-thumbnails", "A thumbnail is stored where its address says, and made once.")
def test_easy_thumbnails(s3_site: MakeSite) -> None:
    from easy_thumbnails.files import get_thumbnailer

    s3_site()
    name = default_storage.save("lakes/lake.png", ContentFile(picture()))
    thumbnail = get_thumbnailer(default_storage, relative_name=name).get_thumbnail({"size": (60, 40)})
    assert anonymous(thumbnail.url).status == 200
