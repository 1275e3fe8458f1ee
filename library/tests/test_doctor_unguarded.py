"""What doctor says of a server that does not insist on signed headers: MiniStack without its guard."""

from collections.abc import Iterator
from typing import Any

import pytest

from s3kit.local.server import LocalServer, running
from tests.doctored import trouble
from tests.ministack import REGION

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """Return MiniStack itself, instead of the guarded server that other tests use."""
    with running(tmp_path_factory.mktemp("bare"), region=REGION, guarding={"GUARD": "off"}) as bare:
        yield bare


def test_a_server_that_obeys_unsigned_headers(well: Any) -> None:
    """MiniStack without its guard: whoever may send a part copies what the site may read."""
    well()
    assert trouble("direct headers") == (
        "not ok",
        "a visitor who knows its name can copy anybody's file into an upload of their own and read it: an"
        " unsigned x-amz-copy-source on a part and x-amz-copy-source on a PUT is obeyed",
        "update the server or use another, since S3 rejects such requests; until then turn direct uploads off:"
        " direct_uploads in STORAGES['default'] = False",
    )
