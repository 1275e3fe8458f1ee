"""The page on the storages' options, generated from the code."""

from collections.abc import Iterable

from s3kit.options import OPTIONS, REJECTIONS, Option

SHARED = (
    """All storages share these settings. An [option](options.md) of one storage overrides its setting."""
)

HEAD = """# Options of the storages

Put the options of a storage into `OPTIONS` of its entry in Django's `STORAGES`. They have django-storages' names where
it has them:

```python
STORAGES = {
    "default": {
        "BACKEND": "s3kit.storages.MediaStorage",
        "OPTIONS": {"bucket_name": "example-media"},
    },
    "avatars": {
        "BACKEND": "s3kit.storages.MediaStorage",
        "OPTIONS": {
            "bucket_name": "example-media",
            "location": "avatars",
            "access": "public-policy",
        },
    },
    "staticfiles": {
        "BACKEND": "s3kit.storages.StaticStorage",
        "OPTIONS": {"bucket_name": "example-static"},
    },
}
AWS_S3_REGION_NAME = "eu-central-1"
```

The library looks for each option in this order:

1. in `OPTIONS`, where `None` means the default
2. among the attributes of the storage's class
3. in the [setting](settings.md#all-storages) that all storages share
4. the default

If different people may read two locations in one bucket, neither location may contain the other. The
library never ignores an option: it rejects those that it doesn't support, and says what to do.
"""


def page() -> str:
    """Return the page."""
    lines = [HEAD, "## Supported", "", "| option | meaning |", "|---|---|"]
    for option in OPTIONS:
        setting = [f"Setting: {code(option.settings)}."] if option.settings else []
        facts = " ".join([*default(option), *kinds(option), *setting])
        lines.append(f"| `{option.name}` | {option.meaning} *{facts}* |")
    lines += ["", "## Rejected", "", "| option | message |", "|---|---|"]
    for each in REJECTIONS:
        setting = f" *Setting: {code(each.settings)}.*" if each.settings else ""
        lines.append(f"| `{each.name}` | {each.instead}{setting} |")
    lines += ["", 'The library accepts a value that changes nothing, such as `signature_version="s3v4"`.', ""]
    return "\n".join(lines)


def default(option: Option) -> list[str]:
    """Return a sentence about the default of an option, if it is not empty."""
    if option.by_kind:
        return [f"Default: {' or '.join(f'`{option.default_for(kind)}`' for kind in option.kinds)}."]
    return [] if option.default in (None, "", (), {}) else [f"Default: `{option.default}`."]


def kinds(option: Option) -> list[str]:
    """Return a sentence about the storages of an option, if they are not all."""
    return [] if len(option.kinds) == 2 else [f"Only {option.kinds[0]} storages."]


def type_of(option: Option) -> str:
    """Return the type of an option's value."""
    if option.name.endswith("_size"):
        return "int"
    return {bool: "bool", int: "int", dict: "dict", tuple: "list"}.get(type(option.default), "str")


def code(names: Iterable[str]) -> str:
    """Return names as code, with commas."""
    return ", ".join(f"`{name}`" for name in names)
