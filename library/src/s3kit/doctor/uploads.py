"""Uploads: what the site does with them, and what a visitor gets of them in each access mode."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from s3kit import clients
from s3kit.clients import MEDIA_PREFIX
from s3kit.doctor.shared import (
    APPLY,
    LATER,
    REFUSALS,
    Line,
    NoAnswerError,
    Patient,
    cant_tell,
    code_of,
    fetch,
    not_ok,
    ok,
    over_plain_http,
    signed,
    warning,
)
from s3kit.storages import media

BODY = b"Written by `manage.py s3 doctor`; it can be deleted.\n"
LEFT_OVER = timedelta(hours=1)  # an older probe object is one of a doctor that was killed


def uploads(patient: Patient) -> list[Line]:
    """Write, read, list and delete an upload as the site does, and look at it as a visitor does."""
    s3, key, site = patient.s3, patient.key, patient.site
    named = patient.named(site.media_bucket)
    objects, bucket = site.arn(site.media_bucket, f"{MEDIA_PREFIX}*"), site.arn(site.media_bucket)
    lines: list[Line] = []

    def step(probe: str, text: str, action: str, arn: str, call: Callable[[], Any]) -> bool:
        try:
            call()
        except REFUSALS as error:
            lines.append(not_ok(probe, *patient.refused(error, action, arn, "web")))
        else:
            lines.append(ok(probe, text))
        return lines[-1].status == "ok"

    # What the storage sends with every upload; whether its ACL is taken is a line of its own.
    sent = patient.storage._get_write_parameters(patient.name)
    acl = {"ACL": sent.pop("ACL")} if "ACL" in sent else {}
    put = partial(s3.put_object, **named, Key=key, Body=BODY, **sent)
    head = partial(s3.head_object, **named, Key=key)
    read = partial(s3.get_object, **named, Key=key)
    delete = partial(s3.delete_object, **named, Key=key)
    try:
        if step("media write", "an upload is stored", "s3:PutObject", objects, put):
            # Who may not read gets 403 for what is missing too; that is one trouble and not two.
            if step("media head", "its size and type come back", "s3:GetObject", objects, head):
                lines.append(_missing(patient))
            step("media read", "its bytes come back", "s3:GetObject", objects, lambda: read()["Body"].read())
            lines.append(_acl(patient, partial(put, **acl), acl))
            lines += _visitors(patient)
        else:
            patient.not_probed.append("uploads as visitors see them")
        parts = partial(patient.begin_and_abort, site.media_bucket, key)
        text = "a large upload can begin and be given up"
        step("media parts", text, "s3:AbortMultipartUpload", objects, parts)
        text = "the bucket can be listed"
        step("media list", text, "s3:ListBucket", bucket, partial(_list, patient, named))
    finally:
        # Also where the answer to the write was lost: deleting what is not there is no error.
        if not step(
            "media delete", "the probe's upload is deleted again", "s3:DeleteObject", objects, delete
        ):
            failed = lines.pop()
            lines.append(not_ok(failed.probe, failed.text, f"{failed.cure}; then delete {key}"))
    return lines


def _list(patient: Patient, named: dict[str, str]) -> None:
    """List the probe objects; delete those of a doctor that was killed."""
    found = patient.s3.list_objects_v2(**named, Prefix=f"{MEDIA_PREFIX}.doctor-").get("Contents", [])
    for entry in found:
        if entry["LastModified"] < datetime.now(UTC) - LEFT_OVER:
            patient.s3.delete_object(**named, Key=entry["Key"])


def _acl(patient: Patient, put: Callable[[], Any], acl: dict[str, str]) -> Line:
    if not acl:
        return ok("media acl", "none is sent, and none is needed")
    bucket = patient.site.media_bucket
    try:
        put()
    except ClientError as error:
        code = code_of(error)
        if code == "AccessControlListNotSupported":
            text = f"AWS_MEDIA_ACCESS={acl['ACL']}, but {bucket} has ACLs disabled"
            return not_ok("media acl", text, f"{APPLY}, or set AWS_MEDIA_ACCESS=public-policy")
        arn = patient.site.arn(bucket, f"{MEDIA_PREFIX}*")
        text, cure = patient.refused(error, "s3:PutObjectAcl", arn, "web")
        if code == "AccessDenied":
            text = f"the ACL {acl['ACL']} is refused: BlockPublicAcls is on, or s3:PutObjectAcl is missing"
            cure = f"{APPLY}, or {cure}"
        return not_ok("media acl", text, cure)
    except BotoCoreError as error:
        return not_ok("media acl", *patient.refused(error, "s3:PutObjectAcl", "", "web"))
    return ok("media acl", f"{acl['ACL']} is sent and taken")


def _missing(patient: Patient) -> Line:
    """Tell whether an upload that does not exist is reported as missing, and not as forbidden."""
    site, probe = patient.site, "missing key"
    try:
        key = f"{patient.key}.missing"
        patient.s3.head_object(**patient.named(site.media_bucket), Key=key)
    except REFUSALS as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"] if isinstance(error, ClientError) else 0
        if status == 404:
            return ok(probe, "an upload that does not exist answers 404")
        cause, cure = patient.refused(error, "s3:ListBucket", site.arn(site.media_bucket), "web")
        if status == 403:
            cause = "an upload that does not exist answers 403 instead of 404: no right to s3:ListBucket"
        return not_ok(probe, cause, cure)
    return not_ok(probe, "an upload that does not exist answers 200", "use a store that behaves as S3")


# ------------------------------------------------------------------------------------------- visitors


def _visitors(patient: Patient) -> list[Line]:
    """Tell what visitors get of the probe's upload, by every address that it has."""
    lines: list[Line] = []
    site, private = patient.site, patient.storage.querystring_auth
    own = clients.object_url(site.media_bucket, patient.key)
    domain, dead = patient.storage.custom_domain, "media" in patient.dead_domains
    address = f"https://{domain}/{patient.key}" if domain and not dead else own
    try:
        if private:
            lines.append(_private({own, address}))
        elif not dead:
            lines.append(_open(patient, patient.storage.url(patient.name)))
        if site.media_through_cdn and not private:
            lines.append(_bypass(own))
        if dead:
            patient.not_probed.append("uploads through their domain")
        elif private:
            lines += _links(patient, own, address)
    except NoAnswerError as error:
        lines.append(cant_tell("media visitors", f"no answer: {error}", LATER))
    return [*lines, over_plain_http("media tls", own)]


def _private(urls: set[str]) -> Line:
    """Tell whether addresses are closed to whoever comes without a signature."""
    probe = "media visitors"
    for url in sorted(urls):
        answer = fetch(url)
        host = url.split("/")[2]
        if answer.status < 300:
            text = f"anybody can read uploads at {host}, which are to be private"
            return not_ok(probe, text, f"{APPLY}; `--replace-conflicting` removes what others opened")
        if answer.status not in {401, 403}:
            return cant_tell(probe, f"{host} answers {answer}", LATER)
    return ok(probe, "without a signature an upload is refused")


def _bypass(url: str) -> Line:
    """Tell whether uploads that are public through CloudFront can be read beside it."""
    if fetch(url).status < 300:
        text = "the bucket's own address is open, although only CloudFront is to read it"
        return warning("media bypass", text, APPLY)
    return ok("media bypass", "only CloudFront reads the bucket")


def _open(patient: Patient, url: str) -> Line:
    answer = fetch(url)
    if answer.status == 200 and answer.body == BODY:
        return ok("media visitors", "anybody can read an upload, as AWS_MEDIA_ACCESS says")
    if answer.status == 200:
        return not_ok(
            "media visitors", "visitors get other bytes than were stored", "look at the custom domain"
        )
    access = patient.site.access
    text = f"visitors can't read uploads, although AWS_MEDIA_ACCESS={access}: they get {answer}"
    return not_ok("media visitors", text, f"{APPLY}; see `account block` too")


def _links(patient: Patient, own: str, address: str) -> list[Line]:
    """Tell whether a signed link works, and whether tampered and expired ones don't."""
    storage, now = patient.storage, int(time.time())
    link = storage.url(patient.name)
    # The first character of the signature; the last of a CloudFront one can be changed without effect.
    tampered = re.sub(r"(?<=Signature=)[^&]", lambda found: "1" if found[0] == "0" else "0", link, count=1)
    if storage._cloudfront:
        expired = media._cloudfront_link(*storage._cloudfront, address, now - 60)
    else:
        expired = signed(own, age=7200)

    lines = []
    answer = fetch(link)
    if answer.status == 200 and answer.body == BODY:
        lines.append(ok("signed link", f"works, for up to {storage.querystring_expire} seconds"))
    else:
        cure = (
            "check AWS_CLOUDFRONT_KEY_ID and AWS_CLOUDFRONT_KEY against the distribution's key group"
            if storage._cloudfront
            else f"allow s3:GetObject on {patient.site.arn(patient.site.media_bucket, f'{MEDIA_PREFIX}*')}"
        )
        lines.append(not_ok("signed link", f"does not work: {answer}", cure))
    for probe, text, url in (
        ("tampered link", "a link whose signature was changed", tampered),
        ("expired link", "a link whose time is over", expired),
    ):
        answer = fetch(url)
        if answer.status in {400, 401, 403}:
            lines.append(ok(probe, f"{text} is refused"))
        else:
            lines.append(not_ok(probe, f"{text} answers {answer}", f"close the bucket to visitors: {APPLY}"))
    return lines
