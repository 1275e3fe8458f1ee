"""Uploads straight to S3: what a browser may send with what the site signs, and what it may not."""

import secrets
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from s3kit import clients
from s3kit.buckets.wanted import ASPECTS
from s3kit.clients import PENDING_PREFIX
from s3kit.doctor.shared import (
    APPLY,
    LATER,
    REFUSALS,
    Answer,
    Line,
    NoAnswerError,
    Patient,
    cant_tell,
    code_of,
    fetch,
    not_ok,
    ok,
    warning,
)
from s3kit.doctor.static_files import DESK_SITE
from s3kit.uploads import pending

BODY = b"Sent by `manage.py s3 doctor`; it can be deleted.\n"
TYPE = "text/plain"
STRICT = "use a store that checks what is signed, as S3 does"


def direct_uploads(patient: Patient) -> list[Line]:
    """Send a form and a part as a visitor's browser does, and what differs from what was signed."""
    key = PENDING_PREFIX + patient.name
    lines: list[Line] = []
    try:
        lines += _form(patient, key)
        lines.append(_cors(patient, key))
    except NoAnswerError as error:
        lines.append(cant_tell("direct form", f"no answer: {error}", LATER))
    finally:
        # Also where the answer to the form was lost: deleting what is not there is no error.
        lines.append(_deleted(patient, key))
    return [*lines, _parts(patient, key)]


def _arn(patient: Patient) -> str:
    return patient.site.arn(patient.site.media_bucket, f"{PENDING_PREFIX}*")


def _form(patient: Patient, key: str) -> list[Line]:
    form = pending.signed_form(patient.site.media_bucket, key, TYPE, len(BODY))
    answer = _post(form, BODY)
    if answer.code == "AccessDenied":
        cure = f"allow s3:PutObject on {_arn(patient)}: see `manage.py s3 policy --role web`"
        return [not_ok("direct form", "a browser's upload is refused: no right to s3:PutObject", cure)]
    if answer.status >= 300:
        text = f"a browser's upload is refused: {answer}"
        return [not_ok("direct form", text, "use a store that takes forms (POST Object), as S3 does")]
    lines = [ok("direct form", "a browser can send just what the site has signed"), _read(patient, key)]
    wrong = {
        "a larger file": (BODY + b"!", {}),
        "another type": (BODY, {"Content-Type": "text/html"}),
        "another key": (BODY, {"key": f"{key}.other"}),
    }
    taken = [what for what, (body, fields) in wrong.items() if _post(form, body, fields).status < 300]
    if taken:
        text = f"a browser can send {' and '.join(taken)} than the site has signed"
        lines.append(not_ok("direct limits", text, STRICT))
    else:
        lines.append(ok("direct limits", f"{', '.join(wrong)}: each is refused"))
    if (answer := fetch(clients.object_url(patient.site.media_bucket, key))).status < 300:
        text = f"anybody can read what nobody has checked: {PENDING_PREFIX}* answers {answer}"
        lines.append(
            not_ok("direct closed", text, f"{APPLY}; `--replace-conflicting` removes what others opened")
        )
    else:
        lines.append(ok("direct closed", "without a signature it is refused"))
    return lines


def _read(patient: Patient, key: str) -> Line:
    probe = "direct read"
    try:
        found = patient.s3.head_object(**patient.named(patient.site.media_bucket), Key=key)
    except REFUSALS as error:
        return not_ok(probe, *patient.refused(error, "s3:GetObject", _arn(patient), "web"))
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


def _cors(patient: Patient, key: str) -> Line:
    """Ask whether a page of each of the site's origins may send a form, and a part."""
    probe, site = "direct cors", patient.site
    origins = [*site.origins, *([DESK_SITE] if site.at_desk else [])]
    if not origins:
        text = "no origin is allowed: the site's pages can send nothing straight to S3"
        return warning(probe, text, f"set DJANGO_SITE_ORIGINS, then {APPLY}")
    bucket = site.media_bucket
    for origin in origins:
        for method, url in (("POST", clients.bucket_url(bucket)), ("PUT", clients.object_url(bucket, key))):
            asking = {"Origin": origin, "Access-Control-Request-Method": method}
            answer = fetch(url, "OPTIONS", asking)
            if answer.status >= 300 or answer.headers.get("access-control-allow-origin") not in {origin, "*"}:
                text = f"pages of {origin} can send nothing straight to S3: CORS does not allow {method}"
                return not_ok(probe, text, f"set DJANGO_SITE_ORIGINS, then {APPLY}")
    return ok(probe, f"pages of {', '.join(origins)} may send uploads")


def _deleted(patient: Patient, key: str) -> Line:
    named = patient.named(patient.site.media_bucket)
    try:
        for each in (key, f"{key}.other"):
            patient.s3.delete_object(**named, Key=each)
    except REFUSALS as error:
        text, cure = patient.refused(error, "s3:DeleteObject", _arn(patient), "web")
        return not_ok("direct delete", text, f"{cure}; {key} expires in a day")
    return ok("direct delete", "what was sent is deleted again")


def _parts(patient: Patient, key: str) -> Line:
    """Begin an upload in parts, send a part, look at it, and give it up."""
    probe, arn = "direct parts", _arn(patient)
    target = patient.named(patient.site.media_bucket) | {"Key": key}
    try:
        target["UploadId"] = patient.s3.create_multipart_upload(**target, ContentType=TYPE)["UploadId"]
    except REFUSALS as error:
        return not_ok(probe, *patient.refused(error, "s3:PutObject", arn, "web"))
    try:
        line = _part(patient, probe, target)
    finally:
        try:
            patient.s3.abort_multipart_upload(**target)
        except REFUSALS as error:
            text, cure = patient.refused(error, "s3:AbortMultipartUpload", arn, "web")
            line = not_ok(probe, text, f"{cure}; what was left expires in a day")
    return line


def _part(patient: Patient, probe: str, target: Mapping[str, str]) -> Line:
    """Send a part in another size than was signed, and in its own."""
    url = pending.signed_part(target["Bucket"], target["Key"], target["UploadId"], 1, len(BODY))
    try:
        longer, exact = (fetch(url, "PUT", body=body) for body in (BODY + b"!", BODY))
        listed = patient.s3.list_parts(**target).get("Parts", [])
    except NoAnswerError as error:
        return cant_tell(probe, f"no answer: {error}", LATER)
    except REFUSALS as error:
        return not_ok(probe, *patient.refused(error, "s3:ListMultipartUploadParts", _arn(patient), "web"))
    if longer.status < 300:
        return not_ok(probe, "a browser can send a larger part than the site has signed", STRICT)
    if exact.status >= 300 or [part["Size"] for part in listed] != [len(BODY)]:
        return not_ok(probe, f"a browser's part is refused: {exact}", STRICT)
    return ok(probe, "a large file can be sent in parts, each of just its size")


def expiry(patient: Patient) -> list[Line]:
    """Tell whether S3 removes what was sent and never accepted."""
    probe, site = "direct expiry", patient.site
    if patient.role is None and "media" not in patient.usable:
        return []
    try:
        rules = ASPECTS["lifecycle"].read(patient.s3, patient.named(site.media_bucket))
    except ClientError as error:
        if code_of(error) != "AccessDenied":
            raise
        cure = "run `manage.py s3 doctor --role deploy`, or `manage.py s3 plan`, with credentials that may"
        return [cant_tell(probe, "no right to s3:GetLifecycleConfiguration", cure)]
    prefixes = [
        rule.get("Filter", rule).get("Prefix")
        for rule in rules
        if rule["Status"] == "Enabled" and "Expiration" in rule
    ]
    if PENDING_PREFIX in prefixes:
        return [ok(probe, "what nobody accepts is removed after a day")]
    return [warning(probe, "what is sent and never accepted stays, and costs, for ever", APPLY)]
