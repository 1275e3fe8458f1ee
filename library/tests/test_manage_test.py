"""`manage.py test` with a live site's settings: nothing leaves the machine, and uploads go to a folder."""

import socket
import sys
import textwrap
from pathlib import Path

import pytest

from tests.processes import started

pytestmark = pytest.mark.slow

FILES = {
    "manage.py": """
        import multiprocessing
        import os
        import sys

        if __name__ == "__main__":
            os.environ["DJANGO_SETTINGS_MODULE"] = "site_settings"
            if start_method := os.environ.get("START_METHOD"):
                multiprocessing.set_start_method(start_method)
            from django.core.management import execute_from_command_line

            execute_from_command_line(sys.argv)
        """,
    "site_settings.py": """
        SECRET_KEY = "x"
        USE_TZ = True
        DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
        STATIC_URL, MEDIA_URL = "/static/", "/media/"
        INSTALLED_APPS = ["s3kit", "django.contrib.staticfiles", "letters"]
        AWS_S3_REGION_NAME = "eu-central-1"
        AWS_S3_ACCESS_KEY_ID, AWS_S3_SECRET_ACCESS_KEY = "AKIAEXAMPLE", "secret"
        STORAGES = {
            "default": {"BACKEND": "s3kit.storages.MediaStorage", "OPTIONS": {"bucket_name": "acme-media"}},
            "avatars": {
                "BACKEND": "s3kit.storages.MediaStorage",
                "OPTIONS": {"bucket_name": "acme-media", "location": "avatars"},
            },
            "staticfiles": {
                "BACKEND": "s3kit.storages.StaticStorage", "OPTIONS": {"bucket_name": "acme-static"}
            },
        }
        """,
    "letters/__init__.py": "",
    "letters/models.py": """
        from django.core.files.storage import storages
        from django.db import models
        from s3kit.storages import MediaStorage


        class Letter(models.Model):
            scan = models.FileField()
            by_instance = models.FileField(storage=storages["avatars"])
            by_callable = models.FileField(storage=lambda: MediaStorage(bucket_name="acme-more", location="x"))
        """,
    "letters/tests.py": """
        import os
        import tempfile
        import unittest
        from pathlib import Path

        import boto3
        import django.test
        import obstore
        from django.core.files.base import ContentFile
        from django.core.files.storage import default_storage, storages
        from django.core.management import call_command
        from django.templatetags.static import static
        from obstore.store import S3Store
        from s3kit.isolation import BlockedByTestsError

        from letters.models import Letter


        class WithDatabase(django.test.TestCase):
            def test_files_go_to_a_temporary_folder(self):
                letter = Letter()
                for name in ("scan", "by_instance", "by_callable"):
                    getattr(letter, name).save("a.txt", ContentFile(name.encode()), save=False)
                letter.save()
                letter.refresh_from_db()
                for name in ("scan", "by_instance", "by_callable"):
                    file = getattr(letter, name)
                    assert file.read() == name.encode()
                    assert Path(file.path).is_relative_to(tempfile.gettempdir())
                assert letter.by_instance.url.startswith("/media/acme-media/avatars/")


        class WithoutDatabase(unittest.TestCase):
            def test_storages_use_folders(self):
                for alias in ("default", "avatars"):
                    name = storages[alias].save("a.txt", ContentFile(b"x"))
                    assert storages[alias].open(name).read() == b"x"
                assert default_storage.listdir("")[1]
                assert static("a.css") == "/static/a.css"

            def test_other_clients_are_blocked(self):
                with self.assertRaises(BlockedByTestsError):
                    boto3.client("s3", region_name="eu-central-1", aws_access_key_id="a",
                                 aws_secret_access_key="b").list_buckets()
                store = S3Store("acme", config={"region": "eu-central-1", "access_key_id": "a",
                                                "secret_access_key": "b"})
                with self.assertRaises(BlockedByTestsError):
                    obstore.put(store, "a", b"x")
        """,
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text))
    return tmp_path


@pytest.mark.parametrize(
    ("words", "start_method"),
    [((), ""), (("--parallel", "2"), "spawn")],
    ids=["serial", "parallel-spawn"],
)
def test_manage_test_sends_no_request_to_other_machines(
    site: Path, words: tuple[str, ...], start_method: str
) -> None:
    # Requests to other machines would go to this proxy.
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        command = (sys.executable, "manage.py", "test", *words)
        more = {"HTTPS_PROXY": url, "https_proxy": url, "START_METHOD": start_method, "TMPDIR": str(site)}
        with started(command=command, cwd=site, **more) as running:
            assert running.ended() == 0, running.output
            assert "Ran 3 tests" in running.output
        proxy.settimeout(0)
        with pytest.raises(BlockingIOError):
            proxy.accept()
    assert not list(site.glob("s3kit-tests-*"))
