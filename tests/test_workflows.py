"""A generated project's workflows: their permissions, and their commands run in a baked project."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pytest_cookies.plugin import Cookies

from tests.answers import FIXED, PROJECT, ROOT
from tests.machine import interpreter, run
from tests.postgres import running_postgres
from tests.workflows import FOLDER, expressions, run_step, step, workflow, workflows

JOBS = [
    pytest.param(job, id=f"{name}:{title}")
    for name, found in workflows().items()
    for title, job in found["jobs"].items()
]
DEPENDABOT = PROJECT / ".github" / "dependabot.yml"


def steps(job: dict[str, Any]) -> list[dict[str, Any]]:
    return job.get("steps", [])


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", sorted(FOLDER.iterdir())),
        ("dependabot", [DEPENDABOT]),
        ("compose-spec", [PROJECT / "compose.yaml"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_files_match_their_schemas(schema: str, files: list[Path]) -> None:
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        f"vendor.{schema}",
        *map(str, files),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_zizmor_finds_nothing(template: Path) -> None:
    command = ["zizmor", "--offline", "--no-progress", "--min-severity", "medium", "--format", "plain"]
    program = Path(sys.executable).with_name("zizmor")
    folder = template / "{{cookiecutter.project_slug}}" / ".github"
    done = subprocess.run([program, *command[1:], folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", workflows())
def test_a_workflow_has_no_permissions_by_default(name: str) -> None:
    assert workflow(name)["permissions"] == {}


def test_each_job_has_only_the_permissions_that_it_needs() -> None:
    granted = {
        f"{name}:{title}": job["permissions"]
        for name, found in workflows().items()
        for title, job in found["jobs"].items()
    }
    assert granted == {
        "ci.yml:test": {"contents": "read"},
        "ci.yml:image": {"contents": "read"},
        "deploy.yml:ci": {"contents": "read"},
        "deploy.yml:image": {"contents": "read", "packages": "write"},
        "deploy.yml:static": {"id-token": "write", "packages": "read"},
        "deploy.yml:release": {"packages": "read"},
    }


@pytest.mark.parametrize("job", JOBS)
def test_a_job_has_a_timeout(job: dict[str, Any]) -> None:
    assert job.get("uses", "").startswith("./") or 1 <= job["timeout-minutes"] <= 30


def test_actions_are_pinned_by_commit() -> None:
    used = [each["uses"] for job in JOBS for each in steps(job.values[0]) if "uses" in each]
    assert used
    for action in used:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", action), action
    # A comment names the version, which Dependabot updates too. All workflows use the same one.
    texts = "".join(path.read_text(encoding="utf-8") for path in FOLDER.iterdir())
    named = re.findall(r"uses: ([\w.-]+/[\w.-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)$", texts, re.MULTILINE)
    assert len(named) == len(used)
    assert len(set(named)) == len({action for action, *_ in named})


@pytest.mark.parametrize("job", JOBS)
def test_no_untrusted_text_is_in_a_command(job: dict[str, Any]) -> None:
    for each in steps(job):
        assert "${{" not in each.get("run", "")


@pytest.mark.parametrize("job", JOBS)
def test_a_checkout_leaves_no_credentials(job: dict[str, Any]) -> None:
    for each in steps(job):
        if each.get("uses", "").startswith("actions/checkout@"):
            assert each["with"]["persist-credentials"] is False


@pytest.mark.parametrize("name", workflows())
def test_the_only_secret_is_the_jobs_token(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert not [found for found in expressions(text) if "secrets" in found]
    for job in workflow(name)["jobs"].values():
        holders = [each for each in steps(job) if "github.token" in str(each)]
        assert all(each["name"] in {"Push", "Pull the image"} for each in holders)
        # Jobs that can write packages or assume an AWS role run no code from pull requests.
        if {"write"} & set(job["permissions"].values()):
            assert name == "deploy.yml"
    assert "pull_request_target" not in workflow(name)["on"]
    assert "workflow_run" not in workflow(name)["on"]


def test_a_deploy_runs_after_the_tests_and_alone() -> None:
    deploy = workflow("deploy.yml")
    assert deploy["concurrency"] == {"group": "deploy", "cancel-in-progress": False}
    assert deploy["on"]["push"] == {"branches": ["main"]}
    jobs = deploy["jobs"]
    assert jobs["ci"]["uses"] == "./.github/workflows/ci.yml"
    assert "workflow_call" in workflow("ci.yml")["on"]
    assert [jobs[name]["needs"] for name in ("image", "static", "release")] == [
        "ci",
        "image",
        ["image", "static"],
    ]
    # With the same concurrency group, the calling and the called workflow would wait for each other.
    assert workflow("ci.yml")["concurrency"]["group"] != deploy["concurrency"]["group"]
    for name in ("static", "release"):
        assert jobs[name]["environment"] == "production"
    # Nothing is deployed until the owner sets it up.
    assert jobs["image"]["if"] == "vars.DEPLOY_ROLE_ARN != ''"
    names = [each.get("name") for each in steps(jobs["static"])]
    assert names.index("Check that the buckets match the settings") < names.index("Publish the static files")


def test_the_variables_of_a_deploy_match_the_settings() -> None:
    settings = (PROJECT / "config" / "settings.py").read_text(encoding="utf-8")
    given = workflow("deploy.yml")["jobs"]["static"]["env"]
    for name, text in given.items():
        if name != "IMAGE":
            assert text == f"${{{{ vars.{name} }}}}"
            assert f'"{name}"' in settings
    # Everything that determines buckets, policies, and URLs; never a key, and no link lifetime.
    wanted = set(re.findall(r'"(AWS_\w+)"', settings)) - {"AWS_QUERYSTRING_EXPIRE"}
    assert {name for name in wanted if "CLOUDFRONT_KEY" not in name} <= set(given)
    assert not {name for name in given if "KEY" in name or "SECRET" in name}


@pytest.mark.parametrize(
    ("heading", "name", "job", "commands"),
    [
        ("## CI\n", "ci.yml", "test", r"^\S.*$"),
        ("## From another CI system\n", "deploy.yml", "static", r"python manage.*$"),
    ],
)
def test_the_commands_for_other_ci_systems_match_the_workflows(
    heading: str, name: str, job: str, commands: str
) -> None:
    page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8").partition(heading)[2]
    block = page.partition("```sh\n")[2].partition("```")[0]
    shown = [line.partition("  ")[0].strip() for line in block.splitlines()]
    variables = [f"export {key}={value}" for key, value in workflow(name).get("env", {}).items()]
    # Leave out steps that need GitHub or a job's services.
    special = {"Tests on PostgreSQL", "Known vulnerabilities"}
    texts = [
        each.get("run", "") for each in steps(workflow(name)["jobs"][job]) if each.get("name") not in special
    ]
    assert shown == variables + [line for text in texts for line in re.findall(commands, text, re.MULTILINE)]


def test_one_python_and_one_postgresql_throughout() -> None:
    dockerfile = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    base = re.search(r"^FROM python:(3\.\d+)-slim-\w+ AS base$", dockerfile, re.MULTILINE)
    assert base
    pythons = {
        each["with"]["python-version"]
        for job in JOBS
        for each in steps(job.values[0])
        if each.get("uses", "").startswith("actions/setup-python@")
    }
    assert pythons == {base[1]}
    compose = yaml.safe_load((PROJECT / "compose.yaml").read_text(encoding="utf-8"))
    service = workflow("ci.yml")["jobs"]["test"]["services"]["postgres"]
    assert service["image"] == compose["services"]["db"]["image"]
    assert re.fullmatch(r"postgres:\d+", service["image"])


def test_dependabot_updates_everything_pinned_after_a_cooldown() -> None:
    updates = yaml.safe_load(DEPENDABOT.read_text(encoding="utf-8"))["updates"]
    assert [each["package-ecosystem"] for each in updates] == [
        "uv",
        "github-actions",
        "docker",
        "docker-compose",
    ]
    for each in updates:
        assert each["schedule"]["interval"] == "weekly"
        assert each["cooldown"]["default-days"] >= 7


@pytest.mark.slow
def test_the_steps_of_ci_pass_in_a_baked_project(
    cookies_session: Cookies, template: Path, tmp_path: Path
) -> None:
    python = interpreter("3.11")
    result = cookies_session.bake(extra_context=FIXED | {"django_version": "5.2"}, template=str(template))
    assert result.exit_code == 0, result.exception
    project = result.project_path
    # As in a clone: without ignored files.
    (project / ".env").unlink()
    job = workflow("ci.yml")["jobs"]["test"]
    texts = {each["name"]: each["run"] for each in steps(job) if "run" in each}
    audit = texts.pop("Known vulnerabilities")
    environment = workflow("ci.yml")["env"] | {"UV_PYTHON": python, "RUNNER_TEMP": str(tmp_path)}

    # A missing lock file is an error, and is not created silently.
    assert "uv.lock" in run_step(texts["Install"], project, expect=2, **environment)
    assert not (project / "uv.lock").exists()
    run("uv", "lock", "--quiet", cwd=project, UV_PYTHON=python)

    # test_generated_project.py runs the whole suite. Here, only the commands matter.
    environment["PYTEST_ADDOPTS"] = "-k page"
    with running_postgres() as server:
        url = step("ci.yml", "test", "Tests on PostgreSQL")["env"]["TEST_DATABASE_URL"]
        assert url == "postgres://postgres@127.0.0.1:5432/postgres"
        for name, text in texts.items():
            more = {"TEST_DATABASE_URL": server.url()} if name == "Tests on PostgreSQL" else {}
            printed = run_step(text, project, **environment | more)
            if "pytest" in text or "make test" in text:
                assert re.search(r"\d+ passed", printed), name
        assert shlex.split(texts["Tests on PostgreSQL"])[0] == ".venv/bin/pytest"

    # The commands fail for a model without a migration, and for unformatted code.
    models = project / "gallery" / "models.py"
    models.write_text(
        models.read_text(encoding="utf-8").replace("max_length=", "max_length=1 +", 1), encoding="utf-8"
    )
    run_step(texts["Migrations"], project, expect=1, **environment)
    run_step(texts["Formatting"], project, expect=1, **environment)

    # The findings vary, so only check that it covers every package.
    printed = run_step(audit.rstrip() + " --dry-run", project, **environment)
    found = re.search(r"would have audited (\d+) packages", printed)
    assert found, printed
    assert int(found[1]) == len(list((project / ".venv").glob("lib/python3*/site-packages/*.dist-info")))
