"""The sources of an option's value, and which values are rejected."""

from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from s3kit.deployment import Key
from s3kit.options import conf, resolved
from s3kit.storages import MediaStorage, StaticStorage

SHARED = {"AWS_ACCESS_KEY_ID": "SHARED", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}


@pytest.fixture(autouse=True)
def on_aws(settings: Any) -> None:
    settings.USE_S3 = True
    settings.AWS_S3_REGION_NAME = "eu-central-1"


def location(**options: Any) -> Any:
    return MediaStorage(**({"bucket_name": "acme-media"} | options)).location_as("default")


def test_option_overrides_class_overrides_setting_overrides_default() -> None:
    class Mine(MediaStorage):
        querystring_expire = 20

    values = [resolved("media", MediaStorage, {})["querystring_expire"]]
    with override_settings(AWS_QUERYSTRING_EXPIRE=10):
        values += [
            resolved("media", cls, given)["querystring_expire"]
            for cls, given in ((MediaStorage, {}), (Mine, {}), (Mine, {"querystring_expire": 30}))
        ]
    assert values == [3600, 10, 20, 30]


def test_text_options_are_stripped_and_blank_ones_ignored() -> None:
    with override_settings(AWS_STORAGE_BUCKET_NAME=" acme-shared "):
        assert resolved("media", MediaStorage, {"bucket_name": " "})["bucket_name"] == "acme-shared"
    assert resolved("media", MediaStorage, {"bucket_name": " acme "})["bucket_name"] == "acme"


def test_none_as_option_ignores_the_shared_setting() -> None:
    shared = {
        "AWS_S3_ENDPOINT_URL": "https://s3.example.com",
        "AWS_S3_CUSTOM_DOMAIN": "cdn.example.com",
        "AWS_EXPECTED_BUCKET_OWNER": "123456789012",
    }
    names = ("endpoint_url", "custom_domain", "expected_bucket_owner")
    with override_settings(**shared):
        of_all, alone = location(access="public-policy"), location(**dict.fromkeys(names))
    assert (of_all.target.endpoint, of_all.custom_domain, of_all.target.owner) == tuple(shared.values())
    assert (alone.target.endpoint, alone.custom_domain, alone.target.owner) == (None, "", None)


@override_settings(**SHARED)
def test_storage_credentials_never_mix_with_shared_ones() -> None:
    assert location().target.key == Key("SHARED", "s", "t")
    assert location(access_key="OWN", secret_key="o").target.key == Key("OWN", "o", None)
    profile = location(session_profile="other").target
    assert (profile.key, profile.profile) == (None, "other")
    with pytest.raises(ImproperlyConfigured, match="Only one of"):
        location(access_key="OWN")


def test_endpoint_ignores_a_trailing_slash() -> None:
    spelled = [location(endpoint_url=f"https://s3.example.com{end}").target for end in ("", "/")]
    assert spelled[0] == spelled[1]


def test_expected_bucket_owner_accepts_an_integer() -> None:
    assert location(expected_bucket_owner=123456789012).target.owner == "123456789012"


@pytest.mark.parametrize("option", ["versioning", "file_overwrite", "conditional_writes"])
def test_boolean_options_reject_the_text_false(option: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"'{option}' is 'false': set it to True or False"):
        location(**{option: "false"})


@override_settings(AWS_QUERYSTRING_AUTH=True, AWS_DEFAULT_ACL=None)
def test_static_storage_ignores_upload_settings_but_rejects_options() -> None:
    StaticStorage(bucket_name="b", region_name="eu-central-1")
    MediaStorage(bucket_name="b", region_name="eu-central-1")
    with pytest.raises(ImproperlyConfigured, match="the option 'querystring_auth'"):
        StaticStorage(bucket_name="b", querystring_auth=True)


def test_storages_reject_each_others_options() -> None:
    with pytest.raises(ImproperlyConfigured, match="'access' is not supported: only media storages have it"):
        StaticStorage(bucket_name="acme-static", access="private")
    with pytest.raises(
        ImproperlyConfigured, match="'prehashed' is not supported: only static storages have it"
    ):
        MediaStorage(bucket_name="acme-media", prehashed=["build/*"])


def test_error_truncates_long_values() -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        location(proxies={"https": "x" * 1000})
    assert len(str(caught.value)) < 200


# Settings for all storages


@pytest.mark.parametrize("value", ["false", "true", "Local", "", None, 1])
def test_invalid_use_s3_is_rejected(value: Any) -> None:
    with override_settings(USE_S3=value), pytest.raises(ImproperlyConfigured, match=f"USE_S3 is {value!r}"):
        _ = conf.use_s3


def test_use_s3_defaults_to_true(settings: Any) -> None:
    del settings.USE_S3
    assert conf.use_s3 is True
    for value in (True, False, "local"):
        settings.USE_S3 = value
        assert (conf.use_s3, conf.is_local) == (value, value == "local")


def test_origins_default_to_csrf_trusted_origins(settings: Any) -> None:
    settings.CSRF_TRUSTED_ORIGINS = ["https://a.example"]
    assert conf.origins == ("https://a.example",)
    settings.AWS_SITE_ORIGINS = []
    assert conf.origins == ()


def test_local_dir_comes_from_setting_variable_or_base_dir(
    settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("S3KIT_LOCAL_DIR", raising=False)
    settings.BASE_DIR = tmp_path
    assert conf.local_dir == tmp_path / "var" / "s3"
    monkeypatch.setenv("S3KIT_LOCAL_DIR", str(tmp_path / "variable"))
    assert conf.local_dir == tmp_path / "variable"
    settings.S3KIT_LOCAL_DIR = tmp_path / "setting"
    assert conf.local_dir == tmp_path / "setting"
