"""A strict S3 server for tests, over real HTTP: `store` is the server, and `s3_site` a site with buckets on it."""

import fcntl
import http.client
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import botocore.session
import pytest

from s3kit import clients
from s3kit.buckets import apply, plan, policies
from s3kit.buckets import wanted as buckets
from s3kit.buckets.account import Account
from s3kit.deployment import Deployment, Key
from s3kit.local.server import LocalServer, running

REGION = "eu-central-1"
OTHER_ACCOUNT = "111122223333"

# Most tests create sessions, and each session would parse botocore's files again.
botocore.session.create_loader = cache(botocore.session.create_loader)


def s3_storages(
    static: Mapping[str, Any] | None = None, media: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return STORAGES with the library's two storages and these options. `s3_settings` is a shortcut.

    `static` contains the options of "staticfiles", and `media` those of "default"; None stores files on disk.
    """
    disk = {
        "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    found: dict[str, Any] = dict(disk)
    if media is not None:
        found["default"] = {"BACKEND": "s3kit.storages.MediaStorage", "OPTIONS": dict(media)}
    if static is not None:
        found["staticfiles"] = {"BACKEND": "s3kit.storages.StaticStorage", "OPTIONS": dict(static)}
    return found


def s3_settings(
    settings: Any,
    *,
    static: Mapping[str, Any] | None = None,
    media: Mapping[str, Any] | None = None,
    **shared: Any,
) -> None:
    """Point Django's settings at two buckets on AWS, acme-static and acme-media, with these options.

    `shared` contains other settings, such as AWS_S3_REGION_NAME (eu-central-1 by default).
    """
    settings.USE_S3 = True
    settings.AWS_S3_REGION_NAME = REGION
    for name, value in shared.items():
        setattr(settings, name, value)
    settings.STORAGES = s3_storages(
        {"bucket_name": "acme-static"} | dict(static or {}), {"bucket_name": "acme-media"} | dict(media or {})
    )


@dataclass(frozen=True)
class Answer:
    """The response that a visitor gets."""

    status: int
    headers: Mapping[str, str]
    """The names are lower case."""
    body: bytes


def anonymous(
    url: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> Answer:
    """Send a visitor's request: no key, no redirects followed, no exception for an error status."""
    parts = urlsplit(url)
    assert parts.hostname
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target or "/", body, dict(headers or {}))
        got = connection.getresponse()
        return Answer(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read())
    finally:
        connection.close()


@cache
def root_client(store: LocalServer, service: str = "s3") -> Any:
    """Return root's client. All tests share it, because a new one takes longer than most requests."""
    return store.client(service)


def new_user(store: LocalServer, *documents: Mapping[str, Any]) -> Key:
    """Return the key of a new IAM user with only these policies."""
    iam = root_client(store, "iam")
    name = f"user-{secrets.token_hex(6)}"
    iam.create_user(UserName=name)
    for number, document in enumerate(documents):
        iam.put_user_policy(UserName=name, PolicyName=f"p{number}", PolicyDocument=json.dumps(document))
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return Key(made["AccessKeyId"], made["SecretAccessKey"])


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """Return the server, which all tests share. `store.client()` uses root's key, which has all permissions."""
    folder: Path = tmp_path_factory.mktemp("ministack")
    # Some buckets' CORS rules contain origins of other machines, and some buckets belong to another account.
    guarding = {"GUARD_ORIGINS": "*", "GUARD_ACCOUNTS": OTHER_ACCOUNT}
    with running(folder, region=REGION, guarding=guarding) as running_store:
        yield running_store


@pytest.fixture
def bucket_name() -> str:
    """Return the name of a bucket that does not exist."""
    return f"test-{secrets.token_hex(8)}"


@dataclass(frozen=True)
class SiteOnS3:
    """A site with its own buckets."""

    store: LocalServer
    static_bucket: str
    media_bucket: str
    key: Key
    """The key of an IAM user with the permissions of both roles, web and deploy. It is also in the environment."""

    @cached_property
    def root(self) -> Any:
        """Root's S3 client, to inspect and change the buckets."""
        return root_client(self.store)

    def url(self, bucket: str, key: str) -> str:
        """Return an object's unsigned URL. The key must need no encoding."""
        return f"{self.store.endpoint}/{bucket}/{key}"


@contextmanager
def pretended_server(folder: Path, endpoint: str, key: str = "LOCAL") -> Iterator[None]:
    """Make a folder look like that of a running local server. The endpoint and the key are never used."""
    (folder / "endpoint").write_text(f"{endpoint}\n")
    (folder / "credentials").write_text(f"[default]\naws_access_key_id={key}\naws_secret_access_key=s\n")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# The relevant aspects of new buckets.
_NEW: dict[tuple[str, ...], Any] = {}


def prepare(store: LocalServer, deployment: Deployment) -> None:
    """Create buckets as `apply.prepare` does, without its many reads."""
    targets = [bucket.target for bucket in deployment.buckets]
    if any(target.endpoint != store.endpoint or target.provider_name for target in targets):
        apply.prepare(deployment)  # only `apply.prepare` finds out what another server supports
        return
    for want in buckets.wanted(deployment):
        apply._create(want.bucket)
        titles = tuple(want.aspects)
        if titles not in _NEW:
            _NEW[titles] = plan.read(want)
        client, bucket = clients.command(want.bucket.target), plan.named(want.bucket)
        for step in apply.steps(plan.compare(want, _NEW[titles], Account(), replace=False)):
            buckets.ASPECTS[step.aspect].write(client, bucket, step.value)


class MakeSite(Protocol):
    """The type of `s3_site`."""

    def __call__(
        self,
        access: str = "private",
        *,
        one_bucket: bool = False,
        prepared: bool = True,
        static: Mapping[str, Any] | None = None,
        media: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> SiteOnS3:
        """Point the settings at new buckets and a new user's key until the test ends."""


class ActAs(Protocol):
    """The type of `act_as`."""

    def __call__(self, key: Key) -> None:
        """Put this key into the environment for boto3 until the test ends."""


@pytest.fixture
def act_as(monkeypatch: pytest.MonkeyPatch) -> Iterator[ActAs]:
    """Return a function that changes the credentials of the site."""

    def act(key: Key) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key.id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key.secret)
        clients.forget()

    yield act
    clients.forget()


@pytest.fixture
def s3_site(store: LocalServer, settings: Any, act_as: ActAs) -> MakeSite:
    """Return a function that creates a site on S3, with USE_S3 on and buckets that match the settings.

    `static` and `media` are options of the two storages. Without `prepared`, the buckets are new, as AWS
    creates them. `more` contains other settings, which also apply while the buckets are prepared.
    """

    def make(
        access: str = "private",
        *,
        one_bucket: bool = False,
        prepared: bool = True,
        static: Mapping[str, Any] | None = None,
        media: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> SiteOnS3:
        static_bucket = f"static-{secrets.token_hex(8)}"
        media_bucket = static_bucket if one_bucket else f"media-{secrets.token_hex(8)}"
        s3_settings(
            settings,
            static={"bucket_name": static_bucket} | dict(static or {}),
            media={"bucket_name": media_bucket, "access": access} | dict(media or {}),
            **{"AWS_S3_ENDPOINT_URL": store.endpoint} | more,
        )
        wanted = Deployment.load()
        if prepared:
            prepare(store, wanted.with_key(store.root))
        else:
            location = {"LocationConstraint": REGION}
            for name in {static_bucket, media_bucket}:
                root_client(store).create_bucket(Bucket=name, CreateBucketConfiguration=location)
        roles = (policies.document(policies.ROLES[role](wanted)) for role in ("web", "deploy"))
        key = new_user(store, *roles)
        act_as(key)
        return SiteOnS3(store, static_bucket, media_bucket, key)

    return make
