"""An S3 server that keeps its objects in memory, counts requests, and responds after a set delay.

For benchmarks only: it accepts every signature and knows no permissions. It supports the operations that clients need
to publish, read, and copy files: PutObject (also with `If-None-Match: *`), GetObject, HeadObject, DeleteObject(s),
CopyObject, ListObjects in both versions with at most 1,000 keys per page, multipart uploads (also of copies), and
HeadBucket, with path-style addresses only. Every bucket exists. `100 Continue` comes without the delay, which favors
clients that wait for it.

    python -m benchmarks.memory_s3        prints its port; exits when standard input ends

Controls, without delay and not counted:

    POST /-/start?delay=0.02    reset the counts, and respond after this number of seconds
    POST /-/empty               delete all objects
    GET  /-/stats               JSON: requests by operation, presigned, uploads, bytes received and sent, seconds of CPU
    GET  /-/objects             JSON: size of each object by "bucket/key"
"""

import asyncio
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from itertools import count
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

PAGE = 1000  # keys, as on S3
HEAD = 4096  # bytes
_ZEROS = bytes(2**26)
REASONS = {200: "OK", 204: "No Content", 206: "Partial Content"}
XMLNS = "http://s3.amazonaws.com/doc/2006-03-01/"


class Body:
    """Bytes in pieces, so that joining and copying parts of gigabytes needs no second copy in memory."""

    def __init__(self, *pieces: "bytes | memoryview | Body") -> None:
        self.pieces: list[memoryview] = []
        for piece in pieces:
            self.pieces += piece.pieces if isinstance(piece, Body) else [memoryview(piece)]

    def __len__(self) -> int:
        return sum(map(len, self.pieces))

    def __bytes__(self) -> bytes:
        return b"".join(self.pieces)

    def cut(self, start: int, end: int) -> "Body":
        """Return the bytes from `start` to before `end`."""
        found, at = [], 0
        for piece in self.pieces:
            found.append(piece[max(start - at, 0) : max(end - at, 0)])
            at += len(piece)
        return Body(*filter(len, found))


def held(content: bytes) -> Body:
    """Return a body without storing its zeros, which make up the benchmarks' videos."""
    if HEAD < len(content) <= len(_ZEROS) and content.count(0, HEAD) == len(content) - HEAD:
        return Body(content[:HEAD], memoryview(_ZEROS)[: len(content) - HEAD])
    return Body(content)


class Stored(NamedTuple):
    """An object: its bytes, its ETag with the quotes, when it was stored, and the headers of its request."""

    body: Body
    etag: str
    modified: float
    headers: dict[str, str]


class Request(NamedTuple):
    """A request. Header names are in lower case."""

    method: str
    bucket: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


class Answer(NamedTuple):
    """A response. For HEAD it has the header for `length`, and no body."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    length: int | None = None


class RefusedError(Exception):
    """An S3 error, with its status and code."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


class Store:
    """The objects of all buckets, the counts of requests, and the delay of each response in seconds."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Stored] = {}
        self.uploads: dict[str, tuple[Request, dict[int, tuple[Body, str]]]] = {}
        self.upload_ids = count(1)
        self.start(0)

    def start(self, delay: float) -> None:
        """Reset the counts."""
        self.delay = delay
        self.operations: Counter[str] = Counter()
        self.presigned = self.received = self.sent = 0
        self.cpu = time.process_time()

    def stats(self) -> dict[str, Any]:
        """Return the counts since the start."""
        return {
            "requests": self.operations.total(),
            "operations": dict(sorted(self.operations.items())),
            "presigned": self.presigned,
            "uploads": self.operations["PutObject"] + self.operations["CompleteMultipartUpload"],
            "received": self.received,
            "sent": self.sent,
            "cpu": time.process_time() - self.cpu,
        }

    def control(self, path: str, query: dict[str, str]) -> Any:
        """Execute a request to /-/, and return the data of its JSON response."""
        if path == "/-/start":
            self.start(float(query["delay"]))
        elif path == "/-/empty":
            self.objects.clear()
            self.uploads.clear()
        elif path == "/-/stats":
            return self.stats()
        elif path == "/-/objects":
            return {"/".join(name): len(stored.body) for name, stored in self.objects.items()}
        else:
            raise RefusedError(404, "NoSuchControl")
        return {}

    def answer(self, request: Request) -> Answer:
        """Return the response to an S3 request, and count it and the bytes of both bodies."""
        name, method = self._operation(request)
        self.operations[name] += 1
        self.presigned += "X-Amz-Signature" in request.query
        self.received += len(request.body)
        try:
            answer = method(request)
        except RefusedError as error:
            body = f"<Error><Code>{error.code}</Code><Message>{error.code}</Message></Error>".encode()
            answer = Answer(error.status, b"" if request.method == "HEAD" else body)
        self.sent += len(answer.body)
        return answer

    def _operation(self, request: Request) -> tuple[str, Callable[[Request], Answer]]:
        query = request.query
        match request.method:
            case "HEAD" if request.key:
                return "HeadObject", self._get
            case "HEAD":
                return "HeadBucket", lambda _: Answer(200)
            case "GET" if "uploadId" in query:
                return "ListParts", self._list_parts
            case "GET" if request.key:
                return "GetObject", self._get
            case "GET" if not query.keys() & {"location", "policy", "acl", "versions", "uploads"}:
                return ("ListObjectsV2" if "list-type" in query else "ListObjects"), self._list
            case "PUT" if "uploadId" in query and "x-amz-copy-source" in request.headers:
                return "UploadPartCopy", self._copy_part
            case "PUT" if "uploadId" in query:
                return "UploadPart", self._part
            case "PUT" if "x-amz-copy-source" in request.headers:
                return "CopyObject", self._copy
            case "PUT" if request.key:
                return "PutObject", self._put
            case "POST" if "uploads" in query:
                return "CreateMultipartUpload", self._create
            case "POST" if "uploadId" in query:
                return "CompleteMultipartUpload", self._complete
            case "POST" if "delete" in query:
                return "DeleteObjects", self._delete_many
            case "DELETE" if "uploadId" in query:
                return "AbortMultipartUpload", self._abort
            case "DELETE" if request.key:
                return "DeleteObject", self._delete
        return "unknown", self._unknown

    def _unknown(self, _request: Request) -> Answer:
        raise RefusedError(501, "NotImplemented")

    def _put(self, request: Request) -> Answer:
        name = request.bucket, request.key
        if request.headers.get("if-none-match") == "*" and name in self.objects:
            raise RefusedError(412, "PreconditionFailed")
        return self._keep(request, held(request.body), _md5(request.body))

    def _keep(self, request: Request, body: Body, etag: str) -> Answer:
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.startswith("x-amz-meta-")
            or name in {"content-type", "content-encoding", "content-disposition", "cache-control"}
        }
        self.objects[request.bucket, request.key] = Stored(body, f'"{etag}"', time.time(), headers)
        return Answer(200, headers=(("ETag", f'"{etag}"'),))

    def _get(self, request: Request) -> Answer:
        stored = self.objects.get((request.bucket, request.key))
        if stored is None:
            raise RefusedError(404, "NoSuchKey")
        body, status, size = stored.body, 200, len(stored.body)
        headers = {
            **stored.headers,
            "ETag": stored.etag,
            "Last-Modified": formatdate(stored.modified, usegmt=True),
            "Accept-Ranges": "bytes",
        }
        if wanted := request.headers.get("range", "").removeprefix("bytes="):
            first, _, last = wanted.partition("-")
            start = int(first) if first else max(size - int(last), 0)
            end = min(int(last) + 1, size) if first and last else size
            if start >= size:
                raise RefusedError(416, "InvalidRange")
            body, status = body.cut(start, end), 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        if request.method == "HEAD":
            return Answer(status, headers=tuple(headers.items()), length=len(body))
        return Answer(status, bytes(body), tuple(headers.items()))

    def _source(self, request: Request) -> Stored:
        bucket, _, key = unquote(request.headers["x-amz-copy-source"]).lstrip("/").partition("/")
        stored = self.objects.get((bucket, key))
        if stored is None:
            raise RefusedError(404, "NoSuchKey")
        if request.headers.get("x-amz-copy-source-if-match", stored.etag) != stored.etag:
            raise RefusedError(412, "PreconditionFailed")
        return stored

    def _copy(self, request: Request) -> Answer:
        stored = self._source(request)
        self._keep(request, stored.body, stored.etag.strip('"'))
        return _xml("CopyObjectResult", f"<ETag>{escape(stored.etag)}</ETag>")

    def _delete(self, request: Request) -> Answer:
        self.objects.pop((request.bucket, request.key), None)
        return Answer(204)

    def _delete_many(self, request: Request) -> Answer:
        asked = ET.fromstring(request.body)  # noqa: S314 - from the benchmark's own client
        keys = [element.text or "" for element in asked.iter() if _tag(element) == "Key"]
        for key in keys:
            self.objects.pop((request.bucket, key), None)
        return _xml("DeleteResult", "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys))

    def _list(self, request: Request) -> Answer:
        query, second = request.query, "list-type" in request.query
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = query.get("continuation-token") or query.get("start-after" if second else "marker", "")
        size = min(int(query.get("max-keys", PAGE)), PAGE)
        encoded = quote if query.get("encoding-type") == "url" else escape
        # In the order of UTF-8, as in S3.
        keys = sorted(
            (key for bucket, key in self.objects if bucket == request.bucket and key.startswith(prefix)),
            key=str.encode,
        )
        found: list[str] = []
        folders: dict[str, None] = {}
        last, truncated = "", False
        for key in keys:
            folder = ""
            if delimiter and delimiter in (rest := key[len(prefix) :]):
                folder = prefix + rest[: rest.index(delimiter) + len(delimiter)]
            name = folder or key
            if name.encode() <= after.encode() or folder in folders:
                continue
            if len(found) + len(folders) == size:
                truncated = True
                break
            last = name
            if folder:
                folders[folder] = None
            else:
                found.append(key)
        parts = [f"<Name>{request.bucket}</Name><Prefix>{encoded(prefix)}</Prefix><MaxKeys>{size}</MaxKeys>"]
        if query.get("encoding-type") == "url":
            parts.append("<EncodingType>url</EncodingType>")
        parts.append(f"<IsTruncated>{str(truncated).lower()}</IsTruncated>")
        if truncated:
            tag = "NextContinuationToken" if second else "NextMarker"
            parts.append(f"<{tag}>{escape(last)}</{tag}>")
        if second:
            parts.append(f"<KeyCount>{len(found) + len(folders)}</KeyCount>")
        for key in found:
            stored = self.objects[request.bucket, key]
            modified = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(stored.modified))
            parts.append(
                f"<Contents><Key>{encoded(key)}</Key><LastModified>{modified}</LastModified>"
                f"<ETag>{escape(stored.etag)}</ETag><Size>{len(stored.body)}</Size>"
                "<StorageClass>STANDARD</StorageClass></Contents>"
            )
        parts += [f"<CommonPrefixes><Prefix>{encoded(name)}</Prefix></CommonPrefixes>" for name in folders]
        return _xml("ListBucketResult", "".join(parts))

    def _create(self, request: Request) -> Answer:
        upload_id = f"upload-{next(self.upload_ids)}"
        self.uploads[upload_id] = request, {}
        return _xml(
            "InitiateMultipartUploadResult",
            f"<Bucket>{request.bucket}</Bucket><Key>{escape(request.key)}</Key><UploadId>{upload_id}</UploadId>",
        )

    def _upload(self, request: Request) -> tuple[Request, dict[int, tuple[Body, str]]]:
        try:
            return self.uploads[request.query["uploadId"]]
        except KeyError:
            raise RefusedError(404, "NoSuchUpload") from None

    def _part(self, request: Request) -> Answer:
        digest = _md5(request.body)
        self._upload(request)[1][int(request.query["partNumber"])] = held(request.body), digest
        return Answer(200, headers=(("ETag", f'"{digest}"'),))

    def _copy_part(self, request: Request) -> Answer:
        stored, wanted = self._source(request), request.headers["x-amz-copy-source-range"]
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        # A hash of the range and not of its bytes, which would take seconds for gigabytes. Nobody compares it.
        digest = _md5(f"{stored.etag} {wanted}".encode())
        body = stored.body.cut(int(first), int(last) + 1)
        self._upload(request)[1][int(request.query["partNumber"])] = body, digest
        return _xml("CopyPartResult", f"<ETag>&quot;{digest}&quot;</ETag>")

    def _list_parts(self, request: Request) -> Answer:
        parts, after = self._upload(request)[1], int(request.query.get("part-number-marker", 0))
        numbers = sorted(number for number in parts if number > after)
        page = numbers[:PAGE]
        listed = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{parts[number][1]}&quot;</ETag>"
            f"<Size>{len(parts[number][0])}</Size></Part>"
            for number in page
        )
        more = f"<NextPartNumberMarker>{page[-1]}</NextPartNumberMarker>" if page != numbers else ""
        truncated = str(page != numbers).lower()
        return _xml("ListPartsResult", f"<IsTruncated>{truncated}</IsTruncated>{more}{listed}")

    def _complete(self, request: Request) -> Answer:
        first, parts = self._upload(request)
        found = [parts[number] for number in sorted(parts)]
        if not found:
            raise RefusedError(400, "MalformedXML")
        etag = f"{_md5(b''.join(bytes.fromhex(digest) for _, digest in found))}-{len(found)}"
        self._keep(first, Body(*(body for body, _ in found)), etag)
        del self.uploads[request.query["uploadId"]]
        return _xml(
            "CompleteMultipartUploadResult",
            f"<Bucket>{request.bucket}</Bucket><Key>{escape(request.key)}</Key><ETag>&quot;{etag}&quot;</ETag>",
        )

    def _abort(self, request: Request) -> Answer:
        self.uploads.pop(request.query["uploadId"], None)
        return Answer(204)


class Connection(asyncio.Protocol):
    """A client's connection, with one request after the other."""

    transport: asyncio.Transport

    def __init__(self, store: Store) -> None:
        self.store = store
        self.buffer = bytearray()
        self.head: tuple[str, str, dict[str, str]] | None = (
            None  # of a request whose body has not arrived yet
        )
        self.answering = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport for responses."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Process received bytes."""
        self.buffer += data
        if not self.answering:
            self._next()

    def _next(self) -> None:
        if self.head is None:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            first, *lines = self.buffer[:end].decode("latin-1").split("\r\n")
            del self.buffer[: end + 4]
            method, target, _ = first.split(" ")
            pairs = (line.split(":", 1) for line in lines)
            self.head = method, target, {name.lower(): value.strip() for name, value in pairs}
            if self.head[2].get("expect", "").lower() == "100-continue":
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        method, target, headers = self.head
        length = int(headers.get("content-length", 0))
        if len(self.buffer) < length:
            return
        body = bytes(self.buffer[:length])
        del self.buffer[:length]
        self.head, self.answering = None, True
        path, _, query_string = target.partition("?")
        query = dict(parse_qsl(query_string, keep_blank_values=True))
        if path.startswith("/-/"):
            try:
                self._write(Answer(200, json.dumps(self.store.control(path, query)).encode()))
            except RefusedError as error:
                self._write(Answer(error.status))
            return
        if "transfer-encoding" in headers:
            self._write(Answer(501))
            return
        if "x-amz-decoded-content-length" in headers:
            body = _without_chunks(body)
        bucket, _, key = path[1:].partition("/")
        answer = self.store.answer(Request(method, bucket, unquote(key), query, headers, body))
        if self.store.delay:
            asyncio.get_running_loop().call_later(self.store.delay, self._write, answer)
        else:
            self._write(answer)

    def _write(self, answer: Answer) -> None:
        length = len(answer.body) if answer.length is None else answer.length
        head = f"HTTP/1.1 {answer.status} {REASONS.get(answer.status, 'Error')}\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in answer.headers
        )
        if answer.status != 204:
            head += f"Content-Length: {length}\r\n"
        self.transport.write(head.encode("latin-1") + b"\r\n" + answer.body)
        self.answering = False
        if self.buffer:
            self._next()


def _without_chunks(body: bytes) -> bytes:
    """Return the content of an aws-chunked body."""
    parts: list[bytes] = []
    at = 0
    while True:
        end = body.index(b"\r\n", at)
        size = int(body[at:end].split(b";")[0], 16)
        if not size:
            return b"".join(parts)
        parts.append(body[end + 2 : end + 2 + size])
        at = end + 4 + size


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _xml(tag: str, content: str) -> Answer:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{tag} xmlns="{XMLNS}">{content}</{tag}>'
    return Answer(200, text.encode(), (("Content-Type", "application/xml"),))


async def serve() -> None:
    """Listen on a free port of 127.0.0.1, print the port, and exit when standard input ends."""
    store = Store()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(store), "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(serve())
