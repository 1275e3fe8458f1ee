"""Plans for every kind of bucket, from data alone, and errors that prevent plans."""

import json
from dataclasses import replace
from typing import Any

import pytest
from botocore import exceptions
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import BotoCoreError, ClientError
from obstore.exceptions import GenericError

from s3kit import clients, errors
from s3kit.buckets import account, plan, policies, show
from s3kit.buckets import wanted as buckets
from s3kit.buckets.account import Account
from s3kit.buckets.apply import steps
from s3kit.buckets.plan import BucketPlan, Line
from s3kit.buckets.wanted import BLOCKS, NEW, BucketError, Wanted
from s3kit.deployment import Deployment, Key
from tests.deployments import ACCESS, ARN, REGION, at, deployment, location, of

ACCOUNT = "123456789012"
OPEN = dict.fromkeys(BLOCKS, False)
SHUT = dict.fromkeys(BLOCKS, True)


def statement(**more: Any) -> dict[str, Any]:
    """Return the statements of old tutorials' bucket policies."""
    return {
        "Sid": "PublicReadGetObject",
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::acme-media/*",
    } | more


def grant(who: str, permission: str = "READ") -> dict[str, Any]:
    group = {"Type": "Group", "URI": f"http://acs.amazonaws.com/groups/{who}"}
    return {"Grantee": group, "Permission": permission}


def want(site: Deployment, name: str) -> Wanted:
    (found,) = (each for each in buckets.wanted(site) if each.name == name)
    return found


def as_wanted(site: Deployment, name: str = "acme-media") -> dict[str, Any]:
    return {title: each.value for title, each in want(site, name).aspects.items()}


def compared(
    site: Deployment | None = None,
    name: str = "acme-media",
    *,
    account: Account | None = None,
    replace: bool = False,
    **live: Any,
) -> BucketPlan:
    """Compare a bucket that differs from the wanted state only in these aspects (with _ for spaces in their titles)."""
    site = site or deployment()
    state = as_wanted(site, name) | {title.replace("_", " "): value for title, value in live.items()}
    return plan.compare(want(site, name), state, account or Account(), replace=replace)


def lines(found: BucketPlan) -> dict[str, Line]:
    return {line.aspect: line for line in found.lines}


def states(found: BucketPlan) -> dict[str, str]:
    return {line.aspect: line.state for line in found.lines if line.state != "as wanted"}


@pytest.mark.parametrize("access", ACCESS)
@pytest.mark.parametrize("one_bucket", [False, True])
def test_bucket_in_the_wanted_state_needs_no_steps(access: str, one_bucket: bool) -> None:
    site = deployment(access, one_bucket=one_bucket)
    for bucket in site.buckets:
        found = compared(site, bucket.name)
        assert found.is_as_wanted
        assert not found.opens + found.closes
        assert steps(found) == []


def test_every_plan_line_has_a_reason() -> None:
    found = plan.compare(want(deployment(), "acme-static"), None, Account(), replace=False)
    assert list(lines(found)) == [title for title in buckets.ASPECTS if title not in {"versioning", "tags"}]
    assert all(line.reason for line in found.lines)


def test_missing_bucket_is_compared_with_a_new_one() -> None:
    found = plan.compare(want(deployment(), "acme-media"), None, Account(), replace=False)
    assert not found.exists
    assert not found.is_as_wanted
    assert states(found) == {"lifecycle": "missing", "policy": "missing"}


def test_plan_reports_missing_and_different_aspects() -> None:
    found = compared(lifecycle=[], ownership="ObjectWriter", public_access_block=None)
    assert states(found) == {
        "lifecycle": "missing",
        "ownership": "different",
        "public access block": "missing",
    }


def test_plan_reports_what_it_opens_and_closes() -> None:
    site = deployment("public-policy")
    found = compared(policy=as_wanted(site)["policy"], public_access_block=OPEN)
    assert found.closes == ("allow everyone s3:GetObject on acme-media/media/*",)
    assert compared(site, public_access_block=SHUT).opens == found.closes


# Configuration by others


FOREIGN_PUBLIC = {
    "everyone": statement(),
    "any AWS account": statement(Principal={"AWS": "*"}),
    "one of several": statement(Principal={"AWS": [f"arn:aws:iam::{ACCOUNT}:root", "*"]}),
    "all but one": {k: v for k, v in statement(NotPrincipal={"AWS": ACCOUNT}).items() if k != "Principal"},
    "a condition without effect": statement(Condition={"StringLike": {"aws:Referer": "https://a.example/*"}}),
    "half the internet": statement(Condition={"IpAddress": {"aws:SourceIp": "0.0.0.0/1"}}),
    "any organization": statement(Condition={"StringLike": {"aws:PrincipalOrgID": "*"}}),
    "all but one network": statement(Condition={"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}}),
    "list": statement(Action=["s3:ListBucket"], Resource="arn:aws:s3:::acme-media"),
}

FOREIGN_LIMITED = {
    "one account": statement(Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"}),
    "a service": statement(Principal={"Service": "logging.s3.amazonaws.com"}),
    "one network": statement(Condition={"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}),
    "one organization": statement(Condition={"StringEquals": {"aws:PrincipalOrgID": "o-abc"}}),
    "one endpoint": statement(Condition={"StringEquals": {"AWS:SourceVpce": "vpce-1"}}),
    "a denial": statement(Effect="Deny"),
}


@pytest.mark.parametrize("foreign", FOREIGN_PUBLIC.values(), ids=FOREIGN_PUBLIC)
def test_public_statement_on_private_uploads_is_a_conflict(foreign: dict[str, Any]) -> None:
    ours = as_wanted(deployment())["policy"]
    found = compared(policy=[foreign, *ours], public_access_block=OPEN, ownership="ObjectWriter")
    # Unrelated changes are applied.
    assert states(found) == {
        "ownership": "different",
        "public access block": "waiting",
        "policy": "conflict",
    }
    assert [step.aspect for step in steps(found)] == ["ownership"]
    assert [conflict.old for conflict in found.conflicts] == [foreign]

    replaced = compared(replace=True, policy=[foreign, *ours], public_access_block=OPEN)
    assert not replaced.hindered
    assert lines(replaced)["policy"].goal == ours
    assert lines(replaced)["public access block"].goal == SHUT


@pytest.mark.parametrize("foreign", FOREIGN_LIMITED.values(), ids=FOREIGN_LIMITED)
def test_limited_statements_are_left_alone_and_listed(foreign: dict[str, Any]) -> None:
    found = compared(policy=[foreign], replace=True)
    assert lines(found)["policy"].goal == [foreign, *as_wanted(deployment())["policy"]]
    assert lines(found)["policy"].left_alone == (policies.in_words(foreign),)
    assert not found.conflicts


OTHER = "999999999999"
OURS = {
    "the account": statement(Principal={"AWS": ACCOUNT}),
    "its user": statement(
        Principal={"AWS": [f"arn:aws:iam::{ACCOUNT}:user/a", f"arn:aws:iam::{ACCOUNT}:root"]}
    ),
    "its session": statement(Principal={"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/a/b"}),
    "its principals": statement(Condition={"StringEquals": {"aws:PrincipalAccount": [ACCOUNT]}}),
    "a service": FOREIGN_LIMITED["a service"],
    "a denial": statement(Effect="Deny", Principal={"AWS": OTHER}),
}
OTHERS = {
    "another account": statement(Principal={"AWS": f"arn:aws:iam::{OTHER}:root"}, Action="s3:*"),
    "its number": statement(Principal={"AWS": OTHER}),
    "its role and ours": statement(Principal={"AWS": [ACCOUNT, f"arn:aws-cn:iam::{OTHER}:role/a"]}),
    "a canonical user": statement(Principal={"CanonicalUser": "0a" * 32}),
    "federated users": statement(Principal={"Federated": "cognito-identity.amazonaws.com"}),
    "an origin access identity": statement(
        Principal={"AWS": "arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity E1"}
    ),
    "a deleted user": statement(Principal={"AWS": "AIDAEXAMPLE"}),
    "a number in a name": statement(Principal={"AWS": f"arn:aws:iam::{OTHER}:user/{ACCOUNT}"}),
    "everyone of another": statement(Condition={"StringEquals": {"aws:PrincipalAccount": [ACCOUNT, OTHER]}}),
    "visitors too": statement(
        Condition={
            "StringEqualsIfExists": {"aws:PrincipalAccount": ACCOUNT},
            "IpAddress": {"aws:SourceIp": "192.0.2.0/24"},
        }
    ),
    "one network": FOREIGN_LIMITED["one network"],
    "one organization": FOREIGN_LIMITED["one organization"],
}


@pytest.mark.parametrize("foreign", OURS.values(), ids=OURS)
def test_statements_for_the_account_itself_are_left_alone(foreign: dict[str, Any]) -> None:
    found = compared(account=Account(ACCOUNT), policy=[foreign, *as_wanted(deployment())["policy"]])
    assert not found.conflicts
    only = "requires TLS; open only to the account"
    others = ", plus those listed below" if foreign["Effect"] == "Allow" else ""
    assert lines(found)["policy"].reason == only + others


@pytest.mark.parametrize("foreign", OTHERS.values(), ids=OTHERS)
def test_statement_for_another_account_is_a_conflict(foreign: dict[str, Any]) -> None:
    ours = as_wanted(deployment())["policy"]
    found = compared(account=Account(ACCOUNT), policy=[foreign, *ours])
    assert states(found) == {"policy": "conflict"}
    assert found.hindered
    assert [conflict.old for conflict in found.conflicts] == [foreign]
    assert "AWS_TRUSTED_ACCOUNTS" in found.conflicts[0].fix
    replaced = compared(account=Account(ACCOUNT), replace=True, policy=[foreign, *ours])
    assert lines(replaced)["policy"].goal == ours
    assert not replaced.hindered


def test_statement_for_a_trusted_account_is_no_conflict() -> None:
    site = replace(deployment(owner=ACCOUNT), trusted=(OTHER,))
    ours = as_wanted(site)["policy"]
    for name, foreign in OTHERS.items():
        trusts = name in {"another account", "its number", "its role and ours", "everyone of another"}
        found = compared(site, policy=[foreign, *ours])
        assert bool(found.conflicts) != (trusts or name == "a number in a name"), name
    # For public files, it allows no more than everyone can do.
    site = deployment("public-policy", owner=ACCOUNT)
    within = statement(Principal={"AWS": OTHER}, Resource="arn:aws:s3:::acme-media/media/*")
    assert not compared(site, policy=[within, *as_wanted(site)["policy"]]).conflicts
    assert compared(site, policy=[within | {"Action": "s3:PutObject"}]).conflicts


@pytest.mark.parametrize("access", ACCESS)
def test_acl_grant_to_another_account_is_a_conflict(access: str) -> None:
    other = {"Grantee": {"Type": "CanonicalUser", "ID": "0a" * 32}, "Permission": "READ"}
    site = deployment(access)
    found = compared(site, bucket_ACL=[other])
    assert states(found)["bucket ACL"] == "conflict"
    assert lines(compared(site, replace=True, bucket_ACL=[other]))["bucket ACL"].goal == []


def test_statement_within_public_access_is_no_conflict() -> None:
    site = deployment("public-policy")
    ours = as_wanted(site)["policy"]
    within = statement(Resource="arn:aws:s3:::acme-media/media/photos/*")
    assert not compared(site, policy=[within, *ours]).conflicts
    for beyond in (
        statement(),
        statement(Resource=["arn:aws:s3:::acme-media/media/*", "arn:aws:s3:::acme-media/backup"]),
        within | {"Action": ["s3:GetObject", "s3:PutObject"]},
        within | {"Action": "s3:*"},
    ):
        assert compared(site, policy=[beyond, *ours]).conflicts


def test_own_stale_statement_is_removed_despite_a_conflict() -> None:
    stale = as_wanted(deployment("public-policy"))["policy"]
    found = compared(policy=[statement(), *stale], public_access_block=OPEN)
    assert [step.aspect for step in steps(found)] == ["policy"]
    assert steps(found)[0].value == [statement(), *as_wanted(deployment())["policy"]]
    assert found.hindered
    # If the block rejects public policies, this policy has no effect either.
    assert steps(compared(policy=[statement(), *stale], public_access_block=SHUT)) == []


@pytest.mark.parametrize(
    ("access", "who", "conflicts"),
    [
        ("private", "global/AllUsers", True),
        ("private", "global/AuthenticatedUsers", True),
        ("private", "s3/LogDelivery", True),  # it prevents disabling ACLs
        ("public-policy", "s3/LogDelivery", True),
        ("public-read", "global/AllUsers", True),  # it would make the bucket listable
        ("public-read", "s3/LogDelivery", False),
    ],
)
def test_acl_grants_conflict_unless_access_allows_them(access: str, who: str, conflicts: bool) -> None:
    site = deployment(access)
    found = compared(site, bucket_ACL=[grant(who)], ownership="ObjectWriter", public_access_block=OPEN)
    if conflicts:
        assert states(found) == {
            "bucket ACL": "conflict",
            "ownership": "waiting",
            "public access block": "waiting",
        }
        assert steps(found) == []
    else:
        assert lines(found)["bucket ACL"].left_alone == ("the bucket's ACL grants READ to LogDelivery",)
        assert [step.aspect for step in steps(found)] == ["public access block", "ownership"]
    replaced = compared(
        site, replace=True, bucket_ACL=[grant(who)], ownership="ObjectWriter", public_access_block=OPEN
    )
    assert lines(replaced)["bucket ACL"].goal == ([] if conflicts else [grant(who)])
    assert not replaced.hindered


def test_kms_encryption_conflicts_only_with_public_files() -> None:
    found = compared(encryption="aws:kms")
    assert found.is_as_wanted
    assert "aws:kms" in lines(found)["encryption"].left_alone[0]
    public = compared(name="acme-static", encryption="aws:kms")
    assert states(public) == {"encryption": "conflict"}
    assert (
        lines(compared(name="acme-static", encryption="aws:kms", replace=True))["encryption"].goal == "AES256"
    )


def test_foreign_lifecycle_rules_are_kept_and_listed() -> None:
    theirs = [
        {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 30}},
        {"ID": "tmp", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 1}},
    ]
    found = lines(compared(lifecycle=theirs))["lifecycle"]
    assert found.goal[:2] == theirs
    assert len(found.goal) == 4
    assert found.left_alone == (
        "old: Expiration on * -- deletes the site's files over time",
        "tmp: Expiration on tmp/*",
    )


def test_lifecycle_rules_follow_the_old_format_of_foreign_ones() -> None:
    theirs = {"ID": "old", "Status": "Enabled", "Prefix": "tmp/", "Expiration": {"Days": 1}}
    goal = lines(compared(lifecycle=[theirs]))["lifecycle"].goal
    assert [rule.get("Prefix") for rule in goal] == ["tmp/", "", "pending/"]
    assert not any("Filter" in rule for rule in goal)
    assert compared(lifecycle=goal).is_as_wanted


def test_lifecycle_keeps_the_transition_minimum_size_simulated() -> None:
    """MiniStack knows only one such size. If the request omitted it, AWS would set its default."""
    made: list[dict[str, Any]] = []

    class Client:
        def get_bucket_lifecycle_configuration(self, **_: Any) -> dict[str, Any]:
            return {"Rules": [], "TransitionDefaultMinimumObjectSize": "varies_by_storage_class"}

        def put_bucket_lifecycle_configuration(self, **arguments: Any) -> None:
            made.append(arguments)

    buckets.ASPECTS["lifecycle"].write(Client(), {"Bucket": "b"}, [{"ID": "a"}])
    assert made == [
        {
            "Bucket": "b",
            "LifecycleConfiguration": {"Rules": [{"ID": "a"}]},
            "TransitionDefaultMinimumObjectSize": "varies_by_storage_class",
        }
    ]


def test_reordered_policy_is_as_wanted() -> None:
    ours = as_wanted(deployment(), "acme-static")["policy"]
    for each in ours:
        each["Action"] = [each["Action"]]
        if isinstance(each["Resource"], list):
            each["Resource"].reverse()
    assert compared(name="acme-static", policy=list(reversed(ours))).is_as_wanted


# The account


def test_account_level_block_is_a_conflict_even_with_replace() -> None:
    blocking = Account(ACCOUNT, SHUT)
    found = compared(
        name="acme-static", account=blocking, replace=True, policy=[], public_access_block=SHUT, cors=[]
    )
    assert states(found) == {"public access block": "conflict", "policy": "waiting"}
    # The account's block doesn't affect the TLS statement.
    assert [each["Sid"] for each in lines(found)["policy"].goal] == ["DjangoS3TlsOnly"]
    assert not found.opens
    (conflict,) = found.conflicts
    assert "BlockPublicPolicy, RestrictPublicBuckets" in conflict.says
    assert f"delete-public-access-block --account-id {ACCOUNT}" in conflict.fix
    assert compared(account=blocking).is_as_wanted  # private uploads don't need to lift the block


def test_unknown_account_settings_are_reported_only_if_relevant() -> None:
    unknown = Account(ACCOUNT, None, "AccessDenied")
    assert compared(name="acme-static", account=unknown).unknown == "AccessDenied"
    assert compared(account=unknown).unknown == ""
    assert compared(deployment(distribution=ARN), "acme-static", account=unknown).unknown == ""


class Service:
    """An AWS service that returns a value, or fails."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def __getattr__(self, _operation: str) -> Any:
        def call(**_arguments: Any) -> Any:
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

        return call


def answer(code: str, operation: str = "GetBucketCors", message: str = "No.", **more: Any) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": message, **more}, "ResponseMetadata": {}},
        operation,
    )


IDENTITY = {"Account": ACCOUNT}


@pytest.mark.parametrize(
    ("sts", "control", "expected"),
    [
        (IDENTITY, {"PublicAccessBlockConfiguration": SHUT}, Account(ACCOUNT, SHUT)),
        (IDENTITY, answer("NoSuchPublicAccessBlockConfiguration"), Account(ACCOUNT, {})),
        (
            IDENTITY,
            answer("AccessDenied"),
            Account(ACCOUNT, None, "s3:GetAccountPublicAccessBlock failed: AccessDenied"),
        ),
        (answer("AccessDenied"), None, Account("", None, "sts:GetCallerIdentity failed: AccessDenied")),
        (
            exceptions.EndpointConnectionError(endpoint_url="https://sts"),
            None,
            Account(
                "",
                None,
                'sts:GetCallerIdentity failed: Could not connect to the endpoint URL: "https://sts": check the'
                " network, HTTPS_PROXY, and the endpoint_url",
            ),
        ),
    ],
)
def test_account_lookup_returns_id_and_block_or_the_error_simulated(
    monkeypatch: pytest.MonkeyPatch, sts: Any, control: Any, expected: Account
) -> None:
    services = {"sts": Service(sts), "s3control": Service(control)}
    monkeypatch.setattr(account, "_client", lambda name, _target: services[name])
    assert account.account(deployment().locations[0].target) == expected


def test_endpoint_skips_the_account_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "_client", None)
    assert account.account(deployment(endpoint="http://127.0.0.1:9000").locations[0].target) == Account()


def test_boto3_endpoint_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_ENDPOINT_URL_STS",
        "AWS_ENDPOINT_URL_S3_CONTROL",
    ):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    clients.forget()
    target = of(location(bucket="acme-media")).with_key(Key("AKIA", "s")).locations[0].target
    made = [account._client("sts", target), account._client("s3control", target), clients.command(target)]
    clients.forget()
    assert [client.meta.endpoint_url for client in made] == [
        f"https://{host}.{REGION}.amazonaws.com" for host in ("sts", "s3-control", "s3")
    ]


# The region of a bucket


def on_aws(monkeypatch: pytest.MonkeyPatch, head: tuple[int, str], get: tuple[int, str]) -> Deployment:
    """Return a site. HeadBucket responds with a status and a region, all other requests with a status and a body."""
    site = of(location(bucket="acme-media")).with_key(Key("AKIA", "s"))

    def answer(request: Any, **_more: Any) -> AWSResponse:
        status, text = head if request.method == "HEAD" else get
        headers, body = {"Content-Type": "application/xml"}, text.encode()
        if request.method == "HEAD":
            headers, body = {"x-amz-bucket-region": text} if text else {}, b""
        response = AWSResponse(request.url, status, HTTPHeaders.from_dict(headers), None)
        response._content = body
        return response

    client = clients._once(site.buckets[0].target)
    client.meta.events.register("before-send.s3", answer)
    monkeypatch.setattr(clients, "command", lambda _target: client)
    return site


def error(code: str, message: str = "No.") -> str:
    return f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"


@pytest.mark.parametrize(
    ("head", "get", "words"),
    [
        ((200, "us-west-2"), (500, ""), "the bucket is in us-west-2, but its storage says eu-central-1"),
        # Without s3:ListBucket.
        ((403, "us-west-2"), (500, ""), "the bucket is in us-west-2, but its storage says eu-central-1"),
        ((403, REGION), (403, error("RequestTimeTooSkewed")), "This machine's clock differs"),
        ((403, ""), (403, error("SignatureDoesNotMatch")), "AWS does not accept the credentials"),
        ((400, ""), (400, error("ExpiredToken")), "The credentials have expired"),
        (
            (403, REGION),
            (403, error("AccessDenied", "Access Denied")),
            "or the bucket belongs to another account",
        ),
        ((200, REGION), (200, "<ListBucketResult/>"), "can't parse S3's response for encryption."),
        ((200, REGION), (501, error("NotImplemented")), "GetBucketEncryption failed: NotImplemented"),
    ],
)
def test_unreadable_bucket_error_names_the_cause_simulated(
    monkeypatch: pytest.MonkeyPatch, head: tuple[int, str], get: tuple[int, str], words: str
) -> None:
    with pytest.raises(BucketError) as caught:
        plan.plan(on_aws(monkeypatch, head, get))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("head", [(404, ""), (403, "")])
def test_missing_bucket_is_detected_simulated(monkeypatch: pytest.MonkeyPatch, head: tuple[int, str]) -> None:
    """Without the right to list, the worst case is 403. The next response then has an error message."""
    (found,) = plan.plan(on_aws(monkeypatch, head, (404, error("NoSuchBucket"))))
    assert not found.exists


# Names


class NoBucket(Service):
    """An S3 client without buckets. `parameters` are those that its CreateBucket accepts."""

    def __init__(self, *parameters: str) -> None:
        super().__init__(answer("404", "HeadBucket"))
        self.parameters = parameters

    @property
    def meta(self) -> Any:
        return self

    service_model = input_shape = meta

    def operation_model(self, _name: str) -> Any:
        return self

    @property
    def members(self) -> Any:
        return self.parameters


REGIONAL = of(location(bucket=f"acme-{ACCOUNT}-{REGION}-an"))
TARGET = REGIONAL.locations[0].target


def test_regional_name_of_another_account_is_rejected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clients, "command", lambda _target: NoBucket("BucketNamespace"))
    plan.plan(REGIONAL, {TARGET: Account(ACCOUNT)})
    plan.plan(REGIONAL, {TARGET: Account(unknown="no STS")})
    with pytest.raises(
        BucketError, match=f"the name contains account {ACCOUNT}, but the credentials belong to account 9"
    ):
        plan.plan(REGIONAL, {TARGET: Account("9" * 12)})


def test_regional_name_needs_a_recent_botocore(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "command", lambda _target: NoBucket("Bucket"))
    with pytest.raises(BucketError, match="upgrade boto3"):
        plan.plan(REGIONAL, {TARGET: Account(ACCOUNT)})


# Errors


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            # S3 names the action only for callers in the bucket's account.
            answer("AccessDenied", "GetBucketEncryption", "User: a is not authorized to perform: s3:Get..."),
            "b: these credentials lack s3:GetEncryptionConfiguration: attach the policy that `manage.py s3"
            " policy --role setup` prints.",
        ),
        (
            answer("BucketAlreadyExists", "CreateBucket"),
            "b: this name belongs to another account: choose another name in the option bucket_name.",
        ),
        (
            answer("AccessDenied", "GetBucketEncryption", "Access Denied"),
            "b: these credentials lack s3:GetEncryptionConfiguration, or the bucket belongs to another account:"
            " attach the policy that `manage.py s3 policy --role setup` prints, or choose another name in the option"
            " bucket_name.",
        ),
        (
            answer("AccessDenied", "PutBucketCors", "User: a is not authorized to perform: s3:PutBucketCORS"),
            "b: these credentials lack s3:PutBucketCORS: attach the policy that `manage.py s3 policy --role setup`"
            " prints.",
        ),
        (
            answer(
                "AccessDenied", "PutBucketPolicy", "... with an explicit deny in a service control policy"
            ),
            "b: a policy explicitly denies these credentials s3:PutBucketPolicy (... with an explicit deny in"
            " a service control policy): change that policy.",
        ),
        (
            answer("AccessDenied", "PutBucketPolicy", "... prevented by the BlockPublicPolicy setting ..."),
            "b: Block Public Access rejected PutBucketPolicy: ask the administrator of the account or organization to"
            " turn it off; or set access to 'private' and a cloudfront_distribution, which need nothing public.",
        ),
        (
            answer("PermanentRedirect", Region="us-west-2"),
            "b: the bucket is in us-west-2: correct AWS_S3_REGION_NAME or the option region_name, or choose"
            " another name in the option bucket_name.",
        ),
        (
            answer("ExpiredToken"),
            "The credentials have expired (ExpiredToken): sign in again (aws login or aws sso login), or set new"
            " keys.",
        ),
        (
            answer("InvalidAccessKeyId"),
            "AWS does not accept the credentials (InvalidAccessKeyId): correct AWS_ACCESS_KEY_ID,"
            " AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN, or AWS_PROFILE.",
        ),
        (
            answer("RequestTimeTooSkewed", ServerTime="2026-11-22T10:00:00Z"),
            "This machine's clock differs from S3's by more than 15 minutes (S3's is at 2026-11-22T10:00:00Z): set the"
            " clock, for example with NTP.",
        ),
        (
            answer(
                "SignatureDoesNotMatch", message="Signature expired: 20261122T080000Z is now earlier than"
            ),
            "This machine's clock differs from S3's by more than 15 minutes: set the clock, for example with NTP.",
        ),
        (
            answer("OperationAborted"),
            "b: another process is changing the bucket (OperationAborted): run this again in a minute.",
        ),
        (
            answer("MalformedPolicy", "PutBucketPolicy", "Invalid\nprincipal"),
            "b: PutBucketPolicy failed: MalformedPolicy: Invalid principal: let `manage.py s3 apply` write the policies"
            " of buckets, and attach the policies that `manage.py s3 policy` prints without --explain.",
        ),
        (
            exceptions.NoCredentialsError(),
            "No AWS credentials were found: set AWS_PROFILE, sign in (aws login or aws sso login), or set"
            " AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
        ),
        (
            exceptions.ProfileNotFound(profile="acme"),
            "The config profile (acme) could not be found: correct AWS_PROFILE.",
        ),
        (
            exceptions.UnauthorizedSSOTokenError(),
            "The credentials could not be renewed (The SSO session associated with this profile has expired"
            " or is otherwise invalid. To refresh this SSO session run aws sso login with the corresponding"
            " profile): sign in again (aws login or aws sso login), or set new keys.",
        ),
    ],
    ids=lambda value: value.response["Error"]["Code"] if isinstance(value, ClientError) else "",
)
def test_errors_are_one_line_with_the_fix(error: ClientError | BotoCoreError, line: str) -> None:
    assert errors.explain(error, "b") == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "The operation lacked the necessary privileges: status code: 403 <Error><Code>AccessDenied</Code>",
            "b: these credentials lack s3:PutObject: attach the policy that `manage.py s3 policy --role"
            " deploy` prints.",
        ),
        (
            "Client error with status code: 403 Forbidden",
            "b: these credentials lack s3:PutObject: attach the policy that `manage.py s3 policy --role"
            " deploy` prints.",
        ),
        (
            "received redirect without LOCATION",
            "b: the bucket is in another region: correct AWS_S3_REGION_NAME or the option region_name, or"
            " choose another name in the option bucket_name.",
        ),
        (
            "status code: 404 <Error><Code>NoSuchBucket</Code>",
            "b: the bucket does not exist: create it with `manage.py s3 apply`, or correct the option"
            " bucket_name and the region.",
        ),
        (
            'Generic S3 error\nDebug: ... "Connection refused" ...',
            "b: S3 is not responding (Connection refused): check the network, HTTPS_PROXY, and the endpoint_url.",
        ),
    ],
)
def test_obstore_errors_are_explained(text: str, line: str) -> None:
    error = GenericError(text)
    assert isinstance(error, errors.of_s3())
    assert errors.explain(error, "b", role="deploy", operation="PutObject") == line


# Output


def test_plan_as_text() -> None:
    site = deployment(endpoint="http://127.0.0.1:9000")
    theirs = statement(Sid="Theirs")
    found = compared(site, policy=[theirs], lifecycle=[], ownership="ObjectWriter")
    assert show.as_text([found], width=100).splitlines() == [
        "acme-media: uploads (private)",
        "  + lifecycle            deletes the parts of interrupted uploads after a week, and direct uploads",
        "                         that the site didn't accept after a day",
        '      + ID: django-s3-incomplete-uploads; Status: Enabled; Filter.Prefix: "";',
        "          AbortIncompleteMultipartUpload.DaysAfterInitiation: 7",
        "      + ID: django-s3-pending; Status: Enabled; Filter.Prefix: pending/; Expiration.Days: 1;",
        "          NoncurrentVersionExpiration.NoncurrentDays: 1;",
        "          AbortIncompleteMultipartUpload.DaysAfterInitiation: 1",
        "  ~ ownership            ACLs are off, so none can grant access",
        "      - ObjectWriter",
        "      + BucketOwnerEnforced",
        "  ! policy               open only to the account",
        "      ! conflict: Theirs: allow everyone s3:GetObject on acme-media/*",
        "        `manage.py s3 apply --replace-conflicting` removes just this",
        "      . omitted: the TLS-only statement, because this endpoint is plain http on this machine",
        "  = up to date           encryption, cors, bucket ACL, public access block",
        "",
        "To do: 2 changes, 1 conflict to resolve.",
    ]
    verbose = show.as_text([found], width=100, verbose=True)
    assert "\n  = bucket               is in eu-central-1\n" in verbose
    assert "\n  = encryption           S3 encrypts objects with its own keys\n" in verbose
    assert "up to date" not in verbose


def test_plan_text_lists_the_parts_of_rules_in_one_order() -> None:
    site = deployment(origins=("https://www.example.com",))
    (rule,) = lines(compared(site))["cors"].goal
    live = dict(reversed(rule.items())) | {"MaxAgeSeconds": 1}
    removed, added = (
        line[8:].split("; ")
        for line in show.as_text([compared(site, cors=[live])], width=10_000).splitlines()
        if line.startswith(("      - ", "      + "))
    )
    assert removed[0] == added[0] == f"ID: {rule['ID']}"
    assert [old for old, new in zip(removed, added, strict=True) if old != new] == ["MaxAgeSeconds: 1"]


def test_plan_text_is_colored_by_change() -> None:
    found = [compared(lifecycle=[])]
    assert "\x1b" not in show.as_text(found)
    painted = show.as_text(found, lambda kind, text: f"<{kind}>{text}</>")
    assert "<heading>acme-media: uploads (private)</>" in painted
    assert "\n<add>  + lifecycle</>            deletes" in painted


@pytest.mark.parametrize("width", [70, 100])
def test_plan_text_wraps_long_names_to_the_width(width: int) -> None:
    name, prefix = "m" * 63, f"{'long-folder/' * 20}media/"
    site = deployment(media={"bucket": name, "prefix": prefix})
    found = [
        compared(site, name, lifecycle=[], policy=[statement(Resource=f"arn:aws:s3:::{name}/{prefix}*")])
    ]
    whole, text = show.as_text(found, width=10_000), show.as_text(found, width=width)
    assert max(map(len, whole.splitlines())) > 300
    copied = "`manage.py s3 apply --replace-conflicting`"
    assert max(len(line.replace(copied, "")) for line in text.splitlines()) <= width
    assert copied in text
    assert "".join(text.split()) == "".join(whole.split())


HOSTILE = "\x1b[2J\x1b]0;x\x07\u202eevil\u2066\r\n  = policy  as wanted"


def test_plan_text_escapes_control_characters() -> None:
    grants = [
        {"Grantee": {"Type": "CanonicalUser", "ID": "a", "DisplayName": HOSTILE}, "Permission": HOSTILE}
    ]
    rules = [{"ID": HOSTILE, "Status": HOSTILE, "Filter": {"Prefix": HOSTILE}, "Expiration": {"Days": 1}}]
    cors = [{"ID": HOSTILE, "AllowedOrigins": [HOSTILE], "AllowedMethods": ["GET"]}]
    odd = statement(Sid=HOSTILE, Action=HOSTILE, Condition={"StringEquals": {HOSTILE: HOSTILE}})
    for trusted in (False, True):
        found = compared(
            bucket_ACL=grants if trusted else [],
            lifecycle=rules,
            cors=cors,
            policy=[odd | {"Principal": "*"}],
        )
        for width in (0, 80):
            text = show.as_text([found], width=width)
            assert text.replace("\n", "").isprintable()
            assert "  = policy  as wanted" not in text.splitlines()
        assert json.loads(show.as_json([found]))


def test_plan_as_json() -> None:
    found = compared(policy=[statement()], lifecycle=[])
    data = json.loads(show.as_json([found]))
    (bucket,) = data["buckets"]
    assert (bucket["region"], data["as_wanted"], bucket["exists"]) == (REGION, False, True)
    aspects = {each["aspect"]: each for each in bucket["aspects"]}
    assert {title: each["state"] for title, each in aspects.items()} == dict.fromkeys(
        aspects, "as wanted"
    ) | (states(found))
    assert aspects["policy"]["conflicts"][0]["document"] == statement()
    assert aspects["lifecycle"]["is"] == []
    assert aspects["lifecycle"]["becomes"][0]["ID"] == "django-s3-incomplete-uploads"


@pytest.mark.slow
def test_new_bucket_has_the_expected_defaults(store: Any, bucket_name: str) -> None:
    store.client().create_bucket(Bucket=bucket_name, CreateBucketConfiguration={"LocationConstraint": REGION})
    site = at(store, location(bucket=bucket_name, versioning=True, tags=(("Team", "web"),)))
    assert plan.read(buckets.wanted(site)[0]) == NEW
