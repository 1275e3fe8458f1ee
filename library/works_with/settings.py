"""The site of these tests. Apps that can be on one site together are on it; a test adds what it needs besides."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS

INSTALLED_APPS = [
    *INSTALLED_APPS,
    "sorl.thumbnail",  # before easy_thumbnails, whose tags have the same name
    "dbbackup",
    "easy_thumbnails",
    "filer",
    "image_cropping",
    "imagekit",
    "import_export",
    "pictures",
    "polymorphic",
    "stdimage",
    "versatileimagefield",
    "works_with",
]
# Their tables are made as their models are now, which is sooner done.
MIGRATION_MODULES = dict.fromkeys(("easy_thumbnails", "filer", "thumbnail"))

# dbbackup and filer take class and options when they are imported, so that `s3_site` comes too late for them:
# they find the bucket in AWS_STORAGE_BUCKET_NAME.
STORAGES = {
    "default": {"BACKEND": "s3kit.storages.MediaStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "dbbackup": {"BACKEND": "s3kit.storages.MediaStorage", "OPTIONS": {"location": "backups/"}},
}

THUMBNAIL_PROCESSORS = (
    "image_cropping.thumbnail_processors.crop_corners",
    "easy_thumbnails.processors.colorspace",
    "easy_thumbnails.processors.autocrop",
    "easy_thumbnails.processors.scale_and_crop",
)
IMPORT_EXPORT_TMP_STORAGE_CLASS = "import_export.tmp_storages.MediaStorage"
# Its own default would wait for the test's transaction to end.
DBBACKUP_CONNECTORS = {"default": {"CONNECTOR": "dbbackup.db.sqlite.SqliteConnector"}}
