"""Permanent URLs: where they redirect, for whom, and what they don't reveal."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import include, path

from s3kit import clients, csp, links
from s3kit.links.access import is_authenticated, is_staff
from s3kit.links.views import follow
from s3kit.storages import MediaStorage, media, signing
from tests.ministack import MakeSite, anonymous, s3_settings

Asked = Callable[..., HttpResponse]

urlpatterns = [
    path("media/", include("s3kit.links.urls")),
    path("documents/", include(links.patterns("documents"))),
]


def allow_everyone(*_args: Any) -> bool:
    return True


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    settings.S3KIT_LINKS_PERMISSION = allow_everyone
    s3_settings(settings)
    settings.STORAGES = settings.STORAGES | {
        "documents": {
            "BACKEND": "s3kit.storages.MediaStorage",
            "OPTIONS": {"bucket_name": "acme-documents", "location": "papers"},
        },
        "editor": {
            "BACKEND": "s3kit.storages.MediaStorage",
            "OPTIONS": {"bucket_name": "acme-media", "links": "site"},
        },
        "drawer": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    }


@pytest.fixture(scope="module", autouse=True)
def credentials() -> Any:
    """Find credentials once for all tests in this module, because creating a session takes a tenth of a second."""
    clients.forget()
    yield
    clients.forget()


def ask(name: str, storage: str = "default", method: str = "GET", user: Any = None) -> Any:
    request = RequestFactory().generic(method, "/")
    request.user = user or AnonymousUser()
    return follow(request, name, storage)


def test_lasting_url_uses_the_url_prefix_of_its_storage() -> None:
    assert links.lasting_url("pictures/lake.jpg") == "/media/pictures/lake.jpg"
    assert links.lasting_url("a.pdf", "documents") == "/documents/a.pdf"
    assert storages["documents"].lasting_url("./b/../a.pdf") == "/documents/a.pdf"  # type: ignore[attr-defined]
    # An entry without URLs uses those of another entry for the same files.
    assert storages["editor"].url("lake.jpg") == "/media/lake.jpg"
    name = "사진 (1)+&?#%.jpg"
    address = links.lasting_url(name)
    assert address.isascii()
    assert unquote(address) == f"/media/{name}"
    assert Client().get(address).status_code == 302


def test_storage_outside_storages_finds_the_url_for_its_files(settings: Any) -> None:
    class Uploads(MediaStorage):
        bucket_name = "acme-media"
        links = "site"

    assert Uploads().url("lake.jpg") == "/media/lake.jpg"
    settings.STORAGES = {name: each for name, each in settings.STORAGES.items() if name == "drawer"}
    with pytest.raises(ImproperlyConfigured, match="The URLconf has no URL for the files of STORAGES"):
        Uploads().url("lake.jpg")


def test_url_with_expire_or_parameters_is_signed() -> None:
    editor: Any = storages["editor"]
    shown = {"ResponseContentDisposition": "inline"}
    for link in (
        editor.url("a.jpg", expire=60),
        editor.url("a.jpg", parameters=shown),
        editor.signed_url("a.jpg"),
    ):
        assert "X-Amz-Signature=" in link


def test_redirect_expires_from_caches_before_the_link_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for now in range(1_800_000_000, 1_800_003_600, 171):
        monkeypatch.setattr(media.time, "time", lambda now=now: now)
        answer = ask("pictures/lake.jpg")
        assert answer.status_code == 302
        assert answer["Location"] == storages["default"].url("pictures/lake.jpg")
        start = signing.window_start(now, 3600, "media/pictures/lake.jpg")
        (age,) = re.fullmatch(r"private, max-age=(\d+)", answer["Cache-Control"]).groups()  # type: ignore[union-attr]
        left = start + 3600 - (now + int(age))
        assert left >= 900
        assert int(age) >= 900
        assert answer["Vary"] == "Cookie"


def test_redirect_with_temporary_credentials_is_cached_for_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "t")
    clients.forget()
    assert ask("a.jpg")["Cache-Control"] == "private, max-age=300"
    monkeypatch.delenv("AWS_SESSION_TOKEN")
    clients.forget()


def test_head_gets_a_link_for_head_and_other_methods_a_405() -> None:
    get, head = ask("a.jpg"), ask("a.jpg", method="HEAD")
    assert head["Location"] == storages["default"].url("a.jpg", http_method="HEAD")  # type: ignore[call-arg]
    assert head["Location"] != get["Location"]
    assert [ask("a.jpg", method=method).status_code for method in ("POST", "PUT", "DELETE")] == [405] * 3


OUTSIDE = (
    *("../static/staticfiles.json", "a/../../static/x", "a/../b", "./a", "a//b", "a/", "/etc/passwd"),
    *("//example.com/a", "https://example.com/a", "a\\..\\b", "..", ".", "a\0b", "a/..", "x" * 1100, "a/./b"),
)


@pytest.mark.parametrize("name", OUTSIDE)
def test_invalid_file_name_is_a_404_before_the_permission_is_checked(settings: Any, name: str) -> None:
    asked = []
    settings.S3KIT_LINKS_PERMISSION = lambda *args: asked.append(args)
    for storage in ("media", "documents"):
        for address in (f"/{storage}/{quote(name)}", f"/{storage}/{quote(name, safe='')}"):
            assert Client().get(address).status_code == 404
    assert not asked


def test_redirects_always_go_to_the_bucket() -> None:
    for name in ("example.com", "@example.com", "%2F%2Fexample.com", "http:example.com", "a?next=x"):
        answer = Client().get(f"/media/{quote(name)}")
        assert urlsplit(answer["Location"]).netloc == "acme-media.s3.eu-central-1.amazonaws.com"


@pytest.mark.django_db
def test_only_staff_can_follow_permanent_urls_by_default(settings: Any) -> None:
    staff, member = User(username="anna", is_staff=True), User(username="bert")
    gone = User(username="carl", is_staff=True, is_active=False)

    def statuses() -> list[int]:
        settings.DEBUG = False
        found = []
        for user in (AnonymousUser(), member, gone, staff):
            client = Client()
            if user.username:
                user.save()
                client.force_login(user)
            found.append(client.get("/media/secret.pdf").status_code)
        return found

    del settings.S3KIT_LINKS_PERMISSION
    assert statuses() == [403, 403, 403, 302]
    settings.S3KIT_LINKS_PERMISSION = "s3kit.links.is_authenticated"
    assert statuses() == [403, 302, 403, 302]


def test_permissions_deny_requests_without_a_user() -> None:
    request = RequestFactory().get("/")
    assert not is_staff(request, "a", "default")
    assert not is_authenticated(request, "a", "default")


def test_permission_gets_name_and_storage_and_must_return_true(settings: Any) -> None:
    seen = []

    def rule(_request: Any, name: str, storage: str) -> object:
        seen.append((name, storage))
        return {"a.pdf": True, "b.pdf": 1}.get(name)

    settings.S3KIT_LINKS_PERMISSION = rule
    asked = [Client().get(f"/documents/{name}.pdf").status_code for name in "abc"]
    assert asked == [302, 403, 403]
    assert seen == [(f"{name}.pdf", "documents") for name in "abc"]


@pytest.mark.parametrize("wrong", ["s3kit.links.nothing", "no.such.module", 7])
def test_invalid_permission_denies_access_and_fails_the_check(settings: Any, wrong: Any) -> None:
    settings.S3KIT_LINKS_PERMISSION = wrong
    with pytest.raises(ImproperlyConfigured, match="S3KIT_LINKS_PERMISSION is"):
        ask("a.jpg")
    settings.AWS_SITE_ORIGINS = ["https://www.example.com"]
    (found,) = run_checks(tags=["s3kit"])
    assert found.id == "s3kit.E022"
    assert "S3KIT_LINKS_PERMISSION is" in found.msg


def test_links_to_the_site_require_its_urls(settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.urls"
    (found,) = [each for each in run_checks(tags=["s3kit"]) if each.id == "s3kit.E020"]
    assert found.msg.endswith(
        """STORAGES['editor']: add path("media/", include(links.patterns('editor'))) to urlpatterns."""
    )
    with pytest.raises(ImproperlyConfigured, match=re.escape('include("s3kit.links.urls")')):
        links.lasting_url("a.jpg")
    with pytest.raises(ImproperlyConfigured, match=re.escape("links.patterns('drawer')")):
        links.lasting_url("a.jpg", "drawer")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"links": "ever"}, "'links' is 'ever': choose one of signed, site, cookies"),
        ({"links": "site", "access": "public-policy"}, "with access 'public-policy' links are plain"),
        ({"links": "cookies", "access": "public-read"}, "remove the option 'links'"),
    ],
)
def test_invalid_links_option_raises(options: dict[str, str], words: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=words):
        MediaStorage(bucket_name="b", **options)


def test_csp_allows_self_for_permanent_urls(settings: Any) -> None:
    assert csp.uploads()[0] == "'self'"
    del settings.STORAGES["editor"]
    assert "'self'" not in csp.uploads()


def test_site_serves_files_of_other_storages_with_safe_headers(settings: Any) -> None:
    settings.ROOT_URLCONF = type("urls", (), {"urlpatterns": links.patterns("drawer")})
    for name, content_type, shown in (
        ("a.png", "image/png", "inline"),
        ("a.svg", "image/svg+xml", "attachment"),
        ("a.html", "application/octet-stream", "attachment"),
    ):
        stored = storages["drawer"].save(name, ContentFile(b"<script>"))
        answer = Client().get(links.lasting_url(stored, "drawer"))
        assert answer.getvalue() == b"<script>"
        assert answer["Content-Type"] == content_type
        assert answer["Content-Disposition"] == shown
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Cache-Control"] == "private, no-cache"
    assert Client().head("/a.png").status_code == 200
    assert Client().get("/missing.png").status_code == 404
    settings.S3KIT_LINKS_PERMISSION = is_staff
    assert [Client().get(f"/{name}.png").status_code for name in ("a", "missing")] == [403, 403]
    settings.DEBUG = True  # like Django's own static()
    assert [Client().get(f"/{name}.png").status_code for name in ("a", "missing")] == [200, 404]


@pytest.mark.slow
def test_permanent_url_works_after_the_signed_link_has_expired(
    s3_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_site(media={"links": "site", "querystring_expire": 120})
    default: Any = storages["default"]
    name = default.save("rich text/lake.jpg", ContentFile(b"a lake"))
    address = default.url(name)
    assert address.startswith("/media/rich%20text/lake")
    with monkeypatch.context() as earlier:
        now = media.time.time()
        earlier.setattr(media.time, "time", lambda: now - 600)
        old = Client().get(address)["Location"]
    assert anonymous(old).status == 403
    assert anonymous(default.plain_url(name)).status == 403
    assert anonymous(Client().get(address)["Location"]).body == b"a lake"
    head = anonymous(Client().head(address)["Location"], "HEAD")
    assert (head.status, head.headers["content-length"]) == (200, "6")
    # S3 decides whether the file exists, after the site has allowed access.
    missing = Client().get("/media/missing.jpg")
    assert (missing.status_code, anonymous(missing["Location"]).status) == (302, 404)
