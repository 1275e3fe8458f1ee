"""The page names the editor's modules in an import map, which is an inline script."""

from s3kit.csp import INLINE

S3KIT_CSP_ADDITIONS = {"admin": INLINE}
