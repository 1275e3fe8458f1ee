"""`/healthz` and `/readyz`: without https, cookies or S3, and quick where the database is not."""

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.files.storage import storages
from django.db import OperationalError, connections
from django.test import AsyncClient, Client
from pytest_django import Settings

from config import health
from s3.static import StaticStorage
from tests.ministack import STORAGES
from tests.processes import SIGNED_IN, served

OK = {"status": "ok"}


@pytest.fixture(autouse=True)
def as_on_a_server(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.ALLOWED_HOSTS = ["www.example.com"]
    monkeypatch.setattr(health, "_database", health._Database())  # it has asked nothing yet


@pytest.fixture
def visitor() -> Client:
    return Client(HTTP_HOST="10.0.0.7:8000")


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_they_answer_anybody_on_any_host(visitor: Client, path: str) -> None:
    response = visitor.get(path)
    assert response.status_code == 200
    assert response.json() == OK
    assert response["Cache-Control"] == "no-store"
    assert not response.cookies
    assert "Set-Cookie" not in response
    head = visitor.head(path)
    assert (head.status_code, head.content) == (200, b"")
    # Any other address is refused there.
    assert visitor.get("/").status_code == 400
    assert visitor.get(path + "/").status_code == 400


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.parametrize("method", ["post", "put", "delete", "options"])
def test_nothing_but_get_and_head(visitor: Client, path: str, method: str) -> None:
    response = getattr(visitor, method)(path)
    assert response.status_code == 405
    assert response["Allow"] == "GET, HEAD"


def test_healthz_asks_no_database(visitor: Client) -> None:
    assert visitor.get("/healthz").json() == OK  # pytest-django lets nobody near one here


def break_database(monkeypatch: pytest.MonkeyPatch, message: str = "no\nsuch host db.internal") -> list[int]:
    """Let every connection fail; return the list that grows with each."""
    tried: list[int] = []

    def refuse(_self: Any, *_args: Any) -> None:
        tried.append(1)
        raise OperationalError(message)

    monkeypatch.setattr(type(connections["default"]), "get_new_connection", refuse)
    return tried


@pytest.mark.django_db
def test_a_dead_database_is_named_and_why_is_in_the_log_only(
    visitor: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    break_database(monkeypatch)
    response = visitor.get("/readyz")
    assert response.status_code == 503
    assert response.json() == {"status": "not ready", "failing": ["database"]}
    assert visitor.get("/healthz").status_code == 200
    (record,) = caplog.records
    assert (record.levelno, record.name) == (logging.WARNING, "config.health")
    assert record.getMessage() == "Not ready: database: OperationalError: no such host db.internal"


@pytest.mark.django_db
def test_the_database_is_asked_once_a_second_however_often_somebody_asks(
    visitor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = break_database(monkeypatch)
    now = time.monotonic()
    monkeypatch.setattr("config.health.time.monotonic", lambda: now)
    assert {visitor.get("/readyz").status_code for _ in range(20)} == {503}
    assert len(tried) == 1
    now += 1.1
    assert {visitor.get("/readyz").status_code for _ in range(20)} == {503}
    assert len(tried) == 2


@pytest.mark.django_db
def test_a_database_that_says_nothing_holds_up_one_thread_and_nobody_for_long(
    visitor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    tried = []

    def hang(_self: Any, *_args: Any) -> None:
        tried.append(1)
        go_on.wait(30)
        raise ConnectionError

    monkeypatch.setattr(type(connections["default"]), "get_new_connection", hang)
    monkeypatch.setattr(health, "LIMIT", 0.05)
    try:
        for _ in range(3):
            assert visitor.get("/readyz").json()["failing"] == ["database"]
        assert len(tried) == 1
    finally:
        go_on.set()


def manifest(files: dict[str, str]) -> None:
    storage: Any = storages["staticfiles"]
    storage.hashed_files = files


@pytest.mark.django_db
def test_without_a_manifest_it_is_not_ready_and_s3_is_not_asked(
    visitor: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.STORAGES = STORAGES
    monkeypatch.setattr(StaticStorage, "read_manifest", lambda _self: pytest.fail("S3 was asked"))
    assert visitor.get("/readyz").json() == {"status": "not ready", "failing": ["static files"]}
    manifest({"a.css": "a.123.css"})
    assert visitor.get("/readyz").json() == OK


@pytest.mark.django_db
def test_with_local_files_it_is_the_local_manifest_that_counts(visitor: Client, settings: Settings) -> None:
    local = "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": local}}
    manifest({})
    assert visitor.get("/readyz").json()["failing"] == ["static files"]
    settings.DEBUG = True  # runserver needs none
    assert visitor.get("/readyz").json() == OK


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/accounts/login/"])
def test_they_answer_under_asgi_too(path: str) -> None:
    response = asyncio.run(AsyncClient().get(path, headers={"host": "10.0.0.7"}))
    if path.startswith("/accounts"):
        assert response.status_code == 400
    else:
        assert (response.status_code, response.json()) == (200, OK)


@contextmanager
def says_nothing() -> Iterator[str]:
    """Accept connections as a database that hangs does; yield its address."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"postgres://site:the-password@127.0.0.1:{listener.getsockname()[1]}/site"


@pytest.mark.slow
def test_a_server_whose_postgresql_hangs_says_so_within_seconds(production: dict[str, str]) -> None:
    with says_nothing() as url, served(**production | {"DATABASE_URL": url}) as server:
        began = time.monotonic()
        answer = server.ask("/readyz", secure=False, headers={"Host": "10.0.0.7"})
        assert answer.status == 503
        assert json.loads(answer.body)["failing"] == ["database"]
        assert time.monotonic() - began < 10
        # A page fails instead of hanging, and the process answers all the while.
        assert server.ask("/accounts/login/", headers=SIGNED_IN).status == 500
        assert time.monotonic() - began < 20
        assert server.ask("/healthz", secure=False).status == 200
    assert "the-password" not in server.output
    assert "Not ready: database: " in server.output
