"""`manage.py s3 run`: the site and the embedded S3 together."""

import os
import secrets
import shlex
import subprocess
import sys
from typing import Any, NoReturn

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from s3kit.local import server as embedded
from s3kit.commands import desk

HELP = "run the site on the embedded S3, both until Ctrl-C"


def add_arguments(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument("--port", type=desk.port, default=8000, help="the site's port (default: %(default)s)")
    parser.add_argument(
        "--s3-port", type=desk.port, default=desk.PORT, help="of S3 (default: %(default)s; 0: any)"
    )
    parser.add_argument(
        "--no-debug",
        action="store_true",
        help="as on a server: gunicorn, debug off, static files on the embedded S3 too",
    )
    parser.add_argument(
        "--first",
        action="append",
        default=[],
        metavar="COMMAND",
        help="a command of manage.py with its arguments, to run before the site starts; can be repeated",
    )
    desk.add_data(parser)


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Start the embedded S3, prepare buckets and database, and become the server of the site."""
    embedded.free_port(options["port"])  # or say so before anything has started
    manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
    first = [["migrate", "--verbosity", "0"]]
    server = [*manage, "runserver", str(options["port"])]
    more = {"DJANGO_DEBUG": "true"}
    if options["no_debug"]:
        first.append(["collectstatic", "--no-input"])
        address = f"127.0.0.1:{options['port']}"
        gunicorn = [sys.executable, "-m", "gunicorn", "--workers", "1"]
        # At a desk nobody waits half a minute after Ctrl-C for a browser that keeps its connection.
        server = [*gunicorn, "--graceful-timeout", "3", "--bind", address, "config.wsgi"]
        more = {
            "DJANGO_DEBUG": "false",
            "DJANGO_SECRET_KEY": os.environ.get("DJANGO_SECRET_KEY") or secrets.token_urlsafe(50),
            "DJANGO_ALLOWED_HOSTS": "127.0.0.1,localhost",
            "DJANGO_SECURE_SSL_REDIRECT": "false",
        }
    first += [shlex.split(words) for words in options["first"]]
    try:
        site, data = desk.desk_site(), options["data"].resolve()
        with embedded.running(data, port=options["s3_port"], region=site.region) as store:
            environment = desk.prepare(store, site) | more
            for arguments in first:
                code = subprocess.call([*manage, *arguments], env=environment)  # noqa: S603 -- the user's own
                if code:
                    raise CommandError(f"manage.py {arguments[0]} failed", returncode=code)
            command.stdout.write(
                f"The site is on http://127.0.0.1:{options['port']}/, its uploads on the embedded S3 at "
                f"{store.endpoint}, kept in {store.data}."
            )
            command.stdout.flush()
            _become(server, environment, store)
    except KeyboardInterrupt:
        sys.exit(130)


def _become(server: list[str], environment: dict[str, str], store: embedded.EmbeddedS3) -> NoReturn:
    """Turn this process into the site's server, with the terminal and signals; the store ends with it."""
    store.stay_with()
    os.chdir(settings.BASE_DIR)
    sys.stdout.flush()
    os.execve(server[0], server, environment)  # noqa: S606 -- the command is ours
