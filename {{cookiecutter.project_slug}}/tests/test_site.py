"""Tests of login, error pages, headers, health checks, and logs."""

import json
import logging
import re
import socket

import pytest
from axes.models import AccessAttempt
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.client import FakePayload
from django.urls import path
from django.views import defaults
from django.views.csrf import csrf_failure
from s3kit.serving import MAX_BODY

from config import logs

LINK = "https://bucket.s3.eu-central-1.amazonaws.com/a.jpg?X-Amz-Expires=60&X-Amz-Signature=0123abc"


@pytest.fixture
def ada(db):
    return get_user_model().objects.create_user("ada", password="correct horse")


def test_logging_in_and_out(client, ada):
    form = {"username": "ada", "password": "wrong", "next": "/x/"}
    assert 'role="alert"' in client.post("/accounts/login/", form).content.decode()
    response = client.post("/accounts/login/", form | {"password": "correct horse"})
    assert response.headers["Location"] == "/x/"
    assert client.session["_auth_user_id"] == str(ada.pk)
    client.post("/accounts/logout/")
    assert "_auth_user_id" not in client.session


def test_login_does_not_redirect_to_another_site(client, ada):
    form = {"username": "ada", "password": "correct horse", "next": "https://evil.example/"}
    assert "evil" not in client.post("/accounts/login/", form).headers["Location"]


def test_failed_logins_lock_a_username_for_one_address_only(client, ada, settings, caplog):
    settings.AXES_ENABLED = True
    settings.AXES_IPWARE_PROXY_COUNT = 1
    form = {"username": "ada", "password": "guessed-Passw0rd"}

    def post(page, address, **fields):
        headers = {"X-Forwarded-For": f"203.0.113.1, {address}"}
        return client.post(page, form | fields, headers=headers).status_code

    for number in range(settings.AXES_FAILURE_LIMIT):
        assert post(["/accounts/login/", "/admin/login/"][number % 2], "198.51.100.1") in (200, 429)
    assert 'username: "ada", ip_address: "198.51.100.1"' in caplog.text
    assert "guessed-Passw0rd" not in caplog.text + str(AccessAttempt.objects.values())
    for page in ("/accounts/login/", "/admin/login/"):
        response = client.post(page, form, headers={"X-Forwarded-For": "198.51.100.1"})
        assert response.status_code == 429
        assert ">429<" in response.content.decode()
    assert post("/accounts/login/", "198.51.100.1", password="correct horse") == 429
    assert post("/accounts/login/", "198.51.100.1", username="grace") == 200
    assert post("/accounts/login/", "198.51.100.2", password="correct horse") == 302
    call_command("axes_reset_username", "ada")
    assert post("/accounts/login/", "198.51.100.1", password="correct horse") == 302


@pytest.mark.django_db
@pytest.mark.parametrize("page", ["/accounts/login/", "/pictures/add/", "/admin/login/", "/no/such/page/"])
def test_a_large_body_from_a_visitor_is_rejected_unread(client, page):
    for request in ({"CONTENT_LENGTH": str(MAX_BODY + 1)}, {"HTTP_TRANSFER_ENCODING": "chunked"}):
        response = client.generic("POST", page, **{"wsgi.input": FakePayload()} | request)
        assert response.status_code == 413
        assert ">413<" in response.content.decode()


@pytest.mark.django_db
def test_login_requires_a_csrf_token():
    client = Client(enforce_csrf_checks=True)
    assert client.post("/accounts/login/", {"username": "ada"}).status_code == 403
    page = client.get("/accounts/login/").content.decode()
    token = dict(re.findall(r'name="(csrfmiddlewaretoken)" value="(\w+)"', page))
    assert client.post("/accounts/login/", {"username": "ada"} | token).status_code == 200


@pytest.mark.django_db
def test_the_name_of_the_site_is_escaped(client, settings):
    settings.SITE_NAME = "</title><script>alert(1)</script>"
    page = client.get("/accounts/login/").content.decode()
    assert "&lt;/title&gt;&lt;script&gt;" in page
    assert "<script>alert" not in page


def test_error_pages_need_no_database_and_no_manifest(rf, settings):
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"}
    }
    request, error = rf.get("/"), Exception("secret detail")
    responses = {
        400: defaults.bad_request(request, error),
        403: defaults.permission_denied(request, error),
        404: defaults.page_not_found(request, error),
        500: defaults.server_error(request),
    }
    for status, response in [*responses.items(), (403, csrf_failure(request))]:
        page = response.content.decode()
        assert response.status_code == status
        assert f">{status}<" in page
        assert "site/site.css" in page
        assert "secret detail" not in page


def broken(request):
    raise RuntimeError(f"no luck with {LINK}")


urlpatterns = [path("broken/", broken)]


def test_an_exception_is_logged_and_shows_the_error_page(client, settings, caplog):
    settings.ROOT_URLCONF = __name__
    client.raise_request_exception = False
    response = client.get("/broken/?secret=1", headers={"X-Request-ID": "request-1"})
    assert (response.status_code, response.headers["X-Request-ID"]) == (500, "request-1")
    (record,) = (record for record in caplog.records if record.name == "django.request")
    config = logs.configuration("json")["formatters"]["json"]
    line = logs.Json(**{name: value for name, value in config.items() if name != "()"}).format(record)
    logged = json.loads(line)
    assert (logged["level"], logged["method"], logged["path"]) == ("ERROR", "GET", "/broken/")
    assert "RuntimeError: no luck with https://bucket" in logged["exception"]
    assert "0123abc" not in line
    assert "secret" not in line


def test_a_log_line_is_one_line_without_signatures():
    record = logging.LogRecord("site", logging.INFO, "", 0, "GET /\nforged %s", (LINK,), None)
    line = logs.Plain("%(message)s").format(record)
    assert line == r"GET /\x0aforged " + LINK.replace("0123abc", "...")


@pytest.mark.django_db
def test_pages_have_the_policy_in_the_settings_and_the_other_headers(client, settings):
    headers = client.get("/accounts/login/").headers
    policy = {words.split()[0]: words.split()[1:] for words in headers["Content-Security-Policy"].split(";")}
    for name, sources in settings.CONTENT_SECURITY_POLICY["DIRECTIVES"].items():
        if isinstance(sources, bool):
            assert (name in policy) == sources
        else:
            assert {source for source in sources if "{" not in str(source)} <= set(policy[name])
    assert not re.search(r"[{}]", headers["Content-Security-Policy"])
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == settings.X_FRAME_OPTIONS
    assert headers["Cross-Origin-Resource-Policy"]
    assert "no-store" in headers["Cache-Control"]  # as its view says
    assert client.get("/missing/").headers["Cache-Control"] == "private, no-cache"


@pytest.mark.django_db
def test_health_checks_work_over_plain_http_and_with_any_host(client, settings):
    settings.SECURE_SSL_REDIRECT = True
    settings.ALLOWED_HOSTS = ["www.example.com"]
    assert client.get("/", headers={"host": "10.0.0.7"}).status_code == 400
    for address in ("/healthz", "/readyz"):
        response = client.get(address, headers={"host": "10.0.0.7"})
        assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_tests_cannot_reach_the_network():
    with pytest.raises(ConnectionError, match="only connect to this machine"):
        socket.create_connection(("www.example.com", 443))


def test_a_site_without_a_database_is_alive_but_not_ready(client, monkeypatch):
    monkeypatch.setattr(connection, "cursor", lambda: 1 / 0)
    assert client.get("/healthz").status_code == 200
    response = client.get("/readyz")
    assert (response.status_code, response.json()["failing"]) == (503, ["database"])
