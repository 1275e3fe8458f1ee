"""What stops a command on S3, in one line for a person: what happened, and the cure."""

import re

import botocore
from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError

from s3kit.buckets import policies

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


def explain(error: ClientError | BotoCoreError, bucket: str = "", *, role: str = "setup") -> str:
    """Return what happened to a bucket, if it was about one, and what to do, as one line.

    `role` is the one whose policy holds the rights that were missing.
    """
    text = _of_s3(error, bucket, role) if isinstance(error, ClientError) else _of_botocore(error)
    return " ".join(text.split())


def is_clock(error: ClientError) -> bool:
    """Tell whether S3, or STS, refused because this machine's clock is off."""
    found = error.response["Error"]
    return found.get("Code") == "RequestTimeTooSkewed" or (
        found.get("Code") in {"SignatureDoesNotMatch", "InvalidSignatureException"}
        and "Signature" in found.get("Message", "")
        and bool(re.search("expired|not yet current", found.get("Message", "")))
    )


def _of_s3(error: ClientError, bucket: str, role: str) -> str:
    found = error.response["Error"]
    code, message = str(found.get("Code")), str(found.get("Message", "")).rstrip(".")
    about = f"{bucket}: " if bucket else ""
    if is_clock(error):
        server = f": there it is {found['ServerTime']}" if found.get("ServerTime") else ""
        return f"The clock of this machine is off by more than S3 accepts (15 minutes){server}. Set it right."
    if code in _EXPIRED:
        return f"The credentials have expired ({code}): {_SIGN_IN}."
    if code in _UNKNOWN_KEY:
        return (
            f"AWS does not accept the credentials ({code}): correct AWS_ACCESS_KEY_ID,"
            " AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or AWS_PROFILE."
        )
    if code == "BucketAlreadyExists":
        return f"{about}this name belongs to another account: choose another name in {_VARIABLES}."
    if code in _ELSEWHERE:
        headers = error.response["ResponseMetadata"].get("HTTPHeaders", {})
        region = found.get("Region") or headers.get("x-amz-bucket-region") or "another region"
        return f"{about}the bucket is in {region}: correct AWS_S3_REGION_NAME or the option region_name, or choose another name."
    if code == "OperationAborted":
        return f"{about}somebody else is changing it (OperationAborted): run this again in a minute."
    if code == "TooManyBuckets":
        return f"{about}the account has as many buckets as it may: delete one, or ask AWS for more."
    if code in {"AccessDenied", "403", "AllAccessDisabled"}:
        return about + _denied(error.operation_name, message, role)
    return f"{about}{error.operation_name} was refused: {code}: {message}"


_VARIABLES = "the option bucket_name"


def _denied(operation: str, message: str, role: str) -> str:
    action = policies.action(operation)
    if "BlockPublicPolicy" in message or "BlockPublicAcls" in message:
        return (
            f"Block Public Access refused {operation}; where the bucket's own is lifted, that is the"
            " account's or the organization's: have that lifted, or choose access 'private' with a"
            " cloudfront_distribution, which need nothing public."
        )
    if "explicit deny" in message:
        return f"a policy denies these credentials {action} explicitly ({message}): change that policy."
    # S3 names the action to callers of the bucket's own account, and to others it says "Access Denied".
    foreign = operation == "GetBucketLocation" and "not authorized to perform" not in message
    whose = ", or the bucket belongs to another account" if foreign else ""
    other = f", or choose another name in {_VARIABLES}" if whose else ""
    return (
        f"these credentials may not {action}{whose}: attach what `manage.py s3 policy --role {role}`"
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
            return f"{text}: check the network, HTTPS_PROXY and the endpoint_url."
    return f"{text} (botocore {botocore.__version__})."
