"""Profiles of `aws login`, which boto3 reads with awscrt."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import LoginError
from botocore.utils import generate_login_cache_key

from s3kit import clients, errors
from s3kit.deployment import Deployment, Target
from tests.ministack import s3_settings

NAME = "arn:aws:sts::123456789012:assumed-role/Admin/alice"
KEYS = {"accessKeyId": "ASIAEXAMPLE", "secretAccessKey": "secret", "sessionToken": "token"}


@pytest.fixture
def target(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """Return the target in a shell with a login."""
    (tmp_path / "config").write_text(f"[profile acme]\nlogin_session = {NAME}\nregion = eu-central-1\n")
    expires = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    token = {
        "accessToken": KEYS | {"accountId": "123456789012", "expiresAt": expires},
        "clientId": "arn:aws:signin:::devtools/same-device",
        "refreshToken": "r",
        "dpopKey": "k",
    }
    (tmp_path / f"{generate_login_cache_key(NAME)}.json").write_text(json.dumps(token))
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_LOGIN_CACHE_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("AWS_PROFILE", "acme")
    s3_settings(settings)
    clients.forget()
    yield Deployment.load().media[0].target
    clients.forget()


@pytest.mark.works_with("awscrt", "Commands find the credentials of `aws login`.")
def test_aws_login_credentials_are_found(target: Target) -> None:
    frozen = clients.credentials(target)
    assert [frozen.access_key, frozen.secret_key, frozen.token] == list(KEYS.values())


def test_missing_aws_login_session_error_names_the_fix(target: Target, tmp_path: Path) -> None:
    for token in tmp_path.glob("*.json"):
        token.unlink()
    with pytest.raises(LoginError) as raised:
        clients.credentials(target)
    assert "sign in again (aws login or aws sso login)" in errors.explain(raised.value)
