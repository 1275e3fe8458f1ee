"""Server-side encryption: values of the option `encryption`, and how requests and buckets represent them.

Sources: S3 User Guide, "Protecting data with server-side encryption"; Amazon S3 API Reference, "PutObject".
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

ALGORITHMS = ("AES256", "aws:kms")
HEADER = "x-amz-server-side-encryption"
KEY_HEADER = f"{HEADER}-aws-kms-key-id"

# Not an alias, because the resources in IAM policies are keys.
_KEY = re.compile(r"arn:aws[a-z-]*:kms:([a-z0-9-]+):[0-9]{12}:key/[A-Za-z0-9-]+")
_EXAMPLE = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def problem(value: str, region: str) -> str:
    """Return an error message if a value is invalid for a bucket in this region ("" if unknown), else ""."""
    key = _KEY.fullmatch(value)
    if not value or value in ALGORITHMS or (key and region in {"", key[1]}):
        return ""
    if key:
        return (
            f"The option 'encryption' is a key in {key[1]}, but the bucket is in {region}: use a key in the bucket's"
            " region."
        )
    return (
        f"The option 'encryption' is {value!r}: set it to 'AES256', to 'aws:kms', or to the ARN of a KMS key, such as"
        f" {_EXAMPLE}"
    )


def algorithm(value: str) -> str:
    """Return the algorithm of a value, "" for none."""
    return "aws:kms" if _KEY.fullmatch(value) else value


def key(value: str) -> str:
    """Return the value if it is the ARN of a KMS key, else ""."""
    return value if _KEY.fullmatch(value) else ""


def is_kms(value: object) -> bool:
    """Return whether a value encrypts with AWS KMS, so that reading an object needs access to a key."""
    return algorithm(str(value)).startswith("aws:kms")


def headers(value: str) -> dict[str, str]:
    """Return the headers for a request that stores an object."""
    found = {HEADER: algorithm(value), KEY_HEADER: key(value)}
    return {name: each for name, each in found.items() if each}


def arguments(value: str) -> dict[str, str]:
    """Return the arguments for a boto3 call that stores an object."""
    found = {"ServerSideEncryption": algorithm(value), "SSEKMSKeyId": key(value)}
    return {name: each for name, each in found.items() if each}


def candidates(statements: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the values that may satisfy the statements of a policy: the algorithms, and the keys in the statements."""
    return [*ALGORITHMS, *(found[0] for found in _KEY.finditer(json.dumps(statements)))]


def default_rule(value: str) -> dict[str, object]:
    """Return the rule for a bucket's default encryption in boto3's format."""
    named = {"SSEAlgorithm": algorithm(value), "KMSMasterKeyID": key(value)}
    rule: dict[str, object] = {"ApplyServerSideEncryptionByDefault": {k: v for k, v in named.items() if v}}
    # A bucket key saves requests to KMS, which cost money.
    return rule | ({"BucketKeyEnabled": True} if is_kms(value) else {})


def of_rule(rule: Mapping[str, Mapping[str, str]]) -> str:
    """Return the value of the option for a bucket's default encryption rule: its key if it has one."""
    default = rule["ApplyServerSideEncryptionByDefault"]
    found, algorithm = default.get("KMSMasterKeyID"), default["SSEAlgorithm"]
    if not found or found.endswith("alias/aws/s3") or algorithm != "aws:kms":
        return algorithm
    return found if _KEY.fullmatch(found) else f"aws:kms with {found}"
