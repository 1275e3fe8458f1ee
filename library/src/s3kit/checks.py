"""System checks of what the settings say about S3: no network, no credentials, nothing that must be up.

Names and region are checked whenever they are set, because they are wrong long before they are used; all else
counts from the day that USE_S3 is on.
"""

import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004 -- Django's own name

from s3kit.naming import buckets as bucket_names
from s3kit.naming import regions
from s3kit.deployment import LOOPBACK, Site

TAG = "s3"

MEDIA_ACCESS = ("private", "public-read", "public-policy")

# SigV4 query strings: "The maximum value is 604800 seconds (7 days)", Amazon S3 API Reference.
LONGEST_EXPIRE = 604800

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?")
_DISTRIBUTION = re.compile(r"arn:(aws[a-z-]*):cloudfront::[0-9]{12}:distribution/[A-Z0-9]+")
_DISTRIBUTION_EXAMPLE = "arn:aws:cloudfront::123456789012:distribution/E1ABCDEFGHIJKL"


@register(TAG)
def check_names(**_kwargs: Any) -> list[CheckMessage]:
    """Check the region and the names of the buckets, as far as they are set."""
    return [*_region(), *_bucket_names()]


@register(TAG)
def check_settings(**_kwargs: Any) -> list[CheckMessage]:
    """Check everything else that USE_S3 brings into force."""
    return all_settings() if settings.USE_S3 else []


def all_settings() -> list[CheckMessage]:
    """Return what is wrong with all else than names, whether USE_S3 is on or not."""
    return [
        *_access(),
        *_boto3_variables(),
        *_custom_domains(),
        *_cloudfront_key(),
        *_distribution(),
        *_expire(),
        *_endpoint(),
        *_owner(),
        *_origins(),
    ]


def _region() -> Iterator[CheckMessage]:
    region = settings.AWS_S3_REGION_NAME
    if not region:
        return
    near = regions.suggestion(region)
    hint = f"Did you mean {near}?" if near else "AWS's list of regions names them, as in eu-central-1."
    for problem in regions.problems(region):
        yield Error(f"AWS_S3_REGION_NAME: {region!r} {problem.message}.", hint=hint, id="s3.E002")
    if not regions.problems(region) and not regions.is_known(region):
        yield Warning(
            f"AWS_S3_REGION_NAME: {region!r} is none of the regions known to this project.",
            hint=f"{hint} If AWS has opened it since, silence this check.",
            id="s3.W001",
        )


def _bucket_names() -> Iterator[CheckMessage]:
    region = settings.AWS_S3_REGION_NAME
    known = region if region and not regions.problems(region) else None
    for name in ("AWS_STATIC_BUCKET_NAME", "AWS_MEDIA_BUCKET_NAME"):
        bucket = getattr(settings, name)
        if not bucket:
            continue
        for problem in bucket_names.problems(bucket, region=known):
            yield Error(
                f"{name}: {bucket!r} {problem.message}.",
                hint=f"A name that S3 takes: {bucket_names.suggestion(bucket, region=known)}",
                id="s3.E001",
            )


def _access() -> Iterator[CheckMessage]:
    access = settings.AWS_MEDIA_ACCESS
    if access not in MEDIA_ACCESS:
        yield Error(
            f"AWS_MEDIA_ACCESS: {access!r} is no access mode.",
            hint=f"Use one of {', '.join(MEDIA_ACCESS)}.",
            id="s3.E003",
        )
    same = settings.AWS_STATIC_BUCKET_NAME == settings.AWS_MEDIA_BUCKET_NAME
    if same and access == "private" and not settings.AWS_CLOUDFRONT_DISTRIBUTION_ARN:
        yield Warning(
            "One bucket holds public static files and private uploads: only the resource static/* in its"
            " policy stands between visitors and the uploads.",
            hint="Give AWS_MEDIA_BUCKET_NAME a bucket of its own, or let only CloudFront in by"
            " AWS_CLOUDFRONT_DISTRIBUTION_ARN.",
            id="s3.W002",
        )
    if (
        access == "public-read"
        and settings.AWS_CLOUDFRONT_DISTRIBUTION_ARN
        and settings.AWS_MEDIA_CUSTOM_DOMAIN
    ):
        yield Warning(
            "AWS_MEDIA_ACCESS is public-read, but uploads are to be had from CloudFront only: each upload's"
            " ACL would make it public at the bucket's own address, past CloudFront.",
            hint="Set AWS_MEDIA_ACCESS to public-policy (public through CloudFront) or to private.",
            id="s3.W006",
        )


def _boto3_variables() -> Iterator[CheckMessage]:
    endpoint, region = settings.AWS_S3_ENDPOINT_URL.rstrip("/"), settings.AWS_S3_REGION_NAME
    for variable, ours, value in (
        ("AWS_ENDPOINT_URL", "AWS_S3_ENDPOINT_URL", endpoint),
        ("AWS_ENDPOINT_URL_S3", "AWS_S3_ENDPOINT_URL", endpoint),
        ("AWS_DEFAULT_REGION", "AWS_S3_REGION_NAME", region),
        ("AWS_REGION", "AWS_S3_REGION_NAME", region),
    ):
        theirs = os.environ.get(variable, "").strip().rstrip("/")
        if theirs and theirs != value:
            yield Warning(
                f"{variable} is {theirs!r}, but {ours} is {value!r}: the site goes by the latter, and"
                " AWS's own tools in the same shell by the former.",
                hint=f"Unset {variable}, or set both alike.",
                id="s3.W003",
            )


def _custom_domains() -> Iterator[CheckMessage]:
    for name in ("AWS_STATIC_CUSTOM_DOMAIN", "AWS_MEDIA_CUSTOM_DOMAIN"):
        domain = getattr(settings, name)
        if domain and not _HOST.fullmatch(domain):
            host = urlsplit(domain.strip()).netloc or domain.strip().split("/")[0]
            example = host if _HOST.fullmatch(host) else "static.example.com"
            yield Error(
                f"{name}: {domain!r} is not a bare host name.",
                hint=f"Leave out scheme, path, slashes and spaces, as in {example}",
                id="s3.E004",
            )


def _cloudfront_key() -> Iterator[CheckMessage]:
    pair = {
        "AWS_CLOUDFRONT_KEY_ID": settings.AWS_CLOUDFRONT_KEY_ID,
        "AWS_CLOUDFRONT_KEY": settings.AWS_CLOUDFRONT_KEY,
    }
    missing = [name for name, value in pair.items() if not value]
    if missing and settings.AWS_MEDIA_CUSTOM_DOMAIN and settings.AWS_MEDIA_ACCESS == "private":
        yield Error(
            "AWS_MEDIA_CUSTOM_DOMAIN is set and uploads are private, but their links cannot be signed:"
            f" {' and '.join(missing)} missing.",
            hint="Make a key pair for CloudFront and set both, or use a public AWS_MEDIA_ACCESS.",
            id="s3.E005",
        )
    elif len(missing) == 1:
        (there,) = (name for name in pair if name not in missing)
        yield Warning(
            f"{there} is set, but {missing[0]} is not: one without the other signs nothing.",
            hint=f"Set {missing[0]} as well, or neither.",
            id="s3.W004",
        )
    if pair["AWS_CLOUDFRONT_KEY"]:
        from s3kit.storages.media import cloudfront_key

        try:
            cloudfront_key(pair["AWS_CLOUDFRONT_KEY"])
        except ValueError as error:
            yield Error(
                str(error),
                hint="openssl genrsa -out private.pem 2048; AWS_CLOUDFRONT_KEY=$(base64 -w0 private.pem)",
                id="s3.E006",
            )


def _distribution() -> Iterator[CheckMessage]:
    arn, region = settings.AWS_CLOUDFRONT_DISTRIBUTION_ARN, settings.AWS_S3_REGION_NAME
    if not arn:
        return
    match = _DISTRIBUTION.fullmatch(arn)
    if not match:
        yield Error(
            f"AWS_CLOUDFRONT_DISTRIBUTION_ARN: {arn!r} is not the ARN of a distribution.",
            hint=f"It looks like {_DISTRIBUTION_EXAMPLE}",
            id="s3.E011",
        )
    elif not regions.problems(region):
        from s3kit.clients import partition

        if match[1] != partition(region):
            yield Error(
                f"AWS_CLOUDFRONT_DISTRIBUTION_ARN is in the partition {match[1]!r}, but the region {region}"
                f" is in {partition(region)!r}: neither knows the other's accounts.",
                hint="Name a distribution of the buckets' own partition.",
                id="s3.E011",
            )
    if not settings.AWS_STATIC_CUSTOM_DOMAIN:
        yield Warning(
            "AWS_CLOUDFRONT_DISTRIBUTION_ARN lets only CloudFront read static files, but pages link to the"
            " bucket.",
            hint="Set AWS_STATIC_CUSTOM_DOMAIN to the distribution's domain name.",
            id="s3.W007",
        )


def _expire() -> Iterator[CheckMessage]:
    seconds = settings.AWS_QUERYSTRING_EXPIRE
    if not 1 <= seconds <= LONGEST_EXPIRE:
        yield Error(
            f"AWS_QUERYSTRING_EXPIRE is {seconds}: S3 refuses links that live longer than {LONGEST_EXPIRE}"
            " seconds (7 days), or not at all.",
            hint=f"Set it to 1 to {LONGEST_EXPIRE} seconds; 3600 is the default.",
            id="s3.E007",
        )


def _endpoint() -> Iterator[CheckMessage]:
    url = settings.AWS_S3_ENDPOINT_URL
    if not url:
        return
    parts = _split(url)
    if parts is None:
        yield Error(
            f"AWS_S3_ENDPOINT_URL: {url!r} is not a scheme and a host, with or without a port.",
            hint="Write it as https://s3.example.com or http://127.0.0.1:9000: no path, query or password.",
            id="s3.E008",
        )
        return
    host = parts.hostname or ""
    for name in ("AWS_STATIC_BUCKET_NAME", "AWS_MEDIA_BUCKET_NAME"):
        bucket = getattr(settings, name)
        if bucket and host.startswith(f"{bucket}."):
            yield Error(
                f"AWS_S3_ENDPOINT_URL: {url!r} names the bucket of {name}; on an endpoint the bucket goes"
                " into the path.",
                hint=f"Leave the bucket out: {parts.scheme}://{parts.netloc.split('.', 1)[1]}",
                id="s3.E009",
            )
    if re.search(r"\.amazonaws\.(com|com\.cn|eu)$", host):
        yield Warning(
            f"AWS_S3_ENDPOINT_URL: {url!r} is AWS itself, where buckets belong into the host name; an"
            " endpoint gets them into the path.",
            hint="Leave AWS_S3_ENDPOINT_URL blank: the region says where AWS is.",
            id="s3.W008",
        )
    if parts.scheme == "http" and host not in LOOPBACK and not settings.DEBUG:
        yield Warning(
            f"AWS_S3_ENDPOINT_URL: {url!r} is plain http: uploads, and links that open private ones, can be"
            " read on their way.",
            hint="Use https.",
            id="s3.W005",
        )


def _split(url: str) -> SplitResult | None:
    """Return the parts of an endpoint's address, or nothing where it is none."""
    try:
        parts = urlsplit(url)
        bare = f"{parts.scheme}://{parts.netloc}"
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        return None
    if (
        not good
        or parts.username is not None
        or url.rstrip("/").lower() != bare.lower()
        or re.search(r"\s", url)
    ):
        return None
    return parts


def _owner() -> Iterator[CheckMessage]:
    owner = settings.AWS_EXPECTED_BUCKET_OWNER
    if owner and not re.fullmatch(r"[0-9]{12}", owner):
        yield Error(
            f"AWS_EXPECTED_BUCKET_OWNER: {owner!r} is not an account's number.",
            hint="It has 12 digits, without hyphens: aws sts get-caller-identity shows it.",
            id="s3.E010",
        )


def _origins() -> Iterator[CheckMessage]:
    if not settings.SITE_ORIGINS and not settings.DEBUG and not Site.from_settings().at_desk:
        yield Warning(
            "DJANGO_SITE_ORIGINS names no origin, so that no bucket allows the site's pages to load fonts and"
            " JavaScript modules from it, or to send large uploads to it.",
            hint="Set DJANGO_SITE_ORIGINS=https://www.example.com, as visitors' browsers show it.",
            id="s3.W009",
        )
