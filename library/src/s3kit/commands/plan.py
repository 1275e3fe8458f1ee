"""`manage.py s3 plan`: what differs on S3 from the settings, or what they want as a template."""

import json
import shutil
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from s3kit.buckets import plan, show
from s3kit.buckets.account import with_owners
from s3kit.buckets.plan import BucketPlan
from s3kit.commands.shared import add_local, checked_deployment, setup_deployment

HELP = "show what differs from the settings on S3; exit code 2 if anything does"


def add_arguments(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument(
        "--format",
        choices=("text", "json", "cloudformation"),
        default="text",
        help="cloudformation: the wanted state as a template, without asking AWS (default: %(default)s)",
    )
    parser.add_argument(
        "--json", action="store_const", const="json", dest="format", help="the same as --format json"
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
    command.stdout.write(show.as_json(found) if options["format"] == "json" else as_text(command, found))
    if not all(bucket.is_as_wanted for bucket in found):
        sys.exit(2)


def as_text(command: BaseCommand, found: list[BucketPlan]) -> str:
    """Return a plan as text: on a terminal in colours and folded to its width."""
    style = {
        "heading": command.style.MIGRATE_HEADING,
        "add": command.style.SUCCESS,
        "remove": command.style.ERROR,
        "change": command.style.WARNING,
        "conflict": command.style.ERROR,
    }
    if not command.stdout.isatty():  # a pipe gets neither colours nor folded lines
        return show.as_text(found)
    width = shutil.get_terminal_size().columns
    return show.as_text(found, lambda kind, text: style.get(kind, str)(text), width)


def _template(options: dict[str, Any]) -> str:
    from s3kit.buckets import cloudformation

    # The id of CloudFront's key is not known before the stack has made it.
    deployment = checked_deployment(options, known_later={"s3kit.E005"})
    try:
        return json.dumps(cloudformation.template(deployment), indent=2)
    except cloudformation.CloudFormationError as error:
        raise CommandError(str(error)) from error
