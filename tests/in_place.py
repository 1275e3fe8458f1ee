"""Makes the project's modules importable from the template's folder, with settings for its storages."""

import sys

from django.conf import settings

from tests.answers import ROOT

sys.path.append(str(ROOT / "{{cookiecutter.project_slug}}"))

if not settings.configured:
    settings.configure(
        AWS_S3_REGION_NAME="eu-central-1",
        AWS_S3_ENDPOINT_URL="",
        AWS_EXPECTED_BUCKET_OWNER="",
        AWS_MEDIA_BUCKET_NAME="a-bucket",
        AWS_MEDIA_ACCESS="public-policy",
        AWS_MEDIA_CUSTOM_DOMAIN="m.example.com",
        AWS_QUERYSTRING_EXPIRE=3600,
    )
