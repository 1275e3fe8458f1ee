"""The subcommands of `manage.py s3`: how they are found, what they import, and which target they use."""

import json
import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from s3kit import commands
from s3kit.management.commands.s3 import SUBCOMMANDS
from tests.fault_proxy import FaultProxy
from tests.ministack import s3_settings
from tests.processes import ROOT, environment


def test_every_module_with_a_run_function_is_a_subcommand() -> None:
    names = [module.name for module in pkgutil.iter_modules(commands.__path__)]
    modules = {name: import_module(f"s3kit.commands.{name}") for name in names}
    assert {name: module for name, module in modules.items() if hasattr(module, "run")} == SUBCOMMANDS


def test_policy_command_does_not_import_slow_modules(tmp_path: Path) -> None:
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
    # The storages in STORAGES are created, so boto3 is imported.
    assert not imported & {"obstore", "ministack", "PIL", "s3kit.doctor.report", "s3kit.publishing.push"}


REAL = [["plan"], ["apply", "--no-input"], ["policy", "--role", "web"], ["doctor"], ["prune"], ["push"]]


@pytest.mark.parametrize("words", REAL, ids=" ".join)
@pytest.mark.parametrize("local", [False, True])
def test_commands_fail_and_name_use_s3_if_it_is_off(settings: Any, words: list[str], local: bool) -> None:
    s3_settings(settings, USE_S3=False)
    with pytest.raises(CommandError, match="USE_S3") as caught:
        call_command("s3", *words, *(["--local"] if local else []))
    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.returncode == 1


def resources(capsys: pytest.CaptureFixture[str], *words: str) -> set[str]:
    call_command("s3", "policy", "--role", "deploy", *words)
    (statement,) = (
        each for each in json.loads(capsys.readouterr().out)["Statement"] if each["Sid"] == "ReadBuckets"
    )
    return set(statement["Resource"])


def test_commands_use_the_real_target_unless_local_is_given(
    settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    s3_settings(settings, static={"bucket_name": ""}, AWS_S3_REGION_NAME="cn-north-1")
    settings.USE_S3 = "local"
    with pytest.raises(CommandError, match=r"STORAGES\['staticfiles'\] has no bucket"):
        resources(capsys)
    assert resources(capsys, "--local") == {"arn:aws-cn:s3:::local-static", "arn:aws-cn:s3:::acme-media"}
    s3_settings(settings, AWS_S3_REGION_NAME="cn-north-1")
    settings.USE_S3 = "local"
    assert resources(capsys) == {"arn:aws-cn:s3:::acme-static", "arn:aws-cn:s3:::acme-media"}


def test_silenced_check_does_not_stop_a_command(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    s3_settings(settings, AWS_EXPECTED_BUCKET_OWNER="12")
    with pytest.raises(CommandError, match="expected_bucket_owner '12'"):
        resources(capsys)
    settings.SILENCED_SYSTEM_CHECKS = ["s3kit.E010"]
    assert resources(capsys)


@pytest.mark.parametrize(("static", "media"), [("My_Bucket", "acme-media"), ("acme-static", "photos--x-s3")])
def test_invalid_bucket_name_is_reported_before_any_request(
    settings: Any, tmp_path: Path, static: str, media: str
) -> None:
    """S3 would only respond "Access Denied", or nothing."""
    rule = (
        "contains 'M', '_', 'B'; only" if static == "My_Bucket" else "ends with '--x-s3', which AWS reserves"
    )
    with FaultProxy("http://127.0.0.1:9") as proxy:
        s3_settings(
            settings,
            static={"bucket_name": static},
            media={"bucket_name": media},
            AWS_S3_ENDPOINT_URL=proxy.endpoint,
        )
        of_s3 = (
            ["plan"],
            ["apply", "--no-input"],
            ["doctor"],
            ["prune"],
            ["push", "--source", str(tmp_path)],
        )
        for words in [["collectstatic", "--no-input"], *(["s3", *each] for each in of_s3)]:
            if words[0] == "collectstatic" and static == "acme-static":
                continue
            with pytest.raises(CommandError) as caught:
                call_command(*words)
            assert rule in str(caught.value)
            assert "A valid name: " in str(caught.value)
        assert proxy.requests == []
