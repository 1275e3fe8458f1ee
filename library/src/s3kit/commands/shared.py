"""What all commands share: the deployment that they use, and the errors that they print."""

from argparse import ArgumentTypeError
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, CommandParser

from s3kit import checks, errors
from s3kit.buckets.wanted import BucketError
from s3kit.deployment import Deployment
from s3kit.local.errors import LocalServerError
from s3kit.options import conf


def exit_codes(codes: Mapping[int, str]) -> str:
    """Return exit codes as a sentence for the help."""
    return f"Exit codes: {', '.join(f'{code} {meaning}' for code, meaning in codes.items())}."


def add_local(parser: CommandParser) -> None:
    """Add the option --local."""
    parser.add_argument(
        "--local",
        action="store_true",
        help="Use the local S3 server instead of the real buckets.",
    )


def text(argument: str) -> str:
    """Return an argument. Raise ArgumentTypeError if its bytes are not UTF-8, as databases and S3 require."""
    if any("\ud800" <= c <= "\udfff" for c in argument):  # how Python passes other bytes
        raise ArgumentTypeError(f"{argument!r} is not UTF-8")
    return argument


def setup_deployment(options: dict[str, Any]) -> Deployment:
    """Return the deployment for a command that sets up buckets: with --local, with the local server's root key.

    The site's own key may not set up buckets, as on AWS. Raises what `checked_deployment` raises, and
    LocalServerNotRunningError.
    """
    deployment = checked_deployment(options)
    if not options["local"]:
        return deployment
    from s3kit.local.prepare import running_server

    return deployment.with_key(running_server().root)


@contextmanager
def explained(*, local: bool = False) -> Iterator[None]:
    """Turn errors that stop a command into CommandError, with messages for people.

    `local` means that the command uses the local S3 server, where the fixes are other commands than on AWS.
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
        done = [f"Done before the error: {'; '.join(error.done)}."] if error.done else []
        raise CommandError(errors.printable_lines(fix("\n".join([str(error), *done])))) from error
    except (errors.StoppedError, LocalServerError, ImproperlyConfigured) as error:
        raise CommandError(errors.printable_lines(fix(str(error)))) from error
    except errors.of_s3() as error:
        raise CommandError(fix(errors.explain(error))) from error


def checked_deployment(options: dict[str, Any], known_later: Collection[str] = ()) -> Deployment:
    """Return the deployment: the real target, even with USE_S3=local, or the local server with --local.

    Raises CommandError if options are wrong, and ImproperlyConfigured if USE_S3 is off or nothing is on S3.
    `known_later` has the IDs of checks to ignore.
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
