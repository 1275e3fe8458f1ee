"""Uploads straight to S3: what a browser may send with what the site signs, and what it may not."""

import secrets
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from s3kit import clients
from s3kit.buckets.wanted import ASPECTS
from s3kit.deployment import PENDING_PREFIX, Bucket
from s3kit.doctor.shared import (
    APPLY,
    ERRORS,
    LATER,
    Answer,
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
    warning,
)
from s3kit.uploads.pending import Pending

BODY = b"Sent by `manage.py s3 doctor`; it can be deleted.\n"
TYPE = "text/plain"
STRICT = "use a server that checks what is signed, as S3 does"


def direct_uploads(probed: Probed, bucket: Bucket) -> list[Line]:
    """Send a form and a part as a visitor's browser does, and what differs from what was signed."""
    key = PENDING_PREFIX + probed.name
    lines: list[Line] = []
    try:
        lines += _form(probed, bucket, key)
        lines.append(_cors(probed, bucket, key))
    except NoAnswerError as error:
        lines.append(cant_tell("direct form", f"no answer: {error}", LATER))
    finally:
        # Also where the answer to the form was lost: deleting what does not exist is no error.
        lines.append(_deleted(probed, bucket, key))
    return [*lines, _parts(probed, bucket, key)]


def _failure(error: Exception, action: str, bucket: Bucket) -> tuple[str, str]:
    return failure(error, action, bucket.arn(f"{PENDING_PREFIX}*"), "web", bucket.target.owner)


def _form(probed: Probed, bucket: Bucket, key: str) -> list[Line]:
    form = Pending(bucket.target, bucket.name, key).signed_form(TYPE, len(BODY))
    answer = _post(form, BODY)
    if answer.code == "AccessDenied":
        resource = bucket.arn(f"{PENDING_PREFIX}*")
        fix = f"allow s3:PutObject on {resource}: see `manage.py s3 policy --role web`"
        return [not_ok("direct form", "a browser's upload is denied: no right to s3:PutObject", fix)]
    if answer.status >= 300:
        text = f"a browser's upload is rejected: {answer}"
        return [not_ok("direct form", text, "use a server that accepts forms (POST Object), as S3 does")]
    lines = [ok("direct form", "a browser can send exactly what the site has signed")]
    lines.append(_read(probed, bucket, key))
    wrong = {
        "a larger file": (BODY + b"!", {}),
        "another type": (BODY, {"Content-Type": "text/html"}),
        "another key": (BODY, {"key": f"{key}.other"}),
    }
    accepted = [what for what, (body, fields) in wrong.items() if _post(form, body, fields).status < 300]
    if accepted:
        text = f"a browser can send {' and '.join(accepted)} than the site has signed"
        lines.append(not_ok("direct limits", text, STRICT))
    else:
        lines.append(ok("direct limits", f"{', '.join(wrong)}: each is rejected"))
    if (answer := fetch(clients.object_url(bucket.target, bucket.name, key))).status < 300:
        text = f"anybody can read what nobody has checked: {PENDING_PREFIX}* answers {answer}"
        fix = f"{APPLY}; `--replace-conflicting` removes what others opened"
        lines.append(not_ok("direct closed", text, fix))
    else:
        lines.append(ok("direct closed", "without a signature it is denied"))
    return lines


def _read(probed: Probed, bucket: Bucket, key: str) -> Line:
    probe, target = "direct read", bucket.target
    try:
        found = probed.s3(target).head_object(**names(target, bucket.name), Key=key)
    except ERRORS as error:
        return not_ok(probe, *_failure(error, "s3:GetObject", bucket))
    if (found["ContentLength"], found["ContentType"]) != (len(BODY), TYPE):
        return not_ok(probe, "what was sent has another size or type than was signed", STRICT)
    return ok(probe, "the site sees what was sent, with its size and type")


def _post(form: Mapping[str, Any], body: bytes, fields: Mapping[str, str] | None = None) -> Answer:
    boundary = secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in (form["fields"] | (fields or {})).items()
    ]
    parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n')
    content = "".join(parts).encode() + body + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return fetch(form["url"], "POST", headers, content)


def _cors(probed: Probed, bucket: Bucket, key: str) -> Line:
    """Ask whether a page of each of the site's origins may send a form, and a part."""
    probe, target = "direct cors", bucket.target
    origins = probed.origins(target)
    if not origins:
        text = "no origin is allowed: the site's pages can send nothing straight to S3"
        return warning(probe, text, f"set AWS_SITE_ORIGINS, then {APPLY}")
    urls = {
        "POST": clients.bucket_url(target, bucket.name),
        "PUT": clients.object_url(target, bucket.name, key),
    }
    for origin in origins:
        for method, url in urls.items():
            asking = {"Origin": origin, "Access-Control-Request-Method": method}
            answer = fetch(url, "OPTIONS", asking)
            if answer.status >= 300 or answer.headers.get("access-control-allow-origin") not in {origin, "*"}:
                text = f"pages of {origin} can send nothing straight to S3: CORS does not allow {method}"
                return not_ok(probe, text, f"set AWS_SITE_ORIGINS, then {APPLY}")
    return ok(probe, f"pages of {', '.join(origins)} may send uploads")


def _deleted(probed: Probed, bucket: Bucket, key: str) -> Line:
    named = names(bucket.target, bucket.name)
    try:
        for each in (key, f"{key}.other"):
            probed.s3(bucket.target).delete_object(**named, Key=each)
    except ERRORS as error:
        text, fix = _failure(error, "s3:DeleteObject", bucket)
        return not_ok("direct delete", text, f"{fix}; {key} expires in a day")
    return ok("direct delete", "what was sent is deleted again")


def _parts(probed: Probed, bucket: Bucket, key: str) -> Line:
    """Begin a multipart upload, send a part, look at it, and abort."""
    probe, s3 = "direct parts", probed.s3(bucket.target)
    upload = names(bucket.target, bucket.name) | {"Key": key}
    try:
        upload["UploadId"] = s3.create_multipart_upload(**upload, ContentType=TYPE)["UploadId"]
    except ERRORS as error:
        return not_ok(probe, *_failure(error, "s3:PutObject", bucket))
    try:
        line = _part(s3, probe, bucket, upload)
    finally:
        try:
            s3.abort_multipart_upload(**upload)
        except ERRORS as error:
            text, fix = _failure(error, "s3:AbortMultipartUpload", bucket)
            line = not_ok(probe, text, f"{fix}; what was left expires in a day")
    return line


def _part(s3: Any, probe: str, bucket: Bucket, upload: Mapping[str, str]) -> Line:
    """Send a part in another size than was signed, and in its own."""
    pending = Pending(bucket.target, bucket.name, upload["Key"], upload["UploadId"])
    url = pending.signed_part(1, len(BODY))
    try:
        longer, exact = (fetch(url, "PUT", body=body) for body in (BODY + b"!", BODY))
        parts = s3.list_parts(**upload).get("Parts", [])
    except NoAnswerError as error:
        return cant_tell(probe, f"no answer: {error}", LATER)
    except ERRORS as error:
        return not_ok(probe, *_failure(error, "s3:ListMultipartUploadParts", bucket))
    if longer.status < 300:
        return not_ok(probe, "a browser can send a larger part than the site has signed", STRICT)
    if exact.status >= 300 or [part["Size"] for part in parts] != [len(BODY)]:
        return not_ok(probe, f"a browser's part is rejected: {exact}", STRICT)
    return ok(probe, "a large file can be sent in parts, each of exactly its size")


def expiry(probed: Probed, bucket: Bucket) -> list[Line]:
    """Tell whether S3 removes what was sent and never accepted."""
    probe = "direct expiry"
    if probed.role is None and bucket not in probed.usable:
        return []
    try:
        rules = ASPECTS["lifecycle"].read(probed.s3(bucket.target), names(bucket.target, bucket.name))
    except ClientError as error:
        if code_of(error) != "AccessDenied":
            raise
        fix = "run `manage.py s3 doctor --role deploy`, or `manage.py s3 plan`, with credentials that may"
        return [cant_tell(probe, "no right to s3:GetLifecycleConfiguration", fix)]
    prefixes = [
        rule.get("Filter", rule).get("Prefix")
        for rule in rules
        if rule["Status"] == "Enabled" and "Expiration" in rule
    ]
    if PENDING_PREFIX in prefixes:
        return [ok(probe, "what nobody accepts is removed after a day")]
    return [warning(probe, "what is sent and never accepted stays, and costs money, forever", APPLY)]
