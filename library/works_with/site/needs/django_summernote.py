"""The editor is a frame with a page of its own. It loads jQuery and Bootstrap from other hosts, whatever the theme.

The theme "lite" answers 500, with Django's ManifestStaticFilesStorage too: it names a style sheet that the package
lacks. Anybody may send attachments unless you ask for a login.
"""

from s3kit.csp import INLINE

_HOSTS = ["code.jquery.com", "cdn.jsdelivr.net/npm/bootstrap@5.0.2/"]
S3KIT_CSP_ADDITIONS = {
    "admin": INLINE,
    "django_summernote-editor": {
        "script-src": ["'unsafe-inline'", *_HOSTS],
        "style-src": ["'unsafe-inline'", *_HOSTS],
        "frame-ancestors": ["'self'"],
    },
}
SUMMERNOTE_THEME = "bs5"
SUMMERNOTE_CONFIG = {"attachment_require_authentication": True}
