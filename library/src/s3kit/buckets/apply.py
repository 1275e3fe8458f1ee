"""Brings live buckets to the wanted state: writes only what differs, and reads it back."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from s3kit import clients, encryption, errors
from s3kit.buckets import policies
from s3kit.buckets import wanted as buckets
from s3kit.buckets.account import Account
from s3kit.buckets.plan import (
    UNKNOWN_VALUE,
    Accounts,
    BucketPlan,
    compare,
    explained,
    is_missing,
    lacking,
    named,
    plan,
    read,
    require,
    shape_of_create,
)
from s3kit.buckets.wanted import ASPECTS, BLOCKS, BucketError, Wanted
from s3kit.deployment import Bucket, Deployment
from s3kit.naming import buckets as bucket_names

# Seconds between attempts: bucket configuration is eventually consistent.
PAUSES = (0.5, 1, 2, 4)


@dataclass(frozen=True)
class Step:
    """One write."""

    aspect: str
    value: Any
    says: str


def steps(bucket: BucketPlan) -> list[Step]:
    """Return the writes that bring an existing bucket to its goal.

    A failure between any two leaves the bucket no more open than it was, because the steps that open it come last:

    1. set everything that has nothing to do with access;
    2. turn on the wanted flags of the public access block;
    3. remove grants from the bucket's ACL; turn ACLs off, or on while the block still ignores public ones;
    4. write the policy; for a public one, first stop the block from rejecting it, while the block still makes it
       ineffective;
    5. turn off the other flags of the block.
    """
    lines = {line.aspect: line for line in bucket.lines}
    access = ("bucket ACL", "ownership", "public access block", "policy")
    found = [
        Step(line.aspect, line.goal, f"{line.aspect} set")
        for line in bucket.lines
        if line.changes and line.aspect not in access
    ]
    block, policy = lines["public access block"], lines["policy"]
    # A missing block blocks nothing.
    now = dict.fromkeys(BLOCKS, False) | (block.live or {})
    goal = block.goal or now

    def becomes(new: dict[str, bool], says: str) -> None:
        nonlocal now
        if new != now:
            found.append(Step("public access block", new, f"public access block {says}"))
            now = new

    becomes({name: now[name] or goal[name] for name in BLOCKS}, "turned on")
    found += [Step(title, lines[title].goal, f"{title} set") for title in access[:2] if lines[title].changes]
    if policy.changes:
        if any(policies.is_public(statement) for statement in policy.goal):
            becomes(now | {"BlockPublicPolicy": goal["BlockPublicPolicy"]}, "allows a public policy")
        found.append(Step("policy", policy.goal, "policy set"))
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
    """Carry out the plans and verify the result; pass the `replace` that `plan` got.

    Returns what was written, as (bucket, "bucket" or the title of an aspect). Calls `tell` with a line for each step
    done, and for each step that a server other than AWS doesn't support. Raises BucketError on a failure, which
    leaves no bucket more open than it was.
    """
    wrote: list[tuple[str, str]] = []
    steps_done: list[str] = []
    skipped: set[tuple[str, str]] = set()

    def done(bucket: str, aspect: str, says: str) -> None:
        wrote.append((bucket, aspect))
        steps_done.append(f"{bucket}: {says}")
        tell(steps_done[-1])

    for want, found in zip(buckets.wanted(deployment), plans, strict=True):
        with explained(want.name, steps_done):
            if not found.exists:
                is_new = _create(want.bucket)
                if is_new:
                    done(want.name, "bucket", "created")
                live = _state_of_new(want, is_new=is_new)
                account = (accounts or {}).get(want.bucket.target, Account())
                found = compare(want, live, account, replace=replace)
            for step in steps(found):
                if (want.name, step.aspect) in skipped:
                    continue
                try:
                    _write(want, step, wrote)
                except _NotSupportedError as error:
                    skipped.add((want.name, step.aspect))
                    tell(f"{want.name}: {step.aspect}: not supported by this server, skipped ({error})")
                else:
                    done(want.name, step.aspect, step.says)
            if (want.name, "public access block") not in skipped and (says := _unblocked(want, found)):
                tell(f"{want.name}: public access block: {says}")
    if wrote:

        def differ(again: Sequence[BucketPlan]) -> Mapping[str, list[str]]:
            found: dict[str, list[str]] = {}
            for name, line in ((each.name, line) for each in again for line in each.lines):
                unblocked = line.aspect == "public access block" and line.state == "optional"
                if line.changes and not unblocked and (name, line.aspect) not in skipped:
                    found.setdefault(name, []).append(line.aspect)
            return found

        again = _patiently(lambda: plan(deployment, accounts), lambda again: not differ(again))
        elsewhere = {bucket.name for bucket in deployment.buckets if bucket.target.endpoint}
        for name, aspects in differ(again).items():
            text = f"{name}: what S3 returns for {', '.join(aspects)} differs from what was written"
            # Some servers drop unknown parts of lifecycle rules. Access has to be right everywhere.
            if aspects != ["lifecycle"] or name not in elsewhere:
                raise BucketError(f"{text}.", steps_done)
            tell(f"{text}: the server does not support all of it")
    return wrote


class _NotSupportedError(Exception):
    """The server doesn't support the setting; the text is the server's reason."""


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
    """Yield the full documents that replacing conflicts will change, so that they can be restored."""
    for found in plans:
        client = clients.command(found.bucket.target)
        for line in found.lines:
            if any(conflict.old is not None for conflict in line.conflicts):
                with explained(found.name):
                    old = _DOCUMENTS[line.aspect](client, named(found.bucket))
                yield f"{found.name}, {line.aspect} as it was:\n{json.dumps(old, indent=2)}"


def prepare(deployment: Deployment) -> list[tuple[str, str]]:
    """Plan and apply the wanted state of all buckets; raise BucketError for a conflict."""
    found = plan(deployment)
    wrote = apply(deployment, found)
    for bucket in found:
        for conflict in bucket.conflicts:
            raise BucketError(f"{bucket.name}: {conflict.says}: {conflict.fix}.")
    return wrote


def _patiently(look: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
    """Return the result of `look`, retrying for some seconds until it is good."""
    found = look()
    for pause in PAUSES:
        if good(found):
            break
        time.sleep(pause)
        found = look()
    return found


def _persistently(call: Callable[[], Any], early: Callable[[ClientError], bool]) -> Any:
    """Return the result of `call`, retrying for some seconds while S3 doesn't know of the previous step."""
    for pause in PAUSES:
        try:
            return call()
        except ClientError as error:
            if not early(error):
                raise
        time.sleep(pause)
    return call()


def _write(want: Wanted, step: Step, wrote: Sequence[tuple[str, str]]) -> None:
    """Write a step; raise _NotSupportedError if the server doesn't support it and the site can do without."""
    target, arguments = want.bucket.target, named(want.bucket)
    lifted = (want.name, "public access block") in wrote

    def early(error: ClientError) -> bool:
        found = error.response["Error"]
        return found.get("Code") in {"OperationAborted", "NoSuchBucket"} or (
            lifted and "BlockPublicPolicy" in found.get("Message", "")
        )

    write = ASPECTS[step.aspect].write
    if step.aspect == "encryption" and target.endpoint:
        write = _encrypt
    try:
        _persistently(partial(write, clients.command(target), arguments, step.value), early)
    except ClientError as error:
        is_probe = error.operation_name == "PutObject"
        if not target.endpoint or not (is_probe or errors.code(error) in UNKNOWN_VALUE):
            raise
        if want.aspects[step.aspect].needed:
            raise lacking(want, step.aspect) from error
        raise _NotSupportedError(errors.explain(error).rstrip(".")) from error


def _encrypt(client: Any, bucket: Mapping[str, str], value: Any) -> None:
    """Set the default encryption, unless the server then rejects uploads.

    Without a key server, Ceph accepts the setting and then rejects every upload.
    """
    _probe(client, bucket, **encryption.arguments(value))
    before = ASPECTS["encryption"].read(client, bucket) and _DOCUMENTS["encryption"](client, bucket)
    ASPECTS["encryption"].write(client, bucket, value)
    try:
        _probe(client, bucket)
    except BaseException:
        if before:
            client.put_bucket_encryption(**bucket, ServerSideEncryptionConfiguration=before)
        else:
            client.delete_bucket_encryption(**bucket)
        raise


def _unblocked(want: Wanted, found: BucketPlan) -> str:
    """Turn BlockPublicAcls off again if the server then denies uploads; return a note about it, or "".

    Ceph did so for years: https://tracker.ceph.com/issues/49135.
    """
    target, arguments = want.bucket.target, named(want.bucket)
    (line,) = (line for line in found.lines if line.aspect == "public access block")
    was, goal = line.live or {}, line.goal or {}
    if not target.endpoint or was.get("BlockPublicAcls") or not goal.get("BlockPublicAcls"):
        return ""
    client, write = clients.command(target), ASPECTS["public access block"].write
    if not _is_denied(client, arguments):
        return ""
    write(client, arguments, goal | {"BlockPublicAcls": False})
    if _is_denied(client, arguments):  # for another reason
        write(client, arguments, goal)
        return ""
    return "BlockPublicAcls left off, because with it the server denies every upload"


def _is_denied(client: Any, bucket: Mapping[str, str]) -> bool:
    try:
        _probe(client, bucket)
    except ClientError as error:
        return errors.code(error) == "AccessDenied"
    return False


def _probe(client: Any, bucket: Mapping[str, str], **more: Any) -> None:
    """Store an object below the prefix of pending uploads, and delete it."""
    client.put_object(**bucket, Key=policies.PROBE, Body=b"s3kit", **more)
    client.delete_object(**bucket, Key=policies.PROBE)


def _create(bucket: Bucket) -> bool:
    """Create a private bucket, AWS's default. Return False if it existed although HeadBucket found none."""
    client = clients.command(bucket.target)
    arguments: dict[str, Any] = {"Bucket": bucket.name}
    if bucket.target.region != "us-east-1":  # which is no valid constraint
        arguments["CreateBucketConfiguration"] = {"LocationConstraint": bucket.target.region}
    if bucket_names.is_account_regional(bucket.name) and "BucketNamespace" in shape_of_create(client):
        arguments["BucketNamespace"] = "account-regional"
    try:
        client.create_bucket(**arguments)
    except client.exceptions.BucketAlreadyOwnedByYou:
        return False
    return True


def _state_of_new(want: Wanted, *, is_new: bool) -> Any:
    """Return the live state of a bucket that was just created, once all of S3 knows it.

    If the server lacks something that the site can't do without, delete the bucket again.
    """
    live = read(want, partial(_persistently, early=is_missing))
    if live is None:
        raise BucketError(f"{want.name}: S3 does not find the new bucket yet: run this again in a minute.")
    try:
        require(want, live)
    except BucketError as error:
        if not is_new:
            raise
        try:
            clients.command(want.bucket.target).delete_bucket(**named(want.bucket))
        except ClientError:
            raise error from None
        raise BucketError(f"{error} The new bucket was deleted.") from error
    return live
