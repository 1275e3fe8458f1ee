"""The test site as a separate process, configured by environment variables."""

import os
from pathlib import Path

_environment = dict(os.environ)

from tests.settings import *  # noqa: E402, F403

# tests.settings ignores the environment, but tests pass variables to this process.
os.environ.update(_environment)

_folder = Path(os.environ["TEST_FOLDER"])
DEBUG = os.environ.get("DJANGO_DEBUG", "true") == "true"
USE_S3 = {"true": True, "false": False}.get(os.environ.get("USE_S3", "local"), "local")
if "USE_S3_IN_SETTINGS" in os.environ:  # for a site that doesn't read the variable
    USE_S3 = True
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": _folder / "db.sqlite3"}}
STATIC_ROOT, MEDIA_ROOT = _folder / "static", _folder / "media"
STATICFILES_MANIFEST = _folder / "staticfiles.json"
S3KIT_LOCAL_DIR = _folder / "s3"
AWS_S3_REGION_NAME = os.environ.get("AWS_S3_REGION_NAME", "eu-central-1")
AWS_S3_ENDPOINT_URL = os.environ.get("AWS_S3_ENDPOINT_URL", "")
AWS_SITE_ORIGINS: list[str] = []
WSGI_APPLICATION = None
if USE_S3:
    STORAGES = {
        "default": {
            "BACKEND": "s3kit.storages.MediaStorage",
            "OPTIONS": {"bucket_name": os.environ.get("MEDIA_BUCKET", "")},
        },
        "staticfiles": {
            "BACKEND": "s3kit.storages.StaticStorage",
            "OPTIONS": {"bucket_name": os.environ.get("STATIC_BUCKET", "")},
        },
    }
else:
    STORAGES = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
