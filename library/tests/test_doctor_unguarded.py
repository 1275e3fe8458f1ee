"""The doctor on a server that accepts unsigned headers: MiniStack without its guard."""

from collections.abc import Iterator
from typing import Any

import pytest

from s3kit.local.server import LocalServer, running
from tests.doctored import trouble
from tests.ministack import REGION

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """Return MiniStack without the guard that other tests use."""
    with running(tmp_path_factory.mktemp("bare"), region=REGION, guarding={"GUARD": "off"}) as bare:
        yield bare


def test_server_that_obeys_unsigned_headers_is_reported(healthy_site: Any) -> None:
    """Without the guard, a link to upload a part can copy everything that the site can read."""
    healthy_site()
    assert trouble("direct headers") == (
        "not ok",
        "visitors who know a file's name can copy it into their own upload and read it: the server obeys an"
        " unsigned x-amz-copy-source on a part and x-amz-copy-source on a PUT",
        "update the server, or use one that rejects such requests, as S3 does; until then, turn direct uploads off:"
        " direct_uploads in STORAGES['default'] = False",
    )
