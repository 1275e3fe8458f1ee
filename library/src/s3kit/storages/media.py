"""The storage for uploads: access, names, caching, and content types.

django-storages transfers the bytes. This module decides:

- Access. `private`: no ACL, signed links. `public-read`: the canned ACL on each object, plain links.
  `public-policy`: no ACL, plain links; the bucket policy makes objects public.
- Names. A user's file name gets 65 random bits: no upload overwrites another, nobody can guess a URL, and S3 needn't
  be asked whether the name is free. A name that code chose stays as it is if it is free, which S3 ensures with
  `If-None-Match: *`; otherwise it gets a random part too.
- Caching. The content under a unique name never changes; the content under a name that code chose can.
- Content types. They depend on the extension only: a browser can declare any type, and S3 would serve it.
"""

import hashlib
import logging
import posixpath
import re
import secrets
import threading
import time
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

import boto3
import botocore.session
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import UploadedFile
from django.core.files.utils import FileProxyMixin, validate_file_name
from django.utils.deconstruct import deconstructible
from storages.backends.s3 import S3Storage
from storages.utils import clean_name

from s3kit import clients, errors
from s3kit.options import LINKS, MAX_AGE
from s3kit.storages import cloudfront, signing, types
from s3kit.storages.base import OnS3
from s3kit.storages.names import ChosenName, Stored, UniqueName

logger = logging.getLogger(__name__)

MAX_KEY = 1024  # bytes of UTF-8 including the prefix: S3's limit

# One part of 8 MiB at a time, in the request's thread: 9 MiB of memory for a file of any size. boto3's ten threads
# take 110 MiB, are no faster in a data center, and cost 3 ms for each small file.
_TRANSFER = TransferConfig(use_threads=False, preferred_transfer_client="classic")

# django-storages' own options. Most have no effect: clients come from `s3kit.clients`, and this module signs links.
_FIXED: dict[str, Any] = {
    "client_config": Config(),
    "transfer_config": _TRANSFER,
    "use_threads": True,
    "gzip": False,
    "gzip_content_types": (),
    "file_name_charset": "utf-8",
    "url_protocol": "https:",
}

# Lower case without i, l, o, and u: 32 characters of 5 bits, none of which looks like another.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_UNIQUE_LENGTH = 13

_EXTENSION = re.compile(r"(?:\.tar)?\.[a-z0-9]{1,16}$", re.IGNORECASE | re.ASCII)

# Parameters that a link may have: boto3's names and S3's.
LINK_PARAMETERS = {
    "ResponseCacheControl": "response-cache-control",
    "ResponseContentDisposition": "response-content-disposition",
    "ResponseContentEncoding": "response-content-encoding",
    "ResponseContentLanguage": "response-content-language",
    "ResponseContentType": "response-content-type",
    "ResponseExpires": "response-expires",
    "VersionId": "versionId",
}

_lock = threading.Lock()


@deconstructible(path="s3kit.storages.MediaStorage")
class MediaStorage(OnS3, S3Storage):  # type: ignore[misc]
    """A Django storage for uploads, below one prefix of a bucket; all names are relative to the prefix.

    Options: bucket_name, location ("media/"), access ("private"), custom_domain, querystring_expire (3600 seconds), and
    the others that `s3kit.options` lists. They are read when the storage is created, and again when a test overrides a
    setting. Raises ImproperlyConfigured if an option is invalid or options contradict each other.
    """

    kind = "media"

    def __init__(self, **given: Any) -> None:
        self._begin(given)
        super().__init__()

    def get_default_settings(self) -> dict[str, Any]:
        """Return django-storages' options without reading its settings and environment variables: see `_apply`."""
        return dict.fromkeys(super().get_default_settings()) | _FIXED

    def _apply(self, values: dict[str, Any]) -> None:
        here = self._location
        self.access, self.bucket_name, self.location = here.access, here.bucket, here.prefix
        self.custom_domain, self.querystring_expire = here.custom_domain, here.expire
        self.querystring_auth = here.is_private
        self.default_acl = "public-read" if here.access == "public-read" else None
        self.region_name, self.endpoint_url = here.target.region, here.target.endpoint
        self.object_parameters = dict(values["object_parameters"])
        self.file_overwrite = bool(values["file_overwrite"])
        known = here.target.provider.conditional_writes
        self.conditional_writes = bool(values["conditional_writes"]) and known is not False
        self.direct_uploads = here.direct_uploads
        self.max_age, self.named_max_age = values["max_age"], values["named_max_age"]
        for option in ("max_age", "named_max_age"):
            if type(values[option]) is not int or not 0 <= values[option] <= MAX_AGE:
                raise ImproperlyConfigured(
                    f"The option {option!r} is {values[option]!r}: set it to 0 to {MAX_AGE} seconds."
                )
        self.types = types.resolved(values["inline_types"], values["content_types"])
        self.links = links_option(values["links"], here.access)
        # A larger file that is read goes to disk; django-storages' default keeps every file in memory.
        limit = values["max_memory_size"]
        self.max_memory_size = settings.FILE_UPLOAD_MAX_MEMORY_SIZE if limit is None else limit
        self.cloudfront_pair = (str(values["cloudfront_key_id"]), str(values["cloudfront_key"]))
        self._cloudfront = self.cloudfront_pair if self.querystring_auth and self.custom_domain else None

    @property
    def connection(self) -> Any:
        """Return a boto3 resource that uses the process's shared client.

        Threads may share a client but not a resource. django-storages creates a session, a client, and a connection
        pool for each thread, which takes 75 ms and 13 MiB; here only the resource is new.
        """
        shared = clients.web(self.target)
        with _lock:
            resource = _resource_class(shared)
        return resource(client=shared)

    @property
    def bucket(self) -> Any:
        """Return the boto3 resource of the bucket."""
        return self.connection.Bucket(self.named_bucket)

    # Names

    def get_valid_name(self, name: str) -> str:
        """Return a user's file name with characters that are unsafe in paths and links replaced; keep the extension.

        Letters, marks, and digits of every script stay, in NFC: transliteration would drop most of them. Each run of
        spaces and other characters becomes an underscore; leading dots are removed.
        """
        base = unicodedata.normalize("NFC", str(name)).replace("\\", "/").rsplit("/", 1)[-1]
        safe = "".join(
            c if c.isalnum() or unicodedata.category(c)[0] == "M" or c in ".-" else "_" for c in base.strip()
        )
        safe = re.sub(r"_{2,}", "_", re.sub(r"\.{2,}", ".", safe)).rstrip("._-")
        root, extension = _split(safe)
        return (root.strip("._-") or "file") + extension

    def get_alternative_name(self, file_root: str, file_ext: str) -> str:
        """Return the name with 13 random characters before its extension: photo-7k2m0a9xw4pqz.jpg."""
        unique = "".join(secrets.choice(_ALPHABET) for _ in range(_UNIQUE_LENGTH))
        return f"{file_root}-{unique}{file_ext}"

    def generate_filename(self, filename: str) -> str:
        """Return a user's file name with a random part, as a UniqueName for save(); with file_overwrite, a plain name.

        The key has at most MAX_KEY bytes: the user's part is truncated, never the random part or the extension. Raises
        SuspiciousFileOperation for `..`, or if no space is left for the user's part.
        """
        name = str(super().generate_filename(filename)).replace("\\", "/")
        return name if self.file_overwrite else self._unique(name)

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """Return the name if it is free and has at most `max_length` characters, else a UniqueName.

        Makes a request to S3, unless the name is a UniqueName or comes from save(), or file_overwrite is on. Raises
        SuspiciousFileOperation for an absolute name, for `..`, or if the name doesn't fit.
        """
        if self.file_overwrite:
            return str(super().get_available_name(name, max_length))
        if not isinstance(name, UniqueName | ChosenName):
            name = str(name).replace("\\", "/")
        validate_file_name(name, allow_relative_path=True)
        too_long = max_length is not None and len(name) > max_length
        if isinstance(name, UniqueName):
            return self._unique(name.asked, max_length) if too_long or name.is_stored else name
        if too_long or (not isinstance(name, ChosenName) and self.exists(name)):
            return self._unique(name, max_length)
        return name

    def _unique(self, name: str, max_length: int | None = None) -> UniqueName:
        """Return the name with a random part, truncated to fit."""
        self._normalize_name(clean_name(name), check=False)  # raises if the name can't be encoded
        folder, file_name = posixpath.split(name)
        root, extension = _split(file_name)
        bare = posixpath.join(folder, self.get_alternative_name("", extension))
        room = MAX_KEY - len(self._normalize_name(clean_name(bare), check=False).encode())
        if max_length is not None:
            root = root[: max(max_length - len(bare), 0)]
        root = _cut(root, max(room, 0)).rstrip("._-")
        if not root:
            raise SuspiciousFileOperation(
                f"A name for {file_name[:40]!r} does not fit into {max_length} characters and {MAX_KEY} bytes:"
                " give the file field a greater max_length or a shorter upload_to."
            )
        return UniqueName(posixpath.join(folder, self.get_alternative_name(root, extension)), name)

    def _normalize_name(self, name: str, *, check: bool = True) -> str:
        """Return the key of a name; raise SuspiciousFileOperation if it is outside `media/` or too long for S3."""
        try:
            # An empty name is the folder itself, for listdir; an absolute name is outside it.
            key = posixpath.normpath(posixpath.join(self.location, name))
            if name.endswith("/") or not name:
                key += "/"
            size = len(key.encode())
        except ValueError:
            raise SuspiciousFileOperation(f"The file name {name!r} can't be encoded in UTF-8.") from None
        if not key.startswith(f"{self.location.rstrip('/')}/"):
            raise SuspiciousFileOperation(f"The file name {name!r} is outside of {self.location!r}.")
        if check and size > MAX_KEY:
            raise SuspiciousFileOperation(f"The file name {name[:40]!r}... exceeds S3's {MAX_KEY} bytes.")
        return key

    def key(self, name: str) -> str:
        """Return the key of a name.

        Raises SuspiciousFileOperation if the key is outside `media/`, too long for S3, or can't be encoded in UTF-8.
        """
        return self._normalize_name(clean_name(name))

    # Writing

    def save(self, name: str | None, content: Any, max_length: int | None = None) -> str:
        """Store the content and return its final name, of at most `max_length` characters.

        A user's file name gets a random part: a name from generate_filename() (every FileField's), the content's own
        name if `name` is None, or an uploaded file's name if it is saved under that. Any other name stays as it is if
        it is free. With file_overwrite, all names stay as they are, and an existing file is replaced.

        If the browser has already sent the file to this storage, only its name is returned.

        Raises SuspiciousFileOperation for an absolute name, for `..`, and for a name that is too long for S3.
        """
        if isinstance(content, Stored) and (there := content.accept(self, max_length)):
            return there
        if name is None:
            name, is_users = content.name, True
        else:
            is_users = _is_users_name(content, self, name)
        if not self.file_overwrite and not isinstance(name, UniqueName):
            validate_file_name(name, allow_relative_path=True)
            chosen = ChosenName(str(name).replace("\\", "/"), max_length)
            name = self.generate_filename(chosen) if is_users else chosen
        stored = str(super().save(name, content, max_length=max_length))
        if isinstance(name, UniqueName):
            name.is_stored = True
        return stored

    def _save(self, name: str, content: Any) -> str:
        if isinstance(content.read(0), str):
            # s3transfer takes the length of a text in characters but sends bytes, so the request would fail.
            content.seek(0)
            content = ContentFile(content.read().encode(), name=content.name)
        with clients.in_turn(), self._explain_acl_errors():
            if self.file_overwrite or isinstance(name, UniqueName):
                return self._send(name, content)
            return self._create(name, content)

    def _send(self, name: str, content: Any) -> str:
        """Store a file, replacing any that exists."""
        if _is_seekable(content):
            content.seek(0)
        self.connection.meta.client.upload_fileobj(
            _NeverClosed(content),
            self.named_bucket,
            self.key(name),
            ExtraArgs=self._put_arguments(name, content),
            Config=self.transfer_config,
        )
        return str(clean_name(str(name)))

    def _create(self, name: str, content: Any) -> str:
        """Store a file under its name if that is free, else under a unique name."""
        # A multipart upload learns only at its end that the name is taken, and s3transfer accepts no condition.
        size = getattr(content, "size", None) if _is_seekable(content) else None
        in_parts = size is None or size >= self.transfer_config.multipart_threshold
        if in_parts or not self.conditional_writes:
            return self._send(self._unique_if_taken(name), content)
        content.seek(0)
        body = content.read()
        client = self.connection.meta.client
        put = partial(client.put_object, Bucket=self.named_bucket, Key=self.key(name), Body=body)
        for again in (True, False):
            try:
                put(IfNoneMatch="*", **self._put_arguments(name, content))
            except ClientError as error:
                if errors.is_taken(error):
                    if again and _status(error) == 409:  # a concurrent upload of the same name
                        continue
                    if not self._is_repeated(error, name, body):
                        return self._send(self._alternative(name), content)
                elif errors.is_not_implemented(error) or _status(error) == 400:
                    stored = self._send(self._unique_if_taken(name), content)
                    self.conditional_writes = False
                    logger.warning(
                        "%s rejects If-None-Match (%s). From now on, HEAD requests check whether names are free. Set"
                        " the storage's option 'conditional_writes' to False.",
                        self.target.endpoint or "S3",
                        errors.code(error),
                    )
                    return stored
                else:
                    raise
            break
        return str(clean_name(str(name)))

    def _is_repeated(self, error: ClientError, name: str, body: bytes) -> bool:
        """Return whether an earlier attempt of this request has stored the file and its response was lost."""
        if not error.response["ResponseMetadata"].get("RetryAttempts"):
            return False
        try:
            there = self.connection.meta.client.head_object(Bucket=self.named_bucket, Key=self.key(name))
        except ClientError:
            return False
        return bool(there["ETag"].strip('"') == hashlib.md5(body, usedforsecurity=False).hexdigest())

    def _unique_if_taken(self, name: str) -> str:
        return self._alternative(name) if self.exists(name) else name

    def _alternative(self, name: str) -> UniqueName:
        return self._unique(name, name.max_length if isinstance(name, ChosenName) else None)

    @contextmanager
    def _explain_acl_errors(self) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            if code == "AccessControlListNotSupported":
                raise ImproperlyConfigured(
                    f"The option 'access' is 'public-read', but bucket {self.bucket_name!r} has ACLs disabled"
                    " (AccessControlListNotSupported): enable ACLs on the bucket, or choose public-policy."
                ) from error
            if code == "AccessDenied" and self.default_acl:
                error.add_note(
                    f"The option 'access' is 'public-read': bucket {self.bucket_name!r} may block public ACLs"
                    " (BlockPublicAcls), or the access key may lack the permission s3:PutObjectAcl."
                )
            raise

    def _put_arguments(self, name: str, content: Any) -> dict[str, Any]:
        key = self.key(name)
        return self._get_write_parameters(
            UniqueName(key, name.asked) if isinstance(name, UniqueName) else key, content
        )

    def _get_write_parameters(self, name: str, content: Any = None) -> dict[str, Any]:
        """Return the headers of an upload; those that a subclass returns from get_object_parameters() win."""
        kind = _split(name)[1].rpartition(".")[2].lower()
        content_type, disposition = self.types.of(kind)
        parameters: dict[str, Any] = {
            "ContentType": content_type or self.default_content_type,
            "ContentDisposition": _disposition(disposition, _shown_name(name, content)),
            "CacheControl": self._cache_control(is_unique=isinstance(name, UniqueName)),
        }
        if self.default_acl:
            parameters["ACL"] = self.default_acl
        parameters.update(self.get_object_parameters(name))
        return parameters

    def write_parameters(self, name: str, content: Any = None) -> dict[str, Any]:
        """Return boto3's arguments for storing a file of this name: its headers, and its ACL if it has one.

        A UniqueName gets a long cache lifetime. `content` is the uploaded content; an UploadedFile has the user's name
        for the file.
        """
        return self._get_write_parameters(name, content)

    def _cache_control(self, *, is_unique: bool) -> str:
        # CloudFront checks the signature before it serves from its cache, and doesn't cache "private" responses. A link
        # to S3 itself is for one browser.
        scope = ("" if self.custom_domain else "private, ") if self.querystring_auth else "public, "
        life = self.querystring_expire if self.querystring_auth else MAX_AGE
        if is_unique and not self.file_overwrite:
            # The name is never reused, so a cached file is never stale. But a deleted file stays in caches.
            return f"{scope}max-age={life if self.querystring_auth else self.max_age}, immutable"
        return f"{scope}max-age={min(self.named_max_age, life)}" if self.named_max_age else "no-cache"

    def delete(self, name: str) -> None:
        """Delete the file; does nothing if it doesn't exist."""
        if not name:
            raise ValueError("delete() needs the name of a file, not an empty string.")
        super().delete(name)

    # Reading

    def get_modified_time(self, name: str) -> Any:
        """Return when the file was stored: an aware datetime with USE_TZ, else a naive one in the local time zone."""
        try:
            return super().get_modified_time(name)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                raise FileNotFoundError(f"File does not exist: {name}") from error
            raise

    def url(
        self,
        name: str,
        parameters: Mapping[str, str] | None = None,
        expire: int | None = None,
        http_method: str | None = None,
    ) -> str:
        """Return the URL of a file for a browser, according to the option `links`. Makes no request.

        With "site" it is `lasting_url()`, with "cookies" the plain URL on the CDN. With "signed", or with further
        arguments, it is `signed_url()`, which takes the same arguments.
        """
        if parameters is None and expire is None and http_method is None:
            if self.links == "site":
                return self.lasting_url(name)
            if self.links == "cookies" and self._cloudfront:
                return self._key_url(self.key(name))
        return self.signed_url(name, parameters, expire, http_method)

    def lasting_url(self, name: str) -> str:
        """Return a URL on the site that never expires and redirects to the file: see `s3kit.links`.

        Raises ImproperlyConfigured if the URLconf has no such URL for this storage.
        """
        from s3kit import links

        return links.address(self, self.key(name).removeprefix(self.location))

    def signed_url(
        self,
        name: str,
        parameters: Mapping[str, str] | None = None,
        expire: int | None = None,
        http_method: str | None = None,
    ) -> str:
        """Return a link to a file, signed if access is private. Makes no request.

        `parameters` are boto3's for GetObject: ResponseContentDisposition and similar, and VersionId; S3 accepts all
        but VersionId on signed links only. `expire` is in seconds, querystring_expire by default; at least half of it
        is left when the link is returned. `http_method` is the method that the link allows, GET by default. Raises
        ValueError for parameters or an `expire` that S3 would reject.
        """
        key = self.key(name)
        query = self._link_parameters(parameters) if parameters else {}
        url = self._key_url(key)
        if self.querystring_auth:
            life: int = self.querystring_expire if expire is None else expire
            at = signing.window_start(time.time(), life, key)
            if not self._cloudfront:
                target = self.target
                return signing.presign(
                    url,
                    clients.credentials(target),
                    region=target.region,
                    at=at,
                    expires=life,
                    parameters=query,
                    method=http_method or "GET",
                )
        if query:
            url += "?" + urlencode(query, quote_via=quote, safe="")
        if not self._cloudfront:
            return url
        try:
            return cloudfront.signed(*self._key_pair(), url, at + life)
        except ValueError as error:
            raise ImproperlyConfigured(str(error)) from None

    def seconds_left(self, name: str) -> int:
        """Return the minimum number of seconds for which a link that `signed_url()` returns now works.

        With a role's credentials a link can end before its signature expires: botocore renews them 10 minutes before
        they expire.
        """
        life: int = self.querystring_expire
        now = time.time()
        left = int(signing.window_start(now, life, self.key(name)) + life - now)
        of_session = not self._cloudfront and clients.credentials(self.target).token
        return min(left, 600) if of_session else left

    def signed_cookies(self) -> dict[str, str]:
        """Return the cookies that let a browser read all files of this storage from CloudFront.

        They are valid for `querystring_expire` seconds, at least half of which is left when they are returned. Raises
        ImproperlyConfigured without CloudFront, or without its key.
        """
        if not self._cloudfront:
            raise ImproperlyConfigured(
                f"{self._called} has no signed cookies: set access to 'private', and custom_domain."
            )
        life: int = self.querystring_expire
        resource = self._key_url(self.location)
        ends = signing.window_start(time.time(), life, resource) + life
        try:
            return dict(cloudfront.signed_cookies(*self._key_pair(), f"{resource}*", ends))
        except ValueError as error:
            raise ImproperlyConfigured(str(error)) from None

    def _key_pair(self) -> tuple[str, str]:
        if not all(self.cloudfront_pair):
            raise ImproperlyConfigured(
                "A custom_domain with private access needs CloudFront signatures: set cloudfront_key_id"
                " and cloudfront_key (AWS_CLOUDFRONT_KEY_ID and AWS_CLOUDFRONT_KEY)."
            )
        return self.cloudfront_pair

    def plain_url(self, name: str) -> str:
        """Return the URL of a file without a signature, on the custom domain if there is one.

        An empty name, or one that ends in a slash, is a folder.
        """
        return self._key_url(self._normalize_name(clean_name(name)))

    def _key_url(self, key: str) -> str:
        if self.custom_domain:
            return f"https://{self.custom_domain}/{quote(key, safe='/~')}"
        return clients.object_url(self.target, self.named_bucket, key)

    def _link_parameters(self, parameters: Mapping[str, str]) -> dict[str, str]:
        if unknown := [name for name in parameters if name not in LINK_PARAMETERS]:
            raise ValueError(f"A link accepts {', '.join(LINK_PARAMETERS)}, not {', '.join(unknown)}.")
        if not self.querystring_auth and (rejected := [name for name in parameters if name != "VersionId"]):
            raise ValueError(
                f"S3 accepts {', '.join(rejected)} on signed links only, and access is {self.access!r}."
            )
        if self.links == "cookies" and self._cloudfront:
            raise ValueError(
                f"With links 'cookies', URLs have no query string, so they can't have {', '.join(parameters)}:"
                " use a storage with signed links."
            )
        return {LINK_PARAMETERS[name]: _override(name, str(value)) for name, value in parameters.items()}


class _NeverClosed(FileProxyMixin):
    """A file that s3transfer does not close (boto/s3transfer#80)."""

    closed = False  # Django treats a file without a name as closed

    def __init__(self, file: Any) -> None:
        self.file = file

    def readable(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Do nothing."""


def _is_seekable(content: Any) -> bool:
    return not hasattr(content, "seekable") or bool(content.seekable())


def _is_users_name(content: Any, storage: MediaStorage, name: str) -> bool:
    """Return whether a name is the user's own file name, before or after get_valid_name()."""
    if not isinstance(content, UploadedFile) or not content.name:
        return False
    return storage.get_valid_name(name) == storage.get_valid_name(content.name)


def _status(error: ClientError) -> int:
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])


def _split(name: str) -> tuple[str, str]:
    """Return a name's root and its extension with the dot; `.tar.gz` is one, a long or non-ASCII one isn't."""
    found = _EXTENSION.search(name)
    return (name[: found.start()], found.group()) if found else (name, "")


def _cut(text: str, size: int) -> str:
    """Return a text truncated to at most `size` bytes of UTF-8."""
    return text.encode()[:size].decode(errors="ignore")


def _shown_name(name: str, content: Any) -> str:
    """Return the name for the download: the user's own file name if it still has the same extension."""
    root, extension = _split(posixpath.basename(name))
    if isinstance(content, UploadedFile) and content.name:
        # Remove control characters, and those that reverse the text direction to disguise an extension.
        original = "".join(
            c for c in unicodedata.normalize("NFC", content.name) if c.isprintable() and c not in '"/\\'
        )
        original_root, original_extension = _split(original.strip())
        if original_root.strip(" .") and original_extension.lower() == extension.lower():
            return _cut(original_root.strip(" ."), 240) + original_extension
    if isinstance(name, UniqueName):
        root = _split(posixpath.basename(name.asked))[0]
    # Only the name of a file that wasn't uploaded can have unprintable characters.
    return _cut("".join(c for c in root if c.isprintable()), 240) + extension


def _disposition(kind: str, name: str) -> str:
    """Return a Content-Disposition header (RFC 6266): an ASCII name, and the real name in RFC 5987's encoding.

    S3 allows at most 2 KB of system metadata, so `name` must be short: 240 bytes become up to 720.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    root, extension = _split(re.sub(r'["\\%;]', "_", plain))
    plain = (root.strip(" .") or "file") + extension
    encoded = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'{kind}; filename="{plain}"{encoded}'


_FILE_NAME = re.compile(
    r'([\w!#$&+.^`|~-]+)\s*;\s*filename\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))', re.ASCII
)


def _override(name: str, value: str) -> str:
    """Return the value of a response header that a link sets, in ASCII; file names are encoded.

    S3 responds with 400 to characters outside ISO-8859-1, and browsers guess the encoding of what is not ASCII. Raises
    ValueError for a value that is neither ASCII nor a disposition with a plain file name, and for control characters.
    """
    if value.isascii() and value.isprintable():
        return value
    found = _FILE_NAME.fullmatch(value.strip()) if name == "ResponseContentDisposition" else None
    if found is None or any(unicodedata.category(c) == "Cc" for c in value):
        raise ValueError(
            f"{name} is {value[:60]!r}, which can't be sent as a header: use printable ASCII only, except in the"
            ' file name of attachment; filename="...".'
        )
    kind, quoted, bare = found.groups()
    file_name = re.sub(r"\\(.)", r"\1", quoted) if bare is None else bare
    spaced = (" " if unicodedata.category(c) == "Zs" else c for c in unicodedata.normalize("NFC", file_name))
    # Characters that reverse the text direction can disguise an extension.
    file_name = "".join(c for c in spaced if c.isprintable())
    return _disposition(kind, file_name) if file_name else str(kind)


def links_option(value: Any, access: str) -> str:
    """Return the option `links`; raise ImproperlyConfigured if it is invalid or doesn't fit the access."""
    if value not in LINKS:
        raise ImproperlyConfigured(f"The option 'links' is {value!r}: choose one of {', '.join(LINKS)}.")
    if value != "signed" and access != "private":
        raise ImproperlyConfigured(
            f"The option 'links' is {value!r}, but with access {access!r} links are plain and never expire: remove the"
            " option 'links'."
        )
    return str(value)


class _SharingSession(boto3.Session):  # type: ignore[misc]
    """A session that creates resources with a given client; boto3's creates a new client."""

    def __init__(self, shared: Any) -> None:
        # Ignore the environment's AWS_PROFILE, which may not exist.
        core = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
        super().__init__(botocore_session=core)
        self._shared = shared

    def client(self, *_args: Any, **_kwargs: Any) -> Any:
        return self._shared


_resource_classes: list[Any] = []


def _resource_class(shared: Any) -> Any:
    """Return the class of boto3's S3 resource; all clients share it."""
    if not _resource_classes:
        _resource_classes.append(type(_SharingSession(shared).resource("s3")))
    return _resource_classes[0]
