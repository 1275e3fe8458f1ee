"""Whatever is uploaded: the signed requests admit exactly that file, and are signed as botocore signs them."""

import base64
import json
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
SIZES = st.integers(1, 5 * 2**40)
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)
FIELDS = st.dictionaries(
    st.one_of(
        TEXT,
        st.sampled_from(
            ["acl", "key", "Content-Type", "Cache-Control", "x-amz-meta-a", "x-amz-tagging", "bucket"]
        ),
    ),
    TEXT,
    max_size=3,
).map(lambda fields: {name.lower(): value for name, value in fields.items()})  # S3 ignores the case

# Fields that need no condition: S3 API reference, "POST Policy", "Conditions".
EXEMPT = {"policy", "x-amz-signature", "file"}
# The address decides the bucket, whatever a field says.
POWERLESS = EXEMPT | {"bucket"}


def takes(policy: dict[str, object], bucket: str, fields: dict[str, str], size: int) -> bool:
    """Return whether a policy admits a form, by the rules of the S3 API reference, "POST Policy"."""
    values = {name.lower(): value for name, value in fields.items()} | {"bucket": bucket}
    named = set(EXEMPT)
    for condition in policy["conditions"]:  # type: ignore[attr-defined]
        if isinstance(condition, list):
            operator, first, second = condition
            assert operator == "content-length-range"
            if not first <= size <= second:
                return False
            continue
        ((name, value),) = condition.items()
        named.add(name.lower())
        if values.get(name.lower()) != value:
            return False
    return all(name in named or name.startswith("x-ignore-") for name in values)


@given(
    key=KEYS, content_type=TYPES, size=SIZES, other=st.tuples(KEYS, TYPES, SIZES), changed=FIELDS, bucket=TEXT
)
def test_a_form_takes_just_its_file(
    key: str,
    content_type: str,
    size: int,
    other: tuple[str, str, int],
    changed: dict[str, str],
    bucket: str,
) -> None:
    with mock.patch.object(clients, "web", return_value=SIGNER):
        form = pending.Pending(TARGET, "a-bucket", key).signed_form(content_type, size)
    fields = form["fields"]
    policy = json.loads(base64.b64decode(fields["policy"]))
    assert form["url"] == "https://a-bucket.s3.eu-central-1.amazonaws.com"
    assert takes(policy, "a-bucket", fields, size)
    other_key, other_type, other_size = other
    assert takes(policy, "a-bucket", fields | {"key": other_key}, size) is (other_key == key)
    assert takes(policy, "a-bucket", fields | {"Content-Type": other_type}, size) is (
        other_type == content_type
    )
    assert takes(policy, "a-bucket", fields, other_size) is (other_size == size)
    for near in (size - 1, size + 1):
        assert not takes(policy, "a-bucket", fields, near)
    assert takes(policy, bucket, fields, size) is (bucket == "a-bucket")
    # S3 rejects any field that is changed or added, except those that it ignores.
    known = {name.lower(): value for name, value in fields.items()} | {"bucket": "a-bucket"}
    harmless = all(
        known.get(name.lower()) == value or name.lower() in POWERLESS or name.lower().startswith("x-ignore-")
        for name, value in changed.items()
    )
    assert (
        takes(policy, "a-bucket", {name.lower(): value for name, value in fields.items()} | changed, size)
        is harmless
    )
    # It expires, and does not contain the secret.
    left = datetime.fromisoformat(policy["expiration"]) - datetime.now(UTC)
    assert 0 < left.total_seconds() <= pending.LINK_LIFE
    assert SECRET not in json.dumps(form)


@given(
    key=KEYS,
    upload_id=TEXT,
    number=st.integers(1, 10_000),
    size=st.integers(1, 5 * 2**30),
    token=st.none() | TEXT,
    at=st.integers(0, 4_000_000_000),
)
def test_a_parts_signature_is_botocores_and_covers_its_length(
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
