"""For any name, key, token, and parameters, a link has botocore's signature for the same time."""

from datetime import UTC, datetime
from typing import Any
from unittest import mock
from urllib.parse import parse_qsl, urlsplit

import botocore.auth
import botocore.session
from botocore.config import Config
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from s3kit.options import MAX_EXPIRE
from s3kit.storages import signing

# Three styles: AWS's hosts, a path on an endpoint, and an endpoint with a port and a path.
ENDPOINTS = (None, "http://127.0.0.1:9000", "https://s3.example.com")
CLIENTS: dict[str | None, Any] = {
    endpoint: botocore.session.get_session().create_client(
        "s3",
        region_name="eu-central-1",
        endpoint_url=endpoint,
        aws_access_key_id="replaced",
        aws_secret_access_key="replaced",
        config=Config(signature_version="s3v4", s3={"addressing_style": "path" if endpoint else "virtual"}),
    )
    for endpoint in ENDPOINTS
}

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
KEYS = TEXT.map("media/".__add__)
SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)
HEADER_VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=1, max_size=40)
PARAMETERS = {
    "ResponseCacheControl": "response-cache-control",
    "ResponseContentDisposition": "response-content-disposition",
    "ResponseContentEncoding": "response-content-encoding",
    "ResponseContentLanguage": "response-content-language",
    "ResponseContentType": "response-content-type",
    "VersionId": "versionId",
}


def parts(url: str) -> tuple[str, dict[str, str]]:
    split = urlsplit(url)
    return url.partition("?")[0], dict(parse_qsl(split.query, keep_blank_values=True, strict_parsing=True))


@given(
    endpoint=st.sampled_from(ENDPOINTS),
    key=KEYS,
    secret=SECRETS,
    token=st.none() | SECRETS,
    parameters=st.dictionaries(st.sampled_from(list(PARAMETERS)), HEADER_VALUES),
    at=st.integers(0, 4_000_000_000),
    expires=st.integers(1, MAX_EXPIRE),
    method=st.sampled_from(["GET", "HEAD"]),
)
def test_signature_equals_botocores(
    endpoint: str | None,
    key: str,
    secret: str,
    token: str | None,
    parameters: dict[str, str],
    at: int,
    expires: int,
    method: str,
) -> None:
    credentials = Credentials("AKIDEXAMPLE", secret, token)
    client = CLIENTS[endpoint]
    moment = datetime.fromtimestamp(at, UTC).replace(tzinfo=None)
    with (
        mock.patch.object(client._request_signer, "_credentials", credentials),
        mock.patch.object(botocore.auth, "get_current_datetime", return_value=moment),
    ):
        theirs = client.generate_presigned_url(
            "get_object",
            {"Bucket": "a-bucket", "Key": key} | parameters,
            ExpiresIn=expires,
            HttpMethod=method,
        )
    ours = signing.presign(
        theirs.partition("?")[0],
        credentials.get_frozen_credentials(),
        region="eu-central-1",
        at=at,
        expires=expires,
        parameters={PARAMETERS[name]: value for name, value in parameters.items()},
        method=method,
    )
    assert parts(ours) == parts(theirs)


@given(now=st.floats(0, 4e9), later=st.floats(0, 604_800), expires=st.integers(1, MAX_EXPIRE), name=TEXT)
def test_link_is_constant_in_its_window_with_half_its_lifetime_left(
    now: float, later: float, expires: int, name: str
) -> None:
    start = signing.window_start(now, expires, name)
    assert start <= now
    assert start + expires - now >= expires / 2 - (expires % 2) / 2 or expires == 1
    if int(now + later) < start + max(expires // 2, 1):
        assert signing.window_start(now + later, expires, name) == start
    else:
        assert signing.window_start(now + later, expires, name) > start
