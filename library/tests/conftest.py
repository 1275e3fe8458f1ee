"""Fixtures of the library's tests, and the rule that a skipped test is a failed one."""

import gc
import os
from fnmatch import fnmatch
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = [
    "pytester",
    "s3kit.testing",
    "tests.ministack",
    "tests.doctored",
    "tests.fake_aws",
    "tests.chromium",
    "tests.new_sites",
]

# A machine that is busy with other things has found no counterexample. In CI the examples are the same each
# time, so that what fails there is of the change; elsewhere each run looks for new ones.
settings.register_profile(
    "unhurried",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="STRICT_SKIPS" in os.environ,
)
settings.load_profile("unhurried")


def pytest_collection_finish() -> None:
    """Spare the garbage collector what stays to the end anyway: modules, and the tests themselves."""
    gc.collect()
    gc.freeze()


# A skip hides what it should show: with STRICT_SKIPS set, as in CI, one without an allowed reason fails.
_LISTED = Path(__file__).parents[2] / "tests" / "allowed_skips.txt"
ALLOWED_SKIPS = [
    line.strip()
    for line in _LISTED.read_text(encoding="utf-8").splitlines()
    if line.strip() and not line.startswith("#")
]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in which a test was skipped without an allowed reason."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("STRICT_SKIPS") or reporter is None:
        return
    for report in reporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if not any(fnmatch(reason, pattern) for pattern in ALLOWED_SKIPS):
            reporter.line(f"skipped without a reason in tests/allowed_skips.txt: {report.nodeid}: {reason}")
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
