"""The site as production runs it: gunicorn, debug off, behind a proxy that speaks https to visitors."""

import ast
import http.client
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.fault_proxy import FaultProxy
from tests.ministack import Answer, MakeSite
from tests.processes import GUNICORN, SIGNED_IN, Served, served, started, until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(production: dict[str, str]) -> Iterator[Served]:
    with served(**production) as running:
        yield running


def check_headers(answer: Answer) -> None:
    headers = answer.headers
    assert headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["x-frame-options"] == "DENY"
    assert re.fullmatch("[0-9a-f]{32}", headers["x-request-id"])
    assert headers["server"] == "gunicorn"  # and no version
    assert not {"x-powered-by", "access-control-allow-origin"} & set(headers)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/accounts/login/", 200),
        ("/admin/login/", 200),
        ("/admin/", 302),
        ("/no-such-page", 404),
        ("/static/site/site.css", 404),  # S3 has them
    ],
)
def test_the_headers_of_pages(server: Served, path: str, status: int) -> None:
    answer = server.ask(path)
    assert answer.status == status
    check_headers(answer)
    head = server.ask(path, "HEAD")
    assert (head.status, head.body) == (status, b"")
    # Over plain http there is a redirect and nothing else.
    plain = server.ask(path, secure=False)
    assert (plain.status, plain.body) == (301, b"")
    assert plain.headers["location"] == f"https://www.example.com{path}"
    assert "set-cookie" not in plain.headers
    assert "strict-transport-security" not in plain.headers


def test_a_page_that_fails(production: dict[str, str], tmp_path: Path) -> None:
    nothing = f"sqlite:///{tmp_path / 'empty.sqlite3'}"
    with served(**production | {"DATABASE_URL": nothing}) as broken:
        answer = broken.ask("/accounts/login/", headers=SIGNED_IN)
    assert answer.status == 500
    check_headers(answer)
    assert b"no such table" not in answer.body
    assert "no such table" in broken.output


def test_another_host_is_refused(server: Served) -> None:
    assert server.ask("/", headers={"Host": "evil.example.com"}).status == 400


def test_health_checks_need_neither_https_nor_the_sites_name(server: Served) -> None:
    for path in ("/healthz", "/readyz"):
        for host in ("10.0.0.7:8000", "localhost", "_"):
            answer = server.ask(path, secure=False, headers={"Host": host})
            assert (answer.status, answer.body) == (200, b'{"status": "ok"}')
            assert not {"set-cookie", "location", "vary"} & set(answer.headers)
            assert answer.headers["cache-control"] == "no-store"


def login_form(server: Served) -> tuple[str, str]:
    """Return the cookie of the login page and the token of its form."""
    page = server.ask("/accounts/login/")
    cookie = SimpleCookie(page.headers["set-cookie"])["csrftoken"]
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.body.decode())
    assert token
    return cookie.value, token[1]


def test_cookies_are_for_https_only_and_no_scripts_get_the_session(
    server: Served, production: dict[str, str]
) -> None:
    password = "correct horse battery staple"
    admin = {"DJANGO_SUPERUSER_PASSWORD": password, "DJANGO_SUPERUSER_EMAIL": "a@example.com"}
    variables = production | admin | {"DJANGO_SUPERUSER_USERNAME": "ada"}
    with started("createsuperuser", "--no-input", **variables) as create:
        assert create.ended() == 0, create.output
    given = server.ask("/accounts/login/").headers["set-cookie"]
    csrf = SimpleCookie(given)["csrftoken"]
    assert csrf["secure"]
    assert csrf["samesite"] == "Lax"
    cookie, token = login_form(server)
    form = urlencode({"username": "ada", "password": password, "csrfmiddlewaretoken": token})
    answer = server.ask(
        "/accounts/login/",
        "POST",
        body=form,
        headers={
            "Cookie": f"csrftoken={cookie}",
            "Content-Type": "application/x-www-form-urlencoded",
            "Referer": "https://www.example.com/accounts/login/",
        },
    )
    assert answer.status == 302, answer.body
    session = re.search("sessionid=[^;]+;.*", answer.headers["set-cookie"])
    assert session
    attributes = {part.strip().partition("=")[0].lower() for part in session[0].split(";")}
    assert {"secure", "httponly"} <= attributes
    assert "SameSite=Lax" in session[0]


def test_a_proxy_is_believed_only_where_the_site_says_so(production: dict[str, str]) -> None:
    without = {**production, "DJANGO_SECURE_PROXY_SSL_HEADER": ""}
    with served(**without) as server:
        assert server.ask("/", headers={"X-Forwarded-Proto": "https", "X-Forwarded-Ssl": "on"}).status == 301


def test_to_start_and_to_show_pages_it_asks_s3_for_nothing(production: dict[str, str]) -> None:
    with FaultProxy("http://127.0.0.1:9") as proxy:
        with served(**production | {"AWS_S3_ENDPOINT_URL": proxy.endpoint, "WEB_CONCURRENCY": "2"}) as server:
            for path in ("/", "/accounts/login/", "/readyz", "/readyz", "/readyz"):
                assert server.ask(path).status == 200
        assert proxy.requests == []


def test_without_the_file_each_worker_reads_the_manifest_from_s3_once(
    production: dict[str, str], s3_site: MakeSite, tmp_path: Path
) -> None:
    site = s3_site()
    manifest = (Path(production["TEST_FOLDER"]) / "staticfiles.json").read_bytes()
    site.root.put_object(Bucket=site.static_bucket, Key="static/staticfiles.json", Body=manifest)
    with FaultProxy(site.store.endpoint) as proxy:
        on_s3 = {
            "TEST_FOLDER": str(tmp_path),
            "AWS_S3_ENDPOINT_URL": proxy.endpoint,
            "AWS_STATIC_BUCKET_NAME": site.static_bucket,
            "AWS_ACCESS_KEY_ID": site.key.id,
            "AWS_SECRET_ACCESS_KEY": site.key.secret,
        }
        with served(**production | on_s3) as server:
            assert [request.path for request in proxy.requests] == [
                f"/{site.static_bucket}/static/staticfiles.json"
            ]
            for path in ("/", "/readyz", "/readyz", "/readyz"):
                assert server.ask(path).status == 200
        assert proxy.count() == 1


@contextmanager
def begun(server: Served) -> Iterator[tuple[socket.socket, bytes]]:
    """Send half of a form, and yield the connection and the other half; a thread works on it from then on."""
    cookie, token = login_form(server)
    form = urlencode({"username": "ada", "password": "wrong", "csrfmiddlewaretoken": token}).encode()
    head = (
        "POST /accounts/login/ HTTP/1.1",
        "Host: www.example.com",
        "X-Forwarded-Proto: https",
        "Referer: https://www.example.com/accounts/login/",
        f"Cookie: csrftoken={cookie}",
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(form)}",
        "Expect: 100-continue",
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as slow:
        slow.sendall("\r\n".join((*head, "", "")).encode())
        assert slow.recv(1000).startswith(b"HTTP/1.1 100")
        slow.sendall(form[:20])
        yield slow, form[20:]


def is_refused(server: Served) -> bool:
    with socket.socket() as knock:
        return knock.connect_ex(("127.0.0.1", server.port)) != 0


def test_when_it_is_stopped_running_requests_end_and_new_ones_are_refused(production: dict[str, str]) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(served(**production))
        slow, rest = stack.enter_context(begun(server))
        idle = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert idle.recv(1000)  # a proxy keeps such a connection, and must not keep the server
        server.process.send_signal(signal.SIGTERM)
        until(lambda: is_refused(server))
        assert server.process.poll() is None
        slow.sendall(rest)
        with slow.makefile("rb") as file:
            answer = file.read()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer[:200]
        assert b"</html>" in answer
        assert server.ended() == 0
    assert "Traceback" not in server.output


def test_a_request_that_never_ends_is_cut_off(production: dict[str, str]) -> None:
    with served("--graceful-timeout", 1, **production) as server, begun(server) as (slow, _rest):
        assert server.end() == 0
        assert slow.recv(1000) == b""


def test_a_worker_that_is_killed_is_replaced_while_the_other_goes_on(production: dict[str, str]) -> None:
    with served(**production | {"WEB_CONCURRENCY": "2"}) as server:
        before = until(lambda: len(server.workers()) == 2 and server.workers())
        killed = min(before)
        os.kill(killed, signal.SIGKILL)
        until(lambda: len(server.workers() - {killed}) == 2)
        assert {server.ask("/").status for _ in range(5)} == {200}


def test_workers_that_start_anew_lose_no_request(production: dict[str, str]) -> None:
    got: list[int] = []
    with served(
        "--max-requests", 8, "--max-requests-jitter", 2, **production | {"WEB_CONCURRENCY": "2"}
    ) as server:

        def visit() -> None:
            kept = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            for _ in range(12):
                kept.request(
                    "GET",
                    "/accounts/login/",
                    headers={"Host": "www.example.com", "X-Forwarded-Proto": "https"},
                )
                answer = kept.getresponse()
                answer.read()
                got.append(answer.status)
            kept.close()

        visitors = [threading.Thread(target=visit) for _ in range(4)]
        for visitor in visitors:
            visitor.start()
        for visitor in visitors:
            visitor.join()
        assert got == [200] * 48
        assert server.output.count("Autorestarting worker") >= 3


def test_what_gunicorn_makes_of_its_file(production: dict[str, str]) -> None:
    variables = production | {"PORT": "8123", "WEB_CONCURRENCY": "3", "GUNICORN_CMD_ARGS": "--threads 9"}
    with started("--print-config", "config.wsgi", command=GUNICORN, **variables) as printing:
        assert printing.ended() == 0, printing.output
    found = dict(re.findall(r"^(\w+) +=(?: (.*))?$", printing.output, re.MULTILINE))
    wanted = {
        "bind": "['0.0.0.0:8123']",
        "workers": "3",
        "threads": "9",  # GUNICORN_CMD_ARGS wins
        "worker_class": "<Worker()>",
        "preload_app": "False",
        "control_socket_disable": "True",
        "forwarded_allow_ips": "[]",
    }
    assert {name: found[name] for name in wanted} == wanted
    assert int(found["keepalive"]) > 60
    assert ast.literal_eval(found["graceful_timeout"]) < 30
