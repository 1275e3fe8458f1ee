"""The site as its buckets and policies see it: the settings on which they depend, as data."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings

from s3kit.clients import partition

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class Site:
    """All that the buckets and policies depend on; blank texts are unset."""

    region: str
    static_bucket: str
    media_bucket: str
    access: str = "private"
    endpoint: str = ""
    origins: tuple[str, ...] = ()
    distribution: str = ""
    media_domain: str = ""
    versioning: bool = False
    owner: str = ""

    @classmethod
    def from_settings(cls) -> "Site":
        """Return the site that Django's settings describe, whether or not USE_S3 is on."""
        return cls(
            region=settings.AWS_S3_REGION_NAME,
            static_bucket=settings.AWS_STATIC_BUCKET_NAME,
            media_bucket=settings.AWS_MEDIA_BUCKET_NAME,
            access=settings.AWS_MEDIA_ACCESS,
            endpoint=settings.AWS_S3_ENDPOINT_URL,
            origins=tuple(settings.SITE_ORIGINS),
            distribution=settings.AWS_CLOUDFRONT_DISTRIBUTION_ARN,
            media_domain=settings.AWS_MEDIA_CUSTOM_DOMAIN,
            versioning=settings.AWS_MEDIA_VERSIONING,
            owner=settings.AWS_EXPECTED_BUCKET_OWNER,
        )

    @property
    def at_desk(self) -> bool:
        """Whether the endpoint is plain http on this machine: nothing else goes without TLS."""
        parts = urlsplit(self.endpoint)
        return parts.scheme == "http" and parts.hostname in LOOPBACK

    @property
    def media_through_cdn(self) -> bool:
        """Whether visitors get uploads from the CloudFront distribution, and only from there."""
        return bool(self.distribution and self.media_domain) and self.access != "public-read"

    def arn(self, bucket: str, key: str = "") -> str:
        """Return the ARN of a bucket, or of its objects, in the region's partition."""
        return f"arn:{partition(self.region)}:s3:::{bucket}" + (f"/{key}" if key else "")
