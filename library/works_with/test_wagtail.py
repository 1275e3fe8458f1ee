"""Wagtail shows SVG pictures in <img>, which needs their content type, and creates renditions of other pictures."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from tests.ministack import MakeSite, anonymous

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="70" height="50"><rect width="70" height="50"/></svg>'


@pytest.mark.works_with(
    "wagtail", "An SVG and its rendition have the type that `<img>` needs, and don't open as pages."
)
def test_wagtail_svg(s3_site: MakeSite) -> None:
    from wagtail.images.models import Image
    from wagtail.models import Collection

    s3_site()
    Collection.add_root(name="Root")
    image = Image.objects.create(title="Logo", file=SimpleUploadedFile("logo.svg", SVG, "image/svg+xml"))
    assert (image.width, image.height) == (70, 50)
    rendition = image.get_rendition("max-35x35")
    for file in (image.file, rendition.file):
        got = anonymous(file.url)
        assert got.status == 200
        assert b"<svg" in got.body
        assert got.headers["content-type"] == "image/svg+xml"
        assert got.headers["content-disposition"].startswith("attachment")
