"""CloudFront's signed cookies: verified as CloudFront verifies them, and who gets them."""

import base64
import json
from http.cookies import Morsel
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import storages
from django.http import HttpResponse
from django.test import Client, RequestFactory

from s3kit import links
from s3kit.links.cookies import CookiesMiddleware
from s3kit.storages import cloudfront, media
from tests.ministack import s3_settings

NOW = 1_800_000_000
POLICY, SIGNATURE, KEY_ID = "CloudFront-Policy", "CloudFront-Signature", "CloudFront-Key-Pair-Id"


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(autouse=True)
def site(settings: Any, key: rsa.RSAPrivateKey, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    s3_settings(
        settings,
        media={"custom_domain": "media.example.com", "links": "cookies", "location": "up loads"},
        AWS_CLOUDFRONT_KEY_ID="K2EXAMPLE",
        AWS_CLOUDFRONT_KEY=pem,
        AWS_CLOUDFRONT_COOKIE_DOMAIN="example.com",
    )
    monkeypatch.setattr(media.time, "time", lambda: NOW)


def decoded(value: str) -> bytes:
    """Decode a cookie in CloudFront's variant of base64, which has no +, /, or =."""
    assert not set("+/=") & set(value)
    return base64.b64decode(value.translate(str.maketrans("-_~", "+=/")), validate=True)


def test_signed_cookies_allow_the_prefix_for_up_to_an_hour(key: rsa.RSAPrivateKey) -> None:
    default: Any = storages["default"]
    assert default.url("a b/é.jpg") == "https://media.example.com/up%20loads/a%20b/%C3%A9.jpg"
    cookies = default.signed_cookies()
    assert list(cookies) == [POLICY, SIGNATURE, KEY_ID]
    assert cookies[KEY_ID] == "K2EXAMPLE"
    policy = decoded(cookies[POLICY])
    # CloudFront verifies SHA-1 with RSA over the policy's bytes.
    key.public_key().verify(decoded(cookies[SIGNATURE]), policy, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303
    (statement,) = json.loads(policy)["Statement"]
    assert statement["Resource"] == "https://media.example.com/up%20loads/*"
    (end,) = statement.pop("Condition")["DateLessThan"].values()
    assert 1800 <= end - NOW <= 3600
    assert sum(map(len, cookies.values())) < 1000  # bytes per request to the CDN


def test_signed_cookies_are_signed_once_per_window(monkeypatch: pytest.MonkeyPatch) -> None:
    cloudfront.signed_cookies.cache_clear()
    default: Any = storages["default"]
    ends = set()
    for later in range(0, 3600, 300):
        monkeypatch.setattr(media.time, "time", lambda later=later: NOW + later)
        cookies = default.signed_cookies()
        (statement,) = json.loads(decoded(cookies[POLICY]))["Statement"]
        ends.add(statement["Condition"]["DateLessThan"]["AWS:EpochTime"])
    assert len(ends) in {2, 3}
    assert cloudfront.signed_cookies.cache_info().misses == len(ends)


def test_url_with_expire_is_signed_and_rejects_parameters() -> None:
    default: Any = storages["default"]
    assert "&Signature=" in default.url("a.jpg", expire=60)
    with pytest.raises(ValueError, match="ResponseContentType: use a storage with signed links"):
        default.url("a.jpg", parameters={"ResponseContentType": "text/html"})


def test_links_are_presigned_without_a_custom_domain(settings: Any) -> None:
    s3_settings(settings, media={"links": "cookies"}, USE_S3=True)
    default: Any = storages["default"]
    assert "X-Amz-Signature=" in default.url("a.jpg")
    with pytest.raises(ImproperlyConfigured, match="set access to 'private', and custom_domain"):
        default.signed_cookies()


@pytest.mark.parametrize(("name", "value"), [("AWS_CLOUDFRONT_KEY", ""), ("AWS_CLOUDFRONT_KEY", "no key")])
def test_signed_cookies_require_a_valid_key(settings: Any, name: str, value: str) -> None:
    setattr(settings, name, value)
    with pytest.raises(ImproperlyConfigured, match="cloudfront_key"):
        storages["default"].signed_cookies()  # type: ignore[attr-defined]


def cookies_of(response: HttpResponse) -> dict[str, Morsel]:
    return dict(response.cookies)


def test_set_cookies_limits_them_to_the_prefix_and_to_https() -> None:
    response = HttpResponse()
    response["Cache-Control"] = "public, max-age=60"
    links.set_cookies(response)
    assert set(cookies_of(response)) == {POLICY, SIGNATURE, KEY_ID}
    for cookie in cookies_of(response).values():
        assert (cookie["domain"], cookie["path"]) == ("example.com", "/up%20loads/")
        assert (cookie["secure"], cookie["httponly"], cookie["samesite"]) == (True, True, "Lax")
        # Until the browser session ends, as AWS recommends.
        assert not cookie["max-age"]
        assert not cookie["expires"]
    assert response["Cache-Control"] == "max-age=60, private"
    assert response["Vary"] == "Cookie"
    links.delete_cookies(response)
    for cookie in cookies_of(response).values():
        assert (cookie.value, cookie["max-age"]) == ("", 0)
        assert (cookie["domain"], cookie["path"]) == ("example.com", "/up%20loads/")


def cookies_for(
    user: Any, content_type: str = "text/html; charset=utf-8", session: str = "s"
) -> dict[str, Morsel]:
    request = RequestFactory().get("/")
    request.user = user
    request.COOKIES = {"sessionid": session} if session else {}
    return cookies_of(CookiesMiddleware(lambda _request: HttpResponse(content_type=content_type))(request))


def test_html_pages_set_cookies_for_users_with_permission(settings: Any) -> None:
    asked = []

    def rule(request: Any, name: str, storage: str) -> bool:
        asked.append((name, storage))
        return bool(request.user.is_authenticated)

    settings.S3KIT_LINKS_PERMISSION = rule
    assert all(cookie.value for cookie in cookies_for(User()).values())
    assert asked == [("", "default")]
    assert cookies_for(User(), "application/json") == {}
    # Without a session, the user never logged in; with one, the login may have expired.
    assert cookies_for(AnonymousUser(), session="") == {}
    assert [cookie.value for cookie in cookies_for(AnonymousUser()).values()] == [""] * 3


def test_only_staff_gets_cookies_by_default() -> None:
    assert len(cookies_for(User(is_staff=True))) == 3
    assert not any(cookie.value for cookie in cookies_for(User()).values())


def test_middleware_sets_no_cookies_if_links_are_signed(settings: Any) -> None:
    s3_settings(settings, media={"custom_domain": "media.example.com"})
    assert cookies_for(User(is_staff=True)) == {}
    s3_settings(settings, media={"custom_domain": "media.example.com", "links": "cookies"}, USE_S3="local")
    assert cookies_for(User(is_staff=True)) == {}


@pytest.mark.django_db
def test_login_sets_cookies_and_logout_deletes_them(settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "s3kit.links.cookies.CookiesMiddleware"]
    static_files = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = settings.STORAGES | {"staticfiles": static_files}
    client = Client()
    User.objects.create_user("anna", password="p", is_staff=True, is_superuser=True)
    assert POLICY not in client.get("/admin/login/").cookies
    page = client.post("/admin/login/?next=/admin/", {"username": "anna", "password": "p"})
    assert page.status_code == 302
    assert page.cookies[POLICY].value
    assert "private" in page["Cache-Control"]
    assert page["Vary"] == "Cookie"
    assert client.get("/admin/").cookies[POLICY].value == page.cookies[POLICY].value
    over = client.post("/admin/logout/")
    assert (over.cookies[POLICY].value, over.cookies[POLICY]["max-age"]) == ("", 0)
    assert POLICY not in client.get("/admin/login/").cookies
