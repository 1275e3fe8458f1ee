"""`manage.py s3 plan`: shows how the buckets differ from the settings, or prints a template."""

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from s3kit.buckets import plan, show
from s3kit.buckets.account import with_owners
from s3kit.buckets.plan import BucketPlan
from s3kit.commands.shared import add_local, checked_deployment, setup_deployment

HELP = "Show what `apply` would change. Change nothing."
EXIT_CODES = {0: "the buckets match the settings", 1: "failed", 2: "something differs"}


def add_arguments(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument(
        "--format",
        choices=("text", "json", "cloudformation"),
        default="text",
        help="The output; cloudformation prints a template of the buckets (default: %(default)s).",
    )
    parser.add_argument(
        "--json", action="store_const", const="json", dest="format", help="Same as --format json."
    )
    add_local(parser)


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Show what differs, or print a CloudFormation template, which needs no network and no credentials."""
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

    # The stack creates CloudFront's key, so its ID is not known yet.
    deployment = checked_deployment(options, known_later={"s3kit.E005"})
    try:
        return json.dumps(cloudformation.template(deployment), indent=2)
    except cloudformation.CloudFormationError as error:
        raise CommandError(str(error)) from error
