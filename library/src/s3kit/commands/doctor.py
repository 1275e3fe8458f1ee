"""`manage.py s3 doctor`: probes the live buckets and prints a fix for each failure."""

import json
import signal
import sys
from dataclasses import replace
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from s3kit.commands.shared import add_local, checked_deployment
from s3kit.errors import on_local_server

HELP = "Test the live buckets, and print a fix for each failure."
EXIT_CODES = {0: "no probe failed", 1: "a probe failed", 130: "interrupted"}


def add_arguments(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument("--role", choices=("web", "deploy"), help="Test only what this role may do.")
    parser.add_argument("--json", action="store_true", help="Print JSON.")
    add_local(parser)


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Print the report."""
    from s3kit.doctor.report import diagnose

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # then it cleans up, too
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
