"""Both pages have a script and styles in them; Redoc runs a worker besides. The names are those of your URLs."""

from s3kit.csp import INLINE

S3KIT_CSP_ADDITIONS = {"swagger-ui": INLINE, "redoc": INLINE | {"worker-src": ["blob:"]}}
SPECTACULAR_SETTINGS = {
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}
