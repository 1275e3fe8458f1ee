"""What all other probes rest on: an answer, a clock, credentials, buckets, and custom domains that answer."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings

from s3kit import clients
from s3kit.doctor.shared import (
    APPLY,
    CONNECT,
    LATER,
    READ,
    REFUSALS,
    Line,
    NoAnswerError,
    Patient,
    cant_tell,
    code_of,
    fetch,
    not_ok,
    ok,
    one_line,
    signed,
    warning,
)

CLOCK_LIMIT, CLOCK_WARNING = 15 * 60, 60  # seconds; S3 refuses requests from beyond the first

# What S3 or STS say of credentials.
BAD_KEYS = {
    "InvalidAccessKeyId": "AWS does not know this access key: it was deleted, or is another S3's",
    "InvalidClientTokenId": "AWS does not know this access key: it was deleted, or is another S3's",
    "SignatureDoesNotMatch": "the secret does not belong to this access key",
    "ExpiredToken": "the session has expired",
    "ExpiredTokenException": "the session has expired",
    "InvalidToken": "the session token is not valid",
}
NEW_KEYS = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role is attached"


def endpoint(patient: Patient) -> list[Line]:
    """Tell whether S3 answers, and whether its clock is this machine's."""
    custom = clients.place().endpoint
    urls = [clients.bucket_url(name) for name in dict.fromkeys(patient.buckets.values())]
    asked = time.time()
    try:
        with ThreadPoolExecutor(len(urls)) as pool:
            answers = list(pool.map(partial(fetch, method="HEAD"), urls))
    except NoAnswerError as error:
        if error.untrusted:
            cure = "set AWS_CA_BUNDLE to a file with the certificate of who signed it"
        elif custom:
            cure = "start it (at the desk: `manage.py s3 serve`), or correct AWS_S3_ENDPOINT_URL"
        else:
            cure = "check the network, the proxy that HTTPS_PROXY names, and AWS_S3_REGION_NAME"
        return [not_ok("endpoint", f"{custom or urls[0]} does not answer: {error}", cure)]
    lines = [ok("endpoint", f"{custom or f'S3 in {patient.site.region}'} answers")]
    try:
        theirs = parsedate_to_datetime(answers[0].headers["date"]).timestamp()
    except (KeyError, ValueError):
        return [*lines, cant_tell("clock", "the answer has no date")]
    # A date is in whole seconds, and the answer took its time: only what lies outside of that is an error.
    ahead, behind = asked - theirs - 1, theirs - time.time()
    off = round(max(ahead, behind))
    text = f"this machine's clock is {off} seconds {'ahead of' if ahead > behind else 'behind'} S3's"
    if off > CLOCK_LIMIT:
        return [*lines, not_ok("clock", text, "set the clock, by NTP: S3 refuses what is 15 minutes off")]
    if off > CLOCK_WARNING:
        return [*lines, warning("clock", text, "let NTP keep the clock: S3 refuses what is 15 minutes off")]
    return [*lines, ok("clock", "this machine's clock agrees with S3's")]


def credentials(patient: Patient) -> list[Line]:
    """Tell whose the credentials are, of what kind, and what that means for signed links."""
    quick = Config(
        connect_timeout=CONNECT,
        read_timeout=READ,
        retries={"mode": "standard", "total_max_attempts": 1},
        ignore_configured_endpoint_urls=True,
    )
    try:
        keys, found = clients.credentials(), clients.session().get_credentials()
        sts = clients.session().client(
            "sts", region_name=patient.site.region, endpoint_url=clients.place().endpoint, config=quick
        )
    except BotoCoreError as error:
        return [not_ok("credentials", one_line(error), NEW_KEYS)]
    # The id alone opens nothing; the ends are enough to find it in a list.
    key = f"key {keys.access_key[:4]}...{keys.access_key[-4:]} from {found.method}"
    try:
        caller = sts.get_caller_identity()
    except REFUSALS as error:
        code = code_of(error) if isinstance(error, ClientError) else ""
        if code in BAD_KEYS:
            return [not_ok("credentials", f"{BAD_KEYS[code]} ({key})", NEW_KEYS)]
        text = f"{key}; STS does not say whose it is: {one_line(error)}"
        return [cant_tell("credentials", text, "let this machine reach STS; the site itself does without")]
    text = f"{caller['Arn'].rpartition(':')[2]} of account {caller['Account']}, {key}"
    if not keys.token:
        return [ok("credentials", f"{text}, long-term: signed links live their full time")]
    ends = getattr(found, "_expiry_time", None)
    until = f", now at {ends.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if isinstance(ends, datetime) else ""
    return [ok("credentials", f"{text}, of a session: signed links end with it{until}")]


def buckets(patient: Patient) -> list[Line]:
    """Tell which buckets are there, in the region, and take the credentials; note them as usable."""
    with ThreadPoolExecutor(2) as pool:
        lines = list(pool.map(partial(_bucket, patient), patient.buckets))
    # Credentials that S3 refuses are one line and not two.
    return list({(line.probe, line.text): line for line in lines}.values())


def _bucket(patient: Patient, which: str) -> Line:
    """Ask for the listing by a link: boto3 would follow a redirect to another region and not tell."""
    probe, name, region = f"{which} bucket", patient.buckets[which], patient.site.region
    setting = f"AWS_{which.upper()}_BUCKET_NAME"
    try:
        unsigned = fetch(clients.bucket_url(name), "HEAD")
        listing = {"list-type": "2", "max-keys": "0"}
        answer = fetch(signed(clients.object_url(name, ""), parameters=listing))
    except NoAnswerError as error:
        return not_ok(probe, f"{name} does not answer: {error}", LATER)
    if unsigned.status == 404 or answer.code == "NoSuchBucket":
        return not_ok(probe, f"there is no bucket {name}", f"{APPLY}, or correct {setting}")
    if answer.code in BAD_KEYS:
        return not_ok("credentials", f"S3 refuses them: {BAD_KEYS[answer.code]}", NEW_KEYS)
    if answer.status in {301, 307, 400}:
        home = answer.headers.get("x-amz-bucket-region")
        text = f"{name} is in {home or 'another region'}, not in {region} ({answer})"
        cure = f"set AWS_S3_REGION_NAME={home}" if home else "set AWS_S3_REGION_NAME to the bucket's"
        return not_ok(probe, text, f"{cure}, or correct {setting}")
    if answer.status >= 500:
        return not_ok(probe, f"{name} answers {answer}", LATER)
    if patient.site.owner and answer.status == 200:
        try:
            patient.s3.list_objects_v2(**patient.named(name), MaxKeys=1)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 403:
                raise  # to be told as what can't be seen
            text = f"{name} is not account {patient.site.owner}'s, as AWS_EXPECTED_BUCKET_OWNER demands"
            return not_ok(probe, text, f"correct {setting} or AWS_EXPECTED_BUCKET_OWNER")
    patient.usable.add(which)
    return ok(probe, f"{name} is there, in {region}")


def domains(patient: Patient) -> list[Line]:
    """Tell whether the custom domains answer, and note those that don't."""
    return [_domain(patient, which) for which in patient.buckets]


def _domain(patient: Patient, which: str) -> Line:
    probe, setting = f"{which} domain", f"AWS_{which.upper()}_CUSTOM_DOMAIN"
    domain = getattr(settings, setting).strip()
    if not domain:
        return ok(probe, "none is set: files come from the bucket's own address")
    try:
        fetch(f"https://{domain}/{which}/{patient.name}", "HEAD")
    except NoAnswerError as error:
        patient.dead_domains.add(which)
        cure = f"point its DNS at the distribution, with a certificate for it, or correct {setting}"
        return not_ok(probe, f"{domain} does not answer: {error}", cure)
    return ok(probe, f"{domain} answers")
