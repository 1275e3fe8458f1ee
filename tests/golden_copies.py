"""Golden copies of the rendered files, so that a change's effect shows in its review.

Run `make golden` after a change of one of them, and commit the result.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.answers import FIXED, RENDERED, ROOT

GOLDEN = ROOT / "tests" / "golden"

# One folder for each set of answers that changes a rendered file in a way of its own.
VARIANTS = {
    "django-5.2": FIXED,
    "django-6.1": FIXED
    | {"django_version": "6.1", "media_access": "public-read", "project_name": "O'Neil & Söhne"},
}


def write(template: Path, target: Path) -> None:
    """Bake every variant from `template` and write its rendered files below `target`."""
    for variant, answers in VARIANTS.items():
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "cookiecutter",
                    "--default-config",
                    "--no-input",
                    "-o",
                    folder,
                    str(template),
                ]
                + [f"{name}={answer}" for name, answer in answers.items()],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            for name in sorted(RENDERED):
                file = target / variant / name.removeprefix(".")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes((Path(folder) / answers["project_slug"] / name).read_bytes())


if __name__ == "__main__":
    write(ROOT, GOLDEN)
