"""What all commands share: which deployment they mean, and how they say what stopped them."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, CommandParser

from s3kit import checks, errors
from s3kit.buckets.wanted import BucketError
from s3kit.deployment import Deployment
from s3kit.local.errors import LocalServerError
from s3kit.options import conf


def add_local(parser: CommandParser) -> None:
    """Add the option --local, which makes a command use the local S3 server instead of the real target."""
    parser.add_argument(
        "--local",
        action="store_true",
        help="Use the local S3 server instead of the real buckets of STORAGES.",
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


@contextmanager
def explained(*, local: bool = False) -> Iterator[None]:
    """Turn what stops a command into CommandError, in lines for a person, whichever command it is.

    `local` says that the command uses the local S3 server, where other commands help than on AWS.
    """
    fix = errors.on_local_server if local else str
    try:
        yield
    except CommandError as error:
        # Django prints the name of the class too.
        if (text := errors.printable_lines(str(error))) != str(error) or type(error) is not CommandError:
            raise CommandError(text, returncode=error.returncode) from error
        raise
    except BucketError as error:
        done = [f"Done before: {'; '.join(error.done)}."] if error.done else []
        raise CommandError(errors.printable_lines(fix("\n".join([str(error), *done])))) from error
    except (errors.StoppedError, LocalServerError, ImproperlyConfigured) as error:
        raise CommandError(errors.printable_lines(fix(str(error)))) from error
    except errors.of_s3() as error:
        raise CommandError(fix(errors.explain(error))) from error


def checked_deployment(options: dict[str, Any], known_later: Collection[str] = ()) -> Deployment:
    """Return what STORAGES says: the real target, also with USE_S3=local, or the local server with --local.

    Raises CommandError, in lines, where options are wrong, and ImproperlyConfigured where USE_S3 is off or
    nothing is on S3. `known_later` are the ids of checks that don't count.
    """
    local = bool(options.get("local"))
    wrong = [
        check
        for check in ([] if local or conf.use_s3 is False else checks.all_checks())
        if check.is_serious() and not check.is_silenced() and check.id not in known_later
    ]
    if wrong:
        raise CommandError("\n".join(f"{check.msg} {check.hint or ''}".strip() for check in wrong))
    return Deployment.load(local=local)
