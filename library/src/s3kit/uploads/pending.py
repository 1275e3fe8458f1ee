"""Objects that browsers send straight to S3: signing the browser's requests, and the server's own requests.

The objects are stored under `pending/`, where they expire, until `s3kit.uploads.acceptance` accepts them. All calls
have time limits suitable for a web request, and raise boto3's errors.

Sources: Amazon S3 API reference, "Authenticating Requests: Using Query Parameters", "PutObject", and "CopyObject"; S3
User Guide, "Amazon S3 multipart upload limits" and "Conditional writes".
"""

import io
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from s3kit import clients, encryption, errors
from s3kit.deployment import Target
from s3kit.storages import signing

LINK_LIFE = 3600  # seconds within which the browser must start to send a file or a part

READ_BLOCK = 2**20  # bytes
# AWS copies about 100 MB/s per request, so 8 concurrent requests copy 2 GiB in a few seconds. Other servers may read
# the whole object for each part, as the local S3 server does, so they get a single request up to S3's limit.
COPY_FROM = COPY_PART = 64 * 2**20
COPIES = 8
COPY_MOST = 5 * 2**30

# The calls raise these if S3 denies a request or doesn't respond, or if the server is not S3.
FAILURES = (BotoCoreError, ClientError, ResponseParserError)


def code_of(error: ClientError) -> str:
    """Return S3's error code, or "" for a server that sends none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def takes_conditions(target: Target) -> bool:
    """Return whether PutObject is known to support "If-None-Match", to which some other servers respond with 501."""
    return target.provider.conditional_writes is True


@dataclass(frozen=True)
class Pending:
    """An object that a browser sends, or the multipart upload for it."""

    target: Target
    bucket: str
    key: str
    upload_id: str = ""

    @property
    def _bucket(self) -> dict[str, str]:
        return {"Bucket": self.bucket} | clients.owner_arguments(self.target)

    @property
    def named(self) -> dict[str, str]:
        """Return boto3's arguments for the object."""
        return self._bucket | {"Key": self.key}

    @property
    def _upload(self) -> dict[str, str]:
        return self.named | {"UploadId": self.upload_id}

    def signed_put(self, content_type: str, size: int) -> tuple[str, dict[str, str]]:
        """Return the URL to PUT a whole file of this type and exactly this size to, and the headers to send.

        The request must start within LINK_LIFE seconds. On AWS the URL can be used once: "If-None-Match" prevents it
        from creating more versions in a versioned bucket.
        """
        headers = {"content-type": content_type}
        if takes_conditions(self.target):
            headers["if-none-match"] = "*"
        headers |= encryption.headers(self.target.encryption)
        return self._signed(headers, size, {}), headers

    def signed_part(self, number: int, size: int) -> str:
        """Return the URL to PUT a part of exactly this size to; the request must start within LINK_LIFE seconds."""
        return self._signed({}, size, {"partNumber": str(number), "uploadId": self.upload_id})

    def _signed(self, headers: Mapping[str, str], size: int, parameters: Mapping[str, str]) -> str:
        return signing.presign(
            clients.object_url(self.target, self.bucket, self.key),
            clients.credentials(self.target),
            region=self.target.region,
            at=int(time.time()),
            expires=LINK_LIFE,
            parameters=parameters,
            headers={"content-length": str(size), **headers},
            method="PUT",
        )

    def begin(self, content_type: str) -> str:
        """Start a multipart upload and return its ID."""
        begun = clients.web(self.target).create_multipart_upload(**self.named, ContentType=content_type)
        return str(begun["UploadId"])

    def head(self) -> dict[str, Any] | None:
        """Return S3's response to a HEAD request, or None if there is no object."""
        try:
            return dict(clients.web(self.target).head_object(**self.named))
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise

    def parts(self, sizes: Mapping[int, int]) -> dict[int, str] | None:
        """Return the ETags, by number, of the parts that S3 has with the given sizes.

        Returns None if the upload was completed or aborted.
        """
        pages = clients.web(self.target).get_paginator("list_parts").paginate(**self._upload)
        try:
            return {
                part["PartNumber"]: part["ETag"]
                for page in pages
                for part in page.get("Parts", [])
                if sizes.get(part["PartNumber"]) == part["Size"]
            }
        except ClientError as error:
            if code_of(error) == "NoSuchUpload":
                return None
            raise

    def complete(self, etags: Mapping[int, str]) -> None:
        """Complete the multipart upload."""
        _complete(clients.working(self.target), self._upload, etags)

    def remove(self) -> None:
        """Abort the upload and delete the object. Neither has to exist."""
        if self.upload_id:
            self.abort()
        clients.web(self.target).delete_object(**self.named)

    def abort(self) -> None:
        """Abort the multipart upload. It doesn't have to exist."""
        try:
            clients.web(self.target).abort_multipart_upload(**self._upload)
        except ClientError as error:
            # Not `except s3.exceptions.NoSuchUpload`: boto3 may create that class twice in concurrent threads.
            if code_of(error) != "NoSuchUpload":
                raise

    def copy(
        self,
        key: str,
        *,
        etag: str,
        size: int,
        parameters: Mapping[str, Any],
        begun: Callable[[str], None],
    ) -> None:
        """Copy the object to a key if it still has this ETag. `parameters` are boto3's for the new object.

        Large objects are copied in several parts at once, and `begun` is called with the ID of the multipart upload. If
        the copy fails, the multipart upload is aborted.
        """
        s3, target = clients.working(self.target), self._bucket | {"Key": key}
        source: dict[str, Any] = {
            "CopySource": {"Bucket": self.bucket, "Key": self.key},
            "CopySourceIfMatch": etag,
        }
        if owner := target.get("ExpectedBucketOwner"):
            source["ExpectedSourceBucketOwner"] = owner
        if size <= (COPY_MOST if self.target.endpoint else COPY_FROM):
            s3.copy_object(**target, **source, **parameters, MetadataDirective="REPLACE")
            return
        upload = target | {"UploadId": s3.create_multipart_upload(**target, **parameters)["UploadId"]}

        def copy_part(start: int) -> str:
            wanted = f"bytes={start}-{min(start + COPY_PART, size) - 1}"
            number = start // COPY_PART + 1
            got = s3.upload_part_copy(**upload, **source, PartNumber=number, CopySourceRange=wanted)
            return str(got["CopyPartResult"]["ETag"])

        try:
            begun(upload["UploadId"])
            with ThreadPoolExecutor(COPIES) as pool:
                etags = list(pool.map(copy_part, range(0, size, COPY_PART)))
            _complete(s3, upload, dict(enumerate(etags, 1)))
        except BaseException:
            with suppress(*FAILURES):
                s3.abort_multipart_upload(**upload)
            raise


def remove_all(target: Target, bucket: str, keys: Sequence[str]) -> dict[str, str]:
    """Delete up to 1,000 objects, which don't have to exist; return why any were not deleted, by key."""
    s3, named = clients.web(target), {"Bucket": bucket} | clients.owner_arguments(target)
    try:
        listed = [{"Key": key} for key in keys]
        response = s3.delete_objects(**named, Delete={"Objects": listed, "Quiet": True}) if listed else {}
        return {each["Key"]: each["Code"] for each in response.get("Errors", ())}
    except ClientError as error:
        if not errors.rejects_lists(error):
            raise
    failed = {}
    for key in keys:
        try:
            s3.delete_object(**named, Key=key)
        except ClientError as error:
            failed[key] = errors.reason(error)
    return failed


def _complete(s3: Any, upload: Mapping[str, str], etags: Mapping[int, str]) -> None:
    parts = [{"PartNumber": number, "ETag": etags[number]} for number in sorted(etags)]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})


class Ranges(io.RawIOBase):
    """The version of an object with this ETag ("" for any) as a readable file. Every read is a range request.

    `failed` records that a request failed, because the code that reads the file may swallow the exception.
    """

    def __init__(self, pending: Pending, etag: str, size: int) -> None:
        super().__init__()
        self.failed = False
        self._pending, self._etag, self._size = pending, etag, size
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Set the position; makes no request."""
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if at < 0:
            raise ValueError(f"negative seek position {at}")
        self._at = at
        return at

    def readinto(self, buffer: Any, /) -> int:
        """Fetch as many bytes as fit into the buffer."""
        got = self.fetch(len(buffer))
        buffer[: len(got)] = got
        return len(got)

    def readall(self) -> bytes:
        """Fetch the rest."""
        return self.fetch(self._size)

    def fetch(self, length: int) -> bytes:
        """Return this many bytes, or fewer at the end."""
        length = min(length, self._size - self._at)
        if length <= 0:
            return b""
        wanted = f"bytes={self._at}-{self._at + length - 1}"
        try:
            s3 = clients.web(self._pending.target)
            version = {"IfMatch": self._etag} if self._etag else {}
            found = s3.get_object(**self._pending.named, Range=wanted, **version)
            got: bytes = found["Body"].read()
        except FAILURES:
            self.failed = True
            raise
        self._at += len(got)
        return got
