"""Probes that all others depend on: endpoint, clock, credentials, buckets, and custom domains."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from s3kit import clients
from s3kit.buckets.account import Account
from s3kit.buckets.plan import grants_to_others
from s3kit.buckets.wanted import wanted
from s3kit.deployment import Bucket, Location, Target
from s3kit.doctor.shared import (
    APPLY,
    CONNECT,
    LATER,
    NOT_S3,
    READ,
    Line,
    NoResponseError,
    Probed,
    cant_tell,
    code_of,
    fetch,
    names,
    not_ok,
    ok,
    one_line,
    option,
    signed,
    warning,
)
from s3kit.providers import TOPICS

CLOCK_LIMIT, CLOCK_WARNING = 15 * 60, 60  # seconds; S3 rejects requests that are more than CLOCK_LIMIT off

# Error codes of S3 and STS for bad credentials.
BAD_KEYS = {
    "InvalidAccessKeyId": "AWS does not know this access key: it was deleted, or belongs to another service",
    "InvalidClientTokenId": "AWS does not know this access key: it was deleted, or belongs to another service",
    "SignatureDoesNotMatch": "the secret key does not belong to this access key",
    "ExpiredToken": "the session has expired",
    "ExpiredTokenException": "the session has expired",
    "InvalidToken": "the session token is not valid",
}
NEW_KEYS = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role is attached"


def endpoint(probed: Probed, target: Target) -> list[Line]:
    """Probe whether S3 responds, and whether its clock agrees with this machine's."""
    urls = [
        clients.bucket_url(target, bucket.name)
        for bucket in probed.buckets
        if bucket.target.where == target.where
    ]
    asked = time.time()
    try:
        with ThreadPoolExecutor(len(urls)) as pool:
            responses = list(pool.map(partial(fetch, method="HEAD"), urls))
    except NoResponseError as error:
        if error.untrusted:
            fix = "set AWS_CA_BUNDLE to a file with the certificate of the CA that signed the server's"
        elif target.is_local:
            fix = "start it with `manage.py s3 serve`"
        elif target.endpoint:
            fix = "start the server, or correct AWS_S3_ENDPOINT_URL"
        else:
            fix = "check the network, the proxy that HTTPS_PROXY names, and AWS_S3_REGION_NAME"
        return [not_ok("endpoint", f"{target.endpoint or urls[0]} does not respond: {error}", fix)]
    lines = [ok("endpoint", f"{target.endpoint or f'S3 in {target.region}'} responds")]
    try:
        theirs = parsedate_to_datetime(responses[0].headers["date"]).timestamp()
    except (KeyError, ValueError, OverflowError):
        return [*lines, cant_tell("clock", "the response has no date")]
    # A date is in whole seconds, and the response took some time: an error is a difference beyond both.
    ahead, behind = asked - theirs - 1, theirs - time.time()
    off = round(max(ahead, behind))
    text = f"this machine's clock is {off} seconds {'ahead of' if ahead > behind else 'behind'} S3's"
    fix = "set the clock with NTP: S3 rejects requests that are 15 minutes off"
    if off > CLOCK_LIMIT:
        return [*lines, not_ok("clock", text, fix)]
    if off > CLOCK_WARNING:
        return [*lines, warning("clock", text, fix)]
    return [*lines, ok("clock", "this machine's clock agrees with S3's")]


def credentials(probed: Probed, target: Target) -> list[Line]:
    """Report the owner and kind of the credentials, and what that means for signed links."""
    quick = Config(
        connect_timeout=CONNECT,
        read_timeout=READ,
        retries={"mode": "standard", "total_max_attempts": 1},
        ignore_configured_endpoint_urls=True,
    )
    try:
        keys, found = clients.credentials(target), clients.session(target).get_credentials()
        sts = clients.session(target).client(
            "sts", region_name=target.region, endpoint_url=target.endpoint, config=quick
        )
    except BotoCoreError as error:
        return [not_ok("credentials", one_line(error), NEW_KEYS)]
    # The ID alone opens nothing; its beginning and end are enough to find it in a list.
    key = f"key {keys.access_key[:4]}...{keys.access_key[-4:]} from {found.method}"
    try:
        caller = sts.get_caller_identity()
        text = f"{caller['Arn'].rpartition(':')[2]} of account {caller['Account']}, {key}"
        if not target.endpoint:
            probed.accounts[target] = str(caller["Account"])
    except (BotoCoreError, ClientError, ResponseParserError, KeyError) as error:
        code = code_of(error) if isinstance(error, ClientError) else ""
        if code in BAD_KEYS:
            return [not_ok("credentials", f"{BAD_KEYS[code]} ({key})", NEW_KEYS)]
        text = f"{key}; STS does not say who owns it: {one_line(error)}"
        fix = "give this machine access to STS; the site itself does not need it"
        return [cant_tell("credentials", text, fix)]
    if not keys.token:
        return [ok("credentials", f"{text}, long-term: signed links stay valid for their full time")]
    ends = getattr(found, "_expiry_time", None)
    until = f", now at {ends.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if isinstance(ends, datetime) else ""
    return [ok("credentials", f"{text}, temporary: signed links expire with them{until}")]


def title(bucket: Bucket) -> str:
    """Return the title of a bucket's line."""
    kinds = {location.kind for location in bucket.locations}
    return f"{kinds.pop()} bucket" if len(kinds) == 1 else "bucket"


def bucket(probed: Probed, bucket: Bucket) -> list[Line]:
    """Probe whether a bucket exists in the region and accepts the credentials; if so, record it as usable.

    Uses a signed link to the listing, because boto3 would silently follow a redirect to another region.
    """
    name, target, probe = bucket.name, bucket.target, title(bucket)
    setting = option("bucket_name", bucket.locations[0])
    try:
        unsigned = fetch(clients.bucket_url(target, name), "HEAD")
        listing = {"list-type": "2", "max-keys": "0"}
        response = fetch(signed(target, clients.object_url(target, name, ""), parameters=listing))
    except NoResponseError as error:
        return [not_ok(probe, f"{name} does not respond: {error}", LATER)]
    if unsigned.status == 404 or response.code == "NoSuchBucket":
        return [not_ok(probe, f"{name} does not exist", f"{APPLY}, or correct {setting}")]
    if response.code in BAD_KEYS:
        probed.broken.add(target)
        return [not_ok("credentials", f"S3 rejects them: {BAD_KEYS[response.code]}", NEW_KEYS)]
    if response.status in {301, 307, 400}:
        home = response.headers.get("x-amz-bucket-region")
        text = f"{name} is in {home or 'another region'}, not in {target.region} ({response})"
        fix = f"set AWS_S3_REGION_NAME={home}" if home else "set AWS_S3_REGION_NAME to the bucket's"
        return [not_ok(probe, text, f"{fix}, or correct {setting}")]
    if response.status >= 500:
        return [not_ok(probe, f"{name} returned {response}", LATER)]
    if response.status not in {200, 401, 403} or (
        response.status == 200 and b"ListBucketResult" not in response.body
    ):
        return [not_ok(probe, f"the server of {name} is not S3: {response} instead of a listing", NOT_S3)]
    lines, whose = list[Line](), ""
    if target.owner and response.status == 200:
        try:
            probed.s3(target).list_objects_v2(**names(target, name), MaxKeys=1)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 403:
                raise  # becomes "can't tell"
            text = f"{name} does not belong to account {target.owner}, and its owner can read what you store there"
            fix = f"correct {setting}, or, if you do mean this bucket, set AWS_EXPECTED_BUCKET_OWNER to its account"
            return [not_ok(probe, text, fix)]
        whose = f" and belongs to account {target.owner}"
    elif not (target.owner or target.endpoint):
        text = f"{name} could belong to another account: STS does not say which one the credentials belong to"
        fix = "set AWS_EXPECTED_BUCKET_OWNER to the account's number, or give this machine access to STS"
        lines = [not_ok("bucket owner", text, fix)]
    probed.usable.add(bucket)
    return [ok(probe, f"{name} exists in {target.region}{whose}"), *lines]


def grants(probed: Probed, _site: None) -> list[Line]:
    """Probe whether a bucket's policy or ACL grants more to others than STORAGES does."""
    probe, lines = "bucket grants", list[Line]()
    looked = [want for want in wanted(probed.deployment) if want.bucket in probed.usable]
    if not looked:
        probed.not_probed.append(probe)
        return []
    for want in looked:
        target = want.bucket.target
        try:
            found = grants_to_others(want, probed.s3(target), Account(probed.accounts.get(target, "")))
        except ClientError as error:
            if code_of(error) != "AccessDenied":
                raise
            text = "reading the policies and ACLs of buckets is not allowed"
            return [*lines, cant_tell(probe, text, "see `manage.py s3 policy --role deploy`")]
        lines += [not_ok(probe, f"{want.name}: {each.says}", each.fix) for each in found]
    # Other servers' accounts aren't known.
    who = "other accounts and everyone" if all(want.bucket.target.owner for want in looked) else "everyone"
    return lines or [ok(probe, f"the buckets grant {who} only what STORAGES says")]


# What to do about something that a server doesn't support.
_INSTEAD = {
    "encryption": "find out how it encrypts objects, or encrypt its disks",
    "versioning": "set versioning to False, and keep backups",
    "policy": "make the server accept https only, and open public files as its documentation says",
    "public access block": "allow only the people who run `manage.py s3 apply` to write the bucket's policy and ACL",
    "ownership": "give only the site's key the right to set ACLs",
    "tags": "remove bucket_tags",
    "object ACLs": "set access to 'private' or 'public-policy'",
}


def server(probed: Probed, _site: None) -> list[Line]:
    """Report what a known server doesn't support, and what the site loses.

    Without policies and ACLs, nothing can open a bucket, so a missing block is no loss.
    """
    lines = dict[tuple[str, str], Line]()
    for want in wanted(probed.deployment):
        provider = want.bucket.target.provider
        titles = {*want.aspects, *({"object ACLs"} if want.aspects["bucket ACL"].needed else ())}
        lost = [title for title in _INSTEAD if title in titles and provider.lacks(title)]
        if provider.lacks("object ACLs"):
            needless = {"ownership", *({"public access block"} if provider.lacks("policy") else ())}
            lost = [title for title in lost if title not in needless]
        for title in lost:
            tell = not_ok if title in {"versioning", "object ACLs"} else warning
            text = f"{provider.title} does not support {title}: {TOPICS[title]}"
            lines[provider.name, title] = tell("server", text, _INSTEAD[title])
    return list(lines.values())


def domain(probed: Probed, location: Location) -> list[Line]:
    """Probe whether a custom domain responds; if not, record that."""
    probe = f"{location.kind} domain"
    if not location.custom_domain:
        return [ok(probe, "not set: files come from the bucket's own address")]
    try:
        fetch(f"https://{location.custom_domain}/{probed.key(location)}", "HEAD")
    except NoResponseError as error:
        probed.dead_domains.add(location.alias)
        setting = option("custom_domain", location)
        fix = f"point its DNS at the distribution, with a certificate for it, or correct {setting}"
        return [not_ok(probe, f"{location.custom_domain} does not respond: {error}", fix)]
    return [ok(probe, f"{location.custom_domain} responds")]
