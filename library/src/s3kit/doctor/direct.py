"""Probes of direct uploads: a browser may send what the site has signed, and nothing else."""

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
    Line,
    Probed,
    Response,
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
STRICT = "use a server that enforces what is signed, as S3 does"

# S3 requires a signature for each x-amz-* header. These change what a request does, or who may read the result.
COPY, OTHER = "x-amz-copy-source", "x-amz-acl"


def direct_uploads(probed: Probed, bucket: Bucket) -> Iterator[Line]:
    """Send a file and a part as a browser does, and requests that differ from what was signed."""
    if _is_off(bucket):
        yield ok("direct uploads", "turned off: browsers send files to the site")
        return
    key = PENDING_PREFIX + probed.name
    try:
        yield from seen("direct put", partial(_sent, probed, bucket, key))
        yield from seen("direct cors", partial(_cors, probed, bucket, key))
        yield from _parts(probed, bucket, key)
    finally:
        # Even if the response to the PUT was lost: deleting a missing object isn't an error.
        explain = partial(_failure, action="s3:DeleteObject", bucket=bucket, left=f"{key} expires in a day")
        deleted = seen("direct delete", partial(_deleted, probed, bucket, key), explain)
    yield from deleted


def _is_off(bucket: Bucket) -> bool:
    return not any(location.direct_uploads for location in bucket.media)


def _failure(error: Exception, action: str, bucket: Bucket, left: str = "") -> tuple[str, str]:
    text, fix = failure(error, action, bucket.arn(f"{PENDING_PREFIX}*"), "web", bucket.target.owner)
    return text, f"{fix}; {left}" if left else fix


def _sent(probed: Probed, bucket: Bucket, key: str) -> Iterator[Line]:
    """Send a file exactly as signed, and in other ways."""
    probe, other = "direct put", f"{key}.other"
    url, headers = Pending(bucket.target, bucket.name, key).signed_put(TYPE, len(BODY))
    response = fetch(url, "PUT", headers, BODY)
    if response.code == "AccessDenied":
        resource = bucket.arn(f"{PENDING_PREFIX}*")
        fix = f"allow s3:PutObject on {resource}: see `manage.py s3 policy --role web`"
        yield not_ok(probe, "S3 denies a browser's upload: s3:PutObject is not allowed", fix)
        return
    if response.status >= 300:
        text = f"S3 rejects a browser's upload: {response}; pages use the plain form instead"
        fix = f"use a server that accepts a PUT with a signed size and type, as S3 does, or {_off(bucket)}"
        yield not_ok(probe, text, fix)
        return
    yield ok(probe, "a browser can send what the site has signed")
    # A separate key: the file that exists by now could be the reason for a rejection.
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
        return not_ok(probe, "the upload has a different size or type than was signed", STRICT)
    return ok(probe, "the site sees the upload, with its size and type")


def _limits(attempts: Mapping[str, Callable[[], Response]]) -> Line:
    """Send requests that differ from what was signed."""
    probe = "direct limits"
    responses = {what: send() for what, send in attempts.items()}
    if accepted := [what for what, response in responses.items() if response.status < 300]:
        text = f"a browser can send what the site has not signed: {', '.join(accepted)}"
        return not_ok(probe, text, STRICT)
    for what, response in responses.items():
        if response.status >= 500:
            return cant_tell(probe, f"S3 returned {response} for {what} than the site signed", LATER)
    return ok(probe, f"S3 rejects {', '.join(responses)}")


def _closed(bucket: Bucket, key: str) -> Line:
    probe, response = "direct closed", fetch(clients.object_url(bucket.target, bucket.name, key))
    if response.status < 300:
        text = f"anyone can read unchecked uploads: {PENDING_PREFIX}* returned {response}"
        return not_ok(probe, text, f"{APPLY}; `--replace-conflicting` removes grants that others made")
    if not response.is_denial:
        return cant_tell(probe, f"without a signature, S3 returned {response}", LATER)
    return ok(probe, "visitors can't read unchecked uploads")


def _cors(probed: Probed, bucket: Bucket, key: str) -> Line:
    """Probe whether pages of each of the site's origins may send a file with its headers."""
    probe, target = "direct cors", bucket.target
    origins = probed.origins(target)
    if not origins:
        text = "no origin is allowed: the site's pages can't upload directly to S3"
        return warning(probe, text, f"set AWS_SITE_ORIGINS, then {APPLY}")
    url, headers = clients.object_url(target, bucket.name, key), ", ".join(upload_headers(bucket))
    for origin in origins:
        asking = {
            "Origin": origin,
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": headers,
        }
        response = fetch(url, "OPTIONS", asking)
        if response.status >= 300 or response.headers.get("access-control-allow-origin") not in {origin, "*"}:
            text = f"pages of {origin} can't upload directly to S3: CORS does not allow PUT with {headers}"
            return not_ok(probe, text, f"set AWS_SITE_ORIGINS, then {APPLY}")
    return ok(probe, f"pages of {', '.join(origins)} may upload directly")


def _deleted(probed: Probed, bucket: Bucket, key: str) -> Line:
    for each in (key, *(f"{key}.{each}" for each in ("other", "source", "unsigned"))):
        probed.s3(bucket.target).delete_object(**names(bucket.target, bucket.name), Key=each)
    return ok("direct delete", "the site can delete the upload")


def _parts(probed: Probed, bucket: Bucket, key: str) -> Iterator[Line]:
    """Begin a multipart upload, send parts, list them, and abort."""
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
            _failure, action="s3:AbortMultipartUpload", bucket=bucket, left="the parts expire in a day"
        )
        failed = seen(probe, abort, explain)
    yield from [*failed, *lines[1:]] if failed else lines


def _sizes(s3: Any, upload: Mapping[str, str]) -> dict[int, int]:
    """Return the sizes of the parts that S3 has, by number."""
    return {part["PartNumber"]: part["Size"] for part in s3.list_parts(**upload).get("Parts", [])}


def _part(s3: Any, bucket: Bucket, upload: Mapping[str, str]) -> Line:
    """Send a part larger than signed, and one of the signed size."""
    probe = "direct parts"
    url = Pending(bucket.target, bucket.name, upload["Key"], upload["UploadId"]).signed_part(1, len(BODY))
    longer, exact = (fetch(url, "PUT", body=body) for body in (BODY + b"!", BODY))
    if longer.status < 300:
        return not_ok(probe, "a browser can send a larger part than the site has signed", STRICT)
    if exact.status >= 300 or _sizes(s3, upload) != {1: len(BODY)}:
        return not_ok(probe, f"S3 rejects a browser's part: {exact}", STRICT)
    return ok(probe, "a browser can send a large file in parts of the signed size")


def _headers(s3: Any, bucket: Bucket, upload: Mapping[str, str]) -> Line:
    """Send parts with unsigned headers, one of which would copy another object into the upload.

    The size of the part shows whether S3 copied: the body sent with the header is longer than the other object.
    """
    probe, key, body = "direct headers", upload["Key"], BODY * 2
    pending = Pending(bucket.target, bucket.name, key, upload["UploadId"])
    named = names(bucket.target, bucket.name)
    s3.put_object(**named, Key=f"{key}.source", Body=BODY, ContentType=TYPE)
    url, headers = Pending(bucket.target, bucket.name, f"{key}.unsigned").signed_put(TYPE, len(body))
    copy, other = {COPY: quote(f"/{bucket.name}/{key}.source")}, {OTHER: "public-read"}
    responses = {
        f"{COPY} on a part": fetch(pending.signed_part(2, len(body)), "PUT", copy, body),
        f"{OTHER} on a part": fetch(pending.signed_part(3, len(body)), "PUT", other, body),
        f"{COPY} on a PUT": fetch(url, "PUT", headers | copy, body),
    }
    fix = f"update the server, or use one that rejects such requests, as S3 does; until then, {_off(bucket)}"
    copied = {
        f"{COPY} on a part": _sizes(s3, upload).get(2),
        f"{COPY} on a PUT": _size(s3, **named, Key=f"{key}.unsigned"),
    }
    if obeyed := [what for what, size in copied.items() if size == len(BODY)]:
        text = (
            "visitors who know a file's name can copy it into their own upload and read it: the server obeys an"
            f" unsigned {' and '.join(obeyed)}"
        )
        return not_ok(probe, text, fix)
    if accepted := [what for what, response in responses.items() if response.status < 300]:
        text = (
            "a browser can add headers that the site has not signed: the server accepts"
            f" {' and '.join(accepted)}"
        )
        return not_ok(probe, text, fix)
    for what, response in responses.items():
        if response.status >= 500:
            return cant_tell(probe, f"S3 returned {response} for an unsigned {what}", LATER)
    return ok(probe, "S3 rejects requests with an unsigned x-amz-* header")


def _size(s3: Any, **named: str) -> int | None:
    """Return the size of an object, or None if it can't be read."""
    try:
        return int(s3.head_object(**named)["ContentLength"])
    except ClientError:
        return None


def expiry(probed: Probed, bucket: Bucket) -> list[Line]:
    """Probe whether S3 deletes direct uploads that the site never accepted."""
    probe = "direct expiry"
    if _is_off(bucket) or (probed.role is None and bucket not in probed.usable):
        return []
    try:
        rules = ASPECTS["lifecycle"].read(probed.s3(bucket.target), names(bucket.target, bucket.name))
    except (ClientError, KeyError) as error:
        # Some servers return a listing, which has no rules.
        if isinstance(error, KeyError) or code_of(error) in UNKNOWN_OPERATION:
            text = (
                f"this server has no lifecycle rules: unaccepted uploads stay under {PENDING_PREFIX} forever"
            )
            return [warning(probe, text, "once a day, delete what is older than a day there")]
        if code_of(error) != "AccessDenied":
            raise
        fix = "run `manage.py s3 doctor --role deploy`, or `manage.py s3 plan`, with the deploy credentials"
        return [cant_tell(probe, "s3:GetLifecycleConfiguration is not allowed", fix)]
    prefixes = [
        rule.get("Filter", rule).get("Prefix")
        for rule in rules
        if rule["Status"] == "Enabled" and "Expiration" in rule
    ]
    if PENDING_PREFIX in prefixes:
        return [ok(probe, "S3 deletes unaccepted uploads after a day")]
    return [warning(probe, "unaccepted uploads stay, and cost money, forever", APPLY)]
