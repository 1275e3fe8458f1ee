"""Compares live buckets with the wanted state. This module only reads; `s3kit.buckets.apply` writes.

Rules and statements without our mark, and grants, belong to other people and stay. If one contradicts the wanted
state, it is a conflict: nothing that depends on it changes, unless the plan replaces conflicts.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as but
from functools import partial
from typing import Any, Literal

import botocore
from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError

from s3kit import clients, encryption, errors
from s3kit.buckets import policies
from s3kit.buckets import wanted as buckets
from s3kit.buckets.account import Account
from s3kit.buckets.wanted import ASPECTS, BLOCKS, LACKS, NEW, Aspect, BucketError, Want, Wanted
from s3kit.deployment import PENDING_PREFIX, Bucket, Deployment, Target
from s3kit.naming import buckets as bucket_names

State = Literal["as wanted", "missing", "different", "waiting", "conflict", "optional", "not supported"]

# Servers other than AWS needn't support everything; `apply` finds out.
FINE = {"as wanted", "optional", "not supported"}

# Error codes for an operation that a server doesn't know.
UNKNOWN_OPERATION = {"NotImplemented", "MethodNotAllowed", "UnsupportedOperation", "501", "405"}
# MinIO returns MalformedXML for a lifecycle rule whose only action it doesn't know.
UNKNOWN_VALUE = UNKNOWN_OPERATION | {"MalformedXML"}
_UNKNOWN_QUESTION = UNKNOWN_OPERATION | {"InvalidRequest", "InvalidArgument", "BadRequest", "400"}


@dataclass(frozen=True)
class Conflict:
    """Other people's configuration that contradicts the wanted state, and the aspects that it blocks.

    `old` is the current document, or None if `apply` can't replace it; `fix` says what to do.
    """

    says: str
    old: Any
    hinders: tuple[str, ...]
    fix: str = "`manage.py s3 apply --replace-conflicting` removes just this"


@dataclass(frozen=True)
class Line:
    """One aspect of one bucket: its live value, its wanted value, and the reason."""

    aspect: str
    state: State
    live: Any
    goal: Any
    reason: str
    left_alone: tuple[str, ...] = ()
    left_out: str = ""
    conflicts: tuple[Conflict, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether `apply` writes it."""
        return bool(self.goal != self.live)


@dataclass(frozen=True)
class BucketPlan:
    """All aspects of one bucket, in the order of `ASPECTS`."""

    bucket: Bucket
    holds: str
    exists: bool
    lines: tuple[Line, ...]
    unknown: str = ""
    opens: tuple[str, ...] = ()
    closes: tuple[str, ...] = ()
    reminder: str = ""
    """What to do about existing uploads."""
    rejected: tuple[str, ...] = ()
    """Which of the site's files the bucket's policy rejects, and what to do."""

    @property
    def name(self) -> str:
        """The bucket's name."""
        return self.bucket.name

    @property
    def is_as_wanted(self) -> bool:
        """Whether there is nothing to do, and no conflict."""
        return self.exists and not self.rejected and all(line.state in FINE for line in self.lines)

    @property
    def changes(self) -> bool:
        """Whether `apply` creates or writes something."""
        return not self.exists or any(line.changes for line in self.lines)

    @property
    def conflicts(self) -> list[Conflict]:
        """What contradicts the wanted state, whether the plan replaces it or not."""
        return [conflict for line in self.lines for conflict in line.conflicts]

    @property
    def hindered(self) -> bool:
        """Whether a conflict prevents a change."""
        return any(line.state in {"waiting", "conflict"} for line in self.lines)


Accounts = Mapping[Target, Account]


def plan(
    deployment: Deployment, accounts: Accounts | None = None, *, replace: bool = False
) -> list[BucketPlan]:
    """Return how each bucket differs from the wanted state; write nothing.

    `accounts` are the accounts of the targets, as `s3kit.buckets.account.with_owners` returns them. With `replace`,
    the plan replaces conflicts. Raises BucketError for a bucket that can't be read: it is in another account or
    region, or credentials or rights are missing.
    """
    found = []
    for want in buckets.wanted(deployment):
        account = (accounts or {}).get(want.bucket.target, Account())
        with explained(want.name):
            live = read(want)
            require(want, live)
        if live is None:
            _check_creator(want.bucket, account)
            _check_namespace(want.bucket, account)
        found.append(compare(want, live, account, replace=replace))
    return found


class explained:  # noqa: N801 -- used like a function
    """Turn botocore's errors into BucketError, with the steps done before."""

    def __init__(self, bucket: str, done: Sequence[str] = ()) -> None:
        self.bucket, self.done = bucket, done

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ClientError | BotoCoreError):
            raise BucketError(errors.explain(error, self.bucket), self.done) from error
        if isinstance(error, BucketError):
            raise BucketError(str(error), self.done) from error


def named(bucket: Bucket) -> dict[str, str]:
    """Return the arguments of boto3's calls that name a bucket and its expected owner."""
    return {"Bucket": bucket.name} | clients.owner_arguments(bucket.target)


def read(want: Wanted, attempt: Callable[[Callable[[], Any]], Any] = lambda ask: ask()) -> Any:
    """Return the live state of the wanted aspects, by title, or None if the bucket doesn't exist.

    An aspect that a server other than AWS doesn't support is `LACKS`. `attempt` makes each request.
    """
    client, arguments = clients.command(want.bucket.target), named(want.bucket)
    try:
        attempt(partial(_find, want.bucket, client, arguments))
        return {
            title: attempt(partial(_look, want.bucket, title, aspect, client, arguments))
            for title, aspect in ASPECTS.items()
            if title in want.aspects
        }
    except ClientError as error:
        if is_missing(error):
            return None
        if _is_others(want.bucket, error):
            raise BucketError(
                f"{want.name}: the bucket doesn't belong to account {want.bucket.target.owner}, and its owner can read"
                " what you store there: choose another name in the option bucket_name, or, if you do mean this"
                " bucket, set AWS_EXPECTED_BUCKET_OWNER to its owner's account number."
            ) from error
        raise


def _is_others(bucket: Bucket, error: ClientError) -> bool:
    """Return whether S3 denied a request only because of the expected owner: without it, S3 allows the request."""
    if not bucket.target.owner or errors.code(error) not in {"AccessDenied", "403"}:
        return False
    client = clients.command(but(bucket.target, owner=None))
    try:
        getattr(client, xform_name(error.operation_name))(Bucket=bucket.name)
    except ClientError as again:
        return errors.code(again) not in {"AccessDenied", "403"}
    return True


def is_missing(error: ClientError) -> bool:
    """Return whether an error means that the bucket doesn't exist; HeadBucket's response has only a status."""
    code = errors.code(error)
    return code == "NoSuchBucket" or (code == "404" and bool(error.operation_name == "HeadBucket"))


def _find(bucket: Bucket, client: Any, arguments: Mapping[str, str]) -> None:
    """Raise ClientError for a missing bucket, and BucketError for one in another region of AWS.

    HeadBucket needs no rights for that. Its other errors have no text, so leave them to the next request.
    """
    try:
        headers = client.head_bucket(**arguments)["ResponseMetadata"]["HTTPHeaders"]
    except ClientError as error:
        if errors.code(error) not in {"400", "403"}:
            raise
        headers = error.response["ResponseMetadata"]["HTTPHeaders"]
    region = headers.get("x-amz-bucket-region", bucket.target.region)
    # A server other than AWS that accepts the region is right.
    if region != bucket.target.region and not bucket.target.endpoint:
        raise BucketError(
            f"{bucket.name}: the bucket is in {region}, but its storage says {bucket.target.region}: correct"
            " AWS_S3_REGION_NAME or the option region_name, or choose another name."
        )


def _look(bucket: Bucket, title: str, aspect: Aspect, client: Any, arguments: Mapping[str, str]) -> Any:
    """Return the live state of an aspect, or LACKS; don't ask for what the server's profile lacks.

    Ceph and rclone return the bucket's listing for a subresource that they don't know.
    """
    if bucket.target.provider.lacks(title):
        return LACKS
    try:
        return aspect.read(client, arguments)
    except ClientError as error:
        if bucket.target.endpoint and errors.code(error) in _UNKNOWN_QUESTION:
            return LACKS
        raise
    except (LookupError, TypeError, ValueError) as error:
        if bucket.target.endpoint:
            return LACKS
        raise BucketError(f"{bucket.name}: can't parse S3's response for {title}.") from error


def grants_to_others(want: Wanted, client: Any, account: Account) -> list[Conflict]:
    """Return what a bucket's policy and ACL grant and shouldn't; read nothing else."""
    arguments = named(want.bucket)
    live = {
        title: _look(want.bucket, title, ASPECTS[title], client, arguments)
        for title in ("policy", "bucket ACL")
    }
    return [
        conflict
        for title in live
        if live[title] is not LACKS
        for conflict in _conflicts(want, title, live, account)
    ]


def require(want: Wanted, live: Mapping[str, Any] | None) -> None:
    """Raise BucketError if the server lacks something that the site can't do without.

    A bucket ACL doesn't imply object ACLs, which some servers accept and ignore.
    """
    provider = want.bucket.target.provider
    for title, each in want.aspects.items():
        lacks = provider.lacks("object ACLs" if title == "bucket ACL" else title)
        if each.needed and (lacks or (live and live[title] is LACKS)):
            raise lacking(want, title)


def lacking(want: Wanted, title: str) -> BucketError:
    """Return the error for an aspect that the site can't do without."""
    endpoint, needed = want.bucket.target.endpoint, want.aspects[title].needed
    return BucketError(f"{want.name}: the server at {endpoint} does not support {needed}.")


def _check_creator(bucket: Bucket, account: Account) -> None:
    """Raise BucketError if the credentials would create the bucket in the wrong account."""
    owner = bucket.target.owner
    if account.id and owner and owner != account.id:
        raise BucketError(
            f"{bucket.name}: account {owner}, which AWS_EXPECTED_BUCKET_OWNER names, has no such bucket, and the"
            f" credentials belong to account {account.id}: create it with credentials of {owner}."
        )


def _check_namespace(bucket: Bucket, account: Account) -> None:
    """Raise BucketError for a new bucket whose account regional name can't be created."""
    name = bucket.name
    if not bucket_names.is_account_regional(name):
        return
    if "BucketNamespace" not in shape_of_create(clients.command(bucket.target)):
        raise BucketError(
            f"{name}: botocore {botocore.__version__} doesn't support account regional names, which end with -an:"
            " upgrade boto3, or choose another name."
        )
    belongs_to = name.removesuffix(f"-{bucket.target.region}-an").rpartition("-")[2]
    if account.id and belongs_to != account.id:
        raise BucketError(
            f"{name}: the name contains account {belongs_to}, but the credentials belong to account {account.id}: put"
            f" {account.id} into the name, or use credentials of {belongs_to}."
        )


def shape_of_create(client: Any) -> Any:
    """Return the parameters of CreateBucket that this botocore knows."""
    return client.meta.service_model.operation_model("CreateBucket").input_shape.members


# Comparing


def compare(want: Wanted, live: Mapping[str, Any] | None, account: Account, *, replace: bool) -> BucketPlan:
    """Return the plan for a bucket and its live state, None for a missing bucket. Makes no requests."""
    provider = want.bucket.target.provider
    state = live or {title: LACKS if provider.lacks(title) else value for title, value in NEW.items()}
    state = dict(state)
    lacks = {title for title in want.aspects if state[title] is LACKS}
    state |= {title: [] if isinstance(NEW[title], list) else None for title in lacks}
    conflicts = {title: list(_conflicts(want, title, state, account)) for title in want.aspects}
    stand = [each for found in conflicts.values() for each in found if not (replace and each.old is not None)]
    hindered = {title for conflict in stand for title in conflict.hinders}
    lines = [
        Line(title, "not supported", state[title], state[title], want.aspects[title].reason)
        if title in lacks
        else _line(want, title, state[title], conflicts[title], hindered, replace=replace)
        for title in want.aspects
    ]
    block = next(line for line in lines if line.aspect == "public access block")
    blocks = [block.goal, account.blocks]
    if any(found and found.get("BlockPublicPolicy") for found in blocks):
        lines = [_as_blocked(line) if line.aspect == "policy" else line for line in lines]
    before, after = _public(state), _public({line.aspect: line.goal for line in lines})
    judged = [_with_others(line) for line in lines]
    needs_account = not all(want.aspects["public access block"].value.values())
    return BucketPlan(
        want.bucket,
        want.holds,
        live is not None,
        tuple(judged),
        account.unknown if needs_account and account.blocks is None else "",
        tuple(text for text in after if text not in before),
        tuple(text for text in before if text not in after),
        _reminder(want, state) if live is not None else "",
        tuple(_rejected(want.bucket, next(line.goal for line in lines if line.aspect == "policy"))),
    )


def _rejected(bucket: Bucket, statements: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the storages whose files the policy rejects because of their encryption, and what to do."""
    for location in bucket.locations:
        keys = [location.prefix, *([PENDING_PREFIX] if location.direct_uploads else [])]
        arns = [bucket.arn(f"{key}x") for key in keys]

        def demanding(value: str, arns: Sequence[str] = arns) -> list[Mapping[str, Any]]:
            sent = encryption.headers(value)
            return [each for each in statements if any(policies.rejects(each, arn, sent) for arn in arns)]

        if found := demanding(location.target.encryption):
            good = next((value for value in encryption.candidates(found) if not demanding(value)), "")
            fix = (
                f"set its option 'encryption', or AWS_S3_ENCRYPTION, to {good!r}"
                if good
                else "no value of its option 'encryption' satisfies it: change the policy"
            )
            yield (
                f"the policy rejects files that STORAGES[{location.alias!r}] stores"
                f" ({policies.in_words(found[0])}): {fix}"
            )


def _with_others(line: Line) -> Line:
    """Return the line with a reason that mentions grants to others that stay."""
    if line.aspect == "policy" and any(
        each.get("Effect") == "Allow" and policies.in_words(each) in line.left_alone for each in line.live
    ):
        return but(line, reason=line.reason.replace("the account", "the account, plus those listed below"))
    if line.aspect == "bucket ACL" and line.left_alone:
        return but(line, reason=line.reason.replace("the account", "the account and those listed below"))
    return line


def _reminder(want: Wanted, live: Mapping[str, Any]) -> str:
    """Return what to do about existing uploads if the plan turns object ACLs on or off."""
    if not want.bucket.media:
        return ""
    blocked = (live["public access block"] or {}).get("IgnorePublicAcls")
    counted = live["ownership"] != "BucketOwnerEnforced" and not blocked
    count = want.aspects["ownership"].value != "BucketOwnerEnforced"
    if count and not counted:
        return (
            "existing uploads stay private: after `apply`, run `manage.py s3 access`, which gives each of them the ACL"
            " public-read (access 'public-policy' doesn't need this)"
        )
    if counted and not count:
        return (
            "existing uploads keep their ACLs: before `apply`, run `manage.py s3 access`, or public uploads become"
            " public again if ACLs are ever turned back on"
        )
    return ""


def _line(
    wanted: Wanted, title: str, live: Any, conflicts: list[Conflict], hindered: set[str], *, replace: bool
) -> Line:
    want = wanted.aspects[title]
    kept = _without(title, live, conflicts) if replace else live
    goal = ASPECTS[title].join(kept, want.value)
    state: State = "as wanted" if goal == live else "missing" if live in (None, []) else "different"
    if wanted.bucket.target.endpoint:
        if title == "encryption" and state == "missing":
            state = "optional"  # depends on whether the server has keys
        unblocked = {"BlockPublicAcls": False, "IgnorePublicAcls": True}
        if title == "public access block" and state == "different" and live == goal | unblocked:
            state = "optional"  # some servers then deny every upload; ignored ACLs open nothing
    if title in hindered and (state != "as wanted" or conflicts):
        state = "conflict" if conflicts else "waiting"
        # Even then, remove our own public statements that are no longer wanted.
        goal = [each for each in live if not _is_stale(each, want)] if title == "policy" else live
    return Line(
        title,
        state,
        live,
        goal,
        want.reason,
        tuple(_left_alone(wanted.bucket, title, live, want.value, conflicts)),
        want.left_out,
        tuple(conflicts),
    )


def _without(title: str, live: Any, conflicts: list[Conflict]) -> Any:
    if title in {"policy", "bucket ACL"}:
        gone = [conflict.old for conflict in conflicts]
        return [each for each in live if each not in gone]
    return None if conflicts else live


def _is_stale(statement: Mapping[str, Any], want: Want) -> bool:
    """Return whether a statement is ours, public, and no longer wanted."""
    same = {policies.canonical(ours) for ours in want.value}
    ours = str(statement.get("Sid", "")).startswith(policies.MARK)
    return ours and policies.is_public(statement) and policies.canonical(statement) not in same


def _as_blocked(line: Line) -> Line:
    """Return the policy's line without public statements, for a bucket where S3 rejects them."""
    goal = [each for each in line.goal if each in line.live or not policies.is_public(each)]
    if any(policies.is_public(each) for each in goal):
        goal = line.live
    if goal == line.goal:
        return line
    return but(line, goal=goal, state=line.state if line.conflicts else "waiting")


def _conflicts(want: Wanted, title: str, live: Mapping[str, Any], account: Account) -> Iterator[Conflict]:
    """Yield what contradicts the wanted state of an aspect."""
    ours = want.aspects["policy"].value
    public = any(policies.is_public(statement) for statement in ours)
    acls = want.aspects["ownership"].value != "BucketOwnerEnforced"
    if title == "policy":
        known = {each for each in (want.bucket.target.owner, account.id) if each}
        accounts = {*known, *want.trusted} if known else None  # other servers' accounts may have no numbers
        for statement in live["policy"]:
            if str(statement.get("Sid", "")).startswith(policies.MARK):
                continue
            if policies.goes_beyond(statement, ours):
                yield Conflict(policies.in_words(statement), statement, ("policy", "public access block"))
            elif policies.goes_beyond(statement, ours, accounts):
                yield Conflict(
                    f"{policies.in_words(statement)} -- another account",
                    statement,
                    ("policy",),
                    "`manage.py s3 apply --replace-conflicting` removes just this; to keep it, add the account to"
                    " AWS_TRUSTED_ACCOUNTS",
                )
    elif title == "bucket ACL":
        for grant in live["bucket ACL"]:
            if not acls or buckets.is_public_grant(grant):
                hinders = ("bucket ACL", "ownership", "public access block")
                yield Conflict(grant_in_words(grant), grant, hinders)
            elif not buckets.is_log_delivery(grant):
                fix = (
                    "`manage.py s3 apply --replace-conflicting` removes just this; to keep the access, grant it in the"
                    " bucket policy"
                )
                yield Conflict(grant_in_words(grant), grant, ("bucket ACL",), fix)
    elif title == "encryption" and public and encryption.is_kms(live["encryption"]):
        yield Conflict(
            "visitors can't read public files that are encrypted with a KMS key: such requests must be signed",
            live["encryption"],
            ("encryption",),
        )
    elif title == "public access block" and account.blocks:
        goal = want.aspects[title].value
        closed = [name for name in BLOCKS if account.blocks.get(name) and not goal[name]]
        if closed:
            yield Conflict(
                f"the account blocks this for all its buckets: {', '.join(closed)}",
                None,
                ("public access block", *(("ownership",) if acls else ())),
                "turn it off for the account (aws s3control delete-public-access-block --account-id"
                f" {account.id}), or serve static files through CloudFront"
                " (the option cloudfront_distribution) and keep uploads private",
            )


def grant_in_words(grant: Mapping[str, Any]) -> str:
    """Return a grant of an ACL in words: who may do what."""
    grantee = grant["Grantee"]
    who = grantee.get("URI", "").rpartition("/")[2] or grantee.get("DisplayName") or grantee.get("ID")
    return f"the bucket's ACL grants {grant['Permission']} to {who or grantee.get('EmailAddress')}"


def _left_alone(
    bucket: Bucket, title: str, live: Any, wanted: Any, conflicts: list[Conflict]
) -> Iterator[str]:
    """Yield other people's configuration that stays, in words."""
    if title == "encryption" and encryption.is_kms(live) and not encryption.is_kms(wanted) and not conflicts:
        yield f"{live}, which is stricter: reading and writing objects also needs rights on that key"
    if not isinstance(live, list):
        return
    old = [conflict.old for conflict in conflicts]
    for each in live:
        if each in wanted or each in old:
            continue
        if title == "policy" and not str(each.get("Sid", "")).startswith(policies.MARK):
            yield policies.in_words(each)
        elif title == "bucket ACL":
            yield grant_in_words(each)
        elif title in {"cors", "lifecycle"} and not str(each.get("ID", "")).startswith(buckets.MARK):
            yield _rule_in_words(bucket, each)


def _rule_in_words(bucket: Bucket, rule: Mapping[str, Any]) -> str:
    name = rule.get("ID") or "unnamed rule"
    if "AllowedOrigins" in rule:
        return f"{name}: {', '.join(rule['AllowedMethods'])} for {', '.join(rule['AllowedOrigins'])}"
    where = rule.get("Prefix", rule.get("Filter", {}).get("Prefix", rule.get("Filter", {}).get("And", {})))
    prefix = where if isinstance(where, str) else where.get("Prefix", "")
    what = ", ".join(key for key in rule if key not in {"ID", "Status", "Filter", "Prefix"})
    prefixes = [location.prefix for location in bucket.locations]
    ours = [ours for ours in prefixes if ours.startswith(prefix) or prefix.startswith(ours)]
    kills = rule.get("Status") == "Enabled" and ("Expiration" in rule) and ours
    return f"{name}: {what} on {prefix}*" + (" -- deletes the site's files over time" if kills else "")


def _public(state: Mapping[str, Any]) -> list[str]:
    """Return what everyone may do with a bucket in this state, in words."""
    block = state["public access block"] or {}
    found = []
    if not block.get("RestrictPublicBuckets"):
        public = [each for each in state["policy"] if policies.is_public(each)]
        found += [policies.in_words({**each, "Sid": ""}) for each in public]
    if not block.get("IgnorePublicAcls") and state["ownership"] != "BucketOwnerEnforced":
        found.append("everyone may read objects that have a public ACL")
        grants = [grant for grant in state["bucket ACL"] if buckets.is_public_grant(grant)]
        found += [grant_in_words(grant) for grant in grants]
    return found
