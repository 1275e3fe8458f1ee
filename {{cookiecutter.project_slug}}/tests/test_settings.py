"""The settings that come of an environment, as Django has them once it has started."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import django
import pytest
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from config.env import Env

ROOT = Path(__file__).resolve().parent.parent

PRODUCTION = {
    "DJANGO_DEBUG": "false",
    "DJANGO_SECRET_KEY": "not-a-secret-" * 6,
    "DJANGO_ALLOWED_HOSTS": "www.example.com,example.com",
    "DJANGO_SITE_ORIGINS": "https://www.example.com",
    "AWS_S3_REGION_NAME": "eu-central-1",
    "AWS_STATIC_BUCKET_NAME": "acme-static",
    "AWS_MEDIA_BUCKET_NAME": "acme-media",
}


def load(env_file: str | Path = os.devnull, **environment: str) -> dict[str, Any]:
    """Return what config/settings.py makes of an environment, which it has for itself."""
    with mock.patch.dict(os.environ, {"DJANGO_ENV_FILE": str(env_file)} | environment, clear=True):
        return runpy.run_path(str(ROOT / "config" / "settings.py"))


def settings_of(*names: str, env_file: str | Path = os.devnull, **environment: str) -> dict[str, Any]:
    found = load(env_file, **environment)
    return {name: found.get(name) for name in names}


def start(
    *arguments: str, env_file: str | Path = os.devnull, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run Python on the site with an environment of its own, warnings being errors."""
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DJANGO_ENV_FILE": str(env_file),
        }
        | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_with_nothing_set_it_is_somebodys_desk() -> None:
    found = settings_of("DEBUG", "ALLOWED_HOSTS", "SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "DATABASES")
    assert found["DEBUG"] is True
    assert found["ALLOWED_HOSTS"] == []
    assert found["SECURE_SSL_REDIRECT"] is found["SESSION_COOKIE_SECURE"] is False
    assert found["DATABASES"]["default"]["ENGINE"] == "django.db.backends.sqlite3"


def test_a_secret_key_alone_means_production() -> None:
    with pytest.raises(ImproperlyConfigured, match="With debug off: set DJANGO_ALLOWED_HOSTS in"):
        load(DJANGO_SECRET_KEY="x" * 50)


@pytest.mark.parametrize("missing", ["DJANGO_SECRET_KEY", "DJANGO_ALLOWED_HOSTS"])
@pytest.mark.parametrize("blank", ["", " "])
def test_blank_is_unset_and_what_is_missing_is_named(missing: str, blank: str) -> None:
    with pytest.raises(
        ImproperlyConfigured, match=f"With debug off: set {missing} in the environment or in .env."
    ):
        load(**PRODUCTION | {missing: blank})


def test_everything_missing_is_named_at_once() -> None:
    with pytest.raises(ImproperlyConfigured, match="set DJANGO_SECRET_KEY and DJANGO_ALLOWED_HOSTS in"):
        load(DJANGO_DEBUG="false")


@pytest.mark.parametrize(
    "missing", [["AWS_MEDIA_BUCKET_NAME"], ["AWS_S3_REGION_NAME", "AWS_STATIC_BUCKET_NAME"]]
)
def test_what_s3_needs_is_named_at_once(missing: list[str]) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"With USE_S3 on: set {' and '.join(missing)} in"):
        load(**PRODUCTION | dict.fromkeys(missing, ""))


@pytest.mark.parametrize(
    ("debug", "use_s3", "on_s3"), [("true", "", 0), ("true", "1", 1), ("false", "", 1), ("false", "0", 0)]
)
def test_one_switch_decides_where_files_live(debug: str, use_s3: str, on_s3: bool) -> None:
    backends = load(**PRODUCTION | {"DJANGO_DEBUG": debug, "USE_S3": use_s3})["STORAGES"]
    on_disk = {
        "default": "django.core.files.storage.FileSystemStorage",
        "staticfiles": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage",
    }
    wanted = (
        {"default": "s3.media.MediaStorage", "staticfiles": "s3.static.StaticStorage"} if on_s3 else on_disk
    )
    assert {alias: backend["BACKEND"] for alias, backend in backends.items()} == wanted


def test_production_is_strict() -> None:
    names = [
        "DEBUG",
        "ALLOWED_HOSTS",
        "SECURE_SSL_REDIRECT",
        "SESSION_COOKIE_SECURE",
        "CSRF_COOKIE_SECURE",
        "SECURE_HSTS_SECONDS",
        "SECURE_PROXY_SSL_HEADER",
        "SECURE_REFERRER_POLICY",
    ]
    assert settings_of(*names, **PRODUCTION) == {
        "DEBUG": False,
        "ALLOWED_HOSTS": ["www.example.com", "example.com"],
        "SECURE_SSL_REDIRECT": True,
        "SESSION_COOKIE_SECURE": True,
        "CSRF_COOKIE_SECURE": True,
        "SECURE_HSTS_SECONDS": 31536000,
        "SECURE_PROXY_SSL_HEADER": None,
        "SECURE_REFERRER_POLICY": "same-origin",
    }


def test_one_switch_serves_a_site_behind_plain_http() -> None:
    names = ["SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_HSTS_SECONDS"]
    found = settings_of(*names, **PRODUCTION, DJANGO_SECURE_SSL_REDIRECT="false")
    assert not any(found.values())


def test_the_proxy_header_is_the_one_named() -> None:
    found = settings_of(
        "SECURE_PROXY_SSL_HEADER", **PRODUCTION, DJANGO_SECURE_PROXY_SSL_HEADER="X-Forwarded-Proto"
    )
    assert found["SECURE_PROXY_SSL_HEADER"] == ("HTTP_X_FORWARDED_PROTO", "https")


def test_the_deployment_checks_are_clean() -> None:
    done = start("manage.py", "check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
    assert done.returncode == 0, done.stderr


def test_the_database_is_the_one_of_the_url() -> None:
    found = settings_of("DATABASES", DATABASE_URL="postgres://anna:s%40cret@db.example.com:5433/site")
    database = found["DATABASES"]["default"]
    assert database["ENGINE"] == "django.db.backends.postgresql"
    assert (database["USER"], database["PASSWORD"], database["HOST"]) == ("anna", "s@cret", "db.example.com")
    assert (database["PORT"], database["NAME"]) == (5433, "site")
    assert database["CONN_HEALTH_CHECKS"] is True


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("postgres://a@db.example.com/site", {"connect_timeout": 5, "tcp_user_timeout": 30_000}),
        ("postgres://a@db.example.com/site?connect_timeout=2", {"connect_timeout": 2, "keepalives_idle": 30}),
        (
            "postgres://a@db.example.com/site?sslmode=verify-full",
            {"sslmode": "verify-full", "connect_timeout": 5},
        ),
        ("sqlite:////srv/site/db.sqlite3", {"transaction_mode": "IMMEDIATE"}),
        ("sqlite:////srv/site/db.sqlite3?timeout=20", {"transaction_mode": "IMMEDIATE", "timeout": 20}),
    ],
)
def test_options_of_the_database_and_those_of_its_url_win(url: str, wanted: dict[str, Any]) -> None:
    options = load(DATABASE_URL=url)["DATABASES"]["default"]["OPTIONS"]
    assert {name: options.get(name) for name in wanted} == wanted


def test_mail_goes_where_the_url_says() -> None:
    url = "smtp+tls://anna:s%40cret@mail.example.com:587"
    if django.VERSION >= (6, 1):
        mailer = settings_of("MAILERS", EMAIL_URL=url)["MAILERS"]["default"]
        assert mailer["OPTIONS"] == {
            "host": "mail.example.com",
            "port": 587,
            "username": "anna",
            "password": "s@cret",
            "use_tls": True,
            "use_ssl": False,
            "timeout": 10,
        }
    else:
        names = [
            "EMAIL_HOST",
            "EMAIL_PORT",
            "EMAIL_HOST_USER",
            "EMAIL_HOST_PASSWORD",
            "EMAIL_USE_TLS",
            "EMAIL_TIMEOUT",
        ]
        assert list(settings_of(*names, EMAIL_URL=url).values()) == [
            "mail.example.com",
            587,
            "anna",
            "s@cret",
            True,
            10,
        ]


@pytest.mark.parametrize("url", ["consolemail://", "smtp+ssl://mail.example.com:465", "filemail:///{folder}"])
def test_every_kind_of_mail_makes_a_backend(url: str, settings: Settings, tmp_path: Path) -> None:
    for name, value in load(EMAIL_URL=url.format(folder=tmp_path)).items():
        if name == "MAILERS" or name.startswith("EMAIL_"):
            setattr(settings, name, value)
    backend = mail.mailers["default"] if django.VERSION >= (6, 1) else mail.get_connection()
    assert type(backend).__module__.split(".")[-1] in {"console", "smtp", "filebased"}


def test_the_file_is_read_behind_the_process(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text(
        "DJANGO_SITE_NAME='$(id) #1; \"x\"'\nEMAIL_URL=consolemail://\nDJANGO_DEBUG=true\n", "utf-8"
    )
    assert settings_of("SITE_NAME", env_file=file)["SITE_NAME"] == '$(id) #1; "x"'
    assert settings_of("SITE_NAME", env_file=file, DJANGO_SITE_NAME="Shell")["SITE_NAME"] == "Shell"
    # Blank in the process is unset, so that the file's value holds.
    assert settings_of("SITE_NAME", env_file=file, DJANGO_SITE_NAME="")["SITE_NAME"] == '$(id) #1; "x"'


def test_boto3_sees_its_own_variables_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("AWS_PROFILE=from-file\nAWS_CA_BUNDLE=\n", "utf-8")
    for shell, expected in (({}, "from-file"), ({"AWS_PROFILE": "from-shell"}, "from-shell")):
        with mock.patch.dict(os.environ, shell, clear=True):
            Env.load(file)
            assert os.environ["AWS_PROFILE"] == expected
            assert "AWS_CA_BUNDLE" not in os.environ


def test_errors_come_with_their_traceback_on_stderr() -> None:
    code = """
import django
django.setup()
from django.test import Client
from django.urls import path
from config import urls
def broken(request):
    raise RuntimeError("the cause")
urls.urlpatterns.insert(0, path("broken/", broken))
print(Client(raise_request_exception=False, HTTP_HOST="example.com").get("/broken/", secure=True).status_code)
"""
    done = start("-c", code, **PRODUCTION)
    assert done.stdout.strip() == "500"
    assert "Traceback" in done.stderr
    assert "RuntimeError: the cause" in done.stderr
