"""Where the site keeps what it makes."""

import os
from pathlib import Path

BASE_DIR = Path(os.environ["SITE_FOLDER"])
