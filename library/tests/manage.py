"""manage.py of the library's test site, for tests that run commands as processes."""

import os
import sys

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.process_settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
