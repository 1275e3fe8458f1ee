"""Direct uploads in Django's admin: permissions, stored files, and the browser's requests."""

import re
from typing import Any

import pytest
from django import forms
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import models
from django.test import Client, RequestFactory

from s3kit import uploads
from s3kit.uploads import DirectFileField, DirectUploadsMixin, Kind
from s3kit.uploads.widgets import AdminDirectFileInput
from tests.ministack import MakeSite, SiteOnS3
from tests.new_sites import blocks
from tests.processes import ROOT
from tests.shop.models import Clip, Document, Photo, Still, Video
from tests.test_uploads_fields import MP4, Inputs, by_user, content, keys, photo, send

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
with_pages = pytest.mark.urls("tests.upload_admin")

ADD = "/admin/shop/video/add/"
ROWS = {"still_set-TOTAL_FORMS": 0, "still_set-INITIAL_FORMS": 0}


@pytest.fixture
def site(s3_site: MakeSite, settings: Any) -> SiteOnS3:
    made = s3_site()
    backend = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": backend}}
    return made


def staff(name: str, *permissions: str) -> User:
    user = User.objects.create_user(name, is_staff=True)
    for each in permissions:
        user.user_permissions.add(Permission.objects.get(codename=each))
    return user


@pytest.fixture
def editor(site: SiteOnS3) -> User:  # noqa: ARG001 - the site first
    return User.objects.create_superuser("editor")


@pytest.fixture
def browser(client: Client, editor: User) -> Client:
    client.force_login(editor)
    return client


def fields(client: Client, page: str) -> dict[str, str]:
    """Return the rules of each file field on a page, by name; "" for an ordinary field."""
    answer = client.get(page)
    assert answer.status_code == 200
    found, rules = {}, ""
    for each in Inputs(answer.content.decode()).found:
        if "s3kit-upload" in each.get("class", ""):
            rules = each.get("data-rules", "")
        if each.get("type") == "file":
            found[each["name"]], rules = rules, ""
    return found


def sent(client: Client, page: str, field: str, data: bytes = MP4, name: str = "Lake.mp4") -> str:
    """Send a file as a field's script does, and return its token."""
    asked = {"rules": fields(client, page)[field], "name": name, "size": len(data)}
    answer = client.post("/uploads/", asked)
    assert answer.status_code == 201, answer.content
    send(answer.json(), data)
    done = client.post(f"{answer.json()['address']}finish/")
    assert done.status_code == 200, done.content
    return str(done.json()["token"])


@with_pages
def test_admin_adds_and_changes_a_video_and_its_inline_stills(site: SiteOnS3, browser: Client) -> None:
    original = photo(kind="TIFF")
    given = {
        "title": "Lake",
        "file": sent(browser, ADD, "file"),
        "still_set-TOTAL_FORMS": 1,
        "still_set-INITIAL_FORMS": 0,
        "still_set-0-image": sent(browser, ADD, "still_set-__prefix__-image", original, "a.tif"),
    }
    assert browser.post(ADD, given)["Location"] == "/admin/shop/video/"
    video, still = Video.objects.get(), Still.objects.get()
    assert content(video.file) == MP4
    assert content(still.image) == original  # unchanged, with metadata
    first = video.file.name
    assert sorted(keys(site)) == sorted(f"media/{name}" for name in (first, still.image.name))
    change = f"/admin/shop/video/{video.pk}/change/"
    rows = {
        "still_set-TOTAL_FORMS": 1,
        "still_set-INITIAL_FORMS": 1,
        "still_set-0-id": still.pk,
        "still_set-0-video": video.pk,
    }
    assert browser.post(change, {"title": "Pond", **rows}).status_code == 302  # the files stay
    newer = sent(browser, change, "file", MP4 + b"2")
    assert browser.post(change, {"title": "Pond", "file": newer, **rows}).status_code == 302
    video.refresh_from_db()
    assert content(video.file) == MP4 + b"2"
    assert f"media/{first}" in keys(site)  # which Django leaves
    entry = LogEntry.objects.latest("pk")
    assert entry.get_change_message() == "Changed File."


@with_pages
def test_admin_validates_or_reencodes_images(browser: Client) -> None:
    page = "/admin/shop/photo/add/"
    given = {"image": sent(browser, page, "image", photo(kind="PNG"), "me.png")}
    assert browser.post(page, given).status_code == 302
    assert b"SECRET" not in content(Photo.objects.get().image)
    page = "/admin/shop/still/add/"
    video = Video.objects.create(title="Lake")
    for name, data, says in (
        ("a.jpg", b"no picture", "was either not an image or a corrupted image"),
        ("a.exe", photo(), "File extension “exe” is not allowed"),
    ):
        plain = {"video": video.pk, "image": SimpleUploadedFile(name, data)}
        assert says in browser.post(page, plain).content.decode()
        rules = fields(browser, page)["image"]
        ticket = browser.post("/uploads/", {"rules": rules, "name": name, "size": len(data)}).json()
        send(ticket, data)
        answer = browser.post(f"{ticket['address']}finish/")
        assert answer.status_code == 400
        assert says in answer.json()["error"]["message"]
    plain = {"video": video.pk, "image": SimpleUploadedFile("a.jpg", photo())}
    assert browser.post(page, plain).status_code == 302
    assert b"SECRET" in content(Still.objects.get().image)


@with_pages
def test_admin_uploads_require_add_or_change_permission(client: Client, site: SiteOnS3) -> None:  # noqa: ARG001
    video = Video.objects.create(title="Lake", file=ContentFile(MP4, "a.mp4"))
    change = f"/admin/shop/video/{video.pk}/change/"
    for name, permissions, page, expected in (
        ("adder", ["add_video"], ADD, ["file"]),
        ("changer", ["change_video"], change, ["file"]),
        ("viewer", ["view_video"], change, []),
        ("viewer of stills", ["change_video", "view_still"], change, ["file"]),
        ("both", ["change_video", "add_still"], change, ["file", "still_set-__prefix__-image"]),
    ):
        client.force_login(staff(name, *permissions))
        assert list(fields(client, page)) == expected
        if expected:
            sent(client, page, "file")
    rules = fields(client, change)["file"]
    client.force_login(User.objects.get(username="viewer"))
    answer = client.post("/uploads/", {"rules": rules, "name": "a.mp4", "size": 5})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


@with_pages
def test_admin_rejects_another_users_token(browser: Client) -> None:
    token = sent(browser, ADD, "file")
    other = Client()
    other.force_login(staff("other", "add_video"))
    answer = other.post(ADD, {"title": "Lake", "file": token, **ROWS})
    assert "This upload does not exist" in answer.content.decode()
    assert browser.post(ADD, {"title": "Lake", "file": token, **ROWS}).status_code == 302


@with_pages
def test_model_field_with_an_upload_to_function_stays_ordinary(browser: Client, editor: User) -> None:  # noqa: ARG001
    document = Document.objects.create(file=ContentFile(b"1", "a.txt"))
    page = f"/admin/shop/document/{document.pk}/change/"
    assert fields(browser, page) == {"file": ""}  # its upload_to is a function
    assert browser.post(page, {"file-clear": "on"}).status_code == 302
    document.refresh_from_db()
    assert not document.file
    assert browser.post(page, {"file": SimpleUploadedFile("b.txt", b"2")}).status_code == 302
    document.refresh_from_db()
    assert re.fullmatch(rf"documents/{document.pk}/b-[0-9a-z]+\.txt", str(document.file.name))


@with_pages
def test_file_can_be_cleared_or_replaced_but_not_both(browser: Client, editor: User) -> None:  # noqa: ARG001
    clip = Clip.objects.create(title="Lake", file=ContentFile(b"1", "a.txt"))
    page = f"/admin/shop/clip/{clip.pk}/change/"
    clear = {"title": "Lake", "file-clear": "on"}
    both = browser.post(page, {**clear, "file": sent(browser, page, "file")})
    assert "submit a file or check the clear checkbox" in both.content.decode()
    assert browser.post(page, clear).status_code == 302
    clip.refresh_from_db()
    assert not clip.file


@with_pages
def test_uploads_work_in_change_lists_popups_and_save_as_new(browser: Client) -> None:
    video = Video.objects.create(title="Lake", file=ContentFile(MP4, "a.mp4"))
    listed = "/admin/shop/video/"
    token = sent(browser, listed, "form-0-file", MP4 + b"2")
    rows = {"form-TOTAL_FORMS": 1, "form-INITIAL_FORMS": 1, "form-0-id": video.pk, "_save": "Save"}
    assert browser.post(listed, {**rows, "form-0-file": token}).status_code == 302
    video.refresh_from_db()
    assert content(video.file) == MP4 + b"2"
    popup = f"{ADD}?_popup=1"
    given = {"title": "Pond", "file": sent(browser, popup, "file"), "_popup": "1", **ROWS}
    assert b"data-popup-response" in browser.post(popup, given).content
    change = f"/admin/shop/video/{video.pk}/change/"
    given = {"title": "Copy", "file": sent(browser, change, "file"), "_saveasnew": "1", **ROWS}
    assert browser.post(change, given).status_code == 302
    assert Video.objects.count() == 3
    assert list(fields(browser, "/admin/shop/still/add/")) == ["image"]
    again = browser.post(ADD, {"title": "", "file": (token := sent(browser, ADD, "file")), **ROWS})
    assert token in again.content.decode()


class DeclaredForm(forms.ModelForm):
    file = DirectFileField(types=["txt"])

    class Meta:
        model = Video
        fields = ("file",)


def test_admin_forms_and_formsets_get_the_user() -> None:
    request = RequestFactory().get("/")
    request.user = User(username="anna", is_superuser=True)
    bases = (DirectUploadsMixin, admin.ModelAdmin)
    made: Any = type("Admin", bases, {"form": DeclaredForm})(Video, admin.AdminSite())
    bound = made.get_form(request)()["file"]
    assert bound.field.user == request.user
    bases = (DirectUploadsMixin, admin.TabularInline)
    inline: Any = type("Inline", bases, {"model": Still})(Video, admin.AdminSite())
    assert inline.get_formset(request).form.user == request.user


# Other columns and options


def form_field(column: Any, **options: Any) -> forms.Field | None:
    """Return an admin's form field for a column, with these options."""
    return made_by(type("Admin", (DirectUploadsMixin, admin.ModelAdmin), options), column)


def made_by(kind: Any, column: Any) -> Any:
    """Return a ModelAdmin's form field for a column."""
    return kind(column.model, admin.AdminSite()).formfield_for_dbfield(column, as_anna())


def as_anna() -> Any:
    request = RequestFactory().get("/")
    request.user = User(username="anna")
    return request


def column(name: str, model: Any = Document) -> Any:
    return model._meta.get_field(name)


def test_direct_uploads_option_configures_one_model_field() -> None:
    file = column("file")
    assert type(form_field(file)) is forms.FileField
    assert type(form_field(column("file", Video), direct_uploads={"file": None})) is forms.FileField
    found: Any = form_field(file, direct_uploads={"file": {"upload_to": by_user, "types": ["pdf"]}})
    assert found.kinds[0].may_upload == ("shop.add_document", "shop.change_document")
    assert (found.kinds[0].upload_to, found.user.username) == (by_user, "anna")
    kind = Kind(["pdf"], upload_to="pdf/", may_upload="shop.view_document")
    found = form_field(file, direct_uploads={"file": {"kinds": [kind]}})
    assert list(found.kinds) == [kind]


def test_permissions_are_those_of_the_admins_model() -> None:
    class Restored(Video):
        class Meta:
            proxy = True
            app_label = "shop"

    try:
        kind = type("Admin", (DirectUploadsMixin, admin.ModelAdmin), {})
        found = kind(Restored, admin.AdminSite()).formfield_for_dbfield(column("file", Video), as_anna())
    finally:
        del apps.all_models["shop"]["restored"]
        apps.clear_cache()
    assert found.kinds[0].may_upload == ("shop.add_restored", "shop.change_restored")


def test_formfield_overrides_apply_to_direct_uploads() -> None:
    video, image = column("file", Video), column("image", Photo)
    found: Any = form_field(video, formfield_overrides={models.FileField: {"max_bytes": 5}})
    assert (type(found), found.kinds[0].max_bytes) == (DirectFileField, 5)
    found = form_field(image, formfield_overrides={models.ImageField: {"max_bytes": 5}})
    assert (found.kinds[0].max_bytes, found.kinds[0].check) == (5, "s3kit.uploads.images.check_picture")
    for plain in ({models.ImageField: {"form_class": forms.FileField}}, {models.FileField: {}}):
        expected = forms.FileField if models.ImageField in plain else uploads.DirectImageField
        assert type(form_field(image, formfield_overrides=plain)) is expected
    found = form_field(video, formfield_overrides={models.FileField: {"widget": forms.FileInput}})
    assert type(found.widget) is forms.FileInput
    theme = {models.FileField: {"widget": forms.ClearableFileInput}}  # as in some admin themes
    own = {"file": {"widget": AdminDirectFileInput}}
    found = form_field(video, formfield_overrides=theme, direct_uploads=own)
    assert type(found.widget) is AdminDirectFileInput
    assert found.widget.kinds == found.kinds


def test_custom_image_fields_and_sites_without_pillow_stay_ordinary(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(models.ImageField):
        def formfield(self, **kwargs: Any) -> Any:
            return super().formfield(**{"form_class": forms.ImageField, **kwargs})

    own = Own()
    own.set_attributes_from_name("own")
    own.model = Photo
    assert type(form_field(own)) is forms.ImageField
    image = column("image", Photo)
    assert type(form_field(image)) is uploads.DirectImageField
    monkeypatch.setattr("s3kit.uploads.admin.find_spec", lambda _name: None)  # without Pillow
    assert type(form_field(image)) is forms.ImageField


@pytest.mark.usefixtures("site")
def test_model_field_with_another_storage_stays_ordinary(monkeypatch: pytest.MonkeyPatch) -> None:
    file = column("file", Video)
    monkeypatch.setattr(file, "storage", FileSystemStorage("/nowhere"))

    class VideoForm(forms.ModelForm):
        file = DirectFileField()

        class Meta:
            model = Video
            fields = ("file",)

    assert "data-s3kit-upload" not in str(VideoForm())
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "upload_to of shop.Document.file is a function of the row"),
        ({"name": "documents", "may_upload": "shop.add_document"}, "function of the row"),
    ],
)
def test_form_field_rejects_an_upload_to_function_of_the_row(options: dict[str, Any], says: str) -> None:
    class DocumentForm(forms.ModelForm):
        file = DirectFileField(**options)

        class Meta:
            model = Document
            fields = ("file",)

    with pytest.raises(ImproperlyConfigured, match=says):
        str(DocumentForm())


def test_named_kind_needs_its_own_upload_to() -> None:
    class VideoForm(forms.ModelForm):
        file = DirectFileField(name="admin.video", may_upload="shop.add_video")

        class Meta:
            model = Video
            fields = ("file",)

    with pytest.raises(ImproperlyConfigured, match=r"add upload_to='videos/%Y/' to the kind"):
        str(VideoForm())


def test_code_on_the_admin_page_works(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT.parent / "docs" / "uploads-admin.md").read_text("utf-8")
    monkeypatch.setattr(admin, "site", admin.AdminSite())
    made: dict[str, Any] = {}
    found = []
    for block in blocks(page.replace("from videos.models", "from tests.shop.models")):
        exec(block.code, made)  # noqa: S102 -- it is our own page
        found.append(made_by(made["VideoAdmin"], column("file", Video)).kinds[0])
    assert isinstance(admin.site.get_model_admin(Video), DirectUploadsMixin)
    assert [(each.types, each.max_bytes) for each in found[:3]] == [
        ((), None),
        (("mp4", "webm"), 20 * 2**30),
        ((), 20 * 2**30),
    ]
    picture = made_by(made["StillAdmin"], column("image", Still)).kinds[0]
    assert picture.check == "s3kit.uploads.images.clean_picture"
