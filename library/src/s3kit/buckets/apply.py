"""Bringing live buckets to the wanted state: only what differs is written, and it is read back."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from s3kit import clients
from s3kit.buckets import policies
from s3kit.buckets import wanted as buckets
from s3kit.buckets.account import Account
from s3kit.buckets.plan import Accounts, BucketPlan, compare, explained, named, plan, read, shape_of_create
from s3kit.buckets.wanted import ASPECTS, BLOCKS, BucketError
from s3kit.deployment import Bucket, Deployment
from s3kit.naming import buckets as bucket_names

# S3 is "eventually consistent" for the configuration of buckets: seconds between looking again.
PAUSES = (0.5, 1, 2, 4)


@dataclass(frozen=True)
class Step:
    """One write."""

    aspect: str
    value: Any
    says: str


def steps(bucket: BucketPlan) -> list[Step]:
    """Return the writes that bring an existing bucket to its goal.

    A failure between any two leaves it no more open than it was, because what opens it comes last, at once:

    1. what has nothing to do with access;
    2. the public access block closes what shall be closed;
    3. the bucket's ACL loses grants; ACLs are turned off, or on while the block still ignores public ones;
    4. the policy is written; where it opens, after the block lets such a one be written, and while the block
       still keeps it from having an effect;
    5. the block is lifted.
    """
    lines = {line.aspect: line for line in bucket.lines}
    access = ("bucket ACL", "ownership", "public access block", "policy")
    found = [
        Step(line.aspect, line.goal, line.aspect)
        for line in bucket.lines
        if line.changes and line.aspect not in access
    ]
    block, policy = lines["public access block"], lines["policy"]
    # No block at all is one that blocks nothing.
    now = dict.fromkeys(BLOCKS, False) | (block.live or {})
    goal = block.goal or now

    def becomes(new: dict[str, bool], says: str) -> None:
        nonlocal now
        if new != now:
            found.append(Step("public access block", new, f"public access block {says}"))
            now = new

    becomes({name: now[name] or goal[name] for name in BLOCKS}, "closed")
    found += [Step(title, lines[title].goal, title) for title in access[:2] if lines[title].changes]
    if policy.changes:
        if any(policies.is_public(statement) for statement in policy.goal):
            becomes(now | {"BlockPublicPolicy": goal["BlockPublicPolicy"]}, "lets a public policy be written")
        found.append(Step("policy", policy.goal, "policy"))
    becomes(goal, "lifted")
    return found


def apply(
    deployment: Deployment,
    plans: Sequence[BucketPlan],
    accounts: Accounts | None = None,
    *,
    replace: bool = False,
    tell: Callable[[str], None] = lambda _done: None,
) -> list[tuple[str, str]]:
    """Do what the plans say and read it back; `plans` and `replace` are as they were for `plan`.

    Returns what was written, as (bucket, "bucket" or the title of an aspect). `tell` gets a line for each
    step done. A failure leaves no bucket more open than it was, and raises BucketError.
    """
    wrote: list[tuple[str, str]] = []
    steps_done: list[str] = []

    def done(bucket: str, aspect: str, says: str) -> None:
        wrote.append((bucket, aspect))
        steps_done.append(f"{bucket}: {says}")
        tell(steps_done[-1])

    for want, found in zip(buckets.wanted(deployment), plans, strict=True):
        with explained(want.name, steps_done):
            if not found.exists:
                _create(want.bucket)
                done(want.name, "bucket", "created")
                live = _patiently(partial(read, want), lambda live: live is not None)
                account = (accounts or {}).get(want.bucket.target, Account())
                found = compare(want, live, account, replace=replace)
            for step in steps(found):
                _write(want.bucket, step, wrote)
                done(want.name, step.aspect, step.says)
    if wrote:
        again = _patiently(
            lambda: plan(deployment, accounts),
            lambda again: not any(line.changes for each in again for line in each.lines),
        )
        for each in again:
            if changed := [line.aspect for line in each.lines if line.changes]:
                raise BucketError(
                    f"{each.name}: S3 returns another {', '.join(changed)} than was written.", steps_done
                )
    return wrote


_DOCUMENTS: Mapping[str, Callable[[Any, Mapping[str, str]], Any]] = {
    "policy": lambda client, bucket: json.loads(client.get_bucket_policy(**bucket)["Policy"]),
    "bucket ACL": lambda client, bucket: {
        name: value for name, value in client.get_bucket_acl(**bucket).items() if name != "ResponseMetadata"
    },
    "encryption": lambda client, bucket: client.get_bucket_encryption(**bucket)[
        "ServerSideEncryptionConfiguration"
    ],
}


def old_documents(plans: Sequence[BucketPlan]) -> Iterator[str]:
    """Yield what a replacement of conflicts changes, in full as it is now, so that it can be put back."""
    for found in plans:
        client = clients.command(found.bucket.target)
        for line in found.lines:
            if any(conflict.old is not None for conflict in line.conflicts):
                with explained(found.name):
                    old = _DOCUMENTS[line.aspect](client, named(found.bucket))
                yield f"{found.name}, {line.aspect} as it was:\n{json.dumps(old, indent=2)}"


def prepare(deployment: Deployment) -> list[tuple[str, str]]:
    """Bring the buckets to the wanted state, as `plan` and `apply` do; a conflict raises BucketError."""
    found = plan(deployment)
    wrote = apply(deployment, found)
    for bucket in found:
        for conflict in bucket.conflicts:
            raise BucketError(f"{bucket.name}: {conflict.says}: {conflict.cure}.")
    return wrote


def _patiently(look: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
    """Return what a look finds, looking again for some seconds until it is good."""
    found = look()
    for pause in PAUSES:
        if good(found):
            break
        time.sleep(pause)
        found = look()
    return found


def _write(bucket: Bucket, step: Step, wrote: Sequence[tuple[str, str]]) -> None:
    """Write, again for some seconds where S3 does not yet act upon the step before."""
    client, arguments = clients.command(bucket.target), named(bucket)
    lifted = (bucket.name, "public access block") in wrote
    for pause in (*PAUSES, None):
        try:
            ASPECTS[step.aspect].write(client, arguments, step.value)
        except ClientError as error:
            found = error.response["Error"]
            early = found.get("Code") in {"OperationAborted", "NoSuchBucket"} or (
                lifted and "BlockPublicPolicy" in found.get("Message", "")
            )
            if not early or pause is None:
                raise
            time.sleep(pause)
        else:
            return


def _create(bucket: Bucket) -> None:
    """Create a bucket that is not there, as closed as AWS makes new ones."""
    client = clients.command(bucket.target)
    arguments: dict[str, Any] = {"Bucket": bucket.name}
    if bucket.target.region != "us-east-1":  # which is no valid constraint
        arguments["CreateBucketConfiguration"] = {"LocationConstraint": bucket.target.region}
    if bucket_names.is_account_regional(bucket.name) and "BucketNamespace" in shape_of_create(client):
        arguments["BucketNamespace"] = "account-regional"
    client.create_bucket(**arguments)
