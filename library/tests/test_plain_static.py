"""Error pages find their style sheet without a manifest."""

import pytest
from django.template.loader import render_to_string
from pytest_django import Settings

from s3kit.templatetags.plain_static import plain_static

ON_S3 = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "s3kit.storages.static.StaticStorage"},
}


def test_on_disk_it_is_below_static_url() -> None:
    assert plain_static("site/site.css") == "/static/site/site.css"


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("", "https://acme-static.s3.eu-central-1.amazonaws.com/static/site/site.css"),
        ("static.example.com", "https://static.example.com/static/site/site.css"),
    ],
)
def test_on_s3_it_is_the_plain_object(settings: Settings, domain: str, expected: str) -> None:
    settings.STORAGES = ON_S3
    settings.AWS_S3_REGION_NAME = "eu-central-1"
    settings.AWS_STATIC_BUCKET_NAME = "acme-static"
    settings.AWS_STATIC_CUSTOM_DOMAIN = domain
    assert plain_static("site/site.css") == expected
    assert expected in render_to_string("500.html")
