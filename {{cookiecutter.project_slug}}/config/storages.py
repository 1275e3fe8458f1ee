"""Where the site's files live: static files and uploads, each in a bucket or under a prefix of its own."""

from s3kit import storages


class StaticStorage(storages.StaticStorage):
    """CSS, JavaScript and images that belong to the code: public, published by `manage.py collectstatic`."""

    location = "static/"


class MediaStorage(storages.MediaStorage):
    """Users' uploads: private unless AWS_MEDIA_ACCESS says otherwise, and never overwritten."""

    location = "media/"
