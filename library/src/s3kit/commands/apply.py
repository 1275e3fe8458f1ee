"""`manage.py s3 apply`: the buckets made and changed as the settings want them."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from s3kit.buckets import apply, plan
from s3kit.buckets.account import with_owners
from s3kit.commands.plan import as_text
from s3kit.commands.shared import add_local, setup_deployment
from s3kit.local import prepare
from s3kit.terminal import wrapped

HELP = "Create the buckets and change their settings to what STORAGES wants."
EXIT_CODES = "Exit codes: 0 the buckets are as wanted, 1 they are not."


def add_arguments(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument(
        "--no-input",
        "--noinput",
        action="store_false",
        dest="interactive",
        help="Do not ask before making the changes.",
    )
    parser.add_argument(
        "--replace-conflicting",
        action="store_true",
        help="Remove what contradicts the settings: statements and grants for everyone or for other accounts.",
    )
    add_local(parser)


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Show the plan, ask, and do it; exit code 1 where a conflict hinders something."""
    replace = options["replace_conflicting"]
    deployment, known = with_owners(setup_deployment(options))
    found = plan.plan(deployment, known, replace=replace)
    command.stdout.write(as_text(command, options, found))

    def tell(text: str) -> None:
        command.stdout.write(wrapped(text, command.stdout))

    if any(bucket.changes for bucket in found):
        if options["interactive"] and not _agreed():
            raise CommandError("Nothing was changed.")
        if replace:
            for document in apply.old_documents(found):
                command.stdout.write(document)
        done = apply.apply(deployment, found, known, replace=replace, tell=tell)
        if done:
            count = "1 change" if len(done) == 1 else f"{len(done)} changes"
            command.stdout.write(command.style.SUCCESS(f"{count} made and read back."))
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
        return input("Make these changes? [y/N] ").strip().lower() in {"y", "yes"}
    except EOFError:
        return False
