"""Direct uploads with Django REST framework: tokens and files in serializers, and the protocol with its settings."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.urls import include, path
from rest_framework import exceptions, serializers, throttling, viewsets
from rest_framework.authentication import SessionAuthentication, TokenAuthentication
from rest_framework.permissions import BasePermission, DjangoModelPermissions
from rest_framework.routers import SimpleRouter
from rest_framework.test import APIClient, APIRequestFactory

from s3kit.uploads import videos
from s3kit.uploads.models import Ticket
from s3kit.uploads.rest import DirectFileField, DirectImageField, ProtocolView
from tests.ministack import MakeSite, SiteOnS3
from tests.shop.models import Photo, Video
from tests.test_uploads_fields import MP4, content, keys, photo, send

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]


def anybody(user: User) -> bool:
    return user.username != "bert"


class VideoSerializer(serializers.ModelSerializer):
    file = DirectFileField(
        name="rest.video",
        types=["mp4"],
        max_bytes=10_000,
        form_max_bytes=5000,
        upload_to="videos/",
        check=videos.check_video,
        may_upload="shop.add_video",
    )

    class Meta:
        model = Video
        fields = ("title", "file")


class PhotoSerializer(serializers.ModelSerializer):
    picture = DirectImageField(
        name="rest.photo", upload_to="photos/", may_upload=anybody, source="image", required=False
    )

    class Meta:
        model = Photo
        fields = ("picture",)


class NotesSerializer(serializers.Serializer):
    files = serializers.ListField(
        child=DirectFileField(name="rest.note", types=["txt"], upload_to="notes/", may_upload=anybody),
        max_length=3,
    )


class Tokens(TokenAuthentication):
    """Reads the user's name from a header."""

    def authenticate_credentials(self, key: str) -> tuple[User, None]:
        try:
            return User.objects.get(username=key), None
        except User.DoesNotExist:
            raise exceptions.AuthenticationFailed from None


AUTHENTICATION = [Tokens, SessionAuthentication]


class Videos(viewsets.ModelViewSet):
    queryset = Video.objects.all()
    serializer_class = VideoSerializer
    authentication_classes = AUTHENTICATION
    permission_classes = (DjangoModelPermissions,)


class Photos(viewsets.ModelViewSet):
    queryset = Photo.objects.all()
    serializer_class = PhotoSerializer
    authentication_classes = AUTHENTICATION


router = SimpleRouter()
router.register("videos", Videos)
router.register("photos", Photos)
urlpatterns: list[Any] = [
    path("api/uploads/", include("s3kit.uploads.rest")),
    path("api/", include(router.urls)),
]
UPLOADS = "/api/uploads/"


@pytest.fixture(autouse=True)
def authentication(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ProtocolView, "authentication_classes", AUTHENTICATION)


@pytest.fixture
def site(s3_site: MakeSite) -> SiteOnS3:
    return s3_site()


@pytest.fixture
def anna(site: SiteOnS3) -> User:  # noqa: ARG001 - the site first
    user = User.objects.create_user("anna", password="secret")
    user.user_permissions.add(*Permission.objects.filter(codename__in=["add_video", "change_video"]))
    return user


def app(name: str = "anna", **options: Any) -> APIClient:
    """Return a client that sends a token with its JSON, like a mobile app."""
    client = APIClient(enforce_csrf_checks=True, **options)
    client.default_format = "json"
    client.credentials(HTTP_AUTHORIZATION=f"Token {name}")
    return client


def begin(client: APIClient, kind: str, name: str, size: int) -> Any:
    return client.post(UPLOADS, {"kind": kind, "name": name, "size": size})


def sent(client: APIClient, kind: str = "rest.video", data: bytes = MP4, name: str = "Lake.mp4") -> str:
    answer = begin(client, kind, name, len(data))
    assert answer.status_code == 201, answer.content
    address = answer.json()["address"]
    assert address.startswith(UPLOADS)
    send(answer.json(), data)
    assert client.get(address).json()["complete"]
    done = client.post(f"{address}finish/")
    assert done.status_code == 200, done.content
    return str(done.json()["token"])


def error(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


# Serializers


@pytest.mark.usefixtures("anna")
def test_serializer_saves_a_token_or_a_file(site: SiteOnS3) -> None:
    client = app()
    answer = client.post("/api/videos/", {"title": "Lake", "file": sent(client)})
    assert answer.status_code == 201, answer.content
    video = Video.objects.get()
    assert content(video.file) == MP4
    assert re.fullmatch(r"videos/Lake-[0-9a-z]{13}\.mp4", str(video.file.name))
    # As in DRF's own field.
    assert answer.json()["file"].partition("?")[0] == video.file.url.partition("?")[0]
    assert keys(site) == [f"media/{video.file.name}"]
    assert Ticket.objects.get().state == "accepted"
    page = f"/api/videos/{video.pk}/"
    assert client.patch(page, {"title": "Pond"}).json()["title"] == "Pond"
    plain = {"file": SimpleUploadedFile("b.mp4", MP4 + b"2")}
    assert client.patch(page, plain, format="multipart").status_code == 200
    video.refresh_from_db()
    assert content(video.file) == MP4 + b"2"
    token = sent(client, data=MP4 + b"3")
    assert client.patch(page, {"file": token}, format="multipart").status_code == 200
    video.refresh_from_db()
    assert content(video.file) == MP4 + b"3"


@pytest.mark.usefixtures("anna")
def test_picture_is_reencoded_with_and_without_direct_upload() -> None:
    client = app()
    data = photo(kind="PNG")
    token = sent(client, "rest.photo", data, "me.JPG")
    assert client.post("/api/photos/", {"picture": token}).status_code == 201
    upload = {"picture": SimpleUploadedFile("me.JPG", data)}
    assert client.post("/api/photos/", upload, format="multipart").status_code == 201
    for row in Photo.objects.all():
        assert str(row.image.name).endswith(".png")
        assert b"SECRET" not in content(row.image)
        assert (row.width, row.height) == (64, 48)


def codes(serializer: Any) -> Any:
    assert not serializer.is_valid()
    return {
        name: [each.code for each in found] if isinstance(found, list) else found
        for name, found in serializer.errors.items()
    }


def given(serializer: type, user: Any, data: Any) -> Any:
    request = APIRequestFactory().post("/")
    request.user = user
    return serializer(data=data, context={"request": request})


def test_serializer_errors_have_codes(anna: User) -> None:
    def check(file: Any) -> list[str]:
        found: list[str] = codes(given(VideoSerializer, anna, {"title": "x", "file": file}))["file"]
        return found

    assert check("nonsense") == ["unknown"]
    assert check("") == check(7) == ["invalid"]
    assert check(None) == ["null"]
    assert check(SimpleUploadedFile("a.mp4", b"")) == ["empty"]
    assert check(SimpleUploadedFile("a.mov", MP4)) == ["type"]
    assert check(SimpleUploadedFile("a.mp4", b"0" * 5001)) == ["too_large"]
    assert check(SimpleUploadedFile("a.mp4", b"no video")) == ["not_a_video"]
    other = sent(app(), "rest.note", b"hello", "a.txt")
    assert check(other) == ["stale"]
    token = sent(app())
    for user in (User.objects.create_user("other"), AnonymousUser()):
        assert codes(given(VideoSerializer, user, {"title": "x", "file": token})) == {"file": ["unknown"]}
    plain = {"title": "x", "file": SimpleUploadedFile("a.mp4", MP4)}
    assert codes(given(VideoSerializer, AnonymousUser(), plain)) == {"file": ["forbidden"]}
    assert app().post("/api/videos/", {"title": "x", "file": token}).status_code == 201
    answer = app().post("/api/videos/", {"title": "y", "file": token})
    assert (answer.status_code, answer.json()) == (400, {"file": ["This upload has already been accepted."]})


def test_list_field_accepts_tokens_and_files(anna: User) -> None:
    client = app()
    tokens = [sent(client, "rest.note", b"%d" % number, f"{number}.txt") for number in range(2)]
    serializer = given(NotesSerializer, anna, {"files": [*tokens, SimpleUploadedFile("2.txt", b"2")]})
    assert serializer.is_valid(), serializer.errors
    assert [each.read() for each in serializer.validated_data["files"]] == [b"0", b"1", b"2"]
    serializer = given(NotesSerializer, anna, {"files": [tokens[0], SimpleUploadedFile("a.exe", b"2")]})
    assert not serializer.is_valid()
    assert [each.code for each in serializer.errors["files"][1]] == ["type"]


class PairSerializer(serializers.Serializer):
    """Serializers with the same file in several places."""

    first, second = (
        DirectFileField(name="rest.note", types=["txt"], upload_to="notes/", may_upload=anybody)
        for _ in range(2)
    )


class AlbumSerializer(serializers.Serializer):
    cover = DirectFileField(name="rest.note", types=["txt"], upload_to="notes/", may_upload=anybody)
    notes = NotesSerializer(many=True)


def test_an_upload_is_used_only_once_in_a_request(anna: User) -> None:
    client = app()
    token, other = (sent(client, "rest.note", data, "a.txt") for data in (b"1", b"2"))
    repeated = ["repeated"]
    assert codes(given(PairSerializer, anna, {"first": token, "second": token})) == {"second": repeated}
    serializer = given(NotesSerializer, anna, {"files": [token, other, token]})
    assert codes(serializer) == {"files": {2: serializer.errors["files"][2]}}
    assert [each.code for each in serializer.errors["files"][2]] == repeated
    assert "more than once" in str(serializer.errors["files"][2][0])
    album = {"cover": other, "notes": [{"files": [token]}, {"files": [other]}]}
    found = codes(given(AlbumSerializer, anna, album))
    assert [each.code for each in found["notes"][1]["files"][0]] == repeated
    many = NotesSerializer(
        data=album["notes"][:1] * 2,
        many=True,
        context={"request": given(NotesSerializer, anna, {}).context["request"]},
    )
    assert not many.is_valid()
    assert [each.code for each in many.errors[1]["files"][0]] == repeated
    # Nothing was used up.
    for data in (album | {"notes": [{"files": [token]}]},) * 2:
        serializer = given(AlbumSerializer, anna, data)
        assert serializer.is_valid(), serializer.errors
        # Code may validate again.
        assert serializer.run_validation(data)
    assert client.post(f"{UPLOADS}{Ticket.of_token(token).pk}/finish/").json()["token"] == token


def test_serializer_needs_its_request_and_a_matching_upload_to() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"context=\{'request': request\}"):
        VideoSerializer(data={"title": "x", "file": "token"}).is_valid()

    class Wrong(VideoSerializer):
        file = DirectFileField(name="rest.wrong", may_upload=anybody)

    with pytest.raises(ImproperlyConfigured, match="add upload_to='videos/%Y/' to the kind"):
        Wrong().fields  # noqa: B018
    assert PhotoSerializer(Photo()).data == {"picture": None}


# The protocol


def test_protocol_authenticates_by_token_or_session_with_csrf(
    anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = APIClient().get(f"{UPLOADS}{Ticket().pk}/")
    assert (error(answer), answer["WWW-Authenticate"]) == ((401, "login_required"), "Token")
    assert error(begin(app("nobody"), "rest.video", "a.mp4", 5)) == (401, "login_required")
    # With a session, changes need the CSRF token. Without another authenticator, there is no WWW-Authenticate header.
    session = Client(enforce_csrf_checks=True)
    session.force_login(anna)
    asked = json.dumps({"kind": "rest.video", "name": "a.mp4", "size": 5})
    answer = session.post(UPLOADS, asked, "application/json")
    assert error(answer) == (403, "forbidden")
    assert "CSRF" in answer.json()["error"]["message"]
    session.cookies["csrftoken"] = token = "a" * 32
    answer = session.post(UPLOADS, asked, "application/json", headers={"X-CSRFToken": token})
    assert answer.status_code == 201
    monkeypatch.setattr(ProtocolView, "authentication_classes", [SessionAuthentication])
    answer = APIClient().post(UPLOADS)
    assert (error(answer), "WWW-Authenticate" in answer) == ((401, "login_required"), False)


@pytest.mark.usefixtures("anna")
def test_protocol_applies_permissions_and_throttles(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nobody(BasePermission):
        message = "Not today."

        def has_permission(self, *_args: Any) -> bool:
            return False

    class Slow(throttling.UserRateThrottle):
        rate = "1/hour"

    # A site's default for all models.
    monkeypatch.setattr(ProtocolView, "permission_classes", [DjangoModelPermissions])
    assert begin(app(), "rest.video", "a.mp4", 5).status_code == 201
    monkeypatch.setattr(ProtocolView, "throttle_classes", [Slow])
    assert begin(app(), "rest.video", "a.mp4", 5).status_code == 201
    answer = begin(app(), "rest.video", "a.mp4", 5)
    assert error(answer) == (429, "rate_limited")
    assert 3500 < int(answer["Retry-After"]) <= 3600
    monkeypatch.setattr(ProtocolView, "permission_classes", [Nobody])
    answer = begin(app(), "rest.video", "a.mp4", 5)
    assert answer.json() == {"error": {"code": "forbidden", "message": "Not today."}}


def test_protocol_errors_have_statuses_and_codes(anna: User) -> None:
    client = app()
    for wrong in ("{", "[]", "[" * 100_000, '{"kind": "rest.video"}'):
        assert error(client.post(UPLOADS, wrong, content_type="application/json")) == (400, "invalid")
    assert error(client.post(UPLOADS, "x", content_type="text/plain")) == (415, "invalid")
    assert error(client.get(UPLOADS)) == (405, "invalid")
    assert error(begin(client, "rest.nothing", "a.mp4", 5)) == (403, "forbidden")
    assert error(begin(client, "rest.video", "a.mov", 5)) == (400, "type")
    address = begin(client, "rest.video", "a.mp4", 5).json()["address"]
    assert error(client.post(f"{address}finish/")) == (409, "incomplete")
    User.objects.create_user("other")
    for each in (app("other").get(address), app("other").post(f"{address}cancel/")):
        assert error(each) == (404, "unknown")
    html = client.get(address, HTTP_ACCEPT="text/html")
    assert (html.status_code, html["Content-Type"]) == (200, "application/json")
    assert "no-store" in html["Cache-Control"]
    assert client.post(f"{address}cancel/").json() == {}
    assert error(client.get(address)) == (410, "expired")
    assert anna


@pytest.mark.usefixtures("anna")
def test_views_work_with_atomic_requests(settings: Any) -> None:
    settings.DATABASES["default"]["ATOMIC_REQUESTS"] = True
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        client = app()
        token = sent(client)
        assert client.post("/api/videos/", {"title": "x", "file": token}).status_code == 201
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    assert Ticket.objects.get().state == "accepted"


def test_rest_framework_is_optional() -> None:
    code = (
        "import sys, django; sys.modules['rest_framework'] = None; django.setup(); import s3kit.uploads.urls;"
        "from s3kit.uploads import DirectFileField, DirectUploadsMixin; import s3kit.uploads.rest"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={"DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "install djangorestframework." in ended.stderr.splitlines()[-1]


# Failing checks


def broken(_file: Any) -> None:
    raise OSError("The scanner is away.")


class BrokenSerializer(serializers.Serializer):
    file = DirectFileField(name="rest.broken", upload_to="x/", check=broken, may_upload=anybody)


def test_failing_check_leaves_the_upload_open(
    site: SiteOnS3, anna: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = app()
    ticket = begin(client, "rest.broken", "a.txt", 5).json()
    send(ticket, b"hello")
    for _ in range(2):
        answer = client.post(f"{ticket['address']}finish/")
        assert error(answer) == (503, "unavailable")
        assert answer["Retry-After"] == "60"
        assert "can't be checked at the moment" in answer.json()["error"]["message"]
    assert "The scanner is away." in caplog.text
    plain = {"file": SimpleUploadedFile("a.txt", b"hello")}
    assert codes(given(BrokenSerializer, anna, plain)) == {"file": ["unavailable"]}
    assert len(keys(site)) == 1
    monkeypatch.setattr(sys.modules[__name__], "broken", lambda _file: None)
    assert client.post(f"{ticket['address']}finish/").status_code == 200

    def rejecting(_file: Any) -> None:
        raise ValidationError("No.", code="no")

    monkeypatch.setattr(sys.modules[__name__], "broken", rejecting)
    assert given(BrokenSerializer, anna, plain).is_valid() is False
