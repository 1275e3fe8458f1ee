"""Turns an error of S3 into one line: what happened, and the fix. `s3kit.known_errors` has the texts."""

import os
import re
from typing import Any

import botocore
from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError

from s3kit import known_errors
from s3kit.buckets import policies
from s3kit.known_errors import Known
from s3kit.naming import buckets as bucket_names

_PASSING = {"", "InternalError", "SlowDown", "ServiceUnavailable", "500", "502", "503", "504"}
# Returned by servers without DeleteObjects, and by those that need a checksum that AWS no longer requires.
_NO_BULK = {"NotImplemented", "MethodNotAllowed", "MissingContentMD5", "501", "405"}
# Returned by S3 if it rejects a whole list because of one key.
_BAD_KEY = {"InvalidArgument", "InvalidRequest", "InvalidURI", "KeyTooLongError", "MalformedXML"}
# The first request of `plan` whose response has a body, and so a message.
_FIRST_READ = "GetBucketEncryption"
_OF_CODE = {code: known for known in reversed(known_errors.OF_S3) for code in known.codes}


class StoppedError(Exception):
    """What stops a command. The text says on one line what happened, and the fix."""


def printable(line: str) -> str:
    """Return a line in which characters that don't print are escaped.

    Other people write keys, policies, and responses: ESC could rewrite the screen, a line break could add a line,
    and marks of direction could show one key as another.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def printable_lines(text: str) -> str:
    """Return the text with each line as `printable` returns it."""
    return "\n".join(map(printable, text.split("\n")))


def of_s3() -> tuple[type[Exception], ...]:
    """Return the exceptions that `explain` explains: botocore's, obstore's, and those of the network."""
    from obstore.exceptions import BaseError  # imported late, because it takes time

    return (BotoCoreError, ClientError, BaseError, OSError)


def explain(
    error: Exception, bucket: str = "", *, role: str = "setup", operation: str = "ListObjectsV2"
) -> str:
    """Return one line: what happened, to which bucket, and the fix.

    `role` is the role whose policy has the missing permission. `operation` is the operation that failed, which
    obstore's errors don't name.
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
        where = f" at {asked[0]}" if asked else ""
        text = about + known_errors.NO_ANSWER.line(where=where, reason=reason(error))
    return printable(" ".join(text.split()))


def on_local_server(text: str) -> str:
    """Return a message with the fix for the local S3 server.

    `s3 apply --local` sets up its buckets, and gives the site's key the permissions that `s3 policy` prints.
    """
    printed, allow = (
        re.escape(known_errors.POLICY).replace(r"\{role\}", r"\w+"),
        r"allow \S+ on \S+: see `[^`]+`",
    )
    text = re.sub(f"{printed}|{allow}", "run `manage.py s3 apply`", text)
    return re.sub(r"`manage\.py s3 apply( --[a-z-]+)?`", r"`manage.py s3 apply\1 --local`", text)


def code(error: BaseException) -> str:
    """Return S3's code of an error of botocore or obstore, or else its HTTP status, or else ""."""
    if isinstance(error, ClientError):
        return str(error.response["Error"].get("Code", ""))
    text = str(error)
    if found := re.search(r"<Code>\s*([^<\s]+)\s*</Code>", text):
        return found[1]
    if "redirect without LOCATION" in text:  # obstore does not pass S3's response on
        return "PermanentRedirect"
    if found := re.search(r"status code: (\d{3}[^:<\n]*)", text):
        return found[1].strip()
    return ""


def reason(error: BaseException) -> str:
    """Return the code of an error, or if it has none, its text on one line without obstore's details."""
    if found := code(error):
        return found
    text = str(error) or type(error).__name__
    # obstore's first line ends with "error sending request". The lines below give the reason.
    first = text.split("\n")[0].rpartition(" - ")[2]
    inner = re.findall(r'"([^"\n]*(?:error|refused|reset|closed|failed|timed out)[^"\n]*)"', text)
    return ", ".join(dict.fromkeys(inner))[:300] or first[:300]


def certificate(error: BaseException) -> tuple[str, str] | None:
    """Return what is wrong with a server's certificate, and the fix; None for any other error.

    obstore rejects a certificate that botocore accepts: a self-signed one that is marked as an authority's.
    """
    text = str(error)
    of_botocore = isinstance(error, exceptions.SSLError) and re.search("(?i)certificate|doesn't match", text)
    if not of_botocore and "InvalidCertificate" not in text:
        return None
    asked = re.search(r"https://[^/\s]+", text)
    bundle = os.environ.get("AWS_CA_BUNDLE")
    where = f"AWS_CA_BUNDLE, which is {bundle}" if bundle else "AWS_CA_BUNDLE, which is not set"
    found = next(each for each in known_errors.CERTIFICATES if each.pattern.search(text))
    rejected = known_errors.REJECTED.format(server=asked[0] if asked else "the server", text=found.text)
    return rejected, found.fix.format(bundle=where)


def is_taken(error: BaseException) -> bool:
    """Return whether S3 rejected an upload with If-None-Match: the key exists, or another upload is writing it."""
    return code(error) in {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}


def is_passing(error: BaseException) -> bool:
    """Return whether another try may succeed: S3 gave no response, or a temporary error."""
    return code(error).split(" ")[0] in _PASSING


def is_not_implemented(error: BaseException) -> bool:
    """Return whether the server does not have the operation."""
    return code(error).startswith(("NotImplemented", "501"))


def rejects_lists(error: ClientError) -> bool:
    """Return whether a server has no DeleteObjects, or rejects a whole list because of one key."""
    return code(error) in _NO_BULK | _BAD_KEY


def is_clock(error: ClientError) -> bool:
    """Return whether S3 or STS rejected a request because this machine's clock is wrong."""
    found = error.response["Error"]
    return found.get("Code") == "RequestTimeTooSkewed" or (
        found.get("Code") in {"SignatureDoesNotMatch", "InvalidSignatureException"}
        and "Signature" in found.get("Message", "")
        and bool(re.search("expired|not yet current", found.get("Message", "")))
    )


def _of_s3(error: ClientError, bucket: str, role: str) -> str:
    found = error.response["Error"]
    code, message = str(found.get("Code")), str(found.get("Message", "")).rstrip(".")
    known = known_errors.CLOCK if is_clock(error) else _OF_CODE.get(code)
    about, wrong = f"{bucket}: " if bucket else "", bucket_names.problems(bucket)
    if known is None or (code == "InvalidBucketName" and not wrong):
        return f"{about}{known_errors.FAILED.format(operation=error.operation_name, code=code, message=message)}."
    headers = error.response["ResponseMetadata"].get("HTTPHeaders", {})
    fields = {
        "code": code,
        "message": message,
        "operation": error.operation_name,
        "role": role,
        "region": found.get("Region") or headers.get("x-amz-bucket-region") or "another region",
        "problem": wrong[0].message if wrong else "",
        "suggestion": bucket_names.suggestion(bucket),
        "server_time": f" (S3's is at {found['ServerTime']})" if found.get("ServerTime") else "",
    }
    if known is known_errors.DENIED:
        known, fields["action"] = _denied(error.operation_name, message)
    return (about if known.of_bucket else "") + known.line(**fields)


def _denied(operation: str, message: str) -> tuple[Known, str]:
    action = policies.action(operation)
    if "BlockPublicPolicy" in message or "BlockPublicAcls" in message:
        return known_errors.BLOCKED, action
    if "explicit deny" in message:
        return known_errors.DENIED_EXPLICITLY, action
    # S3 names the action to callers of the bucket's own account, and to others it says "Access Denied".
    if operation == _FIRST_READ and "not authorized to perform" not in message:
        return known_errors.DENIED_FOREIGN, action
    return known_errors.DENIED, action


def _of_botocore(error: BotoCoreError) -> str:
    message = str(error).rstrip(".")
    for known in known_errors.OF_BOTOCORE:
        kinds = tuple(getattr(exceptions, name) for name in known.codes)
        if isinstance(error, kinds) and (known is not known_errors.CRT or "botocore[crt]" in message):
            return known.line(message=message)
    return f"{message} (botocore {botocore.__version__})."
