"""The editor is a frame with a page of its own. It loads jQuery and Bootstrap from other hosts, whatever the theme.

The theme "lite" answers 500, with Django's ManifestStaticFilesStorage too: it names a style sheet that the package
lacks. Anybody may send attachments unless you ask for a login.
"""

from csp.constants import SELF, UNSAFE_INLINE

from s3kit.csp import INLINE

S3KIT_CSP_ADDITIONS = {
    "admin": INLINE,
    "django_summernote-editor": {
        "script-src": [UNSAFE_INLINE, "code.jquery.com", "cdn.jsdelivr.net/npm/bootstrap@5.0.2/"],
        "style-src": [UNSAFE_INLINE, "cdn.jsdelivr.net/npm/bootstrap@5.0.2/"],
        "frame-ancestors": [SELF],
    },
}
SUMMERNOTE_THEME = "bs5"
SUMMERNOTE_CONFIG = {"attachment_require_authentication": True}
