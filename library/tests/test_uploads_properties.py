"""For any file, the signed requests allow exactly that file, and have botocore's signatures."""

import os
import time
from datetime import UTC, datetime
from unittest import mock
from urllib.parse import parse_qsl, urlsplit

import botocore.auth
import botocore.session
from botocore.config import Config
from botocore.credentials import Credentials, ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from s3kit import clients
from s3kit.deployment import Target
from s3kit.uploads import pending

SECRET = "not a real one"
TARGET = Target("eu-central-1")
with mock.patch.dict(
    os.environ,
    {
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    },
):
    SIGNER = botocore.session.get_session().create_client(
        "s3",
        region_name="eu-central-1",
        config=Config(signature_version="s3v4", s3={"addressing_style": "virtual"}),
    )

KEYS = st.uuids().map(lambda value: f"pending/{value.hex}")
TYPES = st.sampled_from(["video/mp4", "image/jpeg", "text/plain", "application/octet-stream"])
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)


@given(
    key=KEYS,
    upload_id=TEXT,
    number=st.integers(1, 10_000),
    size=st.integers(1, 5 * 2**30),
    token=st.none() | TEXT,
    at=st.integers(0, 4_000_000_000),
)
def test_part_signature_equals_botocores_and_covers_the_length(
    key: str, upload_id: str, number: int, size: int, token: str | None, at: int
) -> None:
    moment = datetime.fromtimestamp(at, UTC).replace(tzinfo=None)
    with (
        mock.patch.object(SIGNER._request_signer, "_credentials", Credentials("AKIDEXAMPLE", SECRET, token)),
        mock.patch.object(botocore.auth, "get_current_datetime", return_value=moment),
    ):
        theirs = SIGNER.generate_presigned_url(
            "upload_part",
            {
                "Bucket": "a-bucket",
                "Key": key,
                "UploadId": upload_id,
                "PartNumber": number,
                "ContentLength": size,
            },
            ExpiresIn=pending.LINK_LIFE,
        )
    frozen = ReadOnlyCredentials("AKIDEXAMPLE", SECRET, token)
    with (
        mock.patch.object(clients, "credentials", return_value=frozen),
        mock.patch.object(time, "time", return_value=at),
    ):
        ours = pending.Pending(TARGET, "a-bucket", key, upload_id).signed_part(number, size)
    assert ours.partition("?")[0] == theirs.partition("?")[0]
    query = dict(parse_qsl(urlsplit(ours).query, strict_parsing=True))
    assert query == dict(parse_qsl(urlsplit(theirs).query, strict_parsing=True))
    assert query["X-Amz-SignedHeaders"] == "content-length;host"


@given(key=KEYS, content_type=TYPES, size=st.integers(1, 2**24), at=st.integers(0, 4_000_000_000))
def test_file_signature_equals_botocores_and_covers_its_headers(
    key: str, content_type: str, size: int, at: int
) -> None:
    moment = datetime.fromtimestamp(at, UTC).replace(tzinfo=None)
    named = {"Bucket": "a-bucket", "Key": key, "ContentLength": size, "ContentType": content_type}
    with (
        mock.patch.object(SIGNER._request_signer, "_credentials", Credentials("AKIDEXAMPLE", SECRET)),
        mock.patch.object(botocore.auth, "get_current_datetime", return_value=moment),
    ):
        theirs = SIGNER.generate_presigned_url(
            "put_object", named | {"IfNoneMatch": "*"}, ExpiresIn=pending.LINK_LIFE
        )
    frozen = ReadOnlyCredentials("AKIDEXAMPLE", SECRET, None)
    with (
        mock.patch.object(clients, "credentials", return_value=frozen),
        mock.patch.object(time, "time", return_value=at),
    ):
        ours, headers = pending.Pending(TARGET, "a-bucket", key).signed_put(content_type, size)
    assert headers == {"content-type": content_type, "if-none-match": "*"}
    assert ours.partition("?")[0] == theirs.partition("?")[0]
    query = dict(parse_qsl(urlsplit(ours).query, strict_parsing=True))
    assert query == dict(parse_qsl(urlsplit(theirs).query, strict_parsing=True))
    assert query["X-Amz-SignedHeaders"] == "content-length;content-type;host;if-none-match"
