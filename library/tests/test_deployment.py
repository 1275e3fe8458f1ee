"""Deployments from STORAGES: buckets and their storages, and entries that contradict each other."""

from dataclasses import replace
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from s3kit.deployment import (
    Deployment,
    Key,
    Location,
    NotOnS3Error,
    Target,
    location_prefix,
    location_problems,
)
from s3kit.storages import MediaStorage


class Avatars(MediaStorage):
    bucket_name = "acme-avatars"
    location = "people"
    access = "public-policy"


DISK = {"BACKEND": "django.core.files.storage.InMemoryStorage"}
ARN = "arn:aws:cloudfront::123456789012:distribution/E1ABCDEFGHIJKL"


def media(**options: Any) -> dict[str, Any]:
    options = {"bucket_name": "acme-media"} | options
    return {"BACKEND": "s3kit.storages.MediaStorage", "OPTIONS": options}


def static(**options: Any) -> dict[str, Any]:
    options = {"bucket_name": "acme-static"} | options
    return {"BACKEND": "s3kit.storages.StaticStorage", "OPTIONS": options}


@pytest.fixture(autouse=True)
def on_aws(settings: Any) -> None:
    settings.USE_S3 = True
    settings.AWS_S3_REGION_NAME = "eu-central-1"


def load(settings: Any, **entries: Any) -> Deployment:
    settings.STORAGES = {"default": DISK, "staticfiles": DISK} | entries
    return Deployment.load()


Held = list[tuple[str, str, str | None, list[str]]]

TABLE: list[tuple[str, dict[str, Any], Held]] = [
    (
        "two buckets",
        {"default": media(), "staticfiles": static()},
        [
            ("acme-static", "eu-central-1", None, ["staticfiles"]),
            ("acme-media", "eu-central-1", None, ["default"]),
        ],
    ),
    (
        "one bucket for all",
        {"default": media(bucket_name="acme"), "staticfiles": static(bucket_name="acme")},
        [("acme", "eu-central-1", None, ["staticfiles", "default"])],
    ),
    (
        "public avatars next to private documents, in one bucket",
        {"default": media(), "avatars": media(location="avatars", access="public-policy")},
        [("acme-media", "eu-central-1", None, ["default", "avatars"])],
    ),
    (
        "public avatars next to private documents, in two buckets",
        {"default": media(), "avatars": media(bucket_name="acme-avatars", access="public-read")},
        [
            ("acme-media", "eu-central-1", None, ["default"]),
            ("acme-avatars", "eu-central-1", None, ["avatars"]),
        ],
    ),
    (
        "static files on S3 and uploads on disk",
        {"staticfiles": static()},
        [("acme-static", "eu-central-1", None, ["staticfiles"])],
    ),
    (
        "uploads on S3 and static files on disk",
        {"default": media()},
        [("acme-media", "eu-central-1", None, ["default"])],
    ),
    (
        "a prefix for each tenant below a declared one",
        {"default": media(), "tenant": media(location="media/tenant")},
        [("acme-media", "eu-central-1", None, ["default", "tenant"])],
    ),
    (
        "a second region",
        {"default": media(), "backup": media(bucket_name="acme-backup", region_name="us-east-1")},
        [
            ("acme-media", "eu-central-1", None, ["default"]),
            ("acme-backup", "us-east-1", None, ["backup"]),
        ],
    ),
    (
        "a second endpoint with a bucket of the same name",
        {"default": media(), "other": media(endpoint_url="https://s3.example.com")},
        [
            ("acme-media", "eu-central-1", None, ["default"]),
            ("acme-media", "eu-central-1", "https://s3.example.com", ["other"]),
        ],
    ),
    (
        "three storages of uploads",
        {"default": media(), "videos": media(location="videos"), "scans": media(bucket_name="acme-scans")},
        [
            ("acme-media", "eu-central-1", None, ["default", "videos"]),
            ("acme-scans", "eu-central-1", None, ["scans"]),
        ],
    ),
]


@pytest.mark.parametrize(("_what", "entries", "held"), TABLE, ids=[what for what, _, _ in TABLE])
def test_buckets_contain_the_storages_that_use_them(
    settings: Any, _what: str, entries: dict[str, Any], held: Held
) -> None:
    assert [
        (bucket.name, bucket.target.region, bucket.target.endpoint, [each.alias for each in bucket.locations])
        for bucket in load(settings, **entries).buckets
    ] == held


def test_class_attributes_and_options_give_the_same_location(settings: Any) -> None:
    by_class = {"BACKEND": f"{__name__}.Avatars"}
    by_options = media(bucket_name="acme-avatars", location="people", access="public-policy")
    (one,) = load(settings, default=by_class).locations
    (other,) = load(settings, default=by_options).locations
    assert one == other


def test_default_and_staticfiles_come_first(settings: Any) -> None:
    found = load(
        settings,
        avatars=media(location="avatars"),
        assets=static(location="assets"),
        default=media(),
        staticfiles=static(),
    )
    assert [each.alias for each in found.media] == ["default", "avatars"]
    assert [each.alias for each in found.static_locations] == ["staticfiles", "assets"]
    assert found.static is not None
    assert found.static.alias == "staticfiles"


def test_use_s3_local_targets_the_local_server_unless_overridden(settings: Any) -> None:
    settings.USE_S3 = "local"
    entry = media(
        endpoint_url="https://s3.example.com", expected_bucket_owner="1" * 12, access_key="A", secret_key="s"
    )
    (local,) = load(settings, default=entry).locations
    assert local.target.is_local
    assert (local.target.owner, local.target.endpoint) == (None, "http://127.0.0.1:9000")
    (real,) = Deployment.load(local=False).locations
    assert real.target == Target("eu-central-1", "https://s3.example.com", "1" * 12, None, Key("A", "s"))
    assert Deployment.load(local=False).storages["default"].target == real.target


def test_with_key_changes_only_the_credentials(settings: Any) -> None:
    found = load(settings, default=media(session_profile="mine"))
    (location,) = found.with_key(Key("ROOT", "s")).locations
    assert location.target == Target("eu-central-1", key=Key("ROOT", "s"))
    assert replace(location, target=found.locations[0].target) == found.locations[0]


def test_repr_does_not_contain_the_secret_key(settings: Any) -> None:
    assert "hush" not in repr(load(settings, default=media(access_key="A", secret_key="hush")).locations)


# Errors of Deployment.load


def test_load_raises_without_a_storage_on_s3(settings: Any) -> None:
    with pytest.raises(NotOnS3Error, match="no entry of STORAGES has an s3kit backend"):
        load(settings)
    settings.USE_S3 = False
    with pytest.raises(NotOnS3Error, match="because USE_S3 is False: set it to True or 'local'"):
        load(settings, default=media())


def test_load_raises_on_a_typo_in_a_backend(settings: Any) -> None:
    typo = {"BACKEND": "s3kit.storages.MediaStorag"}
    with pytest.raises(
        ImproperlyConfigured, match=r"STORAGES\['default'\] has no usable BACKEND: .*MediaStorag"
    ):
        load(settings, default=typo, staticfiles=static())


def at(alias: str, prefix: str, kind: Any = "media", **given: Any) -> Location:
    target = {name: given.pop(name) for name in ("region", "endpoint", "owner") if name in given}
    usual: dict[str, Any] = {"bucket": "acme", "target": Target(**({"region": "eu-central-1"} | target))}
    return Location(alias=alias, kind=kind, prefix=prefix, **(usual | given))


CDN = {"access": "public-policy", "distribution": ARN}

CONTRADICTIONS = [
    (at("a", "media/"), at("b", "media/public/", access="public-policy"), "overlap in the bucket 'acme'"),
    (at("a", "media/"), at("b", "media/", access="public-read"), "overlap"),
    (at("a", "files/"), at("b", "files/static/", "static"), "overlap"),
    (at("a", "static/", "static"), at("b", "static/", "static"), "overlap"),
    (at("a", "media/", **CDN), at("b", "media/b/", custom_domain="cdn.example.com", **CDN), "overlap"),
    (
        at("a", "a/"),
        at("b", "b/", region="us-east-1"),
        "different regions: eu-central-1 and us-east-1",
    ),
    (at("a", "a/", owner="1"), at("b", "b/", owner="2"), "different owners: 1 and 2"),
]


@pytest.mark.parametrize(("one", "other", "words"), CONTRADICTIONS)
def test_contradicting_locations_are_reported(one: Location, other: Location, words: str) -> None:
    for pair in ((one, other), (other, one)):
        (problem,) = location_problems(pair)
        assert "STORAGES['a']" in problem
        assert "STORAGES['b']" in problem
    assert words in location_problems((one, other))[0]


@pytest.mark.parametrize(
    "other",
    [
        at("b", "media/tenant/"),
        at("b", "media/"),
        at("b", "mediation/", access="public-policy"),
        at("b", "media/", access="public-policy", bucket="other"),
        at("b", "media/", access="public-policy", endpoint="https://s3.example.com"),
        at("b", "b/", owner="1"),
    ],
)
def test_compatible_locations_have_no_problems(other: Location) -> None:
    assert location_problems((at("a", "media/"), other)) == []


def test_load_raises_on_contradicting_locations(settings: Any) -> None:
    public = media(location="media/public", access="public-policy")
    with pytest.raises(ImproperlyConfigured, match="separate locations"):
        load(settings, default=media(), public=public)


@pytest.mark.parametrize(
    ("given", "prefix"), [("media", "media/"), ("a/b//", "a/b/"), (" media/ ", "media/")]
)
def test_location_prefix_ends_with_one_slash(given: str, prefix: str) -> None:
    assert location_prefix(given) == prefix


@pytest.mark.parametrize(
    "wrong", ["", " ", "/", "/media", "a//b", "a/../b", "./a", "a*", "a?", "a\nb", "${x}", "pending/"]
)
def test_location_prefix_rejects_invalid_locations(wrong: str) -> None:
    with pytest.raises(ImproperlyConfigured):
        location_prefix(wrong)
