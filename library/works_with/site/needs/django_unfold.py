"""Unfold's menus are built with Alpine, which evaluates text from attributes."""

from s3kit.csp import INLINE

S3KIT_CSP_ADDITIONS = {"admin": INLINE | {"script-src": ["'unsafe-inline'", "'unsafe-eval'"]}}
