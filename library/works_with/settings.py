"""The site of these tests. Apps that can be on one site together are on it; a test adds what it needs besides."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS, MEDIA_ROOT

INSTALLED_APPS = [
    *INSTALLED_APPS,
    "sorl.thumbnail",  # before easy_thumbnails, whose tags have the same name
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
# Their tables are made as their models are now, which is sooner done: Wagtail alone has a hundred migrations.
MIGRATION_MODULES = dict.fromkeys(
    (
        *("easy_thumbnails", "filer", "thumbnail", "taggit"),
        *("wagtailadmin", "wagtailcore", "wagtaildocs", "wagtailimages", "wagtailsearch", "wagtailusers"),
    )
)

# dbbackup and filer take class and options when they are imported, so that `s3_site` comes too late for them:
# they find the bucket in AWS_STORAGE_BUCKET_NAME.
STORAGES = {
    "default": {"BACKEND": "s3kit.storages.MediaStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "dbbackup": {"BACKEND": "s3kit.storages.MediaStorage", "OPTIONS": {"location": "backups/"}},
}
# Wagtail makes the storage of static files while it is imported, which must not be that of the uploads.
MEDIA_ROOT = MEDIA_ROOT / "media"

THUMBNAIL_PROCESSORS = (
    "image_cropping.thumbnail_processors.crop_corners",
    "easy_thumbnails.processors.colorspace",
    "easy_thumbnails.processors.autocrop",
    "easy_thumbnails.processors.scale_and_crop",
)
# At once, although Celery is installed.
PICTURES = {"PROCESSOR": "pictures.tasks._process_picture"}
IMPORT_EXPORT_TMP_STORAGE_CLASS = "import_export.tmp_storages.MediaStorage"
# Its own default would wait for the test's transaction to end.
DBBACKUP_CONNECTORS = {"default": {"CONNECTOR": "dbbackup.db.sqlite.SqliteConnector"}}

WAGTAIL_SITE_NAME = "Tests"
WAGTAILADMIN_BASE_URL = "http://127.0.0.1"
WAGTAILIMAGES_EXTENSIONS = ["png", "svg"]
