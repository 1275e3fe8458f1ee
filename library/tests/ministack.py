"""A strict S3 for tests, over real HTTP: `store` is the server, `s3_site` a site with buckets there."""

import http.client
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import botocore.loaders
import pytest

from s3kit.buckets import apply
from s3kit import clients
from s3kit.buckets import policies
from s3kit.local.server import EmbeddedS3, Key, running
from s3kit.deployment import Site

REGION = "eu-central-1"

# moto and its like are not strict: these two storages are what a site with USE_S3 has.
STORAGES = {
    "default": {"BACKEND": "s3kit.storages.media.MediaStorage"},
    "staticfiles": {"BACKEND": "s3kit.storages.static.StaticStorage"},
}


LOADER = botocore.loaders.Loader()


@dataclass(frozen=True)
class Answer:
    """What a visitor got."""

    status: int
    headers: Mapping[str, str]
    """The names are lower case."""
    body: bytes


def anonymous(
    url: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> Answer:
    """Ask as a visitor's browser does: no key, no redirect followed, no error raised for a status."""
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


def post_form(post: Mapping[str, Any], body: bytes, **changed: str) -> Answer:
    """Post a file in the form that s3.uploads gives out, as a browser does, with fields changed or added."""
    boundary = secrets.token_hex(8)
    fields = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in (post["fields"] | changed).items()
    ]
    file = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="x.html"\r\n'
        "Content-Type: text/html\r\n\r\n"
    )
    content = "".join([*fields, file]).encode() + body + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return anonymous(post["url"], "POST", headers, content)


def new_user(store: EmbeddedS3, *documents: Mapping[str, Any]) -> Key:
    """Return the key of a new IAM user with just these policies."""
    iam = store.client("iam")
    name = f"user-{secrets.token_hex(6)}"
    iam.create_user(UserName=name)
    for number, document in enumerate(documents):
        iam.put_user_policy(UserName=name, PolicyName=f"p{number}", PolicyDocument=json.dumps(document))
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return Key(made["AccessKeyId"], made["SecretAccessKey"])


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedS3]:
    """Return the server, one for all tests; `store.client()` speaks as root, whom nothing is refused."""
    folder: Path = tmp_path_factory.mktemp("ministack")
    with running(folder, region=REGION) as running_store:
        yield running_store


@pytest.fixture
def bucket_name() -> str:
    """Return the name of a bucket that does not exist."""
    return f"test-{secrets.token_hex(8)}"


@dataclass(frozen=True)
class SiteOnS3:
    """A site whose settings point to buckets of its own."""

    store: EmbeddedS3
    static_bucket: str
    media_bucket: str
    key: Key
    """Of an IAM user with the rights of both roles, web and deploy; s3.client finds it in the environment."""

    @cached_property
    def root(self) -> Any:
        """The S3 client of root, to look at what is there and to put things right or wrong."""
        return self.store.client()

    def url(self, bucket: str, key: str) -> str:
        """Return the plain address of an object; the key must need no encoding."""
        return f"{self.store.endpoint}/{bucket}/{key}"


class MakeSite(Protocol):
    """The type of `s3_site`."""

    def __call__(
        self, access: str = "private", *, one_bucket: bool = False, prepared: bool = True, **more: Any
    ) -> SiteOnS3:
        """Point the settings at new buckets and at a new user's key until the test ends."""


class ActAs(Protocol):
    """The type of `act_as`."""

    def __call__(self, key: Key) -> None:
        """Let s3.client find this key in the environment until the test ends."""


def forget_clients() -> None:
    """Let s3.client look for credentials again."""
    for cached in (clients._core, clients.session, clients._client):
        cached.cache_clear()


@pytest.fixture
def act_as(monkeypatch: pytest.MonkeyPatch) -> Iterator[ActAs]:
    """Return a function that changes the credentials of the site."""

    def act(key: Key) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key.id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key.secret)
        forget_clients()
        # The next session need not parse botocore's files again.
        clients._core().register_component("data_loader", LOADER)

    yield act
    forget_clients()


@pytest.fixture
def s3_site(store: EmbeddedS3, settings: Any, act_as: ActAs) -> MakeSite:
    """Return a function that makes a site on S3: USE_S3 is on, the buckets are there as the settings want.

    `access` is AWS_MEDIA_ACCESS. With `prepared` off the buckets are as AWS makes new ones. `more` are
    further settings, which hold when the buckets are prepared.
    """

    def make(
        access: str = "private", *, one_bucket: bool = False, prepared: bool = True, **more: Any
    ) -> SiteOnS3:
        static_bucket = f"static-{secrets.token_hex(8)}"
        media_bucket = static_bucket if one_bucket else f"media-{secrets.token_hex(8)}"
        settings.AWS_S3_REGION_NAME = REGION
        settings.AWS_S3_ENDPOINT_URL = store.endpoint
        settings.AWS_STATIC_BUCKET_NAME = static_bucket
        settings.AWS_MEDIA_BUCKET_NAME = media_bucket
        settings.AWS_MEDIA_ACCESS = access
        for name, value in more.items():
            setattr(settings, name, value)
        wanted = Site.from_settings()
        if prepared:
            apply.prepare(store.client(), wanted)
        else:
            location = {"LocationConstraint": REGION}
            for name in {static_bucket, media_bucket}:
                store.client().create_bucket(Bucket=name, CreateBucketConfiguration=location)
        key = new_user(
            store, policies.document(policies.web(wanted)), policies.document(policies.deploy(wanted))
        )
        act_as(key)
        settings.USE_S3 = True
        settings.STORAGES = STORAGES
        return SiteOnS3(store, static_bucket, media_bucket, key)

    return make
