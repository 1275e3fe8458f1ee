"""The site of these tests. Apps that can be on one site together are on it; a test adds what it needs besides."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS, MEDIA_ROOT

INSTALLED_APPS = [*INSTALLED_APPS, "django_ckeditor_5", "django_summernote", "easy_thumbnails"]

# Wagtail's tables are made from its models: its hundred migrations take longer than all tests here.
_WAGTAIL = (
    "wagtail.images",
    "wagtail.users",
    "wagtail.documents",
    "wagtail.search",
    "wagtail.admin",
    "wagtail",
    "taggit",
)
INSTALLED_APPS += _WAGTAIL
MIGRATION_MODULES = {
    **dict.fromkeys(("wagtailimages", "wagtailusers", "wagtaildocs", "wagtailsearch", "wagtailadmin"), None),
    **dict.fromkeys(("wagtailcore", "taggit"), None),
}
# Wagtail makes the storage of static files while it is imported, which must not be that of the uploads.
MEDIA_ROOT = MEDIA_ROOT / "media"
WAGTAIL_SITE_NAME = "Tests"
WAGTAILADMIN_BASE_URL = "http://127.0.0.1"
WAGTAILIMAGES_EXTENSIONS = ["png", "svg"]
