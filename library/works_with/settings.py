"""The site of these tests. Apps that can be on one site together are on it; a test adds what it needs besides."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "easy_thumbnails"]
