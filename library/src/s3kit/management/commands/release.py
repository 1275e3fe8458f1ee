"""`manage.py release`: what a deploy runs before the new version takes traffic."""

from typing import Any

from django.apps import apps
from django.core import checks
from django.core.management import call_command
from django.core.management.base import CommandError, CommandParser, SystemCheckError
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from s3kit.commands.shared import exit_codes, explained
from s3kit.errors import printable_lines
from s3kit.locks import LockedError, locked
from s3kit.terminal import ReadableCommand, wrapped

CHECKS, STATIC, DATABASE, BUSY = 3, 4, 5, 6  # argparse uses 2

EXIT_CODES = {
    0: "released",
    CHECKS: "the checks failed",
    STATIC: "static files were not published",
    DATABASE: "the database or a migration failed",
    BUSY: "another release did not end in time",
}

CLEAN_SECONDS = 30

LEVELS = ["CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG"]


class Command(ReadableCommand):
    """Run checks, publish static files and migrate, in this order, until a step fails.

    The order keeps the running site up. Publishing static files takes longest and only adds files, so if it fails,
    nothing has changed. Migrations come last, because the old version has to work with the new tables until it is
    replaced. (So a migration must not remove anything that the old version uses. A later release can.)

    With `s3kit.uploads`, it then deletes what uploads left behind, for CLEAN_SECONDS at most. If that fails, the
    release still succeeds.

    If two releases run at once, the second waits for the first, and then has nothing to migrate.

    EXIT_CODES says which step failed.
    """

    help = (
        "Run the deployment checks, publish static files, and apply migrations before a new version takes traffic."
        f" It stops at the first failure. {exit_codes(EXIT_CODES)}"
    )
    # The first step runs them, with those for deployment.
    requires_system_checks: list[str] = []  # noqa: RUF012

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options."""
        parser.add_argument(
            "--no-static",
            action="store_false",
            dest="static",
            help="Don't publish static files, for example if S3 can't be reached.",
        )
        parser.add_argument(
            "--no-migrate",
            action="store_false",
            dest="migrate",
            help="Don't connect to the database, for example if only S3 can be reached.",
        )
        parser.add_argument("--dry-run", action="store_true", help="Show what would be done. Change nothing.")
        parser.add_argument(
            "--fail-level",
            default="WARNING",
            choices=LEVELS,
            help="The lowest level of a failed check that stops the release (default: %(default)s). A site on plain"
            " HTTP needs ERROR.",
        )
        parser.add_argument(
            "--wait",
            type=int,
            default=600,
            metavar="SECONDS",
            help="How long to wait for another release of the same database (default: %(default)s).",
        )

    def handle(self, **options: Any) -> None:
        """Release. Raise CommandError with the exit code of the failed step."""
        self.verbosity, self.dry_run = options["verbosity"], options["dry_run"]
        self.colors = {name: options[name] for name in ("no_color", "force_color")}
        if options["migrate"]:
            self.connect()
        self.run_checks(options["fail_level"], database=options["migrate"])
        if options["static"]:
            self.publish()
        if options["migrate"]:
            self.migrate(options["wait"])
            if apps.is_installed("s3kit.uploads") and not self.dry_run:
                self.clean()
        self.say("Nothing was changed." if self.dry_run else "Released.")

    def say(self, line: str) -> None:
        """Print a line unless the verbosity is 0."""
        if self.verbosity:
            self.stdout.write(wrapped(line, self.stdout))
            self.stdout.flush()  # before the lines of other programs

    def connect(self) -> None:
        """Connect to the database, so a release that can't migrate changes nothing."""
        try:
            connection.ensure_connection()
        except DatabaseError as error:
            raise CommandError(
                f"Nothing was changed: the database can't be reached ({_line(error)}). Check DATABASES.",
                returncode=DATABASE,
            ) from error

    def run_checks(self, fail_level: str, *, database: bool) -> None:
        """Run the system checks, including those for deployment and, if wanted, for the database."""
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
        """Collect static files, and publish them if they are on S3."""
        self.say("Static files:")
        try:
            with explained():
                call_command(
                    "collectstatic",
                    interactive=False,
                    dry_run=self.dry_run,
                    verbosity=self.verbosity,
                    **self.colors,
                )
        except Exception as error:  # storages can raise anything
            raise CommandError(
                f"Static files were not published, and the database was not touched. {error}",
                returncode=STATIC,
            ) from error

    def migrate(self, wait: float) -> None:
        """Apply the missing migrations once no other release is migrating."""
        try:
            if self.dry_run:
                self.say(
                    "\n".join(["Migrations to apply:", *(f"  {name}" for name in self.missing() or ["none"])])
                )
                return
            with locked(
                connection, wait, lambda: self.say(f"Another release is running: waiting up to {wait} s.")
            ):
                self.apply()
        except LockedError:
            raise CommandError(
                f"No migration was applied: another release of this database did not end within {wait}"
                " seconds. Run this again after it has ended, or with a longer --wait.",
                returncode=BUSY,
            ) from None

    def apply(self) -> None:
        """Apply the missing migrations."""
        missing: list[str] = []
        try:
            missing = self.missing()
            call_command(
                "migrate",
                interactive=False,
                verbosity=self.verbosity if missing else 0,
                **self.colors,
            )
        except Exception as error:  # migrations can raise anything
            self.say("")  # ends the line with the migration's name
            left = self.left(missing)
            applied = [name for name in missing if name not in left]
            raise CommandError(
                f"{left[0] if left else 'The migrations'} failed ({_line(error)}). Applied before:"
                f" {', '.join(applied) or 'none'}. The old version keeps running. Run it with --traceback for details.",
                returncode=DATABASE,
            ) from error
        self.say(f"Migrations: {len(missing) or 'none'} applied.")

    def clean(self) -> None:
        """Delete what uploads left behind."""
        from s3kit.uploads import leftovers

        try:
            report = leftovers.clean(seconds=CLEAN_SECONDS)
            if not report.is_empty:
                self.say(f"Uploads: {report.as_text()}")
            problem = report.failures()
        except Exception as error:  # noqa: BLE001 -- the new version can take traffic without
            problem = f"Leftovers of uploads were not deleted ({_line(error)})."
        if problem:
            hint = "Run `manage.py s3 tickets --clean` on the site's server."
            self.stderr.write(self.style.WARNING(printable_lines(f"{problem}\n{hint}")))

    def missing(self) -> list[str]:
        """Return the migrations that are not applied, in order."""
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        return [f"{migration.app_label}.{migration.name}" for migration, _backwards in plan]

    def left(self, missing: list[str]) -> list[str]:
        """Return which of `missing` are still not applied after a failure, or all if the database is gone."""
        try:
            return [name for name in self.missing() if name in missing]
        except DatabaseError:
            return missing


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")
