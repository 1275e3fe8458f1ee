"""The page on troubleshooting, generated from explained errors and from the messages of plan and doctor."""

from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from string import Formatter
from typing import NamedTuple

from s3kit import known_errors
from s3kit.buckets.plan import Conflict
from s3kit.doctor.report import area
from s3kit.doctor.shared import LATER
from s3kit.known_errors import Known
from tests.reference.messages import UNKNOWN, messages, prose, sources

HEAD = """# Troubleshooting

Search this page for a few words of your error message, or for the code that S3 sent. An ellipsis (…) replaces a value.

If you have no message, run these commands. Each prints the fix with what it finds:

1. `python manage.py check` finds mistakes in the settings: [all checks](checks.md).
2. `python manage.py s3 plan` finds buckets that differ from the settings.
3. `python manage.py s3 doctor` tests the live buckets with the site's credentials, and as a visitor.

Amazon documents [all error codes](https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html) and
[access denied errors](https://docs.aws.amazon.com/AmazonS3/latest/userguide/troubleshoot-403-errors.html).
"""


class Entry(NamedTuple):
    """An error that no command explains: what people see, the cause, and the fix. `words` is the library's text."""

    title: str
    seen: str
    cause: str
    fix: str
    words: str = ""


BROWSER = (
    Entry(
        "Pages without styles: 403 for static files",
        "`403 Forbidden`, or `AccessDenied` as XML, for addresses below `static/`",
        "Visitors may not read the static files: the bucket's policy is missing, or Block Public Access is on for the"
        " account.",
        "Run `manage.py s3 apply`. Then look at the lines `static visitors` and `account block` of `manage.py s3"
        " doctor`.",
    ),
    Entry(
        "403 for an upload without a signature",
        "`AccessDenied`: Access Denied, for an address without `X-Amz-Signature`",
        "Uploads are private by default. Only links that the site signs open them, and this address was built without"
        " the storage.",
        "Use `file.url` or `storage.url(name)` in templates and APIs, with the whole query string. For files that"
        " everyone may read, set `access` to `public-policy`, then run `manage.py s3 apply`.",
    ),
    Entry(
        "A link worked and now gives 403",
        "`AccessDenied`: Request has expired, or `ExpiredToken`",
        "The signed link has expired, often in a cached page or an email. Links of a role end with its session.",
        "Cache pages for less than half of `AWS_QUERYSTRING_EXPIRE`. For emails, use [links that last](links.md).",
    ),
    Entry(
        "A signed link gives SignatureDoesNotMatch",
        "`SignatureDoesNotMatch` as XML in the browser",
        "Something changed the link, often `&` to `&amp;`, or the secret key is wrong.",
        "Put links into pages unchanged: `{{ file.url }}`, not twice escaped. If no link works, correct"
        " `AWS_SECRET_ACCESS_KEY`.",
    ),
    Entry(
        "Fonts and JavaScript modules don't load (CORS)",
        "`blocked by CORS policy`: No 'Access-Control-Allow-Origin' header is present on the requested resource",
        "The site's origin is not allowed on the static bucket.",
        "Set `AWS_SITE_ORIGINS` (`DJANGO_SITE_ORIGINS` in a generated project), then run `manage.py s3 apply`. On"
        " CloudFront, attach a response headers policy with CORS. The doctor's line is `static cors`.",
    ),
    Entry(
        "A canvas, cropper, or PDF viewer can't read an upload (CORS)",
        "`blocked by CORS policy`, or `Tainted canvases may not be exported`",
        "The site's origin is not allowed on the media bucket. Or the page loaded the same address before, without"
        " `crossorigin`, and the browser reuses that response.",
        "Set `AWS_SITE_ORIGINS`, then run `manage.py s3 apply`. Put `crossorigin` on each tag with that address. The"
        " doctor's line is `media cors`.",
    ),
    Entry(
        "Mixed content",
        "`Mixed Content`: The page was loaded over HTTPS, but requested an insecure resource",
        "`AWS_S3_ENDPOINT_URL` begins with `http://`, and the page has `https://`.",
        "Use an `https://` endpoint. Check `s3kit.W005` warns of this: `manage.py check`.",
    ),
    Entry(
        "404 for a static file with a hash in its name",
        "404 or 403 for a name such as `site.f88400d2ba79.css`",
        "The process has another manifest than the bucket: it was not restarted after a deploy, an old"
        " `staticfiles.json` is in the image, or `manage.py s3 prune` ran with too few `--days`.",
        "Run `manage.py collectstatic` from the version that is live, then restart the site. The doctor's lines are"
        " `manifest` and `static objects`.",
    ),
    Entry(
        "An upload is stuck, or never starts",
        "`Your browser can't reach the file storage. Without it, the limit is …`",
        "The browser can't send files to the bucket: its CORS rules lack the site's origin, the Content-Security-Policy"
        " lacks the bucket in `connect-src`, or a proxy or ad blocker is in between.",
        "Look at the browser's console. Then look at the lines `direct put` and `direct cors` of `manage.py s3 doctor`."
        " `manage.py s3 tickets` lists uploads that have not ended.",
        "Your browser can't reach the file storage.",
    ),
    Entry(
        "S3 rejects a direct upload",
        "`The file storage rejected this file. Please try again.`",
        "The file changed after the user chose it, or a proxy changed the request. S3's own codes are"
        " `SignatureDoesNotMatch` and `PreconditionFailed`.",
        "Choose the file again. The doctor's lines are `direct put` and `direct parts`.",
        "The file storage rejected this file. Please try again.",
    ),
    Entry(
        "CloudFront says MissingKey",
        "`MissingKey`: Missing Key-Pair-Id query parameter or cookie value",
        "The path requires signed links: `static/*` has the key group, or a link lost its query string.",
        "Name the key group only in the behavior for `media/*`.",
    ),
    Entry(
        "CloudFront rejects a signed link",
        "`Unknown Key`, or `AccessDenied` from CloudFront",
        "The public key is not in the trusted key group, or the bucket does not let the distribution in.",
        "Check `AWS_CLOUDFRONT_KEY_ID` and `AWS_CLOUDFRONT_KEY`. Run `manage.py s3 plan` with"
        " `AWS_CLOUDFRONT_DISTRIBUTION_ARN` set.",
    ),
)

SERVER = (
    Entry(
        "Missing staticfiles manifest entry",
        "`ValueError`: Missing staticfiles manifest entry for '…'",
        "A template names a file that the manifest lacks: nobody collected it, its name has a typo, or"
        " `staticfiles.json` is old.",
        "Run `manage.py collectstatic` from the same checkout. For images, run `manage.py s3 manifest`, too.",
    ),
    Entry(
        "No manifest of static files",
        "`No manifest of static files: … of bucket … can't be read: …`",
        "Nothing has been deployed yet, or the site's role may not read the manifest.",
        "Run `manage.py collectstatic`, and attach the policy that `manage.py s3 policy --role web` prints.",
        "No manifest of static files:",
    ),
    Entry(
        "403 instead of 404 for a missing file",
        "`ClientError`: An error occurred (403) when calling the HeadObject operation: Forbidden",
        "Without `s3:ListBucket`, S3 responds with 403 for an object that does not exist.",
        "Attach the policy that `manage.py s3 policy --role web` prints. The doctor's line is `missing key`.",
    ),
    Entry(
        "S3 hangs, and uploads fail quickly",
        "`NotAnsweringError: S3 is not responding: 3 uploads of this process are already waiting for it`",
        "S3 or the network is slow. A process lets at most three uploads wait, so that pages stay fast.",
        "Nothing, if it passes. Otherwise check the network: the doctor's line is `endpoint`.",
        "S3 is not responding:",
    ),
)

COMMON = (
    (BROWSER[0].title, BROWSER[0].title),
    (BROWSER[1].title, BROWSER[1].title),
    (BROWSER[2].title, BROWSER[2].title),
    ("`AccessDenied` in the output of a command or in a log", "AccessDenied, AllAccessDisabled, 403"),
    ("`AccessControlListNotSupported`", "AccessControlListNotSupported"),
    (
        "`PermanentRedirect`, or a wrong region",
        "PermanentRedirect, AuthorizationHeaderMalformed, IllegalLocationConstraintException, 301",
    ),
    ("`NoCredentialsError`: Unable to locate credentials", "NoCredentialsError"),
    ("`ExpiredToken`", "ExpiredToken, ExpiredTokenException, RequestExpired, TokenRefreshRequired"),
    ("`RequestTimeTooSkewed`: the clock is wrong", "RequestTimeTooSkewed"),
    ("`Missing staticfiles manifest entry`", SERVER[0].title),
    (BROWSER[4].title, BROWSER[4].title),
    (BROWSER[6].title, BROWSER[6].title),
    (BROWSER[7].title, BROWSER[7].title),
    (BROWSER[8].title, BROWSER[8].title),
)

PLAN = """## s3 plan and s3 apply

A line that begins with `!` is a conflict: someone has configured the bucket in a way that contradicts the settings.
Without `--replace-conflicting`, `apply` changes nothing there.
"""

DOCTOR = """## s3 doctor

The doctor prints a line for each probe, and the fix for each line that is not ok. "Can't tell" means that the
credentials or the machine can't see the result. A line that S3 or the network caused, and that names no other fix, says
`run the doctor again`.
"""

STATUS = ("not_ok", "warning", "cant_tell")


@cache
def page() -> str:
    """Return the page."""
    lines = [HEAD, "## The most common errors", ""]
    lines += [f"- [{text}](#{_anchor(title)})" for text, title in COMMON]
    lines += ["", "## In the browser", "", *_entries(BROWSER), "## On the server", "", *_entries(SERVER)]
    lines += ["## Error codes of S3", "", *_known(known_errors.OF_S3)]
    lines += [
        "## Credentials and network",
        "",
        *_known((known_errors.NO_ANSWER, *_botocore())),
        *_certificates(),
    ]
    lines += [PLAN, *_plan(), "", DOCTOR, *_doctor()]
    return "\n".join(lines)


def _anchor(title: str) -> str:
    """Return the anchor of a heading, as GitHub makes it."""
    kept = (each for each in title.lower() if each.isalnum() or each in " -_")
    return "".join(kept).replace(" ", "-")


def _entries(entries: Iterable[Entry]) -> Iterable[str]:
    for each in entries:
        yield from _entry(each.title, [each.seen], each.cause, each.fix)


def _entry(title: str, seen: list[str], cause: str, fix: str) -> list[str]:
    quoted = [line for text in seen for line in (f"> {text}", ">")][:-1]
    return [f"### {title}", "", *quoted, "", f"**Cause:** {cause}", "", f"**Fix:** {fix}", ""]


def _known(known: Iterable[Known]) -> Iterable[str]:
    """Yield the errors, those of the same codes together."""
    by_codes: dict[tuple[str, ...], list[Known]] = defaultdict(list)
    for each in known:
        by_codes[each.codes].append(each)
    for codes, same in by_codes.items():
        yield f"### {', '.join(codes)}"
        yield ""
        for each in same:
            text = _shown(
                each.text.replace("{code}", codes[0] if each.text == known_errors.FAILED else UNKNOWN)
            )
            quoted = [f"> {prose(text)}", ""] if each.text != "{message}" else []
            yield from [*quoted, f"**Cause:** {each.cause}", "", f"**Fix:** {prose(_sentence(each.fix))}", ""]


def _botocore() -> Iterable[Known]:
    return (each for each in known_errors.OF_BOTOCORE if each.codes != known_errors.NO_ANSWER.codes)


def _certificates() -> Iterable[str]:
    yield from ["### Certificates", "", f"> {_shown(known_errors.REJECTED)}", ""]
    for each in known_errors.CERTIFICATES:
        yield f"- {prose(each.text)}: {prose(_shown(each.fix))}"
    yield ""


def _plan() -> Iterable[str]:
    for source in sources("buckets"):
        for each in messages(source, ("BucketError",), 0, 99):
            yield f"- {prose(each.text)}"
    for source in sources("buckets"):
        for each in messages(source, ("Conflict",), 0, 3):
            fix = prose(_sentence(each.fix or Conflict.fix))
            yield f"- conflict: {prose(each.text)}\n  **Fix:** {fix}"


def _doctor() -> Iterable[str]:
    probes: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for source in sources("doctor"):
        for each in messages(source, STATUS, 1, 2, 0):
            # What passes by itself, and what only other messages say.
            if each.fix not in {"", UNKNOWN, LATER}:
                probes[area(each.about.replace(UNKNOWN, "media")), each.text, each.fix].append(each.about)
    for name in ("Connection", "Uploads", "Direct uploads", "Static files", "Rights"):
        yield from [f"### {name}", ""]
        for (where, text, fix), titles in probes.items():
            if where == name:
                named = ", ".join(f"`{title}`" for title in titles if title != UNKNOWN)
                yield f"- {f'{named}: ' if named else ''}{prose(text)}\n  **Fix:** {prose(_sentence(fix))}"
        yield ""


def _shown(text: str) -> str:
    """Return a text with ellipses for its fields; a role stays a word to be replaced."""
    parts = Formatter().parse(text)
    return "".join(
        f"{literal}{'' if field is None else 'ROLE' if field == 'role' else UNKNOWN}"
        for literal, field, *_ in parts
    )


def _sentence(text: str) -> str:
    shown = _shown(text)
    return f"{shown[:1].upper()}{shown[1:]}."
