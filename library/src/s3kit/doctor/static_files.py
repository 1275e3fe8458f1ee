"""Probes of static files: the manifest, the files that it names, and what a visitor's browser gets."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from django.core.exceptions import ImproperlyConfigured

from s3kit import clients, errors
from s3kit.deployment import Location, arn
from s3kit.doctor.shared import (
    APPLY,
    COLLECT,
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
    one_line,
    over_plain_http,
    seen,
    warning,
)
from s3kit.options import conf
from s3kit.publishing import publish

KINDS = 16  # kinds of files to probe, one file of each
COMPRESSIBLE = 1024  # bytes: compression may make a shorter text larger
NAMED = 3  # faults of one kind to name in a line

# Fonts and modules, which browsers load from another origin only if CORS allows it.
CROSS_ORIGIN = (".woff2", ".woff", ".ttf", ".otf", ".mjs", ".js")


@dataclass(frozen=True)
class Seen:
    """A static file as a visitor gets it: its name below the prefix, whether hashed, and the response."""

    name: str
    hashed: bool
    response: Response


def static_files(probed: Probed, location: Location) -> Iterator[Line]:
    """Read the manifest, and probe the files that it names, with credentials and as a visitor."""
    key = location.prefix + probed.storage(location).manifest_name
    deployed: dict[str, Any] = {}
    yield from seen("manifest", partial(_manifest, probed, location, key, deployed))
    found = deployed.get("paths")
    if not found:
        probed.not_probed.append("static files as visitors see them")
        return
    if probed.role != "web":  # which may not list
        explain = partial(
            _failure,
            probed=probed,
            location=location,
            action="s3:ListBucket",
            resource=arn(location.target, location.bucket),
        )
        yield from seen("static objects", partial(_objects, probed, location, deployed), explain)
    manifest = clients.object_url(location.target, location.bucket, key)
    yield from seen("static tls", partial(over_plain_http, "static tls", location.target, manifest))
    if location.alias in probed.dead_domains:
        probed.not_probed.append("static files through their domain")
        return
    address = probed.storage(location).address()
    sample = _sample(found)
    headers = partial(_headers, address, sample, compress=not location.custom_domain)
    yield from seen("static visitors", headers)
    if location.through_cdn:
        yield from seen("static bypass", partial(_bypass, location, next(iter(sample))))
    yield from seen("static cors", partial(_cors, probed, location, address, list(sample)))


def _manifest(probed: Probed, location: Location, key: str, deployed: dict[str, Any]) -> Line:
    """Return a line on the manifest; put its content into `deployed`."""
    probe, target = "manifest", location.target
    try:
        body = probed.s3(target).get_object(**names(target, location.bucket), Key=key)["Body"].read()
    except (BotoCoreError, ClientError, ResponseParserError) as error:
        if isinstance(error, ClientError) and code_of(error) == "NoSuchKey":
            if probed.role == "deploy" and _is_empty(probed, location):  # before the first deploy
                return warning(probe, "no static files are deployed yet", COLLECT)
            return not_ok(probe, f"{key} does not exist: pages have no static files", COLLECT)
        resource = arn(target, location.bucket, key)
        cause, fix = failure(error, "s3:GetObject", resource, probed.role or "web", target.owner)
        if "s3:GetObject" in cause:
            fix += f"; if the manifest is missing, which looks the same without s3:ListBucket, {COLLECT}"
        return not_ok(probe, cause, fix)
    try:
        manifest = json.loads(body)
        named = {str(plain): str(final) for plain, final in dict(manifest["paths"]).items()}
        digest = manifest.get("hash")
    except (ValueError, KeyError, TypeError):
        return not_ok(probe, f"{key} is not a Django manifest", COLLECT)
    deployed.update(manifest, paths=named)
    file = conf.manifest
    if probed.role != "deploy" and location.alias == "staticfiles" and file and file.exists():
        try:
            same = json.loads(file.read_text(encoding="utf-8")).get("hash") == digest
        except (OSError, ValueError, AttributeError):
            same = False
        if not same:
            text = f"the local {file.name}, which pages use, differs from the deployed manifest"
            return warning(probe, text, f"{COLLECT} on this machine, or delete the file")
    return ok(probe, f"names {len(named)} files")


def _is_empty(probed: Probed, location: Location) -> bool:
    named = names(location.target, location.bucket)
    try:
        found = probed.s3(location.target).list_objects_v2(**named, Prefix=location.prefix, MaxKeys=1)
    except (BotoCoreError, ClientError, ResponseParserError):
        return False
    return not found.get("KeyCount", True)


def _objects(probed: Probed, location: Location, manifest: dict[str, Any]) -> Line:
    """Compare the manifest with the listing, which takes a request for each 1,000 objects."""
    found = manifest["paths"]
    target, probe = location.target, "static objects"
    pages = probed.s3(target).get_paginator("list_objects_v2")
    there = {
        entry["Key"].removeprefix(location.prefix): entry.get("ETag", "").strip('"')
        for page in pages.paginate(**names(target, location.bucket), Prefix=location.prefix)
        for entry in page.get("Contents", ())
    }
    if missing := sorted({*found, *found.values()} - there.keys()):
        text = f"the bucket lacks files in the manifest: {_some(missing)}"
        return not_ok(probe, text, COLLECT)
    if swapped := sorted(publish.replaced(manifest, there)):
        text = f"files were replaced since the last deploy: {_some(swapped)}"
        return not_ok(
            probe, text, f"find out who may write to {location.prefix}, then {COLLECT} to restore them"
        )
    return ok(probe, "all files in the manifest exist, unchanged since the last deploy")


def _failure(
    error: Exception, probed: Probed, location: Location, action: str, resource: str
) -> tuple[str, str]:
    """Return the meaning of an error in an action of the role deploy, and the fix."""
    cause, fix = failure(error, action, resource, "deploy", location.target.owner)
    return cause, fix + ("" if probed.role else "; or use --role web to probe only the running site's rights")


def static_write(probed: Probed, location: Location) -> Iterator[Line]:
    """Probe the right to upload static files without uploading one, since the role couldn't delete it."""

    def write() -> Line:
        probed.begin_and_abort(location.target, location.bucket, probed.key(location))
        return ok("static write", "these credentials can upload static files")

    explain = partial(
        _failure, probed=probed, location=location, action="s3:PutObject", resource=location.arn()
    )
    yield from seen("static write", write, explain)
    yield from seen("collectstatic", partial(_obstore, location))


def _obstore(location: Location) -> Line:
    """Probe obstore, the client of collectstatic, which is stricter about certificates."""
    import obstore

    probe, target = "collectstatic", location.target
    try:
        store = clients.obstore_store(target, location.bucket, max_retries=0)
        next(iter(obstore.list(store, f"{location.prefix}.doctor-")), None)
    except ImproperlyConfigured as error:
        return not_ok(probe, str(error), "correct AWS_CA_BUNDLE")
    except errors.of_s3() as error:
        if untrusted := errors.certificate(error):
            return not_ok(probe, *untrusted)
        if not errors.code(error):
            why = one_line(errors.reason(error).rpartition(" - ")[2])  # without the address
            return not_ok(probe, f"its client, obstore, gets no response: {why}", LATER)
    return ok(probe, "its client, obstore, reaches S3")


# Visitors


def _sample(names: dict[str, str]) -> dict[str, bool]:
    """Return a hashed name of each kind of file, and one plain name; the values say whether it is hashed."""
    kinds: dict[str, str] = {}
    for plain, hashed in sorted(names.items()):
        kinds.setdefault(PurePosixPath(plain).suffix.lower(), hashed)
    plain = min(names)
    # Always include the kinds that matter most to a page and to CORS.
    first = [".css", *CROSS_ORIGIN]
    order = sorted(kinds, key=lambda kind: (first.index(kind) if kind in first else len(first), kind))
    hashed_names = {kinds[kind]: kinds[kind] not in names for kind in order[:KINDS]}
    return hashed_names | {plain: False}


def _look(address: str, sample: dict[str, bool]) -> list[Seen]:
    def look(name: str) -> Seen:
        return Seen(name, sample[name], fetch(_url(address, name), headers={"Accept-Encoding": "gzip"}))

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(look, sample))


def _url(address: str, name: str) -> str:
    return address + quote(name, safe="/~")


def _headers(address: str, sample: dict[str, bool], *, compress: bool) -> Iterator[Line]:
    """Probe what visitors get: the content, Content-Type, Cache-Control, and Content-Encoding."""
    files = _look(address, sample)
    denied = [f"{file.name}: {file.response}" for file in files if file.response.status != 200]
    if denied:
        text = f"visitors can't read {len(denied)} of {len(files)} static files: {_some(denied)}"
        gone = all(file.response.status in {200, 404} for file in files)
        yield not_ok("static visitors", text, COLLECT if gone else f"{APPLY}; see `account block` too")
        if len(denied) == len(files):
            return
    else:
        yield ok("static visitors", f"anyone can read them ({len(files)} files, one of each kind)")
    got = [file for file in files if file.response.status == 200]

    def compared(probe: str, header: str, wrong: list[str], good: str) -> Line:
        if not wrong:
            return ok(probe, good)
        text = f"{header} is wrong on {len(wrong)} of {len(got)} files: {_some(wrong)}"
        fix = f"delete the object (`aws s3 rm`), then {COLLECT}"
        return not_ok(probe, text, fix)

    types = [
        f"{file.name} has {file.response.headers.get('content-type', 'none')}"
        for file in got
        if file.response.headers.get("content-type") != publish.content_type(file.name)
    ]
    yield compared("static types", "Content-Type", types, "correct for each kind of file")
    caches = [
        f"{file.name} has {file.response.headers.get('cache-control', 'none')}"
        for file in got
        if file.response.headers.get("cache-control") != (publish.IMMUTABLE if file.hashed else publish.SHORT)
    ]
    yield compared("static cache", "Cache-Control", caches, "a year for hashed names, minutes for plain ones")
    encodings = [
        f"{file.name} {wrong}" for file in got if (wrong := _wrong_encoding(file, compress=compress))
    ]
    yield compared("static encoding", "Content-Encoding", encodings, "text is compressed and labeled so")


def _wrong_encoding(file: Seen, *, compress: bool) -> str:
    """Return the problem with the encoding, or ""."""
    wish = publish.Headers.of(file.name, "", compress=compress).encoding
    encoding = file.response.headers.get("content-encoding", "")
    packed = file.response.body.startswith(b"\x1f\x8b")
    if encoding == "gzip" and not packed:
        return "says gzip but isn't"
    if not encoding and packed and wish:
        return "is gzip but doesn't say so"
    text = publish.content_type(file.name).startswith("text/")
    if not encoding and text and len(file.response.body) > COMPRESSIBLE:
        return "is not compressed"
    return "" if encoding in {"", "gzip", "br", "zstd"} else f"says {encoding}"


def _bypass(location: Location, name: str) -> Line:
    response = fetch(clients.object_url(location.target, location.bucket, location.prefix + name))
    if response.status < 300:
        text = "the bucket's own address is open, although only CloudFront may read it"
        return warning("static bypass", text, APPLY)
    if not response.is_denial:
        return cant_tell("static bypass", f"the bucket's own address returned {response}", LATER)
    return ok("static bypass", "only CloudFront reads the bucket")


def _cors(probed: Probed, location: Location, address: str, sample: list[str]) -> Line:
    """Request a font or module as a page of each of the site's origins does."""
    probe, origins = "static cors", probed.origins(location.target)
    if not origins:
        text = "no origin is allowed: fonts and modules can't load on the site's pages"
        return warning(probe, text, f"set AWS_SITE_ORIGINS, then {APPLY}")
    usable = [name for name in sample if PurePosixPath(name).suffix in CROSS_ORIGIN] or sample
    url = _url(address, usable[0])
    for origin in origins:
        responses = [fetch(url, headers={"Origin": origin})]
        if not location.custom_domain:  # a distribution may not forward OPTIONS, which these files don't need
            asking = {"Origin": origin, "Access-Control-Request-Method": "GET"}
            responses.append(fetch(url, "OPTIONS", asking))
        for response in responses:
            if response.headers.get("access-control-allow-origin") not in {origin, "*"}:
                text = f"fonts and modules can't load on {origin}: CORS does not allow it"
                cdn = (
                    "; let the distribution forward Origin (CORS-S3Origin)" if location.custom_domain else ""
                )
                return not_ok(probe, text, f"set AWS_SITE_ORIGINS, then {APPLY}{cdn}")
    return ok(probe, f"fonts and modules can load on {', '.join(origins)}")


def _some(found: list[Any]) -> str:
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return ", ".join(found[:NAMED]) + more
