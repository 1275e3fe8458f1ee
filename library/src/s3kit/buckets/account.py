"""What the credentials' account is, and whether it blocks public access for all its buckets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from s3kit import errors
from s3kit.buckets.wanted import BucketError
from s3kit.clients import session
from s3kit.deployment import Deployment, Target


@dataclass(frozen=True)
class Account:
    """What is known; `blocks` is the account's Block Public Access, or None where `unknown` says why."""

    id: str = ""
    blocks: Mapping[str, bool] | None = None
    unknown: str = ""


def account(target: Target) -> Account:
    """Ask AWS for the account; nothing is known of an endpoint's, and nothing is asked.

    No failure is an error: a network may let S3 through and nothing else, and few may read the account.
    """
    if target.endpoint:
        return Account()
    try:
        number = str(_client("sts", target).get_caller_identity()["Account"])
    except (ClientError, BotoCoreError) as error:
        denied = errors.code(error) == "AccessDenied"
        why = errors.reason(error) if denied else errors.explain(error).rstrip(".")
        return Account(unknown=f"GetCallerIdentity of STS failed: {why}")
    try:
        blocks = _client("s3control", target).get_public_access_block(AccountId=number)
    except (ClientError, BotoCoreError) as error:
        if errors.reason(error) == "NoSuchPublicAccessBlockConfiguration":
            return Account(number, {})
        return Account(number, None, f"s3:GetAccountPublicAccessBlock failed: {errors.reason(error)}")
    return Account(number, blocks["PublicAccessBlockConfiguration"])


def _client(service: str, target: Target) -> Any:
    # As for S3 itself, AWS_ENDPOINT_URL does not count: other servers have neither.
    config = Config(
        connect_timeout=3,
        read_timeout=10,
        retries={"mode": "standard", "total_max_attempts": 2},
        ignore_configured_endpoint_urls=True,
    )
    return session(target).client(service, region_name=target.region, config=config)


def with_owners(deployment: Deployment) -> tuple[Deployment, dict[Target, Account]]:
    """Ask for the account of each target of a site, once, and demand that the buckets belong to it.

    AWS_EXPECTED_BUCKET_OWNER may name another one; with an endpoint only that counts. Raises BucketError where
    neither STS nor that setting names the account.
    """
    found = {target: account(target) for target in {bucket.target for bucket in deployment.buckets}}
    for target, each in found.items():
        if not (each.id or target.owner or target.endpoint):
            raise BucketError(
                f"The credentials' account is unknown, so the buckets may be anyone's ({each.unknown}). Let this"
                " machine reach STS, or set AWS_EXPECTED_BUCKET_OWNER to the number of the account that owns the"
                " buckets."
            )
    owned = deployment.owned({target: each.id for target, each in found.items()})
    known = {
        new.target: found[old.target]
        for old, new in zip(deployment.locations, owned.locations, strict=True)
        if old.target in found
    }
    return owned, known
