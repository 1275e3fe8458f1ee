"""Aligned and colored text has inline styles."""

from csp.constants import UNSAFE_INLINE

S3KIT_CSP_ADDITIONS = {"admin": {"style-src": [UNSAFE_INLINE]}}
