#!/usr/bin/env python
"""Django's command-line utility."""

import os
import sys


def main():
    """Run an administrative command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
    except ImportError as error:
        raise SystemExit("Django is not installed. Try: .venv/bin/python manage.py ...") from error
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        if "--traceback" in sys.argv:
            raise
        raise SystemExit(f"{error}") from error


if __name__ == "__main__":
    main()
