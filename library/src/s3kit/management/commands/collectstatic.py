"""Django's collectstatic. If static files are on S3, it publishes them, too."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from s3kit.commands.collected import copy_bundles, warn_of_references
from s3kit.commands.shared import explained
from s3kit.options import conf
from s3kit.progress import ProgressBar
from s3kit.publishing.collect import Collecting, missing_files_as_lines
from s3kit.publishing.publish import Publisher
from s3kit.storages.static import StaticStorage
from s3kit.terminal import ReadableCommand, wrapped

# Settings that name a bucket for static files while USE_S3 is off, and STORAGES does not.
STATIC_BUCKETS = ("AWS_STATIC_BUCKET_NAME", "AWS_STORAGE_BUCKET_NAME")


class Command(ReadableCommand, Collecting):
    """Collects as Django does. On S3 it does not ask, because it never overwrites or deletes files in use."""

    help = "Collect static files. If they are on S3, upload new files, then switch the site to them."

    def handle(self, **options: Any) -> str | None:
        """Return the last line of the output. Raise CommandError if a file could not be uploaded."""
        with explained(local=conf.is_local):
            if isinstance(self.storage, StaticStorage):
                return self.publish(self.storage, options)
            line: str | None = super().handle(**options)
            self.warn_of_disk()
            return line

    def warn_of_disk(self) -> None:
        """Warn if files went to disk although the settings name a bucket for them."""
        buckets = tuple(name for name in STATIC_BUCKETS if conf.shared((name,)))
        if conf.use_s3 is False and buckets:
            self.stderr.write(
                f"Nothing was published: USE_S3 is off, so the files are in {settings.STATIC_ROOT} on this machine."
                f" To publish them to the bucket {conf.shared(buckets[:1])!r} ({buckets[0]}), set USE_S3=true."
            )

    def publish(self, storage: StaticStorage, options: dict[str, Any]) -> str | None:
        """Collect into a stage, and upload what the bucket lacks."""
        for option in ("clear", "link"):
            if options[option]:
                raise CommandError(f"--{option} does not work with static files on S3: leave it out.")
        self.set_options(**options)
        # Staging changes nothing, and a dry run needs its result.
        dry_run, self.dry_run = self.dry_run, False
        progress = ProgressBar(self.stdout, verbose=self.verbosity >= (1 if dry_run else 2))
        try:
            publisher = Publisher(storage)
            with storage.staging() as stage:
                with missing_files_as_lines():
                    self.collect()
                warn_of_references(self, stage)
                show = progress if self.verbosity else lambda *_: None
                summary = publisher.publish(stage, dry_run=dry_run, progress=show)
            if not dry_run:
                copy_bundles(stage)
        finally:
            progress.close()
        if summary.manifest == "none":
            self.stderr.write(
                "The bucket has no manifest, so pages will fail: run collectstatic without --no-post-process."
            )
        where = " This is the local S3 server, because USE_S3 is 'local'." if storage.is_local else ""
        return wrapped(f"{summary}{where}", self.stdout) if self.verbosity else None
