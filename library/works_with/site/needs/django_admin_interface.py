"""The theme is a style sheet in each page. Related objects open in a frame of the site itself.

To show fieldsets as tabs, which is off by default, add `"script-src": [UNSAFE_INLINE]`.
"""

from csp.constants import SELF, UNSAFE_INLINE

S3KIT_CSP_ADDITIONS = {"admin": {"style-src": [UNSAFE_INLINE], "frame-ancestors": [SELF]}}
