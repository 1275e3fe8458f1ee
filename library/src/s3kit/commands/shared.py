"""What several subcommands do: ask for settings that are right, show progress, end as they should."""

import signal
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from s3kit import checks
from s3kit.progress import Progress, ProgressBar
from s3kit.deployment import Site


def checked_site(known_later: Collection[str] = ()) -> Site:
    """Return the site of the settings; raise CommandError where they lack something or are wrong.

    `known_later` are the ids of checks that do not count.
    """
    names = ("AWS_S3_REGION_NAME", "AWS_STATIC_BUCKET_NAME", "AWS_MEDIA_BUCKET_NAME")
    if missing := [name for name in names if not getattr(settings, name)]:
        raise CommandError(f"Not set: {', '.join(missing)}. Set them in .env or in the environment.")
    # USE_S3 may be off yet: the buckets come first.
    found = [*checks.check_names(), *checks.all_settings()]
    wrong = [check for check in found if check.is_serious() and check.id not in known_later]
    if wrong:
        raise CommandError("\n".join(f"{check.msg} {check.hint or ''}" for check in wrong))
    return Site.from_settings()


@contextmanager
def shown_progress(command: BaseCommand, options: dict[str, Any]) -> Iterator[Progress]:
    """Hand out what shows progress, to people; Ctrl-C and SIGTERM end the command with code 130."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    progress = ProgressBar(command.stdout, verbose=options["verbosity"] >= 2)
    try:
        yield (lambda *_: None) if options["json"] else progress
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        progress.close()
