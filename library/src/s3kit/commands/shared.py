"""What several subcommands share: which deployment they mean."""

from collections.abc import Collection
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, CommandParser

from s3kit import checks
from s3kit.deployment import Deployment
from s3kit.options import conf


def add_local(parser: CommandParser) -> None:
    """Add the option --local, which makes a command use the local S3 server instead of the real target."""
    parser.add_argument(
        "--local", action="store_true", help="use the local S3 server, not the real buckets of STORAGES"
    )


def setup_deployment(options: dict[str, Any]) -> Deployment:
    """Return what STORAGES says, as who sets up buckets sees it: with --local, as the local server's root.

    The site's own key has no right to set up buckets, there as on AWS. Raises as `checked_deployment` does, and
    LocalServerNotRunningError.
    """
    deployment = checked_deployment(options)
    if not options["local"]:
        return deployment
    from s3kit.local.prepare import running_server

    return deployment.with_key(running_server().root)


def checked_deployment(options: dict[str, Any], known_later: Collection[str] = ()) -> Deployment:
    """Return what STORAGES says: the real target, also with USE_S3=local, or the local server with --local.

    Raises CommandError, in lines, where USE_S3 is off, nothing is on S3, or options are wrong. `known_later`
    are the ids of checks that don't count.
    """
    local = bool(options.get("local"))
    try:
        wrong = [
            check
            for check in ([] if local or conf.use_s3 is False else checks.all_checks())
            if check.is_serious() and not check.is_silenced() and check.id not in known_later
        ]
        if wrong:
            raise CommandError("\n".join(f"{check.msg} {check.hint or ''}".strip() for check in wrong))
        return Deployment.load(local=local)
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from error
