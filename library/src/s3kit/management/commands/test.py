"""Django's `test`, which never reaches a real bucket."""

from typing import Any

from django.core.management.commands import test

from s3kit import isolation


class Command(test.Command):
    """Runs the tests with any TEST_RUNNER, and keeps uploads in a temporary folder."""

    def handle(self, *test_labels: str, **options: Any) -> None:
        """Run the tests."""
        with isolation.isolated():
            super().handle(*test_labels, **options)
