"""`python -m s3kit.local install` installs MiniStack in its environment, for container images."""

import sys

from s3kit.local.environment import packages
from s3kit.local.errors import LocalServerError

if sys.argv[1:] != ["install"]:
    sys.exit("Usage: python -m s3kit.local install")
try:
    packages()
except LocalServerError as error:
    sys.exit(str(error))
