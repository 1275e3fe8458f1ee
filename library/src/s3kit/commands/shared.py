"""What several subcommands share: which deployment they mean, and how they show progress and end."""

import signal
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from s3kit import checks
from s3kit.deployment import Deployment
from s3kit.options import conf
from s3kit.progress import Progress, ProgressBar


def add_local(parser: CommandParser) -> None:
    """Add the option --local, which makes a command use the local S3 server instead of the real target."""
    parser.add_argument(
        "--local", action="store_true", help="use the local S3 server, not the real buckets of STORAGES"
    )


def checked_deployment(options: dict[str, Any], known_later: Collection[str] = ()) -> Deployment:
    """Return what STORAGES says: the real target, also with USE_S3=local, or the local server with --local.

    Raises CommandError, in lines, where USE_S3 is off, nothing is on S3, or options are wrong. `known_later`
    are the ids of checks that don't count.
    """
    local = bool(options.get("local"))
    if not local and conf.use_s3 is not False:
        wrong = [check for check in checks.all_checks() if check.is_serious() and check.id not in known_later]
        if wrong:
            raise CommandError("\n".join(f"{check.msg} {check.hint or ''}".strip() for check in wrong))
    try:
        return Deployment.load(local=local)
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from error


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
