"""Settings of the measured site. Its database and its S3 come from the environment."""

import os

SECRET_KEY = "a key of benchmarks only, with fifty characters and more"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "benchmarks.measured_site.urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "s3kit",
    "s3kit.uploads",
    "benchmarks.measured_site",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["BENCH_DATABASE"],
        # Don't measure how long a commit waits for the disk.
        "OPTIONS": {"init_command": "PRAGMA synchronous = OFF"},
    }
}
STORAGES = {
    "default": {"BACKEND": "s3kit.storages.MediaStorage", "OPTIONS": {"bucket_name": "bench-media"}},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
AWS_S3_REGION_NAME = "eu-central-1"
AWS_S3_ENDPOINT_URL = os.environ["BENCH_ENDPOINT"]
STATIC_URL = "static/"
