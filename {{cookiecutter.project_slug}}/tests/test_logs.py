"""What is logged, and in which format."""

import asyncio
import json
import logging
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory
from django.urls import path
from pytest_django import Settings

from config import logs, urls
from tests.processes import SIGNED_IN, served
from tests.test_settings import PRODUCTION, load

SIGNED = (
    "https://b.s3.eu-central-1.amazonaws.com/media/a.jpg?X-Amz-Credential=AKIA&X-Amz-Security-Token=tttt"
    "&X-Amz-Signature=5161ab&x=1"
)


def record(message: str, *args: Any, name: str = "site.views", **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.ERROR, __file__, 1, message, args, extra.pop("exc_info", None))
    vars(made).update(extra)
    return made


def as_json(made: logging.LogRecord) -> dict[str, Any]:
    line = logs.JsonFormatter().format(made)
    assert "\n" not in line
    assert line.isascii()
    found: dict[str, Any] = json.loads(line)
    return found


def failure(text: str) -> Any:
    try:
        int(text)
    except ValueError:
        return sys.exc_info()


def test_a_line_of_json() -> None:
    line = as_json(record("%s was not\nstored: 사진", "a.jpg", exc_info=failure("no number\n\u2028사진")))
    when = datetime.fromisoformat(line.pop("time"))
    assert when.utcoffset() == timedelta(0)
    exception = line.pop("exception")
    assert exception.startswith("Traceback (most recent call last):\n")
    assert exception.endswith("'no number\\n\\u2028사진'")
    assert line == {"level": "ERROR", "logger": "site.views", "message": "a.jpg was not\nstored: 사진"}


def test_what_no_json_has_does_not_break_a_line() -> None:
    request = RequestFactory().get("/")
    request.request_id = object()  # type: ignore[attr-defined]
    assert "object" in as_json(record("a", request=request))["request_id"]
    assert as_json(record("bad \udc80 text"))["message"] == "bad \udc80 text"


@pytest.mark.parametrize("formatter", [logs.PlainFormatter(), logs.JsonFormatter()])
def test_links_lose_their_signatures(formatter: logging.Formatter) -> None:
    cloudfront = "https://d.example/a?Expires=1&Signature=ssss&Policy=pppp&Key-Pair-Id=K"
    line = formatter.format(record("%s and %s", SIGNED, cloudfront, exc_info=failure(SIGNED)))
    assert line.count("X-Amz-Signature=...&x=1") == 2
    assert not any(secret in line for secret in ("5161ab", "tttt", "ssss", "pppp"))


def access(uri: str, status: str = "200", agent: str = "curl/8", **more: str) -> logging.LogRecord:
    """Return a record as gunicorn makes it."""
    atoms: dict[str, Any] = {"h": "10.0.0.1", "m": "GET", "U": uri.partition("?")[0], "H": "HTTP/1.1"}
    atoms |= {
        "s": status,
        "B": 12,
        "M": 34,
        "a": agent,
        "q": uri.partition("?")[2],
        "{raw_uri}e": uri,
        "r": uri,
    }
    atoms |= {"{x-request-id}o": "r1", "{x-forwarded-for}i": "-"} | more
    made = record("%(r)s", name="gunicorn.access")
    made.args, made.levelno, made.levelname = atoms, logging.INFO, "INFO"
    return made


def test_the_access_log_has_no_query_string_and_no_line_of_a_visitors_making() -> None:
    hostile = access("/a%0A2026-01-01%20ERROR%20%EC%82%AC?token=secret", agent='x"\x1b[31m\n')
    plain = logs.PlainFormatter().format(hostile)
    assert plain.endswith(
        '10.0.0.1 "GET /a%0A2026-01-01%20ERROR%20%EC%82%AC HTTP/1.1" 200 12 bytes 34 ms "x\\"\\u001b[31m\\n"'
    )
    assert "\n" not in plain
    line = as_json(hostile)
    assert line | {"time": ""} == {
        "time": "",
        "level": "INFO",
        "logger": "gunicorn.access",
        "message": "GET /a\n2026-01-01 ERROR 사 200",
        "request_id": "r1",
        "method": "GET",
        "path": "/a\n2026-01-01 ERROR 사",
        "status": 200,
        "bytes": 12,
        "milliseconds": 34,
        "remote": "10.0.0.1",
        "user_agent": 'x"\x1b[31m\n',
    }
    assert "secret" not in plain + json.dumps(line)


def test_health_checks_are_logged_only_when_they_fail() -> None:
    kept = logs.NoProbes().filter
    assert not kept(access("/healthz"))
    assert not kept(access("/readyz"))
    assert kept(access("/readyz", "503"))
    assert kept(access("/"))
    assert kept(record("Listening"))


def test_the_switch() -> None:
    formatter = {
        name: load(DJANGO_LOG_FORMAT=name)["LOGGING"]["handlers"]["stderr"]["formatter"]
        for name in ("plain", "json", "")
    }
    assert formatter == {"plain": "plain", "json": "json", "": "plain"}
    with pytest.raises(ImproperlyConfigured, match="DJANGO_LOG_FORMAT is 'xml': set it to plain or json"):
        load(DJANGO_LOG_FORMAT="xml")
    assert load(**PRODUCTION)["LOG_FORMAT"] == "plain"


def speak(request: HttpRequest) -> HttpResponse:
    logging.getLogger("site").warning("spoken")
    return HttpResponse(request.request_id)  # type: ignore[attr-defined]


async def speak_async(request: HttpRequest) -> HttpResponse:
    return speak(request)


def refuse(request: HttpRequest) -> HttpResponse:
    if not request.user.is_staff:
        raise PermissionDenied
    return HttpResponse()


class Urls:
    urlpatterns: ClassVar = [
        path("speak/", speak),
        path("speak-async/", speak_async),
        path("refuse/", refuse),
        *urls.urlpatterns,
    ]


@pytest.fixture
def spoken(settings: Settings) -> Any:
    """Return the lines of the requests to come."""
    settings.ROOT_URLCONF = Urls
    lines: list[dict[str, Any]] = []

    class Handler(logging.Handler):
        def emit(self, made: logging.LogRecord) -> None:
            lines.append(as_json(made))

    handler = Handler()
    logging.getLogger().addHandler(handler)
    yield lines
    logging.getLogger().removeHandler(handler)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("7f3c-1.a", True),
        ("Root=1-67891233-abcdef012345678912345678", True),
        ("a" * 128, True),
        ("", False),
        ("a" * 129, False),
        ("a b", False),
        ("a\r\nSet-Cookie: x=1", False),
        ('"}', False),
        ("사진", False),
    ],
)
def test_a_request_keeps_its_name_if_it_is_a_sane_one(spoken: Any, given: str, kept: bool) -> None:
    response = Client().get("/speak/?secret=1", headers={"X-Request-ID": given})
    name = response["X-Request-ID"]
    assert response.content.decode() == name
    assert (name == given) is kept
    assert kept or len(name) == 32
    (line,) = spoken
    del line["time"]
    assert line == {
        "level": "WARNING",
        "logger": "site",
        "message": "spoken",
        "request_id": name,
        "method": "GET",
        "path": "/speak/",
    }


def test_under_asgi_too_and_each_has_its_own(spoken: Any) -> None:
    async def ask() -> list[Any]:
        client = AsyncClient()
        asked = [client.get("/speak-async/", headers={"x-request-id": f"r{number}"}) for number in range(5)]
        return [response["X-Request-ID"] for response in await asyncio.gather(*asked)]

    assert asyncio.run(ask()) == [f"r{number}" for number in range(5)]
    assert sorted(line["request_id"] for line in spoken) == [f"r{number}" for number in range(5)]
    assert logs._request.get() is None


@pytest.mark.django_db
def test_who_it_was_is_logged_where_it_is_known_without_a_look(spoken: Any) -> None:
    user = get_user_model().objects.create_user("ada")
    client = Client(raise_request_exception=False)
    client.force_login(user)
    client.get("/speak/")  # which did not ask who it is
    client.get("/refuse/")  # which does
    client.get("/none")
    assert [(line["logger"], line.get("status"), line.get("user_id")) for line in spoken] == [
        ("site", None, None),
        ("django.request", 403, user.pk),
        ("django.request", 404, None),
    ]


def of_server(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["environment", "file"])
def test_every_line_of_a_server_is_json(production: dict[str, str], tmp_path: Path, where: str) -> None:
    empty = production | {"DATABASE_URL": f"sqlite:///{tmp_path / 'empty.sqlite3'}"}
    if where == "file":
        (tmp_path / "env").write_text("DJANGO_LOG_FORMAT=json\n")
        empty["DJANGO_ENV_FILE"] = str(tmp_path / "env")
    else:
        empty["DJANGO_LOG_FORMAT"] = "json"
    with served(**empty) as server:
        named = SIGNED_IN | {"X-Request-ID": "the-failing-one"}
        assert server.ask("/accounts/login/?X-Amz-Signature=5161ab", headers=named).status == 500
        assert server.ask("/accounts/login/?next=secret").status == 200
        assert server.ask("/%0Anone%EC%82%AC").status == 404
        assert server.ask("/", headers={"Host": "evil\texample"}).status == 400
        assert server.end() == 0
    lines = of_server(server.output)
    assert {line["logger"] for line in lines} == {
        "gunicorn.error",
        "gunicorn.access",
        "django.request",
        "django.security.DisallowedHost",
    }
    assert all(datetime.fromisoformat(line["time"]).utcoffset() == timedelta(0) for line in lines)
    assert "5161ab" not in server.output
    assert "secret" not in server.output
    visits = [line for line in lines if line["logger"] == "gunicorn.access"]
    # A line follows its answer, so the next request can overtake it.
    assert sorted((line["status"], line["path"]) for line in visits) == [
        (200, "/accounts/login/"),
        (400, "/"),
        (404, "/\nnone사"),
        (500, "/accounts/login/"),
    ]
    (failed,) = [line for line in lines if line["logger"] == "django.request" and line["level"] == "ERROR"]
    assert failed["exception"].startswith("Traceback")
    assert "no such table" in failed["exception"]
    assert (failed["method"], failed["path"], failed["status"]) == ("GET", "/accounts/login/", 500)
    assert failed["request_id"] == "the-failing-one"
    assert [line["status"] for line in visits if line["request_id"] == "the-failing-one"] == [500]


@pytest.mark.slow
def test_the_access_log_goes_to_stdout_and_a_request_is_one_line(production: dict[str, str]) -> None:
    with served(**production, stderr=subprocess.DEVNULL) as server:
        assert server.ask("/accounts/login/?next=secret").status == 200
        assert server.end() == 0
    (visit,) = server.output.splitlines()
    assert '127.0.0.1 "GET /accounts/login/ HTTP/1.1" 200 ' in visit
    assert "secret" not in server.output
