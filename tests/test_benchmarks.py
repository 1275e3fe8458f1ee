"""The benchmarks' in-memory S3 server: its API, and its counts of requests."""

import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from benchmarks import __main__ as bench
from benchmarks import files, uploads

pytestmark = pytest.mark.slow

BUCKET = "bench-static"


@pytest.fixture(scope="module")
def process() -> Iterator[bench.Server]:
    with bench.server() as running:
        yield running


@pytest.fixture(autouse=True)
def server(process: bench.Server) -> bench.Server:
    process.ask("/-/empty", "POST")
    process.ask("/-/start?delay=0", "POST")
    return process


@pytest.fixture(scope="module")
def s3(process: bench.Server) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=process.url,
        region_name="eu-central-1",
        aws_access_key_id="bench",
        aws_secret_access_key="bench",
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )


def test_an_object_is_returned_with_its_headers(s3: Any, server: bench.Server) -> None:
    key, content = "static/ä b+c~.css", b"a { color: red }"
    s3.put_object(
        Bucket=BUCKET,
        Key=key,
        Body=content,
        ContentType="text/css",
        CacheControl="no-cache",
        Metadata={"sha256": "abc"},
    )
    for found in (s3.head_object(Bucket=BUCKET, Key=key), s3.get_object(Bucket=BUCKET, Key=key)):
        assert found["ContentLength"] == 16
        assert found["ContentType"] == "text/css"
        assert found["CacheControl"] == "no-cache"
        assert found["Metadata"] == {"sha256": "abc"}
        assert found["ETag"] == f'"{hashlib.md5(content).hexdigest()}"'  # noqa: S324 - S3's own ETag
    assert found["Body"].read() == content
    assert server.ask("/-/objects") == {f"{BUCKET}/{key}": 16}
    part = s3.get_object(Bucket=BUCKET, Key=key, Range="bytes=4-8")
    assert part["Body"].read() == b"color"
    assert part["ContentRange"] == "bytes 4-8/16"


def test_a_missing_object_is_a_404(s3: Any) -> None:
    for missing in (s3.get_object, s3.head_object):
        with pytest.raises(ClientError) as error:
            missing(Bucket=BUCKET, Key="nothing")
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_if_none_match_prevents_replacement(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="a", Body=b"1")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=BUCKET, Key="a", Body=b"2", IfNoneMatch="*")
    assert s3.get_object(Bucket=BUCKET, Key="a")["Body"].read() == b"1"


@pytest.mark.parametrize("version", ["list_objects", "list_objects_v2"])
def test_a_listing_has_pages_of_a_thousand_in_order(s3: Any, server: bench.Server, version: str) -> None:
    names = {f"static/{number:04}" for number in range(2100)} | {"other"}
    _fill(server, names)
    pages = list(s3.get_paginator(version).paginate(Bucket=BUCKET, Prefix="static/"))
    assert [len(page["Contents"]) for page in pages] == [1000, 1000, 100]
    keys = [entry["Key"] for page in pages for entry in page["Contents"]]
    assert keys == sorted(names - {"other"})
    counted = server.ask("/-/stats")["operations"]
    assert counted[{"list_objects": "ListObjects", "list_objects_v2": "ListObjectsV2"}[version]] == 3


def test_a_listing_of_a_folder_names_its_folders_once(s3: Any) -> None:
    for key in ("a/1", "a/b/2", "a/b/3", "a/c/4", "a/c/5", "d"):
        s3.put_object(Bucket=BUCKET, Key=key)
    paginator = s3.get_paginator("list_objects_v2")
    pages = list(
        paginator.paginate(Bucket=BUCKET, Prefix="a/", Delimiter="/", PaginationConfig={"PageSize": 1})
    )
    assert len(pages) == 3
    assert [entry["Key"] for page in pages for entry in page.get("Contents", [])] == ["a/1"]
    assert [e["Prefix"] for page in pages for e in page.get("CommonPrefixes", [])] == ["a/b/", "a/c/"]


def test_objects_are_deleted_individually_and_in_batches(s3: Any, server: bench.Server) -> None:
    for key in "abc":
        s3.put_object(Bucket=BUCKET, Key=key)
    s3.delete_object(Bucket=BUCKET, Key="a")
    s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "b"}, {"Key": "missing"}]})
    assert server.ask("/-/objects") == {f"{BUCKET}/c": 0}


def test_an_object_is_uploaded_in_parts(s3: Any, server: bench.Server) -> None:
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="big", ContentType="video/mp4")["UploadId"]
    target = {"Bucket": BUCKET, "Key": "big", "UploadId": upload}
    parts = [
        {"PartNumber": number, "ETag": s3.upload_part(**target, PartNumber=number, Body=body)["ETag"]}
        for number, body in ((2, b"second"), (1, b"first "))
    ]
    parts.sort(key=lambda part: part["PartNumber"])
    s3.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})
    found = s3.get_object(Bucket=BUCKET, Key="big")
    assert found["Body"].read() == b"first second"
    assert found["ETag"].endswith('-2"')
    assert found["ContentType"] == "video/mp4"
    stats = server.ask("/-/stats")
    assert stats["uploads"] == 1
    assert stats["operations"]["UploadPart"] == 2


def test_parts_are_listed_in_pages(s3: Any) -> None:
    target = {"Bucket": BUCKET, "Key": "big"}
    target["UploadId"] = s3.create_multipart_upload(**target)["UploadId"]
    for number in (1, 2, 3):
        s3.upload_part(**target, PartNumber=number, Body=b"x" * number)
    found = s3.list_parts(**target, PartNumberMarker=1)["Parts"]
    assert [(part["PartNumber"], part["Size"]) for part in found] == [(2, 2), (3, 3)]
    assert found[0]["ETag"] == f'"{hashlib.md5(b"xx", usedforsecurity=False).hexdigest()}"'


def test_an_object_is_copied_whole_and_in_parts(s3: Any) -> None:
    etag = s3.put_object(Bucket=BUCKET, Key="a b", Body=b"0123456789", ContentType="text/plain")["ETag"]
    source = {"CopySource": {"Bucket": BUCKET, "Key": "a b"}, "CopySourceIfMatch": etag}
    s3.copy_object(Bucket=BUCKET, Key="whole", **source, ContentType="text/css", MetadataDirective="REPLACE")
    found = s3.get_object(Bucket=BUCKET, Key="whole")
    assert (found["Body"].read(), found["ContentType"]) == (b"0123456789", "text/css")

    target = {"Bucket": BUCKET, "Key": "parts"}
    target["UploadId"] = s3.create_multipart_upload(**target)["UploadId"]
    parts = []
    for number, wanted in ((1, "bytes=2-4"), (2, "bytes=0-0"), (3, "bytes=8-9")):
        got = s3.upload_part_copy(**target, **source, PartNumber=number, CopySourceRange=wanted)
        parts.append({"PartNumber": number, "ETag": got["CopyPartResult"]["ETag"]})
    s3.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})
    assert s3.get_object(Bucket=BUCKET, Key="parts")["Body"].read() == b"234089"
    part = s3.get_object(Bucket=BUCKET, Key="parts", Range="bytes=2-4")
    assert part["Body"].read() == b"408"

    for call in (s3.copy_object, s3.upload_part_copy):
        more = {"Key": "x"} if call == s3.copy_object else {"Key": "x", "PartNumber": 1, "UploadId": "x"}
        with pytest.raises(ClientError, match="PreconditionFailed"):
            call(Bucket=BUCKET, CopySource=source["CopySource"], CopySourceIfMatch='"other"', **more)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is read from Linux's /proc")
def test_direct_uploads_take_little_memory_and_few_requests(tmp_path: Path) -> None:
    # More parts than one response has links for, with an interruption in the middle of a part.
    video = uploads.Case(1, 300 * uploads.MB, direct=True, cut=True)
    many = uploads.Case(3, uploads.MB, direct=True)
    form = uploads.Case(1, uploads.MB, direct=False)
    with bench.server() as s3, uploads.Project(tmp_path, s3.url, sys.executable).served() as site:
        taken = {case: site.warmed_up(case) for case in (video, many, form)}
        stored = s3.ask("/-/objects")
    for case in (video, many):
        assert taken[case].memory < uploads.BOUND * uploads.MB, case
        # Saving the form makes no request to S3.
        assert taken[case].saving == 0, case
    # The ticket, two more responses with links (the last says that S3 has everything), the check, and the form.
    assert (taken[video].requests, taken[video].from_browser) == (4, 18)
    assert taken[video].again == uploads.PART - 1
    # For each file: the ticket, its state, and the check. Django asks S3 three times whether the object exists,
    # reads its first bytes, copies it, and deletes it.
    assert (taken[many].requests, taken[many].to_s3, taken[many].from_browser) == (2 * 3 + 1, 3 * 5, 3)
    assert (taken[form].requests, taken[form].to_s3, taken[form].from_browser) == (1, 1, 0)
    assert sorted(stored.values()) == [uploads.MB] * (3 * uploads.WARM + 3 + 1) + [video.size]
    assert not any("/pending/" in name for name in stored)


def test_zeros_are_returned_but_take_no_memory(s3: Any) -> None:
    for end in (b"\0", b"x"):
        content = b"head" + bytes(2**20) + end
        s3.put_object(Bucket=BUCKET, Key="zeros", Body=content)
        assert s3.get_object(Bucket=BUCKET, Key="zeros")["Body"].read() == content
        part = s3.get_object(Bucket=BUCKET, Key="zeros", Range="bytes=4090-4100")
        assert part["Body"].read() == bytes(11)


def test_requests_and_bytes_are_counted(s3: Any, server: bench.Server) -> None:
    s3.put_object(Bucket=BUCKET, Key="a", Body=b"x" * 1000)
    s3.get_object(Bucket=BUCKET, Key="a")["Body"].read()
    s3.get_object(Bucket=BUCKET, Key="a")["Body"].read()
    s3.head_object(Bucket=BUCKET, Key="a")
    stats = server.ask("/-/stats")
    assert stats["operations"] == {"GetObject": 2, "HeadObject": 1, "PutObject": 1}
    assert (stats["requests"], stats["uploads"]) == (4, 1)
    assert (stats["received"], stats["sent"]) == (1000, 2000)
    server.ask("/-/start?delay=0", "POST")
    assert server.ask("/-/stats")["requests"] == 0


def test_a_response_waits_for_the_delay(s3: Any, server: bench.Server) -> None:
    server.ask("/-/start?delay=0.2", "POST")
    began = time.monotonic()
    s3.put_object(Bucket=BUCKET, Key="a")
    assert time.monotonic() - began >= 0.2


def test_unknown_requests_are_rejected(s3: Any) -> None:
    with pytest.raises(ClientError) as error:
        s3.get_bucket_policy(Bucket=BUCKET)
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_benchmark_files_are_reproducible(tmp_path: Path) -> None:
    assert files.write(tmp_path / "a", more=1) == files.SMALL + files.MORE
    files.write(tmp_path / "b", more=1)
    a, b = (_contents(tmp_path / name) for name in "ab")
    assert a == b
    assert len(a) == files.SMALL + files.MORE
    assert files.CHANGED in a


def test_server_exits_with_its_parent() -> None:
    command = [sys.executable, "-m", "benchmarks.memory_s3"]
    with subprocess.Popen(command, cwd=bench.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline())
    assert process.returncode == 0


def test_tables_contain_median_minimum_and_maximum() -> None:
    assert bench.spread([3.0, 1.0, 2.0], ".1f") == "2.0 (1.0-3.0)"
    assert bench.spread([2.0, 2.01], ".1f") == "2.0"
    run = bench.Run(requests=2, uploads=0, sent=0, seconds=0.5, cpu=0.4, memory=70_000_000, server=0.01)
    lines = bench.deploy_table({("small", 20, "unchanged", "ours"): [run]}, "small", [0, 20]).splitlines()
    assert lines[0].startswith("| deploy | with | requests |")
    assert lines[2] == "| nothing changed | django-s3-kit | 2 | 0 | 0.0 | 70 | 0.40 | - | 0.50 |"


def _fill(server: bench.Server, names: set[str]) -> None:
    """Put empty objects over one connection, because boto3 would take seconds."""
    connection = HTTPConnection("127.0.0.1", server.port)
    for name in names:
        connection.request("PUT", f"/{BUCKET}/{name}")
        connection.getresponse().read()
    connection.close()


def _contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
