"""The folder for the files that the site creates."""

import os
from pathlib import Path

BASE_DIR = Path(os.environ["SITE_FOLDER"])
