"""Probes of uploads: what the site does with them, and what a visitor gets in each access mode."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from s3kit import clients
from s3kit.deployment import Location, arn
from s3kit.doctor.shared import (
    APPLY,
    LATER,
    NOT_S3,
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
    over_plain_http,
    seen,
    signed,
    warning,
)
from s3kit.providers import TOPICS
from s3kit.storages import cloudfront

BODY = b"Written by `manage.py s3 doctor`; it can be deleted.\n"
SAMPLE = 10  # existing uploads to check
LEFT_OVER = timedelta(hours=1)  # an older probe object was left by a doctor that was killed


def uploads(probed: Probed, location: Location) -> Iterator[Line]:
    """Write, read, list, and delete an upload as the site does, and request it as a visitor does."""
    target, key = location.target, probed.key(location)
    s3, named = probed.s3(target), names(target, location.bucket) | {"Key": key}
    objects = location.arn()

    def step(probe: str, text: str, action: str, call: Callable[[], Any], resource: str = objects) -> Line:
        """Return a line on `call`, which needs the action and returns the problem with the response, or ""."""

        def look() -> Line:
            wrong = call()
            return not_ok(probe, wrong, NOT_S3) if isinstance(wrong, str) and wrong else ok(probe, text)

        explain = partial(failure, action=action, arn=resource, role="web", owner=target.owner)
        return seen(probe, look, explain)[0]

    # Another line reports whether S3 accepts the ACL of the storage's uploads.
    sent = probed.storage(location).write_parameters(probed.name)
    acl = {"ACL": sent.pop("ACL")} if "ACL" in sent else {}
    put = partial(s3.put_object, **named, Body=BODY, **sent)

    def head() -> str:
        size = s3.head_object(**named)["ContentLength"]
        return "" if size == len(BODY) else f"S3 reports {size} bytes for an upload of {len(BODY)}"

    def read() -> str:
        same = s3.get_object(**named)["Body"].read() == BODY
        return "" if same else "S3 returns other bytes than were stored"

    delete = partial(s3.delete_object, **named)
    try:
        stored = step("media write", "the site can store an upload", "s3:PutObject", put)
        yield stored
        if stored.status == "ok":
            line = step("media head", "the site can read its size and type", "s3:GetObject", head)
            yield line
            # Without the right to read, S3 returns 403 for a missing key too: report that once.
            if line.status == "ok":
                yield from seen("missing key", partial(_missing, probed, location))
            yield step("media read", "the site can read its content", "s3:GetObject", read)
            yield from seen("media acl", partial(_acl, location, partial(put, **acl), acl))
            yield from seen(
                "if-none-match", partial(_condition, probed, location, partial(put, IfNoneMatch="*"))
            )
            yield from _visitors(probed, location)
            if location.alias not in probed.dead_domains:
                yield from seen("media cors", partial(_cors, probed, location))
        else:
            probed.not_probed.append("uploads as visitors see them")
        parts = partial(probed.begin_and_abort, target, location.bucket, key)
        text = "the site can begin and abort a multipart upload"
        yield step("media parts", text, "s3:AbortMultipartUpload", parts)
        listed = partial(_list, probed, location, key if stored.status == "ok" else "")
        resource = arn(target, location.bucket)
        line = step("media list", "the site can list the bucket", "s3:ListBucket", listed, resource)
        yield line
        if line.status == "ok":
            yield from seen("media existing", partial(_existing, probed, location))
    finally:
        # Even if the response to the write was lost: deleting a missing object isn't an error.
        deleted = step("media delete", "the site can delete an upload", "s3:DeleteObject", delete)
    yield deleted if deleted.status == "ok" else replace(deleted, fix=f"{deleted.fix}; then delete {key}")


def _list(probed: Probed, location: Location, key: str) -> str:
    """List the probe objects, including `key`; delete those left by a doctor that was killed."""
    s3, named = probed.s3(location.target), names(location.target, location.bucket)
    found = s3.list_objects_v2(**named, Prefix=f"{location.prefix}.doctor-").get("Contents", [])
    for entry in found:
        if entry["LastModified"] < datetime.now(UTC) - LEFT_OVER:
            s3.delete_object(**named, Key=entry["Key"])
    there = not key or key in {entry["Key"] for entry in found}
    return "" if there else "the listing lacks an upload that was stored"


def _acl(location: Location, put: Callable[[], Any], acl: dict[str, str]) -> Line:
    if not acl:
        return ok("media acl", "not needed, and not sent")
    try:
        put()
    except ClientError as error:
        code, setting = code_of(error), option("access", location)
        if code == "AccessControlListNotSupported":
            text = f"access is {acl['ACL']!r}, but {location.bucket} has ACLs disabled"
            return not_ok("media acl", text, f"{APPLY}, or choose 'public-policy' for {setting}")
        text, fix = failure(error, "s3:PutObjectAcl", location.arn(), "web", location.target.owner)
        if code == "AccessDenied":
            text = f"S3 denies the ACL {acl['ACL']}: BlockPublicAcls is on, or s3:PutObjectAcl is not allowed"
            fix = f"{APPLY}, or {fix}"
        return not_ok("media acl", text, fix)
    return ok("media acl", f"S3 accepts {acl['ACL']}")


def _condition(probed: Probed, location: Location, put: Callable[[], Any]) -> Line:
    """Probe whether S3 obeys If-None-Match, which creates an object only if none exists."""
    probe, storage = "if-none-match", probed.storage(location)
    relied_on = storage.conditional_writes and not storage.file_overwrite
    off = f"set {option('conditional_writes', location)} to False"
    if (provider := location.target.provider).lacks("conditional writes"):
        text = f"{provider.title} does not support conditional writes: {TOPICS['conditional writes']}"
        return warning(probe, text, "run one `collectstatic` or `manage.py s3 push` at a time")
    try:
        put()
    except ClientError as error:
        status, code = error.response["ResponseMetadata"]["HTTPStatusCode"], code_of(error)
        if status in {409, 412}:
            return ok(probe, "S3 does not overwrite an existing object")
        if status in {403, 429, 500, 502, 503, 504}:
            raise  # not because of the condition
        text = (
            f"S3 rejects the header ({status} {code}): `collectstatic` works without it, `s3 push` does not"
        )
        fix = "use a server with conditional writes if you need `manage.py s3 push`"
        return warning(
            probe, text, f"{off}, which saves each process a rejected request; {fix}" if relied_on else fix
        )
    if relied_on:
        text = "S3 ignores the header: saving a file under a name that is taken overwrites the existing file"
        return not_ok(probe, text, f"{off}: the storage then checks whether a name is free")
    text = "S3 ignores the header: of two writers of the same object, the last wins"
    return warning(probe, text, "run one `collectstatic` or `manage.py s3 push` at a time")


def _missing(probed: Probed, location: Location) -> Line:
    """Probe whether S3 returns 404 for a missing upload, and not 403."""
    target, probe = location.target, "missing key"
    try:
        named = names(target, location.bucket)
        probed.s3(target).head_object(**named, Key=f"{probed.key(location)}.missing")
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status == 404:
            return ok(probe, "S3 returned 404 for a missing upload")
        resource = arn(target, location.bucket)
        cause, fix = failure(error, "s3:ListBucket", resource, "web", target.owner)
        if status == 403:
            cause = "S3 returned 403 for a missing upload instead of 404: s3:ListBucket is not allowed"
        return not_ok(probe, cause, fix)
    return not_ok(probe, "S3 returned 200 for a missing upload", NOT_S3)


def _existing(probed: Probed, location: Location) -> Line:
    """Probe whether a few existing uploads are public or private, as the option access says."""
    probe, named = "media existing", names(location.target, location.bucket)
    page = probed.s3(location.target).list_objects_v2(**named, Prefix=location.prefix)
    keys = [entry["Key"] for entry in page.get("Contents", [])]
    keys = [key for key in keys if not key.endswith("/") and "/.doctor-" not in key]
    some = keys[:: max(len(keys) // SAMPLE, 1)][:SAMPLE]
    found = {key: fetch(clients.object_url(location.target, location.bucket, key), "HEAD") for key in some}
    is_open = not (location.is_private or location.through_cdn)
    wrong = [
        key
        for key, response in found.items()
        if (response.status < 300) != is_open and response.status != 404
    ]
    if not wrong:
        return ok(probe, f"checked {len(some)} of {len(keys):,} uploads: access to each is as it should be")
    count = f"{len(wrong)} of {len(some)} checked uploads"
    if is_open:
        fix = "run `manage.py s3 access`" if location.access == "public-read" else APPLY
        return not_ok(
            probe, f"visitors can't read {count}, although access is {location.access!r}: {wrong[0]}", fix
        )
    return not_ok(
        probe,
        f"anyone can read {count} at the bucket's address: {wrong[0]}",
        f"{APPLY}, then `manage.py s3 access`",
    )


# Visitors


def _visitors(probed: Probed, location: Location) -> Iterator[Line]:
    """Probe what visitors get at each address of the probe's upload."""
    private, dead = location.is_private, location.alias in probed.dead_domains
    key = probed.key(location)
    own = clients.object_url(location.target, location.bucket, key)
    domain = location.custom_domain
    address = f"https://{domain}/{key}" if domain and not dead else own
    if private:
        yield from seen("media visitors", partial(_private, {own, address}))
    elif not dead:
        yield from seen("media visitors", partial(_open, probed, location))
    if location.through_cdn and not private:
        yield from seen("media bypass", partial(_bypass, own))
    if dead:
        probed.not_probed.append("uploads through their domain")
    elif private:
        yield from _links(probed, location, own, address)
    yield from seen("media tls", partial(over_plain_http, "media tls", location.target, own))


def _private(urls: set[str]) -> Line:
    """Probe whether addresses deny visitors without a signature."""
    probe = "media visitors"
    for url in sorted(urls):
        response = fetch(url)
        host = url.split("/")[2]
        if response.status < 300:
            text = f"anyone can read uploads at {host}, which must be private"
            return not_ok(probe, text, f"{APPLY}; `--replace-conflicting` removes grants that others made")
        if not response.is_denial:
            return cant_tell(probe, f"{host} returned {response}", LATER)
    return ok(probe, "visitors can't read uploads without a signature")


def _cors(probed: Probed, location: Location) -> Iterator[Line]:
    """Request an upload as a script of each of the site's origins does."""
    probe, origins = "media cors", probed.origins(location.target)
    fix = f"set AWS_SITE_ORIGINS, then {APPLY}"
    if location.custom_domain:
        fix += "; give the distribution a response headers policy with CORS"
    if not origins:
        yield warning(probe, "no origin is allowed: scripts of the site's pages can't read uploads", fix)
        return
    url = probed.storage(location).signed_url(probed.name)
    for origin in origins:
        response = fetch(url, headers={"Origin": origin})
        if response.status >= 300:  # another line reports this
            probed.not_probed.append("uploads as scripts read them")
            return
        if response.headers.get("access-control-allow-origin") not in {origin, "*"}:
            text = f"scripts on {origin} (image croppers, pdf.js) can't read uploads: CORS does not allow GET"
            yield warning(probe, text, fix)
            return
    yield ok(probe, f"scripts on {', '.join(origins)} can read uploads")


def _bypass(url: str) -> Line:
    """Probe whether uploads that are public through CloudFront are closed at the bucket's own address."""
    response = fetch(url)
    if response.status < 300:
        text = "the bucket's own address is open, although only CloudFront may read it"
        return warning("media bypass", text, APPLY)
    if not response.is_denial:
        return cant_tell("media bypass", f"the bucket's own address returned {response}", LATER)
    return ok("media bypass", "only CloudFront reads the bucket")


def _open(probed: Probed, location: Location) -> Line:
    response = fetch(probed.storage(location).signed_url(probed.name))
    if response.status == 200 and response.body == BODY:
        return ok("media visitors", f"anyone can read an upload: access is {location.access!r}")
    if response.status == 200:
        text = "visitors get other bytes than were stored"
        return not_ok("media visitors", text, "check the custom domain's origin")
    text = f"visitors can't read uploads, although access is {location.access!r}: they get {response}"
    return not_ok("media visitors", text, f"{APPLY}; see `account block` too")


def _links(probed: Probed, location: Location, own: str, address: str) -> Iterator[Line]:
    """Probe whether a signed link works, and whether tampered and expired ones are rejected."""
    storage, now = probed.storage(location), int(time.time())

    def works() -> Line:
        response = fetch(storage.signed_url(probed.name))
        if response.status == 200 and response.body == BODY:
            return ok("signed link", f"works, for up to {location.expire} seconds")
        if storage._cloudfront:
            fix = "check cloudfront_key_id and cloudfront_key against the distribution's key group"
        else:
            fix = f"allow s3:GetObject on {location.arn()}"
        return not_ok("signed link", f"does not work: {response}", fix)

    def tampered() -> str:
        # Change the first character: changing the last one of a CloudFront signature may have no effect.
        link = storage.signed_url(probed.name)
        return re.sub(r"(?<=Signature=)[^&]", lambda found: "1" if found[0] == "0" else "0", link, count=1)

    def expired() -> str:
        if storage._cloudfront:
            return str(cloudfront.signed(*storage._cloudfront, address, now - 60))
        return signed(location.target, own, age=7200)

    def rejected(probe: str, text: str, url: Callable[[], str]) -> Line:
        response = fetch(url())
        if response.is_denial or response.status == 400:
            return ok(probe, f"{text} is rejected")
        return not_ok(probe, f"{text} returned {response}", f"close the bucket to visitors: {APPLY}")

    yield from seen("signed link", works)
    if location.links == "cookies" and storage._cloudfront:
        yield from seen("signed cookies", partial(_cookies, storage, address))
    for probe, text, url in (
        ("tampered link", "a link whose signature was changed", tampered),
        ("expired link", "a link that has expired", expired),
    ):
        yield from seen(probe, partial(rejected, probe, text, url))


def _cookies(storage: Any, address: str) -> Line:
    """Probe whether CloudFront accepts the storage's cookies, and ignores queries that change headers."""
    probe = "signed cookies"
    cookies = {"Cookie": "; ".join(f"{name}={value}" for name, value in storage.signed_cookies().items())}
    response = fetch(address, headers=cookies)
    if response.status != 200 or response.body != BODY:
        fix = "check cloudfront_key_id and cloudfront_key against the distribution's key group"
        return not_ok(probe, f"do not work: {response}", fix)
    changed = fetch(f"{address}?response-content-type=text/html", headers=cookies)
    if changed.headers.get("content-type", "").startswith("text/html") and changed.status == 200:
        text = "visitors with cookies can turn an upload into a page: CloudFront forwards response-content-type to S3"
        return not_ok(
            probe, text, "use the cache policy CachingOptimized, and no origin request policy, for uploads"
        )
    return ok(probe, f"work, for up to {storage.querystring_expire} seconds")
