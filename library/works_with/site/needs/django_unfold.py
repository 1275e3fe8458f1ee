"""Unfold's menus use Alpine, which evaluates code in attributes and sets inline styles."""

from csp.constants import UNSAFE_EVAL, UNSAFE_INLINE

S3KIT_CSP_ADDITIONS = {"admin": {"script-src": [UNSAFE_EVAL], "style-src": [UNSAFE_INLINE]}}
