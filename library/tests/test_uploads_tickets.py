"""`manage.py s3 tickets` and other cleanup of abandoned uploads, on a real S3 server that counts requests."""

import io
import re
import unicodedata
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django import forms
from django.apps import apps
from django.contrib.auth.models import User
from django.core.files import storage as django_storage
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import TestCase
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from s3kit import uploads
from s3kit.buckets import policies
from s3kit.deployment import Deployment
from s3kit.management.commands import release
from s3kit.uploads import DirectFileField, Kind, leftovers, tickets
from s3kit.uploads.models import Ticket
from tests.fault_proxy import Fault, FaultProxy
from tests.ministack import ActAs, MakeSite, SiteOnS3, anonymous, new_user
from tests.shop.models import Video

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

KIND = Kind(("txt",), 10_000_000, upload_to="texts/")


@pytest.fixture
def site(s3_site: MakeSite) -> SiteOnS3:
    return s3_site()


@pytest.fixture
def proxy(site: SiteOnS3, settings: Any) -> Iterator[FaultProxy]:
    with FaultProxy(site.store.endpoint) as running:
        settings.AWS_S3_ENDPOINT_URL = running.endpoint
        yield running


@pytest.fixture
def user() -> User:
    return User.objects.create_user("editor")


def run(*words: object) -> str:
    """Run the command and return its output."""
    out = io.StringIO()
    call_command("s3", "tickets", *map(str, words), stdout=out)
    return out.getvalue()


def begun(user: User, name: str = "a.txt", size: int = 5) -> Ticket:
    return uploads.begin(user, KIND, name=name, size=size)


def finished(user: User, name: str = "a.txt") -> Ticket:
    ticket = begun(user, name)
    (part,) = uploads.sending(ticket)["parts"]
    assert anonymous(part["url"], "PUT", part["headers"], b"12345").status == 200
    uploads.finish(ticket)
    return ticket


def keys(site: SiteOnS3) -> list[str]:
    named = {"Bucket": site.media_bucket}
    objects = [each["Key"] for each in site.root.list_objects_v2(**named).get("Contents", [])]
    parts = site.root.list_multipart_uploads(**named).get("Uploads", [])
    return objects + [f"parts of {each['Key']}" for each in parts]


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("words", [(), ("--clean",)])
def test_error_about_the_missing_table_names_migrate(words: tuple[str, ...]) -> None:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE s3kit_uploads_ticket RENAME TO elsewhere")
        with pytest.raises(
            CommandError, match=r"\(.*s3kit_uploads_ticket.*\): check .* run `manage.py migrate`\.$"
        ):
            run(*words)
        transaction.set_rollback(True)


def age(hours: float = 72, **which: Any) -> None:
    then = timezone.now() - timedelta(hours=hours)
    Ticket.objects.filter(**which).update(expires_at=then)


def states() -> list[str]:
    return list(Ticket.objects.order_by("created_at").values_list("state", flat=True))


# The list


@pytest.mark.usefixtures("site")
def test_list_has_one_line_for_each_open_or_leftover_upload(user: User) -> None:
    other = User.objects.create_user("x" * 100)
    wide = "\u6620" * 100 + ".txt"
    begun(user, "small.txt")
    begun(other, wide, 6_000_000)
    begun(other, "long " * 40 + "\u202e.txt")
    old = begun(user, "old.txt")
    age(1, pk=old.pk)
    Ticket.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(hours=26))
    uploads.cancel(begun(user, "cancelled.txt"))
    Ticket.objects.filter(name="small.txt").update(storage="s" * 100)
    printed = run()
    lines = printed.splitlines()
    assert max(sum(1 + (unicodedata.east_asian_width(c) == "W") for c in line) for line in lines) <= 100
    assert lines[0].split() == ["id", "user", "file", "size", "state", "age", "storage"]
    assert lines[1].startswith(f"{old.pk.hex[:8]}  editor            old.txt   ")
    assert re.search(r"  5 bytes  leftover     1d  default$", lines[1])
    assert len(lines) == 7
    assert ".txt" in next(line for line in lines if "\u6620" in line)
    columns = {
        sum(1 + (unicodedata.east_asian_width(c) == "W") for c in line.split("open")[0])
        for line in lines[2:5]
    }
    assert columns == {lines[1].index("leftover")}
    assert lines[5:] == ["1 leftover: 5 bytes", "3 open: 5.7 MB"]


@pytest.mark.usefixtures("site")
def test_list_is_filtered_by_user_and_state(user: User) -> None:
    other = User.objects.create_user("other")
    begun(user, "a.txt")
    finished(user, "b.txt")
    age(1, pk=begun(other, "c.txt").pk)
    assert "No uploads are in progress" in run("--user", "other", "--state", "open")
    assert re.findall(r"\w\.txt", run("--user", "editor")) == ["a.txt", "b.txt"]
    assert re.findall(r"\w\.txt", run("--state", "finished", "--state", "leftover")) == ["b.txt", "c.txt"]
    with pytest.raises(CommandError, match="There is no user 'nobody'"):
        run("--user", "nobody")
    other.delete()
    assert f"deleted ({Ticket.objects.get(name='c.txt').user_id})" in run()


@pytest.mark.usefixtures("site")
def test_list_takes_three_queries_for_any_number_of_uploads(user: User) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as made:
            run()
        return len(made)

    begun(user)
    few = queries()
    many(user, 50)
    assert queries() == few == 3


def many(user: User, count: int, **given: Any) -> list[Ticket]:
    """Issue many abandoned tickets."""
    fields: dict[str, Any] = {"rules": {}, "content_type": "text/plain", "size": 5, "storage": "default"}
    fields |= {"expires_at": timezone.now() - timedelta(hours=1), **given}
    return Ticket.objects.bulk_create(
        Ticket(user=user, name=f"{n}.txt", target=f"texts/{uuid.uuid4().hex}.txt", **fields)
        for n in range(count)
    )


def test_error_about_the_missing_app_names_installed_apps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apps, "is_installed", lambda name: name != "s3kit.uploads")
    with pytest.raises(CommandError, match=r'add "s3kit\.uploads" to INSTALLED_APPS'):
        run()


# Abandoned uploads


def test_clean_removes_only_leftovers(site: SiteOnS3, user: User) -> None:
    named = {"Bucket": site.media_bucket}
    never, saved, waits = (
        finished(user, "never.txt"),
        finished(user, "saved.txt"),
        finished(user, "waits.txt"),
    )
    accepted = uploads.sent_file(saved.token, [KIND]).accept(django_storage.default_storage, None)
    half = begun(user, "half.txt", 9_000_000)
    monolith = begun(user, "sent.txt")
    (part,) = uploads.sending(monolith)["parts"]
    anonymous(part["url"], "PUT", part["headers"], b"12345")
    Ticket.objects.filter(pk=half.pk).update(
        upload_id=site.root.create_multipart_upload(**named, Key=half.key)["UploadId"],
        copy_id=site.root.create_multipart_upload(**named, Key=f"media/{half.target}")["UploadId"],
        kept=True,
    )
    for each in (never, saved, half, monolith):
        age(1, pk=each.pk)
    assert len(keys(site)) == 6
    printed = run("--clean")
    assert printed.startswith("3 uploads removed, 0 old tickets deleted, 0 settled, 0 failed;")
    assert sorted(keys(site)) == sorted(f"media/{name}" for name in (accepted, waits.target))
    # The tickets stay for another day, so late requests get the right response.
    with pytest.raises(uploads.ExpiredError):
        uploads.sending(Ticket.objects.get(pk=never.pk))
    for each in (never, saved, half, monolith):
        age(pk=each.pk)
    assert run("--clean").startswith("0 uploads removed, 4 old tickets deleted")
    assert Ticket.objects.get().pk == waits.pk


def test_clean_never_deletes_a_file_with_a_row(site: SiteOnS3, user: User) -> None:
    """Regardless of the ticket's state: here, a row was written without it."""
    ticket = finished(user)
    Video.objects.create(title="Lake", file=ticket.target)
    age(1)
    assert "0 uploads removed" in run("--clean")
    assert (states(), keys(site)) == (["accepted"], [f"media/{ticket.target}"])


def test_clean_sends_one_s3_request_per_batch(
    site: SiteOnS3, user: User, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "BATCH", 20)

    def asked(count: int, **given: Any) -> tuple[int, int]:
        many(user, count, **given)
        before = proxy.count()
        with CaptureQueriesContext(connection) as queries:
            report = leftovers.clean()
        assert report.uploads + report.rows >= count
        assert not Ticket.objects.filter(kept=True).exists()
        return proxy.count() - before, len(queries)

    (one, queries), (three, more) = asked(20, kept=True), asked(60, kept=True)
    assert (one, three) == (1, 3)
    assert more <= 3 * queries
    assert queries < 25
    Ticket.objects.all().delete()
    old = timezone.now() - timedelta(days=3)
    assert asked(60, state="accepted", expires_at=old)[0] == 3
    # With a form, nothing has gone to S3.
    assert asked(60, state="accepted", content_type="", expires_at=old)[0] == 0
    assert keys(site) == []


@pytest.mark.usefixtures("site")
def test_clean_deletes_one_by_one_without_deleteobjects(user: User, proxy: FaultProxy) -> None:
    ticket = finished(user)
    age(1)
    proxy.faults.append(Fault("POST", r"\?delete", status=501, code="NotImplemented"))
    assert "1 uploads removed" in run("--clean")
    assert proxy.count("DELETE", ticket.target) == 1


def test_clean_without_permission_stops_and_names_the_policy(
    site: SiteOnS3, user: User, act_as: ActAs, monkeypatch: pytest.MonkeyPatch, proxy: FaultProxy
) -> None:
    monkeypatch.setattr(leftovers, "BATCH", 2)
    finished(user)
    many(user, 5, kept=True)
    age(1)
    act_as(new_user(site.store, policies.document(policies.deploy(Deployment.load()))))
    before = proxy.count("POST", r"\?delete")
    with pytest.raises(CommandError, match=r"Files of 6 uploads were not removed:(?s:.*)policy --role web"):
        run("--clean")
    assert proxy.count("POST", r"\?delete") - before == 1
    assert set(states()) == {"cancelled"}
    act_as(site.key)
    assert "6 uploads removed" in run("--clean")
    assert keys(site) == []


def test_clean_names_a_storage_that_no_longer_exists(user: User, site: SiteOnS3) -> None:
    many(user, 1, storage="videos")
    many(user, 1)
    with pytest.raises(CommandError, match=r"uploads were not removed:(?s:.*)videos"):
        run("--clean")
    assert sorted(Ticket.objects.values_list("storage", "kept")) == [("default", False), ("videos", True)]
    assert keys(site) == []


# Ending uploads


def test_expire_ends_the_chosen_uploads_now(site: SiteOnS3, user: User) -> None:
    first, second = finished(user), begun(user, "b.txt")
    others = finished(User.objects.create_user("other"))
    assert "1 uploads removed" in run("--expire", first.pk.hex[:8])
    with pytest.raises(uploads.ExpiredError):
        uploads.sent_file(first.token, [KIND])
    assert sorted(keys(site)) == [f"media/{others.target}"]
    assert "1 uploads removed" in run("--user", "editor", "--expire")
    assert states() == ["cancelled", "cancelled", "finished"]
    assert "0 uploads removed" in run("--user", "editor", "--expire")
    second.refresh_from_db()
    assert second.expires_at <= timezone.now()


@pytest.mark.usefixtures("site")
def test_expire_skips_uploads_that_a_process_is_using(user: User) -> None:
    ticket = begun(user)
    Ticket.objects.update(state="claimed", claim=uuid.uuid4(), claimed_at=timezone.now())
    assert "1 skipped, because another process is using them" in run("--expire", ticket.pk)
    assert states() == ["claimed"]
    Ticket.objects.update(claimed_at=timezone.now() - tickets.CLAIM_LIFE)
    assert "1 uploads removed" in run("--expire", ticket.pk)


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--expire"], "--expire needs the IDs"),
        (["--expire", "12345"], "is not the ID of an upload"),
        (["--expire", "zzzzzzzz"], "is not the ID of an upload"),
        (["--expire", "00000000"], "has the ID 00000000"),
        (["--clean", "--user", "editor"], "leave out --user"),
        (["--clean", "--expire", "00000000"], "not allowed with"),
        (["--state", "new"], "invalid choice"),
    ],
    ids=" ".join,
)
def test_invalid_options_are_rejected(user: User, words: list[str], says: str) -> None:
    begun(user)
    with pytest.raises(CommandError, match=says):
        run(*words)


@pytest.mark.usefixtures("site")
def test_ambiguous_id_is_rejected(user: User) -> None:
    for _ in range(2):
        many(user, 1, id=uuid.UUID("3f2a90c1" + uuid.uuid4().hex[8:]))
    with pytest.raises(CommandError, match="begin with 3f2a90c1: add more digits"):
        run("--expire", "3f2a90c1")


# Tests that a site's developers write


class VideoForm(forms.ModelForm):
    file = DirectFileField(types=["txt"])

    class Meta:
        model = Video
        fields = ("title", "file")


class TestInATestCase(TestCase):
    """TestCase runs each test in a transaction, which must not count as one of the site's."""

    @pytest.fixture(autouse=True)
    def on_s3(self, site: SiteOnS3) -> None:
        self.site = site

    def test_posted_form_accepts_the_upload(self) -> None:
        told: list[str] = []
        form = VideoForm()
        form["file"]  # completes the rules
        ticket = uploads.begin(User.objects.create(), form.fields["file"].kinds[0], name="a.txt", size=5)
        (part,) = uploads.sending(ticket)["parts"]
        anonymous(part["url"], "PUT", part["headers"], b"12345")
        with transaction.atomic(), pytest.raises(RuntimeError, match="within a transaction"):
            uploads.finish(ticket)
        uploads.finish(ticket)
        uploads.accepted.connect(lambda name, **_: told.append(name), weak=False, dispatch_uid="test")
        with self.captureOnCommitCallbacks(execute=True):
            VideoForm({"title": "Lake", "file": ticket.token}).save()
        uploads.accepted.disconnect(dispatch_uid="test")
        assert told == [Video.objects.get().file.name] == [ticket.target]
        assert states() == ["accepted"]
        assert "has already been accepted" in str(VideoForm({"title": "River", "file": ticket.token}).errors)


# Requests and releases


def test_begin_deletes_only_the_users_old_tickets_without_s3(
    site: SiteOnS3, user: User, proxy: FaultProxy
) -> None:
    mine, others = finished(user), finished(User.objects.create_user("other"))
    many(user, 3, state="accepted")
    age()
    before, found = proxy.count(), keys(site)
    begun(user)
    assert (proxy.count(), keys(site)) == (before, found)
    assert Ticket.objects.filter(pk__in=[mine.pk, others.pk]).count() == 2
    assert Ticket.objects.count() == 3  # the user's own finished tickets are deleted


def test_clean_removes_files_of_a_deleted_user(site: SiteOnS3, user: User) -> None:
    ticket = finished(user)
    user.delete()
    with pytest.raises(uploads.UnknownTicketError):
        uploads.sent_file(ticket.token, [KIND])
    with pytest.raises(uploads.UnknownTicketError), uploads.accepting(reopened(ticket)):
        pass
    age()
    run("--clean")
    assert (keys(site), states()) == ([], [])


def reopened(ticket: Ticket) -> Ticket:
    Ticket.objects.filter(pk=ticket.pk).update(state="open")
    return Ticket.objects.get()


def released(monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[str, str]:
    """Run a release without its other steps."""
    monkeypatch.setattr(release.Command, "run_checks", lambda *_args, **_more: None)
    monkeypatch.setattr(release.Command, "migrate", lambda *_args: None)
    out, err = io.StringIO(), io.StringIO()
    call_command("release", "--no-static", *words, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_release_cleans_up_and_never_fails_because_of_it(
    site: SiteOnS3, user: User, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(user)
    assert released(monkeypatch) == ("Released.\n", "")
    age()
    assert released(monkeypatch, "--dry-run") == ("Nothing was changed.\n", "")
    assert len(keys(site)) == 1
    proxy.faults.append(Fault("POST", r"\?delete", status=403, code="AccessDenied"))
    out, err = released(monkeypatch)
    assert out.splitlines()[-1] == "Released."
    assert "Files of 1 uploads were not removed:" in err
    assert "AccessDenied" in err
    proxy.clear()
    out, err = released(monkeypatch)
    assert "Uploads: 1 uploads removed, 1 old tickets deleted" in out
    assert (err, keys(site)) == ("", [])
    monkeypatch.setattr(leftovers, "clean", lambda **_given: 1 / 0)
    out, err = released(monkeypatch)
    assert out.splitlines()[-1] == "Released."
    assert "were not deleted (ZeroDivisionError" in err


@pytest.mark.usefixtures("site")
def test_release_limits_the_time_for_cleaning_up(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    many(user, 3)
    monkeypatch.setattr(release, "CLEAN_SECONDS", -1)
    assert released(monkeypatch) == ("Released.\n", "")
    assert states() == ["open"] * 3
    monkeypatch.setattr(release, "CLEAN_SECONDS", 30)
    assert "3 uploads removed" in released(monkeypatch)[0]
