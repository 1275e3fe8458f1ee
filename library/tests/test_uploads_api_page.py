"""Follow docs/uploads-api.md: its commands upload files, and its tables list the errors."""

import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import s3kit
from s3kit.local.server import LocalServer
from s3kit.uploads import errors
from tests.ministack import new_user
from tests.new_sites import blocks
from tests.processes import ROOT, environment, started

pytestmark = pytest.mark.slow

KIB = 2**10
BUCKET = "uploads-by-an-app"
EVERYTHING = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}],
}
PAGE = (ROOT.parent / "docs" / "uploads-api.md").read_text("utf-8")
BLOCKS = blocks(PAGE)
WITH_TOKEN, WITH_SESSION, *COMMANDS = (block.code for block in BLOCKS if block.language == "sh")
BEGIN, SEND, FINISH, USE, CANCEL = COMMANDS


@dataclass
class Site:
    address: str
    store: LocalServer
    path: Path

    def run(self, folder: Path, *commands: str) -> str:
        """Run commands from the page in a shell, and return their output."""
        text = "\n".join(("set -eu", *commands)).replace("https://www.example.com", self.address)
        ended = subprocess.run(
            ["bash", "-c", text],
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        return ended.stdout

    def videos(self) -> list[tuple[str, bytes]]:
        """Return the titles and contents of saved videos."""
        with closing(sqlite3.connect(self.path, timeout=30)) as connection:
            rows = connection.execute("SELECT title, file FROM shop_video").fetchall()
        root = self.store.client()
        return [
            (title, root.get_object(Bucket=BUCKET, Key=f"media/{name}")["Body"].read())
            for title, name in rows
        ]


@pytest.fixture(scope="module")
def site(store: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    key = new_user(store, EVERYTHING)
    variables = {
        "TEST_FOLDER": str(folder),
        "AWS_S3_ENDPOINT_URL": store.endpoint,
        "MEDIA_BUCKET": BUCKET,
        "AWS_ACCESS_KEY_ID": key.id,
        "AWS_SECRET_ACCESS_KEY": key.secret,
        "PYTHONPATH": str(Path(s3kit.__file__).parents[1]),
    }
    with started(command=[sys.executable, "-m", "tests.api_site"], **variables) as process:
        address = process.wait_for(r"Serving at (\S+)\.")[1]
        yield Site(address, store, folder / "db.sqlite3")


@pytest.fixture
def folder(site: Site, tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    with closing(sqlite3.connect(site.path, timeout=30)) as connection, connection:
        connection.execute("DELETE FROM shop_video")


# One part, and three parts: parts in tests.upload_site are smaller than on the page.
@pytest.mark.parametrize("size", [10 * KIB, 700 * KIB])
@pytest.mark.parametrize("how", [WITH_TOKEN, WITH_SESSION], ids=["token", "session"])
def test_documented_commands_upload_a_video(site: Site, folder: Path, how: str, size: int) -> None:
    content = b"\0\0\0\x18ftypisom\0\0\2\0isomavc1" + bytes(range(256)) * (size // 256)
    (folder / "Lake.mp4").write_bytes(content)
    printed = site.run(folder, how, BEGIN, "cp upload.json begun.json", SEND, FINISH, USE)
    answer = json.loads(printed[printed.index("{") :])
    assert answer["title"] == "Lake"
    assert site.videos() == [("Lake", content)]
    begun = json.loads((folder / "begun.json").read_text())
    (shown,) = (json.loads(each.code) for each in BLOCKS if each.language == "json")
    assert begun.keys() == shown.keys()
    assert all(part.keys() == shown["parts"][0].keys() for part in begun["parts"])
    assert len(begun["parts"]) == (1 if size == 10 * KIB else 3)


@pytest.mark.parametrize("how", [WITH_TOKEN, WITH_SESSION], ids=["token", "session"])
def test_documented_commands_cancel_an_upload(site: Site, folder: Path, how: str) -> None:
    (folder / "Lake.mp4").write_bytes(b"\0\0\0\x18ftypisom\0\0\2\0isomavc1")
    printed = site.run(folder, how, BEGIN, SEND, FINISH, CANCEL, 'api "$ADDRESS"')
    assert printed.startswith("{}")
    assert json.loads(printed[2:])["error"]["code"] == "expired"


def rows() -> list[list[str]]:
    return re.findall(r"^\| `(\w+)` \| (\d+) \|", PAGE, re.MULTILINE)


def subclasses(kind: Any) -> Iterator[Any]:
    for each in kind.__subclasses__():
        yield each
        yield from subclasses(each)


def test_error_table_is_complete() -> None:
    listed = {code: int(status) for code, status in rows()}
    known = {each.code: each.status for each in subclasses(errors.UploadError)}
    # Errors before a file is sent
    known |= dict.fromkeys(("type", "too_large", "empty", "name"), errors.RejectedError.status)
    assert listed == known
