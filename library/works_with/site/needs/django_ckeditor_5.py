"""The editor writes its styles into the page."""

S3KIT_CSP_ADDITIONS = {"admin": {"style-src": ["'unsafe-inline'"]}}
