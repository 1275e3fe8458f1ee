"""The site's settings for servers that tests start: all that it would write here lies in TEST_FOLDER."""

import os
from pathlib import Path

from config.settings import *  # noqa: F403

_folder = Path(os.environ["TEST_FOLDER"])
STATIC_ROOT = _folder / "static"
STATICFILES_MANIFEST = _folder / "staticfiles.json"
