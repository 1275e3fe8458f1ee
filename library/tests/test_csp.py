"""The sources of a Content-Security-Policy: pages get their files, and no upload can be a script."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.files.storage import default_storage
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from s3kit import clients, csp
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
    """Return STORAGES with both storages on S3, and these options."""
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
    """Return the filled in policy by directive."""
    directives = [directive.split() for directive in csp.fill_in(POLICY).split(";")]
    return {name: sources for name, *sources in directives}


def allows(sources: list[str], url: str, site: str = "https://www.example.com") -> bool:
    """Tell whether a browser would load an address: CSP Level 3, "Does url match expression", for our forms.

    A source with a path that ends in a slash covers what is below it, one without a path its whole host.
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


def test_the_words_become_the_addresses_of_the_files() -> None:
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
def test_access_changes_nothing(settings: Any, access: str) -> None:
    private = policy()
    settings.STORAGES = stores(access=access)
    assert policy() == private


def test_files_on_disk_are_the_sites_own(settings: Any) -> None:
    settings.STORAGES = DISK
    found = policy()
    assert found["script-src"] == found["style-src"] == found["connect-src"] == ["'self'"]
    assert found["img-src"] == ["'self'", "blob:"]
    settings.STATIC_URL, settings.MEDIA_URL = "https://files.example.com/s/", "//uploads.example.com/m/"
    assert csp.static_files() == ("https://files.example.com/s/",)
    assert csp.uploads() == ("//uploads.example.com/m/",)


def test_all_storages_count_and_those_on_disk_too(settings: Any) -> None:
    avatars = {"bucket_name": "people", "location": "avatars", "access": "public-policy"}
    settings.STORAGES = DISK | {"avatars": {"BACKEND": "s3kit.storages.MediaStorage", "OPTIONS": avatars}}
    assert csp.uploads() == ("'self'", "https://people.s3.eu-central-1.amazonaws.com/avatars/")
    assert csp.direct_uploads() == ("https://people.s3.eu-central-1.amazonaws.com",)
    assert csp.static_files() == ("'self'",)
    settings.AWS_DIRECT_UPLOADS = False
    assert csp.direct_uploads() == ()


def test_with_debug_on_static_files_are_those_of_runserver(settings: Any) -> None:
    settings.DEBUG = True
    assert csp.static_files() == ("'self'",)
    assert csp.uploads() == ("https://acme-media.s3.eu-central-1.amazonaws.com/media/",)


def test_with_use_s3_local_uploads_come_from_the_local_server(settings: Any, tmp_path: Path) -> None:
    settings.USE_S3, settings.S3KIT_LOCAL_DIR = "local", tmp_path
    assert csp.uploads() == ("http://127.0.0.1:9000/acme-media/media/",)
    with pretended_server(tmp_path, "http://127.0.0.1:9321"):
        assert csp.uploads() == ("http://127.0.0.1:9321/acme-media/media/",)


PLACES: list[dict[str, Any]] = [
    {"AWS_S3_REGION_NAME": region}
    for region in ("us-east-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1", "ap-southeast-7")
]
PLACES += [
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


@pytest.fixture(params=PLACES, ids=lambda place: ",".join(map(str, place))[:40])
def place(request: pytest.FixtureRequest, on_aws: Any) -> None:
    for name, value in request.param.items():
        setattr(on_aws, name, value)


@pytest.mark.usefixtures("place")
def test_wherever_the_files_are_a_page_gets_them_and_no_upload_is_a_script() -> None:
    found, script = policy(), csp.static_files()[0] + "admin/js/theme.js"
    picture = default_storage.url("pictures/a.png")
    assert allows(found["img-src"], picture)
    assert not allows(found["script-src"], picture)
    assert not allows(found["style-src"], picture)
    assert allows(found["script-src"], script)
    assert not allows(found["script-src"], "https://elsewhere.example.org/static/a.js")
    for beside in ("pending/a.png", "a.png"):
        assert not allows(found["img-src"], picture.split("media/pictures/")[0] + beside)


@pytest.mark.usefixtures("place")
def test_a_browser_may_upload_to_the_bucket() -> None:
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


def test_settings_that_are_wrong_leave_a_stricter_policy(settings: Any) -> None:
    settings.AWS_S3_REGION_NAME = ""
    text = f"script-src 'self' {csp.STATIC_FILES}; img-src {csp.UPLOADS}; connect-src {csp.DIRECT_UPLOADS}"
    assert csp.fill_in(text) == "script-src 'self'; img-src; connect-src"


# The middleware


@pytest.mark.parametrize("header", ["Content-Security-Policy", "Content-Security-Policy-Report-Only"])
def test_the_middleware_fills_in_what_another_one_has_set(header: str) -> None:
    def view(_request: HttpRequest) -> HttpResponse:
        return HttpResponse(headers={header: f"script-src {csp.STATIC_FILES}"})

    async def async_view(request: HttpRequest) -> HttpResponse:
        return view(request)

    request, files = RequestFactory().get("/"), "https://acme-static.s3.eu-central-1.amazonaws.com/static/"
    assert csp.SourcesMiddleware(view)(request)[header] == f"script-src {files}"
    assert asyncio.run(csp.SourcesMiddleware(async_view)(request))[header] == f"script-src {files}"


def test_the_middleware_sets_no_policy_of_its_own_and_leaves_others_alone() -> None:
    request = RequestFactory().get("/")
    assert "Content-Security-Policy" not in csp.SourcesMiddleware(lambda _: HttpResponse())(request)
    mine = HttpResponse(headers={"Content-Security-Policy": "default-src  *"})
    assert csp.SourcesMiddleware(lambda _: mine)(request)["Content-Security-Policy"] == "default-src  *"
