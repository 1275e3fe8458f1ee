"""`python -m s3kit.local install`: MiniStack in its environment, for images that have no network later."""

import sys

from s3kit.local.environment import packages
from s3kit.local.errors import LocalServerError

if sys.argv[1:] != ["install"]:
    sys.exit("Usage: python -m s3kit.local install")
try:
    packages()
except LocalServerError as error:
    sys.exit(str(error))
