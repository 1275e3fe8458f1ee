"""The repository and a project contain no secrets, and CI looks for known vulnerabilities every week."""

import base64
import random
import re
import string
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests import secret_scan
from tests.answers import QUESTIONS, ROOT

WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"


# Secrets


def test_no_secret_is_in_the_repository() -> None:
    names = secret_scan.tracked()
    assert len(names) > 150
    assert [str(finding) for finding in secret_scan.scan(ROOT, names)] == []


def test_a_project_has_one_secret_in_an_ignored_file(baked: Path) -> None:
    found = secret_scan.scan(baked, secret_scan.below(baked))
    assert [(finding.file, finding.kind) for finding in found] == [
        (".env", "file of secrets"),
        (".env", "random text"),
    ]
    assert f"DJANGO_SECRET_KEY={found[1].value}\n" in (baked / ".env").read_text(encoding="utf-8")


def letters(alphabet: str, length: int) -> str:
    return "".join(random.Random(7).choices(alphabet, k=length))


CAPITALS = string.ascii_uppercase + "234567"
MIXED = string.ascii_letters + string.digits
PEM = (
    rsa.generate_private_key(65537, 2048)
    .private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    .decode()
)


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


# Assembled here, so this file contains nothing that looks like a secret.
@pytest.mark.parametrize(
    ("kind", "secret"),
    [
        ("AWS access key", "AK" + "IA" + letters(CAPITALS, 16)),
        ("AWS access key", "AS" + "IA" + letters(CAPITALS, 16)),
        ("random text", letters(MIXED + "+/", 40)),
        ("random text", letters(MIXED + "-_", 67)),
        ("private key", PEM),
        ("private key", PEM.replace("\n", "\\n")),
        ("private key", PEM.replace(" PRIVATE", " RSA PRIVATE")),
        ("GitHub token", "gh" + "p_" + letters(MIXED, 36)),
        ("GitLab token", "glpa" + "t-" + letters(MIXED, 20)),
        ("index token", "pyp" + "i-" + letters(MIXED, 80)),
        ("Slack token", "xox" + "b-" + letters(string.digits, 24)),
        ("Slack token", "https://hooks.slack" + ".com/services/" + letters(MIXED, 24)),
        ("Stripe key", "sk_" + "live_" + letters(MIXED, 24)),
        ("Google key", "AI" + "za" + letters(MIXED, 35)),
        ("JSON web token", ".".join([encoded('{"alg": "HS256"}'), encoded('{"sub": "1234"}'), "a" * 20])),
        ("password in an address", "postgres://site" + ":hunter22" + "@db.internal/site"),
    ],
)
def test_a_planted_secret_is_found_and_not_shown(tmp_path: Path, kind: str, secret: str) -> None:
    place = tmp_path / "settings.py"
    place.write_text(f'"""Settings."""\n\nVALUE = """{secret}"""\n', encoding="utf-8")
    found = [finding for finding in secret_scan.scan(tmp_path, ["settings.py"]) if finding.kind == kind]
    assert [finding.line for finding in found] == [3]
    assert secret[12:] not in str(found[0])
    done = subprocess.run(
        [sys.executable, "-m", "tests.secret_scan", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"settings.py:3: {kind}" in done.stderr
    assert secret[12:] not in done.stderr


@pytest.mark.parametrize("name", [".env", "config/.env.production", "id_ed25519", "keys/cloudfront.pem"])
def test_a_file_of_secrets_is_found_by_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("", encoding="utf-8")
    assert [finding.kind for finding in secret_scan.scan(tmp_path, [name])] == ["file of secrets"]


@pytest.mark.parametrize(
    "text",
    [
        letters(string.hexdigits.lower(), 64),
        string.ascii_lowercase + string.digits,
        "acme-photos-media-k3v9qz-123456789012-eu-central-1-an",
        "https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingServerSideEncryption2.html",
        "CREATE_TABLE_IF_NOT_EXISTS_gallery_picture_2026",
        "postgres://user:{password}@db.internal/db",
        "postgres://user:anything@127.0.0.1:5432/db",
    ],
)
def test_values_that_are_not_secrets_are_not_found(text: str) -> None:
    assert list(secret_scan.find("a.py", text)) == []


def test_each_allowed_value_is_still_needed() -> None:
    there = {
        finding.value
        for name in secret_scan.tracked()
        if name != "tests/allowed_secrets.txt"
        for finding in secret_scan.find(name, (ROOT / name).read_bytes().decode(errors="replace"))
    }
    assert secret_scan.allowed() <= there


# CI and Dependabot


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    return yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))


def test_the_audit_runs_on_each_push_and_every_week(workflow: dict[Any, Any]) -> None:
    when = workflow[True]  # the key `on` in YAML 1.1
    assert {"push", "pull_request", "schedule"} <= set(when)
    (weekly,) = when["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", weekly["cron"])
    steps = [step.get("run") for step in workflow["jobs"]["audit"]["steps"]]
    assert "make audit" in steps


def test_the_audit_covers_the_template_and_both_projects_and_is_strict() -> None:
    printed = subprocess.run(
        ["make", "-n", "audit"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    commands = [line for line in printed.splitlines() if "pip-audit" in line]
    assert commands
    # Without --strict, pip-audit skips a package that the index doesn't know, and exits with 0.
    assert all("--strict" in command for command in commands)
    assert any("tests/constraints.txt" in command for command in commands)
    for django in QUESTIONS["django_version"]:
        assert any(f"django_version={django}/" in command for command in commands)


def test_workflows_have_few_permissions_and_pinned_actions(workflow: dict[Any, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert "permissions" not in job
        assert job["timeout-minutes"] <= 30
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"actions/[a-z-]+@(v\d+|[0-9a-f]{40})", step["uses"]), step
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
            # Untrusted values, such as a branch's name, are not part of a script.
            assert "${{" not in step.get("run", "")


def test_dependabot_waits_a_week_before_a_new_version() -> None:
    config = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text(encoding="utf-8"))
    assert config["version"] == 2
    assert {update["package-ecosystem"] for update in config["updates"]} == {"uv", "github-actions"}
    for update in config["updates"]:
        assert update["cooldown"]["default-days"] >= 7
        assert update["schedule"]["interval"] == "weekly"
        for place in update.get("directories", [update.get("directory")]):
            assert (ROOT / place.lstrip("/")).is_dir()


def test_the_security_policy_has_its_sections() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    for heading in ("## Report", "## Supported versions", "## In scope", "## Not in scope"):
        assert heading in text
