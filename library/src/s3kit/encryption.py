"""Server-side encryption: the values of the option `encryption`, and what requests and buckets say of them.

Sources: S3 User Guide, "Protecting data with server-side encryption"; Amazon S3 API Reference, "PutObject".
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

ALGORITHMS = ("AES256", "aws:kms")
HEADER = "x-amz-server-side-encryption"
KEY_HEADER = f"{HEADER}-aws-kms-key-id"

# Not an alias: in IAM policies, resources are keys.
_KEY = re.compile(r"arn:aws[a-z-]*:kms:([a-z0-9-]+):[0-9]{12}:key/[A-Za-z0-9-]+")
_EXAMPLE = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def problem(value: str, region: str) -> str:
    """Return what is wrong with a value for a bucket in a region ("" for one that is not known), and the fix."""
    key = _KEY.fullmatch(value)
    if not value or value in ALGORITHMS or (key and region in {"", key[1]}):
        return ""
    if key:
        return (
            f"The option 'encryption' names a key in {key[1]}, and the bucket is in {region}: S3 takes keys of the"
            " bucket's own region only."
        )
    return (
        f"The option 'encryption' is {value!r}: set it to 'AES256', to 'aws:kms', or to the ARN of a KMS key, as in"
        f" {_EXAMPLE}"
    )


def algorithm(value: str) -> str:
    """Return the algorithm of a value, "" for none."""
    return "aws:kms" if _KEY.fullmatch(value) else value


def key(value: str) -> str:
    """Return the ARN of the KMS key that a value names, else ""."""
    return value if _KEY.fullmatch(value) else ""


def is_kms(value: object) -> bool:
    """Tell whether it takes a key of AWS KMS to read what is stored, which is stricter than S3's own."""
    return algorithm(str(value)).startswith("aws:kms")


def headers(value: str) -> dict[str, str]:
    """Return the headers of a request that stores an object."""
    found = {HEADER: algorithm(value), KEY_HEADER: key(value)}
    return {name: each for name, each in found.items() if each}


def arguments(value: str) -> dict[str, str]:
    """Return the arguments of boto3's call that stores an object."""
    found = {"ServerSideEncryption": algorithm(value), "SSEKMSKeyId": key(value)}
    return {name: each for name, each in found.items() if each}


def candidates(statements: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the values that may satisfy statements of a policy: the algorithms, and the keys that they name."""
    return [*ALGORITHMS, *(found[0] for found in _KEY.finditer(json.dumps(statements)))]


def default_rule(value: str) -> dict[str, object]:
    """Return the rule of a bucket's default encryption, as boto3 writes it."""
    named = {"SSEAlgorithm": algorithm(value), "KMSMasterKeyID": key(value)}
    rule: dict[str, object] = {"ApplyServerSideEncryptionByDefault": {k: v for k, v in named.items() if v}}
    # One request to KMS for many objects, which is cheaper.
    return rule | ({"BucketKeyEnabled": True} if is_kms(value) else {})


def of_rule(rule: Mapping[str, Mapping[str, str]]) -> str:
    """Return the value that a rule of a bucket's default encryption stands for: the key, if it names one."""
    default = rule["ApplyServerSideEncryptionByDefault"]
    found, algorithm = default.get("KMSMasterKeyID"), default["SSEAlgorithm"]
    if not found or found.endswith("alias/aws/s3") or algorithm != "aws:kms":
        return algorithm
    return found if _KEY.fullmatch(found) else f"aws:kms with {found}"
