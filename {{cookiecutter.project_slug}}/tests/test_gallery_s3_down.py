"""S3 is down, slow or full: pages come, an upload fails with a message in seconds, and no worker hangs.

The bounds are generous: they tell seconds from minutes. README.md has what was measured.
"""

import contextlib
import http.client
import io
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.endpoint
import pytest
from botocore.exceptions import BotoCoreError
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.test import Client
from PIL import Image

from gallery.models import NOT_STORED, Picture
from s3 import client, patience
from s3.manifest import write_manifest
from tests.fault_proxy import Fault, FaultProxy
from tests.ministack import MakeSite, SiteOnS3
from users.models import User

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 20
THREADS = 4


@cache
def picture() -> bytes:
    """Return a file of some 600 kB."""
    out = io.BytesIO()
    Image.effect_noise((1000, 800), 90).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(autouse=True)
def manifest(settings: Any, tmp_path: Path) -> None:
    """Have the manifest as a file, as an image has it: a page then asks S3 for nothing."""
    settings.STATICFILES_MANIFEST = tmp_path / "staticfiles.json"
    write_manifest()


@pytest.fixture
def behind_proxy(s3_site: MakeSite, settings: Any) -> Iterator[tuple[SiteOnS3, FaultProxy]]:
    site = s3_site("private")
    with FaultProxy(site.store.endpoint) as proxy:
        settings.AWS_S3_ENDPOINT_URL = proxy.endpoint
        yield site, proxy
        client.web_client().close()


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("editor"))
    return client


def upload_fails(staff: Client) -> float:
    """Send the form, see it refused with the message and nothing added, and return the seconds it took."""
    started = time.monotonic()
    answer = staff.post(
        "/pictures/add/",
        {"file": SimpleUploadedFile("a.png", picture()), "alt": "Noise"},
        headers={"accept": "application/json"},
    )
    took = time.monotonic() - started
    assert [error["message"] for error in answer.json()["errors"]["__all__"]] == [NOT_STORED]
    assert not Picture.objects.exists()
    return took


@contextlib.contextmanager
def port_that_refuses() -> Iterator[str]:
    with socket.socket() as bound:  # and does not listen
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@contextlib.contextmanager
def port_that_never_answers_a_connection() -> Iterator[str]:
    """Connections beyond the queue of a listener who accepts none hang, as those to a dead host do."""
    with socket.socket() as listener, contextlib.ExitStack() as queue:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = queue.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        time.sleep(0.1)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def port_that_hardly_reads() -> Iterator[str]:
    """Takes 80 kB of an upload a second."""
    ended = threading.Event()

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=trickle, args=(connection,)).start()

    def trickle(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while not ended.wait(0.1) and connection.recv(8 * 1024):
                pass

    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 1024)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            ended.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("port", [port_that_refuses, port_that_never_answers_a_connection])
def test_an_upload_that_reaches_nobody_fails_in_seconds(
    port: Callable[[], contextlib.AbstractContextManager[str]],
    s3_site: MakeSite,
    settings: Any,
    staff: Client,
) -> None:
    s3_site("private")
    with port() as settings.AWS_S3_ENDPOINT_URL:
        assert upload_fails(staff) < SECONDS
        assert staff.get("/").status_code == 200


@pytest.mark.parametrize(
    ("trouble", "attempts"),
    [
        ({"status": 503, "code": "SlowDown"}, client.WEB_ATTEMPTS),
        ({"status": 500}, client.WEB_ATTEMPTS),
        ({"cut": "reset"}, client.WEB_ATTEMPTS),
        ({"cut": "before"}, client.WEB_ATTEMPTS),
        ({"hold": True}, 1),  # who has heard nothing for ten seconds does not ask again
    ],
    ids=["503", "500", "reset", "cut", "hangs"],
)
def test_an_upload_to_an_s3_in_trouble_fails_in_seconds(
    behind_proxy: Any, staff: Client, trouble: dict[str, Any], attempts: int
) -> None:
    _, proxy = behind_proxy
    hold = threading.Event()
    fault = Fault("PUT", r"media/", **(trouble | ({"hold": hold} if "hold" in trouble else {})))
    proxy.faults.append(fault)
    try:
        assert upload_fails(staff) < SECONDS
        assert fault.struck == attempts
    finally:
        hold.set()


def test_an_upload_that_s3_hardly_takes_fails_in_seconds(
    s3_site: MakeSite, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A second and one more for the 8 MiB, for a quicker test; what is set gives them 26.
    monkeypatch.setattr(patience, "GRACE", 1.0)
    monkeypatch.setattr(patience, "MIN_RATE", 8 * 1024 * 1024)
    monkeypatch.setattr(patience, "RETRY_WITHIN", 1.0)
    s3_site("private")
    started = time.monotonic()
    with port_that_hardly_reads() as settings.AWS_S3_ENDPOINT_URL:
        # Of one part's size, and more than the buffers of a connection hold.
        with pytest.raises(BotoCoreError, match="less than 8192 KiB a second"):
            default_storage.save("a.bin", ContentFile(bytes(8 * 1024 * 1024 - 1)))
        assert 2 < time.monotonic() - started < SECONDS
        client.web_client().close()


def test_a_page_of_pictures_asks_s3_for_nothing(behind_proxy: Any, staff: Client) -> None:
    _, proxy = behind_proxy
    for number in range(3):
        content = ContentFile(b"x", name=f"{number}.png")
        name = default_storage.save("pictures/a.png", content)
        Picture.objects.bulk_create([Picture(image=name, width=1, height=1, alt=f"Picture {number}")])
    proxy.wait_for(3, "PUT")  # the proxy notes a request after its answer
    proxy.clear()
    proxy.faults.append(Fault(cut="reset"))
    page = staff.get("/").content.decode()
    assert page.count('class="frame"') == 3
    for address in ("/accounts/login/", "/pictures/add/", "/admin/gallery/picture/", "/nothing"):
        assert staff.get(address).status_code in {200, 302, 404}
    assert proxy.requests == []


def test_a_picture_is_deleted_without_s3_and_the_file_left_is_logged(
    behind_proxy: Any, staff: Client, caplog: pytest.LogCaptureFixture
) -> None:
    site, proxy = behind_proxy
    name = default_storage.save("pictures/a.png", ContentFile(b"x"))
    (row,) = Picture.objects.bulk_create([Picture(image=name, width=1, height=1, alt="A")])
    proxy.faults.append(Fault(status=503, code="SlowDown"))
    started = time.monotonic()
    assert staff.post(f"/pictures/{row.pk}/delete/").status_code == 302
    assert time.monotonic() - started < SECONDS
    assert not Picture.objects.exists()
    assert "SlowDown" in caplog.text
    assert site.root.head_object(Bucket=site.media_bucket, Key=f"media/{name}")


# The limits themselves


def test_commands_keep_their_patience(behind_proxy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    site, proxy = behind_proxy
    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda _: None))
    proxy.faults.append(Fault("PUT", status=503, code="SlowDown", times=4))
    client.client().put_object(Bucket=site.media_bucket, Key="media/a", Body=b"x")
    assert proxy.faults[0].struck == 4


def test_a_call_that_took_long_is_not_made_again(behind_proxy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, proxy = behind_proxy
    monkeypatch.setattr(patience, "RETRY_WITHIN", 0.2)
    proxy.faults.append(Fault("PUT", status=503, code="SlowDown", delay=0.3))
    with pytest.raises(Exception, match="SlowDown"):
        default_storage.save("a.txt", ContentFile(b"x"))
    assert proxy.faults[0].struck == 1


def test_many_at_once_are_served_by_an_s3_that_answers(behind_proxy: Any) -> None:
    _, proxy = behind_proxy
    proxy.faults.append(Fault(delay=0.1))
    with ThreadPoolExecutor(12) as pool:
        names = list(pool.map(lambda _: default_storage.save("a.txt", ContentFile(b"x")), range(36)))
    assert len(set(names)) == 36
    assert proxy.busiest <= patience.WAITING


def test_slow_but_moving_uploads_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of which something moves are no sign of an S3 that hangs; another one waits a moment and goes."""
    monkeypatch.setattr(patience, "STUCK_AFTER", 0.3)
    limits = patience.Limits()
    ended = threading.Event()
    entered = threading.Barrier(patience.WAITING + 1)

    def slow_upload() -> None:
        request = SimpleNamespace(headers={}, body=io.BytesIO(bytes(1000)))
        limits._enter(request)
        entered.wait(10)
        while not ended.wait(0.05):
            request.body.read(1)
        limits._leave()

    with ThreadPoolExecutor(patience.WAITING) as pool:
        uploads = [pool.submit(slow_upload) for _ in range(patience.WAITING)]
        try:
            entered.wait(10)
            limits._enter(SimpleNamespace(headers={}, body=b""))
            limits._leave()
        finally:
            ended.set()
        for upload in uploads:
            upload.result()
    assert limits._calls == {}


# A server with as many threads as gunicorn.conf.py gives a worker


@pytest.fixture
def server(behind_proxy: Any, settings: Any, tmp_path: Path) -> Iterator[tuple[str, int, str]]:
    """Run one worker of gunicorn on S3 behind the proxy; return its host, port and a session of the staff."""
    site, proxy = behind_proxy
    settings.DEBUG = False
    call_command("collectstatic", interactive=False, verbosity=0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"} | {
        "DJANGO_ENV_FILE": os.devnull,
        "DJANGO_DEBUG": "false",
        "DJANGO_SECRET_KEY": secrets.token_urlsafe(50),
        "DJANGO_ALLOWED_HOSTS": "127.0.0.1",
        "DJANGO_SECURE_SSL_REDIRECT": "false",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'db.sqlite3'}",
        "USE_S3": "true",
        "AWS_S3_ENDPOINT_URL": proxy.endpoint,
        "AWS_S3_REGION_NAME": settings.AWS_S3_REGION_NAME,
        "AWS_STATIC_BUCKET_NAME": site.static_bucket,
        "AWS_MEDIA_BUCKET_NAME": site.media_bucket,
        "AWS_ACCESS_KEY_ID": site.key.id,
        "AWS_SECRET_ACCESS_KEY": site.key.secret,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    session = (
        "from django.test import Client; from users.models import User; c = Client();"
        "c.force_login(User.objects.create_user('editor', is_staff=True));"
        "print(c.cookies['sessionid'].value)"
    )
    manage = [sys.executable, str(ROOT / "manage.py")]
    subprocess.run([*manage, "migrate", "-v", "0"], env=environment, check=True)
    cookie = subprocess.run(
        [*manage, "shell", "-v", "0", "-c", session],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    gunicorn = [sys.executable, "-m", "gunicorn", "--no-control-socket", "--workers", "1"]
    gunicorn += ["--threads", str(THREADS), "--bind", f"127.0.0.1:{port}", "config.wsgi"]
    log = (tmp_path / "gunicorn.log").open("w")
    with log:
        process = subprocess.Popen(gunicorn, env=environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + 60
        while True:
            assert time.monotonic() < until, "gunicorn did not start"
            assert process.poll() is None, "gunicorn ended"
            with contextlib.suppress(OSError):
                get("127.0.0.1", port, "/accounts/login/")
                break
            time.sleep(0.1)
        yield "127.0.0.1", port, cookie
    finally:
        process.terminate()
        process.wait(30)


def get(host: str, port: int, path: str) -> tuple[int, float]:
    """Return the status of a page and the seconds it took."""
    started = time.monotonic()
    connection = http.client.HTTPConnection(host, port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
    return answer.status, time.monotonic() - started


def post_picture(host: str, port: int, session: str) -> tuple[dict[str, Any], float]:
    started = time.monotonic()
    token, boundary = "t" * 32, secrets.token_hex(16)
    fields = {"csrfmiddlewaretoken": token, "alt": "Noise"}
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'.encode()
        for n, v in fields.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    body = b"".join([*parts, head.encode(), picture(), f"\r\n--{boundary}--\r\n".encode()])
    headers = {
        "Accept": "application/json",
        "Content-Type": f"multipart/form-data; boundary={boundary}",
        "Cookie": f"sessionid={session}; csrftoken={token}",
    }
    connection = http.client.HTTPConnection(host, port, timeout=60)
    with contextlib.closing(connection):
        connection.request("POST", "/pictures/add/", body, headers)
        answer = connection.getresponse()
        return json.loads(answer.read()), time.monotonic() - started


def test_with_s3_hanging_a_thread_is_left_for_the_other_pages(server: Any, behind_proxy: Any) -> None:
    host, port, session = server
    _, proxy = behind_proxy
    hold = threading.Event()
    proxy.clear()
    proxy.faults.append(Fault("PUT", r"media/", hold=hold))
    uploads = 2 * THREADS
    try:
        with ThreadPoolExecutor(uploads) as pool:
            posts = [pool.submit(post_picture, host, port, session) for _ in range(uploads)]
            proxy.wait_for_hanging()
            pages = []
            while not all(post.done() for post in posts):
                pages.append(get(host, port, "/"))
                time.sleep(0.2)
            answers = [post.result() for post in posts]
            hung = proxy.hanging
    finally:
        hold.set()
    assert all(answer["errors"]["__all__"][0]["message"] == NOT_STORED for answer, _ in answers)
    assert max(took for _, took in answers) < 2 * SECONDS
    assert {status for status, _ in pages} == {200}
    # Without a thread to itself, a page waits out S3's ten seconds of silence.
    assert max(took for _, took in pages) < client.WEB_READ_TIMEOUT - 2
    assert hung <= THREADS
