"""The sources in the Content-Security-Policy: pages load their files, and no upload can run as a script."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
from django.contrib.admin import AdminSite
from django.core.files.storage import default_storage
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.urls import Resolver404, include, path, resolve

from s3kit import clients, csp
from s3kit.checks import check_csp
from s3kit.options import ACCESS
from tests.ministack import pretended_server

DISK = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
POLICY = "; ".join(
    (
        f"script-src 'self' {csp.STATIC_FILES}",
        f"style-src {csp.STATIC_FILES}",
        f"img-src 'self' {csp.STATIC_FILES} {csp.UPLOADS} blob:",
        f"connect-src 'self' {csp.DIRECT_UPLOADS}",
        "default-src 'none'",
    )
)


def stores(static: dict[str, Any] | None = None, **media: Any) -> dict[str, Any]:
    """Return STORAGES with both storages on S3 and these options."""
    static = {"bucket_name": "acme-static"} | (static or {})
    return {
        "default": {
            "BACKEND": "s3kit.storages.MediaStorage",
            "OPTIONS": {"bucket_name": "acme-media"} | media,
        },
        "staticfiles": {"BACKEND": "s3kit.storages.StaticStorage", "OPTIONS": static},
    }


@pytest.fixture(autouse=True)
def on_aws(settings: Any) -> Any:
    settings.DEBUG = False
    settings.USE_S3 = True
    settings.AWS_S3_REGION_NAME = "eu-central-1"
    settings.STATIC_URL, settings.MEDIA_URL = "/static/", "/media/"
    settings.STORAGES = stores()
    return settings


def policy() -> dict[str, list[str]]:
    """Return the policy's sources by directive, with the placeholders filled in."""
    directives = [directive.split() for directive in csp.fill_in(POLICY).split(";")]
    return {name: sources for name, *sources in directives}


def allows(sources: list[str], url: str, site: str = "https://www.example.com") -> bool:
    """Return whether a browser would load a URL: CSP Level 3, "Does url match expression", for the forms used here.

    A source with a path that ends in a slash covers everything below it; one without a path covers its host.
    """
    asked = urlsplit(url)
    for source in sources:
        wanted = urlsplit(site if source == "'self'" else source)
        if (asked.scheme, asked.netloc) != (wanted.scheme, wanted.netloc):
            continue
        if not wanted.path or asked.path == wanted.path:
            return True
        if wanted.path.endswith("/") and asked.path.startswith(wanted.path):
            return True
    return False


def test_placeholders_become_the_urls_of_the_files() -> None:
    files = "https://acme-static.s3.eu-central-1.amazonaws.com/static/"
    bucket = "https://acme-media.s3.eu-central-1.amazonaws.com"
    assert policy() == {
        "script-src": ["'self'", files],
        "style-src": [files],
        "img-src": ["'self'", files, f"{bucket}/media/", "blob:"],
        "connect-src": ["'self'", bucket],
        "default-src": ["'none'"],
    }


@pytest.mark.parametrize("access", ACCESS)
def test_policy_is_the_same_for_every_access_mode(settings: Any, access: str) -> None:
    private = policy()
    settings.STORAGES = stores(access=access)
    assert policy() == private


def test_sources_of_files_on_disk_follow_their_urls(settings: Any) -> None:
    settings.STORAGES = DISK
    found = policy()
    assert found["script-src"] == found["style-src"] == found["connect-src"] == ["'self'"]
    assert found["img-src"] == ["'self'", "blob:"]
    settings.STATIC_URL, settings.MEDIA_URL = "https://files.example.com/s/", "//uploads.example.com/m/"
    assert csp.static_files() == ("https://files.example.com/s/",)
    assert csp.uploads() == ("//uploads.example.com/m/",)


def test_sources_include_every_storage(settings: Any) -> None:
    avatars = {"bucket_name": "people", "location": "avatars", "access": "public-policy"}
    settings.STORAGES = DISK | {"avatars": {"BACKEND": "s3kit.storages.MediaStorage", "OPTIONS": avatars}}
    assert csp.uploads() == ("'self'", "https://people.s3.eu-central-1.amazonaws.com/avatars/")
    assert csp.direct_uploads() == ("https://people.s3.eu-central-1.amazonaws.com",)
    assert csp.static_files() == ("'self'",)
    settings.AWS_DIRECT_UPLOADS = False
    assert csp.direct_uploads() == ()


def test_static_files_come_from_the_site_with_debug(settings: Any) -> None:
    settings.DEBUG = True
    assert csp.static_files() == ("'self'",)
    assert csp.uploads() == ("https://acme-media.s3.eu-central-1.amazonaws.com/media/",)


def test_uploads_come_from_the_local_server_with_use_s3_local(settings: Any, tmp_path: Path) -> None:
    settings.USE_S3, settings.S3KIT_LOCAL_DIR = "local", tmp_path
    assert csp.uploads() == ("http://127.0.0.1:9000/acme-media/media/",)
    with pretended_server(tmp_path, "http://127.0.0.1:9321"):
        assert csp.uploads() == ("http://127.0.0.1:9321/acme-media/media/",)


FILE_LOCATIONS: list[dict[str, Any]] = [
    {"AWS_S3_REGION_NAME": region}
    for region in ("us-east-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1", "ap-southeast-7")
]
FILE_LOCATIONS += [
    {"AWS_S3_ENDPOINT_URL": "http://127.0.0.1:9000"},
    {"AWS_S3_ENDPOINT_URL": "https://s3.example.com/"},
    {"STORAGES": stores({"bucket_name": "acme.static"}, bucket_name="acme.media")},
    {
        "STORAGES": stores(
            {"custom_domain": "cdn.example.com"}, custom_domain="cdn.example.com", access="public-policy"
        )
    },
    {"STORAGES": stores({"bucket_name": "acme"}, bucket_name="acme")},
    {
        "STORAGES": stores({"bucket_name": "acme"}, bucket_name="acme"),
        "AWS_S3_ENDPOINT_URL": "http://127.0.0.1:9000",
    },
]


@pytest.fixture(params=FILE_LOCATIONS, ids=lambda file_location: ",".join(map(str, file_location))[:40])
def file_location(request: pytest.FixtureRequest, on_aws: Any) -> None:
    for name, value in request.param.items():
        setattr(on_aws, name, value)


@pytest.mark.usefixtures("file_location")
def test_policy_allows_the_files_but_no_upload_as_a_script() -> None:
    found, script = policy(), csp.static_files()[0] + "admin/js/theme.js"
    picture = default_storage.url("pictures/a.png")
    assert allows(found["img-src"], picture)
    assert not allows(found["script-src"], picture)
    assert not allows(found["style-src"], picture)
    assert allows(found["script-src"], script)
    assert not allows(found["script-src"], "https://elsewhere.example.org/static/a.js")
    for outside in ("pending/a.png", "a.png"):
        assert not allows(found["img-src"], picture.split("media/pictures/")[0] + outside)


@pytest.mark.usefixtures("file_location")
def test_policy_allows_direct_uploads_only_to_the_bucket() -> None:
    storage: Any = default_storage
    s3, bucket = clients.command(storage.target), storage.bucket_name
    whole = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "pending/a"})
    part = s3.generate_presigned_url(
        "upload_part", {"Bucket": bucket, "Key": "pending/a", "UploadId": "u", "PartNumber": 1}
    )
    assert allows(policy()["connect-src"], whole)
    assert allows(policy()["connect-src"], part)
    if storage.target.endpoint:
        elsewhere = part.replace(f"/{bucket}/", "/another-bucket/")
        assert elsewhere != part
        assert not allows(policy()["connect-src"], elsewhere)


def test_invalid_settings_make_the_policy_stricter(settings: Any) -> None:
    settings.AWS_S3_REGION_NAME = ""
    text = f"script-src 'self' {csp.STATIC_FILES}; img-src {csp.UPLOADS}; connect-src {csp.DIRECT_UPLOADS}"
    assert csp.fill_in(text) == "script-src 'self'; img-src; connect-src"


# The middleware


@pytest.mark.parametrize("header", ["Content-Security-Policy", "Content-Security-Policy-Report-Only"])
def test_middleware_fills_in_placeholders_in_both_headers(header: str) -> None:
    def view(_request: HttpRequest) -> HttpResponse:
        return HttpResponse(headers={header: f"script-src {csp.STATIC_FILES}"})

    async def async_view(request: HttpRequest) -> HttpResponse:
        return view(request)

    request, files = RequestFactory().get("/"), "https://acme-static.s3.eu-central-1.amazonaws.com/static/"
    assert csp.SourcesMiddleware(view)(request)[header] == f"script-src {files}"
    assert asyncio.run(csp.SourcesMiddleware(async_view)(request))[header] == f"script-src {files}"


def test_middleware_keeps_responses_without_placeholders_unchanged() -> None:
    request = RequestFactory().get("/")
    assert "Content-Security-Policy" not in csp.SourcesMiddleware(lambda _: HttpResponse())(request)
    mine = HttpResponse(headers={"Content-Security-Policy": "default-src  *"})
    assert csp.SourcesMiddleware(lambda _: mine)(request)["Content-Security-Policy"] == "default-src  *"


# S3KIT_CSP_ADDITIONS


class SiteUrls:
    """A URLconf with an admin under another path and name, and pages of other apps."""

    urlpatterns: ClassVar = [
        path("de/office/", AdminSite(name="office").urls),
        path("api/docs/", lambda _request: HttpResponse(), name="swagger-ui"),
        path("administration/", lambda _request: HttpResponse(), name="home"),
        path("notes/", include(([path("edit/", lambda _: HttpResponse(), name="edit")], "notes"))),
    ]


STRICT = f"default-src 'none'; script-src 'self' {csp.STATIC_FILES}; style-src {csp.STATIC_FILES}"


def page_policy(address: str, policy: str = STRICT) -> dict[str, list[str]]:
    """Return the policy's sources by directive that the middleware sends with a page."""
    request = RequestFactory().get(address)

    def view(request: HttpRequest) -> HttpResponse:
        with suppress(Resolver404):
            request.resolver_match = resolve(request.path_info, SiteUrls)  # type: ignore[arg-type]
        return HttpResponse(headers={"Content-Security-Policy": policy})

    header = csp.SourcesMiddleware(view)(request)["Content-Security-Policy"]
    return {name: sources for name, *sources in map(str.split, header.split(";"))}


FILES = "https://acme-static.s3.eu-central-1.amazonaws.com/static/"


@pytest.mark.parametrize(
    ("key", "wider"),
    [
        (
            "admin",
            ["/de/office/", "/de/office/login/"],
        ),  # an app's namespace, regardless of its path and instance name
        ("office", ["/de/office/", "/de/office/login/"]),
        ("office:login", ["/de/office/login/"]),
        ("swagger-ui", ["/api/docs/"]),
        ("notes:edit", ["/notes/edit/"]),
        ("/notes/", ["/notes/edit/", "/notes/none/"]),
        ("/notes/edit/", ["/notes/edit/"]),
        ("/notes", []),
        ("/de/", ["/de/office/", "/de/office/login/"]),
        ("home", ["/administration/"]),
    ],
)
def test_csp_additions_apply_only_to_the_named_pages(settings: Any, key: str, wider: list[str]) -> None:
    settings.S3KIT_CSP_ADDITIONS = {key: csp.INLINE}
    addresses = ["/", "/de/office/", "/de/office/login/", "/api/docs/", "/administration/", "/notes/edit/"]
    addresses += ["/notes/none/", "/none/", "/admin/"]
    strict = {"default-src": ["'none'"], "script-src": ["'self'", FILES], "style-src": [FILES]}
    inline = ["'unsafe-inline'"]
    wide = strict | {"script-src": ["'self'", FILES, *inline], "style-src": [FILES, *inline]}
    assert {address for address in addresses if page_policy(address) == wide} == set(wider)
    assert all(page_policy(address) == strict for address in {*addresses} - {*wider})


def test_csp_additions_of_all_matching_keys_are_merged(settings: Any) -> None:
    settings.S3KIT_CSP_ADDITIONS = {
        "admin": {"connect-src": [csp.STATIC_FILES], "script-src": "'unsafe-eval'"},
        "/de/office/": {"script-src": ["'unsafe-inline'", "'self'"]},
    }
    found = page_policy("/de/office/")
    assert found["script-src"] == ["'self'", FILES, "'unsafe-eval'", "'unsafe-inline'"]
    assert found["connect-src"] == [FILES]


@pytest.mark.parametrize(
    ("policy", "more", "expected"),
    [
        ("img-src 'none'", {"img-src": ["data:"]}, "img-src data:"),
        ("img-src 'self'", {"img-src": ["'self'"]}, "img-src 'self'"),
        ("IMG-SRC 'self'; img-src b:", {"img-src": ["a:"]}, "img-src 'self' a:"),  # browsers use the first
        # A missing directive starts with its fallback.
        ("default-src a:", {"img-src": ["b:"]}, "default-src a:; img-src a: b:"),
        ("script-src a:", {"worker-src": ["b:"]}, "script-src a:; worker-src a: b:"),
        (
            "child-src a:; script-src c:",
            {"frame-src": ["b:"]},
            "child-src a:; script-src c:; frame-src a: b:",
        ),
        (
            "default-src a:",
            {"worker-src": ["blob:"], "script-src": ["b:"]},
            "default-src a:; script-src a: b:; worker-src a: b: blob:",
        ),
        # Without the directive or its fallback, everything is already allowed.
        ("script-src a:", {"img-src": ["b:"]}, "script-src a:"),
        ("default-src a:", {"frame-ancestors": ["'self'"]}, "default-src a:"),
        ("frame-ancestors 'none'", {"frame-ancestors": ["'self'"]}, "frame-ancestors 'self'"),
        # Browsers ignore 'unsafe-inline' together with these.
        (
            "script-src 'nonce-aB+/=' 'sha256-c=' 'strict-dynamic' a:; style-src 'nonce-d'",
            {"script-src": ["'unsafe-inline'"]},
            "script-src a: 'unsafe-inline'; style-src 'nonce-d'",
        ),
        ("script-src 'nonce-d'", {"script-src": ["b:"]}, "script-src 'nonce-d' b:"),
        # With several policies, a page must meet all of them.
        ("img-src a:, img-src b:", {"img-src": ["c:"]}, "img-src a: c:, img-src b: c:"),
        (
            "upgrade-insecure-requests; img-src a:;",
            {"img-src": ["c:"]},
            "upgrade-insecure-requests; img-src a: c:",
        ),
    ],
)
def test_widened_adds_sources_to_the_policy(policy: str, more: dict[str, list[str]], expected: str) -> None:
    assert csp.widened(policy, more) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"/": csp.INLINE},
            "S3KIT_CSP_ADDITIONS['/'] matches every page: change the site's own policy instead.",
        ),
        (
            {"": csp.INLINE},
            "S3KIT_CSP_ADDITIONS[''] matches every page: change the site's own policy instead.",
        ),
        (
            {"admin/": csp.INLINE},
            "S3KIT_CSP_ADDITIONS['admin/'] is not a name in the URLconf. To match a path, write '/admin/'.",
        ),
        (
            {"admin": ["a:"]},
            "S3KIT_CSP_ADDITIONS['admin'] is ['a:']: set it to a dict of directives, such as csp.INLINE.",
        ),
        (
            {"admin": {"scripts": "a:"}},
            "S3KIT_CSP_ADDITIONS['admin'] has 'scripts': choose one of ",
        ),
        (
            {"admin": {"img-src": "a: b:"}},
            "S3KIT_CSP_ADDITIONS['admin']['img-src'] has 'a: b:': make each source a separate item.",
        ),
        (
            {"admin": {"img-src": ["a:; script-src *"]}},
            "has 'a:; script-src *': make each source a separate item.",
        ),
    ],
)
def test_invalid_csp_additions_fail_the_check(settings: Any, value: Any, message: str) -> None:
    settings.S3KIT_CSP_ADDITIONS = value
    (found,) = check_csp()
    assert found.id == "s3kit.E018"
    assert message in found.msg
