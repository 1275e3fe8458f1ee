"""Direct uploads as form fields: a form's data, stored files, and what remains after errors.

The S3 server is the strict local server. The test client and HTTP requests replace the page's script.
"""

import base64
import gzip
import hashlib
import io
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from django import forms
from django.apps import apps
from django.contrib.auth.models import Permission, User
from django.core import signing
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage, default_storage, storages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import IntegrityError, OperationalError, close_old_connections, connection, transaction
from django.db.models.signals import post_save
from django.dispatch import Signal
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.test import Client
from django.urls import include, path
from django.utils import timezone
from django.utils.connection import ConnectionDoesNotExist
from PIL import Image

from s3kit import uploads
from s3kit.uploads import (
    DirectFileField,
    DirectImageField,
    Kind,
    images,
    kinds,
    leftovers,
    rows,
    tickets,
    videos,
)
from s3kit.uploads.models import Ticket
from tests.ministack import MakeSite, SiteOnS3, anonymous
from tests.shop.models import Document, Photo, Video

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

MP4 = b"\0\0\0\x18ftypisom\0\0\2\0isomavc1" + b"a video" * 50


def by_user(user: User, name: str) -> str:
    return f"of/{user.username}/{name}"


class VideoForm(forms.ModelForm):
    file = DirectFileField(types=["mp4", "webm"], max_bytes=10_000, check=videos.check_video)

    class Meta:
        model = Video
        fields = ("title", "file")


class PhotoForm(forms.ModelForm):
    image = DirectImageField()

    class Meta:
        model = Photo
        fields = ("image",)


class DocumentForm(forms.ModelForm):
    file = DirectFileField(upload_to=by_user, may_upload="shop.add_document", required=False)

    class Meta:
        model = Document
        fields = ("file",)


class ManyForm(forms.Form):
    files = DirectFileField(types=["txt"], upload_to="many/", multiple=True, max_files=3)


API = Kind(["txt"], 1000, upload_to="api/", name="shop.note", may_upload="shop.add_document")
uploads.register(API)


def page(request: HttpRequest, form_class: Any) -> HttpResponse:
    form = form_class(request.POST or None, request.FILES or None)
    if form.is_valid():
        form.save()
        return redirect("/done/")
    return HttpResponse(form.as_p())


def failing_page(request: HttpRequest) -> HttpResponse:
    """Save under a title that may be taken, without a transaction."""
    form = VideoForm(request.POST)
    if not form.is_valid():
        return HttpResponse(str(form.errors.as_data()["file"][0].code), status=400)
    video = form.save(commit=False)
    video.title = request.POST["as"]
    try:
        video.save()
    except IntegrityError:
        if "catch" in request.POST:
            return HttpResponse("The title is taken.", status=409)
        raise
    return HttpResponse("saved")


urlpatterns = [
    path("video/", page, {"form_class": VideoForm}),
    path("failing/", failing_page),
    path("photo/", page, {"form_class": PhotoForm}),
    path("uploads/", include("s3kit.uploads.urls")),
]


@pytest.fixture
def site(s3_site: MakeSite) -> SiteOnS3:
    return s3_site()


@pytest.fixture
def editor() -> User:
    return User.objects.create_user("editor")


@pytest.fixture
def browser(client: Client, site: SiteOnS3, editor: User) -> Client:  # noqa: ARG001 - the site first
    client.force_login(editor)
    return client


class Inputs(HTMLParser):
    """The attributes of a page's elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[dict[str, str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append({name: value or "" for name, value in attrs} | {"tag": tag})

    def one(self, name: str) -> dict[str, str]:
        (element,) = [each for each in self.found if name in each]
        return element


def shown(form: forms.Form) -> Inputs:
    return Inputs(form.as_p())


def rules(form: forms.Form) -> str:
    return shown(form).one("data-s3kit-upload")["data-rules"]


def send(state: dict[str, Any], data: bytes) -> None:
    for part in state["parts"] or ():
        content = data[part["start"] : part["end"]]
        assert anonymous(part["url"], "PUT", part["headers"], content).status == 200


def begin(client: Client, form: forms.Form, name: str, size: object) -> Any:
    return client.post("/uploads/", {"rules": rules(form), "name": name, "size": size})


def finished(client: Client, form: forms.Form, data: bytes = MP4, name: str = "My Video.mp4") -> str:
    """Send a file as the page's script does, and return its token."""
    answer = begin(client, form, name, len(data))
    assert answer.status_code == 201, answer.content
    send(answer.json(), data)
    done = client.post(f"{answer.json()['address']}finish/")
    assert done.status_code == 200, done.content
    return str(done.json()["token"])


def keys(site: SiteOnS3) -> list[str]:
    named = {"Bucket": site.media_bucket}
    listed = [each["Key"] for each in site.root.list_objects_v2(**named).get("Contents", [])]
    under_way = site.root.list_multipart_uploads(**named).get("Uploads", [])
    return listed + [f"parts of {each['Key']}" for each in under_way]


def content(file: Any) -> bytes:
    with file.open() as opened:
        return bytes(opened.read())


def state() -> str:
    return Ticket.objects.get().state


def test_video_sent_to_s3_is_saved_by_the_form(
    site: SiteOnS3, browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PART_FROM", "PART", "MIB"):
        monkeypatch.setattr(tickets, name, 256)
    told: list[dict[str, Any]] = []
    uploads.accepted.connect(lambda **given: told.append(given), weak=False, dispatch_uid="test")
    token = finished(browser, VideoForm())
    (key,) = keys(site)
    assert re.fullmatch(rf"media/videos/{timezone.now().year}/My_Video-[0-9a-z]{{13}}\.mp4", key)
    assert state() == "finished"
    answer = browser.post("/video/", {"title": "Lake", "file": token})
    uploads.accepted.disconnect(dispatch_uid="test")
    assert (answer.status_code, answer["Location"]) == (302, "/done/")
    video = Video.objects.get()
    assert f"media/{video.file.name}" == key
    assert content(video.file) == MP4
    assert keys(site) == [key]
    assert state() == "accepted"
    assert [each["name"] for each in told] == [video.file.name]


@pytest.mark.usefixtures("site")
def test_cleaned_data_contains_an_uploaded_file(browser: Client) -> None:
    token = finished(browser, VideoForm())
    form = VideoForm({"title": "Lake", "file": token})
    assert form.is_valid(), form.errors
    file = form.cleaned_data["file"]
    assert (file.name, file.size, file.content_type) == ("My Video.mp4", len(MP4), "video/mp4")
    assert file.read(8) == MP4[:8]
    assert b"".join(file.chunks()) == MP4
    video = form.save(commit=False)
    video.title = "River"
    video.save()
    video.save()
    assert Video.objects.get().file.name == video.file.name
    assert state() == "accepted"


def photo(size: tuple[int, int] = (64, 48), kind: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "SECRET camera"
    file = io.BytesIO()
    Image.new("RGB", size, (20, 20, 220)).save(file, kind, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("direct", [True, False])
def test_picture_is_reencoded_with_and_without_direct_upload(
    site: SiteOnS3, browser: Client, direct: bool
) -> None:
    data = photo(kind="PNG")
    given = finished(browser, PhotoForm(), data, "me.JPG") if direct else SimpleUploadedFile("me.JPG", data)
    assert browser.post("/photo/", {"image": given}).status_code == 302
    row = Photo.objects.get()
    assert re.fullmatch(r"photos/me-[0-9a-z]{13}\.png", str(row.image.name))
    assert (row.width, row.height) == (64, 48)
    assert b"SECRET" in data
    assert b"SECRET" not in content(row.image)
    assert keys(site) == [f"media/{row.image.name}"]


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.usefixtures("site")
def test_max_bytes_overrides_the_default_limit_of_pictures(browser: Client, direct: bool) -> None:
    class LargePhotoForm(PhotoForm):
        image = DirectImageField(max_bytes=images.MAX_BYTES + 1)

    data = photo().ljust(images.MAX_BYTES + 1, b"\0")
    given = finished(browser, LargePhotoForm(), data, "me.jpg") if direct else None
    form = LargePhotoForm({"image": given}, {} if direct else {"image": SimpleUploadedFile("me.jpg", data)})
    assert form.is_valid(), form.errors


def upper(file: Any) -> Any:
    return ContentFile(file.read().upper())


@pytest.mark.parametrize("direct", [True, False])
def test_check_can_return_a_replacement_file_without_a_name(
    site: SiteOnS3, browser: Client, direct: bool
) -> None:
    class UpperForm(VideoForm):
        file = DirectFileField(check=upper)

    given = finished(browser, UpperForm(), b"abc", "a.txt") if direct else None
    files = {} if direct else {"file": SimpleUploadedFile("a.txt", b"abc")}
    UpperForm({"title": "x", "file": given}, files).save()
    file = Video.objects.get().file
    assert (content(file), file.name[-4:], file.size) == (b"ABC", ".txt", 3)
    assert keys(site) == [f"media/{file.name}"]


def test_file_sent_with_the_form_follows_the_same_rules(site: SiteOnS3, browser: Client) -> None:
    for name, data, says in (
        ("a.mov", MP4, "not accepted. Please choose one of .mp4, .webm."),
        ("a.mp4", bytes(10_001), "too large"),
        ("a.mp4", b"no video", "not a video"),
    ):
        form = VideoForm({"title": "x"}, {"file": SimpleUploadedFile(name, data)})
        assert says in str(form.errors["file"])
    assert (
        browser.post("/video/", {"title": "x", "file": SimpleUploadedFile("a.mp4", MP4)}).status_code == 302
    )
    assert content(Video.objects.get().file) == MP4
    assert len(keys(site)) == 1


def test_form_max_bytes_quotas_and_permissions_limit_form_uploads(editor: User, settings: Any) -> None:
    class Small(forms.Form):
        file = DirectFileField(form_max_bytes=10)

    assert not Small({}, {"file": SimpleUploadedFile("a.txt", bytes(11))}).is_valid()
    form = Small({}, {"file": SimpleUploadedFile("a.txt", bytes(10))})
    form.user = editor  # type: ignore[attr-defined]
    settings.S3KIT_UPLOADS = {"PER_HOUR": 1}
    assert form.is_valid()
    form = Small({}, {"file": SimpleUploadedFile("a.txt", bytes(10))})
    form.user = editor  # type: ignore[attr-defined]
    assert "within an hour" in str(form.errors["file"])
    other = DocumentForm({}, {"file": SimpleUploadedFile("a.txt", bytes(10))})
    other.user = editor  # type: ignore[attr-defined]
    assert "not allowed" in str(other.errors["file"])


@pytest.mark.usefixtures("site")
def test_invalid_form_keeps_the_file_until_it_is_saved(browser: Client) -> None:
    token = finished(browser, VideoForm())
    answer = browser.post("/video/", {"title": "", "file": token})
    inputs = Inputs(answer.content.decode())
    hidden = [each for each in inputs.found if each.get("type") == "hidden"]
    assert [(each["name"], each["value"]) for each in hidden] == [("file", token)]
    (chooser,) = [each for each in inputs.found if each.get("type") == "file"]
    assert "required" not in chooser
    assert "My Video.mp4" in answer.content.decode()
    assert browser.post("/video/", {"title": "Lake", "file": token}).status_code == 302
    again = browser.post("/video/", {"title": "River", "file": token})
    assert "has already been accepted" in again.content.decode()
    assert token not in again.content.decode()
    assert Video.objects.count() == 1


@pytest.mark.usefixtures("site")
def test_widget_renders_rules_for_the_script_only_with_s3(browser: Client, settings: Any) -> None:
    found = shown(VideoForm()).one("data-s3kit-upload")
    assert found["data-begin"] == "/uploads/"
    assert json.loads(found["data-kinds"]) == [{"types": ["mp4", "webm"], "max_bytes": 10_000}]
    (chooser,) = [each for each in shown(VideoForm()).found if each.get("type") == "file"]
    assert (chooser["accept"], chooser["required"]) == (".mp4,.webm", "")
    settings.STORAGES = {
        "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
        "staticfiles": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    }
    media = Inputs(str(VideoForm().media)).found
    assert [each["type"] for each in media if each["tag"] == "script"] == ["module"]
    assert not any("data-s3kit-upload" in each for each in shown(VideoForm()).found)
    answer = browser.post("/video/", {"title": "x", "file": SimpleUploadedFile("a.mp4", MP4)})
    assert answer.status_code == 302


@pytest.mark.usefixtures("site")
@pytest.mark.urls("django.contrib.auth.urls")
def test_missing_url_raises_an_error_with_the_fix() -> None:
    with pytest.raises(ImproperlyConfigured, match=r'path\("uploads/", include\("s3kit.uploads.urls"\)\)'):
        shown(VideoForm())


# Owners and rules


def test_token_is_valid_only_for_its_fields_rules(site: SiteOnS3, browser: Client) -> None:
    class Wider(VideoForm):
        file = DirectFileField(types=["mp4"], max_bytes=10_000)

    token = finished(browser, Wider(), b"not checked")
    assert "rules have changed" in str(VideoForm({"title": "x", "file": token}).errors["file"])
    assert Wider({"title": "x", "file": token}).is_valid()
    ticket = Ticket.objects.get()
    for wrong in (str(ticket.id), ticket.id.hex, token[:-1], "x", f"{ticket.id.hex}:x"):
        assert "does not exist" in str(Wider({"title": "x", "file": wrong}).errors["file"])
    assert keys(site)


@pytest.mark.usefixtures("site")
def test_form_with_a_user_rejects_another_users_token(browser: Client, editor: User) -> None:
    token = finished(browser, VideoForm())
    form = VideoForm({"title": "x", "file": token})
    form.user = User.objects.create_user("other")  # type: ignore[attr-defined]
    assert "does not exist" in str(form.errors["file"])
    form = VideoForm({"title": "x", "file": token})
    form.user = editor  # type: ignore[attr-defined]
    assert form.is_valid()


@pytest.mark.usefixtures("site")
def test_may_upload_is_checked_at_begin_and_at_submission(browser: Client, editor: User) -> None:
    form = DocumentForm()
    answer = begin(browser, form, "a.txt", 5)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    permission = Permission.objects.get(codename="add_document")
    editor.user_permissions.add(permission)
    token = finished(browser, form, b"hello", "a.txt")
    editor.user_permissions.remove(permission)
    assert "does not exist" in str(DocumentForm({"file": token}).errors["file"])
    editor.user_permissions.add(permission)
    form = DocumentForm({"file": token})
    assert form.is_valid(), form.errors
    assert re.fullmatch(r"of/editor/a-[0-9a-z]{13}\.txt", str(form.save().file.name))


@pytest.mark.usefixtures("site")
def test_begin_rejects_stale_or_invalid_rules(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    old = rules(VideoForm())
    other_version = signing.dumps([{"size": 1}], salt="s3kit.uploads.rules")
    assert browser.post("/uploads/", {"rules": other_version, "name": "a", "size": 5}).status_code == 403
    monkeypatch.setattr(kinds, "RULES_LIFE", -1)
    for given in (old, old[:-1], "x", ""):
        answer = browser.post("/uploads/", {"rules": given, "name": "a.mp4", "size": 5})
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == ("stale" if given else "forbidden")
    assert not Ticket.objects.exists()


def test_invalid_field_arguments_are_rejected() -> None:
    for given, says in (
        ({"types": "mp4"}, "list extensions"),
        ({"types": [".mp4"]}, "without a dot"),
        ({"types": ["MP4"]}, "lower case"),
        ({"name": "shop.video"}, "but no may_upload"),
    ):
        with pytest.raises(ImproperlyConfigured, match=says):
            DirectFileField(**given)
    with pytest.raises(TypeError, match="Pass either kinds or types"):
        DirectFileField(kinds=[API], types=["txt"])
    with pytest.raises(ImproperlyConfigured, match="use a function at the top level of a module"):
        Kind(check=lambda file: file).packed()


# The protocol


@pytest.mark.usefixtures("site")
def test_json_client_uploads_by_kind_name(browser: Client, editor: User) -> None:
    asked = {"kind": "shop.note", "name": "a.txt", "size": 5}
    assert browser.post("/uploads/", asked, "application/json").status_code == 403
    editor.user_permissions.add(Permission.objects.get(codename="add_document"))
    for wrong in (
        "{",
        "[]",
        "[" * 100_000,
        '{"kind": "shop.note"}',
        '{"kind": "shop.note", "name": 1, "size": 1}',
    ):
        answer = browser.post("/uploads/", wrong, "application/json")
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid")
    answer = browser.post("/uploads/", asked, "application/json")
    assert answer.status_code == 201
    sent = answer.json()
    early = browser.post(f"{sent['address']}finish/")
    assert (early.status_code, early.json()["error"]["code"]) == (409, "incomplete")
    send(sent, b"hello")
    for _ in range(2):
        done = browser.post(f"{sent['address']}finish/")
        assert done.json() == {"token": sent["token"], "name": "a.txt", "size": 5, "state": "finished"}
    assert browser.get(sent["address"]).json()["complete"]
    assert uploads.sent_file(done.json()["token"], [API], editor).read() == b"hello"


@pytest.mark.parametrize(
    ("name", "size", "code"),
    [
        ("a.mov", 10, "type"),
        ("mp4", 10, "type"),
        ("a.mp4", 0, "empty"),
        ("a.mp4", "", "empty"),
        ("a.mp4", "-1", "empty"),
        ("a.mp4", "1e3", "empty"),
        ("a.mp4", "\u0661\u0660", "empty"),
        ("a.mp4", "9" * 5000, "empty"),
        ("a.mp4", 10_001, "too_large"),
        ("x" * 256 + ".mp4", 10, "name"),
    ],
)
def test_begin_responds_with_400_and_a_code_for_invalid_files(
    browser: Client, name: str, size: object, code: str
) -> None:
    answer = begin(browser, VideoForm(), name, size)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert answer.json()["error"]["message"].endswith(".")
    assert not Ticket.objects.exists()


@pytest.mark.parametrize(
    ("form", "name", "data", "message"),
    [
        (VideoForm, "a.mp4", b"This is a text and no video.", videos.NOT_A_VIDEO),
        (VideoForm, "a.webm", MP4, "This video's extension is .webm, but its content is .mp4."),
        (PhotoForm, "a.jpg", b"<script>alert(1)</script>", "not a picture"),
        (PhotoForm, "a.jpg", photo()[:-5], "damaged"),
    ],
)
def test_file_with_wrong_content_is_rejected_and_deleted(
    site: SiteOnS3, browser: Client, form: Any, name: str, data: bytes, message: str
) -> None:
    sent = begin(browser, form(), name, len(data)).json()
    send(sent, data)
    for _ in range(2):  # for any number of requests
        answer = browser.post(f"{sent['address']}finish/")
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "rejected")
        assert str(message) in answer.json()["error"]["message"]
        assert keys(site) == []
    bound = form({"title": "x", "file": sent["token"], "image": sent["token"]})
    assert str(message) in json.dumps(bound.errors.get_json_data())


def test_other_users_cannot_use_a_ticket(site: SiteOnS3, browser: Client) -> None:
    sent = begin(browser, VideoForm(), "a.mp4", len(MP4)).json()
    send(sent, MP4)
    other = Client()
    addresses = (sent["address"], f"{sent['address']}finish/", f"{sent['address']}cancel/")
    for status, code in ((401, "login_required"), (404, "unknown")):
        answers = [other.get(addresses[0]), *(other.post(each) for each in addresses[1:])]
        assert [(each.status_code, each.json()["error"]["code"]) for each in answers] == [(status, code)] * 3
        other.force_login(User.objects.create_user(code))
    assert len(keys(site)) == 1
    assert browser.post(addresses[1]).status_code == 200


def test_changes_require_post_and_a_csrf_token(browser: Client) -> None:
    sent = begin(browser, VideoForm(), "a.mp4", len(MP4)).json()
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = browser.cookies
    changes = ("/uploads/", f"{sent['address']}finish/", f"{sent['address']}cancel/")
    assert [strict.post(each).status_code for each in changes] == [403] * 3
    assert [browser.get(each).status_code for each in changes] == [405] * 3
    assert strict.get(sent["address"]).status_code == 200


def test_cancel_removes_a_finished_file(site: SiteOnS3, browser: Client) -> None:
    token = finished(browser, VideoForm())
    ticket = Ticket.objects.get()
    assert browser.post(f"/uploads/{ticket.id}/cancel/").json() == {}
    assert keys(site) == []
    assert "was cancelled" in str(VideoForm({"title": "x", "file": token}).errors["file"])


@pytest.mark.usefixtures("site")
def test_views_work_with_atomic_requests(browser: Client, settings: Any) -> None:
    settings.DATABASES["default"]["ATOMIC_REQUESTS"] = True
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        token = finished(browser, VideoForm())
        assert browser.post("/video/", {"title": "x", "file": token}).status_code == 302
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    ticket = Ticket.objects.get()
    assert (ticket.state, ticket.row) == ("accepted", "shop.Video.file@default")
    finished(browser, VideoForm())
    ticket = Ticket.objects.get(state="finished")
    with transaction.atomic(), pytest.raises(RuntimeError, match="within a transaction"):
        uploads.accepting(ticket).__enter__()


# The same upload twice


class OneForm(forms.Form):
    first = DirectFileField(types=["txt"], upload_to="pairs/")


class PairForm(OneForm):
    second = DirectFileField(types=["txt"], upload_to="pairs/", multiple=True)


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("kind", [dict, QueryDict])
def test_a_form_uses_an_upload_only_once(browser: Client, kind: type) -> None:
    def pair(first: str, *second: str) -> PairForm:
        if kind is dict:
            return PairForm({"first": first, "second": list(second)})
        data = QueryDict(mutable=True)
        data["first"] = first
        data.setlist("second", list(second))
        return PairForm(data)

    token, other = (finished(browser, OneForm(), data, "a.txt") for data in (b"1", b"2"))
    form = pair(token, other, token)
    for _ in range(2):  # a form can be validated again
        assert list(form.errors) == ["second"]
        assert "more than once" in str(form.errors["second"])
        form.full_clean()
    form = pair(token, other, other)
    assert form.is_valid(), form.errors
    assert len(form.cleaned_data["second"]) == 1


@pytest.mark.usefixtures("site")
def test_a_formset_uses_an_upload_only_once(browser: Client) -> None:
    token = finished(browser, VideoForm())
    made = forms.modelformset_factory(Video, VideoForm, extra=2)
    data = QueryDict(mutable=True)
    data.update({"form-TOTAL_FORMS": "2", "form-INITIAL_FORMS": "0"})
    for number, title in enumerate(("Lake", "River")):
        data.update({f"form-{number}-title": title, f"form-{number}-file": token})
    formset = made(data, queryset=Video.objects.none())
    assert not formset.is_valid()
    assert [each.as_data().get("file", [None])[0] is None for each in formset.errors] == [True, False]
    assert formset.errors[1].as_data()["file"][0].code == "repeated"
    # Another form of the same data, as in a preview, isn't another use.
    assert made(data, queryset=Video.objects.none()).forms[0].is_valid()


# Failed saves


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("catch", [{}, {"catch": "1"}], ids=["500", "caught"])
def test_after_a_save_that_failed_the_form_can_be_sent_again(browser: Client, catch: dict[str, str]) -> None:
    Video.objects.create(title="Lake", file="x.mp4")
    browser.raise_request_exception = False
    token = finished(browser, VideoForm())
    form = {"title": "River", "file": token}
    for _ in range(2):
        answer = browser.post("/failing/", form | catch | {"as": "Lake"})
        assert answer.status_code == (409 if catch else 500)
        assert state() == "finished"
    assert browser.post("/failing/", form | {"as": "River"}).content == b"saved"
    assert browser.post("/failing/", form | {"as": "Pond"}).content == b"accepted"
    assert list(Video.objects.values_list("title", flat=True)) == ["Lake", "River"]


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("other", ["accepted", "saving", "cancelled", "open"])
def test_of_two_requests_that_save_at_once_the_second_is_a_bad_request(
    browser: Client, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    save = Video.save

    def second(*args: Any, **more: Any) -> None:
        Ticket.objects.update(state=other, claimed_at=timezone.now())
        save(*args, **more)

    monkeypatch.setattr(Video, "save", second)
    token = finished(browser, VideoForm())
    assert browser.post("/video/", {"title": "Lake", "file": token}).status_code == 400
    assert (Video.objects.count(), state()) == (0, other)


def failed_save(browser: Client) -> str:
    """Fail to save a row outside of a request, and return the token of its file."""
    Video.objects.create(title="Lake", file="x.mp4")
    token = finished(browser, VideoForm())
    video = VideoForm({"title": "River", "file": token}).save(commit=False)
    video.title = "Lake"
    with pytest.raises(IntegrityError):
        video.save()
    assert state() == "saving"
    return token


@pytest.mark.usefixtures("site")
def test_without_a_request_the_next_form_of_the_thread_can_use_the_token(browser: Client) -> None:
    token = failed_save(browser)
    VideoForm({"title": "River", "file": token}).save()
    assert state() == "accepted"


@pytest.mark.usefixtures("site")
def test_an_unreachable_database_leaves_the_upload_unused(browser: Client) -> None:
    form = VideoForm({"title": "Lake", "file": finished(browser, VideoForm())})
    assert form.is_valid()
    file = form.cleaned_data["file"]
    file.row, file.database = "shop.Video.file", "unreachable"
    with pytest.raises(ConnectionDoesNotExist):
        file.accept(default_storage, None)
    assert state() == "finished"


@pytest.mark.usefixtures("site")
def test_a_failed_save_stays_in_progress_only_during_a_transaction(browser: Client) -> None:
    token = failed_save(browser)
    with transaction.atomic():
        assert not VideoForm({"title": "River", "file": token}).is_valid()
    VideoForm({"title": "River", "file": token}).save()
    assert state() == "accepted"


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("closes", [True, False], ids=["Django's default", "a site that disconnects it"])
def test_failed_saves_end_before_django_closes_connections(
    browser: Client, monkeypatch: pytest.MonkeyPatch, closes: bool
) -> None:
    request_finished = Signal()
    if closes:
        request_finished.connect(close_old_connections)
    monkeypatch.setattr("django.core.signals.request_finished", request_finished)
    apps.get_app_config("s3kit_uploads").ready()
    states: list[str] = []
    monkeypatch.setattr(connection, "close_if_unusable_or_obsolete", lambda: states.append(state()))
    failed_save(browser)
    states.clear()  # of the requests that sent the file
    request_finished.send(None)
    assert states == (["finished"] if closes else [])
    assert state() == "finished"


@pytest.mark.usefixtures("site")
def test_the_end_of_a_request_makes_no_queries_without_a_failed_save(
    browser: Client, django_assert_num_queries: Any
) -> None:
    token = failed_save(browser)
    rows.end_saves()
    with django_assert_num_queries(0):
        rows.end_saves()
    VideoForm({"title": "River", "file": token}).save()
    with django_assert_num_queries(0):
        rows.end_saves()


@pytest.mark.usefixtures("site")
def test_a_worker_without_requests_remembers_a_limited_number_of_failed_saves(browser: Client) -> None:
    form = VideoForm({"title": "Lake", "file": finished(browser, VideoForm())})
    assert form.is_valid()
    file = form.cleaned_data["file"]
    file.row, file.database = "shop.Video.file", "default"
    for _ in range(150):
        file.accept(default_storage, None)
        Ticket.objects.update(state="finished")
    assert 0 < len(rows.unconfirmed.files) <= 100
    rows.end_saves()


@pytest.mark.usefixtures("site")
def test_a_database_that_fails_at_the_end_of_a_request_is_logged(
    browser: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(_ticket: Ticket) -> bool:
        raise OperationalError

    failed_save(browser)
    monkeypatch.setattr("s3kit.uploads.files.has_row", failing)
    rows.end_saves()
    assert caplog.messages == ["An upload stays in progress until its claim expires"]
    assert state() == "saving"


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("fails", [True, False], ids=["fails", "validates another form"])
def test_a_row_that_was_written_keeps_its_file_whatever_a_receiver_does(browser: Client, fails: bool) -> None:
    def failing(*_args: object, **_more: object) -> None:
        if fails:
            raise ZeroDivisionError
        VideoForm({"title": "River", "file": token}).is_valid()

    names: list[str] = []

    def announced(name: str, **_more: object) -> None:
        names.append(name)

    uploads.accepted.connect(announced)
    browser.raise_request_exception = False
    token = finished(browser, VideoForm())
    post_save.disconnect(dispatch_uid="s3kit.uploads")
    post_save.connect(failing, Video)
    post_save.connect(rows.after_row, dispatch_uid="s3kit.uploads")
    answer = browser.post("/video/", {"title": "Lake", "file": token})
    post_save.disconnect(failing, Video)
    assert answer.status_code == (500 if fails else 302)
    assert state() == "accepted"
    assert names == [Video.objects.get().file.name]


@pytest.mark.usefixtures("site")
def test_after_a_lost_connection_the_row_may_still_come(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database may be writing the row, although the client has lost the connection."""

    def lose(execute: Any, sql: str, *more: Any) -> Any:
        if sql.startswith('INSERT INTO "shop_video"'):
            connection.connect()  # close() would drop the database in memory
            raise OperationalError("server closed the connection unexpectedly")
        return execute(sql, *more)

    browser.raise_request_exception = False
    token = finished(browser, VideoForm())
    with connection.execute_wrapper(lose):
        assert browser.post("/video/", {"title": "Lake", "file": token}).status_code == 500
    assert state() == "saving"
    assert b"being checked" in browser.post("/video/", {"title": "Lake", "file": token}).content
    monkeypatch.setattr(tickets, "CLAIM_LIFE", timedelta(seconds=-1))
    assert browser.post("/video/", {"title": "Lake", "file": token}).status_code == 302


# Kills


class Killed(BaseException):
    """Simulates a kill: no code runs after it."""


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make every claim look like that of a process that was killed long ago."""
    monkeypatch.setattr(tickets, "CLAIM_LIFE", timedelta(seconds=-1))
    return


@pytest.mark.usefixtures("late")
@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize("when", ["before the row", "after the row"])
def test_kill_during_save_leaves_no_file_without_a_row(
    site: SiteOnS3, browser: Client, monkeypatch: pytest.MonkeyPatch, when: str, atomic: bool
) -> None:
    token = finished(browser, VideoForm())
    form = VideoForm({"title": "Lake", "file": token})
    assert form.is_valid()

    def kill(*_args: object, **_kwargs: object) -> None:
        raise Killed

    def save() -> None:
        if atomic:
            with transaction.atomic():
                form.save()
        else:
            form.save()

    with monkeypatch.context() as patch:
        if when == "before the row":
            patch.setattr(Video, "_do_insert", kill)
        else:
            patch.setattr("s3kit.uploads.files.DirectFile.confirm", kill)
        if when == "after the row" and atomic:
            save()
        else:
            with pytest.raises(Killed):
                save()
    rows = 1 if when == "after the row" else 0
    assert Video.objects.count() == rows
    again = VideoForm({"title": "River", "file": token})
    assert again.is_valid() is (rows == 0)
    if rows == 0:
        again.save()
    Ticket.objects.update(expires_at=timezone.now() - timedelta(days=3))
    leftovers.clean()
    assert not Ticket.objects.exists()
    video = Video.objects.get()
    assert keys(site) == [f"media/{video.file.name}"]


@pytest.mark.usefixtures("late")
def test_clean_removes_files_that_were_never_saved(site: SiteOnS3, browser: Client) -> None:
    Video.objects.create(title="Lake")
    form = VideoForm({"title": "River", "file": finished(browser, VideoForm())})
    assert form.is_valid()
    Video.objects.create(title="River")
    with pytest.raises(IntegrityError):
        form.save()
    assert state() == "saving"
    finished(browser, VideoForm())
    assert len(keys(site)) == 2
    Ticket.objects.update(expires_at=timezone.now() - timedelta(days=3))
    leftovers.clean()
    assert (keys(site), list(Ticket.objects.all())) == ([], [])


@pytest.mark.usefixtures("site")
def test_two_forms_with_one_token_make_one_row(browser: Client) -> None:
    token = finished(browser, VideoForm())
    one, two = (VideoForm({"title": title, "file": token}) for title in ("Lake", "River"))
    assert one.is_valid()
    assert two.is_valid()
    one.save()
    with pytest.raises(uploads.AlreadyAcceptedError):
        two.save()
    assert state() == "accepted"
    assert Video.objects.count() == 1


# Several files in one field


def test_field_accepts_several_files_from_tokens_and_the_form(site: SiteOnS3, browser: Client) -> None:
    tokens = [finished(browser, ManyForm(), b"%d" % number, f"{number}.txt") for number in range(2)]
    plain = SimpleUploadedFile("2.txt", b"2")
    form = ManyForm(*_posted({"files": [*tokens, tokens[0]]}, {"files": [plain]}))
    assert form.is_valid(), form.errors
    files = form.cleaned_data["files"]
    assert [each.read() for each in files] == [b"0", b"1", b"2"]
    names = [default_storage.save(f"many/{each.name}", each) for each in files]
    assert sorted(keys(site)) == sorted(f"media/{each}" for each in names)
    (chooser,) = [each for each in shown(ManyForm()).found if each.get("type") == "file"]
    assert "multiple" in chooser
    assert not ManyForm(*_posted({}, {})).is_valid()
    form = ManyForm(*_posted({}, {"files": [SimpleUploadedFile(f"{n}.txt", b"x") for n in range(4)]}))
    assert "at most 3 files" in str(form.errors)
    form = ManyForm(*_posted({"files-clear": ["on"]}, {"files": [plain]}))
    form.fields["files"].required = form.fields["files"].widget.is_required = False
    assert "not both" in str(form.errors)
    bad = ManyForm(*_posted({}, {"files": [SimpleUploadedFile("a.exe", b"x"), plain]}))
    assert "a.exe: Files of this type" in str(bad.errors)


def _posted(data: dict[str, list[str]], files: dict[str, list[Any]]) -> tuple[Any, Any]:
    from django.http import QueryDict
    from django.utils.datastructures import MultiValueDict

    query = QueryDict(mutable=True)
    for name, values in data.items():
        query.setlist(name, values)
    return query, MultiValueDict(files)


def test_an_extra_form_without_files_is_ignored_by_its_formset() -> None:
    class RowForm(forms.Form):
        title = forms.CharField()
        files = DirectFileField(upload_to="rows/", multiple=True)

    rows = forms.formset_factory(RowForm, extra=2)
    posted = {"form-TOTAL_FORMS": ["2"], "form-INITIAL_FORMS": ["0"], "form-0-title": ["Lake"]}
    files = [SimpleUploadedFile("a.txt", b"x")]
    assert rows(*_posted(posted, {"form-0-files": files})).errors == [{}, {}]
    missing = [{"files": ["This field is required."]}, {"title": ["This field is required."]}]
    assert rows(*_posted(posted, {"form-1-files": files})).errors == missing


# Storages


def test_field_uploads_to_its_own_storage(
    site: SiteOnS3, browser: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = settings.STORAGES["default"]["OPTIONS"] | {"location": "media/archive/"}
    archive = {"BACKEND": settings.STORAGES["default"]["BACKEND"], "OPTIONS": options}
    settings.STORAGES = settings.STORAGES | {"archive": archive}
    monkeypatch.setattr(Video._meta.get_field("file"), "storage", storages["archive"])
    form = VideoForm({"title": "Lake", "file": finished(browser, VideoForm())})
    video = form.save()
    assert Ticket.objects.get().storage == "archive"
    assert keys(site) == [f"media/archive/{video.file.name}"]
    assert content(video.file) == MP4


def test_file_can_be_saved_to_another_storage(site: SiteOnS3, browser: Client) -> None:
    form = VideoForm({"title": "Lake", "file": finished(browser, VideoForm())})
    assert form.is_valid()
    other = InMemoryStorage()
    name = other.save("lake.mp4", form.cleaned_data["file"])
    assert other.open(name).read() == MP4
    assert len(keys(site)) == 1


def test_script_tag_has_the_integrity_of_the_published_file(site: SiteOnS3, settings: Any) -> None:
    settings.STATIC_ROOT = None
    call_command("collectstatic", interactive=False, verbosity=0)
    settings.STORAGES = dict(settings.STORAGES)  # like a server that starts after the deploy
    (script,) = [each for each in Inputs(str(VideoForm().media)).found if each["tag"] == "script"]
    body = gzip.decompress(anonymous(script["src"]).body)
    assert script["integrity"] == "sha256-" + base64.b64encode(hashlib.sha256(body).digest()).decode()
    assert re.search(r"/uploads\.[0-9a-f]{12}\.js$", script["src"])
    assert site.static_bucket in script["src"]
