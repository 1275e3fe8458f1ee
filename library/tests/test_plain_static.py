"""The `plain_static` tag, which gives error pages URLs without a manifest."""

import pytest
from django.template import Context, Template
from pytest_django import Settings

from s3kit.templatetags.plain_static import plain_static
from tests.ministack import s3_settings


def test_plain_static_on_disk_uses_static_url() -> None:
    assert plain_static("site/site.css") == "/static/site/site.css"


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("", "https://acme-static.s3.eu-central-1.amazonaws.com/static/site/site.css"),
        ("static.example.com", "https://static.example.com/static/site/site.css"),
    ],
)
def test_plain_static_on_s3_uses_the_unhashed_object(settings: Settings, domain: str, expected: str) -> None:
    s3_settings(settings, static={"custom_domain": domain})
    assert plain_static("site/site.css") == expected
    page = Template("{% load plain_static %}{% plain_static 'site/site.css' %}")
    assert page.render(Context()) == expected
