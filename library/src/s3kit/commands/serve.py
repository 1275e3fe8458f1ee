"""`manage.py s3 serve`: runs only the local S3 server, for commands and servers that you start yourself."""

import signal
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from s3kit.options import conf
from s3kit.terminal import wrapped

HELP = "Run the local S3 server with the site's buckets until Ctrl-C."
EXIT_CODES = {0: "stopped", 1: "failed"}

PORT = 9000
HOST = "127.0.0.1"


def port(text: str) -> int:
    """Return a port. Raise ArgumentTypeError if the text is not one."""
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise ArgumentTypeError(f"{text!r} is not a port; use 0 to 65535")
    return int(text)


def add_arguments(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument(
        "--port", type=port, default=PORT, help="The port; 0 means any free port (default: %(default)s)."
    )
    parser.add_argument(
        "--bind",
        choices=(HOST, "0.0.0.0"),  # noqa: S104 -- only on request
        default=HOST,
        help="The address; use 0.0.0.0 only in a container that is published on 127.0.0.1 (default: %(default)s).",
    )
    parser.add_argument(
        "--empty", action="store_true", help="Create no buckets, to try plan and apply with --local."
    )


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Run the local S3 server with the buckets of STORAGES until SIGINT or SIGTERM."""
    from s3kit.local import server
    from s3kit.local.prepare import prepare

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with server.running(conf.local_dir, port=options["port"], bind=options["bind"]) as store:
            if options["empty"]:
                store.site_key()
            else:
                prepare(store)
            line = (
                f"The local S3 server listens on {store.endpoint}, with its data in {store.data}. With USE_S3=local,"
                " every manage.py command uses it. Press Ctrl-C to stop it."
            )
            command.stdout.write(wrapped(line, command.stdout))
            command.stdout.flush()
            store.wait()
    except KeyboardInterrupt:
        return
