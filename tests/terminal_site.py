"""The settings of the site in the pictures of docs/terminal: two buckets, and a folder of static files."""

import os
from pathlib import Path

FOLDER = Path(os.environ["PICTURES_FOLDER"])

SECRET_KEY = "only-for-pictures"
INSTALLED_APPS = [
    "s3kit",
    "s3kit.uploads",
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.staticfiles",
]
STATIC_ROOT = FOLDER / "collected"
STATICFILES_DIRS = [FOLDER / "static"]
STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
STATICFILES_MANIFEST = None

USE_S3 = True
AWS_S3_REGION_NAME = "eu-central-1"
AWS_S3_ENDPOINT_URL = os.environ["PICTURES_ENDPOINT"]
AWS_SITE_ORIGINS = os.environ["PICTURES_ORIGINS"].split()
STORAGES = {
    "default": {"BACKEND": "s3kit.storages.MediaStorage", "OPTIONS": {"bucket_name": "acme-media"}},
    "staticfiles": {"BACKEND": "s3kit.storages.StaticStorage", "OPTIONS": {"bucket_name": "acme-static"}},
}
