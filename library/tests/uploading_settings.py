"""Settings for `tests.uploading`, with the test's database."""

import json
import os

from tests.process_settings import *  # noqa: F403

DATABASES = {"default": json.loads(os.environ["DATABASE"])}
if os.environ.get("SEVERAL_DATABASES"):
    DATABASES |= {
        alias: {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": f"{os.environ['TEST_FOLDER']}/{alias}.sqlite3",
        }
        for alias in ("videos", "tickets")
    }
    DATABASE_ROUTERS = ["tests.uploading.Router"]
