"""`manage.py s3 serve`: the embedded S3 alone, for a site that is started by itself."""

import os
import shlex
import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from s3kit.local import server as embedded
from s3kit.commands import desk

HELP = "run the embedded S3 until Ctrl-C, with the site's buckets"


def add_arguments(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument(
        "--port", type=desk.port, default=desk.PORT, help="its port (default: %(default)s; 0: any)"
    )
    parser.add_argument(
        "--bind",
        choices=(embedded.HOST, "0.0.0.0"),  # noqa: S104 -- only where somebody asks for it
        default=embedded.HOST,
        help="0.0.0.0 only in a container, published on 127.0.0.1 alone: anybody can be its root",
    )
    desk.add_data(parser)


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Run the embedded S3 with the buckets of the settings until SIGINT or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        site = desk.desk_site()
        data, port, bind = options["data"].resolve(), options["port"], options["bind"]
        with embedded.running(data, port=port, region=site.region, bind=bind) as store:
            environment = desk.prepare(store, site)
            command.stdout.write(
                f"The embedded S3 listens on {store.endpoint}, with its data in {store.data}."
                f" The site uses it so: {_assignments(environment)} python manage.py runserver"
            )
            command.stdout.flush()
            store.wait()
    except KeyboardInterrupt:
        return


def _assignments(environment: dict[str, str]) -> str:
    """Return what a shell must say before a command, so that the site uses the embedded S3 and its key."""
    keys = ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    unset = [f"-u {name}" for name in keys if os.environ.get(name)]
    needed = ["USE_S3", "AWS_S3_ENDPOINT_URL", "AWS_SHARED_CREDENTIALS_FILE"]
    for name in ("AWS_S3_REGION_NAME", "AWS_STATIC_BUCKET_NAME", "AWS_MEDIA_BUCKET_NAME"):
        if not getattr(settings, name):
            needed.append(name)  # noqa: PERF401 -- plainer than extend with a generator
    return " ".join(
        [
            *(["env", *unset] if unset else []),
            *(f"{name}={shlex.quote(environment[name])}" for name in needed),
        ]
    )
