"""Django's collectstatic; where static files live on S3, it also publishes them."""

import io
from typing import Any

from django.contrib.staticfiles.management.commands import collectstatic
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, CommandParser

from s3kit.progress import ProgressBar
from s3kit.publishing.publish import Publisher, PublishError
from s3kit.storages.static import StaticStorage


class Command(collectstatic.Command):
    """Collects as Django does; on S3 nothing is asked, since nothing in use is overwritten or deleted."""

    help = "Collect static files, and where they live on S3, upload what is new and then switch to it."

    @classmethod
    def collect_into(cls, storage: StaticStorage) -> None:
        """Collect the source tree into a storage that is staging, silently and with Django's defaults."""
        command = cls(stdout=io.StringIO(), stderr=io.StringIO(), no_color=True)
        command.storage = storage
        parser = CommandParser()
        command.add_arguments(parser)
        command.set_options(**vars(parser.parse_args([])), verbosity=0)
        command.collect()

    def handle(self, **options: Any) -> str | None:
        """Return the closing line; raise CommandError if a file could not be uploaded."""
        storage = self.storage
        if not isinstance(storage, StaticStorage):
            return super().handle(**options)
        for option in ("clear", "link"):
            if options[option]:
                raise CommandError(
                    f"--{option} is not for static files on S3, where no object is deleted or linked."
                )
        self.set_options(**options)
        # Staging changes nothing, and has to be done to tell what a run would do.
        dry_run, self.dry_run = self.dry_run, False
        progress = ProgressBar(self.stdout, verbose=self.verbosity >= (1 if dry_run else 2))
        try:
            publisher = Publisher(storage.manifest_name)
            with storage.staging() as stage:
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

    def collect(self) -> dict[str, list[str]]:
        """Collect and post-process; a reference to a missing file is told in lines, not by a traceback."""
        try:
            return super().collect()
        except (ValueError, RuntimeError) as error:
            raise CommandError("\n".join([str(error), *getattr(error, "__notes__", [])])) from error
