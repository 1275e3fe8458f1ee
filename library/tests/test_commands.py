"""The subcommands of `manage.py s3`: all are reachable, and none pays for what another one imports."""

import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from s3kit import commands
from s3kit.management.commands.s3 import SUBCOMMANDS
from tests.processes import ROOT, environment


def test_each_module_with_a_run_is_a_subcommand_of_its_name() -> None:
    names = [module.name for module in pkgutil.iter_modules(commands.__path__)]
    modules = {name: import_module(f"s3kit.commands.{name}") for name in names}
    assert {name: module for name, module in modules.items() if hasattr(module, "run")} == SUBCOMMANDS


def test_what_takes_long_to_import_is_not_imported_for_the_others(tmp_path: Path) -> None:
    program = (
        "import sys; from django.core.management import execute_from_command_line as manage;"
        " manage(['manage.py', 's3', 'policy', '--role', 'web']); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment(
            DJANGO_SETTINGS_MODULE="tests.process_settings",
            TEST_FOLDER=str(tmp_path),
            USE_S3="true",
            STATIC_BUCKET="acme-static",
            MEDIA_BUCKET="acme-media",
        ),
        check=True,
        capture_output=True,
        text=True,
    )
    assert '"Version": "2012-10-17"' in done.stdout
    imported = set(done.stdout.splitlines()[-1].split())
    assert "s3kit.commands.policy" in imported
    # The storages of STORAGES are made, so boto3 is there.
    assert not imported & {"obstore", "ministack", "PIL", "s3kit.doctor.report", "s3kit.publishing.push"}
