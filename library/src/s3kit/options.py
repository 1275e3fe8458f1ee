"""The library's settings and the options of its storages: which exist, and where each value comes from.

An option of a storage is looked up in its OPTIONS in STORAGES, then among its class's attributes, then in the
`AWS_*` setting that all storages share, under django-storages' name where it has one. What the library does
differently from django-storages is rejected with a sentence, never ignored.

Settings are read through `conf` at each access, so `override_settings` works, and importing the library
reads none.
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

# What url() of private media returns: a signed link, an address on the site, or, behind cookies, one on the CDN.
LINKS = ("signed", "site", "cookies")

# SigV4 query strings: "The maximum value is 604800 seconds (7 days)", Amazon S3 API Reference.
MAX_EXPIRE = 604_800

# A year, beyond which HTTP caches need not look (RFC 2616, 14.21).
MAX_AGE = 31_536_000


# One * is allowed, as Django and S3 do.
_HOST = r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\]"
_ORIGIN = re.compile(rf"https?://(?:{_HOST})(?::[0-9]{{1,5}})?")


def as_sent(origin: str) -> str:
    """Return an origin as browsers send it, which S3 compares as text: in lower case, without a slash at its end."""
    text = origin.strip().rstrip("/").lower()
    with suppress(UnicodeError):
        text = text if text.isascii() else "//".join(map(_punycode, text.split("//")))
    default = {"http": ":80", "https": ":443"}.get(text.partition(":")[0], "")
    return text.removesuffix(default)


def _punycode(text: str) -> str:
    return text.encode("idna").decode()


def is_origin(text: str) -> bool:
    """Tell whether a text is an origin: a scheme and a host, with or without a port."""
    return _ORIGIN.fullmatch(text) is not None


class Conf:
    """The settings that belong to no single storage."""

    @property
    def use_s3(self) -> Literal["local"] | bool:
        """Where the storages are: the real target (True, the default), the local server, or on disk.

        Raises ImproperlyConfigured for any other value: the text "false" would count as true.
        """
        value = getattr(settings, "USE_S3", True)
        if isinstance(value, bool) or value == "local":
            return value
        raise ImproperlyConfigured(f"USE_S3 is {value!r}: set it to True, False or 'local'.")

    @property
    def is_local(self) -> bool:
        """Whether every storage is to use the local S3 server."""
        return self.use_s3 == "local"

    @property
    def origins(self) -> tuple[str, ...]:
        """The site's origins, as browsers send them: AWS_SITE_ORIGINS, else CSRF_TRUSTED_ORIGINS."""
        found = (as_sent(str(each)) for each in getattr(settings, self.origins_setting))
        return tuple(dict.fromkeys(each for each in found if each))

    @property
    def origins_setting(self) -> str:
        """The setting that has the origins."""
        ours = "AWS_SITE_ORIGINS"
        return "CSRF_TRUSTED_ORIGINS" if getattr(settings, ours, None) is None else ours

    @property
    def trusted_accounts(self) -> tuple[str, ...]:
        """The numbers of accounts that may be granted rights on the buckets: AWS_TRUSTED_ACCOUNTS, a list."""
        found = getattr(settings, "AWS_TRUSTED_ACCOUNTS", None) or ()
        return tuple(str(each).strip() for each in ([found] if isinstance(found, str) else found))

    @property
    def manifest(self) -> Path | None:
        """The file with the manifest of static files that a server starts with, if there is to be one."""
        found = getattr(settings, "STATICFILES_MANIFEST", None)
        return Path(found) if found else None

    @property
    def local_dir(self) -> Path:
        """The folder of the local S3 server: S3KIT_LOCAL_DIR (setting or variable), else var/s3 in BASE_DIR."""
        if found := getattr(settings, "S3KIT_LOCAL_DIR", None) or os.environ.get("S3KIT_LOCAL_DIR"):
            return Path(found)
        return Path(getattr(settings, "BASE_DIR", None) or Path.cwd()) / "var" / "s3"

    def shared(self, names: tuple[str, ...]) -> Any:
        """Return the first of these settings that is set; a blank text counts as unset."""
        for name in names:
            value = getattr(settings, name, None)
            value = value.strip() if isinstance(value, str) else value
            if value is not None and value != "":
                return value
        return None


conf = Conf()


@dataclass(frozen=True)
class Option:
    """An option that is obeyed. `default` is its value where neither OPTIONS, class nor setting has one.

    `meaning` is a sentence for the documentation.
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
    Option("bucket_name", "The bucket.", ("AWS_STORAGE_BUCKET_NAME",), ""),
    Option(
        "location",
        "The prefix in the bucket; never empty.",
        ("AWS_LOCATION",),
        by_kind={"static": "static/", "media": "media/"},
    ),
    Option("region_name", "The bucket's region.", ("AWS_S3_REGION_NAME",), ""),
    Option(
        "endpoint_url",
        "The address of another S3 server than AWS: scheme, host and port.",
        ("AWS_S3_ENDPOINT_URL",),
    ),
    Option(
        "provider",
        "Which server the endpoint is, if its host does not tell: minio, ceph, garage or another name of"
        " [other servers](providers.md).",
        ("AWS_S3_PROVIDER",),
        "",
    ),
    Option(
        "custom_domain", "The host name of the CDN in front of the bucket.", ("AWS_S3_CUSTOM_DOMAIN",), ""
    ),
    Option(
        "access_key",
        "An access key. Better leave it out: boto3 finds credentials in the usual places (environment,"
        " profile, role).",
        ("AWS_S3_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID"),
    ),
    Option(
        "secret_key",
        "The secret of `access_key`.",
        ("AWS_S3_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY"),
    ),
    Option(
        "security_token",
        "The session token of `access_key`.",
        ("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"),
    ),
    Option(
        "session_profile",
        "A profile of AWS's configuration files, instead of `access_key`.",
        ("AWS_S3_SESSION_PROFILE",),
    ),
    Option(
        "expected_bucket_owner",
        "The number of the account that owns the bucket; S3 rejects requests to anybody else's.",
        ("AWS_EXPECTED_BUCKET_OWNER",),
    ),
    Option(
        "cloudfront_distribution",
        "The ARN of the CloudFront distribution that reads the bucket, and that alone does.",
        ("AWS_CLOUDFRONT_DISTRIBUTION_ARN",),
        "",
    ),
    Option(
        "strict_references",
        "Whether collectstatic stops where a style sheet or script of the project names a file that does not"
        " exist. By default, and for source maps and installed packages, it prints a warning.",
        ("AWS_STATIC_STRICT_REFERENCES",),
        default=False,
        kinds=("static",),
    ),
    Option(
        "prehashed",
        "Patterns of files whose names a bundler has made from their content, such as `build/assets/*`. They are"
        " published under these names, for good. Files that Vite's manifest lists need none.",
        ("AWS_STATIC_PREHASHED",),
        (),
        kinds=("static",),
    ),
    Option(
        "encryption",
        "The server-side encryption that each upload asks for: `AES256` (S3's own keys), `aws:kms` (the account's"
        " key for S3), or the ARN of a KMS key. Empty: what the bucket does by itself.",
        ("AWS_S3_ENCRYPTION",),
        "",
    ),
    Option(
        "bucket_tags",
        "Tags that the bucket has, besides those that others gave it: a dict of strings.",
        ("AWS_BUCKET_TAGS",),
        {},
    ),
    Option(
        "access",
        "Who reads the files: `private` (signed links), `public-policy` (the bucket's policy) or"
        " `public-read` (an ACL on each object).",
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
        "The ID of the public key with which CloudFront verifies signed links.",
        ("AWS_CLOUDFRONT_KEY_ID",),
        "",
        kinds=("media",),
    ),
    Option(
        "cloudfront_key",
        "Its private key: the PEM, or base64 of it. Needs `django-s3-kit[cloudfront]`.",
        ("AWS_CLOUDFRONT_KEY",),
        "",
        kinds=("media",),
    ),
    Option(
        "cloudfront_cookie_domain",
        "The domain of CloudFront's signed cookies, of which both the site and `custom_domain` are part:"
        " `example.com`.",
        ("AWS_CLOUDFRONT_COOKIE_DOMAIN",),
        "",
        kinds=("media",),
    ),
    Option(
        "links",
        "What `url()` of private files returns: `signed` (a link that expires), `site`"
        " ([an address on the site](links.md) that lasts) or `cookies` (a plain address on the CDN, for"
        " [signed cookies](cloudfront.md#signed-cookies)).",
        (),
        "signed",
        kinds=("media",),
    ),
    Option(
        "inline_types",
        'Further types that browsers may show, by extension: `{"txt": "text/plain"}`. Types that could run'
        " a script are rejected.",
        ("AWS_MEDIA_INLINE_TYPES",),
        {},
        kinds=("media",),
    ),
    Option(
        "content_types",
        'Further types that downloads keep, by extension: `{"epub": "application/epub+zip"}`.',
        ("AWS_MEDIA_CONTENT_TYPES",),
        {},
        kinds=("media",),
    ),
    Option(
        "object_parameters",
        "Arguments of boto3's `put_object` for each upload; they win over the library's own.",
        ("AWS_S3_OBJECT_PARAMETERS",),
        {},
        kinds=("media",),
    ),
    Option(
        "file_overwrite",
        "Whether a file replaces another one of its name. Uploads of two users can then collide.",
        ("AWS_S3_FILE_OVERWRITE",),
        default=False,
        kinds=("media",),
    ),
    Option(
        "conditional_writes",
        "Whether the server obeys `If-None-Match`, as S3 does. Without, a HEAD asks whether a name that code chose is"
        " free. `manage.py s3 doctor` says when to turn it off.",
        ("AWS_CONDITIONAL_WRITES",),
        default=True,
        kinds=("media",),
    ),
    Option(
        "direct_uploads",
        "Whether browsers may send files straight to the bucket, with `s3kit.uploads`. Without, its forms send"
        " them through the site.",
        ("AWS_DIRECT_UPLOADS",),
        default=True,
        kinds=("media",),
    ),
    Option(
        "max_age",
        "How long browsers and CDNs may keep a public file, in seconds: 0 to 31536000 (a year). A deleted or"
        " replaced file can be seen that long. Private files are kept as long as their links are valid.",
        ("AWS_MEDIA_MAX_AGE",),
        MAX_AGE,
        kinds=("media",),
    ),
    Option(
        "named_max_age",
        "How long browsers and CDNs may keep a file whose name your code chose, such as a thumbnail, in seconds: 0"
        " (they ask each time) to 31536000. Another file of that name is seen only after that.",
        ("AWS_MEDIA_NAMED_MAX_AGE",),
        0,
        kinds=("media",),
    ),
    Option(
        "max_memory_size",
        "From how many bytes on a file that is read is kept on disk: FILE_UPLOAD_MAX_MEMORY_SIZE.",
        ("AWS_S3_MAX_MEMORY_SIZE",),
        kinds=("media",),
    ),
    Option(
        "versioning",
        "Whether the bucket keeps the versions of files that are overwritten or deleted.",
        (),
        default=False,
        kinds=("media",),
    ),
)


@dataclass(frozen=True)
class Rejection:
    """An option of django-storages' that is rejected, unless `accepts` says that its value changes nothing.

    `instead` is the sentence that says what to do. `of_media` says that its shared setting is about uploads, and
    that static storages pass over it.
    """

    name: str
    settings: tuple[str, ...]
    instead: str
    accepts: Callable[[Any, Mapping[str, Any]], bool] = lambda _value, _options: False
    of_media: bool = False


def _addressing(value: Any, options: Mapping[str, Any]) -> bool:
    return value in ("auto", "path" if options.get("endpoint_url") else "virtual")


# They belong together: an entry that has one of them takes none from the shared settings.
CREDENTIALS = ("access_key", "secret_key", "security_token", "session_profile")

REJECTIONS = (
    Rejection(
        "querystring_auth",
        ("AWS_QUERYSTRING_AUTH",),
        "Links are signed where access is 'private': set access, and leave this out.",
        lambda value, options: bool(value) == (options.get("access") == "private"),
        of_media=True,
    ),
    Rejection(
        "default_acl",
        ("AWS_DEFAULT_ACL",),
        "No ACL is sent unless access is 'public-read': set access, and leave this out.",
        lambda value, options: not value or value == options.get("access") == "public-read",
        of_media=True,
    ),
    Rejection(
        "gzip",
        ("AWS_IS_GZIPPED",),
        "Uploads are stored as they are, and collectstatic compresses static files: leave this out.",
        lambda value, _options: not value,
    ),
    Rejection(
        "gzip_content_types", ("GZIP_CONTENT_TYPES",), "collectstatic compresses every text: leave this out."
    ),
    Rejection(
        "signature_version",
        ("AWS_S3_SIGNATURE_VERSION",),
        "Requests are signed with s3v4, which every region takes: leave this out.",
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
        "Addresses begin with https, or as endpoint_url does: leave this out.",
        lambda value, _options: value == "https:",
    ),
    Rejection(
        "use_ssl",
        ("AWS_S3_USE_SSL",),
        "For plain http, set endpoint_url to an address that begins with http://.",
        lambda value, _options: value is True,
    ),
    Rejection(
        "verify",
        ("AWS_S3_VERIFY",),
        "Certificates are always verified: name the authority's in the environment, as AWS_CA_BUNDLE.",
        lambda value, _options: value is True,
    ),
    Rejection(
        "proxies", ("AWS_S3_PROXIES",), "Name the proxy in the environment, as HTTPS_PROXY and NO_PROXY."
    ),
    Rejection(
        "client_config",
        ("AWS_S3_CLIENT_CONFIG",),
        "The library makes one configuration for all clients: leave this out.",
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
        "Names are UTF-8, as S3's are: leave this out.",
        lambda value, _options: str(value).lower() in {"utf-8", "utf8"},
    ),
    Rejection("cloudfront_signer", (), "Set cloudfront_key_id and cloudfront_key."),
)


# "User-defined tags", AWS Billing User Guide, and the S3 API Reference, "PutBucketTagging".
_TAG = re.compile(r"[\w +\-=.:/@]*")
MAX_TAGS = 50


def tags(value: Any) -> tuple[tuple[str, str], ...]:
    """Return a bucket's tags, sorted; raise ImproperlyConfigured where S3 would reject them."""
    if not isinstance(value, Mapping) or len(value) > MAX_TAGS:
        raise ImproperlyConfigured(
            f"The option 'bucket_tags' is {_shown(value)}: set it to a dict of at most {MAX_TAGS} texts, as in"
            " {'CostCenter': '1234'}."
        )
    for name, each in value.items():
        if not (isinstance(name, str) and isinstance(each, str)):
            raise ImproperlyConfigured(
                f"The tag {name!r} of 'bucket_tags' is {each!r}: both have to be texts."
            )
        if not (0 < len(name) <= 128 and len(each) <= 256 and _TAG.fullmatch(name + each)):
            raise ImproperlyConfigured(
                f"The tag {_shown(name)} of 'bucket_tags' is {_shown(each)}: a key has 1 to 128 characters and a value"
                " at most 256, which are letters, digits, spaces and + - = . _ : / @."
            )
        if name.lower().startswith("aws:"):
            raise ImproperlyConfigured(f"The tag {name!r} of 'bucket_tags' is AWS's own: choose another key.")
    return tuple(sorted(value.items()))


def known(kind: Kind) -> dict[str, Option]:
    """Return the options that a kind of storage obeys, by name."""
    return {option.name: option for option in OPTIONS if kind in option.kinds}


def resolved(kind: Kind, cls: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return each option's value for a storage: from OPTIONS, the class, a shared setting, or the default.

    Texts are stripped; a blank one counts as unset. None in OPTIONS stands for the default, so that an entry
    can do without what the others share.
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
    """Yield a sentence for each option that is given and not obeyed."""
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
            why = f"only {other.kinds[0]} storages have it" if other else "there is no such option"
            yield f"the option {name!r} is not supported: {why}."


def _own(cls: type, name: str) -> Any:
    """Return an attribute that a subclass of the library's storage sets, not one that it inherits."""
    for each in cls.__mro__:
        if each.__module__.startswith(("s3kit.", "storages.", "django.")):
            return None
        if name in vars(each):
            return vars(each)[name]
    return None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
