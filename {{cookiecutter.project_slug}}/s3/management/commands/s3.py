"""`manage.py s3 ...`: buckets and rights on AWS, the embedded S3 of the desk, the list of static files."""

import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from botocore.exceptions import BotoCoreError
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from s3 import (
    account,
    apply,
    buckets,
    checks,
    client,
    cloudformation,
    embedded,
    errors,
    plan,
    policies,
    prune,
    show,
)
from s3.cloudformation import CloudFormationError
from s3.embedded import EmbeddedS3, EmbeddedS3Error, running
from s3.management.commands.collectstatic import Progress
from s3.plan import BucketPlan
from s3.site import Site

PORT = 9000

# For a desk without any configuration; the embedded S3 has no other customers who could have taken the names.
DEFAULT_REGION, DEFAULT_STATIC_BUCKET, DEFAULT_MEDIA_BUCKET = "us-east-1", "desk-static", "desk-media"


class Command(BaseCommand):
    """Dispatch to a subcommand; each is a method of its name."""

    help = (
        "Buckets as the settings want them (plan, apply), the rights that it takes (policy), the embedded S3"
        " of the desk (serve, run), and the list of static files (manifest)."
    )
    # A setting that is wrong for AWS must not keep the desk from starting.
    requires_system_checks: list[str] = []  # noqa: RUF012

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the subcommands and their options."""
        commands = parser.add_subparsers(dest="subcommand", required=True, metavar="SUBCOMMAND")

        show = commands.add_parser(
            "plan", help="show what differs from the settings on S3; exit code 2 if anything does"
        )
        show.add_argument(
            "--format",
            choices=("text", "json", "cloudformation"),
            default="text",
            help="cloudformation: the wanted state as a template, without asking AWS (default: %(default)s)",
        )
        show.add_argument(
            "--json", action="store_const", const="json", dest="format", help="the same as --format json"
        )

        make = commands.add_parser("apply", help="make and change the buckets as the settings want them")
        make.add_argument(
            "--no-input", "--noinput", action="store_false", dest="interactive", help="do not ask"
        )
        make.add_argument(
            "--replace-conflicting",
            action="store_true",
            help="remove what contradicts the settings: public statements and grants of other people",
        )

        rights = commands.add_parser("policy", help="print the IAM policy of a role, to attach it")
        rights.add_argument(
            "--role",
            required=True,
            choices=policies.ROLES,
            help="web: the running site; deploy: collectstatic and plan; prune; setup: plan and apply",
        )
        rights.add_argument("--explain", action="store_true", help="with what each action is for, to read")

        serve = commands.add_parser("serve", help="run the embedded S3 until Ctrl-C, with the site's buckets")
        serve.add_argument("--port", type=_port, default=PORT, help="its port (default: %(default)s; 0: any)")
        serve.add_argument(
            "--bind",
            choices=(embedded.HOST, "0.0.0.0"),  # noqa: S104 -- only where somebody asks for it
            default=embedded.HOST,
            help="0.0.0.0 only in a container, published on 127.0.0.1 alone: anybody can be its root",
        )

        run = commands.add_parser("run", help="run the site on the embedded S3, both until Ctrl-C")
        run.add_argument("--port", type=_port, default=8000, help="the site's port (default: %(default)s)")
        run.add_argument("--s3-port", type=_port, default=PORT, help="of S3 (default: %(default)s; 0: any)")
        run.add_argument(
            "--no-debug",
            action="store_true",
            help="as on a server: gunicorn, debug off, static files on the embedded S3 too",
        )
        run.add_argument(
            "--first",
            action="append",
            default=[],
            metavar="COMMAND",
            help="a command of manage.py with its arguments, to run before the site starts; can be repeated",
        )

        for each in (serve, run):
            each.add_argument(
                "--data",
                type=Path,
                default=settings.VAR_DIR / "s3",
                metavar="DIR",
                help="the folder that keeps what is stored (default: %(default)s)",
            )

        doctor = commands.add_parser("doctor", help="probe the live buckets, each failure with its cure")
        doctor.add_argument("--role", choices=("web", "deploy"), help="probe only what this role may do")
        doctor.add_argument("--json", action="store_true", help="print for machines")

        push = commands.add_parser("push", help="copy local uploads to the bucket, names and all")
        push.add_argument(
            "--source",
            type=Path,
            default=Path(settings.MEDIA_ROOT),
            metavar="DIR",
            help="the folder of the uploads (default: MEDIA_ROOT); nothing in it is changed",
        )
        push.add_argument("--dry-run", action="store_true", help="only tell what would be copied")
        push.add_argument("--overwrite", action="store_true", help="replace objects that differ")
        push.add_argument("--verify", action="store_true", help="read every object back and compare")
        push.add_argument("--json", action="store_true", help="print for machines")

        trim = commands.add_parser(
            "prune", help="tell which static files are not needed any more; remove them"
        )
        trim.add_argument(
            "--keep",
            type=_at_least_one,
            default=prune.KEEP,
            metavar="N",
            help="past deploys whose files stay (default: %(default)s)",
        )
        trim.add_argument(
            "--days",
            type=_at_least_one,
            default=prune.DAYS,
            metavar="D",
            help="what was new, or in force, within so many days stays (default: %(default)s)",
        )
        trim.add_argument("--delete", action="store_true", help="do it; without, nothing is removed")
        trim.add_argument("--json", action="store_true", help="print for machines")

        manifest = commands.add_parser(
            "manifest", help="write the list of static files, without network or keys"
        )
        manifest.add_argument("--output", type=Path, default=settings.STATICFILES_MANIFEST, metavar="FILE")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Run the subcommand; what stops it is one line on stderr and exit code 1."""
        try:
            getattr(self, options["subcommand"])(options)
        except buckets.BucketError as error:
            done = [f"Done before: {'; '.join(error.done)}."] if error.done else []
            raise CommandError("\n".join([str(error), *done])) from error
        except BotoCoreError as error:
            raise CommandError(errors.explain(error)) from error
        except (EmbeddedS3Error, CloudFormationError) as error:
            raise CommandError(str(error)) from error

    def plan(self, options: dict[str, Any]) -> None:
        """Show what differs; exit code 0 if nothing does, 2 if something does.

        As a CloudFormation template, show what is wanted, which needs neither network nor credentials.
        """
        if options["format"] == "cloudformation":
            # The id of CloudFront's key is not known before the stack has made it.
            self._site(known_later={"s3.E005"})
            self.stdout.write(json.dumps(cloudformation.from_settings(), indent=2))
            return
        site = self._site()
        found = plan.plan(client.client(), site, account.account(site))
        self.stdout.write(
            show.as_json(site, found) if options["format"] == "json" else self._text(site, found)
        )
        if not all(bucket.is_as_wanted for bucket in found):
            sys.exit(2)

    def apply(self, options: dict[str, Any]) -> None:
        """Show the plan, ask, and do it; exit code 1 where a conflict hinders something."""
        site, replace_conflicts = self._site(), options["replace_conflicting"]
        s3, whose = client.client(), account.account(site)
        found = plan.plan(s3, site, whose, replace=replace_conflicts)
        self.stdout.write(self._text(site, found))
        if any(not bucket.exists or any(line.changes for line in bucket.lines) for bucket in found):
            if options["interactive"] and not self._agreed():
                raise CommandError("Nothing was changed.")
            if replace_conflicts:
                for document in apply.old_documents(s3, site, found):
                    self.stdout.write(document)
            done = apply.apply(s3, site, found, whose, replace=replace_conflicts, tell=self.stdout.write)
            self.stdout.write(f"{len(done)} steps done, and read back.")
        if any(bucket.hindered for bucket in found):
            raise CommandError("Conflicts, marked with ! above, hinder the rest.")

    def policy(self, options: dict[str, Any]) -> None:
        """Print the policy of a role."""
        grants = policies.ROLES[options["role"]](self._site())
        explain = options["explain"]
        self.stdout.write(
            policies.explained(grants) if explain else json.dumps(policies.document(grants), indent=2)
        )

    def _site(self, known_later: Collection[str] = ()) -> Site:
        """Return the site of the settings; raise CommandError where they lack something or are wrong.

        `known_later` are the ids of checks that do not count.
        """
        names = ("AWS_S3_REGION_NAME", "AWS_STATIC_BUCKET_NAME", "AWS_MEDIA_BUCKET_NAME")
        if missing := [name for name in names if not getattr(settings, name)]:
            raise CommandError(f"Not set: {', '.join(missing)}. Set them in .env or in the environment.")
        # USE_S3 may be off yet: the buckets come first.
        found = [*checks.check_names(), *checks.all_settings()]
        wrong = [check for check in found if check.is_serious() and check.id not in known_later]
        if wrong:
            raise CommandError("\n".join(f"{check.msg} {check.hint or ''}" for check in wrong))
        return Site.from_settings()

    def _text(self, site: Site, found: list[BucketPlan]) -> str:
        style = {
            "heading": self.style.MIGRATE_HEADING,
            "add": self.style.SUCCESS,
            "remove": self.style.ERROR,
            "change": self.style.WARNING,
            "conflict": self.style.ERROR,
        }
        if not self.stdout.isatty():  # a pipe gets neither colours nor folded lines
            return show.as_text(site, found)
        width = shutil.get_terminal_size().columns
        return show.as_text(site, found, lambda kind, text: style.get(kind, str)(text), width)

    def _agreed(self) -> bool:
        try:
            return input("Do this? [y/N] ").strip().lower() in {"y", "yes"}
        except EOFError:
            return False

    def serve(self, options: dict[str, Any]) -> None:
        """Run the embedded S3 with the buckets of the settings until SIGINT or SIGTERM."""
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            site = desk_site()
            data, port, bind = options["data"].resolve(), options["port"], options["bind"]
            with running(data, port=port, region=site.region, bind=bind) as store:
                environment = prepare(store, site)
                self.stdout.write(
                    f"The embedded S3 listens on {store.endpoint}, with its data in {store.data}."
                    f" The site uses it so: {_assignments(environment)} python manage.py runserver"
                )
                self.stdout.flush()
                store.wait()
        except KeyboardInterrupt:
            return

    def run(self, options: dict[str, Any]) -> None:
        """Start the embedded S3, prepare buckets and database, and become the server of the site."""
        embedded.free_port(options["port"])  # or say so before anything has started
        manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
        first = [["migrate", "--verbosity", "0"]]
        server = [*manage, "runserver", str(options["port"])]
        more = {"DJANGO_DEBUG": "true"}
        if options["no_debug"]:
            first.append(["collectstatic", "--no-input"])
            address = f"127.0.0.1:{options['port']}"
            gunicorn = [sys.executable, "-m", "gunicorn", "--workers", "1"]
            # At a desk nobody waits half a minute after Ctrl-C for a browser that keeps its connection.
            server = [*gunicorn, "--graceful-timeout", "3", "--bind", address, "config.wsgi"]
            more = {
                "DJANGO_DEBUG": "false",
                "DJANGO_SECRET_KEY": os.environ.get("DJANGO_SECRET_KEY") or secrets.token_urlsafe(50),
                "DJANGO_ALLOWED_HOSTS": "127.0.0.1,localhost",
                "DJANGO_SECURE_SSL_REDIRECT": "false",
            }
        first += [shlex.split(command) for command in options["first"]]
        try:
            site = desk_site()
            with running(options["data"].resolve(), port=options["s3_port"], region=site.region) as store:
                environment = prepare(store, site) | more
                for arguments in first:
                    code = subprocess.call([*manage, *arguments], env=environment)  # noqa: S603 -- the user's own
                    if code:
                        raise CommandError(f"manage.py {arguments[0]} failed", returncode=code)
                self.stdout.write(
                    f"The site is on http://127.0.0.1:{options['port']}/, its uploads on the embedded S3 at "
                    f"{store.endpoint}, kept in {store.data}."
                )
                self.stdout.flush()
                _become(server, environment, store)
        except KeyboardInterrupt:
            sys.exit(130)

    def doctor(self, options: dict[str, Any]) -> None:
        """Print what the probes saw; exit code 1 where something is not ok."""
        from s3.doctor import diagnose

        signal.signal(signal.SIGTERM, signal.default_int_handler)  # it cleans up then too
        try:
            report = diagnose(options["role"])
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            sys.exit(130)
        colours = {
            "ok": self.style.SUCCESS,
            "warning": self.style.WARNING,
            "can't tell": self.style.NOTICE,
            "not ok": self.style.ERROR,
        }
        width = min(shutil.get_terminal_size((100, 24)).columns, 100)
        text = report.as_text(width, lambda status, text: colours[status](text))
        self.stdout.write(report.as_json() if options["json"] else text)
        if report.failed:
            sys.exit(1)

    def push(self, options: dict[str, Any]) -> None:
        """Copy local uploads to the bucket; exit code 1 where something was not copied or differs."""
        from s3.push import PushError, push

        self._site()
        names = ("source", "dry_run", "overwrite", "verify")
        try:
            with self._progress(options) as progress:
                report = push(**{name: options[name] for name in names}, progress=progress)
        except (PushError, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(report.as_json() if options["json"] else report.as_text())
        if failures := report.failures():
            raise CommandError(failures)

    def prune(self, options: dict[str, Any]) -> None:
        """Tell what can go, and with --delete remove it; exit code 1 where something could not be removed."""
        self._site()
        names = ("keep", "days", "delete")
        try:
            with self._progress(options) as progress:
                report = prune.prune(**{name: options[name] for name in names}, progress=progress)
        except (prune.PruneError, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(report.as_json() if options["json"] else report.as_text())
        if failures := report.failures():
            raise CommandError(failures)

    @contextmanager
    def _progress(self, options: dict[str, Any]) -> Iterator[Callable[[int, int, str], None]]:
        """Hand out what shows progress, to people; Ctrl-C and SIGTERM end the command with code 130."""
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        progress = Progress(self.stdout, verbose=options["verbosity"] >= 2)
        try:
            yield (lambda *_: None) if options["json"] else progress
        except KeyboardInterrupt:
            sys.exit(130)
        finally:
            progress.close()

    def manifest(self, options: dict[str, Any]) -> None:
        """Write the list of static files that a web process starts with."""
        from s3.manifest import write_manifest

        try:
            self.stdout.write(write_manifest(options["output"]))
        except OSError as error:
            raise CommandError(f"Cannot write {options['output']}: {error.strerror}") from error


def desk_site() -> Site:
    """Return the site of the settings as it is at the desk; what they leave blank gets a default."""
    site = Site.from_settings()
    return replace(
        site,
        region=site.region or DEFAULT_REGION,
        static_bucket=site.static_bucket or DEFAULT_STATIC_BUCKET,
        media_bucket=site.media_bucket or DEFAULT_MEDIA_BUCKET,
        # These belong to AWS itself and mean nothing to the embedded S3.
        owner="",
        distribution="",
        media_domain="",
    )


def prepare(store: EmbeddedS3, site: Site) -> dict[str, str]:
    """Prepare the buckets and the IAM user, and return the environment of a site that uses them.

    It has this process's variables without the AWS ones: no real profile or key gets to the embedded S3, and
    .env, of which this process has all variables already, is not read again.
    """
    site = replace(site, endpoint=store.endpoint)
    apply.prepare(store.client(), site)
    store.site_key(policies.document(policies.web(site)), policies.document(policies.deploy(site)))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    for name in ("NO_PROXY", "no_proxy"):
        environment[name] = ",".join(filter(None, [environment.get(name), "127.0.0.1"]))
    return environment | {
        "DJANGO_ENV_FILE": os.devnull,
        "USE_S3": "true",
        "AWS_S3_ENDPOINT_URL": store.endpoint,
        "AWS_S3_REGION_NAME": site.region,
        "AWS_STATIC_BUCKET_NAME": site.static_bucket,
        "AWS_MEDIA_BUCKET_NAME": site.media_bucket,
        "AWS_MEDIA_ACCESS": site.access,
        "AWS_MEDIA_VERSIONING": str(site.versioning).lower(),
        "AWS_QUERYSTRING_EXPIRE": str(settings.AWS_QUERYSTRING_EXPIRE),
        "AWS_SHARED_CREDENTIALS_FILE": str(store.credentials),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _assignments(environment: dict[str, str]) -> str:
    """Return what a shell must say before a command, so that the site uses the embedded S3 and its key."""
    keys = ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    unset = [f"-u {name}" for name in keys if os.environ.get(name)]
    needed = ["USE_S3", "AWS_S3_ENDPOINT_URL", "AWS_SHARED_CREDENTIALS_FILE"]
    for name in ("AWS_S3_REGION_NAME", "AWS_STATIC_BUCKET_NAME", "AWS_MEDIA_BUCKET_NAME"):
        if not getattr(settings, name):
            needed.append(name)  # noqa: PERF401 -- plainer than extend with a generator
    return " ".join(
        [
            *(["env", *unset] if unset else []),
            *(f"{name}={shlex.quote(environment[name])}" for name in needed),
        ]
    )


def _become(server: list[str], environment: dict[str, str], store: EmbeddedS3) -> NoReturn:
    """Turn this process into the site's server, with the terminal and signals; the store ends with it."""
    store.stay_with()
    os.chdir(settings.BASE_DIR)
    sys.stdout.flush()
    os.execve(server[0], server, environment)  # noqa: S606 -- the command is ours


def _at_least_one(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 36500):
        raise ArgumentTypeError(f"{text!r} is not a number from 1 to 36500")
    return int(text)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise ArgumentTypeError(f"{text!r} is not a port: 0 to 65535")
    return int(text)
