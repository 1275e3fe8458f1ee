"""What somebody aligns or colours has its style in the text."""

from csp.constants import UNSAFE_INLINE

S3KIT_CSP_ADDITIONS = {"admin": {"style-src": [UNSAFE_INLINE]}}
