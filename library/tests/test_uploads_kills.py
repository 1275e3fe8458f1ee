"""Uploads in real processes that run concurrently or are killed: one row or none, and no file without a row.

Runs on SQLite, and on the PostgreSQL server in TEST_DATABASE_URL or a new one.
"""

import importlib.util
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.ministack import MakeSite, SiteOnS3
from tests.processes import ROOT, until
from tests.uploading import Site, running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Return the URL of a PostgreSQL server."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield given
        return
    # It is in the template's tests, whose package has the same name as this one.
    spec = importlib.util.spec_from_file_location("tests_postgres", ROOT.parent / "tests" / "postgres.py")
    assert spec
    assert spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.running_postgres() as server:
        yield server.url()


@pytest.fixture
def on_s3(s3_site: MakeSite) -> SiteOnS3:
    return s3_site()


def environment(on_s3: SiteOnS3) -> dict[str, str]:
    return {
        "AWS_S3_REGION_NAME": on_s3.store.region,
        "STATIC_BUCKET": on_s3.static_bucket,
        "MEDIA_BUCKET": on_s3.media_bucket,
        "AWS_S3_ENDPOINT_URL": on_s3.store.endpoint,
        "AWS_ACCESS_KEY_ID": on_s3.key.id,
        "AWS_SECRET_ACCESS_KEY": on_s3.key.secret,
    }


@pytest.fixture
def on_sqlite(tmp_path: Path, on_s3: SiteOnS3) -> Iterator[Site]:
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "db.sqlite3")}
    with running(tmp_path, database, **environment(on_s3)) as site:
        yield site


@pytest.fixture
def on_postgres(tmp_path: Path, on_s3: SiteOnS3, postgres_url: str) -> Iterator[Site]:
    name, url = f"test_{secrets.token_hex(6)}", urlsplit(postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    where = {"USER": url.username, "PASSWORD": url.password, "HOST": url.hostname, "PORT": url.port}
    database = {"ENGINE": "django.db.backends.postgresql", "NAME": name} | where
    with running(tmp_path, database, **environment(on_s3)) as site:
        yield site
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgres"])
def site(request: pytest.FixtureRequest) -> Site:
    found: Site = request.getfixturevalue(f"on_{request.param}")
    return found


def keys(on_s3: SiteOnS3) -> list[str]:
    """Return the bucket's content, including parts of uploads."""
    named = {"Bucket": on_s3.media_bucket}
    objects = [each["Key"] for each in on_s3.root.list_objects_v2(**named).get("Contents", [])]
    uploads = on_s3.root.list_multipart_uploads(**named).get("Uploads", [])
    return objects + [f"parts of {each['Key']}" for each in uploads]


def cleaned_up(site: Site, on_s3: SiteOnS3) -> dict[str, str]:
    """Let days pass, clean up, and check that only files with rows are left. Return these by title."""
    site.call("age")
    report = site.call("clean")
    assert report["errors"] == {}
    found = site.call("look")
    assert found["states"] == []
    rows: dict[str, str] = found["rows"]
    assert sorted(keys(on_s3)) == sorted(f"media/{name}" for name in rows.values())
    site.call("forget")
    for name in rows.values():
        on_s3.root.delete_object(Bucket=on_s3.media_bucket, Key=f"media/{name}")
    return rows


FINISHING = {
    "claimed": "Pending.head",
    "completed": "Pending.complete",
    "checked": "Kind.checked",
    "copy begun": "Accepting._copying",
    "copying": "UploadPartCopy",
    "copied": "Pending.copy",
    "finished": "Accepting.finished",
}


def test_kill_during_finish_can_be_retried(site: Site, on_s3: SiteOnS3) -> None:
    for step, method in FINISHING.items():
        again, never = site.call("sent"), site.call("sent")
        assert [site.call("finish", each, kill=method) for each in (again, never)] == [-9, -9], step
        if step != "finished":
            assert site.call("finish", again) == "in_progress", step
        assert site.call("finish", again, late=True) == "finished", step
        assert site.call("post", again, "Lake") == "saved", step
        assert list(cleaned_up(site, on_s3)) == ["Lake"], step


SAVING = {"ticket closed": "DirectFile.accept", "row written": "Video._do_insert"}


@pytest.mark.parametrize("atomic", ["", "default"], ids=["autocommit", "transaction"])
def test_kill_during_save_leaves_no_file_without_a_row(site: Site, on_s3: SiteOnS3, atomic: str) -> None:
    for step, method in SAVING.items():
        tokens = again, never = site.call("sent"), site.call("sent")
        for token in tokens:
            assert site.call("finish", token) == "finished"
        for token, title in ((again, "Lake"), (never, "River")):
            assert site.call("post", token, title, atomic=atomic, kill=method) == -9, step
        written = step == "row written" and not atomic
        assert list(site.call("look")["rows"]) == (["Lake", "River"] if written else [])
        if not atomic:
            assert site.call("post", again, "Lake again", atomic=atomic) == "in_progress", step
        said = site.call("post", again, "Lake again", atomic=atomic, late=True)
        assert said == ("accepted" if written else "saved"), step
        rows = cleaned_up(site, on_s3)
        assert list(rows) == (["Lake", "River"] if written else ["Lake again"]), step


def test_kill_after_the_commit_keeps_the_row(site: Site, on_s3: SiteOnS3) -> None:
    token = site.call("sent")
    assert site.call("finish", token) == "finished"
    pid = site.start("post", token, "Lake", atomic="default", kill="DirectFile._announce")
    assert site.result(pid) == -9
    assert site.call("post", token, "River") == "accepted"
    assert list(cleaned_up(site, on_s3)) == ["Lake"]


def test_concurrent_finish_is_rejected_as_in_progress(site: Site, on_s3: SiteOnS3) -> None:
    token = site.call("sent")
    first = site.start("finish", token, hold="go")
    until((site.folder / "go-checks").exists)
    assert site.call("finish", token) == "in_progress"
    (site.folder / "go").touch()
    assert site.result(first) == "finished"
    assert site.call("finish", token) == "finished"
    assert [key.partition("/")[0] for key in keys(on_s3)] == ["media"]


def test_only_one_of_two_concurrent_saves_succeeds(site: Site, on_s3: SiteOnS3) -> None:
    token = site.call("sent")
    site.call("finish", token)
    both = [site.start("post", token, title, hold_valid="go") for title in ("Lake", "River")]
    for title in ("Lake", "River"):
        until((site.folder / f"{title}-valid").exists)
    (site.folder / "go").touch()
    said = sorted(site.result(each) for each in both)
    assert said[1] == "saved"
    assert said[0] in {"accepted in save", "in_progress in save"}
    assert len(cleaned_up(site, on_s3)) == 1


def test_concurrent_save_in_a_transaction_waits_and_is_invalid(on_postgres: Site, on_s3: SiteOnS3) -> None:
    site = on_postgres
    token = site.call("sent")
    site.call("finish", token)
    first = site.start("post", token, "Lake", atomic="default", hold="go")
    until((site.folder / "Lake-saved").exists)
    second = site.start("post", token, "River", atomic="default")
    until(lambda: site.call("waiting"))
    (site.folder / "go").touch()
    assert [site.result(first), site.result(second)] == ["saved", "accepted"]
    assert list(cleaned_up(site, on_s3)) == ["Lake"]


def test_clean_skips_a_ticket_in_an_open_transaction(on_postgres: Site, on_s3: SiteOnS3) -> None:
    """The ticket expires during the open transaction. Deleting it would leave a row without its file."""
    site = on_postgres
    tokens = [site.call("sent") for _ in range(2)]
    for token in tokens:
        site.call("finish", token)
    held = site.start("post", tokens[0], "Lake", atomic="default", hold="go")
    until((site.folder / "Lake-saved").exists)
    report = site.call("clean", ahead=True)
    assert report["uploads"] == 1
    (site.folder / "go").touch()
    assert site.result(held) == "saved"
    assert list(cleaned_up(site, on_s3)) == ["Lake"]


def test_bulk_create_follows_its_transaction(on_sqlite: Site, on_s3: SiteOnS3) -> None:
    site = on_sqlite
    for fail in (True, False):
        token = site.call("sent")
        site.call("finish", token)
        assert site.call("post", token, "Lake", bulk=True, atomic="default", fail=fail) == "saved"
        assert site.call("look")["states"][-1] == ("finished" if fail else "accepted")
    assert list(cleaned_up(site, on_s3)) == ["Lake"]


@pytest.fixture
def on_several(tmp_path: Path, on_s3: SiteOnS3) -> Iterator[Site]:
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "db.sqlite3")}
    with running(tmp_path, database, SEVERAL_DATABASES="1", **environment(on_s3)) as site:
        yield site


@pytest.mark.parametrize("atomic", ["", "default", "videos", "tickets"])
def test_rows_and_tickets_in_several_databases_stay_consistent(
    on_several: Site, on_s3: SiteOnS3, atomic: str
) -> None:
    """A failed transaction on one database must not separate a row from its ticket on another."""
    site, count = on_several, 0
    for bulk in (False, True):
        for fail in (False, True) if atomic else (False,):
            # Bulk operations send no signal with the database, as docs/uploads.md says.
            if bulk and (atomic == "tickets" or (fail and atomic == "videos")):
                continue
            count += 1
            token = site.call("sent")
            assert site.call("finish", token) == "finished"
            options = {"atomic": atomic, "fail": fail, "bulk": bulk}
            assert site.call("post", token, f"Video {count}", **options) == "saved"
    rows = site.call("look")["rows"]
    assert len(rows) == {"": 2, "default": 4, "videos": 2, "tickets": 2}[atomic]
    assert cleaned_up(site, on_s3) == rows


@pytest.mark.parametrize("step", SAVING.values(), ids=SAVING)
def test_kill_with_several_databases_leaves_no_orphans(on_several: Site, on_s3: SiteOnS3, step: str) -> None:
    site = on_several
    for atomic in ("", "videos", "tickets"):
        token = site.call("sent")
        site.call("finish", token)
        assert site.call("post", token, "Lake", atomic=atomic, kill=step) == -9
        written = step != "DirectFile.accept" and atomic != "videos"
        assert list(cleaned_up(site, on_s3)) == (["Lake"] if written else []), atomic
