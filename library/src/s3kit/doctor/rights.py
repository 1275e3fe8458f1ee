"""Probes of rights that nobody should have, and of the account's Block Public Access."""

from botocore.exceptions import ClientError

from s3kit import clients
from s3kit.buckets.account import account
from s3kit.buckets.wanted import wanted
from s3kit.deployment import Target
from s3kit.doctor.shared import (
    APPLY,
    LATER,
    Line,
    Probed,
    cant_tell,
    fetch,
    not_ok,
    ok,
    warning,
)


def listing(probed: Probed, _site: None) -> list[Line]:
    """Probe whether a visitor can list a bucket, and so the names of all uploads."""
    for bucket in probed.reachable:
        response = fetch(f"{clients.bucket_url(bucket.target, bucket.name)}?list-type=2&max-keys=1")
        if response.status < 300:
            fix = f"{APPLY}; `--replace-conflicting` removes grants that others made"
            return [not_ok("listing", f"anyone can list {bucket.name}", fix)]
        if not response.is_denial and response.status != 404:
            return [cant_tell("listing", f"{bucket.name} returned {response}", LATER)]
    return [ok("listing", "visitors can't list the buckets")]


def outside(probed: Probed, _site: None) -> list[Line]:
    """Probe whether the credentials can write where the role doesn't need to."""
    role = probed.role
    # The top of the bucket, and the prefixes of the other role.
    places = [
        (bucket, prefix)
        for bucket in probed.reachable
        for prefix in ("", *(each.prefix for each in bucket.locations if _is_others(each.kind, role)))
    ]
    for bucket, prefix in places:
        try:
            probed.begin_and_abort(bucket.target, bucket.name, prefix + probed.name)
        except ClientError as error:
            if error.operation_name == "AbortMultipartUpload":  # so beginning it was allowed
                pass
            elif error.response["ResponseMetadata"]["HTTPStatusCode"] in {403, 404}:
                continue
            else:
                raise  # becomes "can't tell"
        whose = f"the role {role}" if role else "the site"
        text = f"these credentials can write to {bucket.name}/{prefix}*, although {whose} never does"
        fix = f"give them only the rights that `manage.py s3 policy --role {role or 'web'}` prints"
        return [warning("outside", text, fix)]
    return [ok("outside", "these credentials can't write anywhere else")]


def _is_others(kind: str, role: str | None) -> bool:
    return (kind, role) in {("static", "web"), ("media", "deploy")}


def account_block(probed: Probed, _site: None) -> list[Line]:
    """Probe whether the account's Block Public Access blocks what STORAGES makes public."""
    probe, action = "account block", "s3:GetAccountPublicAccessBlock"
    needed_off: dict[Target, set[str]] = {}
    for want in wanted(probed.deployment):
        flags = want.aspects["public access block"].value
        off = {flag for flag, on in flags.items() if not on}
        if off and want.bucket.target not in probed.broken:
            needed_off.setdefault(want.bucket.target, set()).update(off)
    lines = []
    for target, flags in needed_off.items():
        if target.endpoint:
            lines.append(cant_tell(probe, "only AWS has one, and this is another endpoint"))
            continue
        found = account(target)
        if found.blocks is None:
            fix = f"allow {action} on *, or ask the account's administrator"
            lines.append(cant_tell(probe, found.unknown, fix))
        elif closed := ", ".join(sorted(flag for flag in flags if found.blocks.get(flag))):
            text = f"account {found.id} blocks what STORAGES makes public: {closed}"
            fix = (
                "put CloudFront in front of the buckets (AWS_CLOUDFRONT_DISTRIBUTION_ARN), or ask the account's"
                f" administrator to turn off {closed}"
            )
            lines.append(not_ok(probe, text, fix))
    if not lines:
        return [ok(probe, "the account blocks nothing that STORAGES makes public")]
    return list(dict.fromkeys(lines))
