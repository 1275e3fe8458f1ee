"""The page names the editor's modules in an import map, which is a script in the page."""

from s3kit.csp import INLINE

S3KIT_CSP_ADDITIONS = {"admin": INLINE}
