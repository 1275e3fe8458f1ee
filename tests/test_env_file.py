"""The hook writes and verifies .env with a new key, readable only by its owner, and never overwrites it."""

import importlib.util
import os
import re
import secrets
import stat
import sys
from pathlib import Path

import environ
import pytest
import yaml
from cookiecutter.main import cookiecutter

from tests.answers import FIXED, PROJECT
from tests.conftest import Bake
from tests.hook import GOOD, RULES, config_in, post_gen, tree

EXAMPLE = """\
# A comment with 'quotes" and $
DJANGO_SITE_NAME='Acme Photos'
DJANGO_SECRET_KEY=
AWS_S3_REGION_NAME=eu-central-1

AWS_STATIC_BUCKET_NAME=acme-photos-static-k3v9qz
AWS_MEDIA_BUCKET_NAME=acme-photos-media-k3v9qz
AWS_MEDIA_ACCESS=private
"""


def read(path: Path) -> dict[str, str]:
    """Return the variables that django-environ reads."""
    reader = type("Reader", (environ.Env,), {"ENVIRON": {}})
    reader.read_env(path)
    return dict(reader.ENVIRON)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with an .env.example, ready for the hook."""
    (tmp_path / ".env.example").write_text(EXAMPLE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_baked_project_has_an_env_that_django_environ_reads(baked: Path, bake: Bake) -> None:
    path = baked / ".env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    values = read(path)
    for answer, variable in post_gen.VARIABLES.items():
        assert values[variable] == (GOOD | FIXED)[answer]
    key = values.pop("DJANGO_SECRET_KEY")
    assert re.fullmatch(r"[A-Za-z0-9_-]{50,}", key)
    example = read(baked / ".env.example")
    assert example.pop("DJANGO_SECRET_KEY") == ""
    assert values == example
    assert read(bake(**FIXED) / ".env")["DJANGO_SECRET_KEY"] != key


def test_the_hook_verifies_every_answer_in_the_example() -> None:
    example = (PROJECT / ".env.example").read_text(encoding="utf-8")
    shown = {
        variable: set(re.findall(r"cookiecutter\.(\w+)", value))
        for variable, value in re.findall(r"^([A-Z0-9_]+)=(.*\{\{.*)$", example, re.MULTILINE)
    }
    assert shown == {variable: {answer} for answer, variable in post_gen.VARIABLES.items()}


def test_env_differs_from_the_example_only_in_the_key(project: Path) -> None:
    assert post_gen.write_env(GOOD, RULES)
    written = (project / ".env").read_text(encoding="utf-8")
    assert re.sub(r"(?m)^(DJANGO_SECRET_KEY=).+$", r"\1", written) == EXAMPLE
    assert len(set(read(project / ".env")["DJANGO_SECRET_KEY"])) > 10


def test_env_is_private_before_it_has_content(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def make_key(length: int) -> str:
        seen.append((stat.S_IMODE((project / ".env").stat().st_mode), (project / ".env").read_bytes()))
        return "k" * length

    monkeypatch.setattr(secrets, "token_urlsafe", make_key)
    before = os.umask(0)
    try:
        post_gen.write_env(GOOD, RULES)
    finally:
        os.umask(before)
    assert seen == [(0o600, b"")]


@pytest.mark.parametrize("kind", ["file", "dangling link"])
def test_an_existing_env_is_kept(project: Path, kind: str) -> None:
    path = project / ".env"
    if kind == "file":
        path.write_text("MINE=1\n", encoding="utf-8")
    else:
        path.symlink_to(project / "elsewhere")
    before = tree(project)
    assert not post_gen.write_env(GOOD, RULES)
    assert tree(project) == before


def test_baking_over_a_project_keeps_its_env(
    template: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    capfd: pytest.CaptureFixture[str],
) -> None:
    config = str(config_in(tmp_path_factory.mktemp("config")))
    (tmp_path / "acme-photos").mkdir()
    (tmp_path / "acme-photos" / ".env").write_text("MINE=1\n", encoding="utf-8")
    project = cookiecutter(
        str(template),
        no_input=True,
        extra_context=FIXED,
        overwrite_if_exists=True,
        output_dir=str(tmp_path),
        config_file=config,
    )
    assert (Path(project) / ".env").read_text(encoding="utf-8") == "MINE=1\n"
    assert "Your existing .env was not changed." in capfd.readouterr().out


def test_the_key_is_never_printed(bake: Bake, capfd: pytest.CaptureFixture[str]) -> None:
    key = read(bake(**FIXED) / ".env")["DJANGO_SECRET_KEY"]
    told = capfd.readouterr()
    assert "make run" in told.out
    assert key not in told.out + told.err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("DJANGO_SECRET_KEY=\n", "", "DJANGO_SECRET_KEY"),
        ("DJANGO_SECRET_KEY=\n", "DJANGO_SECRET_KEY=committed\n", "DJANGO_SECRET_KEY"),
        ("'Acme Photos'", "Acme Photos", "'DJANGO_SITE_NAME' differently"),
        ("'Acme Photos'", '"Acme $Photos"', "'DJANGO_SITE_NAME' differently"),
        ("'Acme Photos'", "'Acme Photo'", "DJANGO_SITE_NAME"),
        ("eu-central-1", "eu-central-2", "AWS_S3_REGION_NAME"),
        ("eu-central-1", "EU", "write it in lowercase"),
        ("AWS_MEDIA_ACCESS=private\n", "", "AWS_MEDIA_ACCESS"),
        ("AWS_MEDIA_ACCESS=private", "export AWS_MEDIA_ACCESS=private", "differently"),
    ],
)
def test_an_env_that_cannot_be_verified_is_deleted(project: Path, old: str, new: str, message: str) -> None:
    (project / ".env.example").write_text(EXAMPLE.replace(old, new), encoding="utf-8")
    with pytest.raises(SystemExit) as caught:
        post_gen.write_env(GOOD, RULES)
    assert message in str(caught.value.code)
    assert "\n" not in str(caught.value.code)
    assert not (project / ".env").exists()


def test_a_missing_example_is_an_error(project: Path) -> None:
    (project / ".env.example").unlink()
    with pytest.raises(SystemExit, match=r"\.env\.example"):
        post_gen.write_env(GOOD, RULES)
    assert not (project / ".env").exists()


@pytest.mark.parametrize(
    ("here", "shown"),
    [("", "my-site"), ("..", "{parent}/my-site"), ("elsewhere", "{absolute}"), (None, "{absolute}")],
)
def test_the_next_steps_start_in_the_users_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: str | None, shown: str
) -> None:
    project = tmp_path / "my-site"
    if here is None:
        monkeypatch.delenv("PWD")
    else:
        monkeypatch.setenv("PWD", str(tmp_path / here))
    told = post_gen.next_steps(project, True, "5.2")
    assert f"  cd {shown.format(parent=tmp_path.name, absolute=project)}\n  make run\n" in told
    assert "README.md" in told
    assert len([line for line in told.splitlines() if line.startswith("  ")]) <= 3
    assert "git init -b main" in told
    (project / ".git").mkdir(parents=True)
    assert "git init" not in post_gen.next_steps(project, True, "5.2")


def test_deploy_workflow_runs_on_main() -> None:
    deploy = (PROJECT / ".github" / "workflows" / "deploy.yml").read_text(encoding="utf-8")
    on = yaml.safe_load(deploy)[True]  # YAML 1.1 parses the key `on` as true
    assert on["push"]["branches"] == ["main"]


@pytest.mark.parametrize("tool", ["python3.12", "python3.14", "uv"])
def test_a_missing_python_is_reported_before_make_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    project, folder, mark = tmp_path / "my-site", tmp_path / "bin", tmp_path / "mark"
    (project / "bin").mkdir(parents=True)
    folder.mkdir()
    for place, code in ((project / "bin", f"touch {mark}"), (folder, "exit 127")):  # like pyenv's shims
        (place / tool).write_text(f"#!/bin/sh\n{code}\n", encoding="utf-8")
        (place / tool).chmod(0o755)
    monkeypatch.chdir(project)
    monkeypatch.setenv("PATH", os.pathsep.join(["bin", str(project / "bin"), str(folder)]))
    monkeypatch.setattr(sys, "version_info", (3, 11, 4))
    told = post_gen.next_steps(project, True, "6.1")
    assert "Django 6.1 needs Python 3.12 or later, but only Python 3.11 was found." in told
    assert told.index("django_version=5.2") < told.index("make run\n")
    assert not mark.exists()  # the project's own programs are not run
    assert "Python" not in post_gen.next_steps(project, True, "5.2")
    (folder / tool).write_text("#!/bin/sh\n", encoding="utf-8")
    assert "Python" not in post_gen.next_steps(project, True, "6.1")


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("a.example, b.example", ["a.example", "b.example"]),
        (" https://a.example/ ,https://b.example:8443/,, ", ["https://a.example", "https://b.example:8443"]),
        ("", []),
    ],
)
def test_lists_can_have_spaces_and_slashes(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, parts: list[str]
) -> None:
    """Django and S3 compare hosts and origins as strings."""
    variables = ("DJANGO_ALLOWED_HOSTS", "DJANGO_SITE_ORIGINS")
    for name in variables:
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("env", template / PROJECT / "config" / "env.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    env = module.Env.read(tmp_path / "no.env")
    assert [env.texts(name) for name in variables] == [parts, parts]
    settings = (template / PROJECT / "config" / "settings.py").read_text(encoding="utf-8")
    assert all(f'= env.texts("{name}")' in settings for name in variables)
    assert "env.list(" not in settings
