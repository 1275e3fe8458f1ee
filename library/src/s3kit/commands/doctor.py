"""`manage.py s3 doctor`: what the probes see of the live buckets, each failure with its fix."""

import json
import signal
import sys
from dataclasses import replace
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from s3kit.commands.shared import add_local, checked_deployment
from s3kit.errors import on_local_server

HELP = "Probe the live buckets, and say how to fix what fails."
EXIT_CODES = "Exit codes: 0 nothing failed (there may be warnings), 1 a probe failed, 130 interrupted."


def add_arguments(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument("--role", choices=("web", "deploy"), help="Probe only what this role may do.")
    parser.add_argument("--json", action="store_true", help="Print JSON.")
    add_local(parser)


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Print what the probes saw; exit code 1 where something is not ok."""
    from s3kit.doctor.report import diagnose

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it cleans up then too
    try:
        report = diagnose(checked_deployment(options), options["role"])
        if options["local"]:
            lines = [replace(line, fix=on_local_server(line.fix)) for line in report.lines]
            report = replace(report, lines=lines)
    except KeyboardInterrupt:
        sys.exit(130)
    if options["json"]:
        command.stdout.write(json.dumps(report.as_data(), indent=2))
    else:
        style = {
            "ok": command.style.SUCCESS,
            "warning": command.style.WARNING,
            "can't tell": command.style.WARNING,
            "not ok": command.style.ERROR,
        }
        shown = report.as_text(lambda status, text: style[status](text), verbosity=options["verbosity"])
        command.stdout.write(shown)
    if report.failed:
        sys.exit(1)
