"""`manage.py s3 policy`: the IAM policy of a role, to attach it or to read it."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from s3kit.buckets import policies
from s3kit.commands.shared import add_local, checked_deployment

HELP = "Print the least IAM policy of a role, without network or credentials."


def add_arguments(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument(
        "--role",
        required=True,
        choices=policies.ROLES,
        help="web: the running site; deploy: collectstatic and plan; setup: plan and apply; prune and access: these.",
    )
    parser.add_argument(
        "--explain", action="store_true", help="Say what each action is for; to read, not to attach."
    )
    add_local(parser)


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Print the policy of a role."""
    grants = policies.ROLES[options["role"]](checked_deployment(options))
    explain = options["explain"]
    command.stdout.write(
        policies.explained(grants) if explain else json.dumps(policies.document(grants), indent=2)
    )
