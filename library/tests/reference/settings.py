"""The page on settings, and the names of settings and variables that the source reads."""

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

from s3kit.options import OPTIONS, REJECTIONS
from s3kit.uploads.options import DEFAULTS
from tests.reference.messages import Source, sources
from tests.reference.options import SHARED, code, default, kinds, type_of

HEAD = """# Settings

Every setting that django-s3-kit reads. You need two to start: `STORAGES` with the library's storages, and
`AWS_S3_REGION_NAME`. The shortest complete example is in [options of the storages](options.md).

The settings of a generated project come from environment variables; its
[README](../{{cookiecutter.project_slug}}/README.md) lists those.
"""


class Setting(NamedTuple):
    """A setting that doesn't belong to a single storage."""

    name: str
    type: str
    default: str
    meaning: str


SITE = (
    Setting(
        "USE_S3",
        "bool or str",
        "`True`",
        "Which S3 the storages use. `True`: the real target. `'local'`: the local S3 server. `False`: the"
        " site has other storages in `STORAGES`.",
    ),
    Setting(
        "AWS_SITE_ORIGINS",
        "list",
        "`CSRF_TRUSTED_ORIGINS`",
        'The site\'s origins, as browsers show them: `["https://www.example.com"]`. `s3 apply` lets their pages load'
        " fonts and modules, read uploads in scripts, and upload directly (CORS).",
    ),
    Setting(
        "AWS_TRUSTED_ACCOUNTS",
        "list",
        "`[]`",
        "IDs of AWS accounts that may get permissions for the buckets, as strings. `s3 plan` reports other accounts as"
        " conflicts.",
    ),
    Setting(
        "STATICFILES_MANIFEST",
        "path",
        "`None`",
        "The file that `s3 manifest` writes. A server that has it starts without a request to S3.",
    ),
    Setting(
        "S3KIT_UPLOADS",
        "dict",
        "`{}`",
        "Limits of [direct uploads](uploads.md): see [below](#s3kit_uploads).",
    ),
    Setting(
        "S3KIT_LINKS_PERMISSION",
        "function or path",
        "`s3kit.links.access.is_staff`",
        "Who may use [permanent URLs](links.md): a function of `request`, `name`, and `storage` that returns `True`.",
    ),
    Setting(
        "S3KIT_CSP_ADDITIONS",
        "dict",
        "`{}`",
        "Sources that `SourcesMiddleware` adds to the Content-Security-Policy of [some pages](headers.md).",
    ),
    Setting(
        "S3KIT_LOCAL_DIR",
        "path",
        "`var/s3` in `BASE_DIR`",
        "The folder of the local S3 server. It can be an environment variable, too.",
    ),
    Setting(
        "AWS_STATIC_BUCKET_NAME",
        "str",
        "`None`",
        "Read only with `USE_S3 = False`: `collectstatic` then warns that it publishes nothing to this bucket.",
    ),
)

UPLOADS = {
    "PER_HOUR": "How many uploads one user may start in an hour.",
    "UNFINISHED_BYTES": "How many bytes all unfinished uploads of one user may have.",
    "MAX_BYTES": "The size of a file whose field declares no `max_bytes`.",
    "FORM_MAX_BYTES": "The size of a file that comes with its form, if the field declares no `form_max_bytes`.",
}

OTHERS = {
    "STORAGES": "the storages: [options](options.md)",
    "DEBUG": "with `True`, pages use local static files, and some checks are quiet",
    "STATIC_URL": "replaced by the storage's address, unless it names a host",
    "MEDIA_URL": "replaced by the storage's address, unless it names a host",
    "STATIC_ROOT": "where `collectstatic` copies Vite's manifests",
    "MEDIA_ROOT": "what `s3 push` copies",
    "FILE_UPLOAD_MAX_MEMORY_SIZE": "the default of `max_memory_size`",
    "MIDDLEWARE": "checked for the middleware of signed cookies",
    "SESSION_COOKIE_NAME": "identifies logged-in visitors, for signed cookies",
    "SILENCED_SYSTEM_CHECKS": "checks that are not reported",
    "CSRF_TRUSTED_ORIGINS": "the default of `AWS_SITE_ORIGINS`",
    "AUTH_USER_MODEL": "whose uploads are counted",
    "BASE_DIR": "where `var/s3` is, and where `s3 run` starts the site",
    "WSGI_APPLICATION": "what `s3 run --no-debug` serves",
    "ROOT_URLCONF": "names the module of the WSGI application, if `WSGI_APPLICATION` is not set",
    "AXES_IPWARE_PROXY_COUNT": "django-axes' number of proxies, for `client_address`",
}

VARIABLES = {
    "AWS_CA_BUNDLE": "a file with the certificates of authorities that boto3 and `collectstatic` trust",
    "AWS_PROFILE": "the profile with the credentials, as for all of boto3",
    "AWS_ENDPOINT_URL": "AWS's own tools read it; the library doesn't, and a check warns if the two differ",
    "AWS_ENDPOINT_URL_S3": "the same",
    "HTTPS_PROXY": "a proxy, as for all of boto3; `NO_PROXY` lists hosts without it",
    "S3KIT_CACHE_DIR": "where the local S3 server is installed (default: `s3kit` in the user's cache)",
    "S3KIT_LOCAL_DIR": "the setting of that name, if it is not set",
    "XDG_CACHE_HOME": "the user's cache (default: `~/.cache`)",
    "NO_COLOR": "any value turns colors off",
    "USE_S3": "`s3 run` sets it to `local`, for settings that read it",
    "UV": "the uv that installs the local S3 server (default: the one on the `PATH`)",
}

# The library sets these for its own processes, or sites don't need to set them.
INTERNAL = {
    *("GUARD", "GUARD_ORIGINS", "GUARD_ACCOUNTS", "S3KIT_TESTS_FOLDER", "PIP_USER", "PIP_REQUIRE_VIRTUALENV"),
    *("LD_LIBRARY_PATH", "SYSTEMROOT", "PATH", "LANG"),
    *("DJANGO_DEBUG", "DJANGO_SECRET_KEY", "DJANGO_ALLOWED_HOSTS", "DJANGO_SECURE_SSL_REDIRECT"),
}


def page() -> str:
    """Return the page."""
    lines = [HEAD, "## The site", "", "| setting | meaning |", "|---|---|"]
    lines += [
        f"| `{each.name}` | {each.meaning} *Type: {each.type}. Default: {each.default}.* |" for each in SITE
    ]
    lines += ["", "## All storages", "", SHARED, "", "| setting | meaning |", "|---|---|"]
    for option in sorted((each for each in OPTIONS if each.settings), key=lambda each: each.settings):
        facts = [f"Type: {type_of(option)}.", *default(option), *kinds(option)]
        lines.append(f"| {code(option.settings)} | {option.meaning} *{' '.join(facts)}* |")
    rejected = sorted(name for each in REJECTIONS for name in each.settings)
    lines += ["", "The library rejects these settings of django-storages, and says what to set instead"]
    lines += [f"([options](options.md#rejected)): {code(rejected)}.", ""]
    lines += ["## S3KIT_UPLOADS", "", "```python"]
    lines += ['S3KIT_UPLOADS = {"PER_HOUR": 50, "GROUPS": {"editors": {"PER_HOUR": 1000}}}', "```", ""]
    lines += ["| key | default | meaning |", "|---|---|---|"]
    lines += [f"| `{name}` | {_number(DEFAULTS[name])} | {text} |" for name, text in UPLOADS.items()]
    lines += [
        "| `GROUPS` | `{}` | `PER_HOUR` and `UNFINISHED_BYTES` by name of group. A user has the highest limit of all"
        " the user's groups. |",
        "",
        "## Other packages' settings",
        "",
        "The library reads these settings of Django and django-axes:",
        "",
        "| setting | used for |",
        "|---|---|",
        *(f"| `{name}` | {text} |" for name, text in OTHERS.items()),
        "",
        "## Environment variables",
        "",
        "| variable | meaning |",
        "|---|---|",
        *(f"| `{name}` | {text} |" for name, text in VARIABLES.items()),
        "",
    ]
    return "\n".join(lines)


def _number(value: int) -> str:
    return next(
        (
            f"{value:,} ({value // size} {unit})"
            for size, unit in ((2**30, "GiB"), (2**20, "MiB"))
            if value >= size
        ),
        f"{value:,}",
    )


def read_by_the_source() -> set[str]:
    """Return the names of all settings and variables that the source reads."""
    shared = {name for each in (*OPTIONS, *REJECTIONS) for name in each.settings}
    return shared | {name for source in sources() for name in _read_by(source)}


def _read_by(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        match node:
            case ast.Attribute(value=ast.Name(id="settings"), attr=name) if name.isupper():
                yield name
            case ast.Call(func=ast.Name(id="getattr"), args=[ast.Name(id="settings"), name, *_]):
                yield from _names(source, name)
            case ast.Call(
                func=ast.Attribute(value=ast.Attribute(attr="environ"), attr="get"), args=[name, *_]
            ):
                yield from _names(source, name)
            case ast.Subscript(value=ast.Attribute(attr="environ"), slice=name):
                yield from _names(source, name)
            # Names in constants and loops.
            case ast.Constant(value=str(text)) if re.fullmatch("(AWS|S3KIT|STATICFILES)_[A-Z0-9_]+", text):
                yield text


def _names(source: Source, node: ast.expr) -> Iterator[str]:
    yield from (text for text in source.texts(node) if re.fullmatch("[A-Z][A-Z0-9_]+", text))
