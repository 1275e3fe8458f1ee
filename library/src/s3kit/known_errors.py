"""The errors that `s3kit.errors` explains, as data: commands print them, and docs/troubleshooting.md lists them.

A command prints `text: fix.` on one line, with the names in braces filled in. `cause` is for the page.
"""

import re
from dataclasses import dataclass

FAILED = "{operation} failed: {code}: {message}"
SIGN_IN = "sign in again (aws login or aws sso login), or set new keys"
OTHER_NAME = "choose another name in the option bucket_name"
POLICY = "attach the policy that `manage.py s3 policy --role {role}` prints"


@dataclass(frozen=True)
class Known:
    """An error that is explained. `codes` are S3's codes, HTTP statuses, or names of botocore's exceptions."""

    codes: tuple[str, ...]
    cause: str
    fix: str
    text: str = FAILED
    of_bucket: bool = True
    """Whether it is about a bucket, whose name commands print first."""

    def line(self, **fields: str) -> str:
        """Return what a command prints."""
        return f"{self.text}: {self.fix}.".format(**fields)


DENIED = Known(
    ("AccessDenied", "AllAccessDisabled", "403"),
    "The credentials have no permission for this action. `s3:ListBucket` needs the bucket itself, which `.../*` does"
    " not include. Uploads with the access `public-read` need `s3:PutObjectAcl`, too. Actions that begin with `kms:`"
    " are about the bucket's key. If all requests fail after you set `AWS_EXPECTED_BUCKET_OWNER`, the bucket belongs to"
    " another account.",
    POLICY,
    "these credentials lack {action}",
)
DENIED_FOREIGN = Known(
    DENIED.codes,
    "S3 says only `Access Denied`: it names the missing action only if the bucket belongs to the account of the"
    " credentials.",
    f"{POLICY}, or {OTHER_NAME}",
    "these credentials lack {action}, or the bucket belongs to another account",
)
DENIED_EXPLICITLY = Known(
    DENIED.codes,
    "A `Deny` statement matches: in a policy of the role, the bucket, the KMS key, or the organization (a service"
    " control policy). A `Deny` overrides every `Allow`.",
    "change that policy",
    "a policy explicitly denies these credentials {action} ({message})",
)
BLOCKED = Known(
    DENIED.codes,
    "Block Public Access is on for the account or the organization, and the settings make something public."
    " `manage.py s3 apply` turns off only the bucket's own block.",
    "ask the administrator of the account or organization to turn it off; or set access to 'private' and a"
    " cloudfront_distribution, which need nothing public",
    "Block Public Access rejected {operation}",
)
CLOCK = Known(
    ("RequestTimeTooSkewed",),
    "Each request has the time in its signature. S3 reports a wrong clock as `SignatureDoesNotMatch`, too. The"
    " line `clock` of `manage.py s3 doctor` shows the difference.",
    "set the clock, for example with NTP",
    "This machine's clock differs from S3's by more than 15 minutes{server_time}",
    of_bucket=False,
)

# Errors of S3 and STS.
OF_S3 = (
    DENIED,
    DENIED_FOREIGN,
    DENIED_EXPLICITLY,
    BLOCKED,
    Known(
        ("AccessControlListNotSupported",),
        "The access is `public-read`, which sets an ACL on each object, and the bucket has ACLs disabled, as all new"
        " buckets do.",
        "set access to 'public-policy' or 'private', or run `manage.py s3 apply`, which enables ACLs",
    ),
    Known(
        ("InvalidBucketAclWithObjectOwnership",),
        "The bucket's ACL grants something to other accounts or to everyone, so S3 can't disable ACLs.",
        "run `manage.py s3 plan`, which shows the grant, then `manage.py s3 apply --replace-conflicting`, which"
        " removes it",
    ),
    Known(
        (
            "PermanentRedirect",
            "AuthorizationHeaderMalformed",
            "IllegalLocationConstraintException",
            "301",
        ),
        "The region in the settings is not the bucket's. The library does not read `AWS_REGION` and"
        " `AWS_DEFAULT_REGION`: on ECS and Lambda they name the region of the process.",
        f"correct AWS_S3_REGION_NAME or the option region_name, or {OTHER_NAME}",
        "the bucket is in {region}",
    ),
    Known(
        ("NoSuchBucket",),
        "Nobody has created the bucket, its name has a typo, or `AWS_S3_ENDPOINT_URL` is another server's.",
        "create it with `manage.py s3 apply`, or correct the option bucket_name and the region",
        "the bucket does not exist",
    ),
    Known(
        ("NoSuchKey",),
        "The object was deleted, or the name in the database has the prefix, which the storage adds.",
        "for static files, run `manage.py collectstatic`; for uploads, compare the name in the database with the key",
    ),
    Known(
        ("InvalidBucketName",),
        "The name breaks one of S3's rules: it has an uppercase letter, an underscore, or a reserved prefix."
        " `manage.py check` finds this without a request.",
        f"{OTHER_NAME}, such as {{suggestion}}",
        "the name {problem}",
    ),
    Known(
        ("BucketAlreadyExists",),
        "Bucket names are unique among all customers of AWS.",
        OTHER_NAME,
        "this name belongs to another account",
    ),
    Known(
        ("BucketAlreadyOwnedByYou",),
        "Two processes create the bucket at once.",
        "run `manage.py s3 apply` again, which creates only what is missing",
    ),
    Known(
        ("OperationAborted",),
        "Two processes change the bucket at once, or the bucket was deleted a moment ago.",
        "run this again in a minute",
        "another process is changing the bucket (OperationAborted)",
    ),
    Known(
        ("ConditionalRequestConflict",),
        "Another process is uploading an object with the same key.",
        "run this again",
    ),
    Known(
        ("TooManyBuckets",),
        "The account has reached its quota of buckets.",
        "delete a bucket, or ask AWS for a higher quota",
        "the account can't have more buckets (TooManyBuckets)",
    ),
    Known(
        ("MalformedPolicy", "MalformedPolicyDocument"),
        "Someone wrote the policy manually: it has another bucket's ARN, or `arn:aws` in a partition such as China's."
        " Or it is the output of `manage.py s3 policy --explain`, whose comments are not JSON.",
        "let `manage.py s3 apply` write the policies of buckets, and attach the policies that `manage.py s3"
        " policy` prints without --explain",
    ),
    Known(
        ("SlowDown", "ServiceUnavailable", "InternalError", "500", "502", "503", "504"),
        "S3 is scaling up for a sudden load, or has a problem. The library has already tried again, with pauses.",
        "run this again in a minute",
    ),
    Known(
        ("NotImplemented", "MethodNotAllowed", "501", "405"),
        "The server is not AWS and lacks this operation, for example conditional writes (`If-None-Match`). See [other"
        " servers](other-servers.md).",
        "run `manage.py s3 doctor`, which says what to turn off",
    ),
    Known(
        ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"),
        "The session of the credentials has ended: `aws login`, SSO, or an assumed role. Links that these credentials"
        " signed end with them: see [roles](aws.md#iam-roles-instead-of-access-keys).",
        SIGN_IN,
        "The credentials have expired ({code})",
        of_bucket=False,
    ),
    Known(
        (
            "InvalidAccessKeyId",
            "SignatureDoesNotMatch",
            "InvalidClientTokenId",
            "InvalidToken",
            "UnrecognizedClientException",
        ),
        "The key was deleted, or belongs to another S3 server. The secret is truncated, or has quotes or a space. Keys"
        " that begin with `ASIA` need `AWS_SESSION_TOKEN`.",
        "correct AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN, or AWS_PROFILE",
        "AWS does not accept the credentials ({code})",
        of_bucket=False,
    ),
    CLOCK,
)

NO_ANSWER = Known(
    ("ConnectionError", "HTTPClientError"),
    "The machine can't reach S3: no network, a proxy or firewall, a VPC without an endpoint, or a typo in"
    " `AWS_S3_ENDPOINT_URL` or the region. botocore's own message is `Could not connect to the endpoint URL`.",
    "check the network, HTTPS_PROXY, and the endpoint_url",
    "S3 is not responding{where} ({reason})",
)

# What botocore raises, by the names of its exceptions.
CRT = Known(
    ("MissingDependencyException",),
    "The profile in `AWS_PROFILE` was made by `aws login`.",
    "install 'botocore[crt]' (uv add --dev 'botocore[crt]'), or sign in with aws sso login",
    "The credentials come from `aws login`, and boto3 can't read them without awscrt",
)
OF_BOTOCORE = (
    Known(
        ("NoCredentialsError",),
        "boto3 found no key, profile, or role. botocore's own message is `Unable to locate credentials`.",
        "set AWS_PROFILE, sign in (aws login or aws sso login), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        "No AWS credentials were found",
    ),
    Known(
        ("PartialCredentialsError",),
        "One of the two keys is set, and the other is not. botocore's message is `Partial credentials found`.",
        "set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        "{message}",
    ),
    Known(
        ("ProfileNotFound",),
        "`AWS_PROFILE` names a profile that is not in `~/.aws/config`. botocore's message is `The config profile (...)"
        " could not be found`.",
        "correct AWS_PROFILE",
        "{message}",
    ),
    Known(
        (
            "SSOError",
            "TokenRetrievalError",
            "LoginError",
            "CredentialRetrievalError",
            "RefreshWithMFAUnsupportedError",
        ),
        "The session of `aws login` or `aws sso login` has ended, or the profile needs a code from an MFA device.",
        SIGN_IN,
        "The credentials could not be renewed ({message})",
    ),
    CRT,
    Known(NO_ANSWER.codes, NO_ANSWER.cause, NO_ANSWER.fix, "{message}"),
)


@dataclass(frozen=True)
class Certificate:
    """A fault of a server's certificate; `pattern` finds it in what botocore or obstore say."""

    pattern: re.Pattern[str]
    text: str
    fix: str


REJECTED = "the certificate of {server} is rejected, because {text}"
CERTIFICATES = tuple(
    Certificate(re.compile(pattern), text, fix)
    for pattern, text, fix in (
        (
            "CaUsedAsEndEntity",
            "it is the self-signed certificate of an authority",
            "create an authority and let it sign a certificate for the server, as mkcert does, and name the authority's"
            " certificate in {bundle}",
        ),
        ("[Ee]xpired", "it has expired", "renew it"),
        ("NotValidYet|not yet valid", "it is not valid yet", "set this machine's clock"),
        ("NotValidForName|doesn't match|mismatch", "it is for another host", "correct the endpoint_url"),
        ("NO_CERTIFICATE", "no trusted certificates were found", "correct {bundle}"),
        (
            "",
            "no authority that this machine trusts has signed it",
            "name the certificate of its authority in {bundle}",
        ),
    )
)
