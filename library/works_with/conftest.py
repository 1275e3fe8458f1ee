"""Fixtures: those of the library's own tests, whose `s3_site` has buckets on a local S3 server, and sites to click."""

from tests.conftest import pytest_sessionfinish

__all__ = ["pytest_sessionfinish"]  # a skipped test is a failed one here, too

pytest_plugins = ["s3kit.testing", "tests.ministack", "works_with.sites"]
