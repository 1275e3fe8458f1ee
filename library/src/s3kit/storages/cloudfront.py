"""Links to private objects behind CloudFront, signed by botocore with a canned policy, and cookies for all of them.

Links are the same for a whole window of time, as those of `s3kit.storages.signing` are, so that browsers can
cache what they lead to. This needs `cryptography`, which the extra `django-s3-kit[cloudfront]` installs.
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
    r"""Return the private key in `cloudfront_key`: a PEM, with line ends or `\n` for them, or base64 of it.

    Raises ValueError, with one line that says nothing of the key itself, and ImproperlyConfigured where
    `cryptography` is not installed. CloudFront verifies RSA of 2,048 bits; its other kind, ECDSA, would sign
    the same link differently every time.
    """
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        raise ImproperlyConfigured(
            "CloudFront's signed links need cryptography: install django-s3-kit[cloudfront]."
        ) from error
    hint = "cloudfront_key must be the PEM of an RSA private key of 2048 bits, or base64 of that PEM"
    try:
        pem = text.strip().strip("'\"").replace("\\n", "\n").replace("\\r", "").encode("ascii")
        if not pem.startswith(b"-----BEGIN"):
            pem = base64.b64decode(b"".join(pem.split()), validate=True)
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise ValueError(f"{hint}; this one is locked with a passphrase.") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(f"{hint}; this one cannot be read.") from None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError(f"{hint}; this one is not RSA.")  # noqa: TRY004 -- the setting is wrong, not the caller
    if key.key_size != 2048:
        raise ValueError(f"{hint}; this one has {key.key_size}.")
    return key


@lru_cache(maxsize=8)
def _signer(key_id: str, key: str) -> Any:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    def sign(message: bytes) -> bytes:
        # RSA with SHA-1 is what CloudFront verifies.
        return private_key(key).sign(message, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303

    return CloudFrontSigner(key_id, sign)


@lru_cache(maxsize=4096)
def signed(key_id: str, key: str, url: str, expires: int) -> str:
    """Return `url` signed for CloudFront until `expires` (Unix seconds).

    A signature takes most of a millisecond, so those of the objects and windows last asked for are kept.
    """
    until = datetime.fromtimestamp(expires, UTC)
    return str(_signer(key_id, key).generate_presigned_url(url, date_less_than=until))


@lru_cache(maxsize=64)
def signed_cookies(key_id: str, key: str, resource: str, expires: int) -> Mapping[str, str]:
    """Return the three cookies that let a browser read what `resource` matches until `expires` (Unix seconds).

    `resource` is an address that may end in *. Source: "Set signed cookies using a custom policy", Amazon
    CloudFront Developer Guide.
    """
    signer = _signer(key_id, key)
    policy = signer.build_policy(resource, datetime.fromtimestamp(expires, UTC)).encode()
    return {
        "CloudFront-Policy": _for_cookie(policy),
        "CloudFront-Signature": _for_cookie(signer.rsa_signer(policy)),
        "CloudFront-Key-Pair-Id": key_id,
    }


def _for_cookie(value: bytes) -> str:
    # CloudFront's own variant, which differs from that of RFC 4648 for URLs.
    return base64.b64encode(value).decode().translate(str.maketrans("+=/", "-_~"))
