"""`manage.py s3 run`: runs the site and the local S3 server."""

import os
import secrets
import shlex
import subprocess
import sys
from argparse import ArgumentTypeError
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NoReturn

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from s3kit.commands.serve import PORT, port
from s3kit.options import conf
from s3kit.terminal import wrapped

if TYPE_CHECKING:
    from s3kit.local.server import LocalServer

HELP = "Run the site and the local S3 server until Ctrl-C."
EXIT_CODES = {0: "stopped", 1: "failed", 130: "interrupted while starting"}


def words(text: str) -> list[str]:
    """Return the words of a command as a shell splits them. Raise ArgumentTypeError for an open quote."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not a command: {error}") from error


def add_arguments(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument("--port", type=port, default=8000, help="The site's port (default: %(default)s).")
    parser.add_argument(
        "--s3-port",
        type=port,
        default=PORT,
        help="The S3 server's port; 0 means any free port (default: %(default)s).",
    )
    parser.add_argument(
        "--no-debug",
        action="store_true",
        help="Run as in production: gunicorn, debug off, static files on the local S3 server.",
    )
    parser.add_argument(
        "--first",
        type=words,
        action="append",
        default=[],
        metavar="COMMAND",
        help="A manage.py command to run before the site starts. Can be repeated.",
    )


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Start the local S3 server, prepare the buckets and the database, and become the site's server."""
    from s3kit.local import server
    from s3kit.local.prepare import prepare

    server.free_port(options["port"])  # fails before anything has started
    _require_local()
    manage = [sys.executable, os.path.abspath(sys.argv[0])]  # noqa: PTH100 -- a link stays one
    first = [["migrate", "--verbosity", "0"]]
    site = [*manage, "runserver", str(options["port"])]
    more = {"DJANGO_DEBUG": "true"}
    if options["no_debug"]:
        if not find_spec("gunicorn"):
            raise CommandError("--no-debug needs gunicorn, which is not installed.")
        first.append(["collectstatic", "--no-input"])
        module, _, name = (settings.WSGI_APPLICATION or "").rpartition(".")
        wsgi = f"{module}:{name}" if name else f"{settings.ROOT_URLCONF.rpartition('.')[0]}.wsgi"
        # After Ctrl-C, do not wait half a minute for a browser that keeps its connection.
        site = [sys.executable, "-m", "gunicorn", "--workers", "1", "--graceful-timeout", "3"]
        site += ["--bind", f"127.0.0.1:{options['port']}", wsgi]
        more = {
            "DJANGO_DEBUG": "false",
            "DJANGO_SECRET_KEY": os.environ.get("DJANGO_SECRET_KEY") or secrets.token_urlsafe(50),
            "DJANGO_ALLOWED_HOSTS": "127.0.0.1,localhost",
            "DJANGO_SECURE_SSL_REDIRECT": "false",
        }
    first += options["first"]
    environment = os.environ | {"USE_S3": "local"} | more
    try:
        with server.running(conf.local_dir, port=options["s3_port"]) as store:
            prepare(store)
            for arguments in first:
                code = subprocess.call([*manage, *arguments], env=environment)  # noqa: S603 -- the user's own
                if code:
                    raise CommandError(f"manage.py {arguments[0]} failed", returncode=code)
            line = (
                f"The site is at http://127.0.0.1:{options['port']}/. Its uploads are on the local S3 server at"
                f" {store.endpoint}, in {store.data}."
            )
            command.stdout.write(wrapped(line, command.stdout))
            command.stdout.flush()
            _become(site, environment, store)
    except KeyboardInterrupt:
        sys.exit(130)


def _require_local() -> None:
    """Raise CommandError if the settings set USE_S3 to True whatever the environment says.

    The site would use its real buckets. If the settings may read the variable, run this command again with it.
    """
    if conf.use_s3 is not True:
        return
    if os.environ.get("USE_S3") == "local":
        raise CommandError(
            "USE_S3 is True in the settings, so the site would use its real buckets: set it to 'local', or read it"
            " from the environment variable USE_S3."
        )
    sys.stdout.flush()
    os.execve(sys.executable, sys.orig_argv, os.environ | {"USE_S3": "local"})  # noqa: S606 -- this command again


def _become(site: list[str], environment: dict[str, str], store: "LocalServer") -> NoReturn:
    """Turn this process into the site's server, which gets the terminal and signals. The store ends with it."""
    store.stay_with()
    os.chdir(getattr(settings, "BASE_DIR", None) or os.curdir)
    sys.stdout.flush()
    os.execve(site[0], site, environment)  # noqa: S606 -- the command is ours
