"""What stops a command on S3, as one line for a person: what happened, and what to do about it."""

import os
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
_PASSING = {"", "InternalError", "SlowDown", "ServiceUnavailable", "500", "502", "503", "504"}
# How stores that know no DeleteObjects say so, or that they want a checksum which AWS no longer does.
_NO_BULK = {"NotImplemented", "MethodNotAllowed", "MissingContentMD5", "501", "405"}
# And how S3 rejects a whole list for one of its keys.
_BAD_KEY = {"InvalidArgument", "InvalidRequest", "InvalidURI", "KeyTooLongError", "MalformedXML"}
_SIGN_IN = "sign in again (aws login, or aws sso login), or set the new keys"
_NETWORK = "check the network, HTTPS_PROXY and the endpoint_url"
# The first question of `plan` that S3 answers in words.
_FIRST_READ = "GetBucketEncryption"
_OTHER_NAME = "choose another name in the option bucket_name"


class StoppedError(Exception):
    """What stops a command. The text says in a line what happened, and the fix."""


def printable(line: str) -> str:
    """Return a line with what a terminal would obey or not show in escaped form.

    Keys, policies and answers are other people's texts: ESC would rewrite the screen, a line break would add a
    line, and marks of direction would show one key as another.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def printable_lines(text: str) -> str:
    """Return lines with each as `printable` returns it."""
    return "\n".join(map(printable, text.split("\n")))


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
    about = f"{bucket}: " if bucket else ""
    if isinstance(error, StoppedError):
        text = str(error)
    elif untrusted := certificate(error):
        text = f"{about}{': '.join(untrusted)}."
    elif isinstance(error, BotoCoreError):
        text = _of_botocore(error)
    elif isinstance(error, ClientError):
        text = _of_s3(error, bucket, role)
    elif found := code(error):
        answer: Any = {"Error": {"Code": found.split(" ")[0], "Message": found}, "ResponseMetadata": {}}
        text = _of_s3(ClientError(answer, operation), bucket, role)
    elif isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError | TimeoutError):
        text = f"{f'{error.filename}: ' if error.filename else ''}{error.strerror}."
    else:
        asked = re.search(r"https?://[^/\s]+", str(error))
        text = f"{about}S3 does not answer{f' at {asked[0]}' if asked else ''} ({reason(error)}): {_NETWORK}."
    return printable(" ".join(text.split()))


def on_local_server(text: str) -> str:
    """Return a message with the fix that works on the local S3 server.

    Its root sets up the buckets there, and gives the site's key the rights of `s3 policy` as well.
    """
    text = re.sub(r"attach what `manage.py s3 policy --role \w+` prints", "run `manage.py s3 apply`", text)
    text = re.sub(
        r"(allow \S+ on \S+|give them no more than): see `manage.py s3 policy --role \w+`",
        "run `manage.py s3 apply`",
        text,
    )
    return re.sub(r"`manage\.py s3 apply( --[a-z-]+)?`", r"`manage.py s3 apply\1 --local`", text)


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
    # The last part of obstore's first line says least: "error sending request". What is below tells why.
    first = text.split("\n")[0].rpartition(" - ")[2]
    inner = re.findall(r'"([^"\n]*(?:error|refused|reset|closed|failed|timed out)[^"\n]*)"', text)
    return ", ".join(dict.fromkeys(inner))[:300] or first[:300]


def certificate(error: BaseException) -> tuple[str, str] | None:
    """Return what is wrong with the certificate of a server, and the fix; None for any other error.

    What botocore takes obstore may not: a certificate that signs itself and says that it is an authority's.
    """
    text = str(error)
    of_botocore = isinstance(error, exceptions.SSLError) and re.search("(?i)certificate|doesn't match", text)
    if not of_botocore and "InvalidCertificate" not in text:
        return None
    asked = re.search(r"https://[^/\s]+", text)
    bundle = os.environ.get("AWS_CA_BUNDLE")
    where = f"AWS_CA_BUNDLE, which is {bundle}" if bundle else "AWS_CA_BUNDLE, which is not set"
    for pattern, why, fix in (
        (
            "CaUsedAsEndEntity",
            "it is an authority's own, self-signed",
            "make an authority that signs one for the server, as mkcert does, and name the authority's"
            f" certificate in {where}",
        ),
        ("[Ee]xpired", "it has expired", "renew it"),
        ("NotValidYet|not yet valid", "it is not valid yet", "correct the clock of this machine"),
        ("NotValidForName|doesn't match|mismatch", "it is another host's", "correct the endpoint_url"),
        ("NO_CERTIFICATE", "there is none to compare it with", f"correct {where}"),
        (
            "",
            "nothing that this machine trusts has signed it",
            f"name the certificate of its authority in {where}",
        ),
    ):
        if re.search(pattern, text):
            return f"the certificate of {asked[0] if asked else 'the server'} is rejected, because {why}", fix
    return None


def is_taken(error: BaseException) -> bool:
    """Tell whether S3 rejected an upload with If-None-Match: the key is taken, or another upload is at work."""
    return code(error) in {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}


def is_passing(error: BaseException) -> bool:
    """Tell whether another try may go well: there was no answer, or one that says so."""
    return code(error).split(" ")[0] in _PASSING


def is_not_implemented(error: BaseException) -> bool:
    """Tell whether the server does not know what it was asked for."""
    return code(error).startswith(("NotImplemented", "501"))


def rejects_lists(error: ClientError) -> bool:
    """Tell whether a server has no DeleteObjects, or rejects a whole list for one of its keys."""
    return code(error) in _NO_BULK | _BAD_KEY


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
                "No AWS credentials were found: set AWS_PROFILE, sign in (aws login, or aws sso login), or set"
                " AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            )
        case exceptions.MissingDependencyException() if "botocore[crt]" in text:
            return (
                "The credentials come from `aws login`, and boto3 can't read them without awscrt: install"
                " 'botocore[crt]' (uv add --dev 'botocore[crt]'), or sign in with aws sso login."
            )
        case exceptions.PartialCredentialsError():
            return f"{text}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY both."
        case exceptions.ProfileNotFound():
            return f"{text}: correct AWS_PROFILE."
        case (
            exceptions.SSOError()
            | exceptions.TokenRetrievalError()
            | exceptions.LoginError()
            | exceptions.CredentialRetrievalError()
            | exceptions.RefreshWithMFAUnsupportedError()
        ):
            return f"The credentials could not be renewed ({text}): {_SIGN_IN}."
        case exceptions.ConnectionError() | exceptions.HTTPClientError():
            return f"{text}: {_NETWORK}."
    return f"{text} (botocore {botocore.__version__})."
