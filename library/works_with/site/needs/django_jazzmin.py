"""Jazzmin's templates contain inline scripts and styles. It loads fonts from Google unless you turn that off."""

from s3kit.csp import INLINE

S3KIT_CSP_ADDITIONS = {"admin": INLINE}
JAZZMIN_SETTINGS = {"use_google_fonts_cdn": False}
