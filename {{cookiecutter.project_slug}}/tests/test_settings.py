"""Tests of the settings and their environment variables."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

PRODUCTION = {
    "DJANGO_DEBUG": "false",
    "DJANGO_SECRET_KEY": "not-a-secret-" * 6,
    "DJANGO_ALLOWED_HOSTS": "www.example.com",
    "DJANGO_SITE_ORIGINS": "https://www.example.com",
    "USE_S3": "true",
    "AWS_S3_REGION_NAME": "eu-central-1",
    "AWS_STATIC_BUCKET_NAME": "acme-static",
    "AWS_MEDIA_BUCKET_NAME": "acme-media",
}


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python with .env.example, a secret key, and these variables, but none of the shell's."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DJANGO_ENV_FILE": ".env.example", "DJANGO_SECRET_KEY": "x" * 50}
        | environment,
        capture_output=True,
        text=True,
    )


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run("manage.py", *arguments, **environment)


def settings_of(*names: str, **environment: str) -> dict:
    code = f"""
import json
from django.conf import settings
print(json.dumps({{name: getattr(settings, name, None) for name in {names}}}, default=str))"""
    done = run("-c", code, DJANGO_SETTINGS_MODULE="config.settings", **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_deployment_checks_are_clean():
    done = manage("check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
    assert done.returncode == 0, done.stderr


def test_production_redirects_to_https_with_secure_cookies_and_hsts():
    secure = ["SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_HSTS_SECONDS"]
    found = settings_of("DEBUG", *secure, **PRODUCTION)
    assert found.pop("DEBUG") is False
    assert all(found.values())
    found = settings_of(*secure, **PRODUCTION, DJANGO_SECURE_SSL_REDIRECT="false")
    assert not any(found.values())


@pytest.mark.parametrize("command", ["manage.py check", "-m gunicorn config.wsgi --bind=127.0.0.1:0"])
def test_missing_variables_are_named_in_one_line(command):
    for missing in (["DJANGO_SECRET_KEY", "DJANGO_ALLOWED_HOSTS"], ["AWS_MEDIA_BUCKET_NAME"]):
        blank = dict.fromkeys(missing, " ") | {"DJANGO_ENV_FILE": os.devnull}
        done = run(*command.split(), **PRODUCTION | blank)
        assert done.returncode
        assert f"Missing variables: {', '.join(missing)}. Set them" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("module", ["wsgi", "asgi"])
def test_servers_do_not_start_in_debug_mode(module):
    done = run("-c", f"import config.{module}", **PRODUCTION | {"DJANGO_DEBUG": "true"})
    assert done.returncode
    assert "set DJANGO_DEBUG=false" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_debug_is_off_unless_django_debug_is_true():
    production = {name: value for name, value in PRODUCTION.items() if name != "DJANGO_DEBUG"}
    for debug in ({}, {"DJANGO_DEBUG": ""}, {"DJANGO_DEBUG": "ture"}):
        assert settings_of("DEBUG", DJANGO_ENV_FILE=os.devnull, **production | debug) == {"DEBUG": False}


def test_an_invalid_variable_is_named_without_its_value():
    for name, value in (("DATABASE_URL", "postgres://site:se/cret@db/site"), ("DJANGO_PROXIES", "secret")):
        done = manage("check", **{name: value})
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
        assert done.stderr.startswith(f"{name} is not valid. Example: ")
        assert "cret" not in done.stderr


def test_only_the_owner_can_read_the_database_file(tmp_path):
    done = manage("migrate", DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3", DJANGO_ENV_FILE=".env.example")
    assert done.returncode == 0, done.stderr
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_an_error_lists_the_allowed_values():
    done = manage("check", USE_S3="lcoal")
    assert done.returncode == 1
    assert "USE_S3 is 'lcoal'. Set it to one of: local, true, false." in done.stderr


@pytest.mark.parametrize(("use_s3", "on_s3"), [("true", True), ("local", True), ("false", False)])
def test_use_s3_selects_the_storages(use_s3, on_s3):
    found = settings_of("USE_S3", "STORAGES", **PRODUCTION | {"USE_S3": use_s3})
    assert str(found["USE_S3"]).lower() == use_s3
    backends = {alias: storage["BACKEND"].split(".")[0] for alias, storage in found["STORAGES"].items()}
    expected = "config" if on_s3 else "django"
    assert (backends["default"], backends["staticfiles"]) == (expected, expected)


def test_process_variables_override_the_env_file_and_blank_ones_are_ignored(tmp_path):
    file = tmp_path / ".env"
    file.write_text("DJANGO_SITE_NAME='From the file'\nDJANGO_DEBUG=true\nUSE_S3=false\nAWS_PROFILE=\n")
    for shell, expected in (("", "From the file"), ("From the shell", "From the shell")):
        found = settings_of("SITE_NAME", DJANGO_ENV_FILE=str(file), DJANGO_SITE_NAME=shell)
        assert found["SITE_NAME"] == expected
