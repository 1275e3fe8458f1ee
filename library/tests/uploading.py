"""A site whose processes upload files and are killed at a given step: `Site` for tests, `serve` in its process.

The process reads function calls, as one JSON line per call, and forks a child for each.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import s3kit
from tests.processes import ROOT, environment

LARGE = bytes(range(256)) * 20  # 5 parts, and 3 parts of the copy


class Site:
    """The running process. `call` returns what a function returns; `start` returns at once."""

    def __init__(self, folder: Path, database: dict[str, Any], **more: str) -> None:
        own = {"TEST_FOLDER": str(folder), "DATABASE": json.dumps(database), "USE_S3": "true", **more}
        own["PYTHONPATH"] = str(Path(s3kit.__file__).parents[1])
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.uploading"],
            cwd=ROOT,
            env=environment(DJANGO_SETTINGS_MODULE="tests.uploading_settings", **own),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, function: str, *args: Any, **options: Any) -> int:
        """Call a function in a separate process, and return its PID."""
        return int(self._asked({"call": function, "args": args, "options": options}))

    def result(self, pid: int) -> Any:
        """Wait for a process. Return what its function returned, or minus the signal that killed it."""
        return self._asked({"wait": pid})

    def call(self, function: str, *args: Any, **options: Any) -> Any:
        return self.result(self.start(function, *args, **options))

    def _asked(self, question: dict[str, Any]) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the site's process has ended"
        return json.loads(answer)


@contextmanager
def running(folder: Path, database: dict[str, Any], **more: str) -> Iterator[Site]:
    site = Site(folder, database, **more)
    try:
        yield site
    finally:
        site.process.kill()
        site.process.communicate(timeout=60)


class Router:
    """Videos and tickets have databases of their own."""

    PLACES = {"shop": "videos", "s3kit_uploads": "tickets"}  # noqa: RUF012

    def db_for_write(self, model: Any, **_hints: Any) -> str:
        return self.PLACES.get(model._meta.app_label, "default")

    db_for_read = db_for_write

    def allow_migrate(self, db: str, app_label: str, **_hints: Any) -> bool:
        return self.PLACES.get(app_label, "default") == db


def serve() -> None:
    """Handle the calls from `Site`."""
    import django

    django.setup()
    from django.core.files.storage import default_storage
    from django.core.management import call_command
    from django.db import connections

    from s3kit import clients
    from s3kit.uploads import acceptance, leftovers  # noqa: F401

    _small_parts()
    for alias in connections:
        call_command("migrate", verbosity=0, database=alias)
        # The shop has no migrations, but refers to tables with migrations.
        call_command("migrate", run_syncdb=True, verbosity=0, database=alias)
    connections.close_all()
    _form("", "").as_p()
    clients.web(default_storage.target)  # type: ignore[attr-defined]  # before the fork, since it takes longest
    results: dict[int, int] = {}
    for line in sys.stdin:
        question = json.loads(line)
        if "call" in question:
            reading, writing = os.pipe()
            if not (answer := os.fork()):
                _child(writing, **question)
            os.close(writing)
            results[answer] = reading
        else:
            with os.fdopen(results.pop(question["wait"])) as result:
                said = result.read()
            code = os.waitstatus_to_exitcode(os.waitpid(question["wait"], 0)[1])
            answer = code if code else json.loads(said)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _child(writing: int, call: str, args: list[Any], options: dict[str, Any]) -> None:
    code = 1
    try:
        if step := options.pop("kill", None):
            _kill_after(step)
        if options.pop("late", False):
            from s3kit.uploads import tickets

            tickets.CLAIM_LIFE = timedelta(seconds=-1)
        answer = json.dumps(globals()[call](*args, **options))
        os.write(writing, answer.encode())
        code = 0
    except BaseException:  # noqa: BLE001 -- reported to the parent process
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _small_parts() -> None:
    from s3kit.uploads import pending, tickets

    tickets.PART_FROM = tickets.PART = tickets.MIB = 1024
    pending.COPY_MOST = pending.COPY_PART = 2048


def _kill_after(step: str) -> None:
    """Kill this process with SIGKILL after a step: "Class.method" or an S3 operation."""
    from s3kit.uploads.acceptance import Accepting
    from s3kit.uploads.files import DirectFile
    from s3kit.uploads.kinds import Kind
    from s3kit.uploads.pending import Pending
    from tests.shop.models import Video

    def kill(*_args: Any, **_kwargs: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    owner, _dot, name = step.partition(".")
    if not name:
        from django.core.files.storage import default_storage

        from s3kit import clients

        storage: Any = default_storage
        clients.working(storage.target).meta.events.register(f"after-call.s3.{step}", kill)
        return
    classes = {each.__name__: each for each in (Accepting, DirectFile, Video, Kind, Pending)}
    original = getattr(classes[owner], name)

    def killing(*args: Any, **kwargs: Any) -> None:
        original(*args, **kwargs)
        kill()

    setattr(classes[owner], name, killing)


def _wait_for(name: str) -> None:
    end, path = time.monotonic() + 60, Path(os.environ["TEST_FOLDER"], name)
    while not path.exists():
        assert time.monotonic() < end, f"{name} did not come"
        time.sleep(0.01)


def _say(name: str) -> None:
    Path(os.environ["TEST_FOLDER"], name).touch()


# Functions for calls


def checked(file: Any) -> None:
    """The form field's check, which can wait for a test."""
    assert file.read() == LARGE
    if hold := os.environ.get("HOLD"):
        _say(f"{hold}-checks")
        _wait_for(hold)


def _form(token: str, title: str) -> Any:
    from django import forms

    from s3kit.uploads import DirectFileField
    from tests.shop.models import Video

    class VideoForm(forms.ModelForm):
        file = DirectFileField(types=["mp4"], check="tests.uploading.checked")

        class Meta:
            model = Video
            fields = ("title", "file")

    return VideoForm({"title": title, "file": token})


def sent() -> str:
    """Send a file as a browser does, and return its token."""
    from django.contrib.auth.models import User

    from s3kit import uploads
    from tests.ministack import anonymous

    form = _form("", "")
    form["file"]  # completes the rules
    user, _new = User.objects.get_or_create(username="editor")
    ticket = uploads.begin(user, form.fields["file"].kinds[0], name="video.mp4", size=len(LARGE))
    for part in uploads.sending(ticket)["parts"]:
        body = LARGE[part["start"] : part["end"]]
        assert anonymous(part["url"], "PUT", part["headers"], body).status == 200
    return ticket.token


def finish(token: str, hold: str = "") -> str:
    """Finish an upload. Return its state, or the code of the error."""
    from s3kit import uploads
    from s3kit.uploads.models import Ticket

    if hold:
        os.environ["HOLD"] = hold
    ticket = Ticket.of_token(token)
    assert ticket
    try:
        uploads.finish(ticket)
    except uploads.UploadError as error:
        return error.code
    return str(ticket.state)


def post(
    token: str,
    title: str,
    *,
    atomic: str = "",
    fail: bool = False,
    bulk: bool = False,
    hold_valid: str = "",
    hold: str = "",
) -> str:
    """Post the form. Return "saved", the code of the form's error, or that of the error of `save`.

    `atomic` is the alias of the database with a transaction; with `fail`, the transaction fails at the end.
    """
    from django.db import transaction

    from s3kit import uploads
    from tests.shop.models import Video

    with suppress(ZeroDivisionError), transaction.atomic(using=atomic) if atomic else nullcontext():
        form = _form(token, title)
        if not form.is_valid():
            return str(form.errors.as_data()["file"][0].code)
        if hold_valid:
            _say(f"{title}-valid")
            _wait_for(hold_valid)
        try:
            if bulk:
                Video.objects.bulk_create([form.save(commit=False)])
            else:
                form.save()
        except uploads.UploadError as error:
            return f"{error.code} in save"
        if hold:
            _say(f"{title}-saved")
            _wait_for(hold)
        if fail:
            raise ZeroDivisionError
    return "saved"


def waiting() -> int:
    """Return the number of PostgreSQL sessions that wait for a lock."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return int(cursor.fetchone()[0])


def age() -> None:
    """Let days pass."""
    from django.utils import timezone

    from s3kit.uploads.models import Ticket

    long_ago = timezone.now() - timedelta(days=3)
    Ticket.objects.update(expires_at=long_ago)
    Ticket.objects.exclude(claimed_at=None).update(claimed_at=long_ago)


def clean(*, ahead: bool = False) -> dict[str, Any]:
    """Clean up; with `ahead`, as if a day later."""
    from unittest import mock

    from django.utils import timezone

    from s3kit.uploads import leftovers

    later = timezone.now() + timedelta(days=1)
    with mock.patch.object(leftovers.timezone, "now", return_value=later) if ahead else nullcontext():
        return {**vars(leftovers.clean()), "started": 0}


def look() -> dict[str, Any]:
    """Return the names of the rows' files by title, and the tickets' states."""
    from s3kit.uploads.models import Ticket
    from tests.shop.models import Video

    states = list(Ticket.objects.order_by("created_at").values_list("state", flat=True))
    return {"rows": dict(Video.objects.values_list("title", "file")), "states": states}


def forget() -> None:
    from s3kit.uploads.models import Ticket
    from tests.shop.models import Video

    Video.objects.all().delete()
    Ticket.objects.all().delete()


if __name__ == "__main__":
    serve()
