"""Log lines contain no signatures from links."""

import logging
import sys

import pytest

from s3kit.logging import WithoutSignatures

BUCKET = "https://acme-media.s3.eu-central-1.amazonaws.com/media/a.jpg"


@pytest.mark.parametrize(
    ("link", "logged"),
    [
        (f"{BUCKET}?X-Amz-Expires=60&X-Amz-Signature=0a1b", f"{BUCKET}?X-Amz-Expires=60&X-Amz-Signature=..."),
        (f"{BUCKET}?x-amz-security-token=IQo%2F&a=b", f"{BUCKET}?x-amz-security-token=...&a=b"),
        ("https://x.example/a?Policy=ab_~&Signature=cd-&Key-Pair-Id=K1", None),
        ("https://x.example/a?signed=yes", "https://x.example/a?signed=yes"),
    ],
)
def test_signatures_are_removed_from_messages_and_tracebacks(link: str, logged: str | None) -> None:
    logged = logged or "https://x.example/a?Policy=...&Signature=...&Key-Pair-Id=K1"
    try:
        raise ValueError(link)  # noqa: TRY301
    except ValueError:
        record = logging.LogRecord("site", logging.ERROR, "", 0, 'asked "%s"', (link,), sys.exc_info())
    line = type("Plain", (WithoutSignatures,), {})("%(message)s").format(record)
    assert line.startswith(f'asked "{logged}"\nTraceback')
    assert line.endswith(f"ValueError: {logged}")
