"""The pytest plugin, in the tests of small sites: nothing leaves the machine, and uploads go to a temporary folder."""

import textwrap

import pytest

pytestmark = pytest.mark.slow

SETTINGS = """
    SECRET_KEY = "x"
    USE_TZ = True
    STATIC_URL, MEDIA_URL = "/static/", "/media/"
    INSTALLED_APPS = ["s3kit", "django.contrib.staticfiles"]
    AWS_S3_REGION_NAME = "eu-central-1"
    STORAGES = {
        "default": {"BACKEND": "s3kit.storages.MediaStorage", "OPTIONS": {"bucket_name": "acme-media"}},
        "archive": {
            "BACKEND": "s3kit.storages.MediaStorage",
            "OPTIONS": {"bucket_name": "acme-media", "location": "archive"},
        },
        "staticfiles": {"BACKEND": "s3kit.storages.StaticStorage", "OPTIONS": {"bucket_name": "acme-static"}},
    }
"""


@pytest.fixture
def site(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return the folder of a site whose conftest.py loads the plugin."""
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    pytester.makepyfile(site_settings=SETTINGS)
    pytester.makeconftest('pytest_plugins = ["s3kit.testing"]')
    configure(pytester)
    return pytester


def configure(site: pytest.Pytester, *lines: str) -> None:
    site.makeini("\n".join(["[pytest]", "DJANGO_SETTINGS_MODULE = site_settings", "pythonpath = .", *lines]))


def outcomes(site: pytest.Pytester, *tests: str) -> dict[str, int]:
    site.makepyfile(test_site="\n\n".join(textwrap.dedent(test) for test in tests))
    return site.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:xdist").parseoutcomes()


def test_uploads_go_to_a_temporary_folder(site: pytest.Pytester) -> None:
    test = """
        from pathlib import Path
        from django.core.files.base import ContentFile
        from django.core.files.storage import storages

        def test_it(tmp_path_factory):
            for alias in ("default", "archive"):
                storage = storages[alias]
                name = storage.save("a.txt", ContentFile(b"x"))
                assert Path(storage.path(name)).is_relative_to(tmp_path_factory.getbasetemp())
                assert storage.url(name).startswith(f"/media/{alias}/")
    """
    assert outcomes(site, test) == {"passed": 1}


REQUESTS = """
    import boto3
    import obstore
    import pytest
    from obstore.store import HTTPStore, LocalStore, MemoryStore, S3Store
    from s3kit.testing import BlockedByTestsError

    KEYS = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "eu-central-1"}

    @pytest.mark.parametrize("endpoint", [None, "https://s3.example.com", "http://192.0.2.1:9000"])
    def test_botocore(endpoint):
        with pytest.raises(BlockedByTestsError, match="only connect to this machine"):
            boto3.client("s3", endpoint_url=endpoint, **KEYS).list_objects_v2(Bucket="example")

    @pytest.mark.parametrize("endpoint", [None, "https://s3.example.com"])
    @pytest.mark.parametrize(
        "request_it",
        [
            lambda store: obstore.put(store, "a", b"x"),
            lambda store: store.put("a", b"x"),
            lambda store: obstore.rename(store, "a", "b"),
            lambda store: obstore.get_ranges(store, "a", starts=[0], ends=[1]),
            lambda store: obstore.open_reader(store, "a"),
            lambda store: list(obstore.list(store)),
        ],
    )
    def test_obstore(endpoint, request_it):
        more = {"endpoint": endpoint} if endpoint else {}
        store = S3Store("example", config={
            "region": "eu-central-1", "access_key_id": "a", "secret_access_key": "b", **more})
        with pytest.raises(BlockedByTestsError):
            request_it(store)

    def test_other_stores(tmp_path):
        with pytest.raises(BlockedByTestsError):
            obstore.get(HTTPStore.from_url("https://example.com/"), "a")
        for store in (MemoryStore(), LocalStore(tmp_path)):
            obstore.put(store, "a", b"x")
            assert obstore.get(store, "a").bytes() == b"x"
"""


def test_requests_to_remote_s3_are_blocked(site: pytest.Pytester) -> None:
    assert outcomes(site, REQUESTS) == {"passed": 16}


SOCKETS = """
    import socket
    import pytest
    from s3kit.testing import BlockedByTestsError

    def test_an_address():
        with pytest.raises(BlockedByTestsError), socket.socket() as opened:
            opened.connect(("192.0.2.1", 5432))

    def test_a_name():
        with pytest.raises(BlockedByTestsError):
            socket.getaddrinfo("db.example.com", 5432)

    def test_this_machine():
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(("localhost", server.getsockname()[1])).close()
"""


def test_block_sockets_option_blocks_remote_connections(site: pytest.Pytester) -> None:
    configure(site, "s3kit_block_sockets = true")
    assert outcomes(site, SOCKETS) == {"passed": 3}


def test_other_sockets_are_open_by_default_and_for_allowed_hosts(site: pytest.Pytester) -> None:
    test = """
        import socket

        def test_it(monkeypatch):
            try:
                with socket.socket() as opened:
                    opened.settimeout(0.01)
                    opened.connect(("192.0.2.1", 5432))
            except OSError as error:
                assert "Tests may only" not in str(error)
    """
    assert outcomes(site, test) == {"passed": 1}
    configure(site, "s3kit_block_sockets = true", "s3kit_allow_hosts = 192.0.2.1")
    assert outcomes(site, test) == {"passed": 1}


def test_storages_are_unchanged_without_the_plugin(site: pytest.Pytester) -> None:
    site.makeconftest("")
    test = """
        from django.core.files.storage import default_storage

        def test_it():
            assert type(default_storage._wrapped or default_storage).__name__ != "FileSystemStorage"
            assert default_storage.bucket_name == "acme-media"
    """
    assert outcomes(site, test) == {"passed": 1}


def test_local_s3_fixture_provides_the_sites_storages(site: pytest.Pytester) -> None:
    test = """
        import urllib.error
        import urllib.request
        import pytest
        from django.core.files.base import ContentFile
        from django.core.files.storage import storages

        @pytest.mark.parametrize("turn", [1, 2])
        def test_it(local_s3, turn):
            storage = storages["default"]
            assert storage.listdir("") == ([], [])
            url = storage.url(storage.save("a.txt", ContentFile(b"x")))
            assert url.startswith(f"{local_s3.endpoint}/acme-media/media/a.txt?")
            assert urllib.request.urlopen(url).read() == b"x"
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(url.partition("?")[0])

        def test_the_next_one_is_on_disk_again():
            assert storages["default"].url("a").startswith("/media/")
    """
    assert outcomes(site, test) == {"passed": 3}
