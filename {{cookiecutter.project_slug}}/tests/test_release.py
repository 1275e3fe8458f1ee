"""`manage.py release`: its order, what stops it, and two at once."""

import json
import os
import shutil
import sqlite3
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fault_proxy import Fault, FaultProxy
from tests.ministack import MakeSite
from tests.processes import PRODUCTION, ROOT, Started, started, until

pytestmark = pytest.mark.slow

SETTINGS = """
from tests.production import *

STATICFILES_DIRS = [STATIC_ROOT.with_name("sources")]
STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
INSTALLED_APPS = [*INSTALLED_APPS, "extra"]
"""

# A migration of a project: it notes that it runs, and what is published by then; it waits while `hold` is
# there, and fails while `fail` is.
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
    """The site with one more app, whose migrations tell what happens."""

    folder: Path
    database: str

    def environment(self, **more: str) -> dict[str, Any]:
        own = {
            "PYTHONPATH": f"{self.folder}{os.pathsep}{ROOT}",
            "DJANGO_SETTINGS_MODULE": "settings_of_test",
            "TEST_FOLDER": str(self.folder),
            "DATABASE_URL": self.database,
        }
        return PRODUCTION | own | more

    def release(self, *words: object, **more: str) -> tuple[int, str]:
        """Release, and return the exit code and what was printed."""
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
        """Return the migrations of `extra` that are applied."""
        with started("showmigrations", "extra", **self.environment()) as show:
            assert show.ended() == 0, show.output
        return [line.split()[1] for line in show.output.splitlines() if "[X]" in line]


@pytest.fixture
def project(tmp_path: Path, database_url: str) -> Project:
    """Return a project whose database is empty."""
    migrations = tmp_path / "extra" / "migrations"
    migrations.mkdir(parents=True)
    for package in (migrations.parent, migrations):
        (package / "__init__.py").touch()
    depends = {"0001_one": [("users", "0001_initial")], "0002_two": [("extra", "0001_one")]}
    for name, dependencies in depends.items():
        text = MIGRATION.format(folder=str(tmp_path), name=name, dependencies=dependencies)
        (migrations / f"{name}.py").write_text(text)
    (tmp_path / "settings_of_test.py").write_text(textwrap.dedent(SETTINGS))
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "a.css").write_text("a {}")
    return Project(tmp_path, database_url)


def last(printed: str) -> str:
    return printed.strip().splitlines()[-1]


def test_checks_then_static_files_then_migrations_and_again_nothing(project: Project) -> None:
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


def test_a_check_stops_it_before_anything(project: Project) -> None:
    plain = {"DJANGO_SECURE_SSL_REDIRECT": "false"}
    code, printed = project.release(**plain)
    assert code == 3
    assert "(security.W008)" in printed
    assert last(printed) == "CommandError: Nothing was changed: the checks above failed."
    assert not project.collected
    assert not project.journal()
    # On purpose, as at a desk, it goes on.
    code, printed = project.release("--fail-level", "ERROR", **plain)
    assert code == 0, printed
    assert len(project.journal()) == 2


def test_a_static_file_that_fails_leaves_the_database_alone(project: Project) -> None:
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
    assert "the database was not touched. [Errno" in last(printed)
    assert "Traceback" not in printed
    assert project.journal() == project.applied() == []


def test_a_database_that_cant_be_reached_stops_it_before_anything(project: Project) -> None:
    nowhere = {"DATABASE_URL": "postgres://site:the-password@127.0.0.1:1/site"}
    code, printed = project.release(**nowhere)
    assert code == 5
    assert last(printed).startswith("CommandError: Nothing was changed: the database can't be reached")
    assert "the-password" not in printed
    assert "Traceback" not in printed
    assert not project.collected
    # Where only S3 can be reached, static files are published all the same.
    code, printed = project.release("--no-migrate", **nowhere)
    assert code == 0, printed
    assert project.collected


def test_a_migration_that_fails_is_named_and_the_next_release_goes_on_there(project: Project) -> None:
    (project.folder / "fail").touch()
    code, printed = project.release("--no-static")
    assert code == 5
    said = last(printed)
    assert said.startswith(
        "CommandError: extra.0001_one failed (RuntimeError: the cause, in two lines). Applied"
    )
    assert "users.0001_initial" in said
    assert "Traceback" not in printed
    assert project.journal() == ["0001_one without static files"]
    (project.folder / "fail").unlink()
    code, printed = project.release("--no-static")
    assert code == 0, printed
    assert "Applying extra.0001_one" in printed
    assert "Applying users.0001_initial" not in printed
    assert project.applied() == ["0001_one", "0002_two"]


@pytest.fixture
def held(project: Project) -> Iterator[Started]:
    """Return a release that is in the middle of a migration until the file `hold` goes."""
    (project.folder / "hold").touch()
    with started("release", "--no-static", **project.environment()) as first:
        project.wait_until_migrating(first)
        yield first


def test_of_two_at_once_one_waits_and_then_has_nothing_to_do(project: Project, held: Started) -> None:
    code, printed = project.release("--no-static", "--wait", 1)
    assert code == 6, printed
    assert last(printed).startswith(
        "CommandError: No migration was applied: another release of this database"
    )

    with started("release", "--no-static", **project.environment()) as second:
        second.wait_for("Another release is at it: waiting 600 s.")
        (project.folder / "hold").unlink()
        assert held.ended() == 0, held.output
        assert second.ended() == 0, second.output
    assert "Migrations: none applied." in second.output
    assert project.journal() == ["0001_one without static files", "0002_two without static files"]


def test_one_that_is_killed_holds_up_nobody(project: Project, held: Started) -> None:
    with started("release", "--no-static", **project.environment()) as second:
        second.wait_for("Another release is at it")
        held.process.kill()
        (project.folder / "hold").unlink()
        assert second.ended() == 0, second.output
    assert project.applied() == ["0001_one", "0002_two"]


def test_static_files_go_to_s3_by_the_same_way_as_with_collectstatic(
    project: Project, s3_site: MakeSite
) -> None:
    site = s3_site()
    with FaultProxy(site.store.endpoint) as proxy:
        on_s3 = {
            "USE_S3": "true",
            "AWS_S3_REGION_NAME": site.store.region,
            "AWS_STATIC_BUCKET_NAME": site.static_bucket,
            "AWS_MEDIA_BUCKET_NAME": site.media_bucket,
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


def test_the_lock_of_sqlite_lies_beside_the_database_and_is_ignored_by_git(tmp_path: Path) -> None:
    database = tmp_path / "db.sqlite3"
    sqlite3.connect(database).close()
    with started("release", "--no-static", **PRODUCTION, DATABASE_URL=f"sqlite:///{database}") as release:
        assert release.ended() == 0, release.output
    assert (tmp_path / "db.sqlite3.release").exists()
    assert "/db.sqlite3*" in (ROOT / ".gitignore").read_text().splitlines()
