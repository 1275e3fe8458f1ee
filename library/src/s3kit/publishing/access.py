"""Set the ACLs of existing uploads to what the settings want: `manage.py s3 access`.

With `public-read` each upload needs the canned ACL public-read; otherwise no ACL may make an upload public. The
command reads the ACL of each upload and sets it if it differs: one request for an upload that is correct, two for any
other, and one listing request for each 1,000. A second run changes nothing, and an interrupted run can continue after
the last key. Objects outside of the location's prefix aren't touched.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from botocore.exceptions import BotoCoreError, ClientError

from s3kit import clients, errors
from s3kit.buckets.policies import canned_acl
from s3kit.deployment import Location
from s3kit.progress import Progress, Report, listed
from s3kit.publishing.publish import GIVE_UP_AFTER

THREADS = 32
BATCH = 500  # keys: an interrupted run continues at the end of a batch

_EVERYBODY = "http://acs.amazonaws.com/groups/global/"
_PUBLIC_READ = [(f"{_EVERYBODY}AllUsers", "READ")]


class AccessError(errors.StoppedError):
    """No ACL could be set."""


@dataclass
class AccessReport(Report):
    """The result of a run, or with `dry_run` what it would do."""

    bucket: str
    prefix: str
    acl: str
    dry_run: bool
    uploads: int = 0
    changed: int = 0
    unchanged: int = 0
    last: str = ""
    """The last key that is done; all keys before it are done too."""
    given_up: bool = False
    errors: dict[str, str] = field(default_factory=dict)
    """Why an ACL was not set, by key."""
    fix: str = ""
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0

    def as_text(self) -> str:
        """Return the summary line."""
        verb = "to set" if self.dry_run else "set"
        return (
            f"{self.uploads:,} uploads in {self.bucket}/{self.prefix}: {self.changed:,} {verb} to {self.acl},"
            f" {self.unchanged:,} unchanged, {len(self.errors):,} failed; {self.seconds:.1f} s."
        )

    def failures(self) -> str:
        """Return what failed, "" if nothing did."""
        if not self.errors:
            return ""
        count = len(self.errors)
        end = ["The others were not tried."] if self.given_up else []
        title = f"The ACL of {count:,} upload{'s' * (count != 1)} is not {self.acl}:"
        return listed(title, self.errors.items(), *end, *([self.fix] if self.fix else []))

    @property
    def go_on(self) -> str:
        """The hint for an interrupted run."""
        return f"To continue where it stopped, add --start-after {self.last!a}." if self.last else ""


class Access:
    """A run over the uploads of a location whose keys come after `start_after`; `report` is its result so far."""

    def __init__(self, location: Location, *, dry_run: bool = False, start_after: str = "") -> None:
        self.location, self.start_after = location, start_after
        self.bucket = {"Bucket": location.bucket, **clients.owner_arguments(location.target)}
        self.s3 = clients.command(location.target)
        self.report = AccessReport(location.bucket, location.prefix, canned_acl(location), dry_run)

    def run(self, progress: Progress) -> AccessReport:
        """Set the ACLs that differ; errors of single uploads are in the report.

        Raises AccessError if S3 doesn't respond, or the bucket has ACLs disabled.
        """
        report = self.report
        try:
            keys = self._keys()
        except (ClientError, BotoCoreError) as error:
            raise AccessError(errors.explain(error, report.bucket, role="access")) from error
        report.uploads = len(keys)
        with ThreadPoolExecutor(THREADS) as pool:
            for start in range(0, len(keys), BATCH):
                batch = keys[start : start + BATCH]
                for number, (key, said) in enumerate(
                    zip(batch, pool.map(self._process, batch), strict=True), 1
                ):
                    progress(start + number, len(keys), f"{key}: {said}")
                report.last = batch[-1]
                if len(report.errors) >= GIVE_UP_AFTER and not (report.changed or report.unchanged):
                    report.given_up = True
                    break
        report.seconds = round(time.monotonic() - report.started, 1)
        return report

    def _keys(self) -> list[str]:
        after = {"StartAfter": self.start_after} if self.start_after else {}
        pages = self.s3.get_paginator("list_objects_v2")
        return [
            entry["Key"]
            for page in pages.paginate(**self.bucket, Prefix=self.location.prefix, **after)
            for entry in page.get("Contents", ())
        ]

    def _process(self, key: str) -> str:
        """Set the ACL of an upload if it differs; return what was done, and count it."""
        report = self.report
        try:
            said = self._set(key)
        except ClientError as error:
            code = errors.code(error)
            if code == "AccessControlListNotSupported":
                raise AccessError(
                    f"Bucket {report.bucket} has ACLs disabled: run `manage.py s3 apply`, then this command again."
                ) from error
            if code == "NoSuchKey":  # deleted since it was listed
                return "deleted"
            said = report.errors[key] = errors.reason(error)
            report.fix = report.fix or errors.explain(error, report.bucket, role="access")
            if code == "AccessDenied" and error.operation_name == "PutObjectAcl":
                report.fix = f"{report.fix} Or Block Public Access is on: `manage.py s3 apply` turns it off."
        except BotoCoreError as error:
            said = report.errors[key] = errors.reason(error)
        return said

    def _set(self, key: str) -> str:
        acl = self.s3.get_object_acl(**self.bucket, Key=key)
        owner = acl["Owner"]["ID"]
        granted = [each for each in acl["Grants"] if each["Grantee"].get("ID") != owner]
        public = [
            (each["Grantee"]["URI"], each["Permission"])
            for each in granted
            if str(each["Grantee"].get("URI", "")).startswith(_EVERYBODY)
        ]
        if public == (_PUBLIC_READ if self.report.acl == "public-read" else []):
            self.report.unchanged += 1
            return "unchanged"
        if len(public) < len(granted):  # the canned ACL would remove the other grants
            said = self.report.errors[key] = "not changed, because its ACL also has grants for other accounts"
            return said
        if not self.report.dry_run:
            self.s3.put_object_acl(**self.bucket, Key=key, ACL=self.report.acl)
        self.report.changed += 1
        return f"set to {self.report.acl}"
