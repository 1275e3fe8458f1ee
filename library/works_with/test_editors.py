"""Rich text stores a picture's permanent URL on the site, which redirects to a new link."""

import io
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.storage import storages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import include, path
from PIL import Image

from s3kit.storages import media
from tests.ministack import MakeSite, anonymous

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

urlpatterns = [
    path("media/", include("s3kit.links.urls")),
    path("ckeditor5/", include("django_ckeditor_5.urls")),
    path("summernote/", include("django_summernote.urls")),
]


def editor() -> Any:
    """Return the storage of an editor whose setting is a function's path."""
    return storages["editor"]


def picture() -> SimpleUploadedFile:
    body = io.BytesIO()
    Image.new("RGB", (200, 100), "teal").save(body, "PNG")
    return SimpleUploadedFile("see und berg.png", body.getvalue(), "image/png")


@pytest.fixture
def staff(settings: Any) -> Client:
    """Return a staff member's browser."""
    settings.ROOT_URLCONF = __name__
    client = Client()
    client.force_login(User.objects.create(username="anna", is_staff=True))
    return client


class Pictures(HTMLParser):
    """The URLs of a text's pictures."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if (tag, name) == ("img", "src")]


def check_lasting_url(staff: Client, stored: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that a stored text's only picture loads after its first link has expired, but not for anonymous users."""
    (address,) = Pictures(stored).found
    assert address.startswith("/media/")
    with monkeypatch.context() as earlier:
        now = media.time.time()
        earlier.setattr(media.time, "time", lambda: now - 7200)
        expired = staff.get(address)["Location"]
    assert anonymous(expired).status == 403
    opened = anonymous(staff.get(address)["Location"])
    assert (opened.status, opened.headers["content-type"]) == (200, "image/png")
    assert Image.open(io.BytesIO(opened.body)).size == (200, 100)
    assert Client().get(address).status_code == 403


@pytest.mark.works_with(
    "django-ckeditor-5",
    "A picture that the editor uploaded opens at its permanent URL, for users who may see it.",
)
def test_ckeditor_5(s3_site: MakeSite, settings: Any, staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    site = s3_site()
    settings.STORAGES = settings.STORAGES | {
        "editor": {
            "BACKEND": "s3kit.storages.MediaStorage",
            "OPTIONS": {"bucket_name": site.media_bucket, "links": "site"},
        }
    }
    settings.CKEDITOR_5_FILE_STORAGE = f"{__name__}.editor"
    answer = staff.post("/ckeditor5/image_upload/", {"upload": picture()}).json()
    check_lasting_url(staff, f'<figure class="image"><img src="{answer["url"]}"></figure>', monkeypatch)
    assert Client().post("/ckeditor5/image_upload/", {"upload": picture()}).status_code != 200


@pytest.mark.works_with(
    "django-ckeditor-5",
    "Without its own setting, it uses the options of the default storage, including `links`.",
)
def test_ckeditor_5_uses_the_default_storages_options(
    s3_site: MakeSite, staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_site(media={"links": "site"})
    answer = staff.post("/ckeditor5/image_upload/", {"upload": picture()}).json()
    check_lasting_url(staff, f'<p><img src="{answer["url"]}"></p>', monkeypatch)


@pytest.mark.works_with(
    "django-summernote",
    "A picture that the editor uploaded opens at its permanent URL, for users who may see it.",
)
def test_summernote(s3_site: MakeSite, staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    s3_site(media={"links": "site"})
    answer = staff.post("/summernote/upload_attachment/", {"files": picture()}).json()
    (file,) = answer["files"]
    check_lasting_url(staff, f'<p><img src="{file["url"]}" style="width: 50%"></p>', monkeypatch)
