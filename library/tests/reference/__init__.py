"""Pages of the documentation that are generated from the code. `make reference` writes them."""

from collections.abc import Callable
from pathlib import Path

from tests import providers
from tests.reference import checks, commands, doctor, options, settings, troubleshooting

DOCS = Path(__file__).parents[3] / "docs"
PAGES: dict[str, Callable[[], str]] = {
    "options": options.page,
    "settings": settings.page,
    "commands": commands.page,
    "checks": checks.page,
    "doctor": doctor.page,
    "troubleshooting": troubleshooting.page,
    "providers": providers.page,
}
