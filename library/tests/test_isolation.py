"""Tests reach nothing beyond this machine, whatever the environment says."""

import os
import socket
import urllib.request

import obstore
import pytest
from django.conf import settings as live_settings
from django.core.files.storage import storages
from pytest_django import Settings

from s3kit import clients
from tests.conftest import ConnectionRefusedByTestsError


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "s3.eu-central-1.amazonaws.com"])
def test_a_connection_beyond_loopback_fails(host: str) -> None:
    with pytest.raises(ConnectionRefusedByTestsError, match=host):
        socket.create_connection((host, 443), timeout=1)


def test_a_request_to_s3_fails() -> None:
    with pytest.raises(OSError, match="Tests may only connect to this machine"):
        urllib.request.urlopen("https://example-bucket.s3.eu-central-1.amazonaws.com/", timeout=1)


def test_a_request_by_obstore_fails(settings: Settings) -> None:
    settings.AWS_S3_REGION_NAME = "eu-central-1"
    store = clients.obstore_store("example-bucket")
    with pytest.raises(
        ConnectionRefusedByTestsError, match=r"example-bucket\.s3\.eu-central-1\.amazonaws\.com"
    ):
        obstore.put(store, "static/x", b"x")
    with pytest.raises(ConnectionRefusedByTestsError):
        obstore.list(store)


def test_loopback_is_allowed() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        socket.create_connection(server.getsockname(), timeout=1).close()


def test_files_stay_in_memory_and_keys_are_for_tests() -> None:
    assert type(storages["default"]).__name__ == "InMemoryStorage"
    assert type(storages["staticfiles"]).__name__ == "StaticFilesStorage"
    assert os.environ["AWS_ACCESS_KEY_ID"] == "testing"
    assert "AWS_PROFILE" not in os.environ
    assert live_settings.DATABASES["default"]["HOST"] in ("", "localhost", "127.0.0.1")
