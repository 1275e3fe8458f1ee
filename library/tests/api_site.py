"""The site in docs/uploads-api.md: runs the page's Python code in a separate process.

`python -m tests.api_site` prints its URL, as `tests.upload_site` does.
"""

import os
import re
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.modules["tests.api_site"] = sys.modules[__name__]
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.api_site"

from tests import upload_site
from tests.new_sites import blocks
from tests.upload_site import *  # noqa: F403
from tests.upload_site import INSTALLED_APPS, MIDDLEWARE

PAGE = Path(__file__).parents[2] / "docs" / "uploads-api.md"

DEBUG = False
ROOT_URLCONF = "tests.api_site"
INSTALLED_APPS = [*INSTALLED_APPS, "rest_framework", "rest_framework.authtoken"]
MIDDLEWARE = MIDDLEWARE[1:]  # without the pages' Content-Security-Policy
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.DjangoModelPermissions"],
}


def urls() -> list[Any]:
    """Return the URLs from the page's modules, and those of the tests' own site."""
    page = PAGE.read_text("utf-8").replace("from shop.models", "from tests.shop.models")
    api, urls = (block.code for block in blocks(page) if block.language == "python")
    made: dict[str, Any] = {"__name__": "tests.api_site"}
    exec(api, made)  # noqa: S102 -- it is our own page
    exec(re.sub(r"from shop\.api import .*", "", urls), made)  # noqa: S102
    return [*made["urlpatterns"], *upload_site.urls()]


def __getattr__(name: str) -> Any:
    if name == "urlpatterns":  # which needs Django's apps
        globals()[name] = urls()
        return globals()[name]
    raise AttributeError(name)


if __name__ == "__main__":
    upload_site.site()
