"""What browsers send straight to S3: what is signed for them, and what the site does with it there.

It lies under `pending/` of the media bucket, which expires, until `s3kit.uploads.acceptance` accepts it. All calls have
time limits that a web request can bear, and raise what boto3 raises.

Sources of the rules: Amazon S3 API reference, "POST Policy", "Authenticating Requests: Using Query
Parameters" and "CopyObject"; S3 User Guide, "Amazon S3 multipart upload limits".
"""

import io
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from s3kit import clients
from s3kit.deployment import Target
from s3kit.storages import signing

LINK_LIFE = 3600  # seconds, in which the sending of a form or a part must begin

READ_BLOCK = 2**20  # bytes, of an object that is looked at
# AWS copies about 100 MB/s in one request; so many at once take 2 GiB in a few seconds. Another store may
# read all of the object for each part, as the embedded S3 does: it gets one request, as far as that may go.
COPY_FROM = COPY_PART = 64 * 2**20
COPIES = 8
COPY_MOST = 5 * 2**30

# What the calls raise: refused, not answered, or answered by something that is no S3.
REFUSALS = (BotoCoreError, ClientError, ResponseParserError)


def code_of(error: ClientError) -> str:
    """Return S3's code of an error; other servers may answer without one."""
    return str(error.response.get("Error", {}).get("Code", ""))


@dataclass(frozen=True)
class Pending:
    """One object, or one upload in parts that is to become it."""

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

    def signed_form(self, content_type: str, size: int) -> dict[str, Any]:
        """Return `url` and `fields` of a form that takes just this: key, type and size are in its signed policy.

        A field more than those, and S3 rejects it. It must be sent within LINK_LIFE seconds.
        """
        exactly = {"Content-Type": content_type}
        signed = clients.web(self.target).generate_presigned_post(
            self.bucket,
            self.key,
            Fields=dict(exactly),
            Conditions=[exactly, ["content-length-range", size, size]],
            ExpiresIn=LINK_LIFE,
        )
        return {"url": clients.bucket_url(self.target, self.bucket), "fields": signed["fields"]}

    def signed_part(self, number: int, size: int) -> str:
        """Return the address to which a part of just this size can be PUT, within LINK_LIFE seconds."""
        return signing.presign(
            clients.object_url(self.target, self.bucket, self.key),
            clients.credentials(self.target),
            region=self.target.region,
            at=int(time.time()),
            expires=LINK_LIFE,
            parameters={"partNumber": str(number), "uploadId": self.upload_id},
            headers={"content-length": str(size)},
            method="PUT",
        )

    def begin(self, content_type: str) -> str:
        """Begin an upload in parts; return its id."""
        begun = clients.web(self.target).create_multipart_upload(**self.named, ContentType=content_type)
        return str(begun["UploadId"])

    def head(self) -> dict[str, Any] | None:
        """Return what S3 says of the object, or None where there is none."""
        try:
            return dict(clients.web(self.target).head_object(**self.named))
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise

    def parts(self, sizes: Mapping[int, int]) -> dict[int, str] | None:
        """Return the ETags of the parts that S3 has in these sizes, by number.

        None where the upload is over, or was given up.
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
        """Make the object of its parts."""
        _complete(clients.working(self.target), self._upload, etags)

    def remove(self) -> None:
        """Give the upload up and delete the object; what is not there is no error."""
        s3 = clients.web(self.target)
        if self.upload_id:
            with suppress(s3.exceptions.NoSuchUpload):
                s3.abort_multipart_upload(**self._upload)
        s3.delete_object(**self.named)

    def copy(self, key: str, *, etag: str, size: int, parameters: Mapping[str, Any]) -> None:
        """Copy the object, if it still has the ETag, to a key; `parameters` are boto3's of what is written.

        A large one is copied in parts, several at once; no part of it is left behind when that fails.
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
            with ThreadPoolExecutor(COPIES) as pool:
                etags = list(pool.map(copy_part, range(0, size, COPY_PART)))
            _complete(s3, upload, dict(enumerate(etags, 1)))
        except BaseException:
            with suppress(*REFUSALS):
                s3.abort_multipart_upload(**upload)
            raise


def _complete(s3: Any, upload: Mapping[str, str], etags: Mapping[int, str]) -> None:
    parts = [{"PartNumber": number, "ETag": etags[number]} for number in sorted(etags)]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})


class Ranges(io.RawIOBase):
    """One version of an object as a file to read; every read is a request for a range of bytes.

    `failed` says that S3 did not give what was asked for: who reads may swallow the error.
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
        """Move, without a request."""
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if at < 0:
            raise ValueError(f"negative seek position {at}")
        self._at = at
        return at

    def readinto(self, buffer: Any, /) -> int:
        """Fetch as many bytes as the buffer holds."""
        got = self.fetch(len(buffer))
        buffer[: len(got)] = got
        return len(got)

    def readall(self) -> bytes:
        """Fetch the rest."""
        return self.fetch(self._size)

    def fetch(self, length: int) -> bytes:
        """Return so many bytes, or what is left."""
        length = min(length, self._size - self._at)
        if length <= 0:
            return b""
        wanted = f"bytes={self._at}-{self._at + length - 1}"
        try:
            s3 = clients.web(self._pending.target)
            found = s3.get_object(**self._pending.named, Range=wanted, IfMatch=self._etag)
            got: bytes = found["Body"].read()
        except REFUSALS:
            self.failed = True
            raise
        self._at += len(got)
        return got
