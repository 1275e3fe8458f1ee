"""`manage.py s3 serve` and `s3 run`, as a developer starts and stops them."""

import configparser
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from s3kit.deployment import Key
from s3kit.local import server
from s3kit.local.environment import VERSION, packages
from s3kit.local.errors import LocalServerError
from tests.ministack import anonymous
from tests.processes import Started, free_port, started, until

pytestmark = pytest.mark.slow

REGION, STATIC, MEDIA = "eu-central-1", "local-static", "local-media"


@contextmanager
def serving(folder: Path, port: int = 0, **more: Any) -> Iterator[tuple[Started, str]]:
    """Run `s3 serve` for a site in a folder, with S3's data in its subfolder `s3`."""
    folder.mkdir(exist_ok=True, parents=True)
    with started("s3", "serve", "--port", port, TEST_FOLDER=str(folder), **more) as serve:
        yield serve, serve.wait_for(r"listens on (http://127\.0\.0\.1:\d+),")[1]


def site_client(endpoint: str, data: Path, secret: str = "") -> Any:
    """Return a client with the key that `serve` created for the site."""
    key = kept_key(data)
    return botocore.session.get_session().create_client(
        "s3",
        region_name=REGION,
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
    """Return the processes whose working directory is the folder, which are only MiniStack's."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == data.resolve():
                found.append(process.name)
        except OSError:
            continue
    return found


def test_uploads_and_the_key_survive_a_restart(tmp_path: Path) -> None:
    data = tmp_path / "s3"
    with serving(tmp_path) as (serve, endpoint):
        site_client(endpoint, data).put_object(
            Bucket=MEDIA, Key="media/a.png", Body=b"a", ContentType="image/png"
        )
        site_client(endpoint, data).put_object(Bucket=STATIC, Key="static/a.css", Body=b"a")
        assert anonymous(f"{endpoint}/local-static/static/a.css").status == 200
        assert anonymous(f"{endpoint}/local-media/media/a.png").status == 403
        key = kept_key(data)
        assert stat.S_IMODE((data / "credentials").stat().st_mode) == 0o600
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        assert processes_of(data)
        assert serve.end() == 0
        assert is_ended(endpoint)
        assert processes_of(data) == []
    said = [line for line in serve.output.splitlines() if not line.startswith("Installing MiniStack")]
    assert len(said) == 1
    assert not (data / "endpoint").exists()
    with serving(tmp_path) as (serve, endpoint):
        assert kept_key(data) == key
        assert (data / "endpoint").read_text().strip() == endpoint
        got = site_client(endpoint, data).get_object(Bucket=MEDIA, Key="media/a.png")
        assert (got["Body"].read(), got["ContentType"]) == (b"a", "image/png")
        assert anonymous(f"{endpoint}/local-static/static/a.css").status == 200
        assert anonymous(f"{endpoint}/local-media/media/a.png").status == 403
        assert serve.end(signal.SIGINT) == 0
    assert key["aws_secret_access_key"] not in serve.output + (data / "ministack.log").read_text("utf-8")


def test_server_enforces_signatures(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, endpoint):
        key = kept_key(tmp_path / "s3")
        s3 = site_client(endpoint, tmp_path / "s3", secret="wrong")
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            s3.list_objects_v2(Bucket=MEDIA)
    assert key["aws_secret_access_key"] not in repr(Key("id", key["aws_secret_access_key"]))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_killed_server_leaves_no_processes_and_can_restart(tmp_path: Path) -> None:
    data = tmp_path / "s3"
    with serving(tmp_path) as (serve, endpoint):
        site_client(endpoint, data).put_object(Bucket=MEDIA, Key="media/a", Body=b"a")
        serve.end(signal.SIGKILL)
        until(lambda: is_ended(endpoint) and not processes_of(data))
    with serving(tmp_path) as (serve, endpoint):
        # If MiniStack itself is killed, without saving its state:
        (child,) = processes_of(data)
        os.kill(int(child), signal.SIGKILL)
        assert serve.process.wait(60) == 1
        until(lambda: "MiniStack exited unexpectedly with code -9" in serve.output)
    with serving(tmp_path) as (serve, endpoint):
        got = site_client(endpoint, data).get_object(Bucket=MEDIA, Key="media/a")
        assert got["Body"].read() == b"a"
        assert anonymous(f"{endpoint}/local-media/media/a").status == 403
        assert serve.end() == 0


def test_two_servers_need_separate_folders(tmp_path: Path) -> None:
    with serving(tmp_path / "one") as (_, one), serving(tmp_path / "two") as (_, two):
        assert one != two
        message = startup_error(tmp_path / "one", "--port", "0")
        folder = tmp_path / "one" / "s3"
        assert message == f"Another local S3 server is running on {folder}: stop it first"


def startup_error(folder: Path, *words: object, **more: str) -> str:
    """Return the line that `serve` prints instead of starting."""
    with started("s3", "serve", *words, TEST_FOLDER=str(folder), **more) as serve:
        assert serve.process.wait(60) == 1
        serve._reader.join(60)
    line = serve.output.splitlines()[-1]
    assert "Traceback" not in serve.output
    assert line.startswith("CommandError: ")
    return line.removeprefix("CommandError: ")


def test_port_in_use_is_a_one_line_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = startup_error(tmp_path, "--port", port)
    assert message == f"Port {port} of 127.0.0.1 is in use: choose another one, or 0 for any free port"


def test_unwritable_folder_is_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "s3").touch()
    message = startup_error(tmp_path, "--port", "0")
    assert message.startswith(f"The local S3 server can't write to {tmp_path / 's3'}: ")


def test_failed_ministack_install_is_a_one_line_error(tmp_path: Path) -> None:
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\necho 'no such host' >&2; exit 2\n")
    uv.chmod(0o755)
    message = startup_error(
        tmp_path / "site", "--port", "0", UV=str(uv), S3KIT_CACHE_DIR=str(tmp_path / "cache")
    )
    assert message.startswith(f"Can't install MiniStack {VERSION}, the local S3 server (no such host): ")
    assert not list((tmp_path / "cache").glob("*/ministack"))


def test_error_without_uv_and_pip_says_to_install_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3KIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    for name in ("executable", "_base_executable"):
        monkeypatch.setattr(sys, name, "/bin/false")
    with pytest.raises(LocalServerError, match=r"without uv or pip: install uv\.$"):
        packages()
    assert not list((tmp_path / "cache").iterdir())


def test_concurrent_installs_succeed(tmp_path: Path) -> None:
    uv = tmp_path / "uv"
    # The second to last argument is the folder. Creating it slowly would show it half-finished.
    uv.write_text(
        '#!/bin/sh\nfor last; do folder=$target; target=$last; done\nsleep 0.5\nmkdir "$folder/ministack"\n'
    )
    uv.chmod(0o755)
    variables = os.environ | {"UV": str(uv), "S3KIT_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "s3kit.local", "install"]
    both = [subprocess.Popen(command, env=variables, stderr=subprocess.PIPE) for _ in range(2)]
    for process in both:
        printed = process.communicate(timeout=60)[1]
        assert process.returncode == 0, printed
    (made,) = (tmp_path / "cache").iterdir()
    assert (made / "ministack").is_dir()
    assert stat.S_IMODE(made.stat().st_mode) == 0o755


def test_error_on_windows_names_wsl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(LocalServerError, match="use WSL"), server.running(tmp_path / "s3"):
        pass
    assert not (tmp_path / "s3").exists()


def test_serve_rejects_use_s3_false(tmp_path: Path) -> None:
    message = startup_error(tmp_path, "--port", "0", USE_S3="false")
    assert "USE_S3 is False: set it to True or 'local'" in message


def test_server_listens_on_loopback_and_rejects_other_hosts(tmp_path: Path) -> None:
    key = Key("ROOT", "secret")
    assert server.environment(tmp_path, 9000, "us-east-1", key)["BIND_HOST"] == "127.0.0.1"
    with started("s3", "serve", "--bind", "192.0.2.1", TEST_FOLDER=str(tmp_path)) as serve:
        assert serve.ended() == 2
    assert "invalid choice: '192.0.2.1'" in serve.output


# Other commands use the server

SAVE = (
    "from django.core.files.storage import storages as s;"
    "from django.core.files.base import ContentFile;"
    "n = s['default'].save('a.txt', ContentFile(b'hello')); print('saved', s['default'].url(n))"
)
REAL = {"AWS_PROFILE": "production", "AWS_ACCESS_KEY_ID": "AKIAREAL", "AWS_SECRET_ACCESS_KEY": "real"}


def test_commands_use_the_local_server_without_the_shells_keys(tmp_path: Path) -> None:
    with serving(tmp_path, **REAL, HTTP_PROXY="http://127.0.0.1:9") as (_, endpoint):
        variables = REAL | {
            "HTTP_PROXY": "http://127.0.0.1:9",
            "AWS_S3_ENDPOINT_URL": "https://s3.example.com",
        }
        with started("shell", "-v", "0", "-c", SAVE, TEST_FOLDER=str(tmp_path), **variables) as shell:
            assert shell.ended() == 0, shell.output
        found = re.search(r"saved (\S+)", shell.output)
        assert found
        assert found[1].startswith(f"{endpoint}/local-media/media/")
        assert anonymous(found[1]).body == b"hello"
        with started("collectstatic", "--no-input", TEST_FOLDER=str(tmp_path)) as collect:
            assert collect.ended() == 0, collect.output
        assert "uploaded" in collect.output
        (child,) = processes_of(tmp_path / "s3")
        inherited = Path(f"/proc/{child}/environ").read_bytes()
        assert b"AKIAREAL" not in inherited


@pytest.mark.parametrize("words", [("shell", "-v", "0", "-c", SAVE), ("collectstatic", "--no-input")])
def test_commands_report_that_no_server_is_running(tmp_path: Path, words: tuple[str, ...]) -> None:
    with started(*words, TEST_FOLDER=str(tmp_path)) as command:
        assert command.ended() == 1
    assert "The local S3 server is not running: start it with `make run` or" in command.output
    assert "Traceback" not in command.output


def test_killed_server_is_reported_as_not_running(tmp_path: Path) -> None:
    with serving(tmp_path) as (serve, endpoint):
        serve.end(signal.SIGKILL)
        until(lambda: is_ended(endpoint) and not processes_of(tmp_path / "s3"))
    assert (tmp_path / "s3" / "endpoint").exists()
    with started("shell", "-v", "0", "-c", SAVE, TEST_FOLDER=str(tmp_path)) as command:
        assert command.ended() == 1
    assert "The local S3 server is not running" in command.output


# Rehearsing the setup


def manage(folder: Path, *words: object, expect: int = 0, **more: str) -> str:
    with started(*words, TEST_FOLDER=str(folder), **more) as command:
        assert command.ended() == expect, command.output
    assert "Traceback" not in command.output
    return command.output


def test_setup_works_on_an_empty_local_server(tmp_path: Path) -> None:
    with started("s3", "serve", "--port", 0, "--empty", TEST_FOLDER=str(tmp_path)) as serve:
        endpoint = serve.wait_for(r"listens on (http://127\.0\.0\.1:\d+),")[1]
        assert "2 buckets to create" in manage(tmp_path, "s3", "plan", "--local", expect=2)
        # Without buckets and the permission to create them, each command names the command that helps.
        for words in (["collectstatic", "--no-input"], ["s3", "doctor", "--local"]):
            assert "manage.py s3 apply --local" in manage(tmp_path, *words, expect=1)
        assert "read back" in manage(tmp_path, "s3", "apply", "--local", "--no-input")
        assert "everything is up to date" in manage(tmp_path, "s3", "plan", "--local")
        assert "uploaded" in manage(tmp_path, "collectstatic", "--no-input")
        assert "not ok" not in manage(tmp_path, "s3", "doctor", "--local")
        assert anonymous(f"{endpoint}/{STATIC}/static/staticfiles.json").status == 200


def test_new_bucket_names_can_be_set_up_on_a_running_server(tmp_path: Path) -> None:
    names = {"MEDIA_BUCKET": "acme-media", "STATIC_BUCKET": "acme-static"}
    with serving(tmp_path):
        assert "2 buckets to create" in manage(tmp_path, "s3", "plan", "--local", expect=2, **names)
        denied = manage(tmp_path, "collectstatic", "--no-input", expect=1, **names)
        assert "manage.py s3 apply --local" in denied
        manage(tmp_path, "s3", "apply", "--local", "--no-input", **names)
        assert "uploaded" in manage(tmp_path, "collectstatic", "--no-input", **names)
        assert "not ok" not in manage(tmp_path, "s3", "doctor", "--local", **names)


# The site on the local S3 server


@contextmanager
def site_running(tmp_path: Path, *words: object, **more: str) -> Iterator[tuple[Started, str, str]]:
    """Run `s3 run`; yield it with the site's address and S3's."""
    port = free_port()
    with started(
        "s3", "run", "--port", port, "--s3-port", 0, *words, TEST_FOLDER=str(tmp_path), **more
    ) as run:
        endpoint = run.wait_for(r"local S3 server at (http://127\.0\.0\.1:\d+),")[1]
        until(lambda: not is_ended(f"http://127.0.0.1:{port}") or run.process.poll() is not None)
        yield run, f"http://127.0.0.1:{port}", endpoint


def stylesheet(address: str) -> str:
    page = anonymous(f"{address}/admin/login/")
    assert page.status == 200
    found = re.search(r'"([^"]+\.css)"', page.body.decode())
    assert found
    return found[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_stores_uploads_on_s3_and_serves_local_static_files(
    tmp_path: Path, number: signal.Signals
) -> None:
    with site_running(tmp_path, "--first", f'shell -v 0 -c "{SAVE}"', **REAL) as (run, address, endpoint):
        css = stylesheet(address)
        assert css.startswith("/static/")
        assert anonymous(address + css).status == 200
        upload = run.wait_for(r"saved (\S+)")
        assert upload[1].startswith(f"{endpoint}/local-media/media/")
        assert anonymous(upload[1]).body == b"hello"
        assert anonymous(upload[1].split("?")[0]).status == 403
        run.end(number)
        until(lambda: is_ended(address) and is_ended(endpoint) and not processes_of(tmp_path / "s3"))
    assert "Traceback" not in run.output
    assert "AKIAREAL" not in run.output


def test_no_debug_serves_static_files_from_s3(tmp_path: Path) -> None:
    with site_running(tmp_path, "--no-debug") as (run, address, endpoint):
        css = stylesheet(address)
        assert css.startswith(f"{endpoint}/local-static/static/")
        answer = anonymous(css, headers={"Origin": address})
        assert answer.status == 200
        assert answer.headers["access-control-allow-origin"] == address
        assert anonymous(f"{address}/no-such-page").status == 404
        run.end()
        until(lambda: is_ended(address) and is_ended(endpoint) and not processes_of(tmp_path / "s3"))


def test_run_sets_use_s3_to_local_in_the_environment(tmp_path: Path) -> None:
    first = ("--first", f'shell -v 0 -c "{SAVE}"')
    with site_running(tmp_path, *first, USE_S3="true", **REAL) as (run, address, endpoint):
        run.wait_for(f"saved {re.escape(endpoint)}/local-media/media/")
        run.end()
        until(lambda: is_ended(address) and is_ended(endpoint))


def test_run_rejects_settings_with_use_s3_true(tmp_path: Path) -> None:
    words = ["s3", "run", "--s3-port", 0, "--port", free_port()]
    more = {"USE_S3_IN_SETTINGS": "1", "MEDIA_BUCKET": "acme-media", "STATIC_BUCKET": "acme-static"}
    with started(*words, TEST_FOLDER=str(tmp_path), **more) as run:
        assert run.ended() == 1
    assert "USE_S3 is True in the settings, so the site would use its real buckets" in run.output
    assert "Traceback" not in run.output
    assert not (tmp_path / "s3").exists()


def test_failed_first_command_stops_run(tmp_path: Path) -> None:
    words = ["s3", "run", "--s3-port", 0, "--port", free_port(), "--first", "no-such-command now"]
    with started(*words, TEST_FOLDER=str(tmp_path)) as run:
        assert run.ended() == 1
    assert "CommandError: manage.py no-such-command failed" in run.output
    until(lambda: processes_of(tmp_path / "s3") == [])


def test_site_port_in_use_stops_run(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = ["s3", "run", "--port", taken.getsockname()[1], "--s3-port", 0]
        with started(*words, TEST_FOLDER=str(tmp_path)) as run:
            assert run.ended() == 1
    assert "is in use" in run.output
    assert "Traceback" not in run.output
