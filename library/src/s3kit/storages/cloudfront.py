"""Signed links and signed cookies for private objects behind CloudFront.

botocore signs the links with a canned policy. As in `s3kit.storages.signing`, a link stays the same for a window of
time, so browsers can cache the file. Requires `cryptography`: install `django-s3-kit[cloudfront]`.
"""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from botocore.signers import CloudFrontSigner
from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey


@lru_cache(maxsize=8)
def private_key(text: str) -> "RSAPrivateKey":
    r"""Return the private key in `cloudfront_key`: a PEM, with line breaks or a literal `\n`, or the base64 of a PEM.

    Raises ValueError, with a message that doesn't contain the key, and ImproperlyConfigured if `cryptography` isn't
    installed. Only 2,048-bit RSA is supported: CloudFront's other key type, ECDSA, gives the same link a different
    signature every time.
    """
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        raise ImproperlyConfigured(
            "CloudFront signed links need cryptography: install django-s3-kit[cloudfront]."
        ) from error
    hint = "cloudfront_key must be a 2048-bit RSA private key in PEM format, or the base64 of that PEM"
    try:
        pem = text.strip().strip("'\"").replace("\\n", "\n").replace("\\r", "").encode("ascii")
        if not pem.startswith(b"-----BEGIN"):
            pem = base64.b64decode(b"".join(pem.split()), validate=True)
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise ValueError(f"{hint}; this one has a passphrase.") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(f"{hint}; this one can't be read.") from None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError(f"{hint}; this one is not RSA.")  # noqa: TRY004 -- the setting is wrong, not the caller
    if key.key_size != 2048:
        raise ValueError(f"{hint}; this one has {key.key_size} bits.")
    return key


@lru_cache(maxsize=8)
def _signer(key_id: str, key: str) -> Any:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    def sign(message: bytes) -> bytes:
        # CloudFront accepts RSA with SHA-1 only.
        return private_key(key).sign(message, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303

    return CloudFrontSigner(key_id, sign)


@lru_cache(maxsize=4096)
def signed(key_id: str, key: str, url: str, expires: int) -> str:
    """Return `url` with a CloudFront signature that is valid until `expires` (Unix seconds).

    Results are cached, because a signature takes most of a millisecond.
    """
    until = datetime.fromtimestamp(expires, UTC)
    return str(_signer(key_id, key).generate_presigned_url(url, date_less_than=until))


@lru_cache(maxsize=64)
def signed_cookies(key_id: str, key: str, resource: str, expires: int) -> Mapping[str, str]:
    """Return the three cookies that let a browser read what `resource` matches until `expires` (Unix seconds).

    `resource` is a URL that may end in *. Source: "Set signed cookies using a custom policy", Amazon CloudFront
    Developer Guide.
    """
    signer = _signer(key_id, key)
    policy = signer.build_policy(resource, datetime.fromtimestamp(expires, UTC)).encode()
    return {
        "CloudFront-Policy": _for_cookie(policy),
        "CloudFront-Signature": _for_cookie(signer.rsa_signer(policy)),
        "CloudFront-Key-Pair-Id": key_id,
    }


def _for_cookie(value: bytes) -> str:
    # CloudFront uses its own URL-safe alphabet, not that of RFC 4648.
    return base64.b64encode(value).decode().translate(str.maketrans("+=/", "-_~"))
