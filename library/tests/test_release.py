"""`manage.py release`: the order of its steps, errors, and concurrent releases.

With TEST_DATABASE_URL=postgres://user:password@host:port/postgres, it creates its databases on that server.
"""

import json
import os
import secrets
import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.fault_proxy import Fault, FaultProxy
from tests.ministack import MakeSite
from tests.processes import ROOT, Started, started, until

pytestmark = pytest.mark.slow

SETTINGS = """
import json
from tests.process_settings import *

DEBUG = False
SECRET_KEY = "not-a-secret-" * 6
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_SSL_REDIRECT = os.environ.get("REDIRECT") != "no"
SECURE_HSTS_SECONDS = 3600
ALLOWED_HOSTS = ["www.example.com"]
SILENCED_SYSTEM_CHECKS = ["security.W021"]
DATABASES = {"default": json.loads(os.environ["DATABASE"])}
if not USE_S3:
    manifest = "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
    STORAGES = {**STORAGES, "staticfiles": {"BACKEND": manifest}}
MIDDLEWARE = [*MIDDLEWARE, "django.middleware.clickjacking.XFrameOptionsMiddleware"]
STATICFILES_DIRS = [STATIC_ROOT.with_name("sources")]
STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
INSTALLED_APPS = [*INSTALLED_APPS, "extra"]
"""

# A migration that records that it runs, and what is published by then. It waits while the file `hold` exists, and
# fails while `fail` exists.
MIGRATION = """
import time
from pathlib import Path
from django.db import migrations

FOLDER = Path({folder!r})

def work(apps, editor):
    collected = (FOLDER / "static" / "staticfiles.json").exists()
    with (FOLDER / "journal").open("a") as journal:
        journal.write("{name} " + ("after" if collected else "without") + " static files\\n")
    while (FOLDER / "hold").exists():
        time.sleep(0.05)
    if (FOLDER / "fail").exists():
        raise RuntimeError("the cause,\\nin two lines")

class Migration(migrations.Migration):
    dependencies = {dependencies}
    operations = [migrations.RunPython(work)]
"""


@dataclass
class Project:
    """The site with another app, whose migrations record what happens."""

    folder: Path
    database: dict[str, Any]

    def environment(self, **more: str) -> dict[str, Any]:
        own = {
            "PYTHONPATH": f"{self.folder}{os.pathsep}{ROOT}",
            "DJANGO_SETTINGS_MODULE": "settings_of_test",
            "TEST_FOLDER": str(self.folder),
            "DATABASE": json.dumps(self.database),
            "USE_S3": "false",
        }
        return own | more

    def release(self, *words: object, **more: str) -> tuple[int, str]:
        """Release, and return the exit code and the output."""
        with started("release", *words, **self.environment(**more)) as release:
            return release.ended(), release.output

    def journal(self) -> list[str]:
        file = self.folder / "journal"
        return file.read_text().splitlines() if file.exists() else []

    def wait_until_migrating(self, release: Started) -> None:
        def look() -> bool:
            assert release.process.poll() is None, release.output
            return bool(self.journal())

        until(look)

    @property
    def collected(self) -> bool:
        return (self.folder / "static" / "staticfiles.json").exists()

    def applied(self) -> list[str]:
        """Return the applied migrations of `extra`."""
        with started("showmigrations", "extra", **self.environment()) as show:
            assert show.ended() == 0, show.output
        return [line.split()[1] for line in show.output.splitlines() if "[X]" in line]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Return an entry of DATABASES for an empty database: an SQLite file, or one of TEST_DATABASE_URL's server."""
    server = os.environ.get("TEST_DATABASE_URL")
    if not server:
        yield {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "db.sqlite3")}
        return
    name, url = f"test_{secrets.token_hex(6)}", urlsplit(server)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    where = {"USER": url.username, "PASSWORD": url.password, "HOST": url.hostname, "PORT": url.port}
    yield {"ENGINE": "django.db.backends.postgresql", "NAME": name} | where
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def project(tmp_path: Path, database: dict[str, Any]) -> Project:
    """Return a project with an empty database."""
    migrations = tmp_path / "extra" / "migrations"
    migrations.mkdir(parents=True)
    for package in (migrations.parent, migrations):
        (package / "__init__.py").touch()
    depends = {"0001_one": [("auth", "0001_initial")], "0002_two": [("extra", "0001_one")]}
    for name, dependencies in depends.items():
        text = MIGRATION.format(folder=str(tmp_path), name=name, dependencies=dependencies)
        (migrations / f"{name}.py").write_text(text)
    (tmp_path / "settings_of_test.py").write_text(textwrap.dedent(SETTINGS))
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "a.css").write_text("a {}")
    return Project(tmp_path, database)


def last(printed: str) -> str:
    return printed.strip().splitlines()[-1]


def test_release_runs_checks_then_static_files_then_migrations(project: Project) -> None:
    code, printed = project.release("--dry-run")
    assert code == 0, printed
    assert "  extra.0001_one\n  extra.0002_two\n" in printed
    assert last(printed) == "Nothing was changed."
    assert not project.collected
    assert project.applied() == project.journal() == []

    code, printed = project.release()
    assert code == 0, printed
    positions = [
        printed.index(text) for text in ("no issues", "1 static file copied", "extra.0002_two... OK")
    ]
    assert positions == sorted(positions)
    assert project.journal() == ["0001_one after static files", "0002_two after static files"]
    assert last(printed) == "Released."

    code, printed = project.release()
    assert code == 0, printed
    assert "1 unmodified" in printed
    assert "Migrations: none applied.\n" in printed
    assert len(project.journal()) == 2


def test_failed_check_stops_the_release(project: Project) -> None:
    plain = {"REDIRECT": "no"}
    code, printed = project.release(**plain)
    assert code == 3
    assert "(security.W008)" in printed
    assert last(printed) == "CommandError: Nothing was changed: the checks above failed."
    assert not project.collected
    assert not project.journal()
    # With --fail-level ERROR, it continues with plain HTTP.
    code, printed = project.release("--fail-level", "ERROR", **plain)
    assert code == 0, printed
    assert len(project.journal()) == 2


def test_static_file_error_leaves_the_database_unchanged(project: Project) -> None:
    (project.folder / "sources" / "a.css").write_text("a { background: url(none.png) }")
    code, printed = project.release()
    assert code == 4
    assert "the database was not touched. The file 'none.png' could not be found" in printed
    assert "Traceback" not in printed
    (project.folder / "sources" / "a.css").write_text("a {}")
    shutil.rmtree(project.folder / "static")
    (project.folder / "static").write_text("in the way")
    code, printed = project.release()
    assert code == 4, printed
    assert "/static/staticfiles.json: Not a directory." in last(printed)
    assert "Traceback" not in printed
    assert project.journal() == project.applied() == []


def test_unreachable_database_stops_the_release(project: Project) -> None:
    place = {"NAME": "site", "USER": "site", "PASSWORD": "the-password", "HOST": "127.0.0.1", "PORT": 1}
    nowhere = {"DATABASE": json.dumps({"ENGINE": "django.db.backends.postgresql"} | place)}
    code, printed = project.release(**nowhere)
    assert code == 5
    assert last(printed).startswith("CommandError: Nothing was changed: the database can't be reached")
    assert "the-password" not in printed
    assert "Traceback" not in printed
    assert not project.collected
    # If only S3 can be reached, static files are still published.
    code, printed = project.release("--no-migrate", **nowhere)
    assert code == 0, printed
    assert project.collected


def test_failed_migration_is_named_and_resumed_by_the_next_release(project: Project) -> None:
    (project.folder / "fail").touch()
    code, printed = project.release("--no-static")
    assert code == 5
    said = last(printed)
    assert said.startswith(
        "CommandError: extra.0001_one failed (RuntimeError: the cause, in two lines). Applied"
    )
    assert "auth.0001_initial" in said
    assert "Traceback" not in printed
    assert project.journal() == ["0001_one without static files"]
    (project.folder / "fail").unlink()
    code, printed = project.release("--no-static")
    assert code == 0, printed
    assert "Applying extra.0001_one" in printed
    assert "Applying auth.0001_initial" not in printed
    assert project.applied() == ["0001_one", "0002_two"]


@pytest.fixture
def held(project: Project) -> Iterator[Started]:
    """Return a release that stays in a migration until the file `hold` is deleted."""
    (project.folder / "hold").touch()
    with started("release", "--no-static", **project.environment()) as first:
        project.wait_until_migrating(first)
        yield first


def test_second_release_waits_for_the_first_or_times_out(project: Project, held: Started) -> None:
    code, printed = project.release("--no-static", "--wait", 1)
    assert code == 6, printed
    assert last(printed).startswith(
        "CommandError: No migration was applied: another release of this database"
    )

    with started("release", "--no-static", **project.environment()) as second:
        second.wait_for("Another release is running: waiting up to 600 s.")
        (project.folder / "hold").unlink()
        assert held.ended() == 0, held.output
        assert second.ended() == 0, second.output
    assert "Migrations: none applied." in second.output
    assert project.journal() == ["0001_one without static files", "0002_two without static files"]


def test_killed_release_does_not_block_the_next(project: Project, held: Started) -> None:
    with started("release", "--no-static", **project.environment()) as second:
        second.wait_for("Another release is running")
        held.process.kill()
        (project.folder / "hold").unlink()
        assert second.ended() == 0, second.output
    assert project.applied() == ["0001_one", "0002_two"]


def test_release_publishes_static_files_to_s3(project: Project, s3_site: MakeSite) -> None:
    site = s3_site()
    with FaultProxy(site.store.endpoint) as proxy:
        on_s3 = {
            "USE_S3": "true",
            "AWS_S3_REGION_NAME": site.store.region,
            "STATIC_BUCKET": site.static_bucket,
            "MEDIA_BUCKET": site.media_bucket,
            "AWS_S3_ENDPOINT_URL": proxy.endpoint,
            "AWS_ACCESS_KEY_ID": site.key.id,
            "AWS_SECRET_ACCESS_KEY": site.key.secret,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        proxy.faults.append(Fault("PUT", r"\.css", status=403, code="AccessDenied"))
        code, printed = project.release(**on_s3)
        assert code == 4
        assert "Static files were not published, and the database was not touched." in printed
        assert "Traceback" not in printed
        assert not project.journal()
        proxy.faults.clear()

        code, printed = project.release("--no-migrate", **on_s3)
        assert code == 0, printed
        assert "1 files as 2 objects: 2 uploaded" in printed
        assert "manifest: new." in printed
        assert not project.journal()

        before = proxy.count()
        code, printed = project.release("--no-static", **on_s3)
        assert code == 0, printed
        assert proxy.count() == before
        assert len(project.journal()) == 2
    body = site.root.get_object(Bucket=site.static_bucket, Key="static/staticfiles.json")["Body"].read()
    assert "a.css" in json.loads(body)["paths"]


def test_sqlite_lock_file_is_next_to_the_database(project: Project) -> None:
    if "sqlite" not in project.database["ENGINE"]:
        return
    code, printed = project.release("--no-static")
    assert code == 0, printed
    assert (project.folder / "db.sqlite3.release").exists()
