"""The site's storages for static files and uploads, each with its own bucket or prefix."""

from s3kit import storages


class StaticStorage(storages.StaticStorage):
    """Static files, which are public. `manage.py collectstatic` uploads them."""

    location = "static/"


class MediaStorage(storages.MediaStorage):
    """Uploads, which are private unless AWS_MEDIA_ACCESS says otherwise, and never overwritten."""

    location = "media/"
