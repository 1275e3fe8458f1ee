"""Settings for these tests, with all apps that work on one site together. Tests add others."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS, MEDIA_ROOT

INSTALLED_APPS = [
    *INSTALLED_APPS,
    "sorl.thumbnail",  # before easy_thumbnails, whose tags have the same names
    "dbbackup",
    "django_vite",
    "django_ckeditor_5",
    "django_summernote",
    "easy_thumbnails",
    "filer",
    "image_cropping",
    "imagekit",
    "import_export",
    "pictures",
    "polymorphic",
    "stdimage",
    "versatileimagefield",
    "wagtail.images",
    "wagtail.users",
    "wagtail.documents",
    "wagtail.search",
    "wagtail.admin",
    "wagtail",
    "taggit",
    "works_with",
]
# Create tables without migrations, which is faster: Wagtail alone has a hundred migrations.
MIGRATION_MODULES = dict.fromkeys(
    (
        *("easy_thumbnails", "filer", "thumbnail", "taggit"),
        *("wagtailadmin", "wagtailcore", "wagtaildocs", "wagtailimages", "wagtailsearch", "wagtailusers"),
    )
)

# dbbackup and filer read the class and options on import, before `s3_site` runs. They find the bucket in
# AWS_STORAGE_BUCKET_NAME.
STORAGES = {
    "default": {"BACKEND": "s3kit.storages.MediaStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "dbbackup": {"BACKEND": "s3kit.storages.MediaStorage", "OPTIONS": {"location": "backups/"}},
}
# Wagtail creates the static storage on import, which must not be the storage for uploads.
MEDIA_ROOT = MEDIA_ROOT / "media"

THUMBNAIL_PROCESSORS = (
    "image_cropping.thumbnail_processors.crop_corners",
    "easy_thumbnails.processors.colorspace",
    "easy_thumbnails.processors.autocrop",
    "easy_thumbnails.processors.scale_and_crop",
)
# Immediately, although Celery is installed.
PICTURES = {"PROCESSOR": "pictures.tasks._process_picture"}
IMPORT_EXPORT_TMP_STORAGE_CLASS = "import_export.tmp_storages.MediaStorage"
# The package's default would wait for the end of the test's transaction.
DBBACKUP_CONNECTORS = {"default": {"CONNECTOR": "dbbackup.db.sqlite.SqliteConnector"}}

WAGTAIL_SITE_NAME = "Tests"
WAGTAILADMIN_BASE_URL = "http://127.0.0.1"
WAGTAILIMAGES_EXTENSIONS = ["png", "svg"]
