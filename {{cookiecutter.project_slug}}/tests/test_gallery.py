"""Tests of the gallery: permissions, uploads, pages, and the files on S3."""

import io
import re
import time
import urllib.error
import urllib.request

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage, storages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils.html import escape
from PIL import Image

from gallery import forms, views
from gallery.models import Picture

pytestmark = pytest.mark.django_db

VIDEO = (24).to_bytes(4) + b"ftypisom\0\0\2\0isommp41" + b"moving pictures" * 20_000


def photo() -> bytes:
    """Return a JPEG with metadata."""
    exif = Image.Exif()
    exif[0x010F] = "SECRET camera"
    file = io.BytesIO()
    Image.new("RGB", (64, 48), "blue").save(file, "JPEG", exif=exif)
    return file.getvalue()


def post(client, data, name="Lake at Night.jpg", alt="A lake"):
    """Post the form as a browser without JavaScript does."""
    return client.post(reverse("add_picture"), {"file": SimpleUploadedFile(name, data), "alt": alt})


def picture(**values):
    """Return a saved picture."""
    image = ContentFile(photo(), name="lake.jpg")
    return Picture.objects.create(**{"image": image, "alt": "A lake"} | values)


def user_with(name, *permissions, **values):
    """Return a new user with these permissions of the gallery."""
    user = get_user_model().objects.create_user(name, **values)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def codes(response):
    """Return the error codes of the form's file."""
    return [error.code for error in response.context["form"].errors["file"].as_data()]


@pytest.fixture
def editor(client):
    """Return a client that is logged in as a user with permission to add and delete."""
    client.force_login(user_with("editor", "add_picture", "delete_picture"))
    return client


@pytest.fixture
def files():
    """Empty the storage, and return a function that lists the files in a folder."""

    def found(folder="pictures"):
        return default_storage.listdir(folder)[1] if default_storage.exists(folder) else []

    for folder in ("pictures", "videos"):
        for name in found(folder):
            default_storage.delete(f"{folder}/{name}")
    return found


# Adding


def test_a_picture_is_added_without_its_metadata(editor, files):
    assert post(editor, photo()).headers["Location"] == reverse("home")
    added = Picture.objects.get()
    assert (added.alt, added.width, added.height, added.uploaded_by.username) == ("A lake", 64, 48, "editor")
    with added.image.open() as file:
        assert b"SECRET" not in file.read()
    page = editor.get(reverse("home")).content.decode()
    assert f'src="{added.image.url}"' in page
    assert 'alt="A lake"' in page


def test_a_video_is_added_unchanged(editor, files):
    post(editor, VIDEO, "Waves.mp4")
    added = Picture.objects.get()
    with added.video.open() as file:
        assert file.read() == VIDEO
    assert f'<video src="{added.video.url}' in editor.get(reverse("home")).content.decode()


BAD = {
    "empty": (b"", "photo.jpg"),
    "not a picture": (b"<!doctype html><script>alert(1)</script>", "photo.jpg"),
    "half a picture": (photo()[:300], "photo.jpg"),
    "not a video": (b"#!/bin/sh", "video.mp4"),
    "another kind of video": (VIDEO, "video.webm"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_upload_is_rejected_with_a_message(editor, files, case):
    data, name = BAD[case]
    response = post(editor, data, name)
    assert response.status_code == 200
    (message,) = response.context["form"].errors["file"]
    assert f"<li>{escape(message)}</li>" in response.content.decode()
    assert not Picture.objects.exists()
    assert files() == files("videos") == []


def test_a_file_over_the_limit_is_rejected(editor, files):
    response = post(editor, b"\xff" * (forms.PICTURE.max_bytes + 1))
    assert codes(response) == ["too_large"]
    assert files() == []


def test_a_file_needs_a_description(editor, files):
    assert list(post(editor, photo(), alt="").context["form"].errors) == ["alt"]
    assert files() == []


def test_uploads_per_hour_are_limited(editor, settings):
    settings.S3KIT_UPLOADS = {"PER_HOUR": 1}
    post(editor, photo())
    assert codes(post(editor, photo())) == ["rate_limited"]
    assert Picture.objects.count() == 1


def test_a_storage_failure_shows_an_error_and_saves_no_row(editor, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(type(storages["default"]), "save", fail)
    assert views.NOT_SAVED in post(editor, photo()).content.decode()
    assert not Picture.objects.exists()


def test_the_command_adds_a_picture(tmp_path, files):
    (tmp_path / "lake.jpg").write_bytes(photo())
    (tmp_path / "note.jpg").write_bytes(b"no picture")
    call_command("add_picture", tmp_path / "lake.jpg", "A lake")
    call_command("add_picture", tmp_path / "lake.jpg", "Another one", if_empty=True)
    assert Picture.objects.get().alt == "A lake"
    for name in ("note.jpg", "missing.jpg"):
        with pytest.raises(CommandError, match=name):
            call_command("add_picture", tmp_path / name, "Nothing")


# Permissions and deletion


def test_adding_and_deleting_require_permissions(client, files):
    addresses = [reverse("add_picture"), reverse("delete_picture", args=[picture().pk])]
    assert addresses[0] not in client.get(reverse("home")).content.decode()
    for method in (client.get, client.post):
        for address in addresses:
            assert method(address).headers["Location"] == f"{reverse('login')}?next={address}"
    for permission, add, delete in (("view_", 403, 403), ("add_", 200, 403), ("delete_", 403, 200)):
        client.force_login(user_with(f"{permission}staff", f"{permission}picture", is_staff=True))
        assert [client.get(address).status_code for address in addresses] == [add, delete]
        page = client.get(reverse("home")).content.decode()
        assert [address in page for address in addresses] == [add == 200, delete == 200]
        for address, status in zip(addresses, (add, delete), strict=True):
            assert status == 200 or client.post(address).status_code == 403
    assert Picture.objects.count() == 1
    client.force_login(get_user_model().objects.create_superuser("root"))
    assert [client.get(address).status_code for address in addresses] == [200, 200]


def test_deleting_a_picture_deletes_its_file(editor, files, django_capture_on_commit_callbacks):
    address = reverse("delete_picture", args=[picture().pk])
    assert editor.get(address).status_code == 200
    with django_capture_on_commit_callbacks(execute=True):
        editor.post(address)
    assert not Picture.objects.exists()
    assert files() == []


def test_the_admin_edits_descriptions_and_redirects_to_the_form(client, files):
    client.force_login(get_user_model().objects.create_superuser("root"))
    change = reverse("admin:gallery_picture_change", args=[picture().pk])
    assert client.post(change, {"alt": "The lake"}).status_code == 302
    assert Picture.objects.get().alt == "The lake"
    add = reverse("admin:gallery_picture_add")
    assert add in client.get(reverse("admin:gallery_picture_changelist")).content.decode()
    assert client.get(add).headers["Location"] == reverse("add_picture")


# The page


def test_pages_show_the_newest_first(client, files):
    Picture.objects.bulk_create(
        Picture(image=f"pictures/{n}.jpg", width=1, height=1, alt=f"Picture {n}")
        for n in range(views.PICTURES_PER_PAGE + 1)
    )
    first = client.get(reverse("home")).context["page"]
    assert (len(first), first[0].alt) == (views.PICTURES_PER_PAGE, f"Picture {views.PICTURES_PER_PAGE}")
    last = client.get(reverse("home"), {"page": "99"}).context["page"]
    assert [shown.alt for shown in last] == ["Picture 0"]


def test_descriptions_are_escaped(client, files):
    picture(alt='"><script>alert(1)</script>')
    page = client.get(reverse("home")).content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


# On the local S3 server, with the storages in the settings


@pytest.fixture
def on_s3(local_s3, settings):
    """Use the local S3 server; return the access mode: "private", "public-read", or "public-policy"."""
    static = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    access = settings.STORAGES["default"]["OPTIONS"]["access"]
    settings.STORAGES = settings.STORAGES | {"staticfiles": static}
    return access


def status_of(request) -> int:
    """Return the status of a request without credentials."""
    try:
        with urllib.request.urlopen(request) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def begin(client, page, name, data):
    """Begin an upload with the rules in a page, as its script does."""
    rules = re.search('data-rules="([^"]+)"', page)[1]
    return client.post(reverse("s3kit_uploads:begin"), {"rules": rules, "name": name, "size": len(data)})


def send(client, name, data):
    """Upload a file to S3 as the page's script does, and return the site's final response."""
    state = begin(client, client.get(reverse("add_picture")).content.decode(), name, data).json()
    (part,) = state["parts"]
    assert status_of(urllib.request.Request(part["url"], data, part["headers"], method="PUT")) == 200
    return client.post(f"{state['address']}finish/")


def test_private_links_are_signed_and_expire(on_s3, editor, settings, monkeypatch):
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)  # links depend on the time
    post(editor, photo())
    link = Picture.objects.get().image.url
    assert link.replace("&", "&amp;") in editor.get(reverse("home")).content.decode()
    assert status_of(link) == 200
    private = on_s3 == "private"
    assert ("X-Amz-Signature=" in link) == private
    assert status_of(link.partition("?")[0]) == (403 if private else 200)
    now -= 2 * settings.AWS_QUERYSTRING_EXPIRE
    assert status_of(Picture.objects.get().image.url) == (403 if private else 200)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("name", "column"), [("Waves.mp4", "video"), ("Lake.jpg", "image")])
def test_a_direct_upload_is_added(on_s3, editor, name, column):
    data = VIDEO if column == "video" else photo()
    form = {"file": send(editor, name, data).json()["token"], "alt": ""}
    response = editor.post(reverse("add_picture"), form)  # without a description, the form keeps the file
    assert form["file"] in response.content.decode()
    assert editor.post(reverse("add_picture"), form | {"alt": "Waves"}).headers["Location"] == reverse("home")
    assert codes(editor.post(reverse("add_picture"), form | {"alt": "Again"})) == ["accepted"]
    added = Picture.objects.get()
    assert (added.alt, added.uploaded_by.username) == ("Waves", "editor")
    with getattr(added, column).open() as file:
        assert (file.read() == data) == (column == "video")  # a picture is re-encoded


@pytest.mark.django_db(transaction=True)
def test_a_bad_direct_upload_is_rejected_with_a_message(on_s3, editor):
    response = send(editor, "page.jpg", b"<html>")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "rejected")


def test_direct_uploads_require_permission(on_s3, editor, client):
    page = editor.get(reverse("add_picture")).content.decode()
    client.logout()
    assert begin(client, page, "Waves.mp4", VIDEO).status_code == 401
    client.force_login(user_with("ada", "delete_picture", is_staff=True))
    assert begin(client, page, "Waves.mp4", VIDEO).status_code == 403
