"""Fixtures of the template's tests, and the rule that a skipped test fails the run."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from pytest_cookies.plugin import Cookies

from tests.answers import FIXED, ROOT
from tests.installed import PYTHONS, Installed
from tests.machine import interpreter, run

Bake = Callable[..., Path]

# A deadline would fail on a busy machine. CI uses the same examples in each run, so a failure comes from the
# change; elsewhere, each run tries new ones.
settings.register_profile(
    "unhurried",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="STRICT_SKIPS" in os.environ,
)
settings.load_profile("unhurried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run files with slow tests first, so that parallel workers finish at about the same time."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True, scope="session")
def _mypy_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Share what mypy knows about packages between the projects of this worker. mypy compares files' content."""
    os.environ["MYPY_CACHE_DIR"] = str(tmp_path_factory.mktemp("mypy"))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the template as git clones it: with symbolic links, and without ignored files."""
    copy = tmp_path_factory.mktemp("template") / "django-s3-template"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target, follow_symlinks=False)
    return copy


@pytest.fixture
def bake(cookies: Cookies, template: Path) -> Bake:
    """Return a function that bakes a project. Answers that are not given are the defaults."""

    def bake_project(**answers: str) -> Path:
        result = cookies.bake(extra_context=answers, template=str(template))
        if result.exception:
            raise result.exception
        return result.project_path

    return bake_project


@pytest.fixture(scope="session")
def baked(cookies_session: Cookies, template: Path) -> Path:
    """Return a project baked from FIXED answers. Tests must not change it."""
    result = cookies_session.bake(extra_context=FIXED, template=str(template))
    if result.exception:
        raise result.exception
    return result.project_path


@pytest.fixture(scope="session")
def install(
    cookies_session: Cookies, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Installed]:
    """Return a function that bakes and installs a project with a Django version, once per version.

    Parallel workers have their own projects and share the environment. It is outside the workers' folders, which are
    deleted when a worker finishes.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    @cache
    def install_once(django: str) -> Installed:
        python = interpreter(PYTHONS[django])
        answers = FIXED | {"django_version": django, "project_name": "O'Neil & <Söhne> 사진"}
        result = cookies_session.bake(extra_context=answers, template=str(template))
        assert result.exit_code == 0, result.exception
        owner = Installed(shared / f"installed-{django}", django, python)
        with (shared / f"installing-{django}").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not owner.path.exists():
                shutil.copytree(result.project_path, owner.path)
                run("make", ".venv", cwd=owner.path, PYTHON=python, UV_PYTHON=python)
        return Installed(owner.lend(result.project_path), django, python)

    return install_once


@pytest.fixture(params=PYTHONS, ids=lambda django: f"django-{django}")
def installed(request: pytest.FixtureRequest, install: Callable[[str], Installed]) -> Installed:
    """Return a project with each Django version."""
    return install(request.param)


@pytest.fixture
def on_lts(install: Callable[[str], Installed]) -> Installed:
    """Return a project with the long-term support release, for tests that don't depend on the Django version."""
    return install("5.2")


# With STRICT_SKIPS set, as in CI, a skip without an allowed reason fails the run.

ALLOWED_SKIPS = [
    line.strip()
    for line in (Path(__file__).parent / "allowed_skips.txt").read_text(encoding="utf-8").splitlines()
    if line.strip() and not line.startswith("#")
]


def unlisted_skips(reports: list[pytest.TestReport]) -> list[str]:
    """Return a message per skipped test whose reason is not in allowed_skips.txt."""
    lines = []
    for report in reports:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if not any(fnmatch(reason, pattern) for pattern in ALLOWED_SKIPS):
            lines.append(f"{report.nodeid}: {reason}")
    return lines


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that skipped a test without an allowed reason."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("STRICT_SKIPS") or reporter is None:
        return
    lines = unlisted_skips(reporter.stats.get("skipped", []))
    if lines:
        reporter.ensure_newline()
        reporter.section("skipped without a reason in tests/allowed_skips.txt", red=True)
        for line in lines:
            reporter.line(line)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
