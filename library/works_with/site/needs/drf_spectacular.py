"""The keys are the names of the views in your URL configuration.

`SpectacularSwaggerSplitView` serves Swagger UI's script separately, so only styles are inline; `SpectacularSwaggerView`
needs `INLINE`. The policy blocks Redoc's fonts and its vendor's logo, which come from other hosts; Redoc works
without them.
"""

from csp.constants import UNSAFE_INLINE

from s3kit.csp import INLINE

S3KIT_CSP_ADDITIONS = {
    "swagger-ui-split": {"style-src": [UNSAFE_INLINE]},
    "swagger-ui": INLINE,
    "redoc": {"style-src": [UNSAFE_INLINE], "worker-src": ["blob:"]},
}
SPECTACULAR_SETTINGS = {
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}
