"""`manage.py s3 ...`: buckets and rights on AWS, the local S3 server, the list of static files."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from s3kit.commands import (
    Subcommand,
    access,
    apply,
    doctor,
    manifest,
    plan,
    policy,
    prune,
    push,
    run,
    serve,
    tickets,
)
from s3kit.commands.shared import explained

# In the order of the help.
SUBCOMMANDS: dict[str, Subcommand] = {
    "plan": plan,
    "apply": apply,
    "policy": policy,
    "serve": serve,
    "run": run,
    "doctor": doctor,
    "push": push,
    "access": access,
    "prune": prune,
    "tickets": tickets,
    "manifest": manifest,
}


class Command(BaseCommand):
    """Dispatch to a subcommand; each is a module of its name in `s3kit.commands`."""

    help = (
        "Buckets as the settings want them (plan, apply, doctor), the rights that it takes (policy), local"
        " uploads copied (push), existing uploads opened or closed (access), old static files removed (prune),"
        " uploads straight from browsers (tickets), the local S3 server (serve, run), and the list of static files"
        " (manifest)."
    )
    # A setting that is wrong for AWS must not keep the local server from starting.
    requires_system_checks: list[str] = []  # noqa: RUF012

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the subcommands and their options."""
        commands = parser.add_subparsers(dest="subcommand", required=True, metavar="SUBCOMMAND")
        for name, subcommand in SUBCOMMANDS.items():
            subcommand.add_arguments(commands.add_parser(name, help=subcommand.HELP))

    def handle(self, *_args: Any, **options: Any) -> None:
        """Run the subcommand; what stops it is one line on stderr and exit code 1."""
        with explained(local=bool(options.get("local"))):
            SUBCOMMANDS[options["subcommand"]].run(self, options)
