"""Keep the signatures of signed links out of logs."""

import logging
import re

# What makes a signed link valid, as S3 and CloudFront call it. Other parts of a link are harmless.
_SIGNATURE = re.compile(
    r"([?&](?:X-Amz-Signature|X-Amz-Security-Token|Signature|Policy)=)[^&\s\"'<>\\]+", re.IGNORECASE
)


def without_signatures(text: str) -> str:
    """Return the text with the signature of each link replaced by dots."""
    return _SIGNATURE.sub(r"\1...", text)


class WithoutSignatures(logging.Formatter):
    """A mixin for formatters that removes signatures from finished lines, tracebacks included.

    Put it first: `class Plain(WithoutSignatures, logging.Formatter)`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the formatted record without signatures."""
        return without_signatures(super().format(record))
