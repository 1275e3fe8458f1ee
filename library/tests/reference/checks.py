"""The page on system checks, generated from the calls of `Error` and `Warning`."""

from collections import defaultdict

from tests.reference.messages import PACKAGE, Message, Source, messages, prose

MODULES = ("checks.py", "uploads/checks.py")

HEAD = """# System checks

`python manage.py check` finds settings that are wrong or risky before anything runs. The checks make no request and
need no credentials. They look at the real target, even with `USE_S3 = "local"`.

- Find a message: search this page for its words. An ellipsis (…) replaces a value.
- Run only these checks: `python manage.py check --tag s3kit`.
- Silence one: `SILENCED_SYSTEM_CHECKS = ["s3kit.W001"]`. Commands such as `s3 plan` stop at errors that
  are not silenced.
- [`manage.py release`](running.md) stops at warnings, too.
"""

# Messages that come from other modules.
ELSEWHERE = {
    "s3kit.E001": (
        "STORAGES['…']: the bucket name '…' breaks one of S3's rules: see [below](#names-of-buckets).",
        "",
    ),
    "s3kit.E003": (
        "An [option](options.md) of a storage is wrong or not supported. The message names it.",
        "",
    ),
    "s3kit.E006": ("`cloudfront_key` is not an RSA private key.", ""),
    "s3kit.E013": (
        "Two storages have locations in one bucket that are equal or nested, and they differ in what they hold or who"
        " may read it.",
        "Give each its own `location`.",
    ),
    "s3kit.E014": (
        "USE_S3 is '…': set it to True, False, or 'local'. Or an entry of `STORAGES` can't be imported.",
        "",
    ),
    "s3kit.E018": ("[`S3KIT_CSP_ADDITIONS`](headers.md) has a mistake.", ""),
    "s3kit.E022": ("[`S3KIT_LINKS_PERMISSION`](links.md) is not a function, or can't be imported.", ""),
    "s3kit_uploads.E001": (
        "[`S3KIT_UPLOADS`](settings.md#s3kit_uploads) has a mistake. The message names the key, and says what is"
        " allowed.",
        "",
    ),
}


def found() -> dict[str, list[Message]]:
    """Return the messages of each check, by ID."""
    by_id: dict[str, list[Message]] = defaultdict(list)
    for module in MODULES:
        for each in messages(Source(PACKAGE / module), ("Error", "Warning"), 0, "hint", "id"):
            by_id[each.about].append(each)
    return by_id


def page() -> str:
    """Return the page."""
    by_id = found()
    names = sorted({*by_id, *ELSEWHERE}, key=lambda name: (name.startswith("s3kit_"), name))
    lines = [HEAD]
    for title, letter in (("Errors", "E"), ("Warnings", "W")):
        lines += [f"## {title}", ""]
        for name in (each for each in names if each.partition(".")[2].startswith(letter)):
            lines += [f"### {name}", ""]
            if name in ELSEWHERE:
                lines += [_item(*ELSEWHERE[name])]
            lines += [_item(prose(each.text), prose(each.fix)) for each in by_id[name]]
            lines.append("")
    lines += ["## Names of buckets", "", "The name of a bucket breaks a rule if it", ""]
    lines += [f"- {prose(each)}" for each in _of_naming("buckets", "wrong")]
    lines += ["", "## Names of regions", "", "The name of a region", ""]
    lines += [f"- {prose(each)}" for each in _of_naming("regions", "Problem")]
    return "\n".join([*lines, ""])


def _of_naming(module: str, kind: str) -> list[str]:
    source = Source(PACKAGE / "naming" / f"{module}.py")
    return [each.text for each in messages(source, (kind,), 1, 99)]


def _item(text: str, fix: str) -> str:
    return f"- {text}\n  **Fix:** {fix}" if fix else f"- {text}"
