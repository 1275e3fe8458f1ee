"""Settings for tests. They use .env.example, so neither your .env nor your shell can change a result."""

import os
import secrets
from pathlib import Path

for _name in list(os.environ):
    if _name.startswith(("AWS_", "DATABASE_", "DJANGO_", "EMAIL_", "USE_S3")):
        del os.environ[_name]
os.environ["DJANGO_SETTINGS_MODULE"] = __name__
os.environ["DJANGO_SECRET_KEY"] = secrets.token_urlsafe(50)
os.environ["DJANGO_ENV_FILE"] = str(Path(__file__).resolve().parent.parent / ".env.example")

from config.settings import *  # noqa: E402, F403

# Never use the database in DATABASE_URL, which may be the live one.
if _url := os.environ.get("TEST_DATABASE_URL"):
    from config.env import database
    from config.settings import env

    DATABASES = {"default": database(env.db_url_config(_url))}

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast
AXES_ENABLED = False  # client.login() has no request, which django-axes requires
