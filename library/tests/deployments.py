"""Deployments for tests that need no settings, and records of the writes to their buckets."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from s3kit import clients
from s3kit.deployment import Deployment, Location, Target

REGION = "eu-central-1"
ARN = "arn:aws:cloudfront::123456789012:distribution/E1ABCDEFGHIJKL"
ACCESS = ("private", "public-read", "public-policy")


def location(alias: str = "default", kind: Any = "media", **given: Any) -> Location:
    """Return a location. Accepts its own fields and those of its target, such as region and endpoint."""
    names = ("region", "endpoint", "owner", "encryption")
    target = {name: given.pop(name) for name in names if name in given}
    return Location(
        **{
            "alias": alias,
            "kind": kind,
            "bucket": f"acme-{kind}",
            "prefix": f"{kind}/",
            "target": Target(**({"region": REGION} | target)),
            "access": "private" if kind == "media" else "public-policy",
        }
        | given
    )


def deployment(
    access: str = "private",
    *,
    one_bucket: bool = False,
    origins: tuple[str, ...] = (),
    key: str = "",
    static: dict[str, Any] | None = None,
    media: dict[str, Any] | None = None,
    **both: Any,
) -> Deployment:
    """Return the default site: static files in acme-static, and uploads in acme-media, or both in acme-static.

    `static`, `media` and `both` are fields of the locations; `key` is the cloudfront_key of the uploads.
    """
    more = {"bucket": "acme-static"} if one_bucket else {}
    locations = (
        location("staticfiles", "static", **(both | (static or {}))),
        location(access=access, **(both | more | (media or {}))),
    )
    return of(*locations, origins=origins, key=key)


def of(*locations: Location, origins: tuple[str, ...] = (), key: str = "") -> Deployment:
    """Return the deployment of these locations."""
    storage = SimpleNamespace(manifest_name="staticfiles.json", cloudfront_pair=("", key))
    return Deployment(locations, origins, {each.alias: storage for each in locations})


def at(store: Any, *locations: Location, **usual: Any) -> Deployment:
    """Return locations, by default the default site's, on the local server with root's key."""
    made = of(*locations) if locations else deployment(**usual)
    there = (replace(each, target=replace(each.target, endpoint=store.endpoint)) for each in made.locations)
    return replace(made, locations=tuple(there)).with_key(store.root)


def as_root(store: Any) -> Deployment:
    """Return the deployment in STORAGES, with the local server's root key."""
    return Deployment.load().with_key(store.root)


@contextmanager
def writes(site: Deployment, *, fail_at: int | None = None) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Record a site's writes to its buckets, with their parameters. The write with this number fails instead."""
    made: list[tuple[str, dict[str, Any]]] = []

    def record(params: dict[str, Any], model: Any, **_more: Any) -> None:
        if not model.name.startswith(("Get", "Head", "List")):
            if len(made) == fail_at:
                error: Any = {"Error": {"Code": "InternalError", "Message": "no"}, "ResponseMetadata": {}}
                raise ClientError(error, model.name)
            made.append((model.name, dict(params)))

    events = [clients.command(target).meta.events for target in {bucket.target for bucket in site.buckets}]
    for each in events:
        each.register("provide-client-params.s3", record)
    try:
        yield made
    finally:
        for each in events:
            each.unregister("provide-client-params.s3", record)
