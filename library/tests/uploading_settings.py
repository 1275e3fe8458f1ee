"""The site of `tests.uploading`: the database is the test's."""

import json
import os

from tests.process_settings import *  # noqa: F403

DATABASES = {"default": json.loads(os.environ["DATABASE"])}
