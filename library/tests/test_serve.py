"""`manage.py s3 serve` and `s3 run`, as somebody at a desk starts and ends them."""

import configparser
import os
import re
import shlex
import signal
import socket
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from s3kit.local import server as embedded
from tests.ministack import anonymous
from tests.processes import ROOT, Started, environment, free_port, started, until

pytestmark = pytest.mark.slow

DESK = {"region": "us-east-1", "static": "desk-static", "media": "desk-media"}


@contextmanager
def serving(data: Path, port: int = 0, **more: Any) -> Iterator[tuple[Started, str]]:
    with started("s3", "serve", "--port", port, "--data", data, **more) as serve:
        yield serve, serve.wait_for(r"listens on (http://127\.0\.0\.1:\d+),")[1]


def site_client(endpoint: str, data: Path, secret: str = "") -> Any:
    """Return a client with the key that `serve` has kept for the site."""
    key = kept_key(data)
    return botocore.session.get_session().create_client(
        "s3",
        region_name=DESK["region"],
        endpoint_url=endpoint,
        aws_access_key_id=key["aws_access_key_id"],
        aws_secret_access_key=secret or key["aws_secret_access_key"],
        config=Config(s3={"addressing_style": "path"}),
    )


def kept_key(data: Path) -> dict[str, str]:
    parser = configparser.ConfigParser()
    parser.read(data / "credentials")
    return dict(parser["default"])


def is_ended(endpoint: str) -> bool:
    with socket.socket() as knock:
        return knock.connect_ex(("127.0.0.1", int(endpoint.rsplit(":", 1)[1]))) != 0


def processes_of(data: Path) -> list[str]:
    """Return the processes that have the folder as their working directory, which only MiniStack has."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == data.resolve():
                found.append(process.name)
        except OSError:
            continue
    return found


def test_uploads_and_the_key_survive_a_restart(tmp_path: Path) -> None:
    data = tmp_path / "var" / "s3"
    with serving(data) as (serve, endpoint):
        site_client(endpoint, data).put_object(
            Bucket=DESK["media"], Key="media/a.png", Body=b"a", ContentType="image/png"
        )
        site_client(endpoint, data).put_object(Bucket=DESK["static"], Key="static/a.css", Body=b"a")
        assert anonymous(f"{endpoint}/desk-static/static/a.css").status == 200
        assert anonymous(f"{endpoint}/desk-media/media/a.png").status == 403
        key = kept_key(data)
        assert stat.S_IMODE((data / "credentials").stat().st_mode) == 0o600
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        assert processes_of(data)
        assert serve.end() == 0
        assert is_ended(endpoint)
        assert processes_of(data) == []
    assert len(serve.output.splitlines()) == 1
    with serving(data) as (serve, endpoint):
        assert kept_key(data) == key
        got = site_client(endpoint, data).get_object(Bucket=DESK["media"], Key="media/a.png")
        assert (got["Body"].read(), got["ContentType"]) == (b"a", "image/png")
        assert anonymous(f"{endpoint}/desk-static/static/a.css").status == 200
        assert anonymous(f"{endpoint}/desk-media/media/a.png").status == 403
        assert serve.end(signal.SIGINT) == 0
    assert key["aws_secret_access_key"] not in serve.output + (data / "ministack.log").read_text("utf-8")


def test_it_enforces_signatures(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, endpoint):
        key = kept_key(tmp_path)
        s3 = site_client(endpoint, tmp_path, secret="wrong")
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            s3.list_objects_v2(Bucket=DESK["media"])
    assert key["aws_secret_access_key"] not in repr(embedded.Key("id", key["aws_secret_access_key"]))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_nothing_is_left_when_it_is_killed_and_it_heals(tmp_path: Path) -> None:
    with serving(tmp_path) as (serve, endpoint):
        site_client(endpoint, tmp_path).put_object(Bucket=DESK["media"], Key="media/a", Body=b"a")
        serve.end(signal.SIGKILL)
        until(lambda: is_ended(endpoint) and not processes_of(tmp_path))
    with serving(tmp_path) as (serve, endpoint):
        # And when it is MiniStack that is killed, its state unsaved:
        (child,) = processes_of(tmp_path)
        os.kill(int(child), signal.SIGKILL)
        assert serve.process.wait(60) == 1
        until(lambda: "MiniStack ended by itself with code -9" in serve.output)
    with serving(tmp_path) as (serve, endpoint):
        got = site_client(endpoint, tmp_path).get_object(Bucket=DESK["media"], Key="media/a")
        assert got["Body"].read() == b"a"
        assert anonymous(f"{endpoint}/desk-media/media/a").status == 403
        assert serve.end() == 0


def test_two_run_beside_each_other_but_not_on_one_folder(tmp_path: Path) -> None:
    with serving(tmp_path / "one") as (_, one), serving(tmp_path / "two") as (_, two):
        assert one != two
        message = refused("--data", tmp_path / "one", "--port", "0")
        assert message == f"Another embedded S3 is running on {tmp_path / 'one'}: end it first"


def refused(*words: object, **more: str) -> str:
    """Return the one line that `serve` ends with instead of starting."""
    with started("s3", "serve", *words, **more) as serve:
        assert serve.process.wait(60) == 1
        serve._reader.join(60)
    (line,) = serve.output.splitlines()
    assert line.startswith("CommandError: ")
    return line.removeprefix("CommandError: ")


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = refused("--data", tmp_path, "--port", port)
    assert message == f"Port {port} of 127.0.0.1 is taken: name another, or 0 for any free one"


@pytest.mark.parametrize("below", ["", "below"])
def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    data = tmp_path / "file" / below
    message = refused("--data", data, "--port", "0")
    assert message.startswith(f"The embedded S3 cannot write to {data}: ")


def test_without_ministack_it_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        textwrap.dedent("""
            import importlib.util
            find = importlib.util.find_spec
            importlib.util.find_spec = lambda name, *more: None if name == "ministack" else find(name, *more)
        """),
        "utf-8",
    )
    message = refused("--data", tmp_path / "data", "--port", "0", PYTHONPATH=str(tmp_path))
    assert message == "MiniStack, a tool for development, is not installed here: run uv sync"


def test_it_listens_on_loopback_unless_told_and_the_site_always_asks_there(tmp_path: Path) -> None:
    key = embedded.Key("ROOT", "secret")
    assert embedded.environment(tmp_path, 9000, "us-east-1", key)["BIND_HOST"] == "127.0.0.1"
    with started("s3", "serve", "--bind", "192.0.2.1", "--data", tmp_path) as serve:
        assert serve.process.wait(60) == 2
        serve._reader.join(60)
    assert "invalid choice: '192.0.2.1'" in serve.output


def test_an_aws_profile_of_the_shell_stays_out_of_it(tmp_path: Path) -> None:
    real: dict[str, Any] = {
        "AWS_PROFILE": "production",
        "AWS_ACCESS_KEY_ID": "AKIAREAL",
        "AWS_SECRET_ACCESS_KEY": "real-secret",
    }
    with serving(tmp_path, **real, HTTP_PROXY="http://127.0.0.1:9") as (serve, _):
        hint = serve.output
        assert "env -u AWS_PROFILE -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY USE_S3=true" in hint
        (child,) = processes_of(tmp_path)
        inherited = Path(f"/proc/{child}/environ").read_bytes()
        assert b"AKIAREAL" not in inherited
        assert b"real-secret" not in inherited
        assert serve.end() == 0


def test_the_line_it_prints_is_how_the_site_uses_it(tmp_path: Path) -> None:
    with serving(tmp_path, AWS_PROFILE="production") as (serve, _):
        words = shlex.split(serve.output.strip().split(" uses it so: ")[1])
        assert words[-3:] == ["python", "manage.py", "runserver"]
        code = (
            "from django.core.files.storage import storages as s;"
            "from django.core.files.base import ContentFile;"
            "n = s['default'].save('a.txt', ContentFile(b'hello')); print(s['default'].open(n).read())"
        )
        done = subprocess.run(
            [*words[:-3], sys.executable, "manage.py", "shell", "-c", code],
            env=environment(AWS_PROFILE="production"),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "b'hello'" in done.stdout, done.stderr


# The site on it


@contextmanager
def site_running(tmp_path: Path, *words: object, **more: str) -> Iterator[tuple[Started, str, str]]:
    """Run `s3 run`; yield it with the site's address and S3's."""
    database = f"sqlite:///{tmp_path / 'db.sqlite3'}"
    port = free_port()
    command = ["s3", "run", "--port", port, "--s3-port", 0, "--data", tmp_path / "s3", *words]
    with started(*command, DATABASE_URL=database, **more) as run:
        endpoint = run.wait_for(r"embedded S3 at (http://127\.0\.0\.1:\d+),")[1]
        until(lambda: not is_ended(f"http://127.0.0.1:{port}") or run.process.poll() is not None)
        yield run, f"http://127.0.0.1:{port}", endpoint


def stylesheet(address: str) -> str:
    page = anonymous(f"{address}/accounts/login/")
    assert page.status == 200
    found = re.search(r'"([^"]+\.css)"', page.body.decode())
    assert found
    return found[1]


SAVE = (
    'shell -c "from django.core.files.storage import storages as s;'
    "from django.core.files.base import ContentFile;"
    "n = s['default'].save('a.txt', ContentFile(b'hello')); print('saved', s['default'].url(n))\""
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_at_the_desk_uploads_go_to_s3_and_static_files_come_from_the_source(
    tmp_path: Path, number: signal.Signals
) -> None:
    hostile = {"AWS_PROFILE": "production", "AWS_ACCESS_KEY_ID": "AKIAREAL", "AWS_SECRET_ACCESS_KEY": "real"}
    hostile["HTTP_PROXY"] = hostile["http_proxy"] = "http://127.0.0.1:9"
    with site_running(tmp_path, "--first", SAVE, **hostile) as (run, address, endpoint):
        css = stylesheet(address)
        assert css.startswith("/static/")
        assert anonymous(address + css).status == 200
        upload = re.search(r"saved (\S+)", run.output)
        assert upload
        assert upload[1].startswith(f"{endpoint}/desk-media/media/")
        assert anonymous(upload[1]).body == b"hello"
        assert anonymous(upload[1].split("?")[0]).status == 403
        run.end(number)
        until(lambda: is_ended(address) and is_ended(endpoint) and not processes_of(tmp_path / "s3"))
    assert "Traceback" not in run.output
    assert "AKIAREAL" not in run.output


def test_with_debug_off_static_files_come_from_s3_too(tmp_path: Path) -> None:
    with site_running(tmp_path, "--no-debug") as (run, address, endpoint):
        css = stylesheet(address)
        assert css.startswith(f"{endpoint}/desk-static/static/")
        answer = anonymous(css, headers={"Origin": address})
        assert answer.status == 200
        assert answer.headers["access-control-allow-origin"] == address
        assert anonymous(f"{address}/no-such-page").status == 404
        run.end()
        until(lambda: is_ended(address) and is_ended(endpoint) and not processes_of(tmp_path / "s3"))


def test_a_step_that_fails_ends_it_all(tmp_path: Path) -> None:
    words = ["s3", "run", "--s3-port", 0, "--data", tmp_path / "s3", "--first", "no-such-command now"]
    with started(*words, DATABASE_URL=f"sqlite:///{tmp_path / 'db.sqlite3'}") as run:
        assert run.process.wait(60) == 1
        until(lambda: "CommandError: manage.py no-such-command failed" in run.output)
    assert processes_of(tmp_path / "s3") == []


def test_the_sites_own_port_taken_ends_it_all(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = ["s3", "run", "--port", taken.getsockname()[1], "--s3-port", 0, "--data", tmp_path / "s3"]
        with started(*words, DATABASE_URL=f"sqlite:///{tmp_path / 'db.sqlite3'}") as run:
            assert run.process.wait(60) != 0
            until(lambda: "is taken" in run.output)
    assert "Traceback" not in run.output
    until(lambda: processes_of(tmp_path / "s3") == [])
