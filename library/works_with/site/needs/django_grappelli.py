"""Grappelli's templates have scripts and styles in them."""

from s3kit.csp import INLINE

S3KIT_CSP_ADDITIONS = {"admin": INLINE}
