"""The editor writes styles into the page and into its frame."""

S3KIT_CSP_ADDITIONS = {"admin": {"style-src": ["'unsafe-inline'"]}}
