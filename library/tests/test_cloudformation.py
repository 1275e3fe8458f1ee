"""The CloudFormation template: an independent parser reads the wanted state from it, and what visitors get."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import jmespath  # type: ignore[import-untyped]
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.core.management import CommandError, call_command

from s3kit import clients
from s3kit.buckets import cloudformation, plan, policies
from s3kit.buckets import wanted as buckets
from s3kit.buckets.cloudformation import CloudFormationError, template
from s3kit.buckets.wanted import EXPOSED_HEADERS, Want, Wanted
from s3kit.deployment import Deployment
from s3kit.local import server
from s3kit.local.server import LocalServer
from s3kit.storages import cloudfront, media
from tests.deployments import ACCESS, ARN, REGION, deployment, location, of
from tests.ministack import s3_settings

ACCOUNT = "123456789012"
CERTIFICATE = f"arn:aws:acm:us-east-1:{ACCOUNT}:certificate/11111111-2222-3333-4444-555555555555"
CDN = "cdn.example.com"
DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "cloudformation.md").read_text("utf-8")


@cache
def key() -> str:
    """Return a private key for `cloudfront_key`."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made.private_bytes(*form).decode()


# The parser replaces intrinsic functions with values, and CloudFormation's names with those of the wanted state.
# It rejects unknown properties, and shares no table with the code that writes templates.


class Stack:
    """A template with the values from a stack in a region and an account."""

    def __init__(self, made: Mapping[str, Any], region: str, stays_open: str = "no") -> None:
        self.made, self.region = made, region
        self.parameters = {"CertificateArn": CERTIFICATE, "BucketsStayOpen": stays_open}

    def resources(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the properties of all resources of a type, with functions replaced by values."""
        found = {name: each for name, each in self.made["Resources"].items() if each["Type"] == kind}
        return {name: self.value(each["Properties"]) for name, each in found.items()}

    def value(self, part: Any) -> Any:
        if isinstance(part, list):
            return [self.value(each) for each in part]
        if not isinstance(part, dict):
            return part
        match list(part.items()):
            case [("Ref", name)]:
                return self.reference(name)
            case [("Fn::GetAtt", [name, attribute])]:
                return self.attribute(name, attribute)
            case [("Fn::FindInMap", [name, first, second])]:
                return self.made["Mappings"][name][self.value(first)][second]
            case [("Fn::If", [name, yes, no])]:
                return self.value(yes if self.value(self.made["Conditions"][name]) else no)
            case [("Fn::Equals", [first, second])]:
                return self.value(first) == self.value(second)
            case [("Fn::Sub", text)]:
                return re.sub(r"\$\{([^}]+)\}", lambda found: str(self.reference(found[1])), text)
        assert not any(name.startswith("Fn::") or name == "Ref" for name in part), part
        return {name: self.value(each) for name, each in part.items()}

    def reference(self, name: str) -> str:
        known = {"AWS::Region": self.region, "AWS::AccountId": ACCOUNT}
        known |= {name: self.parameters[name] for name in self.made.get("Parameters", {})}
        if name in known:
            return known[name]
        resource = self.made["Resources"][name]
        if resource["Type"] == "AWS::S3::Bucket":
            return str(self.value(resource["Properties"]["BucketName"]))
        return "E1ABCDEFGHIJKL" if resource["Type"] == "AWS::CloudFront::Distribution" else f"id-of-{name}"

    def attribute(self, name: str, attribute: str) -> str:
        assert name in self.made["Resources"]
        if attribute == "RegionalDomainName":
            return f"{self.reference(name)}.s3.{self.region}.amazonaws.com"
        return f"{attribute} of {name}"


def renamed(rule: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    assert set(rule) <= set(names), rule
    return {names[name]: value for name, value in rule.items()}


def lifecycle(rule: dict[str, Any]) -> dict[str, Any]:
    same = ("Status", "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload")
    found = renamed(
        {name: value for name, value in rule.items() if name not in {"ExpirationInDays", "Prefix"}},
        {"Id": "ID"} | dict.fromkeys(same, "") | {name: name for name in same},
    )
    if "ExpirationInDays" in rule:
        found["Expiration"] = {"Days": rule["ExpirationInDays"]}
    return found | {"Filter": {"Prefix": rule.get("Prefix", "")}}


def cors(rule: dict[str, Any]) -> dict[str, Any]:
    same = ("AllowedOrigins", "AllowedMethods", "AllowedHeaders")
    names = {name: name for name in same} | {
        "Id": "ID",
        "MaxAge": "MaxAgeSeconds",
        "ExposedHeaders": "ExposeHeaders",
    }
    return renamed(rule, names)


def only(found: Mapping[str, Any], name: str) -> Any:
    """Return the only value of a mapping."""
    assert set(found) == {name}, found
    return found[name]


Buckets = list[tuple[str, dict[str, Any]]]


def read_back(made: Mapping[str, Any], region: str, stays_open: str = "no") -> Buckets:
    """Return a template's buckets and their aspects, in the format of `wanted`."""
    stack = Stack(made, region, stays_open)
    found = []
    for resource in made["Resources"].values():
        if resource["Type"].startswith("AWS::S3::"):
            stays = (resource["DeletionPolicy"], resource["UpdateReplacePolicy"])
            assert stays == ("RetainExceptOnCreate", "Retain")
    documents = {each["Bucket"]: each for each in stack.resources("AWS::S3::BucketPolicy").values()}
    for bucket in stack.resources("AWS::S3::Bucket").values():
        bucket_name = bucket.pop("BucketName")
        regional = bucket.pop("BucketNamespace", None)
        assert regional == ("account-regional" if bucket_name.endswith("-an") else None)
        (encryption,) = only(bucket.pop("BucketEncryption"), "ServerSideEncryptionConfiguration")
        (ownership,) = only(bucket.pop("OwnershipControls"), "Rules")
        rules = only(bucket.pop("LifecycleConfiguration", {"Rules": []}), "Rules")
        origins = only(bucket.pop("CorsConfiguration", {"CorsRules": []}), "CorsRules")
        policy = documents.pop(bucket_name)
        document = policy.pop("PolicyDocument")
        assert list(policy) == ["Bucket"]
        assert document.pop("Version") == "2012-10-17"
        aspects = {
            "encryption": only(only(encryption, "ServerSideEncryptionByDefault"), "SSEAlgorithm"),
            "lifecycle": [lifecycle(rule) for rule in rules],
            "cors": [cors(rule) for rule in origins],
            "bucket ACL": [],  # CloudFormation's default without AccessControl
            "ownership": only(ownership, "ObjectOwnership"),
            "public access block": bucket.pop("PublicAccessBlockConfiguration"),
            "policy": only(document, "Statement"),
        }
        if "VersioningConfiguration" in bucket:
            aspects["versioning"] = only(bucket.pop("VersioningConfiguration"), "Status")
        assert not bucket, bucket
        found.append((bucket_name, aspects))
    assert not documents
    return found


def site(access: str = "private", *, static: str = "", uploads: str = "", **usual: Any) -> Deployment:
    """Return the default site with these custom domains."""
    return deployment(access, static={"custom_domain": static}, media={"custom_domain": uploads}, **usual)


def behind(site: Deployment, distribution: str = ARN) -> Deployment:
    """Return a site with a distribution in front of its buckets."""
    locations = tuple(replace(each, distribution=distribution) for each in site.locations)
    return replace(site, locations=locations)


def values(site: Deployment) -> Buckets:
    found = buckets.wanted(site)
    return [(each.name, {title: want.value for title, want in each.aspects.items()}) for each in found]


def beside_the_cdn(site: Deployment) -> Buckets:
    """Return the wanted buckets with BucketsStayOpen: as without a distribution, which can read them too."""
    found = []
    for (name, closed), (_, aspects) in zip(values(behind(site)), values(behind(site, "")), strict=True):
        sids = [each["Sid"] for each in aspects["policy"]]
        for each in closed["policy"]:
            if each not in aspects["policy"]:
                sid = each["Sid"] + ("Cdn" if each["Sid"] in sids else "")
                aspects["policy"].append({**each, "Sid": sid})
        assert len({each["Sid"] for each in aspects["policy"]}) == len(aspects["policy"])
        found.append((name, aspects))
    return found


REGIONS = ("eu-central-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1")
ORIGINS: tuple[tuple[str, ...], ...] = ((), ("https://www.example.com", "https://example.com"))
DOMAINS = (("", ""), (CDN, ""), (CDN, CDN), ("static.example.com", "media.example.com"))


def modes() -> Iterator[Deployment]:
    """Yield sites for templates: the two default storages in all modes, and sites with more storages."""
    for access, one, versioning, origins, regional, region, (static, uploads) in product(
        ACCESS, (False, True), (False, True), ORIGINS, (False, True), REGIONS, DOMAINS
    ):
        if static and region != "eu-central-1":
            continue
        end = f"-{ACCOUNT}-{region}-an" if regional else ""
        yield deployment(
            access,
            region=region,
            origins=origins,
            key=key(),
            static={"bucket": f"acme-static{end}", "custom_domain": static},
            media={
                "bucket": f"acme-{'static' if one else 'media'}{end}",
                "custom_domain": uploads,
                "versioning": versioning,
            },
        )
    for domain in ("", CDN):
        static_files = location("staticfiles", "static", custom_domain=domain)
        uploads_of = partial(location, custom_domain=domain)
        avatars = uploads_of("avatars", prefix="avatars/", access="public-policy")
        scans = uploads_of("scans", bucket="acme-scans", prefix="scans/")
        videos = uploads_of("videos", bucket="acme-videos", prefix="videos/", access="public-read")
        yield of(static_files, key=key())
        yield of(static_files, uploads_of(), avatars, key=key())
        yield of(static_files, uploads_of(), replace(avatars, bucket="acme-avatars"), key=key())
        yield of(
            static_files, uploads_of(), scans, videos, uploads_of("a", prefix="media/tenant/"), key=key()
        )
        yield of(uploads_of(), avatars, key=key())


def test_templates_of_all_modes_match_the_wanted_state() -> None:
    seen = 0
    for each in modes():
        made = template(each)
        served = any(location.custom_domain for location in each.locations)
        region, wanted = each.locations[0].target.region, behind(each) if served else each
        assert read_back(made, region) == values(wanted), each
        if served:
            assert read_back(made, region, "yes") == beside_the_cdn(each)
        reasons: dict[str, str] = {}
        for resource in made["Resources"].values():
            reasons |= resource.get("Metadata", {}).get("Reasons", {})
        assert set(reasons) == {title for bucket in buckets.wanted(wanted) for title in bucket.aspects}
        assert len(json.dumps(made, indent=2)) < 51_200  # bytes, for a template inside the request
        assert len(made["Description"]) < 1024
        seen += 1
    assert seen == 3 * 2 * 2 * 2 * 2 * (4 + 3) + 2 * 5


def test_template_works_only_in_its_own_region() -> None:
    """CloudFormation rejects it: "Unable to get mapping for BucketByRegion::us-east-1::StaticBucket"."""
    with pytest.raises(KeyError, match="us-east-1"):
        read_back(template(site()), "us-east-1")


def test_template_keeps_an_existing_distribution_in_the_policy() -> None:
    made = template(behind(site()))
    assert read_back(made, REGION) == values(behind(site()))
    assert ARN in json.dumps(made)
    assert "Outputs" not in made


# Every value in the template, and ways to change it


def leaves(part: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for name, each in items:
        yield (*path, name)
        yield from leaves(each, (*path, name))


def changed(
    made: dict[str, Any], path: tuple[Any, ...], change: Callable[[Any, Any], None]
) -> dict[str, Any]:
    copy = json.loads(json.dumps(made))
    parent = copy
    for name in path[:-1]:
        parent = parent[name]
    change(parent, path[-1])
    return dict(copy)


def drop(parent: Any, name: Any) -> None:
    del parent[name]


def alter(parent: Any, name: Any) -> None:
    value = parent[name]
    if isinstance(value, bool):
        parent[name] = not value
    elif isinstance(value, int):
        parent[name] = value + 1
    elif isinstance(value, str):
        parent[name] = value + "x"
    elif isinstance(value, list):
        value.append(value[0] if value else "x")
    else:
        value["Unknown"] = "x"


def test_comparison_detects_every_changed_property() -> None:
    media = {"versioning": True, "custom_domain": CDN}
    whole = deployment("public-policy", origins=ORIGINS[1], static={"custom_domain": CDN}, media=media)
    made = template(whole)
    wanted = (values(behind(whole)), beside_the_cdn(whole))
    assert (read_back(made, REGION), read_back(made, REGION, "yes")) == wanted
    paths = [
        ("Resources", name, "Properties", *path)
        for name, each in made["Resources"].items()
        if each["Type"].startswith("AWS::S3::")
        for path in leaves(each["Properties"])
    ]
    assert len(paths) > 80
    unseen = []
    for path, change in product(paths, (drop, alter)):
        try:
            wrong = changed(made, path, change)
            if (read_back(wrong, REGION), read_back(wrong, REGION, "yes")) == wanted:
                unseen.append((path, change.__name__))
        except (AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError):
            continue  # the parser rejects it
    assert not unseen


# Possible future values of wanted()


def with_value(monkeypatch: pytest.MonkeyPatch, title: str, value: Any) -> None:
    """Change an aspect of the wanted state."""
    real = buckets.wanted

    def wanted(site: Deployment) -> list[Wanted]:
        return [replace(each, aspects={**each.aspects, title: Want(value, "why")}) for each in real(site)]

    monkeypatch.setattr(cloudformation, "wanted", wanted)


RULES: dict[str, dict[str, Any]] = {
    "lifecycle": {
        "ID": "a",
        "Status": "Enabled",
        "Filter": {"Prefix": "pending/"},
        "Expiration": {"Days": 1},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 2, "NewerNoncurrentVersions": 3},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 4},
    },
    "cors": {
        "ID": "a",
        "AllowedOrigins": ["https://www.example.com"],
        "AllowedMethods": ["POST", "PUT"],
        "AllowedHeaders": ["*"],
        "ExposeHeaders": ["ETag"],
        "MaxAgeSeconds": 1,
    },
}


@pytest.mark.parametrize("title", RULES)
def test_every_field_of_a_rule_has_a_cloudformation_property(
    monkeypatch: pytest.MonkeyPatch, title: str
) -> None:
    with_value(monkeypatch, title, [RULES[title]])
    for _name, aspects in read_back(template(site()), REGION):
        assert aspects[title] == [RULES[title]]


@pytest.mark.parametrize(
    ("title", "value", "word"),
    [
        ("lifecycle", [RULES["lifecycle"] | {"Transitions": [{"Days": 1}]}], "Transitions"),
        (
            "lifecycle",
            [RULES["lifecycle"] | {"Filter": {"Tag": {"Key": "a", "Value": "b"}}}],
            "Filter.Tag.Key",
        ),
        ("lifecycle", [RULES["lifecycle"] | {"Expiration": {"Date": "2030-01-01"}}], "Expiration.Date"),
        ("lifecycle", [RULES["lifecycle"] | {"Filter": {}}], "Filter"),
        ("cors", [RULES["cors"] | {"New": 1}], "New"),
        ("public access block", {"BlockPublicAcls": True, "BlockAll": True}, "BlockAll"),
        ("logging", {"TargetBucket": "b"}, "logging"),
    ],
)
def test_fields_without_a_cloudformation_property_raise(
    monkeypatch: pytest.MonkeyPatch, title: str, value: Any, word: str
) -> None:
    with_value(monkeypatch, title, value)
    with pytest.raises(
        CloudFormationError,
        match=rf"know CloudFormation's property for {re.escape(word)}: please report this",
    ):
        template(site())


def test_grants_in_the_bucket_acl_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    with_value(monkeypatch, "bucket ACL", [{"Permission": "READ"}])
    with pytest.raises(CloudFormationError, match="bucket ACL"):
        template(site())


# CloudFront's behaviors, as its guide describes them, and S3's bucket policy


def normalized(path: str) -> str:
    """Return a path without dot segments. CloudFront uses it to find the behavior; S3 gets the original."""
    found: list[str] = []
    for segment in path.split("/")[1:]:
        if segment == "..":
            found = found[:-1]
        elif segment != ".":
            found.append(segment)
    return "/" + "/".join(found)


def visit(made: Mapping[str, Any], path: str, *, signed: bool = False) -> int | tuple[str, str]:
    """Return the bucket and key that a visitor gets through the distribution, or the error status."""
    stack = Stack(made, REGION)
    (distribution,) = stack.resources("AWS::CloudFront::Distribution").values()
    config = distribution["DistributionConfig"]
    named = [
        each for each in config["CacheBehaviors"] if fnmatchcase(normalized(path), f"/{each['PathPattern']}")
    ]
    behavior = (named or [config["DefaultCacheBehavior"]])[0]
    if behavior.get("TrustedKeyGroups") and not signed:
        return 403
    for association in behavior.get("FunctionAssociations", []):
        name = association["FunctionARN"].removeprefix("FunctionARN of ")
        function = made["Resources"][name]["Properties"]
        assert function["AutoPublish"]
        return int(re.findall(r"return \{statusCode: (\d+),", function["FunctionCode"])[0])
    (origin,) = (each for each in config["Origins"] if each["Id"] == behavior["TargetOriginId"])
    bucket, object_key = origin["DomainName"].partition(".")[0], path.lstrip("/")
    (policy,) = (
        each for each in stack.resources("AWS::S3::BucketPolicy").values() if each["Bucket"] == bucket
    )
    for statement in policy["PolicyDocument"]["Statement"]:
        lets_in = statement["Principal"] == {"Service": "cloudfront.amazonaws.com"} and (
            statement["Condition"] == {"StringEquals": {"AWS:SourceArn": ARN}}
        )
        names = statement["Action"] == "s3:GetObject" and fnmatchcase(
            f"arn:aws:s3:::{bucket}/{object_key}", str(statement["Resource"])
        )
        if "OriginAccessControlId" in origin and lets_in and names:
            return bucket, object_key
    # Each upload then has an ACL, which also allows unsigned requests.
    acls = "BucketOwnerPreferred" in json.dumps(made) and object_key.startswith("media/")
    return (bucket, object_key) if acls and "OriginAccessControlId" not in origin else 403


@pytest.mark.parametrize("one", [False, True])
@pytest.mark.parametrize("access", ACCESS)
def test_distribution_serves_only_static_files_and_uploads(access: str, one: bool) -> None:
    uploads = "acme-static" if one else "acme-media"
    made = template(site(access, static=CDN, uploads=CDN, one_bucket=one, key=key()))
    assert visit(made, "/static/site.css") == ("acme-static", "static/site.css")
    assert visit(made, "/media/a.jpg", signed=True) == (uploads, "media/a.jpg")
    assert visit(made, "/media/a.jpg") == (403 if access == "private" else (uploads, "media/a.jpg"))
    for path in (
        *(
            "/",
            "/index.html",
            "/pending/a.jpg",
            "/static",
            "/media",
            "/Static/site.css",
            "/staticx/a",
            "/other/a",
        ),
        *("/static/../pending/a.jpg", "/media/../pending/a.jpg", "/static/./../../pending/a"),
    ):
        assert visit(made, path) == visit(made, path, signed=True) == 404, path
    # Paths that pass the comparison match no existing key, and the policy doesn't interpret dots.
    for path in ("/pending/../static/site.css", "/x/../media/a.jpg"):
        assert visit(made, path, signed=True) == 403


def test_buckets_stay_open_only_if_the_parameter_says_so() -> None:
    made = template(site("public-policy", static=CDN, uploads=CDN))
    assert made["Parameters"]["BucketsStayOpen"]["Default"] == "no"
    for (_, behind), (_, public) in zip(read_back(made, REGION), read_back(made, REGION, "yes"), strict=True):
        assert all(behind["public access block"].values())
        assert not public["public access block"]["RestrictPublicBuckets"]
        assert not any(policies.is_public(statement) for statement in behind["policy"])
        assert sum(policies.is_public(statement) for statement in public["policy"]) == 1
    # In either case, private files are private, and CloudFront can read them.
    made = template(site(static=CDN, uploads=CDN, key=key()))
    assert read_back(made, REGION)[1] == read_back(made, REGION, "yes")[1]


def test_domains_that_differ_only_in_case_are_one_alias() -> None:
    made = template(site(static=CDN, uploads="CDN.example.com", key=key()))
    assert config(made)["Aliases"] == [CDN]


def test_domain_of_static_files_serves_no_uploads() -> None:
    made = template(site(static=CDN, one_bucket=True))
    assert visit(made, "/static/site.css") == ("acme-static", "static/site.css")
    assert visit(made, "/media/a.jpg") == visit(made, "/media/a.jpg", signed=True) == 404
    assert "PublicKey" not in json.dumps(made)


def config(made: Mapping[str, Any]) -> dict[str, Any]:
    (distribution,) = Stack(made, REGION).resources("AWS::CloudFront::Distribution").values()
    return dict(only(distribution, "DistributionConfig"))


@pytest.mark.parametrize("access", ACCESS)
def test_distribution_requires_https_and_signs_requests_to_s3(access: str) -> None:
    domains = {"static": "static.example.com", "uploads": "media.example.com"}
    made = template(site(access, **domains, origins=ORIGINS[1], key=key()))
    stack, found = Stack(made, REGION), config(made)
    assert found["Aliases"] == ["static.example.com", "media.example.com"]
    assert found["ViewerCertificate"] == {
        "AcmCertificateArn": CERTIFICATE,
        "MinimumProtocolVersion": "TLSv1.2_2021",
        "SslSupportMethod": "sni-only",
    }
    assert found["Enabled"] is True
    assert found["HttpVersion"] == "http2and3"
    behaviors = [found["DefaultCacheBehavior"], *found["CacheBehaviors"]]
    headers = stack.resources("AWS::CloudFront::ResponseHeadersPolicy")
    for behavior in behaviors:
        assert behavior["ViewerProtocolPolicy"] == "https-only"
        assert behavior["AllowedMethods"] == behavior["CachedMethods"] == ["GET", "HEAD"]
        assert behavior["Compress"] is True
        sent = headers[behavior["ResponseHeadersPolicyId"].removeprefix("id-of-")][
            "ResponseHeadersPolicyConfig"
        ]
        assert sent["SecurityHeadersConfig"]["ContentTypeOptions"] == {"Override": True}
        assert (
            sent["SecurityHeadersConfig"]["StrictTransportSecurity"]["AccessControlMaxAgeSec"] == 31_536_000
        )
    assert [origin.get("OriginAccessControlId") for origin in found["Origins"]] == [
        "Id of OriginAccessControl",
        None if access == "public-read" else "Id of OriginAccessControl",
    ]
    (control,) = stack.resources("AWS::CloudFront::OriginAccessControl").values()
    assert control["OriginAccessControlConfig"] == {
        "Name": "acme-static",
        "OriginAccessControlOriginType": "s3",
        "SigningBehavior": "always",
        "SigningProtocol": "sigv4",
    }


@pytest.mark.parametrize("one_bucket", [False, True])
def test_distribution_sends_the_cors_headers_of_the_buckets(one_bucket: bool) -> None:
    made = template(site("public-policy", static=CDN, uploads=CDN, origins=ORIGINS[1], one_bucket=one_bucket))
    headers = Stack(made, REGION).resources("AWS::CloudFront::ResponseHeadersPolicy")
    given = {name: each["ResponseHeadersPolicyConfig"].get("CorsConfig") for name, each in headers.items()}
    both = {
        "AccessControlAllowCredentials": False,
        "AccessControlAllowHeaders": {"Items": ["*"]},
        "AccessControlAllowMethods": {"Items": ["GET", "HEAD"]},
        "AccessControlAllowOrigins": {"Items": list(ORIGINS[1])},
        "AccessControlMaxAgeSec": 3600,
        "OriginOverride": True,
    }
    exposed = {"AccessControlExposeHeaders": {"Items": EXPOSED_HEADERS}}
    assert given == {"StaticHeaders": both, "MediaHeaders": both | exposed}
    # CloudFront passes no Origin header to S3, so no response for one origin is cached for others.
    assert all("OriginRequestPolicyId" not in each for each in config(made)["CacheBehaviors"])
    assert '"CorsConfig"' not in json.dumps(template(site(static=CDN, uploads=CDN, key=key())))


def test_signed_cookies_forward_no_query_and_allow_credentials() -> None:
    uploads = {"custom_domain": CDN, "links": "cookies"}
    made = template(deployment(static={"custom_domain": CDN}, media=uploads, key=key(), origins=ORIGINS[1]))
    stack = Stack(made, REGION)
    (media,) = (each for each in config(made)["CacheBehaviors"] if each["PathPattern"] == "media/*")
    assert (
        media["CachePolicyId"] == "658327ea-f89d-4fab-a63d-7e88639e58f6"
    )  # CachingOptimized: no query string
    assert media["TrustedKeyGroups"]
    headers = stack.resources("AWS::CloudFront::ResponseHeadersPolicy")["MediaHeaders"]
    rule = headers["ResponseHeadersPolicyConfig"]["CorsConfig"]
    assert rule["AccessControlAllowCredentials"] is True
    assert rule["AccessControlAllowHeaders"] == {"Items": ["range"]}


@pytest.mark.parametrize("links", ["signed", "site", "cookies"])
def test_storages_for_the_same_files_share_a_behavior(links: str) -> None:
    static_files, uploads = location("staticfiles", "static", custom_domain=CDN), location(custom_domain=CDN)
    editor = replace(uploads, alias="editor", links=links, expire=60)
    alone = replace(uploads, links=links if links == "cookies" else "signed")
    made = template(of(static_files, uploads, editor, origins=ORIGINS[1], key=key()))
    assert made == template(of(static_files, alone, origins=ORIGINS[1], key=key()))


def test_cors_rules_for_uploads_are_not_sent_by_cloudfront(monkeypatch: pytest.MonkeyPatch) -> None:
    with_value(monkeypatch, "cors", [RULES["cors"]])  # such as the one for browser uploads
    assert '"CorsConfig"' not in json.dumps(template(site(static=CDN)))


def test_only_signed_links_forward_response_parameters_to_s3() -> None:
    signed = template(site(static=CDN, uploads=CDN, key=key()))
    public = template(site("public-policy", static=CDN, uploads=CDN))
    (cache_policy,) = Stack(signed, REGION).resources("AWS::CloudFront::CachePolicy").values()
    asked = cache_policy["CachePolicyConfig"]["ParametersInCacheKeyAndForwardedToOrigin"]
    assert config(signed)["CacheBehaviors"][1]["CachePolicyId"] == "id-of-MediaCache"
    assert set(asked["QueryStringsConfig"]["QueryStrings"]) == set(media.LINK_PARAMETERS.values())
    assert len(media.LINK_PARAMETERS) <= 10  # CloudFront's quota for a policy
    managed = "658327ea-f89d-4fab-a63d-7e88639e58f6"
    assert {each["CachePolicyId"] for each in config(public)["CacheBehaviors"]} == {managed}
    assert config(signed)["CacheBehaviors"][0]["CachePolicyId"] == managed


def test_template_contains_the_public_key_but_not_the_private_key() -> None:
    made = template(site(static=CDN, uploads=CDN, key=key()))
    stack = Stack(made, REGION)
    ((name, found),) = stack.resources("AWS::CloudFront::PublicKey").items()
    encoded = found["PublicKeyConfig"]["EncodedKey"]
    numbers = cloudfront.private_key(key()).public_key().public_numbers()
    public = serialization.load_pem_public_key(encoded.encode())
    assert isinstance(public, rsa.RSAPublicKey)
    assert public.public_numbers() == numbers
    text = json.dumps(made)
    assert "PRIVATE" not in text
    assert not any(line in text for line in key().splitlines()[1:-1])
    (group,) = stack.resources("AWS::CloudFront::KeyGroup").values()
    assert group["KeyGroupConfig"]["Items"] == [f"id-of-{name}"]
    assert config(made)["CacheBehaviors"][1]["TrustedKeyGroups"] == [
        f"id-of-{name.replace('PublicKey', 'KeyGroup')}"
    ]
    assert "TrustedKeyGroups" not in config(made)["CacheBehaviors"][0]
    # CloudFront can't change a key: a new key is a new resource, and the group refers to it.
    key.cache_clear()
    other = template(site(static=CDN, uploads=CDN, key=key()))
    assert name not in other["Resources"]


def test_resource_names_fit_the_longest_bucket_name() -> None:
    longest = "a" * 63
    named = {"static": {"bucket": longest, "custom_domain": CDN}, "media": {"custom_domain": CDN}}
    stack = Stack(template(deployment(key=key(), **named)), REGION)
    (control,) = stack.resources("AWS::CloudFront::OriginAccessControl").values()
    (function,) = stack.resources("AWS::CloudFront::Function").values()
    assert len(control["OriginAccessControlConfig"]["Name"]) <= 64
    assert re.fullmatch(r"[a-zA-Z0-9-_]{1,64}", function["Name"])


# The command


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if the code looks for credentials."""

    def nothing(_profile: object) -> None:
        raise AssertionError("asked for credentials")

    monkeypatch.setattr(clients, "_core", nothing)


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    call_command("s3", "plan", "--format", "cloudformation")
    return capsys.readouterr().out


@pytest.mark.usefixtures("no_credentials")
def test_plan_prints_the_template(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    s3_settings(settings)
    text = printed(capsys)
    assert json.loads(text) == template(site())
    assert printed(capsys) == text


@pytest.mark.usefixtures("no_credentials")
def test_template_is_unchanged_after_setting_the_stacks_outputs(
    settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    both = {"static": {"custom_domain": CDN}, "media": {"custom_domain": CDN, "cloudfront_key": key()}}
    s3_settings(settings, **both)
    before = printed(capsys)  # the key's ID is not known yet
    s3_settings(settings, **both, AWS_CLOUDFRONT_DISTRIBUTION_ARN=ARN, AWS_CLOUDFRONT_KEY_ID="K2JCJMDEHXQW5F")
    assert printed(capsys) == before
    assert json.loads(before) == template(site(static=CDN, uploads=CDN, key=key()))


def domains(static: str = "", uploads: str = "", **more: Any) -> dict[str, Any]:
    return {"static": {"custom_domain": static}, "media": {"custom_domain": uploads} | more}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"AWS_S3_ENDPOINT_URL": "https://s3.example.com"},
            "CloudFormation creates buckets only on AWS: unset",
        ),
        (domains("", CDN, cloudfront_key="-"), "cloudfront_key must be"),
        (
            domains(CDN, CDN),
            r"STORAGES\['default'\] is private and has a custom_domain, but no cloudfront_key",
        ),
        (domains("", CDN, access="public-policy"), r"STORAGES\['staticfiles'\] has no custom_domain"),
        (domains("d1.cloudfront.net"), "The custom_domain 'd1.cloudfront.net' .* can't be"),
        (domains("a.execute-api.amazonaws.com"), "can't be an alias"),
        (domains("cdn.example.com:8443"), "can't be an alias"),
        (domains("127.0.0.1"), "can't be an alias"),
        (domains(CDN) | {"AWS_S3_REGION_NAME": "cn-north-1"}, "'aws-cn' of cn-north-1 has no"),
        (domains(CDN) | {"AWS_S3_REGION_NAME": "us-gov-west-1"}, "'aws-us-gov' of us-gov"),
        (domains(CDN) | {"AWS_S3_REGION_NAME": "eusc-de-east-1"}, "'aws-eusc' of eusc"),
        ({"media": {"region_name": "us-east-1"}}, r"in several regions \(eu-central-1, us-east-1\)"),
        ({"media": {"expected_bucket_owner": "1" * 12}}, "in several accounts"),
        (domains(CDN, CDN, location="static/", access="public-policy"), "both have the location 'static/'"),
        ({"static": {"bucket_name": ""}}, "has no bucket"),
        ({"static": {"bucket_name": "Acme"}}, "lowercase"),
    ],
)
@pytest.mark.usefixtures("no_credentials")
def test_settings_without_a_template_are_rejected_in_one_line(
    settings: Any, capsys: pytest.CaptureFixture[str], options: dict[str, Any], says: str
) -> None:
    s3_settings(settings, **options)
    with pytest.raises(CommandError, match=says) as raised:
        printed(capsys)
    assert len(str(raised.value).splitlines()) == 1
    assert capsys.readouterr().out == ""


def test_json_option_equals_format_json() -> None:
    from s3kit.management.commands.s3 import Command

    parser = Command().create_parser("manage.py", "s3")
    formats = [["plan"], ["plan", "--json"], ["plan", "--format", "json"], ["plan", "--format", "text"]]
    assert [parser.parse_args(words).format for words in formats] == ["text", "json", "json", "text"]


def test_documented_query_prints_environment_variables() -> None:
    """The query of `aws cloudformation describe-stacks` is JMESPath, as in the AWS CLI."""
    made = template(site(static=CDN, uploads=CDN, key=key()))
    outputs = [
        {
            "OutputKey": name,
            "OutputValue": Stack(made, REGION).value(each["Value"]),
            "Description": each["Description"],
        }
        for name, each in made["Outputs"].items()
    ]
    (query,) = re.findall(r'--query "([^"]+)"', DOCUMENT)
    found = jmespath.search(query, {"Stacks": [{"Outputs": outputs}]})
    (key_name,) = (name for name in made["Resources"] if name.startswith("PublicKey"))
    assert found == [
        [f"AWS_CLOUDFRONT_DISTRIBUTION_ARN={ARN}"],
        [f"AWS_CLOUDFRONT_KEY_ID=id-of-{key_name}"],
    ]


# The local S3 server's own CloudFormation


# Bucket properties that it doesn't support. The tests above check them in the template.
IGNORED = {"lifecycle", "ownership"}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """Return a local S3 server with CloudFormation and CloudFront."""
    real = server.environment

    def environment(*arguments: Any) -> dict[str, str]:
        found = real(*arguments)
        return found | {"SERVICES": f"{found['SERVICES']},cloudformation,cloudfront"}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "environment", environment)
        with server.running(tmp_path_factory.mktemp("cloud"), region=REGION) as store:
            yield store


def deployed(cloud: LocalServer, made: Mapping[str, Any]) -> dict[str, str]:
    """Create a stack from a template and return its outputs."""
    stacks = cloud.client("cloudformation")
    given = (
        [{"ParameterKey": "CertificateArn", "ParameterValue": CERTIFICATE}] if "Parameters" in made else []
    )
    name = f"acme-{len(stacks.list_stacks()['StackSummaries'])}"
    stacks.create_stack(StackName=name, TemplateBody=json.dumps(made), Parameters=given)
    stacks.get_waiter("stack_create_complete").wait(
        StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 20}
    )
    (stack,) = stacks.describe_stacks(StackName=name)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    return {each["Description"]: each["OutputValue"] for each in stack.get("Outputs", [])}


@pytest.mark.slow
@pytest.mark.parametrize("domain", ["", CDN])
@pytest.mark.parametrize("access", ACCESS)
def test_stack_creates_the_wanted_buckets(
    cloud: LocalServer, access: str, domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It doesn't support key groups, so private uploads stay on S3.
    domains = {"static": domain, "media": "" if access == "private" else domain}
    one, other = (
        {"bucket": f"{kind}-{access}-{len(domain)}", "custom_domain": domains[kind]} for kind in domains
    )
    made = deployment(access, origins=ORIGINS[1], static=one, media=other | {"versioning": True})
    outputs = deployed(cloud, template(made))
    distribution = outputs.get("AWS_CLOUDFRONT_DISTRIBUTION_ARN", "")
    assert bool(distribution) == bool(domain)
    # The template is for AWS: with this server's endpoint, it would contain no TLS statement.
    monkeypatch.setattr(clients, "command", lambda _target: cloud.client())
    for bucket in plan.plan(behind(made, distribution)):
        assert bucket.exists
        assert {line.aspect for line in bucket.lines if line.state != "as wanted"} <= IGNORED
