"""Grappelli's templates contain inline scripts and styles."""

from s3kit.csp import INLINE

S3KIT_CSP_ADDITIONS = {"admin": INLINE}
