"""The theme is a style sheet in each page. Related objects open in a frame of the site itself."""

from s3kit.csp import INLINE

S3KIT_CSP_ADDITIONS = {"admin": INLINE | {"frame-ancestors": ["'self'"]}}
