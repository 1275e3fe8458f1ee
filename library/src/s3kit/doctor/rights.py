"""What nobody should be able to do, and what the account says above the buckets."""

from botocore.exceptions import BotoCoreError, ClientError

from s3kit import clients
from s3kit.buckets import wanted as buckets
from s3kit.buckets.account import account
from s3kit.clients import MEDIA_PREFIX, STATIC_PREFIX
from s3kit.doctor.shared import (
    APPLY,
    LATER,
    Line,
    NoAnswerError,
    Patient,
    cant_tell,
    fetch,
    not_ok,
    ok,
    one_line,
    warning,
)


def listing(patient: Patient) -> list[Line]:
    """Tell whether a visitor can list a bucket, and so the names of all uploads."""
    for name in dict.fromkeys(patient.buckets.values()):
        try:
            answer = fetch(f"{clients.bucket_url(name)}?list-type=2&max-keys=1")
        except NoAnswerError as error:
            return [cant_tell("listing", f"no answer: {error}", LATER)]
        if answer.status < 300:
            cure = f"{APPLY}; `--replace-conflicting` removes what others opened"
            return [not_ok("listing", f"anybody can list {name}", cure)]
    return [ok("listing", "no visitor can list what is stored")]


def outside(patient: Patient) -> list[Line]:
    """Tell whether the credentials can write where the role has nothing to write."""
    site, role = patient.site, patient.role
    places = [(bucket, "") for bucket in dict.fromkeys((site.static_bucket, site.media_bucket))]
    if role == "web":
        places.append((site.static_bucket, STATIC_PREFIX))
    if role == "deploy":
        places.append((site.media_bucket, MEDIA_PREFIX))
    for bucket, prefix in places:
        try:
            patient.begin_and_abort(bucket, prefix + patient.name)
        except ClientError as error:
            if error.operation_name == "AbortMultipartUpload":  # then beginning it was allowed
                pass
            elif error.response["ResponseMetadata"]["HTTPStatusCode"] in {403, 404}:
                continue
            else:
                return [cant_tell("outside", one_line(error), LATER)]
        except BotoCoreError as error:
            return [cant_tell("outside", one_line(error), LATER)]
        whose = f"the role {role}" if role else "the site"
        text = f"these credentials can write to {bucket}/{prefix}*, where {whose} has nothing to write"
        cure = f"give them no more than `manage.py s3 policy --role {role or 'web'}` prints"
        return [warning("outside", text, cure)]
    return [ok("outside", "these credentials can write nowhere else")]


def account_block(patient: Patient) -> list[Line]:
    """Tell whether the account's Block Public Access keeps closed what the settings want open."""
    probe, action = "account block", "s3:GetAccountPublicAccessBlock"
    needed_off = sorted(
        {
            flag
            for bucket in buckets.wanted(patient.site)
            for flag, on in bucket.aspects["public access block"].value.items()
            if not on
        }
    )
    if not needed_off:
        return [ok(probe, "nothing is to be public, so it may be on")]
    if patient.site.endpoint:
        return [cant_tell(probe, "only AWS itself has one, and this is another endpoint")]
    found = account(patient.site)
    if found.blocks is None:
        cure = f"allow {action} on *, or have the account's administrator look"
        return [cant_tell(probe, found.unknown, cure)]
    if closed := [flag for flag in needed_off if found.blocks.get(flag)]:
        text = f"account {found.id} blocks what the settings want public: {', '.join(closed)}"
        cure = (
            "put CloudFront before the buckets (AWS_CLOUDFRONT_DISTRIBUTION_ARN), or have the account's"
            f" administrator turn these off: {', '.join(closed)}"
        )
        return [not_ok(probe, text, cure)]
    return [ok(probe, "the account blocks nothing that the settings want public")]
