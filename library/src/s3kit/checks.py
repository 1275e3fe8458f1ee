"""System checks of the storages on S3. They need no network, no credentials, and no running service.

They check the real target, even with USE_S3="local", to find a wrong name long before a deploy uses it.
"""

import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004 -- Django's own name
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import storages

from s3kit import csp, encryption, providers
from s3kit.deployment import LOOPBACK, Location, location_problems, name_problems, s3_aliases
from s3kit.naming import regions
from s3kit.options import MAX_EXPIRE, conf, is_origin

TAG = "s3kit"

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?")
# Tutorials for django-storages set this: the host name of one bucket, which all storages would share.
_S3_HOST = re.compile(r"(^|\.)s3[.-]([a-z0-9.-]+\.)?amazonaws\.(com|com\.cn|eu)/?$")
# What botocore accepts as a region.
_LABEL = re.compile(r"(?![0-9]+$)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_DISTRIBUTION = re.compile(r"arn:(aws[a-z-]*):cloudfront::[0-9]{12}:distribution/[A-Z0-9]+")
_DISTRIBUTION_EXAMPLE = "arn:aws:cloudfront::123456789012:distribution/E1ABCDEFGHIJKL"


@register(TAG)
def check_order(**_kwargs: Any) -> list[CheckMessage]:
    """Check that the library's collectstatic comes before Django's."""
    # Names of apps, because an entry of INSTALLED_APPS may be the path of a configuration.
    names = [config.name for config in apps.get_app_configs()]
    theirs = "django.contrib.staticfiles"
    if theirs in names and "s3kit" in names[names.index(theirs) :]:
        return [
            Error(
                f"INSTALLED_APPS lists 's3kit' after {theirs!r}, so Django's collectstatic runs instead of the"
                " library's.",
                hint=f"Move 's3kit' above {theirs!r}.",
                id="s3kit.E012",
            )
        ]
    return []


@register(TAG)
def check_storages(**_kwargs: Any) -> list[CheckMessage]:
    """Check the storages on S3."""
    try:
        return _off() if conf.use_s3 is False else all_checks(later=conf.is_local)
    except ImproperlyConfigured as error:  # from USE_S3, or an entry of STORAGES that can't be imported
        return [Error(str(error), id="s3kit.E014")]


@register(TAG)
def check_csp(**_kwargs: Any) -> list[CheckMessage]:
    """Check S3KIT_CSP_ADDITIONS."""
    try:
        csp.all_additions()
    except ImproperlyConfigured as error:
        return [Error(str(error), id="s3kit.E018")]
    return []


def _off() -> list[CheckMessage]:
    return [
        Warning(
            f"USE_S3 is False, but STORAGES[{alias!r}] is on S3, so its files go there.",
            hint="Set it to a storage on disk, or remove USE_S3.",
            id="s3kit.W011",
        )
        for alias in s3_aliases()
    ]


def all_checks(*, later: bool = False) -> list[CheckMessage]:
    """Return what is wrong with the storages on S3 and their shared settings.

    With `later`, the real target is not in use yet, so its bucket, its region, and the site's origins may be missing.
    """
    found: list[CheckMessage] = []
    locations: list[Location] = []
    for alias in s3_aliases():
        try:
            storage: Any = storages[alias]
            storage = storage.bound(local=False)
        except ImproperlyConfigured as error:
            found.append(Error(f"STORAGES[{alias!r}]: {error}", id="s3kit.E003"))
            continue
        location = storage.location_as(alias)
        locations.append(location)
        found += [*([] if later else _missing(alias, location)), *_storage(alias, storage, location)]
    found += [Error(f"{problem}", id="s3kit.E013") for problem in location_problems(tuple(locations))]
    found += _shared_bucket(locations)
    found += _boto3_variables(locations)
    found += _origins(locations, later=later)
    found += _trusted_accounts()
    found += _permission()
    # A problem that several storages share appears once.
    return list({(check.id, check.msg): check for check in found}.values())


def _storage(alias: str, storage: Any, location: Location) -> Iterator[CheckMessage]:
    yield from _region(location)
    yield from _bucket(location)
    yield from _custom_domain(alias, location)
    yield from _distribution(alias, location)
    yield from _endpoint(alias, location)
    yield from _provider(location)
    yield from _owner(alias, location)
    if location.is_open and encryption.is_kms(location.target.encryption):
        yield Error(
            f"STORAGES[{alias!r}] is encrypted with a KMS key, and S3 rejects visitors who read such files without a"
            " signature.",
            hint="Set its option encryption to 'AES256', or set cloudfront_distribution.",
            id="s3kit.E017",
        )
    if location.kind == "media":
        yield from _media(alias, storage, location)


def _missing(alias: str, location: Location) -> Iterator[CheckMessage]:
    if not location.bucket:
        yield Error(
            f"STORAGES[{alias!r}] has no bucket.",
            hint="Set its option bucket_name.",
            id="s3kit.E001",
        )
    if not location.target.region:
        yield Error(
            f"STORAGES[{alias!r}] has no region.",
            hint="Set AWS_S3_REGION_NAME or the option region_name, for example to eu-central-1.",
            id="s3kit.E002",
        )


def _region(location: Location) -> Iterator[CheckMessage]:
    region = location.target.region
    if not region:
        return
    if location.target.endpoint:  # other servers have other regions: auto, nyc3, us-west-004
        if not _LABEL.fullmatch(region):
            yield Error(
                f"The region {region!r} is not a valid name of a region.",
                hint="Use the region in the server's documentation. Many servers accept us-east-1.",
                id="s3kit.E002",
            )
        return
    near = regions.suggestion(region)
    hint = f"Did you mean {near}?" if near else "Choose one of AWS's list of regions, such as eu-central-1."
    for problem in regions.problems(region):
        yield Error(f"{region!r} {problem.message}.", hint=hint, id="s3kit.E002")
    if not regions.problems(region) and not regions.is_known(region):
        yield Warning(
            f"The library does not know the region {region!r}.",
            hint=f"{hint} If the region is new, silence this check.",
            id="s3kit.W001",
        )


def _bucket(location: Location) -> Iterator[CheckMessage]:
    for message, fix in name_problems(location) if location.bucket else ():
        yield Error(message, hint=fix, id="s3kit.E001")


def _custom_domain(alias: str, location: Location) -> Iterator[CheckMessage]:
    domain = location.custom_domain
    if _S3_HOST.search(domain):
        yield Error(
            f"STORAGES[{alias!r}]: the custom_domain {domain!r} is the address of a bucket, not of a CDN.",
            hint="Leave out custom_domain and AWS_S3_CUSTOM_DOMAIN: without them, links go to the bucket.",
            id="s3kit.E004",
        )
    elif domain and not _HOST.fullmatch(domain):
        host = urlsplit(domain.strip()).netloc or domain.strip().split("/")[0]
        example = host if _HOST.fullmatch(host) else "static.example.com"
        yield Error(
            f"STORAGES[{alias!r}]: the custom_domain {domain!r} is not a host name.",
            hint=f"Leave out the scheme, path, slashes, and spaces: {example}",
            id="s3kit.E004",
        )


def _distribution(alias: str, location: Location) -> Iterator[CheckMessage]:
    arn, region = location.distribution, location.target.region
    if not arn:
        return
    match = _DISTRIBUTION.fullmatch(arn)
    if not match:
        yield Error(
            f"The cloudfront_distribution {arn!r} is not the ARN of a CloudFront distribution.",
            hint=f"An ARN looks like {_DISTRIBUTION_EXAMPLE}",
            id="s3kit.E011",
        )
    elif region and not regions.problems(region):
        from s3kit.clients import partition

        if match[1] != partition(region):
            yield Error(
                f"The cloudfront_distribution is in the partition {match[1]!r}, but the region {region} is in"
                f" {partition(region)!r}. The two have separate accounts.",
                hint="Use a distribution in the partition of the buckets.",
                id="s3kit.E011",
            )
    if location.kind == "static" and not location.custom_domain:
        yield Warning(
            f"STORAGES[{alias!r}]: only CloudFront may read the files, but pages link to the bucket.",
            hint="Set custom_domain to the distribution's domain name.",
            id="s3kit.W007",
        )


def _endpoint(alias: str, location: Location) -> Iterator[CheckMessage]:
    url = location.target.endpoint
    if not url:
        return
    parts = _split(url)
    if parts is None:
        yield Error(
            f"The endpoint_url {url!r} is not a scheme and a host, with an optional port.",
            hint="Write https://s3.example.com or http://127.0.0.1:9000, without a path, query, or password.",
            id="s3kit.E008",
        )
        return
    host = parts.hostname or ""
    if location.bucket and host.startswith(f"{location.bucket}."):
        yield Error(
            f"STORAGES[{alias!r}]: the endpoint_url {url!r} includes the bucket, which the library adds to the path.",
            hint=f"Leave out the bucket: {parts.scheme}://{parts.netloc.split('.', 1)[1]}",
            id="s3kit.E009",
        )
    if re.search(r"\.amazonaws\.(com|com\.cn|eu)$", host):
        yield Warning(
            f"The endpoint_url {url!r} is AWS. With an endpoint_url, the bucket is in the path, but AWS needs it in the"
            " host name.",
            hint="Leave out endpoint_url. The region is enough for AWS.",
            id="s3kit.W008",
        )
    if parts.scheme == "http" and host not in LOOPBACK and not settings.DEBUG:
        yield Warning(
            f"The endpoint_url {url!r} is plain HTTP, so others on the network can read uploads and signed links.",
            hint="Use https.",
            id="s3kit.W005",
        )


def _provider(location: Location) -> Iterator[CheckMessage]:
    target = location.target
    names = [each.name for each in providers.PROVIDERS]
    if target.provider_name not in {"", *names}:
        yield Error(
            f"The library does not know the provider {target.provider_name!r}.",
            hint=f"Set AWS_S3_PROVIDER to one of these, or leave it out: {', '.join(names)}.",
            id="s3kit.E019",
        )
    meant = providers.region(target.endpoint, target.provider_name)
    if meant and target.region != meant:
        yield Warning(
            f"The region is {target.region!r}, but the endpoint_url {target.endpoint!r} of {target.provider.title}"
            f" needs {meant}.",
            hint=f"Set AWS_S3_REGION_NAME to {meant}, or leave it out.",
            id="s3kit.W013",
        )


def _split(url: str) -> SplitResult | None:
    """Return the parts of an endpoint's URL, or None if it is not one."""
    try:
        parts = urlsplit(url)
        bare = f"{parts.scheme}://{parts.netloc}"
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        return None
    if (
        not good
        or parts.username is not None
        or url.rstrip("/").lower() != bare.lower()
        or re.search(r"\s", url)
    ):
        return None
    return parts


def _owner(alias: str, location: Location) -> Iterator[CheckMessage]:
    owner = location.target.owner
    if owner and not re.fullmatch(r"[0-9]{12}", owner):
        yield Error(
            f"STORAGES[{alias!r}]: the expected_bucket_owner {owner!r} is not an account ID.",
            hint="An account ID has 12 digits and no hyphens. `aws sts get-caller-identity` prints yours.",
            id="s3kit.E010",
        )


def _trusted_accounts() -> Iterator[CheckMessage]:
    for account in conf.trusted_accounts:
        if not re.fullmatch(r"[0-9]{12}", account):
            yield Error(
                f"AWS_TRUSTED_ACCOUNTS has {account!r}, which is not an account ID.",
                hint="List IDs of 12 digits, without hyphens, as strings: ['123456789012'].",
                id="s3kit.E016",
            )


def _media(alias: str, storage: Any, location: Location) -> Iterator[CheckMessage]:
    if not (isinstance(location.expire, int) and 1 <= location.expire <= MAX_EXPIRE):
        yield Error(
            f"STORAGES[{alias!r}]: querystring_expire is {location.expire!r}. S3 accepts only links that are valid for"
            f" 1 to {MAX_EXPIRE} seconds (7 days).",
            hint="Set it to a whole number of seconds in this range. The default is 3600.",
            id="s3kit.E007",
        )
    if storage.file_overwrite:
        yield Warning(
            f"STORAGES[{alias!r}] has file_overwrite on, so an upload replaces any other file of the same name.",
            hint="Turn it off, unless your code chooses all names.",
            id="s3kit.W010",
        )
    if location.access == "public-read" and location.distribution and location.custom_domain:
        yield Warning(
            f"STORAGES[{alias!r}]: access is public-read, so each upload's ACL makes it public at the bucket's address,"
            " too, but only CloudFront should read the bucket.",
            hint="Set access to public-policy (public through CloudFront) or private.",
            id="s3kit.W006",
        )
    yield from _cloudfront_key(alias, storage.cloudfront_pair, location)
    if location.links == "site":
        yield from _lasting_links(alias, storage)
    if location.links == "cookies":
        yield from _cookies(alias, location)


def _lasting_links(alias: str, storage: Any) -> Iterator[CheckMessage]:
    try:
        storage.lasting_url("a")
    except ImproperlyConfigured as error:
        yield Error(
            f"STORAGES[{alias!r}] has links 'site'. {error}",
            hint="Add a line to urls.py for each storage with links 'site'.",
            id="s3kit.E020",
        )


def _permission() -> Iterator[CheckMessage]:
    from s3kit.links.access import rule

    try:
        rule()
    except ImproperlyConfigured as error:
        yield Error(
            str(error),
            hint="Correct the setting, or leave it out to let only staff follow these links.",
            id="s3kit.E022",
        )


def _cookies(alias: str, location: Location) -> Iterator[CheckMessage]:
    """Check that browsers send the cookies of the site to the CDN."""
    domain = location.cookie_domain.lower().removeprefix(".")
    called = f"STORAGES[{alias!r}] has links 'cookies'"
    hosts = [location.custom_domain] if location.custom_domain else []
    hosts += [host for origin in conf.origins if (host := urlsplit(origin).hostname)]
    outside = [host for host in hosts if not f".{host.lower()}".endswith(f".{domain}")]
    if "s3kit.links.cookies.CookiesMiddleware" not in settings.MIDDLEWARE:
        yield Warning(
            f"{called}, but nothing sets the cookies.",
            hint="Add 's3kit.links.cookies.CookiesMiddleware' to MIDDLEWARE. If your views call"
            " s3kit.links.set_cookies(), silence this check.",
            id="s3kit.W020",
        )
    if not location.custom_domain:
        wrong, fix = (
            "it has no custom_domain to send them to",
            "Set it to the distribution's domain name, such as media.example.com.",
        )
    elif not domain or not _HOST.fullmatch(domain) or "." not in domain:
        wrong = f"cloudfront_cookie_domain is {location.cookie_domain!r}"
        fix = "Set AWS_CLOUDFRONT_COOKIE_DOMAIN to the domain that the site and custom_domain share: example.com."
    elif domain.endswith(("cloudfront.net", "amazonaws.com")):
        wrong = f"browsers reject cookies for {domain}, which AWS's customers share"
        fix = "Give the distribution a name in the site's own domain, such as media.example.com."
    elif outside:
        wrong = f"{outside[0]} is not part of cloudfront_cookie_domain {domain!r}"
        fix = "Use one domain for the site and custom_domain: www.example.com and media.example.com are in example.com."
    else:
        return
    yield Error(f"{called}, but {wrong}.", hint=fix, id="s3kit.E021")


def _cloudfront_key(alias: str, pair: tuple[str, str], location: Location) -> Iterator[CheckMessage]:
    named = dict(zip(("cloudfront_key_id", "cloudfront_key"), pair, strict=True))
    missing = [name for name, value in named.items() if not value]
    signs = location.custom_domain and not _S3_HOST.search(location.custom_domain)
    if missing and signs and location.access == "private":
        yield Error(
            f"STORAGES[{alias!r}] is private and has a custom_domain, but its links can't be signed without"
            f" {' and '.join(missing)}.",
            hint="Create a key pair for CloudFront and set both, or set access to public-policy.",
            id="s3kit.E005",
        )
    elif len(missing) == 1:
        (there,) = (name for name in named if name not in missing)
        yield Warning(
            f"{there} is set, but {missing[0]} is not. Signed links need both.",
            hint=f"Set {missing[0]}, too, or neither.",
            id="s3kit.W004",
        )
    if named["cloudfront_key"]:
        from s3kit.storages import cloudfront

        try:
            cloudfront.private_key(named["cloudfront_key"])
        except (ValueError, ImproperlyConfigured) as error:
            yield Error(
                str(error),
                hint="Run `openssl genrsa -out private.pem 2048`. Set it to the output of `base64 -w0 private.pem`.",
                id="s3kit.E006",
            )


def _shared_bucket(locations: list[Location]) -> Iterator[CheckMessage]:
    private = {(each.bucket, each.target.where) for each in locations if each.is_private}
    for location in locations:
        shared = (location.bucket, location.target.where) in private
        if location.kind == "static" and not location.distribution and location.bucket and shared:
            yield Warning(
                f"The bucket {location.bucket!r} has public static files and private uploads. A mistake in its policy,"
                f" which opens {location.prefix}*, would open the uploads.",
                hint="Move the uploads to another bucket, or set cloudfront_distribution.",
                id="s3kit.W002",
            )


def _boto3_variables(locations: list[Location]) -> Iterator[CheckMessage]:
    # AWS_REGION and AWS_DEFAULT_REGION may differ: on ECS and Lambda they are the region of the process.
    endpoints = {(each.target.endpoint or "").rstrip("/") for each in locations}
    for variable in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        theirs = os.environ.get(variable, "").strip().rstrip("/")
        if theirs and endpoints and theirs not in endpoints:
            shown = ", ".join(map(repr, sorted(endpoints)))
            yield Warning(
                f"{variable} is {theirs!r}, but endpoint_url is {shown}. The site uses endpoint_url, but AWS's tools in"
                f" the same shell use {variable}.",
                hint=f"Unset {variable}, or give both the same value.",
                id="s3kit.W003",
            )


def _origins(locations: list[Location], *, later: bool) -> Iterator[CheckMessage]:
    for origin in conf.origins if locations else ():
        if not is_origin(origin):
            yield Error(
                f"{conf.origins_setting} has {origin!r}, which is not an origin.",
                hint="Write a scheme and a host, with an optional port: https://www.example.com",
                id="s3kit.E015",
            )
    remote = [location for location in locations if not location.target.is_loopback]
    if remote and not conf.origins and not later and not settings.DEBUG:
        yield Warning(
            "AWS_SITE_ORIGINS and CSRF_TRUSTED_ORIGINS are empty, so the buckets don't let the site's pages load fonts"
            " and JavaScript modules, read uploads in scripts, or upload directly.",
            hint='Set AWS_SITE_ORIGINS = ["https://www.example.com"] to the origins that browsers show.',
            id="s3kit.W009",
        )
