"""Fixtures of the library's tests, and the rule that a skipped test fails the run."""

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

# A deadline would fail on a busy machine. CI uses the same examples in each run, so a failure comes from the
# change; elsewhere, each run tries new ones.
settings.register_profile(
    "unhurried",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="STRICT_SKIPS" in os.environ,
)
settings.load_profile("unhurried")


def pytest_collection_finish() -> None:
    """Exclude modules and tests, which stay until the end, from garbage collection."""
    gc.collect()
    gc.freeze()


# With STRICT_SKIPS set, as in CI, a skip without an allowed reason fails the run.
_LISTED = Path(__file__).parents[2] / "tests" / "allowed_skips.txt"
ALLOWED_SKIPS = [
    line.strip()
    for line in _LISTED.read_text(encoding="utf-8").splitlines()
    if line.strip() and not line.startswith("#")
]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that skipped a test without an allowed reason."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("STRICT_SKIPS") or reporter is None:
        return
    for report in reporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if not any(fnmatch(reason, pattern) for pattern in ALLOWED_SKIPS):
            reporter.line(f"skipped without a reason in tests/allowed_skips.txt: {report.nodeid}: {reason}")
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
