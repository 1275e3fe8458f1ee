"""Servers and workers besides gunicorn's threads: Celery's processes and threads, gevent, and uvicorn."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.fault_proxy import Fault, FaultProxy
from tests.ministack import MakeSite, anonymous
from tests.processes import ROOT, started, until
from tests.test_background import SERVERS, SITE, check_seen, served

pytestmark = pytest.mark.slow

# Each limit is a tenth of the real one, and S3 takes a tenth of 2.5 s.
TASKS = """
from celery import Celery, current_app
from site_of_tests import clients
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from s3kit.serving.requests import in_request

for name in ("CONNECT_TIMEOUT", "READ_TIMEOUT", "WEB_CONNECT_TIMEOUT", "WEB_READ_TIMEOUT", "TURN"):
    setattr(clients, name, getattr(clients, name) / 10)

app = Celery("tasks", broker="filesystem://")
app.conf.update(
    broker_transport_options={"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control",
                              "polling_interval": 0.05},
    task_ignore_result=True, worker_prefetch_multiplier=1,
)

@app.task
def save(number):
    assert not in_request()
    default_storage.save(f"{number}.txt", ContentFile(b"x"))

if __name__ == "__main__":
    for number in range(40):
        save.delay(number)
"""


@pytest.mark.works_with(
    "celery", "Four processes, or eight threads, save 40 files while S3 is slow, and lose none."
)
@pytest.mark.parametrize(("pool", "workers"), [("prefork", 4), ("threads", 8)])
def test_celery_saves_every_file_while_s3_is_slow(
    pool: str, workers: int, s3_site: MakeSite, tmp_path: Path
) -> None:
    site = s3_site()
    (tmp_path / "queue").mkdir()
    (tmp_path / "tasks.py").write_text(TASKS)
    keys = {"AWS_ACCESS_KEY_ID": site.key.id, "AWS_SECRET_ACCESS_KEY": site.key.secret}
    environment = keys | {"PYTHONPATH": f"{tmp_path}:{ROOT}", "C_FORCE_ROOT": "true"}
    words = (
        f"-m celery -A tasks worker --pool {pool} --concurrency={workers} --without-mingle --without-gossip"
    )
    with FaultProxy(site.store.endpoint) as proxy:
        (tmp_path / "site_of_tests.py").write_text(
            SITE.format(endpoint=proxy.endpoint, bucket=site.media_bucket)
        )
        proxy.faults.append(Fault("PUT", delay=0.25))
        run: dict[str, Any] = {"cwd": tmp_path, **environment}
        with started(command=(sys.executable, "tasks.py"), **run) as sending:
            assert sending.ended() == 0, sending.output
        with started(command=(sys.executable, *words.split()), **run) as worker:
            until(lambda: len(proxy.matching("PUT")) >= 40 or worker.process.poll() is not None)
            assert {request.status for request in proxy.matching("PUT")} == {200}, worker.output
            assert worker.end() == 0
        assert proxy.busiest > 1
    assert site.root.list_objects_v2(Bucket=site.media_bucket)["KeyCount"] == 40


WORDS = {
    "gevent": (*SERVERS["gunicorn"][:3], "--worker-class", "gevent", *SERVERS["gunicorn"][6:]),
    "uvicorn": SERVERS["uvicorn"],
}


@pytest.mark.works_with(
    "gevent", "Users upload through gunicorn's gevent worker, within a request's time limits."
)
@pytest.mark.works_with(
    "uvicorn", "Users upload through sync and async views, within a request's time limits."
)
@pytest.mark.parametrize("server", WORDS)
def test_servers_save_files_and_detect_web_requests(server: str, s3_site: MakeSite, tmp_path: Path) -> None:
    site = s3_site()
    with served(WORDS[server], tmp_path, site.store.endpoint, site.media_bucket, site.key) as address:
        # gevent's green threads share one system thread, and asyncio allows one event loop per system thread.
        check_seen(address, asynchronous=server != "gevent")
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: anonymous(f"{address}/saving").body, range(16)))
        assert answers == [b"saved"] * 16
    assert site.root.list_objects_v2(Bucket=site.media_bucket)["KeyCount"] == 16
