"""For any site, no policy grants more than the access modes say. Statements by others stay."""

import json
import random
from collections.abc import Iterator
from typing import Any

from hypothesis import assume, example, given
from hypothesis import strategies as st

from s3kit.buckets import policies, wanted
from s3kit.deployment import Bucket, Deployment, Location, Target, location_problems
from s3kit.naming import buckets as bucket_names
from tests.deployments import ARN, deployment

PARTITIONS = {
    "eu-central-1": "aws",
    "us-east-1": "aws",
    "cn-northwest-1": "aws-cn",
    "us-gov-east-1": "aws-us-gov",
    "eusc-de-east-1": "aws-eusc",
}
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
NAMES = st.text(LETTERS + "-", min_size=3, max_size=63).filter(lambda name: not bucket_names.problems(name))
ORIGINS = st.lists(st.sampled_from(["https://www.example.com", "https://a.example", "http://b.example:8000"]))
PREFIXES = st.sampled_from(["media/", "media/tenant/", "avatars/", "a/b/", "static/"])
ALIASES = st.sampled_from(
    ["default", "avatars", "Avatars", "a-v_a.tars", "media", "pending", "list", "f\u00fcr"]
)


@st.composite
def sites(draw: st.DrawFn) -> Deployment:
    """Return a site with up to two static storages and up to four storages for uploads."""
    region = draw(st.sampled_from(sorted(PARTITIONS)))
    arn = f"arn:{PARTITIONS[region]}:cloudfront::123456789012:distribution/E1ABCDEFGHIJKL"
    target = Target(
        region, draw(st.sampled_from([None, None, "http://127.0.0.1:9000", "https://s3.example.com"]))
    )
    buckets = st.sampled_from(draw(st.lists(NAMES, min_size=1, max_size=3, unique=True)))
    shared: dict[str, Any] = {"target": target, "distribution": draw(st.sampled_from(["", arn]))}
    found = [
        Location("staticfiles", "static", draw(buckets), "static/", access="public-policy", **shared)
        for _ in range(draw(st.sampled_from([0, 1])))
    ]
    found += [
        Location(
            alias,
            "media",
            draw(buckets),
            draw(PREFIXES),
            access=draw(st.sampled_from(["private", "public-read", "public-policy"])),
            custom_domain=draw(st.sampled_from(["", "cdn.example.com"])),
            versioning=draw(st.booleans()),
            **shared,
        )
        for alias in draw(st.lists(ALIASES, max_size=4, min_size=0 if found else 1, unique=True))
    ]
    locations = tuple(found)
    assume(not location_problems(locations))
    return Deployment(locations, tuple(dict.fromkeys(draw(ORIGINS))))


def texts(value: Any) -> list[str]:
    """Return all strings in a JSON value."""
    if isinstance(value, dict):
        value = list(value.values())
    return [text for each in value for text in texts(each)] if isinstance(value, list) else [str(value)]


def public_by_policy(bucket: Bucket) -> Iterator[str]:
    """Yield what everyone can read according to the options, independently of the library's code."""
    for each in bucket.locations:
        behind_cdn = each.distribution and (each.kind == "static" or each.custom_domain)
        if not behind_cdn and (each.kind == "static" or each.access == "public-policy"):
            yield f"{bucket.name}/{each.prefix}*"


@given(sites())
def test_public_statements_match_the_access_modes(site: Deployment) -> None:
    for want in wanted.wanted(site):
        bucket, statements = want.bucket, want.aspects["policy"].value
        public = [each for each in statements if each["Effect"] == "Allow" and each["Principal"] == "*"]
        assert public == [each for each in statements if policies.is_public(each)]
        assert all(each["Action"] == "s3:GetObject" and "Condition" not in each for each in public)
        found = sorted(each["Resource"].rpartition(":")[2] for each in public)
        assert found == sorted(public_by_policy(bucket))
        # The only other principal is this distribution, and everyone must use TLS.
        for each in statements:
            if each["Effect"] == "Allow" and each not in public:
                assert each["Principal"] == {"Service": "cloudfront.amazonaws.com"}
                assert list(each["Condition"]["StringEquals"].values()) == [site.locations[0].distribution]
        denied = [each for each in statements if each["Effect"] == "Deny"]
        assert len(denied) == (bucket.target.endpoint != "http://127.0.0.1:9000")
        # The block allows only what the policy and the ACLs need.
        acls = any(each.access == "public-read" for each in bucket.locations)
        assert want.aspects["public access block"].value == {
            "BlockPublicAcls": not acls,
            "IgnorePublicAcls": not acls,
            "BlockPublicPolicy": not public,
            "RestrictPublicBuckets": not public,
        }
        # Unchecked uploads are never public.
        assert not any(resource.rstrip("*") in f"{bucket.name}/pending/" for resource in found)


@given(sites())
def test_policies_name_only_the_sites_buckets_and_fit_aws_limits(site: Deployment) -> None:
    arns = {f"arn:{PARTITIONS[each.target.region]}:s3:::{each.bucket}" for each in site.locations}
    for want in wanted.wanted(site):
        statements = want.aspects["policy"].value
        # "Bucket policies are limited to 20 KB in size", S3 User Guide.
        assert len(json.dumps({"Version": policies.VERSION, "Statement": statements})) < 20 * 1024
        check_sids(statements)
        for resource in texts([each["Resource"] for each in statements]):
            assert resource.partition("/")[0] == want.bucket.arn()
    for role in policies.ROLES.values():
        document = policies.document(role(site))
        # The quota for all inline policies in a role, without white space: 10,240 characters.
        assert len(json.dumps(document, separators=(",", ":"))) < 5 * 1024
        check_sids(document["Statement"])
        for statement in document["Statement"]:
            assert not any("*" in action for action in statement["Action"])
            for resource in texts(statement["Resource"]):
                assert resource.partition("/")[0] in arns or statement["Sid"] == "ReadAccount"


def check_sids(statements: list[dict[str, Any]]) -> None:
    """Check the rules of IAM and S3 for statement IDs."""
    sids = [each["Sid"] for each in statements]
    assert len(sids) == len(set(sids))
    assert all(sid.isalnum() and sid.isascii() for sid in sids)


@given(sites())
def test_web_role_writes_only_uploads(site: Deployment) -> None:
    for statement in policies.document(policies.web(site))["Statement"]:
        if not {"s3:PutObject", "s3:DeleteObject"} & set(statement["Action"]):
            continue
        for resource in texts(statement["Resource"]):
            path = resource.rpartition(":")[2].partition("/")[2]
            assert path == "pending/*" or path in {f"{each.prefix}*" for each in site.media}


# Statements by others: valid ones, and any JSON.

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=8), each, max_size=3),
    max_leaves=6,
)
WORDS = st.sampled_from(
    [
        "*",
        "s3:GetObject",
        "s3:*",
        "arn:aws:s3:::acme/*",
        "arn:aws:s3:::acme/static/*",
        "123456789012",
        "0.0.0.0/0",
    ]
)
SOME = WORDS | st.lists(WORDS, max_size=3)
OPERATORS = st.sampled_from(
    ["StringEquals", "StringLike", "IpAddress", "NotIpAddress", "ForAnyValue:StringEquals"]
)
KEYS = st.sampled_from(["aws:SourceIp", "aws:PrincipalOrgID", "AWS:SourceArn", "aws:Referer", "s3:prefix"])
SHAPES = {
    "Sid": st.text(max_size=12) | st.sampled_from(["DjangoS3TlsOnly", "DjangoS3Old"]),
    "Effect": st.sampled_from(["Allow", "Deny"]),
    "Principal": st.just("*") | st.dictionaries(st.sampled_from(["AWS", "Service"]), SOME),
    "NotPrincipal": st.just("*") | st.dictionaries(st.just("AWS"), SOME),
    "Action": SOME,
    "NotAction": SOME,
    "Resource": SOME,
    "NotResource": SOME,
    "Condition": st.dictionaries(OPERATORS, st.dictionaries(KEYS, SOME, max_size=2), max_size=2),
}
STATEMENTS = st.fixed_dictionaries({}, optional=SHAPES).map(lambda each: {"Effect": "Allow"} | each)
ODD = st.fixed_dictionaries({}, optional={name: ANY | shape for name, shape in SHAPES.items()})


@given(STATEMENTS | ODD, sites())
@example({"Effect": "Allow", "Sid": "\r\u2028"}, deployment())
@example({"Effect": "Allow", "Principal": {"AWS": 5}}, deployment())
@example({"Effect": "Allow", "Principal": "*", "Condition": []}, deployment())
@example({"Effect": "Allow", "Principal": "*", "Condition": {"Bool": 1}}, deployment())
def test_any_statement_can_be_judged_and_described(statement: dict[str, Any], site: Deployment) -> None:
    public = policies.is_public(statement)
    ours = wanted.wanted(site)[0].aspects["policy"].value
    assert isinstance(public, bool)
    assert not policies.goes_beyond(statement, ours) or public
    assert json.loads(policies.canonical(statement)) is not None
    assert len(policies.in_words(statement).splitlines()) == 1
    if statement.get("Effect") != "Allow":
        assert not public
    elif statement.get("Principal") == "*" and not statement.get("Condition"):
        assert public


@given(STATEMENTS, st.randoms(use_true_random=False))
def test_canonical_ignores_order_and_single_element_lists(
    statement: dict[str, Any], chance: random.Random
) -> None:
    """S3 may return a list in another order, and a single element instead of a list with one."""

    def rewritten(value: Any) -> Any:
        if isinstance(value, dict):
            items = list(value.items())
            chance.shuffle(items)
            return {name: rewritten(each) for name, each in items}
        if isinstance(value, list):
            return value[0] if len(value) == 1 else chance.sample(value, len(value))
        return [value] if chance.random() < 0.5 else value

    assert policies.canonical(rewritten(statement)) == policies.canonical(statement)
    changed = statement | {"Effect": "Deny" if statement["Effect"] == "Allow" else "Allow"}
    assert policies.canonical(changed) != policies.canonical(statement)


@given(st.sampled_from(["", "a", "site.css", "*", "css/*"]), st.booleans())
def test_statement_goes_beyond_only_if_it_grants_more(rest: str, through_cdn: bool) -> None:
    (want, _) = wanted.wanted(deployment(distribution=ARN if through_cdn else ""))
    ours, arn = want.aspects["policy"].value, want.bucket.arn()
    theirs = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject"]}
    inside = theirs | {"Resource": [f"{arn}/static/{rest}"]}
    assert policies.goes_beyond(inside, ours) == through_cdn
    for outside in (f"{arn}/{rest}", f"{arn}/pending/{rest}", f"{arn}/stat*", f"{arn}-2/static/{rest}", "*"):
        assert policies.goes_beyond(theirs | {"Resource": [f"{arn}/static/{rest}", outside]}, ours)
    assert policies.goes_beyond(inside | {"Action": "s3:PutObject"}, ours)


# Merging

MINE = st.sampled_from(["django-s3-static", "django-s3-incomplete-uploads", "django-s3-of-old"])
THEIRS = st.text(max_size=8).filter(lambda name: not name.startswith(("django-s3-", "DjangoS3")))
LIFECYCLES = st.fixed_dictionaries(
    {"Status": st.sampled_from(["Enabled", "Disabled"])},
    optional={
        "ID": THEIRS | MINE,
        "Filter": st.fixed_dictionaries({"Prefix": st.text(max_size=4)}),
        "Prefix": st.text(max_size=4),
        "Expiration": st.fixed_dictionaries({"Days": st.integers(1, 9)}),
    },
)
CORS = st.fixed_dictionaries(
    {"AllowedOrigins": st.lists(st.text(max_size=8)), "AllowedMethods": st.just(["GET"])},
    optional={"ID": THEIRS | MINE},
)
JOINS = {"lifecycle": (LIFECYCLES, "ID", "django-s3-"), "cors": (CORS, "ID", "django-s3-")}
JOINS["policy"] = (STATEMENTS, "Sid", "DjangoS3")


@given(st.data(), st.sampled_from(sorted(JOINS)), sites())
def test_merging_keeps_foreign_rules_and_statements(
    data: st.DataObject, title: str, site: Deployment
) -> None:
    strategy, name, mark = JOINS[title]
    ours = wanted.wanted(site)[0].aspects[title].value
    live = data.draw(st.lists(strategy | st.sampled_from(ours) if ours else strategy, max_size=6))
    # S3 rejects two rules with the same ID.
    live = list({each.get(name, number): each for number, each in enumerate(live)}.values())
    join = wanted.ASPECTS[title].join
    before = json.dumps(live)
    joined = join(live, ours)
    assert json.dumps(live) == before
    foreign = [each for each in live if not str(each.get(name, "")).startswith(mark)]
    assert [each for each in joined if not str(each.get(name, "")).startswith(mark)] == foreign
    mine = [each for each in joined if str(each.get(name, "")).startswith(mark)]
    assert sorted(each[name] for each in mine) == sorted(each[name] for each in ours)
    if title == "policy":
        assert sorted(map(policies.canonical, mine)) == sorted(map(policies.canonical, ours))
    else:
        # Next to lifecycle rules in the format before 2016, the library's rules use it too, for the same objects.
        old = title == "lifecycle" and live and not any("Filter" in each for each in live)
        for each in mine:
            (same,) = (rule for rule in ours if rule["ID"] == each["ID"])
            prefix = {"Prefix": same["Filter"]["Prefix"]} if old else {}
            kept = {name: value for name, value in same.items() if not (old and name == "Filter")}
            assert each == kept | prefix
    assert join(joined, ours) == joined
