"""What browsers are told about a page: where its files may come from, and the headers beside that."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from csp.constants import HEADER, HEADER_REPORT_ONLY
from csp.decorators import csp_update
from django.core.files.storage import default_storage
from django.http import HttpRequest, HttpResponse
from django.templatetags.static import static
from django.test import Client, RequestFactory
from django.urls import include, path

from config.headers import FIXED, PageHeadersMiddleware
from s3kit import csp
from s3kit.storages.media import ACCESS
from s3kit.templatetags.integrity import integrity
from tests.csp_headers import BEST, Page, Policy, assert_nothing_inline, observatory, parsed
from ministack import STORAGES
from users.models import User

LOCAL = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}


def broken(_request: HttpRequest) -> HttpResponse:
    raise RuntimeError


def with_a_script(_request: HttpRequest) -> HttpResponse:
    name = "admin/js/theme.js"
    return HttpResponse(f'<script src="{static(name)}"{integrity(name)}></script>')


# For the tests that name this module as the addresses of the site: those of the project, and these.
urlpatterns = [path("broken/", broken), path("script/", with_a_script), path("", include("config.urls"))]


def allows(sources: list[str], url: str, site: str = "https://www.example.com") -> bool:
    """Tell whether a browser would load an address: CSP Level 3, "Does url match expression", for our forms.

    A source with a path that ends in a slash covers what is below it, one without a path its whole host.
    """
    asked = urlsplit(url)
    for source in sources:
        if source == "'none'":
            continue
        if source == "'self'":
            source = site
        elif source.endswith(":"):
            if asked.scheme == source[:-1]:
                return True
            continue
        wanted = urlsplit(source)
        assert wanted.netloc, source
        if (asked.scheme, asked.netloc) != (wanted.scheme, wanted.netloc):
            continue
        if not wanted.path or asked.path == wanted.path:
            return True
        if wanted.path.endswith("/") and asked.path.startswith(wanted.path):
            return True
    return False


def policy_of(visitor: Client) -> Policy:
    return parsed(visitor.get("/accounts/login/", secure=True).headers[HEADER])


# The policy


def test_nothing_is_allowed_but_what_is_named(on_aws: Any, visitor: Client) -> None:
    del on_aws
    files, media = "https://acme-static.s3.eu-central-1.amazonaws.com/static/", "acme-media"
    bucket = f"https://{media}.s3.eu-central-1.amazonaws.com"
    assert policy_of(visitor) == {
        "default-src": ["'none'"],
        "script-src": ["'self'", files],
        "style-src": [files],
        "font-src": [files],
        "img-src": ["'self'", files, f"{bucket}/media/", "blob:"],
        "media-src": [f"{bucket}/media/", "blob:"],
        "connect-src": ["'self'", bucket],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "object-src": ["'none'"],
        "frame-ancestors": ["'none'"],
        "upgrade-insecure-requests": [],
    }


@pytest.mark.parametrize("access", ACCESS)
def test_access_changes_nothing(on_aws: Any, visitor: Client, access: str) -> None:
    private = policy_of(visitor)
    on_aws.AWS_MEDIA_ACCESS = access
    assert policy_of(visitor) == private


def test_local_files_are_the_sites_own(settings: Any, visitor: Client) -> None:
    settings.STORAGES, settings.ALLOWED_HOSTS = LOCAL, ["*"]
    policy = policy_of(visitor)
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == ["'self'"]
    assert policy["img-src"] == policy["media-src"] == ["'self'", "blob:"]


def test_local_files_that_another_host_serves(settings: Any) -> None:
    settings.STORAGES = LOCAL
    settings.STATIC_URL, settings.MEDIA_URL = "https://files.example.com/s/", "//uploads.example.com/m/"
    assert csp.static_files() == ("https://files.example.com/s/",)
    assert csp.uploads() == ("//uploads.example.com/m/",)


def test_with_debug_on_static_files_are_those_of_runserver(on_aws: Any) -> None:
    on_aws.DEBUG = True
    assert csp.static_files() == ("'self'",)
    assert csp.uploads() == ("https://acme-media.s3.eu-central-1.amazonaws.com/media/",)


PLACES: list[dict[str, Any]] = [
    {"AWS_S3_REGION_NAME": region}
    for region in ("us-east-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1", "ap-southeast-7")
]
PLACES += [
    {"AWS_S3_ENDPOINT_URL": "http://127.0.0.1:9000"},
    {"AWS_S3_ENDPOINT_URL": "https://s3.example.com/"},
    {"AWS_STATIC_BUCKET_NAME": "acme.static", "AWS_MEDIA_BUCKET_NAME": "acme.media"},
    {"AWS_STATIC_CUSTOM_DOMAIN": "static.example.com", "AWS_MEDIA_CUSTOM_DOMAIN": "media.example.com:8443"},
    {"AWS_STATIC_CUSTOM_DOMAIN": "cdn.example.com", "AWS_MEDIA_CUSTOM_DOMAIN": "cdn.example.com"},
]
ONE_BUCKET = {"AWS_STATIC_BUCKET_NAME": "acme", "AWS_MEDIA_BUCKET_NAME": "acme"}
PLACES += [ONE_BUCKET, ONE_BUCKET | {"AWS_S3_ENDPOINT_URL": "http://127.0.0.1:9000"}]


@pytest.fixture(params=PLACES, ids=lambda place: ",".join(map(str, place.values())))
def place(request: pytest.FixtureRequest, on_aws: Any) -> None:
    if "AWS_MEDIA_CUSTOM_DOMAIN" in request.param:
        on_aws.AWS_MEDIA_ACCESS = "public-policy"  # needs no key of CloudFront
    for name, value in request.param.items():
        setattr(on_aws, name, value)


@pytest.mark.usefixtures("place")
def test_wherever_the_files_are_a_page_gets_them_and_no_upload_is_a_script(visitor: Client) -> None:
    policy = policy_of(visitor)
    picture = default_storage.url("pictures/a.png")
    assert allows(policy["img-src"], picture)
    assert allows(policy["media-src"], picture)
    for directive in ("script-src", "style-src", "font-src"):
        assert not allows(policy[directive], picture)
    for directive in ("script-src", "style-src", "font-src", "img-src"):
        assert allows(policy[directive], static("admin/js/theme.js"))
        assert not allows(policy[directive], "https://elsewhere.example.org/static/a.js")
    for beside in ("pending/a.png", "a.png"):
        assert not allows(policy["img-src"], picture.split("media/pictures/")[0] + beside)


@pytest.mark.usefixtures("place")
def test_a_browser_may_upload_to_the_bucket(on_aws: Any, visitor: Client) -> None:
    from s3kit import clients

    connect = policy_of(visitor)["connect-src"]
    form = clients.client().generate_presigned_post(on_aws.AWS_MEDIA_BUCKET_NAME, "pending/a")
    part = clients.client().generate_presigned_url(
        "upload_part",
        {"Bucket": on_aws.AWS_MEDIA_BUCKET_NAME, "Key": "pending/a", "UploadId": "u", "PartNumber": 1},
    )
    assert allows(connect, form["url"])
    assert allows(connect, part)
    if not on_aws.AWS_S3_ENDPOINT_URL:
        return
    elsewhere = part.replace(f"/{on_aws.AWS_MEDIA_BUCKET_NAME}/", "/another-bucket/")
    assert elsewhere != part
    assert not allows(connect, elsewhere)


def test_settings_that_are_wrong_leave_a_stricter_policy(on_aws: Any) -> None:
    on_aws.AWS_S3_REGION_NAME = ""
    policy = (
        f"script-src 'self' {csp.STATIC_FILES}; img-src {csp.UPLOADS}; connect-src "
        + csp.DIRECT_UPLOADS
    )
    assert csp.fill_in(policy) == "script-src 'self'; img-src; connect-src"


# The middleware


def answered(response: Any) -> Any:
    return PageHeadersMiddleware(lambda _request: response)(RequestFactory().get("/"))


def test_a_view_may_have_a_policy_of_its_own() -> None:
    @csp_update({"frame-src": ["https://maps.example.com"], "img-src": [csp.UPLOADS]})
    def view(_request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    policy = parsed(answered(view(RequestFactory().get("/"))).headers[HEADER])
    assert policy["frame-src"] == ["https://maps.example.com"]
    assert policy["img-src"].count("'self'") == 1
    assert policy["default-src"] == ["'none'"]


def test_a_report_only_policy_has_addresses_too(on_aws: Any) -> None:
    on_aws.CONTENT_SECURITY_POLICY_REPORT_ONLY = {"DIRECTIVES": {"script-src": [csp.STATIC_FILES]}}
    header = answered(HttpResponse()).headers[HEADER_REPORT_ONLY]
    assert "{" not in header
    assert "https://acme-static.s3" in header


def test_a_header_that_a_view_has_set_stays() -> None:
    mine = HttpResponse(headers={"Cross-Origin-Resource-Policy": "cross-origin", HEADER: "default-src *"})
    answer = answered(mine)
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert answer.headers[HEADER] == "default-src *"
    assert answer.headers["Permissions-Policy"] == FIXED["Permissions-Policy"]


@pytest.mark.parametrize("status", [400, 404, 500])
@pytest.mark.parametrize("debug", [True, False])
def test_djangos_own_error_pages_keep_their_style(settings: Any, status: int, *, debug: bool) -> None:
    settings.DEBUG = debug
    assert (HEADER in answered(HttpResponse(status=status)).headers) is not debug


# Every page


PAGES = [
    ("/nothing", 404),
    ("/admin/", 200),
    ("/admin/users/user/", 200),
    ("/admin/users/user/add/", 200),
    ("/admin/users/user/1/change/", 200),
    ("/admin/users/user/1/password/", 200),
    ("/admin/users/user/1/delete/", 200),
    ("/admin/users/user/1/history/", 200),
    ("/admin/password_change/", 200),
    ("/admin/nothing/", 404),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("address", "status"), PAGES)
def test_no_page_has_anything_inline(on_aws: Any, visitor: Client, address: str, status: int) -> None:
    del on_aws
    user = User.objects.create_superuser("root", pk=1)
    visitor.force_login(user)
    answer = visitor.get(address, secure=True)
    assert answer.status_code == status
    assert_nothing_inline(answer)


def test_the_page_to_sign_in_has_nothing_inline(on_aws: Any, visitor: Client) -> None:
    del on_aws
    assert_nothing_inline(visitor.get("/accounts/login/", secure=True))


def test_the_check_for_inline_code_finds_it() -> None:
    found = Page(
        '<p style="x"><a href="JavaScript:x" onclick="x">'
        '<style></style><script>x</script><script src="x"></script>'
    )
    assert found.inline == ["<p style>", "<a onclick>", "<a> javascript:", "<style>", "<script>"]


# Subresource Integrity


def test_local_files_and_debug_have_no_integrity(settings: Any, on_aws: Any) -> None:
    assert integrity("admin/js/theme.js").startswith(' integrity="sha256-')
    assert integrity("site/site.css") == integrity("no/such.js") == ""
    on_aws.DEBUG = True
    assert integrity("admin/js/theme.js") == ""
    on_aws.DEBUG = False
    settings.STORAGES = LOCAL
    assert integrity("admin/js/theme.js") == ""


def test_a_manifest_of_an_older_version_has_none(on_aws: Any) -> None:
    on_aws.STATICFILES_MANIFEST.write_text('{"paths": {"a.js": "a.1.js"}, "version": "1.1", "hash": "x"}')
    on_aws.STORAGES = dict(STORAGES)
    assert integrity("a.js") == ""


# Mozilla's HTTP Observatory


@pytest.mark.urls(__name__)
@pytest.mark.django_db
def test_every_point_of_mozillas_observatory_is_had(on_aws: Any, visitor: Client) -> None:
    del on_aws
    page = observatory(visitor.get("/script/", secure=True), "www.example.com")
    assert page == BEST | {"cookies": 0}, "a visitor gets no cookie"
    login = visitor.get("/accounts/login/", secure=True)
    assert observatory(login, "www.example.com") == BEST | {"integrity": 0}, "a page without scripts"
    User.objects.create_user("editor", password="editor")
    login = visitor.post("/accounts/login/", {"username": "editor", "password": "editor"}, secure=True)
    assert set(login.cookies) == {"sessionid", "csrftoken"}
    assert observatory(login, "www.example.com")["cookies"] == BEST["cookies"]
    insecure = visitor.get("/accounts/login/")
    there = "https://www.example.com/accounts/login/"
    assert (insecure.status_code, insecure.headers["Location"]) == (301, there)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("test", "header", "value", "points"),
    [
        ("csp", HEADER, "default-src 'self'", 5),
        ("csp", HEADER, "default-src 'none'; script-src 'unsafe-inline'", -25),
        ("frames", HEADER, "default-src 'none'", -20),
        ("hsts", "Strict-Transport-Security", "max-age=60", -20),
        ("nosniff", "X-Content-Type-Options", "", -5),
        ("referrer", "Referrer-Policy", "unsafe-url", 0),
        ("corp", "Cross-Origin-Resource-Policy", "", 0),
        ("coep", "Cross-Origin-Embedder-Policy", "unsafe-none", 0),
        ("coop", "Cross-Origin-Opener-Policy", "", 0),
        ("cors", "Access-Control-Allow-Origin", "*", -50),
    ],
)
def test_the_count_of_points_notices(
    on_aws: Any, visitor: Client, test: str, header: str, value: str, points: int
) -> None:
    del on_aws
    answer = visitor.get("/accounts/login/", secure=True)
    answer.headers[header] = value
    assert observatory(answer, "www.example.com")[test] == points


@pytest.mark.urls(__name__)
@pytest.mark.django_db
def test_error_pages_have_the_headers_too(on_aws: Any, visitor: Client) -> None:
    del on_aws
    for answer, status in (
        (visitor.get("/broken/", secure=True), 500),
        (visitor.get("/nothing", secure=True), 404),
        (visitor.get("/accounts/login/", secure=True, headers={"host": "not.example.org"}), 400),
    ):
        assert answer.status_code == status
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert {name: answer.headers[name] for name in FIXED} == FIXED
        assert_nothing_inline(answer)
