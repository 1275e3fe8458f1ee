"""The page on troubleshooting, generated from the errors that the library explains."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from string import Formatter
from typing import NamedTuple

from s3kit import known_errors
from s3kit.known_errors import Known
from tests.reference.messages import UNKNOWN, prose

HEAD = """# Troubleshooting

Paste your error message into the site's search, or choose the error below. An ellipsis (…) replaces a value. If you
have no message, run these commands. Each prints the fix with what it finds:

| run | to find |
|---|---|
| `python manage.py check` | mistakes in the settings: [all checks](checks.md) |
| `python manage.py s3 plan` | buckets that differ from the settings: [conflicts](doctor.md#s3-plan-and-s3-apply) |
| `python manage.py s3 doctor` | what fails for the site or its visitors: [its messages](doctor.md#s3-doctor) |

"""

TAIL = """Amazon documents [all error codes](https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html) and
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
        "Put links into pages unchanged: `{{ file.url }}`, not twice escaped. If no link works, correct [the"
        " keys](#invalidaccesskeyid).",
    ),
    Entry(
        "Blocked by CORS policy",
        "`blocked by CORS policy`: No 'Access-Control-Allow-Origin' header is present, or `Tainted canvases may not be"
        " exported`",
        "The bucket doesn't allow the site's origin, so fonts and JavaScript modules don't load, and a canvas, cropper,"
        " or PDF viewer can't read uploads. Or the page loaded an upload before, without `crossorigin`, and the browser"
        " reuses that response.",
        "Set `AWS_SITE_ORIGINS` (`DJANGO_SITE_ORIGINS` in a generated project), then run `manage.py s3 apply`. On"
        " CloudFront, attach a response headers policy with CORS. Put `crossorigin` on each tag with the upload's"
        " address. The doctor's lines are `static cors` and `media cors`.",
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
        "`ValueError`: Missing staticfiles manifest entry for '…', or `No manifest of static files: … of bucket … can't"
        " be read: …`",
        "A template names a file that the manifest lacks: nobody collected it, its name has a typo, or"
        " `staticfiles.json` is old. Or there is no manifest: nothing has been deployed yet, or the site's role may not"
        " read it ([AccessDenied](#accessdenied)).",
        "Run `manage.py collectstatic` from the same checkout. For images, run `manage.py s3 manifest`, too.",
        "No manifest of static files:",
    ),
    Entry(
        "403 instead of 404 for a missing file",
        "`ClientError`: An error occurred (403) when calling the HeadObject operation: Forbidden",
        "Without `s3:ListBucket`, S3 responds with 403 for an object that does not exist.",
        "As for [AccessDenied](#accessdenied). The doctor's line is `missing key`.",
    ),
    Entry(
        "S3 hangs, and uploads fail quickly",
        "`NotAnsweringError: S3 is not responding: 3 uploads of this process are already waiting for it`",
        "S3 or the network is slow. A process lets at most three uploads wait, so that pages stay fast.",
        "Nothing, if it passes. Otherwise as for [ConnectionError](#connectionerror).",
        "S3 is not responding:",
    ),
)

PLACES = {
    "In the browser": BROWSER,
    "On the server": SERVER,
    "Error codes of S3": tuple(each for each in known_errors.OF_S3 if each.of_bucket),
    "Credentials and network": (
        *(each for each in known_errors.OF_S3 if not each.of_bucket),
        known_errors.NO_ANSWER,
        *(each for each in known_errors.OF_BOTOCORE if each.codes != known_errors.NO_ANSWER.codes),
    ),
}


@cache
def page() -> str:
    """Return the page."""
    index, body = [], []
    for place, errors in PLACES.items():
        sections = dict(_sections(errors))
        if place == "Credentials and network":
            sections["Certificates"] = _certificates()
        links = [f"[{title}](#{anchor(title)})" for title in sections]
        is_codes = isinstance(errors[0], Known)
        index += [
            f"**{place}:**",
            "",
            " · ".join(links) if is_codes else "\n".join(f"- {link}" for link in links),
            "",
        ]
        body += [f"## {place}", ""]
        for title, lines in sections.items():
            body += [f"### {title}", "", *lines, ""]
    return "\n".join([f"{HEAD}{index[0]}", *index[1:], TAIL, *body])


def anchor(title: str) -> str:
    """Return the anchor of a heading, as GitHub makes it."""
    kept = (each for each in title.lower() if each.isalnum() or each in " -_")
    return "".join(kept).replace(" ", "-")


def _sections(errors: Iterable[Entry | Known]) -> Iterator[tuple[str, list[str]]]:
    """Yield the title and the lines of each section. Errors with the same codes or the same fix share one."""
    groups: list[list[Known]] = []
    for each in errors:
        if isinstance(each, Entry):
            yield each.title, [f"> {each.seen}", "", *_explained([each.cause], each.fix)]
        elif same := [group for group in groups if each.codes == group[0].codes or each.fix == group[0].fix]:
            same[0].append(each)
        else:
            groups.append([each])
    for group in groups:
        yield ", ".join(dict.fromkeys(each.codes[0] for each in group)), _known(group)


def _known(same: list[Known]) -> list[str]:
    lines = []
    if others := dict.fromkeys(code for each in same for code in each.codes[1:]):
        lines += [f"Also {', '.join(f'`{code}`' for code in others)}.", ""]
    by_fix: dict[str, list[Known]] = defaultdict(list)
    for each in same:
        by_fix[each.fix].append(each)
    for fix, errors in by_fix.items():
        quotes = [f"> {_quote(each)}" for each in errors if each.text != "{message}"]
        lines += ["\\\n".join(quotes), ""] if quotes else []
        lines += [*_explained([each.cause for each in errors], prose(sentence(fix))), ""]
    return lines[:-1]


def _quote(known: Known) -> str:
    code = known.codes[0] if known.text == known_errors.FAILED else UNKNOWN
    return prose(shown(known.text.replace("{code}", code)))


def _explained(causes: list[str], fix: str) -> list[str]:
    first, *others = causes
    return [f"**Cause:** {first}\\", *(f"**Or:** {each}\\" for each in others), f"**Fix:** {fix}"]


def _certificates() -> list[str]:
    listed = (f"- {prose(each.text)}: {prose(shown(each.fix))}" for each in known_errors.CERTIFICATES)
    return [f"> {shown(known_errors.REJECTED)}", "", *listed]


def shown(text: str) -> str:
    """Return a text with ellipses for its fields; a role stays a word to be replaced."""
    parts = Formatter().parse(text)
    return "".join(
        f"{literal}{'' if field is None else 'ROLE' if field == 'role' else UNKNOWN}"
        for literal, field, *_ in parts
    )


def sentence(text: str) -> str:
    """Return a fix as a sentence."""
    fix = shown(text)
    return f"{fix[:1].upper()}{fix[1:]}."
