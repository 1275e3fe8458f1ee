"""The wanted state as a CloudFormation template, for teams that keep their infrastructure there.

Everything comes from `s3kit.buckets.wanted.wanted`, said in CloudFormation's words; what has no words here is refused,
never left out. Where custom domains are set, the template also makes the one CloudFront distribution that
serves them, and the buckets let only that in. Names of properties: CloudFormation Template Reference,
AWS::S3::Bucket, AWS::S3::BucketPolicy and AWS::CloudFront::*. Nothing here asks AWS or needs credentials.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings

from s3kit.buckets import policies
from s3kit.buckets.wanted import BLOCKS, MARK, Bucket, wanted
from s3kit.clients import MEDIA_PREFIX, STATIC_PREFIX, partition
from s3kit.deployment import Site
from s3kit.naming import buckets as bucket_names
from s3kit.storages import media

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
    """The wanted state cannot be said as a template; the text is one line for a person."""


def from_settings() -> dict[str, Any]:
    """Return the template of the site that Django's settings describe, whether or not USE_S3 is on.

    Of AWS_CLOUDFRONT_KEY only the public half gets into it. Raises CloudFormationError.
    """
    return template(Site.from_settings(), settings.AWS_STATIC_CUSTOM_DOMAIN, settings.AWS_CLOUDFRONT_KEY)


def template(site: Site, static_domain: str = "", private_key: str = "") -> dict[str, Any]:
    """Return the template as data for JSON; the same site gives the same template.

    `static_domain` is the static files' custom domain (the uploads' is in the site), `private_key` the one
    that signs links to private uploads, as in AWS_CLOUDFRONT_KEY. A distribution's ARN in the site gives way
    to the template's own distribution, so that the template stays the same when the stack has made it.
    Raises CloudFormationError.
    """
    if site.endpoint:
        raise CloudFormationError(
            f"AWS_S3_ENDPOINT_URL is set ({site.endpoint}), and CloudFormation makes buckets on AWS only:"
            " unset it for this command."
        )
    through_cdn = bool(static_domain or site.media_domain)
    if through_cdn:
        _check_domains(site, static_domain)
        site = replace(site, distribution=_ARN)
    buckets = {_logical_id(site, bucket.name): bucket for bucket in wanted(site)}
    resources: dict[str, Any] = {}
    for name, bucket in buckets.items():
        resources[name] = _bucket(name, bucket)
        resources[f"{name}Policy"] = _policy(name, bucket)
    found: dict[str, Any] = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"Static files and uploads of a Django site on S3, in {site.region};"
        " made by manage.py s3 plan --format cloudformation",
        # In another region the look-up fails before anything is made there. (A bucket is made in the region
        # of its stack, while the site and its addresses go by AWS_S3_REGION_NAME.)
        "Mappings": {"BucketByRegion": {site.region: {name: each.name for name, each in buckets.items()}}},
        "Resources": resources,
    }
    if through_cdn:
        found["Parameters"] = _parameters(_domains(site, static_domain))
        key = _public_key(site, private_key)
        resources |= _cdn(site, static_domain, buckets, key)
        _let_stay_open(site, resources)
        found["Conditions"] = {"StayOpen": {"Fn::Equals": [{"Ref": "BucketsStayOpen"}, "yes"]}}
        found["Outputs"] = _outputs(_domains(site, static_domain), key)
    return {section: found[section] for section in _SECTIONS if section in found}


def _check_domains(site: Site, static_domain: str) -> None:
    """Refuse what one distribution of this template cannot serve."""
    for variable, domain in (
        ("AWS_STATIC_CUSTOM_DOMAIN", static_domain),
        ("AWS_MEDIA_CUSTOM_DOMAIN", site.media_domain),
    ):
        if domain and (not _DOMAIN.fullmatch(domain) or domain.lower().endswith(_OF_AWS)):
            raise CloudFormationError(
                f"{variable}: {domain!r} cannot be another name of the distribution that the template makes:"
                " name a domain of your own such as cdn.example.com, or unset it for this command."
            )
    if partition(site.region) != "aws":
        raise CloudFormationError(
            f"AWS_STATIC_CUSTOM_DOMAIN and AWS_MEDIA_CUSTOM_DOMAIN: the partition {partition(site.region)!r}"
            f" of {site.region} has no CloudFront with origin access control: unset both for this command."
        )
    if not static_domain:
        raise CloudFormationError(
            "AWS_MEDIA_CUSTOM_DOMAIN is set and AWS_STATIC_CUSTOM_DOMAIN is not, but behind a distribution"
            " both buckets are closed to all others: set AWS_STATIC_CUSTOM_DOMAIN too; it may be the same."
        )


def _domains(site: Site, static_domain: str) -> list[str]:
    return list(dict.fromkeys(name.lower() for name in (static_domain, site.media_domain) if name))


def _logical_id(site: Site, bucket: str) -> str:
    # One bucket for both keeps this name when the uploads move out of it later.
    return "StaticBucket" if bucket == site.static_bucket else "MediaBucket"


# Buckets

_CORS = {
    "ID": "Id",
    "AllowedOrigins": "AllowedOrigins",
    "AllowedMethods": "AllowedMethods",
    "AllowedHeaders": "AllowedHeaders",
    "ExposeHeaders": "ExposedHeaders",
    "MaxAgeSeconds": "MaxAge",
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
                f"{what}: s3/cloudformation.py has no word of CloudFormation's for {path}: add it there."
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
            "ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": value}}]
        }
    },
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


def _bucket(name: str, bucket: Bucket) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "BucketName": {"Fn::FindInMap": ["BucketByRegion", {"Ref": "AWS::Region"}, name]}
    }
    if bucket_names.is_account_regional(bucket.name):
        properties["BucketNamespace"] = "account-regional"
    for title, want in bucket.aspects.items():
        if title not in _PROPERTIES:
            raise CloudFormationError(
                f"s3/cloudformation.py has no word of CloudFormation's for {title}: add it there."
            )
        properties |= _PROPERTIES[title](want.value)
    return {
        "Type": "AWS::S3::Bucket",
        **_STAYS,
        "Metadata": {
            "Holds": bucket.holds,
            "Reasons": {title: want.reason for title, want in bucket.aspects.items() if title != "policy"},
        },
        "Properties": properties,
    }


def _policy(name: str, bucket: Bucket) -> dict[str, Any]:
    want = bucket.aspects["policy"]
    return {
        "Type": "AWS::S3::BucketPolicy",
        # With its bucket, so that what stays is no less and no more closed than it was.
        **_STAYS,
        "Metadata": {"Reasons": {"policy": want.reason}},
        "Properties": {
            "Bucket": {"Ref": name},
            "PolicyDocument": {"Version": policies.VERSION, "Statement": _referring(want.value)},
        },
    }


def _referring(value: Any) -> Any:
    """Return the statements with a reference in the place of the distribution's ARN."""
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


def _let_stay_open(site: Site, resources: dict[str, Any]) -> None:
    """Give the resources of the buckets both states: behind CloudFront, and open beside it meanwhile."""

    def put(properties: dict[str, Any], name: str, value: Any) -> None:
        if properties[name] != value:
            properties[name] = {"Fn::If": ["StayOpen", value, properties[name]]}

    for bucket in wanted(replace(site, distribution="")):
        name = _logical_id(site, bucket.name)
        block = "PublicAccessBlockConfiguration"
        put(resources[name]["Properties"], block, _bucket(name, bucket)["Properties"][block])
        closed = resources[f"{name}Policy"]["Properties"]["PolicyDocument"]
        statements = _policy(name, bucket)["Properties"]["PolicyDocument"]["Statement"]
        taken = {statement["Sid"] for statement in statements}
        for statement in closed["Statement"]:
            if statement not in statements:
                sid = statement["Sid"]
                statements.append(statement | {"Sid": f"{sid}Cdn" if sid in taken else sid})
        put(closed, "Statement", statements)


def _public_key(site: Site, private_key: str) -> str:
    """Return the public half as PEM where links to uploads are signed, else nothing."""
    if not (site.media_domain and site.access == "private"):
        return ""
    if not private_key.strip():
        raise CloudFormationError(
            "AWS_MEDIA_CUSTOM_DOMAIN is set and uploads are private, but AWS_CLOUDFRONT_KEY is not set: make"
            " one (openssl genrsa 2048 | base64 -w0) and set it; the template gets its public half."
        )
    try:
        key = media.cloudfront_key(private_key.strip())
    except ValueError as error:
        raise CloudFormationError(str(error)) from None
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _key_id(key: str) -> str:
    # A public key cannot be changed (CannotChangeImmutablePublicKeyFields): another key is another resource.
    return f"PublicKey{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def _cdn(site: Site, static_domain: str, buckets: Mapping[str, Bucket], key: str) -> dict[str, Any]:
    unique = site.static_bucket
    cors = buckets["StaticBucket"].aspects["cors"].value
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
            "Metadata": {"Reason": "what is neither static/* nor media/* is not asked of S3 at all"},
            "Properties": {
                "Name": unique,
                "AutoPublish": True,
                "FunctionConfig": {"Comment": "404 for all else", "Runtime": "cloudfront-js-2.0"},
                "FunctionCode": _NOT_FOUND,
            },
        },
        "StaticHeaders": _headers(f"{unique}-static", cors),
    }
    static = _behavior("static", STATIC_PREFIX, "StaticHeaders")
    behaviors, origins = [static], [_origin("static", "StaticBucket", signs=True)]
    if site.media_domain:
        found["MediaHeaders"] = _headers(f"{unique}-media", [])
        uploads = _behavior("media", MEDIA_PREFIX, "MediaHeaders")
        if key:
            found |= _signed_links(unique, key)
            uploads["TrustedKeyGroups"] = [{"Ref": "KeyGroup"}]
            uploads["CachePolicyId"] = {"Ref": "MediaCache"}
        behaviors.append(uploads)
        # With public-read each upload's ACL lets everybody in, and no policy lets CloudFront in.
        bucket = _logical_id(site, site.media_bucket)
        origins.append(_origin("media", bucket, signs=site.media_through_cdn))
    default = {name: value for name, value in static.items() if name != "PathPattern"}
    default["FunctionAssociations"] = [
        {"EventType": "viewer-request", "FunctionARN": {"Fn::GetAtt": ["NothingElse", "FunctionARN"]}}
    ]
    found["Distribution"] = {
        "Type": "AWS::CloudFront::Distribution",
        "Properties": {
            "DistributionConfig": {
                "Comment": f"Files of {unique}",
                "Enabled": True,
                "HttpVersion": "http2and3",
                "IPV6Enabled": True,
                "Aliases": _domains(site, static_domain),
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


def _headers(name: str, cors: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what CloudFront adds to answers.

    It gives CORS headers itself, by the bucket's rule for static files: S3's would have to be cached for each
    origin apart, and the first visitor without one would take them from all others.
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
        if rule["ID"] == f"{MARK}static":
            config["CorsConfig"] = {
                "AccessControlAllowCredentials": False,
                "AccessControlAllowHeaders": {"Items": ["*"]},
                "AccessControlAllowMethods": {"Items": rule["AllowedMethods"]},
                "AccessControlAllowOrigins": {"Items": rule["AllowedOrigins"]},
                "AccessControlMaxAgeSec": rule["MaxAgeSeconds"],
                "OriginOverride": True,
            }
    return {
        "Type": "AWS::CloudFront::ResponseHeadersPolicy",
        "Properties": {"ResponseHeadersPolicyConfig": config},
    }


def _signed_links(unique: str, key: str) -> dict[str, Any]:
    """Return the key that links are checked with, and a cache that knows what a link may ask of S3."""
    key_id = _key_id(key)
    digest = key_id.removeprefix("PublicKey")
    return {
        key_id: {
            "Type": "AWS::CloudFront::PublicKey",
            "Properties": {
                "PublicKeyConfig": {
                    "Name": f"{unique}-{digest}",
                    "CallerReference": f"{unique}-{digest}",
                    "EncodedKey": key,
                }
            },
        },
        "KeyGroup": {
            "Type": "AWS::CloudFront::KeyGroup",
            "Properties": {"KeyGroupConfig": {"Name": unique, "Items": [{"Ref": key_id}]}},
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


def _outputs(domains: list[str], key: str) -> dict[str, Any]:
    """Return the variables that the stack makes known, by their names as descriptions, and the DNS record."""
    found = {
        "DistributionArn": {"Description": "AWS_CLOUDFRONT_DISTRIBUTION_ARN", "Value": {"Fn::Sub": _ARN}},
        "DomainName": {
            "Description": f"Make a CNAME record, or an alias in Route 53, of {' and '.join(domains)} to it",
            "Value": {"Fn::GetAtt": ["Distribution", "DomainName"]},
        },
    }
    if key:
        found["KeyId"] = {"Description": "AWS_CLOUDFRONT_KEY_ID", "Value": {"Ref": _key_id(key)}}
    return found
