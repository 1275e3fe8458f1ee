"""Unfold's menus are built with Alpine, which evaluates text from attributes and shows and hides by inline styles."""

from csp.constants import UNSAFE_EVAL, UNSAFE_INLINE

S3KIT_CSP_ADDITIONS = {"admin": {"script-src": [UNSAFE_EVAL], "style-src": [UNSAFE_INLINE]}}
