"""Signing in and out, and the pages that tell of errors."""

import re

import pytest
from django.conf import LazySettings
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import path
from django.views.csrf import csrf_failure
from django.views.defaults import bad_request, page_not_found, permission_denied, server_error

from users.models import User

HOSTILE_NAME = "</title><script>alert(1)</script>"
ESCAPED_NAME = "&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;"


@pytest.mark.django_db
def test_signing_in_and_out(client: Client) -> None:
    User.objects.create_user("ada", password="correct horse")

    page = client.get("/accounts/login/?next=/admin/").content.decode()
    assert '<label for="id_username">' in page
    assert 'autocomplete="current-password"' in page
    assert 'name="next" value="/admin/"' in page

    wrong = client.post("/accounts/login/", {"username": "ada", "password": "wrong"})
    assert 'role="alert"' in wrong.content.decode()
    assert "Please enter a correct username and password" in wrong.content.decode()

    right = client.post("/accounts/login/", {"username": "ada", "password": "correct horse", "next": "/x/"})
    assert right.headers["Location"] == "/x/"
    assert client.session["_auth_user_id"]

    assert client.get("/accounts/logout/").status_code == 405
    client.post("/accounts/logout/")
    assert "_auth_user_id" not in client.session


@pytest.mark.django_db
def test_signing_in_does_not_lead_to_another_site(client: Client, settings: LazySettings) -> None:
    settings.LOGIN_REDIRECT_URL = "/welcome/"
    User.objects.create_user("ada", password="correct horse")
    form = {"username": "ada", "password": "correct horse", "next": "https://evil.example/"}

    assert client.post("/accounts/login/", form).headers["Location"] == "/welcome/"


@pytest.mark.django_db
def test_login_needs_the_csrf_token_that_its_form_carries() -> None:
    client = Client(enforce_csrf_checks=True)

    answer = client.post("/accounts/login/", {"username": "ada"})
    assert answer.status_code == 403
    assert "This form is out of date" in answer.content.decode()

    form = client.get("/accounts/login/").content.decode()
    token = re.findall(r'name="(csrfmiddlewaretoken)" value="(\w+)"', form)
    assert client.post("/accounts/login/", {"username": "ada"} | dict(token)).status_code == 200


@pytest.mark.django_db
def test_login_page_shows_the_name_of_the_site_escaped(client: Client, settings: LazySettings) -> None:
    settings.SITE_NAME = HOSTILE_NAME

    page = client.get("/accounts/login/").content.decode()

    assert f"<title>Sign in · {ESCAPED_NAME}</title>" in page
    assert "<script" not in page


@pytest.mark.parametrize("debug", [True, False])
def test_error_pages_come_out_right_when_little_works(
    settings: LazySettings, rf: RequestFactory, debug: bool
) -> None:
    # Without a database (this test has none) and with a manifest that is not there.
    settings.DEBUG = debug
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"}
    }
    settings.STATIC_URL = "https://static.example/assets/"
    request = rf.get("/")
    error = Exception("secret detail")

    answers = {
        400: bad_request(request, error),
        403: permission_denied(request, error),
        404: page_not_found(request, error),
        500: server_error(request),
    }

    for status, answer in answers.items():
        page = answer.content.decode()
        assert answer.status_code == status
        assert f'<p class="edge">{status}</p>' in page
        assert '<link rel="stylesheet" href="https://static.example/assets/site/site.css">' in page
        assert "secret detail" not in page
    assert 'class="edge">403<' in csrf_failure(request).content.decode()


def test_the_servers_own_error_page_reaches_the_visitor(client: Client, settings: LazySettings) -> None:
    settings.ROOT_URLCONF = __name__
    client.raise_request_exception = False

    answer = client.get("/broken/")

    assert answer.status_code == 500
    assert "Something went wrong on our side" in answer.content.decode()


def broken(_request: HttpRequest) -> HttpResponse:
    raise RuntimeError


urlpatterns = [path("broken/", broken)]
