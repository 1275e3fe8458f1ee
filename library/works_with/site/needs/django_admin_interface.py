"""Each page contains the theme as inline styles. Related objects open in a frame on the same site.

To show fieldsets as tabs, which is off by default, add `"script-src": [UNSAFE_INLINE]`.
"""

from csp.constants import SELF, UNSAFE_INLINE

S3KIT_CSP_ADDITIONS = {"admin": {"style-src": [UNSAFE_INLINE], "frame-ancestors": [SELF]}}
