"""`manage.py s3 apply`: the buckets made and changed as the settings want them."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from s3kit.buckets import apply, plan
from s3kit.buckets.account import with_owners
from s3kit.commands.plan import as_text
from s3kit.commands.shared import add_local, setup_deployment
from s3kit.local import prepare

HELP = "make and change the buckets as the settings want them"


def add_arguments(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument(
        "--no-input", "--noinput", action="store_false", dest="interactive", help="do not ask"
    )
    parser.add_argument(
        "--replace-conflicting",
        action="store_true",
        help="remove what contradicts the settings: statements and grants for everybody or for other accounts",
    )
    add_local(parser)


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Show the plan, ask, and do it; exit code 1 where a conflict hinders something."""
    replace = options["replace_conflicting"]
    deployment, known = with_owners(setup_deployment(options))
    found = plan.plan(deployment, known, replace=replace)
    tell = command.stdout.write
    tell(as_text(command, found))
    if any(not bucket.exists or any(line.changes for line in bucket.lines) for bucket in found):
        if options["interactive"] and not _agreed():
            raise CommandError("Nothing was changed.")
        if replace:
            for document in apply.old_documents(found):
                tell(document)
        done = apply.apply(deployment, found, known, replace=replace, tell=tell)
        if done:
            tell(f"{len(done)} steps done, and read back.")
    for bucket in found:
        if bucket.reminder:
            tell(f"{bucket.name}: {bucket.reminder}.")
    if options["local"]:
        prepare.grant(prepare.running_server(), deployment)
    if rejected := [text for bucket in found for text in bucket.rejected]:
        raise CommandError("\n".join(rejected))
    if any(bucket.hindered for bucket in found):
        raise CommandError("Conflicts, marked with ! above, prevent the rest.")


def _agreed() -> bool:
    try:
        return input("Do this? [y/N] ").strip().lower() in {"y", "yes"}
    except EOFError:
        return False
