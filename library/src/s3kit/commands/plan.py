"""`manage.py s3 plan`: what differs on S3 from the settings, or what they want as a template."""

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from s3kit.buckets import plan, show
from s3kit.buckets.account import with_owners
from s3kit.buckets.plan import BucketPlan
from s3kit.commands.shared import add_local, checked_deployment, setup_deployment

HELP = "Show what `apply` would change, and change nothing."
EXIT_CODES = "Exit codes: 0 the buckets are as wanted, 1 it can't be told, 2 something differs."


def add_arguments(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument(
        "--format",
        choices=("text", "json", "cloudformation"),
        default="text",
        help="What to print; cloudformation: what STORAGES wants, as a template (default: %(default)s).",
    )
    parser.add_argument(
        "--json", action="store_const", const="json", dest="format", help="The same as --format json."
    )
    add_local(parser)


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Show what differs; exit code 0 if nothing does, 2 if something does.

    As a CloudFormation template, show what is wanted, which needs neither network nor credentials.
    """
    if options["format"] == "cloudformation":
        command.stdout.write(_template(options))
        return
    deployment, known = with_owners(setup_deployment(options))
    found = plan.plan(deployment, known)
    is_as_wanted = all(bucket.is_as_wanted for bucket in found)
    if options["format"] == "json":
        command.stdout.write(show.as_json(found))
    else:
        command.stdout.write(as_text(command, options, found))
        if any(bucket.changes for bucket in found):
            command.stdout.write(
                f"Make the changes with `manage.py s3 apply{' --local' * options['local']}`."
            )
    if not is_as_wanted:
        sys.exit(2)


def as_text(command: BaseCommand, options: dict[str, Any], found: list[BucketPlan]) -> str:
    """Return a plan as text, in the colors of the command."""
    style = {
        "heading": command.style.MIGRATE_HEADING,
        "add": command.style.SUCCESS,
        "remove": command.style.ERROR,
        "change": command.style.WARNING,
        "conflict": command.style.ERROR,
        "sum": command.style.MIGRATE_LABEL,
    }
    verbose = options["verbosity"] >= 2
    return show.as_text(found, lambda kind, text: style.get(kind, str)(text), verbose=verbose)


def _template(options: dict[str, Any]) -> str:
    from s3kit.buckets import cloudformation

    # The id of CloudFront's key is not known before the stack has made it.
    deployment = checked_deployment(options, known_later={"s3kit.E005"})
    try:
        return json.dumps(cloudformation.template(deployment), indent=2)
    except cloudformation.CloudFormationError as error:
        raise CommandError(str(error)) from error
