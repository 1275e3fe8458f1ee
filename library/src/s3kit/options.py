"""The library's settings and the options of its storages: their names, defaults, and where values come from.

The library looks for an option in a storage's OPTIONS in STORAGES, then among its class's attributes, then in the
`AWS_*` setting that all storages share. Names are django-storages' where it has one. The library rejects options of
django-storages that it does not support, and never ignores one.

`conf` reads settings at each access, so `override_settings` works, and importing the library reads none.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

Kind = Literal["static", "media"]

ACCESS = ("private", "public-read", "public-policy")

# What url() of private media returns: a signed link, an address on the site, or one on the CDN, for signed cookies.
LINKS = ("signed", "site", "cookies")

# SigV4 query strings: "The maximum value is 604800 seconds (7 days)", Amazon S3 API Reference.
MAX_EXPIRE = 604_800

# A year. HTTP caches ignore longer times (RFC 2616, 14.21).
MAX_AGE = 31_536_000


# One * is allowed, as in Django and S3.
_HOST = r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\]"
_ORIGIN = re.compile(rf"https?://(?:{_HOST})(?::[0-9]{{1,5}})?")


def as_sent(origin: str) -> str:
    """Return an origin as browsers send it: in lower case, without a final slash. S3 compares it as text."""
    text = origin.strip().rstrip("/").lower()
    with suppress(UnicodeError):
        text = text if text.isascii() else "//".join(map(_punycode, text.split("//")))
    default = {"http": ":80", "https": ":443"}.get(text.partition(":")[0], "")
    return text.removesuffix(default)


def _punycode(text: str) -> str:
    return text.encode("idna").decode()


def is_origin(text: str) -> bool:
    """Return whether a text is an origin: a scheme and a host, with or without a port."""
    return _ORIGIN.fullmatch(text) is not None


class Conf:
    """The settings of the site, rather than of one storage."""

    @property
    def use_s3(self) -> Literal["local"] | bool:
        """Which S3 the storages use: True (the default) for the real one, "local" for the local server, False for none.

        Raises ImproperlyConfigured for other values, because the text "false" would be true.
        """
        value = getattr(settings, "USE_S3", True)
        if isinstance(value, bool) or value == "local":
            return value
        raise ImproperlyConfigured(f"USE_S3 is {value!r}: set it to True, False, or 'local'.")

    @property
    def is_local(self) -> bool:
        """Whether every storage uses the local S3 server."""
        return self.use_s3 == "local"

    @property
    def origins(self) -> tuple[str, ...]:
        """The site's origins as browsers send them: AWS_SITE_ORIGINS, or else CSRF_TRUSTED_ORIGINS."""
        found = (as_sent(str(each)) for each in getattr(settings, self.origins_setting))
        return tuple(dict.fromkeys(each for each in found if each))

    @property
    def origins_setting(self) -> str:
        """The name of the setting that has the origins."""
        ours = "AWS_SITE_ORIGINS"
        return "CSRF_TRUSTED_ORIGINS" if getattr(settings, ours, None) is None else ours

    @property
    def trusted_accounts(self) -> tuple[str, ...]:
        """The IDs of accounts to which the buckets may grant permissions: AWS_TRUSTED_ACCOUNTS, a list."""
        found = getattr(settings, "AWS_TRUSTED_ACCOUNTS", None) or ()
        return tuple(str(each).strip() for each in ([found] if isinstance(found, str) else found))

    @property
    def manifest(self) -> Path | None:
        """The file with the manifest of static files, or None: STATICFILES_MANIFEST."""
        found = getattr(settings, "STATICFILES_MANIFEST", None)
        return Path(found) if found else None

    @property
    def local_dir(self) -> Path:
        """The folder of the local S3 server: S3KIT_LOCAL_DIR (setting or environment), or else var/s3 in BASE_DIR."""
        if found := getattr(settings, "S3KIT_LOCAL_DIR", None) or os.environ.get("S3KIT_LOCAL_DIR"):
            return Path(found)
        return Path(getattr(settings, "BASE_DIR", None) or Path.cwd()) / "var" / "s3"

    def shared(self, names: tuple[str, ...]) -> Any:
        """Return the value of the first setting that is set; a blank string is unset."""
        for name in names:
            value = getattr(settings, name, None)
            value = value.strip() if isinstance(value, str) else value
            if value is not None and value != "":
                return value
        return None


conf = Conf()


@dataclass(frozen=True)
class Option:
    """A supported option. `default` is its value if OPTIONS, the class, and the setting have none.

    `meaning` is for the documentation.
    """

    name: str
    meaning: str
    settings: tuple[str, ...] = ()
    default: Any = None
    kinds: tuple[Kind, ...] = ("static", "media")
    by_kind: Mapping[str, Any] = field(default_factory=dict)

    def default_for(self, kind: Kind) -> Any:
        """Return the default for a kind of storage."""
        return self.by_kind.get(kind, self.default)


OPTIONS = (
    Option("bucket_name", "The name of the bucket.", ("AWS_STORAGE_BUCKET_NAME",), ""),
    Option(
        "location",
        "The prefix of all keys. It can't be empty.",
        ("AWS_LOCATION",),
        by_kind={"static": "static/", "media": "media/"},
    ),
    Option("region_name", "The region of the bucket, such as `eu-central-1`.", ("AWS_S3_REGION_NAME",), ""),
    Option(
        "endpoint_url",
        "The address of an S3 server other than AWS: scheme, host, and port.",
        ("AWS_S3_ENDPOINT_URL",),
    ),
    Option(
        "provider",
        "The server at the endpoint, if the host does not name it: `minio`, `ceph`, `garage`, or another [provider]"
        "(providers.md).",
        ("AWS_S3_PROVIDER",),
        "",
    ),
    Option(
        "custom_domain", "The host name of the CDN in front of the bucket.", ("AWS_S3_CUSTOM_DOMAIN",), ""
    ),
    Option(
        "access_key",
        "An access key ID. Leave it out if you can: boto3 finds credentials in the environment, a profile, or a role.",
        ("AWS_S3_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID"),
    ),
    Option(
        "secret_key",
        "The secret access key of `access_key`.",
        ("AWS_S3_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY"),
    ),
    Option(
        "security_token",
        "The session token of `access_key`.",
        ("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"),
    ),
    Option(
        "session_profile",
        "A profile in AWS's configuration files, instead of `access_key`.",
        ("AWS_S3_SESSION_PROFILE",),
    ),
    Option(
        "expected_bucket_owner",
        "The ID of the account that owns the bucket. S3 rejects requests to a bucket of another account.",
        ("AWS_EXPECTED_BUCKET_OWNER",),
    ),
    Option(
        "cloudfront_distribution",
        "The ARN of the CloudFront distribution in front of the bucket. Only it may read the bucket.",
        ("AWS_CLOUDFRONT_DISTRIBUTION_ARN",),
        "",
    ),
    Option(
        "strict_references",
        "Whether collectstatic stops if a style sheet or script of the project names a missing file. By default it"
        " prints a warning, as it always does for source maps and installed packages.",
        ("AWS_STATIC_STRICT_REFERENCES",),
        default=False,
        kinds=("static",),
    ),
    Option(
        "prehashed",
        "Patterns of files whose names have a hash from a bundler, such as `build/assets/*`. collectstatic keeps these"
        " names. Files in Vite's manifest need no pattern.",
        ("AWS_STATIC_PREHASHED",),
        (),
        kinds=("static",),
    ),
    Option(
        "encryption",
        "The server-side encryption of each upload: `AES256` (S3's own keys), `aws:kms` (the account's key for S3), or"
        " the ARN of a KMS key. If empty, the bucket's default applies.",
        ("AWS_S3_ENCRYPTION",),
        "",
    ),
    Option(
        "bucket_tags",
        "Tags for the bucket: a dict of strings. Tags from others stay.",
        ("AWS_BUCKET_TAGS",),
        {},
    ),
    Option(
        "access",
        "Who may read the files: `private` (visitors with a signed link), `public-policy` (everyone, by the bucket's"
        " policy), or `public-read` (everyone, by an ACL on each object).",
        (),
        "private",
        kinds=("media",),
    ),
    Option(
        "querystring_expire",
        "How long a signed link is valid, in seconds: 1 to 604800 (7 days).",
        ("AWS_QUERYSTRING_EXPIRE",),
        3600,
        kinds=("media",),
    ),
    Option(
        "cloudfront_key_id",
        "The ID of the public key that CloudFront checks signed links with.",
        ("AWS_CLOUDFRONT_KEY_ID",),
        "",
        kinds=("media",),
    ),
    Option(
        "cloudfront_key",
        "The private key of `cloudfront_key_id`: PEM, or the base64 of the PEM. It needs `django-s3-kit[cloudfront]`.",
        ("AWS_CLOUDFRONT_KEY",),
        "",
        kinds=("media",),
    ),
    Option(
        "cloudfront_cookie_domain",
        "The domain of CloudFront's signed cookies, such as `example.com`. The site and `custom_domain` must both be"
        " part of it.",
        ("AWS_CLOUDFRONT_COOKIE_DOMAIN",),
        "",
        kinds=("media",),
    ),
    Option(
        "links",
        "What `url()` of private files returns: `signed` (a link that expires), `site` (a [link on the site](links.md)"
        " that lasts), or `cookies` (a plain address on the CDN, for [signed cookies](cloudfront.md#signed-cookies)).",
        (),
        "signed",
        kinds=("media",),
    ),
    Option(
        "inline_types",
        'More types that browsers show instead of downloading, by extension: `{"txt": "text/plain"}`. The library'
        " rejects types that can run scripts.",
        ("AWS_MEDIA_INLINE_TYPES",),
        {},
        kinds=("media",),
    ),
    Option(
        "content_types",
        'More types that downloads keep, by extension: `{"epub": "application/epub+zip"}`.',
        ("AWS_MEDIA_CONTENT_TYPES",),
        {},
        kinds=("media",),
    ),
    Option(
        "object_parameters",
        "Arguments of boto3's `put_object` for each upload. They override the library's.",
        ("AWS_S3_OBJECT_PARAMETERS",),
        {},
        kinds=("media",),
    ),
    Option(
        "file_overwrite",
        "Whether a file replaces another file of the same name. If so, users can overwrite each other's uploads.",
        ("AWS_S3_FILE_OVERWRITE",),
        default=False,
        kinds=("media",),
    ),
    Option(
        "conditional_writes",
        "Whether the server supports `If-None-Match`, as S3 does. If not, the library sends a HEAD request to find out"
        " whether a name that your code chose is free. `manage.py s3 doctor` says when to turn it off.",
        ("AWS_CONDITIONAL_WRITES",),
        default=True,
        kinds=("media",),
    ),
    Option(
        "direct_uploads",
        "Whether browsers may upload directly to the bucket, with `s3kit.uploads`. If not, its forms send files through"
        " the site. Always off with `file_overwrite`.",
        ("AWS_DIRECT_UPLOADS",),
        default=True,
        kinds=("media",),
    ),
    Option(
        "max_age",
        "How long browsers and CDNs may cache a public file, in seconds: 0 to 31536000 (a year). A deleted or replaced"
        " file stays visible that long. They cache a private file as long as its link is valid.",
        ("AWS_MEDIA_MAX_AGE",),
        MAX_AGE,
        kinds=("media",),
    ),
    Option(
        "named_max_age",
        "How long browsers and CDNs may cache a file whose name your code chose, such as a thumbnail, in seconds: 0"
        " (they check each time) to 31536000. A new file of the same name appears only after that.",
        ("AWS_MEDIA_NAMED_MAX_AGE",),
        0,
        kinds=("media",),
    ),
    Option(
        "max_memory_size",
        "While the site reads a file that is larger than this, in bytes, the file is on disk. The default is"
        " `FILE_UPLOAD_MAX_MEMORY_SIZE`.",
        ("AWS_S3_MAX_MEMORY_SIZE",),
        kinds=("media",),
    ),
    Option(
        "versioning",
        "Whether the bucket keeps versions of overwritten and deleted files.",
        (),
        default=False,
        kinds=("media",),
    ),
)


@dataclass(frozen=True)
class Rejection:
    """An option of django-storages that is rejected, unless `accepts` returns True for a value that changes nothing.

    `instead` is the fix. With `of_media`, static storages ignore the shared setting, because it is for uploads.
    """

    name: str
    settings: tuple[str, ...]
    instead: str
    accepts: Callable[[Any, Mapping[str, Any]], bool] = lambda _value, _options: False
    of_media: bool = False


def _addressing(value: Any, options: Mapping[str, Any]) -> bool:
    return value in ("auto", "path" if options.get("endpoint_url") else "virtual")


# They belong together: an entry with one of them ignores the shared settings of the others.
CREDENTIALS = ("access_key", "secret_key", "security_token", "session_profile")

REJECTIONS = (
    Rejection(
        "querystring_auth",
        ("AWS_QUERYSTRING_AUTH",),
        "Links are signed if access is 'private': set access, and leave this out.",
        lambda value, options: bool(value) == (options.get("access") == "private"),
        of_media=True,
    ),
    Rejection(
        "default_acl",
        ("AWS_DEFAULT_ACL",),
        "Uploads have an ACL only if access is 'public-read': set access, and leave this out.",
        lambda value, options: not value or value == options.get("access") == "public-read",
        of_media=True,
    ),
    Rejection(
        "gzip",
        ("AWS_IS_GZIPPED",),
        "Uploads are stored unchanged, and collectstatic compresses static files: leave this out.",
        lambda value, _options: not value,
    ),
    Rejection(
        "gzip_content_types",
        ("GZIP_CONTENT_TYPES",),
        "collectstatic compresses all text files: leave this out.",
    ),
    Rejection(
        "signature_version",
        ("AWS_S3_SIGNATURE_VERSION",),
        "Requests are signed with s3v4, which every region accepts: leave this out.",
        lambda value, _options: value == "s3v4",
    ),
    Rejection(
        "addressing_style",
        ("AWS_S3_ADDRESSING_STYLE",),
        "The style is 'virtual' on AWS and 'path' with an endpoint_url: leave this out.",
        _addressing,
    ),
    Rejection(
        "url_protocol",
        ("AWS_S3_URL_PROTOCOL",),
        "URLs begin with https, or with the scheme of endpoint_url: leave this out.",
        lambda value, _options: value == "https:",
    ),
    Rejection(
        "use_ssl",
        ("AWS_S3_USE_SSL",),
        "For plain HTTP, set endpoint_url to a URL that begins with http://.",
        lambda value, _options: value is True,
    ),
    Rejection(
        "verify",
        ("AWS_S3_VERIFY",),
        "Certificates are always verified: set the environment variable AWS_CA_BUNDLE to the authority's certificate.",
        lambda value, _options: value is True,
    ),
    Rejection("proxies", ("AWS_S3_PROXIES",), "Set the environment variables HTTPS_PROXY and NO_PROXY."),
    Rejection(
        "client_config",
        ("AWS_S3_CLIENT_CONFIG",),
        "All clients share one configuration: leave this out.",
    ),
    Rejection(
        "transfer_config", ("AWS_S3_TRANSFER_CONFIG",), "Uploads are sent in parts of 8 MiB: leave this out."
    ),
    Rejection(
        "use_threads",
        ("AWS_S3_USE_THREADS",),
        "An upload is sent in the thread of its request: leave this out.",
        lambda value, _options: value is True,
    ),
    Rejection(
        "file_name_charset",
        ("AWS_S3_FILE_NAME_CHARSET",),
        "Names are UTF-8, as in S3: leave this out.",
        lambda value, _options: str(value).lower() in {"utf-8", "utf8"},
    ),
    Rejection("cloudfront_signer", (), "Set cloudfront_key_id and cloudfront_key."),
)


# "User-defined tags", AWS Billing User Guide, and the S3 API Reference, "PutBucketTagging".
_TAG = re.compile(r"[\w +\-=.:/@]*")
MAX_TAGS = 50


def tags(value: Any) -> tuple[tuple[str, str], ...]:
    """Return a bucket's tags, sorted. Raise ImproperlyConfigured if S3 would reject them."""
    if not isinstance(value, Mapping) or len(value) > MAX_TAGS:
        raise ImproperlyConfigured(
            f"The option 'bucket_tags' is {_shown(value)}: set it to a dict of at most {MAX_TAGS} strings, such as"
            " {'CostCenter': '1234'}."
        )
    for name, each in value.items():
        if not (isinstance(name, str) and isinstance(each, str)):
            raise ImproperlyConfigured(
                f"The tag {name!r} of 'bucket_tags' is {each!r}: both must be strings."
            )
        if not (0 < len(name) <= 128 and len(each) <= 256 and _TAG.fullmatch(name + each)):
            raise ImproperlyConfigured(
                f"The tag {_shown(name)} of 'bucket_tags' is {_shown(each)}: a key can have 1 to 128 characters, and a"
                " value at most 256: letters, digits, spaces, and + - = . _ : / @."
            )
        if name.lower().startswith("aws:"):
            raise ImproperlyConfigured(f"AWS reserves the tag {name!r} of 'bucket_tags': choose another key.")
    return tuple(sorted(value.items()))


def known(kind: Kind) -> dict[str, Option]:
    """Return the options of a kind of storage, by name."""
    return {option.name: option for option in OPTIONS if kind in option.kinds}


def resolved(kind: Kind, cls: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return each option's value for a storage: from OPTIONS, the class, a shared setting, or the default.

    Strings are stripped; a blank one is unset. None in OPTIONS means the default, so an entry can ignore a shared
    setting.
    """
    own = {
        name: next((value for value in (given.get(name), _of_class(cls, name)) if not _unset(value)), None)
        for name in known(kind)
    }
    has_credentials = any(own[name] is not None for name in CREDENTIALS)
    found: dict[str, Any] = {}
    for name, option in known(kind).items():
        value = own[name]
        if name in given and given[name] is None:
            value = None
        elif value is None and not (has_credentials and name in CREDENTIALS):
            value = conf.shared(option.settings)
        value = option.default_for(kind) if value is None else value
        found[name] = value.strip() if isinstance(value, str) else value
    return found


def _of_class(cls: type, name: str) -> Any:
    value = getattr(cls, name, None)
    return None if callable(value) or isinstance(value, property) else value


def _unset(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def rejected(kind: Kind, cls: type, given: Mapping[str, Any], options: Mapping[str, Any]) -> Iterator[str]:
    """Yield an error message for each option that is not supported."""
    for each in REJECTIONS:
        shared = () if each.of_media and kind == "static" else each.settings
        for where, value in (
            (f"the option {each.name!r}", given.get(each.name)),
            (f"{cls.__qualname__}.{each.name}", _own(cls, each.name)),
            *((name, getattr(settings, name, None)) for name in shared),
        ):
            if value is not None and not each.accepts(value, options):
                yield f"{where} is {_shown(value)}, which is not supported. {each.instead}"
    names = {*known(kind), *(each.name for each in REJECTIONS)}
    for name in given:
        if name not in names:
            other = next((option for option in OPTIONS if option.name == name), None)
            why = f"only {other.kinds[0]} storages have it" if other else "the library has no such option"
            yield f"the option {name!r} is not supported: {why}."


def _own(cls: type, name: str) -> Any:
    """Return an attribute that a subclass of the library's storage sets. Inherited ones are None."""
    for each in cls.__mro__:
        if each.__module__.startswith(("s3kit.", "storages.", "django.")):
            return None
        if name in vars(each):
            return vars(each)[name]
    return None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
