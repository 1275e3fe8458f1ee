"""What stops a command on S3, as one line for a person: what happened, and what to do about it."""

import re
from typing import Any

import botocore
from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError

from s3kit.buckets import policies
from s3kit.naming import buckets as bucket_names

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_UNKNOWN_KEY = {
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_ELSEWHERE = {
    "PermanentRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "301",
}
_SIGN_IN = "sign in again (aws sso login), or set the new keys"
_NETWORK = "check the network, HTTPS_PROXY and the endpoint_url"
# The first question of `plan` that S3 answers in words.
_FIRST_READ = "GetBucketEncryption"
_OTHER_NAME = "choose another name in the option bucket_name"


def of_s3() -> tuple[type[Exception], ...]:
    """Return what `explain` explains: what botocore and obstore raise, and errors of the network."""
    from obstore.exceptions import BaseError  # only where it is needed, for it takes time to import

    return (BotoCoreError, ClientError, BaseError, OSError)


def explain(
    error: Exception, bucket: str = "", *, role: str = "setup", operation: str = "ListObjectsV2"
) -> str:
    """Return what happened to a bucket, if it was about one, and what to do, as one line.

    `role` is the one whose policy holds the rights that were missing; `operation` is what obstore was asked
    for, since its errors don't say so.
    """
    if isinstance(error, BotoCoreError):
        text = _of_botocore(error)
    elif isinstance(error, ClientError):
        text = _of_s3(error, bucket, role)
    elif found := code(error):
        answer: Any = {"Error": {"Code": found.split(" ")[0], "Message": found}, "ResponseMetadata": {}}
        text = _of_s3(ClientError(answer, operation), bucket, role)
    else:
        about = f"{bucket}: " if bucket else ""
        text = f"{about}S3 does not answer ({reason(error)}): {_NETWORK}."
    return " ".join(text.split())


def code(error: BaseException) -> str:
    """Return S3's own code of an error of botocore or obstore, else its HTTP status, else ""."""
    if isinstance(error, ClientError):
        return str(error.response["Error"].get("Code", ""))
    text = str(error)
    if found := re.search(r"<Code>\s*([^<\s]+)\s*</Code>", text):
        return found[1]
    if "redirect without LOCATION" in text:  # obstore keeps S3's answer to itself
        return "PermanentRedirect"
    if found := re.search(r"status code: (\d{3}[^:<\n]*)", text):
        return found[1].strip()
    return ""


def reason(error: BaseException) -> str:
    """Return the code of an error, or where it has none, its text in a line without obstore's details."""
    if found := code(error):
        return found
    text = str(error) or type(error).__name__
    inner = re.findall(r'"([^"\n]*(?:error|refused|reset|closed|timed out)[^"\n]*)"', text)
    return " ".join([text.split("\n")[0], *dict.fromkeys(inner)])[:300]


def is_clock(error: ClientError) -> bool:
    """Tell whether S3, or STS, rejected a request because this machine's clock is off."""
    found = error.response["Error"]
    return found.get("Code") == "RequestTimeTooSkewed" or (
        found.get("Code") in {"SignatureDoesNotMatch", "InvalidSignatureException"}
        and "Signature" in found.get("Message", "")
        and bool(re.search("expired|not yet current", found.get("Message", "")))
    )


def _of_s3(error: ClientError, bucket: str, role: str) -> str:
    found = error.response["Error"]
    name, message = str(found.get("Code")), str(found.get("Message", "")).rstrip(".")
    about = f"{bucket}: " if bucket else ""
    if is_clock(error):
        server = f": there it is {found['ServerTime']}" if found.get("ServerTime") else ""
        return f"The clock of this machine is off by more than S3 accepts (15 minutes){server}. Correct it."
    if name in _EXPIRED:
        return f"The credentials have expired ({name}): {_SIGN_IN}."
    if name in _UNKNOWN_KEY:
        return (
            f"AWS does not accept the credentials ({name}): correct AWS_ACCESS_KEY_ID,"
            " AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or AWS_PROFILE."
        )
    if name == "InvalidBucketName" and (wrong := bucket_names.problems(bucket)):
        return (
            f"{about}the name {wrong[0].message}: {_OTHER_NAME}, such as {bucket_names.suggestion(bucket)}."
        )
    if name == "BucketAlreadyExists":
        return f"{about}this name belongs to another account: {_OTHER_NAME}."
    if name in _ELSEWHERE:
        headers = error.response["ResponseMetadata"].get("HTTPHeaders", {})
        region = found.get("Region") or headers.get("x-amz-bucket-region") or "another region"
        return (
            f"{about}the bucket is in {region}: correct AWS_S3_REGION_NAME or the option region_name, or"
            f" {_OTHER_NAME}."
        )
    if name == "NoSuchBucket":
        return (
            f"{about}there is no such bucket: create it with `manage.py s3 apply`, or correct the option"
            " bucket_name and the region."
        )
    if name == "OperationAborted":
        return f"{about}somebody else is changing it (OperationAborted): run this again in a minute."
    if name == "TooManyBuckets":
        return f"{about}the account has as many buckets as it may: delete one, or ask AWS for more."
    if name in {"AccessDenied", "403", "AllAccessDisabled"}:
        return about + _denied(error.operation_name, message, role)
    return f"{about}{error.operation_name} failed: {name}: {message}."


def _denied(operation: str, message: str, role: str) -> str:
    action = policies.action(operation)
    if "BlockPublicPolicy" in message or "BlockPublicAcls" in message:
        return (
            f"Block Public Access rejected {operation}. Where the bucket's own is lifted, that is the"
            " account's or the organization's: have it lifted, or set access to 'private' and a"
            " cloudfront_distribution, which need nothing public."
        )
    if "explicit deny" in message:
        return f"a policy denies these credentials {action} explicitly ({message}): change that policy."
    # S3 names the action to callers of the bucket's own account, and to others it says "Access Denied".
    foreign = operation == _FIRST_READ and "not authorized to perform" not in message
    whose = ", or the bucket belongs to another account" if foreign else ""
    other = f", or {_OTHER_NAME}" if whose else ""
    return (
        f"these credentials lack {action}{whose}: attach what `manage.py s3 policy --role {role}`"
        f" prints{other}."
    )


def _of_botocore(error: BotoCoreError) -> str:
    text = str(error).rstrip(".")
    match error:
        case exceptions.NoCredentialsError():
            return (
                "No AWS credentials were found: set AWS_PROFILE, sign in (aws sso login), or set"
                " AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            )
        case exceptions.PartialCredentialsError():
            return f"{text}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY both."
        case exceptions.ProfileNotFound():
            return f"{text}: correct AWS_PROFILE."
        case (
            exceptions.SSOError()
            | exceptions.TokenRetrievalError()
            | exceptions.CredentialRetrievalError()
            | exceptions.RefreshWithMFAUnsupportedError()
        ):
            return f"The credentials could not be renewed ({text}): {_SIGN_IN}."
        case exceptions.SSLError():
            return f"{text}: name the certificate of its authority in AWS_CA_BUNDLE."
        case exceptions.ConnectionError() | exceptions.HTTPClientError():
            return f"{text}: {_NETWORK}."
    return f"{text} (botocore {botocore.__version__})."
