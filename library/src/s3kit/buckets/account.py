"""The AWS account of the credentials, and whether it blocks public access to all its buckets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from s3kit import errors
from s3kit.buckets.wanted import BucketError
from s3kit.clients import session
from s3kit.deployment import Deployment, Target


@dataclass(frozen=True)
class Account:
    """An AWS account. `blocks` is its Block Public Access, or None for the reason in `unknown`."""

    id: str = ""
    blocks: Mapping[str, bool] | None = None
    unknown: str = ""


def account(target: Target) -> Account:
    """Return the account of the credentials, as AWS says; an empty one for a target with an endpoint.

    Raises NoCredentialsError if there are no credentials. Other failures aren't errors: a network may allow S3 only,
    and few roles may read the account's settings.
    """
    if target.endpoint:
        return Account()
    try:
        number = str(_client("sts", target).get_caller_identity()["Account"])
    except NoCredentialsError:
        raise
    except (ClientError, BotoCoreError) as error:
        denied = errors.code(error) == "AccessDenied"
        why = errors.reason(error) if denied else errors.explain(error).rstrip(".")
        return Account(unknown=f"sts:GetCallerIdentity failed: {why}")
    try:
        blocks = _client("s3control", target).get_public_access_block(AccountId=number)
    except (ClientError, BotoCoreError) as error:
        if errors.reason(error) == "NoSuchPublicAccessBlockConfiguration":
            return Account(number, {})
        return Account(number, None, f"s3:GetAccountPublicAccessBlock failed: {errors.reason(error)}")
    return Account(number, blocks["PublicAccessBlockConfiguration"])


def _client(service: str, target: Target) -> Any:
    # Ignore AWS_ENDPOINT_URL, as for S3 itself: other servers have neither service.
    config = Config(
        connect_timeout=3,
        read_timeout=10,
        retries={"mode": "standard", "total_max_attempts": 2},
        ignore_configured_endpoint_urls=True,
    )
    return session(target).client(service, region_name=target.region, config=config)


def with_owners(deployment: Deployment) -> tuple[Deployment, dict[Target, Account]]:
    """Return the deployment with the expected owner of each bucket, and the account of each target.

    The owner is AWS_EXPECTED_BUCKET_OWNER, or the credentials' account on AWS. Raises BucketError if neither that
    setting nor STS names the account.
    """
    found = {target: account(target) for target in {bucket.target for bucket in deployment.buckets}}
    for target, each in found.items():
        if not (each.id or target.owner or target.endpoint):
            raise BucketError(
                f"Can't tell which account the credentials belong to, so the buckets could be anyone's"
                f" ({each.unknown}). Give this machine access to STS, or set AWS_EXPECTED_BUCKET_OWNER to the number"
                " of the account that owns the buckets."
            )
    owned = deployment.owned({target: each.id for target, each in found.items()})
    known = {
        new.target: found[old.target]
        for old, new in zip(deployment.locations, owned.locations, strict=True)
        if old.target in found
    }
    return owned, known
