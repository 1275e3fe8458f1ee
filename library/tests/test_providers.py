"""Providers other than AWS: their profiles, and a site on a replay of each provider's behavior."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace as but
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage, storages
from django.core.management import call_command

from s3kit import checks, providers
from s3kit.buckets import apply, plan, show
from s3kit.buckets.wanted import ASPECTS, BucketError
from s3kit.deployment import Deployment, Target
from s3kit.doctor.shared import fetch
from s3kit.local.server import LocalServer
from s3kit.providers import PROVIDERS, TOPICS, UNKNOWN, provider
from s3kit.uploads.pending import Pending
from tests import providers as page
from tests.deployments import at, location, writes
from tests.doctored import examined, troubles
from tests.ministack import MakeSite, SiteOnS3, anonymous, s3_settings
from tests.odd_store import REPLAYS, OddStore
from tests.tls_front import certificate, tls_front

NAMES = [each.name for each in PROVIDERS]
BY_NAME = {each.name: each for each in PROVIDERS}
ORIGINS = ("https://www.example.com",)
REGION = "eu-central-1"

# Profiles


def test_providers_page_is_up_to_date() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.page(), "run `python -m tests.providers` in library/"


def test_every_fact_has_a_source_or_is_measured() -> None:
    for each in PROVIDERS:
        assert each.facts.keys() <= TOPICS.keys(), each.name
        for topic, fact in each.facts.items():
            assert re.match(r"https://|measured$", fact.source), (each.name, topic)
            assert fact.answer != "partly" or fact.note, (each.name, topic)
        for text in (each.regions, each.keys, each.public):
            assert "(https://" in text or "measured" in text, each.name
    assert set(TOPICS) - set(ASPECTS) == {"object ACLs", "conditional writes", "direct uploads"}
    assert set(ASPECTS) <= set(TOPICS)


def test_every_provider_has_a_replay_of_its_limits() -> None:
    """A replay rejects every bucket call that the provider documents as unsupported."""
    titles = {"policy": "policy", "publicAccessBlock": "public access block", "encryption": "encryption"}
    titles |= {
        "ownershipControls": "ownership",
        "acl": "bucket ACL",
        "versioning": "versioning",
        "tagging": "tags",
    }
    assert REPLAYS.keys() == BY_NAME.keys()
    for name, dialect in REPLAYS.items():
        lacks = {title for title in ASPECTS if BY_NAME[name].lacks(title)}
        rejected = {
            titles[sub]
            for sub in (*dialect.unknown, *dialect.rejected, *dialect.rejected_writes)
            if sub in titles
        }
        assert lacks <= rejected, name


@pytest.mark.parametrize(
    ("endpoint", "name", "region"),
    [
        ("https://0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com", "r2", "auto"),
        ("https://0123456789abcdef0123456789abcdef.eu.r2.cloudflarestorage.com", "r2", "auto"),
        ("https://s3.us-west-004.backblazeb2.com", "b2", "us-west-004"),
        ("https://nyc3.digitaloceanspaces.com", "digitalocean", "nyc3"),
        ("https://fsn1.your-objectstorage.com", "hetzner", "fsn1"),
        ("https://s3.eu-central-1.wasabisys.com", "wasabi", "eu-central-1"),
        ("https://s3.wasabisys.com", "wasabi", "us-east-1"),
        ("https://S3.Wasabisys.com:443", "wasabi", "us-east-1"),
        ("https://s3.nl-1.wasabisys.com", "wasabi", ""),
        ("https://nyc3.digitaloceanspaces.com.example.com", "", ""),
        ("https://digitaloceanspaces.com", "", ""),
        ("https://evilbackblazeb2.com", "", ""),
        ("http://127.0.0.1:9000", "", ""),
        ("http://[::1", "", ""),
        (None, "aws", ""),
    ],
)
def test_provider_and_region_come_from_the_host(endpoint: str | None, name: str, region: str) -> None:
    assert (provider(endpoint).name, providers.region(endpoint)) == (name, region)


def test_provider_name_overrides_the_host() -> None:
    assert provider("https://nyc3.digitaloceanspaces.com", "garage").name == "garage"
    assert provider("https://s3.example.com", "minioo") is UNKNOWN
    assert provider(None, "garage").name == "aws"
    assert Target("", "http://127.0.0.1:1", is_local=True).provider.name == "aws"


def test_region_defaults_to_the_one_in_the_host(settings: Any) -> None:
    s3_settings(settings, AWS_S3_ENDPOINT_URL="https://nyc3.digitaloceanspaces.com", AWS_S3_REGION_NAME="")
    assert {each.target.region for each in Deployment.load().locations} == {"nyc3"}
    assert [each.id for each in checks.all_checks()] == ["s3kit.W009"]


@pytest.mark.parametrize(
    ("endpoint", "region", "meant"),
    [
        ("https://abc.r2.cloudflarestorage.com", "eu-central-1", "auto"),
        ("https://s3.us-west-004.backblazeb2.com", "us-west-002", "us-west-004"),
        ("https://s3.us-west-004.backblazeb2.com", "us-west-004", ""),
        ("https://minio.example.com", "anything", ""),
    ],
)
def test_region_that_contradicts_the_host_is_a_warning(
    settings: Any, endpoint: str, region: str, meant: str
) -> None:
    s3_settings(settings, AWS_S3_ENDPOINT_URL=endpoint, AWS_S3_REGION_NAME=region, AWS_SITE_ORIGINS=ORIGINS)
    found = checks.all_checks()
    assert [each.id for each in found] == ["s3kit.W013"] * bool(meant)
    if meant:
        assert f"The region is {region!r}, but the endpoint_url" in found[0].msg
        assert f"Set AWS_S3_REGION_NAME to {meant}" in str(found[0].hint)


# A replay


@pytest.fixture
def odd(
    store: LocalServer, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OddStore]:
    monkeypatch.setattr(apply, "PAUSES", (0, 0, 0))
    with OddStore(store.endpoint, REPLAYS[request.param], store.client()) as started:
        yield started


def on(odd: OddStore, site: Deployment, name: str) -> Deployment:
    """Return a site on the provider, with a region that it accepts."""
    region = odd.dialect.region or REGION
    return but(
        site,
        locations=tuple(
            but(each, target=but(each.target, provider_name=name, region=region)) for each in site.locations
        ),
    )


# The remaining differences in a plan after `apply`: from the profile, and from the server's responses.
LEFT: dict[str, dict[str, str]] = {
    "r2": {},
    "b2": {"policy": "not supported"},
    "digitalocean": {},
    "hetzner": {},
    "wasabi": {},
    "minio": {"encryption": "optional", "cors": "missing"},
    "ceph": {"encryption": "optional"},
    "garage": {},
    "seaweedfs": {},
    "rustfs": {"encryption": "optional"},
}
ALL = pytest.mark.parametrize(("odd", "name"), [(name, name) for name in NAMES], indirect=["odd"], ids=NAMES)
SUBS = {"policy": "policy", "public access block": "publicAccessBlock", "ownership": "ownershipControls"}
SUBS |= {"bucket ACL": "acl", "encryption": "encryption", "versioning": "versioning"}


@pytest.mark.slow
@ALL
def test_plan_and_apply_work_on_each_provider(
    odd: OddStore, name: str, store: LocalServer, bucket_name: str
) -> None:
    known = BY_NAME[name]
    uploads = location(bucket=bucket_name)
    files = location(
        "staticfiles", "static", bucket=f"{bucket_name}-static", custom_domain="static.example.com"
    )
    site = on(odd, at(odd.seen_by(store), files, uploads), name)
    site = but(site, origins=ORIGINS)
    told: list[str] = []
    before = plan.plan(site)
    for line in before[1].lines:
        assert (line.state == "not supported") == known.lacks(line.aspect), line.aspect
    done = apply.apply(site, before, tell=told.append)
    assert {bucket for bucket, aspect in done if aspect == "bucket"} == {bucket_name, f"{bucket_name}-static"}
    again = plan.plan(site)
    for found in again:
        lacks = {
            title for title in SUBS if known.lacks(title) and title in {line.aspect for line in found.lines}
        }
        states = {line.aspect: line.state for line in found.lines if line.state != "as wanted"}
        assert states == dict.fromkeys(lacks, "not supported") | LEFT[name]
        assert not found.conflicts
    assert len([line for line in told if "skipped" in line]) == 2 * len(
        {title for title, state in LEFT[name].items() if state != "not supported"}
    )
    # Features that the profile rules out are not requested.
    for title, sub in SUBS.items():
        assert not (known.lacks(title) and odd.count("", rf"\?{sub}(=|&|$)")), title
    assert not odd.deleted
    with writes(site) as made:
        apply.apply(site, again)
    assert {operation for operation, _ in made} <= {"PutObject", "DeleteObject", "PutBucketCors"}
    assert "not supported by this server, skipped" in show.as_text(again, width=1000) or not any(
        known.lacks(title) for title in SUBS
    )


@pytest.mark.slow
@ALL
def test_apply_detects_missing_features_without_a_profile(
    odd: OddStore, name: str, store: LocalServer, bucket_name: str
) -> None:
    """Without a profile, as with another host, the bucket is set up as far as the server supports it."""
    site = but(on(odd, at(odd.seen_by(store), location(bucket=bucket_name)), ""), origins=ORIGINS)
    told: list[str] = []
    apply.apply(site, plan.plan(site), tell=told.append)
    assert told[0] == f"{bucket_name}: created"
    states = {line.aspect: line.state for line in plan.plan(site)[0].lines if line.state != "as wanted"}
    lacks = {title for title in SUBS if title != "versioning" and BY_NAME[name].lacks(title)}
    partly = {"minio": {"lifecycle": "missing"}, "garage": {"lifecycle": "different"}}
    partly["ceph"] = {"public access block": "optional"}
    assert states == dict.fromkeys(lacks, "not supported") | LEFT[name] | partly.get(name, {})
    unblocked = (
        "public access block: BlockPublicAcls left off, because with it the server denies every upload"
    )
    assert (f"{bucket_name}: {unblocked}" in told) == (name == "ceph")
    assert not odd.deleted


@pytest.mark.slow
@ALL
def test_plan_rejects_required_features_that_a_provider_lacks(
    odd: OddStore, name: str, store: LocalServer, bucket_name: str
) -> None:
    known = BY_NAME[name]
    wants: dict[str, dict[str, Any]] = {
        "policy": {"access": "public-policy"},
        "object ACLs": {"access": "public-read"},
        "versioning": {"versioning": True},
    }
    for topic, options in wants.items():
        if known.lacks(topic):
            site = on(odd, at(odd.seen_by(store), location(bucket=bucket_name, **options)), name)
            with pytest.raises(BucketError, match="does not support"):
                plan.plan(site)
    if known.lacks("policy"):
        site = on(odd, at(odd.seen_by(store), location("staticfiles", "static", bucket=bucket_name)), name)
        with pytest.raises(BucketError, match="set custom_domain to a host that serves them"):
            plan.plan(site)
    assert not odd.count("PUT")


# The doctor's lines for a private site that are not ok.
DOCTOR: dict[str, list[str]] = {
    "r2": ["server: Cloudflare R2 does not support policy"],
    "b2": ["if-none-match: Backblaze B2 does not support conditional writes"],
    "digitalocean": ["server: DigitalOcean Spaces does not support encryption"],
    "hetzner": [
        "server: Hetzner Object Storage does not support encryption",
        "server: Hetzner Object Storage does not support ownership",
    ],
    "wasabi": [],
    "minio": ["server: MinIO and AIStor does not support public access block"],
    "ceph": ["server: Ceph Object Gateway does not support ownership"],
    "garage": [
        "if-none-match: Garage does not support conditional writes",
        "server: Garage does not support encryption",
        "server: Garage does not support policy",
    ],
    "seaweedfs": ["server: SeaweedFS does not support public access block"],
    "rustfs": [],
}


@pytest.mark.slow
@ALL
def test_site_works_on_each_provider(
    odd: OddStore,
    name: str,
    s3_site: MakeSite,
    store: LocalServer,
    settings: Any,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known, buckets = BY_NAME[name], list[str]()
    settings.STATICFILES_DIRS = [tmp_path]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    settings.STATICFILES_MANIFEST = None
    (tmp_path / "site.css").write_text("body { color: red }")
    trusted, served = certificate(tmp_path_factory.mktemp("tls"))
    monkeypatch.setenv("AWS_CA_BUNDLE", str(trusted))
    with tls_front(store.endpoint, served, lambda path, _cookies: f"/{buckets[0]}{path}") as host:
        more = {"AWS_S3_PROVIDER": name, "AWS_S3_ENDPOINT_URL": odd.endpoint, "AWS_SITE_ORIGINS": ORIGINS}
        needs_domain = "policy" in odd.dialect.rejected
        site: SiteOnS3 = s3_site(
            static={"custom_domain": host} if needs_domain else {},
            **more,
            AWS_S3_REGION_NAME=odd.dialect.region or REGION,
        )
        buckets.append(site.static_bucket)
        if needs_domain:  # which the provider's console or another command makes public
            reads = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject"}
            reads["Resource"] = f"arn:aws:s3:::{site.static_bucket}/static/*"
            document = json.dumps({"Version": "2012-10-17", "Statement": [reads]})
            site.root.put_bucket_policy(Bucket=site.static_bucket, Policy=document)

        stored = default_storage.save("notes/grün.txt", ContentFile("grün".encode()))
        with default_storage.open(stored) as file:
            assert file.read() == "grün".encode()
        assert default_storage.exists(stored)
        assert anonymous(default_storage.url(stored)).body == "grün".encode()
        assert anonymous(default_storage.url(stored).partition("?")[0]).status == 403
        another = default_storage.save(stored, ContentFile(b"another"))
        assert (stored, another == stored) == ("notes/grün.txt", False)
        default_storage.delete(stored)
        assert not default_storage.exists(stored)

        call_command("collectstatic", interactive=False, verbosity=0)
        address = storages["staticfiles"].url("site.css")
        assert fetch(address).body == b"body { color: red }"

        target = Deployment.load().media[0].target
        url, headers = Pending(target, site.media_bucket, "pending/a").signed_put("text/plain", 2)
        assert ("if-none-match" in headers) == (known.conditional_writes is True)
        assert anonymous(url, "PUT", headers, b"ok").status == 200
        assert anonymous(url, "PUT", headers, b"too long").status == 403

        report = examined()
    if known.lacks("conditional writes"):
        assert not [each for each in odd.requests if each.method == "PUT" and "if-none-match" in each.headers]
    assert troubles(report).keys() == {each.partition(": ")[0] for each in DOCTOR[name]}
    lines = [
        f"{line.probe}: {line.text.partition(': ')[0]}" for line in report.lines if line.status == "warning"
    ]
    assert sorted(lines) == DOCTOR[name]
    assert not report.failed
    assert not report.not_probed


@pytest.mark.slow
@pytest.mark.parametrize("odd", ["b2"], indirect=True)
def test_push_works_without_conditional_writes(odd: OddStore, s3_site: MakeSite, tmp_path: Path) -> None:
    site: SiteOnS3 = s3_site(
        AWS_S3_PROVIDER="b2", AWS_S3_ENDPOINT_URL=odd.endpoint, static={"custom_domain": "a.example"}
    )
    (tmp_path / "a.txt").write_text("pushed")
    call_command("s3", "push", source=tmp_path, stdout=StringIO(), stderr=StringIO())
    assert site.root.get_object(Bucket=site.media_bucket, Key="media/a.txt")["Body"].read() == b"pushed"
