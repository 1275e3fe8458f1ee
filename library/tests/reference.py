"""The reference of the storages' options, made from the code: `python -m tests.reference` writes it."""

from pathlib import Path

from s3kit.options import OPTIONS, REJECTIONS

PAGE = Path(__file__).parents[2] / "docs" / "options.md"

HEAD = """# Options of the storages

Both storages take their options from `OPTIONS` in Django's `STORAGES`, under django-storages' names where it
has them. An option that is not there is looked up among the storage class's attributes, and then in the
`AWS_*` setting that all storages share:

```python
STORAGES = {
    "default": {
        "BACKEND": "s3kit.storages.MediaStorage",
        "OPTIONS": {"bucket_name": "example-media"},
    },
    "avatars": {
        "BACKEND": "s3kit.storages.MediaStorage",
        "OPTIONS": {"bucket_name": "example-media", "location": "avatars", "access": "public-policy"},
    },
    "staticfiles": {
        "BACKEND": "s3kit.storages.StaticStorage",
        "OPTIONS": {"bucket_name": "example-static"},
    },
}
AWS_S3_REGION_NAME = "eu-central-1"
```

Locations in one bucket must not be nested if different people may read them. An option that the library does
not obey is rejected with a sentence; it is never ignored.
"""


def page() -> str:
    """Return the page."""
    lines = [
        HEAD,
        "## Obeyed",
        "",
        "| option | storages | setting | default | meaning |",
        "|---|---|---|---|---|",
    ]
    for option in OPTIONS:
        default = " or ".join(f"`{option.default_for(kind)!r}`" for kind in option.kinds if option.by_kind)
        default = default or (f"`{option.default!r}`" if option.default is not None else "")
        lines.append(
            f"| `{option.name}` | {', '.join(option.kinds)} | {_code(option.settings)} | {default} |"
            f" {option.meaning} |"
        )
    lines += ["", "## Rejected", "", "| option | setting | what the error says |", "|---|---|---|"]
    for each in REJECTIONS:
        lines.append(f"| `{each.name}` | {_code(each.settings)} | {each.instead} |")
    lines += ["", 'A value that changes nothing, such as `signature_version="s3v4"`, is accepted.', ""]
    return "\n".join(lines)


def _code(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
