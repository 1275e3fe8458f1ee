"""The editor is a separate page in a frame. With every theme, it loads jQuery and Bootstrap from other hosts.

Don't use the theme "lite": it refers to a style sheet that the package doesn't contain, so its page returns 500, even
with Django's `ManifestStaticFilesStorage`. Anyone can send attachments unless you require a login.
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
