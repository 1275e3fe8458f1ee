"""`manage.py s3 doctor`: what the probes see of the live buckets, each failure with its cure."""

import shutil
import signal
import sys
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

HELP = "probe the live buckets, each failure with its cure"


def add_arguments(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument("--role", choices=("web", "deploy"), help="probe only what this role may do")
    parser.add_argument("--json", action="store_true", help="print for machines")


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Print what the probes saw; exit code 1 where something is not ok."""
    from s3kit.doctor.report import diagnose

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it cleans up then too
    try:
        report = diagnose(options["role"])
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from error
    except KeyboardInterrupt:
        sys.exit(130)
    colours = {
        "ok": command.style.SUCCESS,
        "warning": command.style.WARNING,
        "can't tell": command.style.NOTICE,
        "not ok": command.style.ERROR,
    }
    width = min(shutil.get_terminal_size((100, 24)).columns, 100)
    text = report.as_text(width, lambda status, text: colours[status](text))
    command.stdout.write(report.as_json() if options["json"] else text)
    if report.failed:
        sys.exit(1)
