"""Whatever the site: no policy opens more than its access mode says. Whatever others wrote: it stays."""

import json
import random
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from s3 import bucket_names, buckets, policies
from s3.site import Site

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


@st.composite
def sites(draw: st.DrawFn) -> Site:
    region = draw(st.sampled_from(sorted(PARTITIONS)))
    static = draw(NAMES)
    arn = f"arn:{PARTITIONS[region]}:cloudfront::123456789012:distribution/E1ABCDEFGHIJKL"
    return Site(
        region=region,
        static_bucket=static,
        media_bucket=draw(st.just(static) | NAMES),
        access=draw(st.sampled_from(["private", "public-read", "public-policy"])),
        endpoint=draw(st.sampled_from(["", "", "http://127.0.0.1:9000", "https://s3.example.com"])),
        origins=tuple(dict.fromkeys(draw(ORIGINS))),
        distribution=draw(st.sampled_from(["", arn])),
        media_domain=draw(st.sampled_from(["", "cdn.example.com"])),
        versioning=draw(st.booleans()),
    )


def texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        value = list(value.values())
    return [text for each in value for text in texts(each)] if isinstance(value, list) else [str(value)]


@given(sites())
def test_everybody_gets_just_what_the_access_mode_says(site: Site) -> None:
    may = set()
    if not site.distribution:
        may.add(f"{site.static_bucket}/static/*")
    if site.access == "public-policy" and not (site.distribution and site.media_domain):
        may.add(f"{site.media_bucket}/media/*")
    found = set()
    for bucket in buckets.wanted(site):
        statements = bucket.aspects["policy"].value
        public = [each for each in statements if each["Effect"] == "Allow" and each["Principal"] == "*"]
        assert public == [each for each in statements if policies.is_public(each)]
        for each in public:
            assert each["Action"] == "s3:GetObject"
            assert "Condition" not in each
            found.add(each["Resource"].rpartition(":")[2])
        # Who else is let in is this distribution, and everybody is kept to TLS.
        for each in statements:
            if each["Effect"] == "Allow" and each not in public:
                assert each["Principal"] == {"Service": "cloudfront.amazonaws.com"}
                assert each["Condition"] == {"StringEquals": {"AWS:SourceArn": site.distribution}}
        denied = [each for each in statements if each["Effect"] == "Deny"]
        assert len(denied) == (not site.endpoint.startswith("http://127."))
        # The block lets through what the policy and the ACLs need, and nothing else.
        acls = site.access == "public-read" and bucket.name == site.media_bucket
        assert bucket.aspects["public access block"].value == {
            "BlockPublicAcls": not acls,
            "IgnorePublicAcls": not acls,
            "BlockPublicPolicy": not public,
            "RestrictPublicBuckets": not public,
        }
    assert found == may


@given(sites())
def test_resources_are_of_the_site_and_policies_fit(site: Site) -> None:
    arns = tuple(
        f"arn:{PARTITIONS[site.region]}:s3:::{name}" for name in {site.static_bucket, site.media_bucket}
    )
    for bucket in buckets.wanted(site):
        statements = bucket.aspects["policy"].value
        # "Bucket policies are limited to 20 KB in size", S3 User Guide.
        assert len(json.dumps({"Version": policies.VERSION, "Statement": statements})) < 20 * 1024
        sids = [each["Sid"] for each in statements]
        assert len(sids) == len(set(sids))
        assert all(sid.isalnum() and sid.isascii() for sid in sids)
        for resource in texts([each["Resource"] for each in statements]):
            assert resource.partition("/")[0] == f"arn:{PARTITIONS[site.region]}:s3:::{bucket.name}"
    for role in policies.ROLES.values():
        document = policies.document(role(site))
        # IAM's quota for a user's own policies, counted without white space.
        assert len(json.dumps(document, separators=(",", ":"))) < 2048
        for statement in document["Statement"]:
            assert not any("*" in action for action in statement["Action"])
            for resource in texts(statement["Resource"]):
                assert resource.partition("/")[0] in arns or statement["Sid"] == "ReadAccount"


# Statements of others: those of the language of policies, and any JSON in their places.

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
@example({"Effect": "Allow", "Sid": "\r\u2028"}, Site("eu-central-1", "a-b", "a-c"))
@example({"Effect": "Allow", "Principal": {"AWS": 5}}, Site("eu-central-1", "a-b", "a-c"))
@example({"Effect": "Allow", "Principal": "*", "Condition": []}, Site("eu-central-1", "a-b", "a-c"))
@example({"Effect": "Allow", "Principal": "*", "Condition": {"Bool": 1}}, Site("eu-central-1", "a-b", "a-c"))
def test_no_statement_is_too_odd_to_be_judged(statement: dict[str, Any], site: Site) -> None:
    public = policies.is_public(statement)
    ours = buckets.wanted(site)[0].aspects["policy"].value
    assert isinstance(public, bool)
    assert not policies.goes_beyond(statement, ours) or public
    assert json.loads(policies.canonical(statement)) is not None
    assert len(policies.in_words(statement).splitlines()) == 1
    if statement.get("Effect") != "Allow":
        assert not public
    elif statement.get("Principal") == "*" and not statement.get("Condition"):
        assert public


@given(STATEMENTS, st.randoms(use_true_random=False))
def test_what_means_the_same_is_the_same(statement: dict[str, Any], chance: random.Random) -> None:
    """S3 may give a list back in another order, and an element in the place of a list of one."""

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


@given(st.sampled_from(["", "a", "site.css", "*", "css/*"]), sites())
def test_what_is_public_already_is_not_beyond(rest: str, site: Site) -> None:
    ours = buckets.wanted(site)[0].aspects["policy"].value
    theirs = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject"]}
    arn = site.arn(site.static_bucket)
    inside = theirs | {"Resource": [f"{arn}/static/{rest}"]}
    assert policies.goes_beyond(inside, ours) == bool(site.distribution)
    for outside in (f"{arn}/{rest}", f"{arn}/pending/{rest}", f"{arn}/stat*", f"{arn}-2/static/{rest}", "*"):
        assert policies.goes_beyond(theirs | {"Resource": [f"{arn}/static/{rest}", outside]}, ours)
    assert policies.goes_beyond(inside | {"Action": "s3:PutObject"}, ours)


# Joining

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
def test_what_others_wrote_stays_as_it_is(data: st.DataObject, title: str, site: Site) -> None:
    strategy, name, mark = JOINS[title]
    ours = buckets.wanted(site)[0].aspects[title].value
    live = data.draw(st.lists(strategy | st.sampled_from(ours) if ours else strategy, max_size=6))
    # S3 lets no two rules have one name.
    live = list({each.get(name, number): each for number, each in enumerate(live)}.values())
    join = buckets.ASPECTS[title].join
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
        # Beside lifecycle rules of the form before 2016 ours have it too, on the same objects.
        old = title == "lifecycle" and any("Filter" not in each for each in live)
        for each in mine:
            (wanted,) = (rule for rule in ours if rule["ID"] == each["ID"])
            prefix = {"Prefix": wanted["Filter"]["Prefix"]} if old else {}
            kept = {name: value for name, value in wanted.items() if not (old and name == "Filter")}
            assert each == kept | prefix
    assert join(joined, ours) == joined
