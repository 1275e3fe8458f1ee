"""Django's collectstatic; where static files are on S3, it also publishes them."""

from typing import Any

from django.contrib.staticfiles.management.commands import collectstatic
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError

from s3kit.progress import ProgressBar
from s3kit.publishing.collect import missing_files_as_lines
from s3kit.publishing.publish import Publisher, PublishError
from s3kit.storages.static import StaticStorage


class Command(collectstatic.Command):
    """Collects as Django does; on S3 it asks nothing, since it overwrites and deletes nothing in use."""

    help = "Collect static files; where they are on S3, upload what is new and then switch to it."

    def handle(self, **options: Any) -> str | None:
        """Return the closing line; raise CommandError if a file could not be uploaded."""
        storage = self.storage
        if not isinstance(storage, StaticStorage):
            return super().handle(**options)
        for option in ("clear", "link"):
            if options[option]:
                raise CommandError(
                    f"--{option} does not work with static files on S3: no object is deleted or linked."
                )
        self.set_options(**options)
        # Staging changes nothing, and a dry run needs its outcome.
        dry_run, self.dry_run = self.dry_run, False
        progress = ProgressBar(self.stdout, verbose=self.verbosity >= (1 if dry_run else 2))
        try:
            publisher = Publisher(storage)
            with storage.staging() as stage:
                with missing_files_as_lines():
                    self.collect()
                show = progress if self.verbosity else lambda *_: None
                summary = publisher.publish(stage, dry_run=dry_run, progress=show)
        except (PublishError, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from error
        finally:
            progress.close()
        if summary.manifest == "none":
            self.stderr.write(
                "The bucket has no manifest: until a run without --no-post-process, pages will fail."
            )
        return str(summary) if self.verbosity else None
