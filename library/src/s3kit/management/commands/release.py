"""`manage.py release`: what a deploy does before the new version takes traffic."""

from typing import Any

from django.core import checks
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser, SystemCheckError
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from s3kit.locks import LockedError, locked

# Exit codes; 2 is argparse's for wrong options.
CHECKS, STATIC, DATABASE, BUSY = 3, 4, 5, 6

LEVELS = ["CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG"]


class Command(BaseCommand):
    """Checks, static files, migrations, in this order, up to the first that fails.

    The order is for a site that stays up. Publishing static files only adds to what the running version uses,
    and takes longest: where it fails nothing has happened, and the database has not been touched. Migrations
    come last, because from then on the old version has to live with the new tables, until it is replaced:
    that time is as short as it can be. (So a migration must not take away what the old version uses; a later
    release does.)

    Two releases at once do not both migrate: the second waits for the first, and then finds nothing to do.

    Exit codes: 3 the checks failed, 4 static files were not published, 5 the database can't be reached or a
    migration failed, 6 another release did not end in time.
    """

    help = (
        "Before a new version takes traffic: system checks for deployment, static files (published where they"
        " live on S3), migrations under a lock. Stops at the first failure. Exit codes: 3 checks, 4 static"
        " files, 5 database, 6 another release did not end in time."
    )
    # The deployment's own are the first step.
    requires_system_checks: list[str] = []  # noqa: RUF012

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options."""
        parser.add_argument(
            "--no-static",
            action="store_false",
            dest="static",
            help="leave static files alone: S3 is not asked, for where only the database can be reached",
        )
        parser.add_argument(
            "--no-migrate",
            action="store_false",
            dest="migrate",
            help="leave the database alone: it is not connected to, for where only S3 can be reached",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would be done, and change nothing"
        )
        parser.add_argument(
            "--fail-level",
            default="WARNING",
            choices=LEVELS,
            help="the mildest check that stops the release (default: %(default)s); a site behind plain http"
            " on purpose needs ERROR",
        )
        parser.add_argument(
            "--wait",
            type=int,
            default=600,
            metavar="SECONDS",
            help="how long to wait for another release of the same database (default: %(default)s)",
        )

    def handle(self, **options: Any) -> None:
        """Do it; raise CommandError, with the exit code, for the step that failed."""
        self.verbosity, self.dry_run = options["verbosity"], options["dry_run"]
        if options["migrate"]:
            self.connect()
        self.run_checks(options["fail_level"], database=options["migrate"])
        if options["static"]:
            self.publish()
        if options["migrate"]:
            self.migrate(options["wait"])
        self.say("Nothing was changed." if self.dry_run else "Released.")

    def say(self, line: str) -> None:
        """Print a line, unless the verbosity is 0."""
        if self.verbosity:
            self.stdout.write(line)
            self.stdout.flush()  # other programs' lines come between

    def connect(self) -> None:
        """Connect to the database, so that a release that can't migrate does not begin."""
        try:
            connection.ensure_connection()
        except DatabaseError as error:
            raise CommandError(
                f"Nothing was changed: the database can't be reached ({_line(error)}). Check DATABASES.",
                returncode=DATABASE,
            ) from error

    def run_checks(self, fail_level: str, *, database: bool) -> None:
        """Run Django's checks with those for deployment, and those that need the database."""
        try:
            self.check(
                include_deployment_checks=True,
                fail_level=getattr(checks, fail_level),
                databases=[connection.alias] if database else None,
                display_num_errors=True,
            )
        except SystemCheckError as error:
            self.stderr.write(str(error))
            raise CommandError("Nothing was changed: the checks above failed.", returncode=CHECKS) from error

    def publish(self) -> None:
        """Collect static files, and publish them where they live on S3."""
        self.say("Static files:")
        try:
            call_command(
                "collectstatic",
                interactive=False,
                dry_run=self.dry_run,
                verbosity=self.verbosity,
            )
        except Exception as error:  # whatever the storage raises
            raise CommandError(
                f"Static files were not published, and the database was not touched. {error}",
                returncode=STATIC,
            ) from error

    def migrate(self, wait: float) -> None:
        """Apply the migrations that are missing once no other release does."""
        try:
            if self.dry_run:
                self.say(
                    "\n".join(["Migrations to apply:", *(f"  {name}" for name in self.missing() or ["none"])])
                )
                return
            with locked(connection, wait, lambda: self.say(f"Another release is at it: waiting {wait} s.")):
                self.apply()
        except LockedError:
            raise CommandError(
                f"No migration was applied: another release of this database did not end within {wait}"
                " seconds. Run this again when it has, or with a longer --wait.",
                returncode=BUSY,
            ) from None

    def apply(self) -> None:
        """Apply the migrations that are missing."""
        missing: list[str] = []
        try:
            missing = self.missing()
            call_command(
                "migrate",
                interactive=False,
                verbosity=self.verbosity if missing else 0,
            )
        except Exception as error:  # whatever a migration raises
            self.say("")  # after the name of the migration, whose line has no end yet
            left = self.left(missing)
            applied = [name for name in missing if name not in left]
            raise CommandError(
                f"{left[0] if left else 'The migrations'} failed ({_line(error)}). Applied before:"
                f" {', '.join(applied) or 'none'}. The old version goes on; --traceback shows where it was.",
                returncode=DATABASE,
            ) from error
        self.say(f"Migrations: {len(missing) or 'none'} applied.")

    def missing(self) -> list[str]:
        """Return the migrations that are not applied, in their order."""
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        return [f"{migration.app_label}.{migration.name}" for migration, _backwards in plan]

    def left(self, missing: list[str]) -> list[str]:
        """Return which of `missing` are still not applied after a failure; all where nobody can tell."""
        try:
            return [name for name in self.missing() if name in missing]
        except DatabaseError:
            return missing


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")
