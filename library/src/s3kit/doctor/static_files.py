"""Static files: the manifest, the files that it names, and what a visitor's browser is told of them."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from botocore.exceptions import ClientError
from django.conf import settings

from s3kit import clients
from s3kit.buckets import policies
from s3kit.clients import STATIC_PREFIX
from s3kit.doctor.shared import (
    APPLY,
    COLLECT,
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
    over_plain_http,
    warning,
)
from s3kit.publishing import publish
from s3kit.storages.static import static_address

KINDS = 16  # of files are looked at, one of each
COMPRESSIBLE = 1024  # bytes: shorter text may grow when it is compressed
NAMED = 3  # of what is wrong, so many are named

DESK_SITE = "http://127.0.0.1:8000"

# What browsers load from another origin only where CORS lets them: fonts and modules.
CROSS_ORIGIN = (".woff2", ".woff", ".ttf", ".otf", ".mjs", ".js")


@dataclass(frozen=True)
class Seen:
    """A static file as a visitor gets it: its name below `static/`, as hashed or plain, and the answer."""

    name: str
    hashed: bool
    answer: Answer


def static_files(patient: Patient) -> list[Line]:
    """Read the manifest, and look at the files that it names from inside and outside."""
    lines, names = _manifest(patient)
    if not names:
        patient.not_probed.append("static files as visitors see them")
        return lines
    if patient.role != "web":  # which may not list
        lines.append(_objects(patient, names))
    manifest = clients.object_url(patient.site.static_bucket, policies.MANIFEST)
    lines.append(over_plain_http("static tls", manifest))
    if "static" in patient.dead_domains:
        patient.not_probed.append("static files through their domain")
        return lines
    try:
        seen = _look(_sample(names))
        lines += _headers(seen)
        if patient.site.distribution:
            lines.append(_bypass(patient, seen[0].name))
        lines.append(_cors(patient, seen))
    except NoAnswerError as error:
        lines.append(cant_tell("static visitors", f"no answer: {error}", LATER))
    return lines


def _manifest(patient: Patient) -> tuple[list[Line], dict[str, str]]:
    """Return what is to be said of the manifest, and its hashed names by plain name."""
    probe, site = "manifest", patient.site
    try:
        found = patient.s3.get_object(**patient.named(site.static_bucket), Key=policies.MANIFEST)
        manifest = json.loads(found["Body"].read())
        paths, digest = dict(manifest["paths"]), manifest.get("hash")
    except REFUSALS as error:
        if isinstance(error, ClientError) and code_of(error) == "NoSuchKey":
            text = f"{policies.MANIFEST} is not there: pages have no static files"
            if patient.role == "deploy" and _is_empty(patient):  # asked before the first deploy
                return [warning(probe, "nothing has been deployed yet", COLLECT)], {}
            return [not_ok(probe, text, COLLECT)], {}
        arn = site.arn(site.static_bucket, policies.MANIFEST)
        cause, cure = patient.refused(error, "s3:GetObject", arn, patient.role or "web")
        if "s3:GetObject" in cause:
            cure += f"; or it is missing, which looks the same without s3:ListBucket: {COLLECT}"
        return [not_ok(probe, cause, cure)], {}
    except (ValueError, KeyError, TypeError):
        text = f"{policies.MANIFEST} is no manifest of Django's"
        return [not_ok(probe, text, COLLECT)], {}
    local = settings.STATICFILES_MANIFEST
    if patient.role != "deploy" and local and Path(local).exists():
        try:
            same = json.loads(Path(local).read_text(encoding="utf-8")).get("hash") == digest
        except (OSError, ValueError, AttributeError):
            same = False
        if not same:
            text = f"{Path(local).name} of this checkout, which its pages use, is not what is deployed"
            return [warning(probe, text, f"{COLLECT} from here, or delete the file")], paths
    return [ok(probe, f"it names {len(paths)} files")], paths


def _is_empty(patient: Patient) -> bool:
    named = patient.named(patient.site.static_bucket)
    try:
        return not patient.s3.list_objects_v2(**named, Prefix=STATIC_PREFIX, MaxKeys=1)["KeyCount"]
    except REFUSALS:
        return False


def _objects(patient: Patient, names: dict[str, str]) -> Line:
    """Compare the manifest with the listing, a request for each 1,000 objects."""
    site, probe = patient.site, "static objects"
    try:
        pages = patient.s3.get_paginator("list_objects_v2").paginate(
            **patient.named(site.static_bucket), Prefix=STATIC_PREFIX
        )
        keys = {entry["Key"] for page in pages for entry in page.get("Contents", ())}
    except REFUSALS as error:
        arn = site.arn(site.static_bucket)
        cause, cure = patient.refused(error, "s3:ListBucket", arn, "deploy")
        return not_ok(probe, cause, cure + _or_as_web(patient))
    if missing := sorted({*names, *names.values()} - {key.removeprefix(STATIC_PREFIX) for key in keys}):
        text = f"{len(missing)} files that the manifest names are missing: {_some(missing)}"
        return not_ok(probe, text, COLLECT)
    return ok(probe, "all files that the manifest names are there")


def _or_as_web(patient: Patient) -> str:
    return "" if patient.role else "; or probe just the running site's rights, with --role web"


def static_write(patient: Patient) -> list[Line]:
    """Tell whether static files can be uploaded, without uploading one: no role may delete it again."""
    site = patient.site
    try:
        patient.begin_and_abort(site.static_bucket, STATIC_PREFIX + patient.name)
    except REFUSALS as error:
        arn = site.arn(site.static_bucket, f"{STATIC_PREFIX}*")
        cause, cure = patient.refused(error, "s3:PutObject", arn, "deploy")
        return [not_ok("static write", cause, cure + _or_as_web(patient))]
    return [ok("static write", "static files can be uploaded")]


# ------------------------------------------------------------------------------------------- visitors


def _sample(names: dict[str, str]) -> dict[str, bool]:
    """Return a hashed name of each kind of file, and a plain one; true where hashed."""
    kinds: dict[str, str] = {}
    for plain, hashed in sorted(names.items()):
        kinds.setdefault(PurePosixPath(plain).suffix.lower(), hashed)
    plain = min(names)
    # A kind that matters most to a page, and to CORS, is not to fall out of the sample.
    first = [".css", *CROSS_ORIGIN]
    order = sorted(kinds, key=lambda kind: (first.index(kind) if kind in first else len(first), kind))
    hashed_names = {kinds[kind]: kinds[kind] not in names for kind in order[:KINDS]}
    return hashed_names | {plain: False}


def _look(sample: dict[str, bool]) -> list[Seen]:
    def look(name: str) -> Seen:
        answer = fetch(_address(name), headers={"Accept-Encoding": "gzip"})
        return Seen(name, sample[name], answer)

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(look, sample))


def _address(name: str) -> str:
    return static_address() + quote(name, safe="/~")


def _headers(seen: list[Seen]) -> Iterator[Line]:
    """Yield what visitors get, and what they are told on type, cache and encoding."""
    refused = [f"{file.name}: {file.answer}" for file in seen if file.answer.status != 200]
    if refused:
        text = f"visitors can't read {len(refused)} of {len(seen)} static files: {_some(refused)}"
        gone = all(file.answer.status in {200, 404} for file in seen)
        yield not_ok("static visitors", text, COLLECT if gone else f"{APPLY}; see `account block` too")
        if len(refused) == len(seen):
            return
    else:
        yield ok("static visitors", f"anybody can read them: {len(seen)} of all kinds looked at")
    got = [file for file in seen if file.answer.status == 200]

    def compared(probe: str, header: str, wrong: list[str], good: str) -> Line:
        if not wrong:
            return ok(probe, good)
        text = f"{header} is wrong on {len(wrong)} of {len(got)}: {_some(wrong)}"
        cure = f"delete the object (`aws s3 rm`), then {COLLECT}"
        return not_ok(probe, text, cure)

    types = [
        f"{file.name} is {file.answer.headers.get('content-type', 'without')}"
        for file in got
        if file.answer.headers.get("content-type") != publish.content_type(file.name)
    ]
    yield compared("static types", "Content-Type", types, "every kind of file has its own")
    caches = [
        f"{file.name} has {file.answer.headers.get('cache-control', 'none')}"
        for file in got
        if file.answer.headers.get("cache-control") != (publish.IMMUTABLE if file.hashed else publish.SHORT)
    ]
    yield compared("static cache", "Cache-Control", caches, "hashed names for a year, plain ones for minutes")
    encodings = [f"{file.name} {wrong}" for file in got if (wrong := _wrong_encoding(file))]
    yield compared("static encoding", "Content-Encoding", encodings, "text is compressed, and says so")


def _wrong_encoding(file: Seen) -> str:
    """Return what is wrong with the encoding, or ""."""
    wish = publish.Headers.of(file.name, "").encoding
    encoding = file.answer.headers.get("content-encoding", "")
    packed = file.answer.body.startswith(b"\x1f\x8b")
    if encoding == "gzip" and not packed:
        return "says gzip and is not"
    if not encoding and packed and wish:
        return "is gzip and does not say so"
    text = publish.content_type(file.name).startswith("text/")
    if not encoding and text and len(file.answer.body) > COMPRESSIBLE:
        return "is not compressed"
    return "" if encoding in {"", "gzip", "br", "zstd"} else f"says {encoding}"


def _bypass(patient: Patient, name: str) -> Line:
    answer = fetch(clients.object_url(patient.site.static_bucket, STATIC_PREFIX + name))
    if answer.status < 300:
        text = "the bucket's own address is open, although only CloudFront is to read it"
        return warning("static bypass", text, APPLY)
    return ok("static bypass", "only CloudFront reads the bucket")


def _cors(patient: Patient, seen: list[Seen]) -> Line:
    """Ask for a font or module as a page of each of the site's origins does."""
    probe, site = "static cors", patient.site
    origins = [*site.origins, *([DESK_SITE] if site.at_desk else [])]
    if not origins:
        text = "no origin is allowed: fonts and modules will not load on the site's pages"
        return warning(probe, text, f"set DJANGO_SITE_ORIGINS, then {APPLY}")
    usable = [file.name for file in seen if PurePosixPath(file.name).suffix in CROSS_ORIGIN] or [seen[0].name]
    url = _address(usable[0])
    through_cdn = bool(settings.AWS_STATIC_CUSTOM_DOMAIN.strip())
    for origin in origins:
        answers = [fetch(url, headers={"Origin": origin})]
        if not through_cdn:  # a distribution need not pass OPTIONS on, and these files need none
            asking = {"Origin": origin, "Access-Control-Request-Method": "GET"}
            answers.append(fetch(url, "OPTIONS", asking))
        for answer in answers:
            if answer.headers.get("access-control-allow-origin") not in {origin, "*"}:
                text = f"fonts and modules will not load on {origin}: CORS does not allow it"
                cdn = "; let the distribution forward Origin (CORS-S3Origin)" if through_cdn else ""
                return not_ok(probe, text, f"set DJANGO_SITE_ORIGINS, then {APPLY}{cdn}")
    return ok(probe, f"fonts and modules may load on {', '.join(origins)}")


def _some(found: list[Any]) -> str:
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return ", ".join(found[:NAMED]) + more
