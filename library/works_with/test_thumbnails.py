"""Packages that create thumbnails choose their names, and link to them."""

import io
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.template import Context, Template
from PIL import Image

from tests.ministack import MakeSite, SiteOnS3, anonymous

pytestmark = [pytest.mark.slow, pytest.mark.django_db]


def picture(size: tuple[int, int] = (200, 100)) -> bytes:
    """Return a PNG of this size."""
    body = io.BytesIO()
    Image.new("RGB", size, "teal").save(body, "PNG")
    return body.getvalue()


def upload() -> SimpleUploadedFile:
    """Return a user's upload."""
    return SimpleUploadedFile("my lake.png", picture(), content_type="image/png")


@pytest.fixture
def site(s3_site: MakeSite, settings: Any) -> SiteOnS3:
    """Return a site whose bucket is also used by packages that created the storage on import."""
    made = s3_site()
    settings.AWS_STORAGE_BUCKET_NAME = made.media_bucket
    return made


def keys(site: SiteOnS3) -> list[str]:
    """Return the keys of all uploads."""
    return [each["Key"] for each in site.root.list_objects_v2(Bucket=site.media_bucket).get("Contents", [])]


def size(url: str) -> tuple[int, int]:
    """Return the size of the picture, as a visitor gets it."""
    answer = anonymous(url)
    assert answer.status == 200
    return Image.open(io.BytesIO(answer.body)).size


def lake(**fields: Any) -> Any:
    """Return a stored row."""
    from works_with.models import Lake

    return Lake.objects.create(**fields)


@pytest.mark.works_with("easy-thumbnails", "A thumbnail is stored at its address, and created once.")
def test_easy_thumbnails(site: SiteOnS3) -> None:
    from easy_thumbnails.files import get_thumbnailer

    row = lake(thumbnailer=upload())
    for thumbnail in (row.thumbnailer.get_thumbnail({"size": (60, 40)}) for _ in range(2)):
        assert size(thumbnail.url) == (60, 30)
    name = default_storage.save("lakes/lake.png", ContentFile(picture()))
    thumbnail = get_thumbnailer(default_storage, relative_name=name).get_thumbnail({"size": (60, 40)})
    assert thumbnail.name == "lakes/lake.png.60x40_q85.jpg"
    assert size(thumbnail.url) == (60, 30)
    assert len(keys(site)) == 4


@pytest.mark.works_with(
    "django-filer",
    "Pages find an uploaded picture, its copy, and its icons; filer takes the bucket from"
    " `AWS_STORAGE_BUCKET_NAME` or `FILER_STORAGES`.",
)
def test_filer(site: SiteOnS3) -> None:
    from filer.models import Image as FilerImage

    row = FilerImage.objects.create(original_filename="my lake.png", file=upload())
    assert size(row.url) == (200, 100)
    icons = row.icons
    assert icons
    assert {size(url) for url in icons.values()} == {(int(each), int(each)) for each in icons}
    assert row.file.exists()
    assert len(keys(site)) == 1 + len(icons)
    row.delete()
    assert keys(site) == []


@pytest.mark.works_with(
    "sorl-thumbnail", "Three calls create one file, even if its database is emptied before the third."
)
def test_sorl(site: SiteOnS3, monkeypatch: pytest.MonkeyPatch) -> None:
    from sorl.thumbnail import default, get_thumbnail

    monkeypatch.setattr(default, "storage", default_storage)
    row = lake(plain=upload())
    for turn in range(3):
        if turn == 2:
            default.kvstore.clear()
        assert size(get_thumbnail(row.plain, "60x40").url) == (60, 30)
    assert len(keys(site)) == 2


@pytest.mark.works_with(
    "django-imagekit", "A spec creates its file when a page shows it, and the next page finds it."
)
def test_imagekit(site: SiteOnS3) -> None:
    from works_with.models import Lake

    row = lake(plain=upload())
    for _ in range(2):
        assert size(Lake.objects.get(pk=row.pk).small.url) == (60, 30)
    assert len(keys(site)) == 2


@pytest.mark.works_with(
    "django-versatileimagefield", "Pages find resized and filtered pictures, each created once."
)
def test_versatileimagefield(site: SiteOnS3) -> None:
    row = lake(versatile=upload())
    for field in (row.versatile, type(row).objects.get(pk=row.pk).versatile):
        field.create_on_demand = True
        assert size(field.thumbnail["60x40"].url) == (60, 30)
        assert size(field.filters.invert.crop["60x40"].url) == (60, 40)
    assert len(keys(site)) == 4  # the picture, its inverse, and one thumbnail per size


@pytest.mark.works_with("django-stdimage", "Pages find the variations, and deleting a picture deletes them.")
def test_stdimage(site: SiteOnS3) -> None:
    row = type(row := lake(standard=upload())).objects.get(pk=row.pk)
    assert size(row.standard.small.url) == (60, 30)
    row.standard.render_variations()  # again, as its command does
    assert size(row.standard.small.url) == (60, 30)
    assert len(keys(site)) == 2
    row.standard.delete()
    assert keys(site) == []


@pytest.mark.works_with("django-pictures", "Every address of the `<picture>` element works.")
def test_pictures(site: SiteOnS3) -> None:
    row = lake(picture=upload())
    made = row.picture.get_picture_files_list()
    assert made
    for each in made:
        assert size(each.url) == (each.width, each.height)
    assert len(keys(site)) == 1 + len(made)


@pytest.mark.works_with("django-image-cropping", "Pages find a cropped thumbnail of easy-thumbnails.")
def test_image_cropping(site: SiteOnS3) -> None:
    row = lake(plain=upload(), cropping="10,10,70,50")
    page = Template('{% load cropping %}{% cropped_thumbnail row "cropping" %}')
    for _ in range(2):
        assert size(page.render(Context({"row": row})).replace("&amp;", "&")) == (60, 40)
    assert len(keys(site)) == 2
