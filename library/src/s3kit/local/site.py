"""What `manage.py s3 serve` and `run` share: the site as it is at the desk, on the embedded S3."""

import os
from argparse import ArgumentTypeError
from dataclasses import replace
from pathlib import Path

from django.conf import settings
from django.core.management.base import CommandParser

from s3kit.buckets import apply
from s3kit.buckets import policies
from s3kit.local.server import EmbeddedS3
from s3kit.deployment import Site

PORT = 9000

# For a desk without any configuration; the embedded S3 has no other customers who could have taken the names.
DEFAULT_REGION, DEFAULT_STATIC_BUCKET, DEFAULT_MEDIA_BUCKET = "us-east-1", "desk-static", "desk-media"


def add_data(parser: CommandParser) -> None:
    """Add the option that says where the embedded S3 keeps its data."""
    parser.add_argument(
        "--data",
        type=Path,
        default=settings.VAR_DIR / "s3",
        metavar="DIR",
        help="the folder that keeps what is stored (default: %(default)s)",
    )


def port(text: str) -> int:
    """Return the port that an option names; raise ArgumentTypeError where it is none."""
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise ArgumentTypeError(f"{text!r} is not a port: 0 to 65535")
    return int(text)


def desk_site() -> Site:
    """Return the site of the settings as it is at the desk; what they leave blank gets a default."""
    site = Site.from_settings()
    return replace(
        site,
        region=site.region or DEFAULT_REGION,
        static_bucket=site.static_bucket or DEFAULT_STATIC_BUCKET,
        media_bucket=site.media_bucket or DEFAULT_MEDIA_BUCKET,
        # These belong to AWS itself and mean nothing to the embedded S3.
        owner="",
        distribution="",
        media_domain="",
    )


def prepare(store: EmbeddedS3, site: Site) -> dict[str, str]:
    """Prepare the buckets and the IAM user, and return the environment of a site that uses them.

    It has this process's variables without the AWS ones: no real profile or key gets to the embedded S3, and
    .env, of which this process has all variables already, is not read again.
    """
    site = replace(site, endpoint=store.endpoint)
    apply.prepare(store.client(), site)
    store.site_key(policies.document(policies.web(site)), policies.document(policies.deploy(site)))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    for name in ("NO_PROXY", "no_proxy"):
        environment[name] = ",".join(filter(None, [environment.get(name), "127.0.0.1"]))
    return environment | {
        "DJANGO_ENV_FILE": os.devnull,
        "USE_S3": "true",
        "AWS_S3_ENDPOINT_URL": store.endpoint,
        "AWS_S3_REGION_NAME": site.region,
        "AWS_STATIC_BUCKET_NAME": site.static_bucket,
        "AWS_MEDIA_BUCKET_NAME": site.media_bucket,
        "AWS_MEDIA_ACCESS": site.access,
        "AWS_MEDIA_VERSIONING": str(site.versioning).lower(),
        "AWS_QUERYSTRING_EXPIRE": str(settings.AWS_QUERYSTRING_EXPIRE),
        "AWS_SHARED_CREDENTIALS_FILE": str(store.credentials),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
