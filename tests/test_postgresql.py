"""The generated project on a real PostgreSQL server: its own tests, and a production server."""

import json
import re
import time
from collections.abc import Iterator

import pytest

from tests.installed import PRODUCTION, Installed, fetch
from tests.machine import PATIENCE, free_port, run, running
from tests.postgres import Postgres, running_postgres

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """Return a running server."""
    with running_postgres() as server:
        yield server


def test_projects_own_tests_pass_on_postgresql(installed: Installed, postgres: Postgres) -> None:
    # The settings' tests start processes with their own databases.
    options = ["-q", "-p", "no:cacheprovider", "--create-db", "--reuse-db", "--ignore=tests/test_settings.py"]
    url = postgres.new_database()
    printed = run(".venv/bin/pytest", *options, cwd=installed.path, TEST_DATABASE_URL=url)
    assert re.search(r"\d+ passed", printed)
    assert "skipped" not in printed
    # The tables show that the tests ran on PostgreSQL, not on SQLite.
    kept = f"test_{url.rpartition('/')[2]}"
    assert int(postgres.psql("SELECT count(*) FROM django_migrations", kept)) > 10


CONNECTION = """
import socket
from django.db import connection
connection.ensure_connection()
with socket.socket(fileno=connection.connection.fileno()) as s:
    tcp = [s.getsockopt(socket.IPPROTO_TCP, name) for name in (socket.TCP_USER_TIMEOUT, socket.TCP_KEEPIDLE)]
    s.detach()
of_libpq = connection.connection.info.get_parameters()["connect_timeout"]
django = [connection.settings_dict[name] for name in ("CONN_MAX_AGE", "CONN_HEALTH_CHECKS")]
print(*tcp, of_libpq, *django)
"""


def test_a_connection_to_a_dead_server_times_out(
    on_lts: Installed,
    postgres: Postgres,
) -> None:
    def settings(url: str) -> str:
        return on_lts.manage("shell", "-c", CONNECTION, DATABASE_URL=url).splitlines()[-1]

    assert settings(postgres.url()) == "30000 30 5 60 True"
    # The URL has priority.
    assert settings(f"{postgres.url()}?connect_timeout=2&tcp_user_timeout=9000") == "9000 30 2 60 True"


def test_a_migration_waits_for_a_lock_as_long_as_configured(
    on_lts: Installed,
    postgres: Postgres,
) -> None:
    code = "from django.db import connection as c; k = c.cursor(); k.execute('SHOW lock_timeout'); print(*k)"
    told = {"DATABASE_URL": postgres.url(), "PGOPTIONS": "-c lock_timeout=5s"}
    assert on_lts.manage("shell", "-c", code, **told).splitlines()[-1] == "('5s',)"


def test_readyz_fails_while_the_database_is_unavailable(on_lts: Installed, postgres: Postgres) -> None:
    port = free_port()
    variables = PRODUCTION | {
        "DATABASE_URL": postgres.new_database(),
        "DJANGO_ALLOWED_HOSTS": "127.0.0.1",
        "DJANGO_SECURE_SSL_REDIRECT": "false",
        "USE_S3": "false",
        "PORT": str(port),
        "WEB_CONCURRENCY": "1",
    }
    printed = on_lts.manage("release", "--fail-level", "ERROR", **variables)
    assert "extra" not in printed
    assert printed.rstrip().endswith("Released.")
    with running(".venv/bin/gunicorn", "config.wsgi", cwd=on_lts.path, **variables) as server:
        server.wait_for("Booting worker")

        def ready() -> tuple[int, object]:
            status, _headers, body = fetch(f"http://127.0.0.1:{port}/readyz")
            return status, json.loads(body).get("failing")

        end = time.monotonic() + PATIENCE
        while True:
            try:
                assert ready() == (200, None)
                break
            except OSError:
                assert time.monotonic() < end, server.output
                time.sleep(0.05)
        assert fetch(f"http://127.0.0.1:{port}/")[0] == 200
        name = variables["DATABASE_URL"].rpartition("/")[2]
        postgres.psql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        others = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        postgres.psql(f"{others} AND datname IS NOT NULL")
        assert ready() == (503, ["database"])
        postgres.psql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        end = time.monotonic() + PATIENCE
        while ready() != (200, None):
            assert time.monotonic() < end, server.output
            time.sleep(0.2)
        assert fetch(f"http://127.0.0.1:{port}/")[0] == 200
        server.interrupt()
    assert postgres.password not in server.output
