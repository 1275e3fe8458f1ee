"""Fixtures: those of the library's own tests, such as `s3_site`, and sites for Chromium."""

from tests.conftest import pytest_sessionfinish

__all__ = ["pytest_sessionfinish"]  # a skipped test fails the run here, too

pytest_plugins = ["s3kit.testing", "tests.ministack", "works_with.sites"]
