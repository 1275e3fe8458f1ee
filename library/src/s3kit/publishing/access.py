"""Giving existing uploads the access that the settings want: `manage.py s3 access`.

Only ACLs belong to single objects: with `public-read` each upload has the canned ACL public-read, and otherwise no
ACL may make one public. The ACL of each upload is read, and set where it is another: one request for an upload that
is as wanted and two for any other, beside one listing for 1,000. So a further run changes nothing, and a run that was
ended can go on after the last key. Nothing outside of the location's prefix is looked at.
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
BATCH = 500  # keys that are done before the next ones: a run that was ended goes on after one of these

_EVERYBODY = "http://acs.amazonaws.com/groups/global/"
_PUBLIC_READ = [(f"{_EVERYBODY}AllUsers", "READ")]


class AccessError(errors.StoppedError):
    """No ACL could be set."""


@dataclass
class AccessReport(Report):
    """What a run did, or with `dry_run` would do."""

    bucket: str
    prefix: str
    acl: str
    dry_run: bool
    uploads: int = 0
    changed: int = 0
    unchanged: int = 0
    last: str = ""
    """The key up to which all is done."""
    given_up: bool = False
    errors: dict[str, str] = field(default_factory=dict)
    """By key: why the ACL was not set."""
    fix: str = ""
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0

    def as_text(self) -> str:
        """Return the closing line."""
        verb = "to set" if self.dry_run else "set"
        return (
            f"{self.uploads:,} uploads in {self.bucket}/{self.prefix}: {self.changed:,} {verb} to {self.acl},"
            f" {self.unchanged:,} as wanted, {len(self.errors):,} failed; {self.seconds:.1f} s."
        )

    def failures(self) -> str:
        """Return what failed, "" for nothing."""
        if not self.errors:
            return ""
        count = len(self.errors)
        end = ["The others were not tried."] if self.given_up else []
        title = f"The ACL of {count:,} upload{'s' * (count != 1)} is not {self.acl}:"
        return listed(title, self.errors.items(), *end, *([self.fix] if self.fix else []))

    @property
    def go_on(self) -> str:
        """What to say of a run that was ended."""
        return f"To go on where it ended, add --start-after {self.last!a}." if self.last else ""


class Access:
    """A run over the uploads of a location whose keys come after `start_after`; `report` is what it did so far."""

    def __init__(self, location: Location, *, dry_run: bool = False, start_after: str = "") -> None:
        self.location, self.start_after = location, start_after
        self.bucket = {"Bucket": location.bucket, **clients.owner_arguments(location.target)}
        self.s3 = clients.command(location.target)
        self.report = AccessReport(location.bucket, location.prefix, canned_acl(location), dry_run)

    def run(self, progress: Progress) -> AccessReport:
        """Set the ACLs that are others than wanted; errors of single uploads are in the report.

        Raises AccessError where S3 does not answer, or ACLs are turned off.
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
                    zip(batch, pool.map(self._settle, batch), strict=True), 1
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

    def _settle(self, key: str) -> str:
        """Set the ACL of an upload if it is another; return what was done, and count it."""
        report = self.report
        try:
            said = self._set(key)
        except ClientError as error:
            code = errors.code(error)
            if code == "AccessControlListNotSupported":
                raise AccessError(
                    f"{report.bucket}: ACLs are turned off in this bucket: run `manage.py s3 apply`, then this again."
                ) from error
            if code == "NoSuchKey":  # deleted since it was listed
                return "deleted"
            said = report.errors[key] = errors.reason(error)
            report.fix = report.fix or errors.explain(error, report.bucket, role="access")
            if code == "AccessDenied" and error.operation_name == "PutObjectAcl":
                report.fix = f"{report.fix} Or Block Public Access is on: `manage.py s3 apply` lifts it."
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
            return "as wanted"
        if len(public) < len(granted):  # the canned ACL would take these away
            said = self.report.errors[key] = "left as it is, because its ACL names other accounts too"
            return said
        if not self.report.dry_run:
            self.s3.put_object_acl(**self.bucket, Key=key, ACL=self.report.acl)
        self.report.changed += 1
        return f"set to {self.report.acl}"
