"""A project with the admin and some static files. Only the storage differs between the measured packages."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent
PEER = os.environ["BENCH_PEER"]
ENDPOINT = os.environ["BENCH_ENDPOINT"]
REGION = "eu-central-1"
STATIC_BUCKET = "bench-static"
MEDIA_BUCKET = "bench-media"
EXPIRE = 3600

SECRET_KEY = "of no use"
DEBUG = False
ALLOWED_HOSTS = ["localhost"]
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    *{"ours": ["s3kit"], "manifest": ["storages"], "collectfasta": ["collectfasta"], "capo": []}[PEER],
    "django.contrib.staticfiles",
]
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_URL = "static/"
USE_TZ = True

if PEER == "ours":
    AWS_S3_REGION_NAME = REGION
    AWS_S3_ENDPOINT_URL = ENDPOINT
    AWS_QUERYSTRING_EXPIRE = EXPIRE
    STATICFILES_MANIFEST = BASE_DIR / "staticfiles.json"
    STORAGES = {
        "default": {"BACKEND": "s3kit.storages.MediaStorage", "OPTIONS": {"bucket_name": MEDIA_BUCKET}},
        "staticfiles": {"BACKEND": "s3kit.storages.StaticStorage", "OPTIONS": {"bucket_name": STATIC_BUCKET}},
    }
elif PEER == "capo":
    _place = {"endpoint": ENDPOINT, "region": REGION, "force_path_style": True}
    STORAGES = {
        "default": {
            "BACKEND": "django_capo_s3.S3Storage",
            "OPTIONS": {**_place, "bucket": MEDIA_BUCKET, "location": "media", "url_expire": EXPIRE},
        },
        "staticfiles": {
            "BACKEND": "django_capo_s3.S3ManifestStaticStorage",
            "OPTIONS": {**_place, "bucket": STATIC_BUCKET, "location": "static"},
        },
    }
else:
    _place = {"endpoint_url": ENDPOINT, "region_name": REGION, "signature_version": "s3v4"}
    STORAGES = {
        "default": {
            "BACKEND": "storages.backends.s3.S3Storage",
            "OPTIONS": {
                **_place,
                "bucket_name": MEDIA_BUCKET,
                "location": "media",
                "querystring_expire": EXPIRE,
            },
        },
        "staticfiles": {
            "BACKEND": "storages.backends.s3.S3ManifestStaticStorage",
            "OPTIONS": {**_place, "bucket_name": STATIC_BUCKET, "location": "static"},
        },
    }

if PEER == "collectfasta":
    # As its README recommends: this strategy for a manifest storage, twenty threads, and a dedicated cache with room
    # for all files that threads can share. The README advises against LocMemCache, but Django's locks, and a fresh
    # checkout has an empty cache anyway. With the file-based cache, "nothing changed" took 22 s of CPU instead of 3.
    COLLECTFASTA_STRATEGY = "collectfasta.strategies.boto3.Boto3ManifestMemoryStrategy"
    COLLECTFASTA_THREADS = 20
    COLLECTFASTA_CACHE = "collectfasta"
    _memory = "django.core.cache.backends.locmem.LocMemCache"
    CACHES = {
        "default": {"BACKEND": _memory},
        "collectfasta": {
            "BACKEND": _memory,
            "LOCATION": "collectfasta",
            "TIMEOUT": None,
            "OPTIONS": {"MAX_ENTRIES": 100_000},
        },
    }
