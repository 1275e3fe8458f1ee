"""Uploads straight to S3: what a browser may send with what the site signs, and what it may not."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import quote

from botocore.exceptions import ClientError

from s3kit import clients
from s3kit.buckets.plan import UNKNOWN_OPERATION
from s3kit.buckets.wanted import ASPECTS, upload_headers
from s3kit.deployment import PENDING_PREFIX, Bucket
from s3kit.doctor.shared import (
    APPLY,
    LATER,
    Answer,
    Line,
    Probed,
    cant_tell,
    code_of,
    failure,
    fetch,
    names,
    not_ok,
    ok,
    option,
    seen,
    warning,
)
from s3kit.uploads.pending import Pending, takes_conditions

BODY = b"Sent by `manage.py s3 doctor`; it can be deleted.\n"
TYPE = "text/plain"
STRICT = "use a server that checks what is signed, as S3 does"


# Any header of this kind must be signed on S3. These change what a request does, or who may read the result.
COPY, OTHER = "x-amz-copy-source", "x-amz-acl"


def direct_uploads(probed: Probed, bucket: Bucket) -> Iterator[Line]:
    """Send a file and a part as a visitor's browser does, and what differs from what was signed."""
    if _is_off(bucket):
        yield ok("direct uploads", "turned off: browsers send files to the site alone")
        return
    key = PENDING_PREFIX + probed.name
    try:
        yield from seen("direct put", partial(_sent, probed, bucket, key))
        yield from seen("direct cors", partial(_cors, probed, bucket, key))
        yield from _parts(probed, bucket, key)
    finally:
        # Also where the answer to the PUT was lost: deleting what does not exist is no error.
        explain = partial(_failure, action="s3:DeleteObject", bucket=bucket, left=f"{key} expires in a day")
        deleted = seen("direct delete", partial(_deleted, probed, bucket, key), explain)
    yield from deleted


def _is_off(bucket: Bucket) -> bool:
    return not any(location.direct_uploads for location in bucket.media)


def _failure(error: Exception, action: str, bucket: Bucket, left: str = "") -> tuple[str, str]:
    text, fix = failure(error, action, bucket.arn(f"{PENDING_PREFIX}*"), "web", bucket.target.owner)
    return text, f"{fix}; {left}" if left else fix


def _sent(probed: Probed, bucket: Bucket, key: str) -> Iterator[Line]:
    """Send a file as the site has signed it, and otherwise."""
    probe, other = "direct put", f"{key}.other"
    url, headers = Pending(bucket.target, bucket.name, key).signed_put(TYPE, len(BODY))
    answer = fetch(url, "PUT", headers, BODY)
    if answer.code == "AccessDenied":
        resource = bucket.arn(f"{PENDING_PREFIX}*")
        fix = f"allow s3:PutObject on {resource}: see `manage.py s3 policy --role web`"
        yield not_ok(probe, "a browser's upload is denied: no right to s3:PutObject", fix)
        return
    if answer.status >= 300:
        text = f"a browser's upload is rejected: {answer}; pages use the plain form"
        fix = f"use a server that takes a PUT with signed size and type, as S3 does, or {_off(bucket)}"
        yield not_ok(probe, text, fix)
        return
    yield ok(probe, "a browser can send exactly what the site has signed")
    # To a key of its own, or a file that is there already could be the reason why it is rejected.
    signed_url, _ = Pending(bucket.target, bucket.name, other).signed_put(TYPE, len(BODY))
    attempts = {
        "a larger file": partial(fetch, signed_url, "PUT", headers, BODY + b"!"),
        "another type": partial(fetch, signed_url, "PUT", headers | {"content-type": "text/html"}, BODY),
        "another key": partial(fetch, url.replace(key, other), "PUT", headers, BODY),
    }
    if takes_conditions(bucket.target):
        attempts["a second file"] = partial(fetch, url, "PUT", headers, BODY)
    explain = partial(_failure, action="s3:GetObject", bucket=bucket)
    yield from seen("direct read", partial(_read, probed, bucket, key), explain)
    yield from seen("direct limits", partial(_limits, attempts))
    yield from seen("direct closed", partial(_closed, bucket, key))


def _off(bucket: Bucket) -> str:
    return f"turn direct uploads off: {option('direct_uploads', bucket.media[0])} = False"


def _read(probed: Probed, bucket: Bucket, key: str) -> Line:
    probe, target = "direct read", bucket.target
    found = probed.s3(target).head_object(**names(target, bucket.name), Key=key)
    if (found["ContentLength"], found["ContentType"]) != (len(BODY), TYPE):
        return not_ok(probe, "what was sent has another size or type than was signed", STRICT)
    return ok(probe, "the site sees what was sent, with its size and type")


def _limits(attempts: Mapping[str, Callable[[], Answer]]) -> Line:
    """Send what differs from what was signed."""
    probe = "direct limits"
    answers = {what: send() for what, send in attempts.items()}
    if accepted := [what for what, answer in answers.items() if answer.status < 300]:
        text = f"a browser can send what the site has not signed: {', '.join(accepted)}"
        return not_ok(probe, text, STRICT)
    for what, answer in answers.items():
        if answer.status >= 500:
            return cant_tell(probe, f"{what}, which the site has not signed, is answered {answer}", LATER)
    return ok(probe, f"{', '.join(answers)}: each is rejected")


def _closed(bucket: Bucket, key: str) -> Line:
    probe, answer = "direct closed", fetch(clients.object_url(bucket.target, bucket.name, key))
    if answer.status < 300:
        text = f"anybody can read what nobody has checked: {PENDING_PREFIX}* answers {answer}"
        return not_ok(probe, text, f"{APPLY}; `--replace-conflicting` removes what others opened")
    if not answer.is_denial:
        return cant_tell(probe, f"without a signature it is answered {answer}", LATER)
    return ok(probe, "without a signature it is denied")


def _cors(probed: Probed, bucket: Bucket, key: str) -> Line:
    """Ask whether a page of each of the site's origins may send a file with its headers."""
    probe, target = "direct cors", bucket.target
    origins = probed.origins(target)
    if not origins:
        text = "no origin is allowed: the site's pages can send nothing straight to S3"
        return warning(probe, text, f"set AWS_SITE_ORIGINS, then {APPLY}")
    url, headers = clients.object_url(target, bucket.name, key), ", ".join(upload_headers(bucket))
    for origin in origins:
        asking = {
            "Origin": origin,
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": headers,
        }
        answer = fetch(url, "OPTIONS", asking)
        if answer.status >= 300 or answer.headers.get("access-control-allow-origin") not in {origin, "*"}:
            text = (
                f"pages of {origin} can send nothing straight to S3: CORS does not allow PUT with {headers}"
            )
            return not_ok(probe, text, f"set AWS_SITE_ORIGINS, then {APPLY}")
    return ok(probe, f"pages of {', '.join(origins)} may send uploads")


def _deleted(probed: Probed, bucket: Bucket, key: str) -> Line:
    for each in (key, *(f"{key}.{each}" for each in ("other", "source", "unsigned"))):
        probed.s3(bucket.target).delete_object(**names(bucket.target, bucket.name), Key=each)
    return ok("direct delete", "what was sent is deleted again")


def _parts(probed: Probed, bucket: Bucket, key: str) -> Iterator[Line]:
    """Begin a multipart upload, send parts, look at them, and abort."""
    probe, s3 = "direct parts", probed.s3(bucket.target)
    upload = names(bucket.target, bucket.name) | {"Key": key}

    def begin() -> list[Line]:
        upload["UploadId"] = s3.create_multipart_upload(**upload, ContentType=TYPE)["UploadId"]
        return []

    def abort() -> list[Line]:
        s3.abort_multipart_upload(**upload)
        return []

    if lines := seen(probe, begin, partial(_failure, action="s3:PutObject", bucket=bucket)):
        yield from lines
        return
    try:
        explain = partial(_failure, action="s3:ListMultipartUploadParts", bucket=bucket)
        lines = seen(probe, partial(_part, s3, bucket, upload), explain)
        if lines[0].status == "ok":
            explain = partial(_failure, action="s3:PutObject", bucket=bucket)
            lines += seen("direct headers", partial(_headers, s3, bucket, upload), explain)
        else:
            probed.not_probed.append("unsigned headers of parts")
    finally:
        explain = partial(
            _failure, action="s3:AbortMultipartUpload", bucket=bucket, left="what was left expires in a day"
        )
        failed = seen(probe, abort, explain)
    yield from [*failed, *lines[1:]] if failed else lines


def _sizes(s3: Any, upload: Mapping[str, str]) -> dict[int, int]:
    """Return the sizes of the parts that S3 has, by number."""
    return {part["PartNumber"]: part["Size"] for part in s3.list_parts(**upload).get("Parts", [])}


def _part(s3: Any, bucket: Bucket, upload: Mapping[str, str]) -> Line:
    """Send a part in another size than was signed, and in its own."""
    probe = "direct parts"
    url = Pending(bucket.target, bucket.name, upload["Key"], upload["UploadId"]).signed_part(1, len(BODY))
    longer, exact = (fetch(url, "PUT", body=body) for body in (BODY + b"!", BODY))
    if longer.status < 300:
        return not_ok(probe, "a browser can send a larger part than the site has signed", STRICT)
    if exact.status >= 300 or _sizes(s3, upload) != {1: len(BODY)}:
        return not_ok(probe, f"a browser's part is rejected: {exact}", STRICT)
    return ok(probe, "a large file can be sent in parts, each of exactly its size")


def _headers(s3: Any, bucket: Bucket, upload: Mapping[str, str]) -> Line:
    """Send parts with headers that were not signed, one of which would copy another object into the upload.

    That it was copied shows in the size of the part: the body that comes with the header is longer.
    """
    probe, key, body = "direct headers", upload["Key"], BODY * 2
    pending = Pending(bucket.target, bucket.name, key, upload["UploadId"])
    named = names(bucket.target, bucket.name)
    s3.put_object(**named, Key=f"{key}.source", Body=BODY, ContentType=TYPE)
    url, headers = Pending(bucket.target, bucket.name, f"{key}.unsigned").signed_put(TYPE, len(body))
    copy, other = {COPY: quote(f"/{bucket.name}/{key}.source")}, {OTHER: "public-read"}
    answers = {
        f"{COPY} on a part": fetch(pending.signed_part(2, len(body)), "PUT", copy, body),
        f"{OTHER} on a part": fetch(pending.signed_part(3, len(body)), "PUT", other, body),
        f"{COPY} on a PUT": fetch(url, "PUT", headers | copy, body),
    }
    fix = f"update the server or use another, since S3 rejects such requests; until then {_off(bucket)}"
    copied = {
        f"{COPY} on a part": _sizes(s3, upload).get(2),
        f"{COPY} on a PUT": _size(s3, **named, Key=f"{key}.unsigned"),
    }
    if obeyed := [what for what, size in copied.items() if size == len(BODY)]:
        text = (
            "a visitor who knows its name can copy anybody's file into an upload of their own and read it:"
            f" an unsigned {' and '.join(obeyed)} is obeyed"
        )
        return not_ok(probe, text, fix)
    if accepted := [what for what, answer in answers.items() if answer.status < 300]:
        text = f"a browser can add headers that the site has not signed: {' and '.join(accepted)} is accepted"
        return not_ok(probe, text, fix)
    for what, answer in answers.items():
        if answer.status >= 500:
            return cant_tell(probe, f"an unsigned {what} is answered {answer}", LATER)
    return ok(probe, "what carries an unsigned x-amz-* header is rejected")


def _size(s3: Any, **named: str) -> int | None:
    """Return the size of an object, or None where none can be seen."""
    try:
        return int(s3.head_object(**named)["ContentLength"])
    except ClientError:
        return None


def expiry(probed: Probed, bucket: Bucket) -> list[Line]:
    """Tell whether S3 removes what was sent and never accepted."""
    probe = "direct expiry"
    if _is_off(bucket) or (probed.role is None and bucket not in probed.usable):
        return []
    try:
        rules = ASPECTS["lifecycle"].read(probed.s3(bucket.target), names(bucket.target, bucket.name))
    except (ClientError, KeyError) as error:
        # Some servers take the question for that for a listing, which has no rules.
        if isinstance(error, KeyError) or code_of(error) in UNKNOWN_OPERATION:
            text = (
                f"this server has no lifecycle: what is sent and never accepted stays under {PENDING_PREFIX}"
            )
            return [warning(probe, text, "delete what is older than a day there, once a day")]
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
