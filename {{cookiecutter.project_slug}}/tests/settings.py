"""The site's settings for its tests: nothing of .env, the shell or an AWS profile reaches them."""

import os
from pathlib import Path

for _name in list(os.environ):
    if _name.startswith(("AWS_", "DJANGO_", "EMAIL_", "DATABASE_")) and _name != "DJANGO_SETTINGS_MODULE":
        del os.environ[_name]
os.environ.pop("USE_S3", None)
# Where boto3 would look for keys and profiles, and what it would ask for a role, beyond its own variables.
os.environ |= {
    "DJANGO_ENV_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
}

from config.env import database  # noqa: E402
from config.settings import *  # noqa: E402, F403

# Tests on a server of their own choice: never the one of DATABASE_URL, which may be the live one.
if _url := os.environ.get("TEST_DATABASE_URL"):
    from config.settings import env

    DATABASES = {"default": database(env.db_url_config(_url))}

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
MEDIA_ROOT = Path(os.devnull)
