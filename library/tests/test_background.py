"""Background work waits for S3 as long as commands do. Visitors wait seconds, with every server."""

import asyncio
import json
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from botocore.exceptions import ReadTimeoutError
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import AsyncClient, Client
from django.urls import path

from s3kit import clients
from s3kit.deployment import Key
from s3kit.serving import requests
from s3kit.serving.requests import in_request
from tests.fault_proxy import Fault, FaultProxy
from tests.ministack import MakeSite, anonymous
from tests.processes import ROOT, free_port, started, until


def in_thread(function: Any) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


# The views of a small site, for this process and for servers.


def plain(_request: HttpRequest) -> HttpResponse:
    return JsonResponse({"view": in_request(), "thread": in_thread(in_request)})


async def awaited(_request: HttpRequest) -> HttpResponse:
    return JsonResponse(
        {
            "view": in_request(),
            "sync_to_async": await sync_to_async(in_request)(),
            "thread": await asyncio.to_thread(in_request),
        }
    )


def streamed(_request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(json.dumps(each) for each in [in_request()])


_background = ThreadPoolExecutor(1)


def background(_request: HttpRequest) -> HttpResponse:
    """Return what a thread sees that outlives requests, such as a task queue's worker."""
    return JsonResponse({"thread": _background.submit(in_request).result()})


def saving(_request: HttpRequest) -> HttpResponse:
    try:
        default_storage.save("a.txt", ContentFile(b"x"))
    except Exception as error:  # noqa: BLE001 -- the test checks its type
        return HttpResponse(type(error).__name__)
    return HttpResponse("saved")


urlpatterns = [
    path("plain", plain),
    path("awaited", awaited),
    path("streamed", streamed),
    path("background", background),
    path("saving", saving),
]
SEEN = {
    "plain": {"view": True, "thread": False},
    "awaited": {"view": True, "sync_to_async": True, "thread": False},
    "streamed": True,
    "background": {"thread": False},
}


@pytest.fixture(autouse=True)
def fresh_clients() -> Iterator[None]:
    clients.forget()
    yield
    clients.forget()


def test_in_request_is_true_only_during_a_request(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    assert not in_request()
    for name, seen in SEEN.items():
        got = Client().get(f"/{name}")
        body = b"".join(got.streaming_content) if got.streaming else got.content  # type: ignore[attr-defined]
        assert json.loads(body) == seen, name
        assert not in_request()


def test_in_request_is_true_during_an_async_request(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__

    async def visit() -> list[Any]:
        return [json.loads((await AsyncClient().get(f"/{name}")).content) for name in ("plain", "awaited")]

    assert in_thread(lambda: async_to_sync(visit)()) == [SEEN["plain"], SEEN["awaited"]]


def test_in_request_is_always_true_without_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_watching", False)
    assert in_request()


SITE = """
import sys
from pathlib import Path

from django.conf import settings

settings.configure(
    SECRET_KEY="x", ALLOWED_HOSTS=["127.0.0.1"], ROOT_URLCONF="tests.test_background", DEBUG=True, USE_TZ=True,
    INSTALLED_APPS=["s3kit", "django.contrib.staticfiles"], STATIC_URL="/static/",
    AWS_S3_REGION_NAME="eu-central-1", AWS_S3_ENDPOINT_URL="{endpoint}",
    STORAGES={{
        "default": {{"BACKEND": "s3kit.storages.MediaStorage", "OPTIONS": {{"bucket_name": "{bucket}"}}}},
        "staticfiles": {{"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}},
    }},
)

from django.core.asgi import get_asgi_application
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application

from s3kit import clients

clients.WEB_READ_TIMEOUT, clients.WEB_ATTEMPTS = 0.1, 1
if __name__ == "__main__":
    execute_from_command_line(sys.argv)
else:
    application, asgi = get_wsgi_application(), get_asgi_application()
"""
SERVERS = {
    "gunicorn": (
        *("-m", "gunicorn", "site_of_tests", "--worker-class", "s3kit.serving.worker.Worker", "--threads=2"),
        *("--no-control-socket", "--bind", "127.0.0.1:{port}"),
    ),
    "uvicorn": ("-m", "uvicorn", "site_of_tests:asgi", "--port", "{port}"),
    "runserver": ("site_of_tests.py", "runserver", "--noreload", "127.0.0.1:{port}"),
}


@contextmanager
def served(words: Sequence[str], folder: Path, endpoint: str, bucket: str, key: Key) -> Iterator[str]:
    """Serve the site with a program of this Python, and return its URL."""
    (folder / "site_of_tests.py").write_text(SITE.format(endpoint=endpoint, bucket=bucket))
    port = free_port()
    command = (sys.executable, *(word.format(port=port) for word in words))
    keys = {"AWS_ACCESS_KEY_ID": key.id, "AWS_SECRET_ACCESS_KEY": key.secret}
    paths = {
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": f"{folder}:{ROOT}",
        "DJANGO_SETTINGS_MODULE": "tests.settings",
    }
    with started(command=command, cwd=folder, **keys, **paths) as running:
        running.wait_for("Listening at|running on|Quit the server")
        until(lambda: _responds(port))
        yield f"http://127.0.0.1:{port}"


def _responds(port: int) -> bool:
    try:
        return anonymous(f"http://127.0.0.1:{port}/plain").status == 200
    except OSError:
        return False


def check_seen(site: str, *, asynchronous: bool = True) -> None:
    for name, seen in SEEN.items():
        if asynchronous or name != "awaited":
            assert json.loads(anonymous(f"{site}/{name}").body) == seen, name


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS)
def test_servers_distinguish_requests_from_background_work(server: str, tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as hanging,  # accepts connections, and never responds
        served(
            SERVERS[server],
            tmp_path,
            f"http://127.0.0.1:{hanging.getsockname()[1]}",
            "acme-media",
            Key("a", "b"),
        ) as site,
    ):
        check_seen(site)
        assert anonymous(f"{site}/saving").body == b"ReadTimeoutError"


# With a tenth of every timeout, and of S3's delay.


@pytest.fixture
def shortened_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONNECT_TIMEOUT", "READ_TIMEOUT", "WEB_CONNECT_TIMEOUT", "WEB_READ_TIMEOUT", "TURN"):
        monkeypatch.setattr(clients, name, getattr(clients, name) / 10)


@pytest.mark.slow
@pytest.mark.usefixtures("shortened_timeouts")
def test_background_saves_in_eight_threads_succeed_while_s3_is_slow(s3_site: MakeSite, settings: Any) -> None:
    site = s3_site()
    with FaultProxy(site.store.endpoint) as proxy:
        settings.AWS_S3_ENDPOINT_URL = proxy.endpoint
        proxy.faults.append(Fault("PUT", delay=0.25))
        with ThreadPoolExecutor(8) as pool:
            saved = list(
                pool.map(lambda number: default_storage.save(f"{number}.txt", ContentFile(b"x")), range(40))
            )
        assert len(set(saved)) == 40
        assert proxy.busiest > clients.UPLOADS_AT_ONCE
    assert {len(default_storage.listdir("")[1])} == {40}


@pytest.mark.slow
@pytest.mark.usefixtures("shortened_timeouts")
def test_background_save_of_a_large_file_works_on_a_slow_connection(s3_site: MakeSite, settings: Any) -> None:
    site = s3_site()
    body = b"x" * (9 * 2**20)
    with FaultProxy(site.store.endpoint, rate=2_500_000) as proxy:  # ten times 2 Mbit/s
        settings.AWS_S3_ENDPOINT_URL = proxy.endpoint
        name = default_storage.save("video.mp4", ContentFile(body))
        assert proxy.count("PUT", "partNumber") == 2
    assert default_storage.size(name) == len(body)


@pytest.mark.slow
def test_background_save_fails_if_s3_never_responds(
    s3_site: MakeSite, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "READ_TIMEOUT", 0.1)
    site = s3_site()
    never = threading.Event()
    with FaultProxy(site.store.endpoint) as proxy:
        settings.AWS_S3_ENDPOINT_URL = proxy.endpoint
        proxy.faults.append(Fault("PUT", hold=never))
        monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
        with pytest.raises(ReadTimeoutError):
            default_storage.save("a.txt", ContentFile(b"x"))
        never.set()
