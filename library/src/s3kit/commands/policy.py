"""`manage.py s3 policy`: prints the IAM policy of a role."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from s3kit.buckets import policies
from s3kit.commands.shared import add_local, checked_deployment

HELP = "Print the minimal IAM policy of a role. Needs no network and no credentials."
EXIT_CODES = {0: "printed", 1: "failed"}


def add_arguments(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument(
        "--role",
        required=True,
        choices=policies.ROLES,
        help="web: the running site; deploy: collectstatic, plan; setup: plan, apply; prune, access: these commands.",
    )
    parser.add_argument(
        "--explain",
        action="store_true",
        help="Add the reason for each action. IAM does not accept this output.",
    )
    add_local(parser)


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Print the policy of a role."""
    grants = policies.ROLES[options["role"]](checked_deployment(options))
    explain = options["explain"]
    command.stdout.write(
        policies.explained(grants) if explain else json.dumps(policies.document(grants), indent=2)
    )
