"""The wanted state as a CloudFormation template, for teams that keep their infrastructure there.

Everything comes from `s3kit.buckets.wanted.wanted`, in CloudFormation's words. What these words can't express
is an error, and never left out. Where custom domains are set, the template also makes the one CloudFront
distribution that serves them, and the buckets let only that in. Names of properties: CloudFormation Template
Reference, AWS::S3::Bucket, AWS::S3::BucketPolicy and AWS::CloudFront::*. Nothing here asks AWS or needs
credentials.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from s3kit import encryption
from s3kit.buckets import policies
from s3kit.buckets.wanted import BLOCKS, EXPOSED_HEADERS, MARK, READ_HEADERS, Wanted, wanted
from s3kit.clients import partition
from s3kit.deployment import Bucket, Deployment, Location
from s3kit.naming import buckets as bucket_names
from s3kit.storages import cloudfront, media

# The distribution's ARN before there is one; in statements it becomes a Fn::Sub.
_ARN = "arn:aws:cloudfront::${AWS::AccountId}:distribution/${Distribution}"

# "Use managed cache policies", CloudFront Developer Guide: CachingOptimized, which goes by Cache-Control,
# compresses, and sends neither query, cookies nor headers to S3.
_CACHING_OPTIMIZED = "658327ea-f89d-4fab-a63d-7e88639e58f6"

# Where an alias cannot be: these names are AWS's own.
_OF_AWS = (".cloudfront.net", ".amazonaws.com")
_DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]([a-z0-9-]*[a-z0-9])?", re.IGNORECASE)

_YEAR = 365 * 24 * 3600  # seconds

_NOT_FOUND = "function handler() {\n  return {statusCode: 404, statusDescription: 'Not Found'};\n}\n"


_SECTIONS = (
    *("AWSTemplateFormatVersion", "Description", "Parameters", "Mappings", "Conditions"),
    *("Resources", "Outputs"),
)


class CloudFormationError(Exception):
    """The wanted state can't be written as a template; the text is one line for a person."""


def template(deployment: Deployment) -> dict[str, Any]:
    """Return the template as data for JSON; the same deployment gives the same template.

    Of each `cloudfront_key` only the public half gets into it. Where custom domains are set, the ARN of a
    distribution gives way to the template's own, so that the template stays the same when the stack has made
    it. Raises CloudFormationError.
    """
    region = _check_buckets(deployment)
    # The order of STORAGES makes no difference.
    deployment = replace(deployment, locations=_distinct(deployment.static_locations + deployment.media))
    served = [(sid, each) for sid, each in policies.sids(deployment.locations) if each.custom_domain]
    if served:
        _check_domains(deployment, region)
        deployment = _through(_ARN, deployment)
    names = _logical_ids(deployment)
    buckets = {names[each.bucket]: each for each in wanted(deployment)}
    resources: dict[str, Any] = {}
    for name, want in buckets.items():
        resources[name] = _bucket(name, want)
        resources[f"{name}Policy"] = _policy(name, want)
    found: dict[str, Any] = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"Static files and uploads of a Django site on S3, in {region};"
        " made by manage.py s3 plan --format cloudformation",
        # In another region the look-up fails before anything is made there. (A bucket is made in the region
        # of its stack, while the site and its addresses go by the region in its settings.)
        "Mappings": {"BucketByRegion": {region: {name: want.name for name, want in buckets.items()}}},
        "Resources": resources,
    }
    if served:
        domains = list(dict.fromkeys(each.custom_domain.lower() for _, each in served))
        keys = {sid: key for sid, each in served if (key := _public_key(deployment, each))}
        found["Parameters"] = _parameters(domains)
        resources |= _cdn(deployment, domains, keys)
        _let_stay_open(deployment, names, resources)
        found["Conditions"] = {"StayOpen": {"Fn::Equals": [{"Ref": "BucketsStayOpen"}, "yes"]}}
        found["Outputs"] = _outputs(domains, keys)
    return {section: found[section] for section in _SECTIONS if section in found}


def _distinct(locations: tuple[Location, ...]) -> tuple[Location, ...]:
    """Return the locations without those of the same files, which differ in their links alone."""
    found: dict[Location, Location] = {}
    for each in locations:
        files = replace(each, alias="", links="", cookie_domain="", expire=0)
        kept = found.setdefault(files, each)
        if each.links == "cookies":
            found[files] = replace(kept, links="cookies")
    return tuple(found.values())


def _check_buckets(deployment: Deployment) -> str:
    """Return the region of all buckets; raise CloudFormationError for what one stack can't hold."""
    for bucket in deployment.buckets:
        if endpoint := bucket.target.endpoint:
            raise CloudFormationError(
                f"{bucket.name} is at the endpoint_url {endpoint}, and CloudFormation makes buckets on AWS"
                " only: unset endpoint_url for this command."
            )
    for what, found in (
        ("regions", {bucket.target.region for bucket in deployment.buckets}),
        ("accounts", {bucket.target.owner or "" for bucket in deployment.buckets}),
    ):
        if len(found) > 1:
            raise CloudFormationError(
                f"The buckets are in several {what} ({', '.join(sorted(found))}), and a stack makes them in"
                " one: use `manage.py s3 apply`."
            )
    return deployment.buckets[0].target.region


def _check_domains(deployment: Deployment, region: str) -> None:
    """Raise CloudFormationError for what one distribution of this template can't serve."""
    locations = deployment.locations
    for each in locations:
        domain = each.custom_domain
        if domain and (not _DOMAIN.fullmatch(domain) or domain.lower().endswith(_OF_AWS)):
            raise CloudFormationError(
                f"The custom_domain {domain!r} of STORAGES[{each.alias!r}] cannot be another name of the"
                " distribution that the template makes: use a domain of your own such as cdn.example.com, or"
                " unset it for this command."
            )
    if partition(region) != "aws":
        raise CloudFormationError(
            f"The partition {partition(region)!r} of {region} has no CloudFront with origin access control:"
            " unset custom_domain for this command."
        )
    for each in deployment.static_locations:
        if not each.custom_domain:
            raise CloudFormationError(
                f"STORAGES[{each.alias!r}] has no custom_domain, but behind a distribution its bucket is"
                " closed to all others: set its custom_domain too; it may be that of the uploads."
            )
    paths: dict[str, Location] = {}
    for each in locations:
        other = paths.setdefault(each.prefix, each) if each.custom_domain else each
        if other is not each:
            raise CloudFormationError(
                f"STORAGES[{other.alias!r}] and STORAGES[{each.alias!r}] both have the location"
                f" {each.prefix!r}, which one distribution can't tell apart: give one of them another location."
            )


def _through(distribution: str, deployment: Deployment) -> Deployment:
    """Return the deployment as it is behind this distribution, or without any."""
    locations = tuple(replace(each, distribution=distribution) for each in deployment.locations)
    return replace(deployment, locations=locations)


def _logical_ids(deployment: Deployment) -> dict[Bucket, str]:
    """Return the buckets' names in the template: StaticBucket, MediaBucket, MediaAvatarsBucket, ...

    A bucket is named after its first location, so that one for both is StaticBucket still when the uploads
    move out of it later.
    """
    names = {location: sid for sid, location in policies.sids(deployment.locations)}
    return {bucket: f"{names[bucket.locations[0]]}Bucket" for bucket in deployment.buckets}


# Buckets

_CORS = {
    "ID": "Id",
    "AllowedOrigins": "AllowedOrigins",
    "AllowedMethods": "AllowedMethods",
    "AllowedHeaders": "AllowedHeaders",
    "ExposeHeaders": "ExposedHeaders",
    "MaxAgeSeconds": "MaxAge",
}
_ENCRYPTION = {
    **{
        f"ApplyServerSideEncryptionByDefault.{same}": f"ServerSideEncryptionByDefault.{same}"
        for same in ("SSEAlgorithm", "KMSMasterKeyID")
    },
    "BucketKeyEnabled": "BucketKeyEnabled",
}
_LIFECYCLE = {
    "ID": "Id",
    "Status": "Status",
    "Filter.Prefix": "Prefix",
    "Expiration.Days": "ExpirationInDays",
    "Expiration.ExpiredObjectDeleteMarker": "ExpiredObjectDeleteMarker",
    **{
        same: same
        for same in (
            "NoncurrentVersionExpiration.NoncurrentDays",
            "NoncurrentVersionExpiration.NewerNoncurrentVersions",
            "AbortIncompleteMultipartUpload.DaysAfterInitiation",
        )
    },
}


def _translated(what: str, rule: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return a rule of boto3's form in CloudFormation's, by the dotted names of what it holds."""
    found: dict[str, Any] = {}
    for path, value in _leaves(rule):
        if path not in names:
            raise CloudFormationError(
                f"{what}: s3kit has no word of CloudFormation's for {path}: please report it."
            )
        if path == "Filter.Prefix" and not value:
            continue  # all objects, which CloudFormation says by no prefix at all
        *parents, last = names[path].split(".")
        inner = found
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
    return found


def _leaves(value: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, each in value.items():
        if isinstance(each, Mapping) and each:
            yield from _leaves(each, f"{path}{name}.")
        else:
            yield f"{path}{name}", each


def _acl(value: Any) -> dict[str, Any]:
    if value:
        raise CloudFormationError("bucket ACL: CloudFormation makes buckets without grants to others.")
    return {}


# The properties that say an aspect of `s3kit.buckets.wanted.ASPECTS`; the policy is a resource of its own.
_PROPERTIES: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "encryption": lambda value: {
        "BucketEncryption": {
            "ServerSideEncryptionConfiguration": [
                _translated("encryption", encryption.default_rule(value), _ENCRYPTION)
            ]
        }
    },
    "tags": lambda value: {"Tags": value},
    "lifecycle": lambda value: (
        {"LifecycleConfiguration": {"Rules": [_translated("lifecycle", rule, _LIFECYCLE) for rule in value]}}
        if value
        else {}
    ),
    "versioning": lambda value: {"VersioningConfiguration": {"Status": value}},
    "cors": lambda value: (
        {"CorsConfiguration": {"CorsRules": [_translated("cors", rule, _CORS) for rule in value]}}
        if value
        else {}
    ),
    "bucket ACL": _acl,
    "ownership": lambda value: {"OwnershipControls": {"Rules": [{"ObjectOwnership": value}]}},
    "public access block": lambda value: {
        "PublicAccessBlockConfiguration": _translated(
            "public access block", value, {name: name for name in BLOCKS}
        )
    },
    "policy": lambda _value: {},
}


# What people uploaded does not go with a stack, nor with a change of the name. A bucket that was made by an
# operation which failed is empty and goes, so that the next try finds the name free.
_STAYS = {"DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"}


def _bucket(name: str, want: Wanted) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "BucketName": {"Fn::FindInMap": ["BucketByRegion", {"Ref": "AWS::Region"}, name]}
    }
    if bucket_names.is_account_regional(want.name):
        properties["BucketNamespace"] = "account-regional"
    for title, each in want.aspects.items():
        if title not in _PROPERTIES:
            raise CloudFormationError(f"s3kit has no word of CloudFormation's for {title}: please report it.")
        properties |= _PROPERTIES[title](each.value)
    return {
        "Type": "AWS::S3::Bucket",
        **_STAYS,
        "Metadata": {
            "Holds": want.holds,
            "Reasons": {title: each.reason for title, each in want.aspects.items() if title != "policy"},
        },
        "Properties": properties,
    }


def _policy(name: str, want: Wanted) -> dict[str, Any]:
    policy = want.aspects["policy"]
    return {
        "Type": "AWS::S3::BucketPolicy",
        # With its bucket, so that what stays is no less and no more closed than it was.
        **_STAYS,
        "Metadata": {"Reasons": {"policy": policy.reason}},
        "Properties": {
            "Bucket": {"Ref": name},
            "PolicyDocument": {"Version": policies.VERSION, "Statement": _referring(policy.value)},
        },
    }


def _referring(value: Any) -> Any:
    """Return the statements with a reference instead of the distribution's ARN."""
    if isinstance(value, Mapping):
        return {name: _referring(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_referring(each) for each in value]
    return {"Fn::Sub": _ARN} if value == _ARN else value


# CloudFront. Names of its resources are unique in an account, and so are those of buckets: stacks of one name
# in two regions do not collide.


def _parameters(domains: list[str]) -> dict[str, Any]:
    return {
        "CertificateArn": {
            "Type": "String",
            "Description": f"The ARN of the certificate in ACM, in us-east-1, for {' and '.join(domains)}",
            "AllowedPattern": "arn:aws:acm:us-east-1:[0-9]{12}:certificate/[0-9a-f-]+",
            "ConstraintDescription": "CloudFront takes certificates of ACM in us-east-1 only, as in"
            " arn:aws:acm:us-east-1:123456789012:certificate/...",
        },
        "BucketsStayOpen": {
            "Type": "String",
            "Description": "yes, while pages of a live site still link to the buckets: they let in whom they"
            " would without CloudFront, too",
            "AllowedValues": ["no", "yes"],
            "Default": "no",
        },
    }


def _let_stay_open(deployment: Deployment, names: Mapping[Bucket, str], resources: dict[str, Any]) -> None:
    """Give the resources of the buckets both states: behind CloudFront, and open beside it meanwhile."""

    def put(properties: dict[str, Any], name: str, value: Any) -> None:
        if properties[name] != value:
            properties[name] = {"Fn::If": ["StayOpen", value, properties[name]]}

    for name, want in zip(names.values(), wanted(_through("", deployment)), strict=True):
        block = "PublicAccessBlockConfiguration"
        put(resources[name]["Properties"], block, _bucket(name, want)["Properties"][block])
        closed = resources[f"{name}Policy"]["Properties"]["PolicyDocument"]
        statements = _policy(name, want)["Properties"]["PolicyDocument"]["Statement"]
        taken = {statement["Sid"] for statement in statements}
        for statement in closed["Statement"]:
            if statement not in statements:
                sid = statement["Sid"]
                statements.append(statement | {"Sid": f"{sid}Cdn" if sid in taken else sid})
        put(closed, "Statement", statements)


def _public_key(deployment: Deployment, location: Location) -> str:
    """Return the public half as PEM where links to uploads are signed, else nothing."""
    if not location.is_private:
        return ""
    _, private = deployment.storages[location.alias].cloudfront_pair
    if not private:
        raise CloudFormationError(
            f"STORAGES[{location.alias!r}] has a custom_domain and is private, but no cloudfront_key: make one"
            " (openssl genrsa 2048 | base64 -w0) and set it; the template gets its public half."
        )
    try:
        key = cloudfront.private_key(private)
    except ValueError as error:
        raise CloudFormationError(str(error)) from None
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _digest(key: str) -> str:
    # A public key cannot be changed (CannotChangeImmutablePublicKeyFields): another key is another resource.
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def _cdn(deployment: Deployment, domains: list[str], keys: Mapping[str, str]) -> dict[str, Any]:
    """Return CloudFront's resources; `keys` are the public keys of the private locations."""
    buckets, names = wanted(deployment), _logical_ids(deployment)
    unique = buckets[0].name
    found: dict[str, Any] = {
        "OriginAccessControl": {
            "Type": "AWS::CloudFront::OriginAccessControl",
            "Properties": {
                "OriginAccessControlConfig": {
                    "Name": unique,
                    "OriginAccessControlOriginType": "s3",
                    "SigningBehavior": "always",
                    "SigningProtocol": "sigv4",
                }
            },
        },
        "NothingElse": {
            "Type": "AWS::CloudFront::Function",
            "Metadata": {"Reason": "what is in no location is not asked of S3 at all"},
            "Properties": {
                "Name": unique,
                "AutoPublish": True,
                "FunctionConfig": {"Comment": "404 for all else", "Runtime": "cloudfront-js-2.0"},
                "FunctionCode": _NOT_FOUND,
            },
        },
    }
    behaviors, origins = [], []
    for sid, location in policies.sids(deployment.locations):
        if not location.custom_domain:
            continue
        (bucket,) = (each for each in buckets if location in each.bucket.locations)
        headers = f"{location.kind.capitalize()}Headers"
        by_cookies = location.links == "cookies"
        rules = bucket.aspects["cors"].value
        found[headers] = _headers(f"{unique}-{location.kind}", rules, location, credentials=by_cookies)
        behavior = _behavior(sid, location.prefix, headers)
        if key := keys.get(sid):
            found |= _signed_links(unique, key)
            behavior["TrustedKeyGroups"] = [{"Ref": f"KeyGroup{_digest(key)}"}]
            # Cookies are for all addresses below a prefix, so that nobody may ask S3 for other headers by a query.
            behavior["CachePolicyId"] = _CACHING_OPTIMIZED if by_cookies else {"Ref": "MediaCache"}
        behaviors.append(behavior)
        # With public-read each upload's ACL lets everybody in, and no policy lets CloudFront in.
        origins.append(_origin(sid, names[bucket.bucket], signs=location.through_cdn))
    default = _behavior(origins[0]["Id"], "", behaviors[0]["ResponseHeadersPolicyId"]["Ref"])
    del default["PathPattern"]
    default["FunctionAssociations"] = [
        {"EventType": "viewer-request", "FunctionARN": {"Fn::GetAtt": ["NothingElse", "FunctionARN"]}}
    ]
    # The first that matches counts, so what lies within another location comes before it.
    behaviors.sort(key=lambda each: -len(each["PathPattern"]))
    found["Distribution"] = {
        "Type": "AWS::CloudFront::Distribution",
        "Properties": {
            "DistributionConfig": {
                "Comment": f"Files of {unique}",
                "Enabled": True,
                "HttpVersion": "http2and3",
                "IPV6Enabled": True,
                "Aliases": domains,
                "ViewerCertificate": {
                    "AcmCertificateArn": {"Ref": "CertificateArn"},
                    "MinimumProtocolVersion": "TLSv1.2_2021",
                    "SslSupportMethod": "sni-only",
                },
                "Origins": origins,
                "DefaultCacheBehavior": default,
                "CacheBehaviors": behaviors,
            }
        },
    }
    return found


def _origin(name: str, bucket: str, *, signs: bool) -> dict[str, Any]:
    origin: dict[str, Any] = {
        "Id": name,
        "DomainName": {"Fn::GetAtt": [bucket, "RegionalDomainName"]},
        "S3OriginConfig": {"OriginAccessIdentity": ""},
    }
    if signs:
        origin["OriginAccessControlId"] = {"Fn::GetAtt": ["OriginAccessControl", "Id"]}
    return origin


def _behavior(origin: str, prefix: str, headers: str) -> dict[str, Any]:
    return {
        "PathPattern": f"{prefix}*",
        "TargetOriginId": origin,
        "ViewerProtocolPolicy": "https-only",
        "AllowedMethods": ["GET", "HEAD"],
        "CachedMethods": ["GET", "HEAD"],
        "Compress": True,
        "CachePolicyId": _CACHING_OPTIMIZED,
        "ResponseHeadersPolicyId": {"Ref": headers},
    }


def _headers(
    name: str, cors: list[dict[str, Any]], location: Location, *, credentials: bool
) -> dict[str, Any]:
    """Return what CloudFront adds to answers.

    It gives CORS headers itself, by the bucket's rule: S3's would have to be cached for each origin apart, and
    the first visitor without one would take them from all others. `credentials` lets scripts send cookies.
    """
    config: dict[str, Any] = {
        "Name": name,
        "SecurityHeadersConfig": {
            "ContentTypeOptions": {"Override": True},
            "StrictTransportSecurity": {
                "AccessControlMaxAgeSec": _YEAR,
                "IncludeSubdomains": False,
                "Override": True,
            },
        },
    }
    for rule in cors:
        if str(rule.get("ID", "")).startswith(MARK):
            config["CorsConfig"] = {
                "AccessControlAllowCredentials": credentials,
                # With credentials browsers take * for a name.
                "AccessControlAllowHeaders": {"Items": READ_HEADERS if credentials else ["*"]},
                # Uploads go to the bucket itself.
                "AccessControlAllowMethods": {"Items": ["GET", "HEAD"]},
                "AccessControlAllowOrigins": {"Items": rule["AllowedOrigins"]},
                "AccessControlMaxAgeSec": rule["MaxAgeSeconds"],
                "OriginOverride": True,
            }
            if location.kind == "media":
                config["CorsConfig"]["AccessControlExposeHeaders"] = {"Items": EXPOSED_HEADERS}
    return {
        "Type": "AWS::CloudFront::ResponseHeadersPolicy",
        "Properties": {"ResponseHeadersPolicyConfig": config},
    }


def _signed_links(unique: str, key: str) -> dict[str, Any]:
    """Return the key that links are checked with, and a cache that knows what a link may ask of S3."""
    digest = _digest(key)
    return {
        f"PublicKey{digest}": {
            "Type": "AWS::CloudFront::PublicKey",
            "Properties": {
                "PublicKeyConfig": {
                    "Name": f"{unique}-{digest}",
                    "CallerReference": f"{unique}-{digest}",
                    "EncodedKey": key,
                }
            },
        },
        f"KeyGroup{digest}": {
            "Type": "AWS::CloudFront::KeyGroup",
            "Properties": {
                "KeyGroupConfig": {"Name": f"{unique}-{digest}", "Items": [{"Ref": f"PublicKey{digest}"}]}
            },
        },
        "MediaCache": {
            "Type": "AWS::CloudFront::CachePolicy",
            "Metadata": {
                "Reason": "a link's response-* parameters reach S3; the signature covers them, so that nobody"
                " else can turn an upload into HTML"
            },
            "Properties": {
                "CachePolicyConfig": {
                    "Name": f"{unique}-media",
                    "MinTTL": 1,
                    "DefaultTTL": 24 * 3600,
                    "MaxTTL": _YEAR,
                    "ParametersInCacheKeyAndForwardedToOrigin": {
                        "CookiesConfig": {"CookieBehavior": "none"},
                        "HeadersConfig": {"HeaderBehavior": "none"},
                        "QueryStringsConfig": {
                            "QueryStringBehavior": "whitelist",
                            "QueryStrings": sorted(media.LINK_PARAMETERS.values()),
                        },
                        "EnableAcceptEncodingBrotli": True,
                        "EnableAcceptEncodingGzip": True,
                    },
                }
            },
        },
    }


def _outputs(domains: list[str], keys: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings that the stack's resources give, by their names as descriptions, and the DNS record."""
    found = {
        "DistributionArn": {"Description": "AWS_CLOUDFRONT_DISTRIBUTION_ARN", "Value": {"Fn::Sub": _ARN}},
        "DomainName": {
            "Description": f"Make a CNAME record, or an alias in Route 53, of {' and '.join(domains)} to it",
            "Value": {"Fn::GetAtt": ["Distribution", "DomainName"]},
        },
    }
    for sid, key in keys.items():
        what = "AWS_CLOUDFRONT_KEY_ID" if len(set(keys.values())) == 1 else f"cloudfront_key_id of {sid}"
        name = "KeyId" if len(set(keys.values())) == 1 else f"KeyId{sid}"
        found[name] = {"Description": what, "Value": {"Ref": f"PublicKey{_digest(key)}"}}
    return found
