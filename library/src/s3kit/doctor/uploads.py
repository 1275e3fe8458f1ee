"""Uploads: what the site does with them, and what a visitor gets of them in each access mode."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from s3kit import clients
from s3kit.deployment import Location, arn
from s3kit.doctor.shared import (
    APPLY,
    ERRORS,
    LATER,
    Line,
    NoAnswerError,
    Probed,
    cant_tell,
    code_of,
    failure,
    fetch,
    names,
    not_ok,
    ok,
    option,
    over_plain_http,
    signed,
    warning,
)
from s3kit.storages import cloudfront

BODY = b"Written by `manage.py s3 doctor`; it can be deleted.\n"
LEFT_OVER = timedelta(hours=1)  # an older probe object is one of a doctor that was killed


def uploads(probed: Probed, location: Location) -> list[Line]:
    """Write, read, list and delete an upload as the site does, and look at it as a visitor does."""
    target, key = location.target, probed.key(location)
    s3, named = probed.s3(target), names(target, location.bucket)
    bucket_arn = arn(target, location.bucket)
    lines: list[Line] = []

    def step(probe: str, text: str, action: str, resource: str, call: Callable[[], Any]) -> bool:
        try:
            call()
        except ERRORS as error:
            lines.append(not_ok(probe, *failure(error, action, resource, "web", target.owner)))
        else:
            lines.append(ok(probe, text))
        return lines[-1].status == "ok"

    # What the storage sends with every upload; whether its ACL is accepted is a line of its own.
    sent = probed.storage(location).write_parameters(probed.name)
    acl = {"ACL": sent.pop("ACL")} if "ACL" in sent else {}
    put = partial(s3.put_object, **named, Key=key, Body=BODY, **sent)
    head = partial(s3.head_object, **named, Key=key)
    read = partial(s3.get_object, **named, Key=key)
    delete = partial(s3.delete_object, **named, Key=key)
    objects = location.arn()
    try:
        if step("media write", "an upload is stored", "s3:PutObject", objects, put):
            # Who may not read gets 403 for what is missing too; that is one fault and not two.
            if step("media head", "its size and type come back", "s3:GetObject", objects, head):
                lines.append(_missing(probed, location))
            step("media read", "its bytes come back", "s3:GetObject", objects, lambda: read()["Body"].read())
            lines.append(_acl(location, partial(put, **acl), acl))
            lines += _visitors(probed, location)
        else:
            probed.not_probed.append("uploads as visitors see them")
        parts = partial(probed.begin_and_abort, target, location.bucket, key)
        text = "a multipart upload can begin and be aborted"
        step("media parts", text, "s3:AbortMultipartUpload", objects, parts)
        text = "the bucket can be listed"
        step("media list", text, "s3:ListBucket", bucket_arn, partial(_list, probed, location))
    finally:
        # Also where the answer to the write was lost: deleting what does not exist is no error.
        text = "the probe's upload is deleted again"
        if not step("media delete", text, "s3:DeleteObject", objects, delete):
            failed = lines.pop()
            lines.append(not_ok(failed.probe, failed.text, f"{failed.fix}; then delete {key}"))
    return lines


def _list(probed: Probed, location: Location) -> None:
    """List the probe objects; delete those of a doctor that was killed."""
    s3, named = probed.s3(location.target), names(location.target, location.bucket)
    found = s3.list_objects_v2(**named, Prefix=f"{location.prefix}.doctor-").get("Contents", [])
    for entry in found:
        if entry["LastModified"] < datetime.now(UTC) - LEFT_OVER:
            s3.delete_object(**named, Key=entry["Key"])


def _acl(location: Location, put: Callable[[], Any], acl: dict[str, str]) -> Line:
    if not acl:
        return ok("media acl", "none is sent, and none is needed")
    try:
        put()
    except ClientError as error:
        code, setting = code_of(error), option("access", location)
        if code == "AccessControlListNotSupported":
            text = f"access is {acl['ACL']!r}, but {location.bucket} has ACLs disabled"
            return not_ok("media acl", text, f"{APPLY}, or choose 'public-policy' for {setting}")
        text, fix = failure(error, "s3:PutObjectAcl", location.arn(), "web", location.target.owner)
        if code == "AccessDenied":
            text = f"the ACL {acl['ACL']} is denied: BlockPublicAcls is on, or s3:PutObjectAcl is missing"
            fix = f"{APPLY}, or {fix}"
        return not_ok("media acl", text, fix)
    except BotoCoreError as error:
        return not_ok("media acl", *failure(error, "s3:PutObjectAcl", "", "web", None))
    return ok("media acl", f"{acl['ACL']} is sent and accepted")


def _missing(probed: Probed, location: Location) -> Line:
    """Tell whether an upload that does not exist is reported as missing, and not as forbidden."""
    target, probe = location.target, "missing key"
    try:
        named = names(target, location.bucket)
        probed.s3(target).head_object(**named, Key=f"{probed.key(location)}.missing")
    except ERRORS as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"] if isinstance(error, ClientError) else 0
        if status == 404:
            return ok(probe, "an upload that does not exist answers 404")
        resource = arn(target, location.bucket)
        cause, fix = failure(error, "s3:ListBucket", resource, "web", target.owner)
        if status == 403:
            cause = "an upload that does not exist answers 403 instead of 404: no right to s3:ListBucket"
        return not_ok(probe, cause, fix)
    return not_ok(probe, "an upload that does not exist answers 200", "use a server that behaves as S3")


# Visitors


def _visitors(probed: Probed, location: Location) -> list[Line]:
    """Tell what visitors get of the probe's upload, by every address that it has."""
    lines: list[Line] = []
    private, dead = location.is_private, location.alias in probed.dead_domains
    key = probed.key(location)
    own = clients.object_url(location.target, location.bucket, key)
    domain = location.custom_domain
    address = f"https://{domain}/{key}" if domain and not dead else own
    try:
        if private:
            lines.append(_private({own, address}))
        elif not dead:
            lines.append(_open(probed, location))
        if location.through_cdn and not private:
            lines.append(_bypass(own))
        if dead:
            probed.not_probed.append("uploads through their domain")
        elif private:
            lines += _links(probed, location, own, address)
    except NoAnswerError as error:
        lines.append(cant_tell("media visitors", f"no answer: {error}", LATER))
    return [*lines, over_plain_http("media tls", location.target, own)]


def _private(urls: set[str]) -> Line:
    """Tell whether addresses are closed to visitors who come without a signature."""
    probe = "media visitors"
    for url in sorted(urls):
        answer = fetch(url)
        host = url.split("/")[2]
        if answer.status < 300:
            text = f"anybody can read uploads at {host}, which must be private"
            return not_ok(probe, text, f"{APPLY}; `--replace-conflicting` removes what others opened")
        if answer.status not in {401, 403}:
            return cant_tell(probe, f"{host} answers {answer}", LATER)
    return ok(probe, "without a signature an upload is denied")


def _bypass(url: str) -> Line:
    """Tell whether uploads that are public through CloudFront can be read without it."""
    if fetch(url).status < 300:
        text = "the bucket's own address is open, although only CloudFront may read it"
        return warning("media bypass", text, APPLY)
    return ok("media bypass", "only CloudFront reads the bucket")


def _open(probed: Probed, location: Location) -> Line:
    answer = fetch(probed.storage(location).url(probed.name))
    if answer.status == 200 and answer.body == BODY:
        return ok("media visitors", f"anybody can read an upload: access is {location.access!r}")
    if answer.status == 200:
        text = "visitors get other bytes than were stored"
        return not_ok("media visitors", text, "check the custom domain's origin")
    text = f"visitors can't read uploads, although access is {location.access!r}: they get {answer}"
    return not_ok("media visitors", text, f"{APPLY}; see `account block` too")


def _links(probed: Probed, location: Location, own: str, address: str) -> list[Line]:
    """Tell whether a signed link works, and whether tampered and expired ones don't."""
    storage, now = probed.storage(location), int(time.time())
    link = storage.url(probed.name)
    # The first character of the signature; the last of a CloudFront one can be changed without effect.
    tampered = re.sub(r"(?<=Signature=)[^&]", lambda found: "1" if found[0] == "0" else "0", link, count=1)
    if storage._cloudfront:
        expired = cloudfront.signed(*storage._cloudfront, address, now - 60)
        fix = "check cloudfront_key_id and cloudfront_key against the distribution's key group"
    else:
        expired = signed(location.target, own, age=7200)
        fix = f"allow s3:GetObject on {location.arn()}"

    answer = fetch(link)
    if answer.status == 200 and answer.body == BODY:
        lines = [ok("signed link", f"works, for up to {location.expire} seconds")]
    else:
        lines = [not_ok("signed link", f"does not work: {answer}", fix)]
    for probe, text, url in (
        ("tampered link", "a link whose signature was changed", tampered),
        ("expired link", "a link that has expired", expired),
    ):
        answer = fetch(url)
        if answer.status in {400, 401, 403}:
            lines.append(ok(probe, f"{text} is rejected"))
        else:
            lines.append(not_ok(probe, f"{text} answers {answer}", f"close the bucket to visitors: {APPLY}"))
    return lines
