"""`manage.py s3 apply`: creates and changes the buckets."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from s3kit.buckets import apply, plan
from s3kit.buckets.account import with_owners
from s3kit.commands.plan import as_text
from s3kit.commands.shared import add_local, setup_deployment
from s3kit.local import prepare
from s3kit.terminal import wrapped

HELP = "Create the buckets, and change their configuration to match STORAGES."
EXIT_CODES = {0: "the buckets match the settings", 1: "they do not"}


def add_arguments(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument(
        "--no-input",
        "--noinput",
        action="store_false",
        dest="interactive",
        help="Do not ask for confirmation.",
    )
    parser.add_argument(
        "--replace-conflicting",
        action="store_true",
        help="Remove conflicts: policy statements and ACL grants for everyone or for other accounts.",
    )
    add_local(parser)


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Show the plan, ask, and make the changes."""
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
        raise CommandError("Conflicts prevent some changes. They are marked with ! above.")


def _agreed() -> bool:
    try:
        return input("Make these changes? [y/N] ").strip().lower() in {"y", "yes"}
    except EOFError:
        return False
