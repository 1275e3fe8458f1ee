"""Golden copies of the rendered files, so a review shows the effect of a change.

Run `make golden` after a change to a rendered file, and commit the result.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.answers import FIXED, RENDERED, ROOT

GOLDEN = ROOT / "tests" / "golden"

# One folder per set of answers that changes the rendered files differently.
VARIANTS = {
    "django-5.2": FIXED,
    "django-6.1": FIXED
    | {"django_version": "6.1", "media_access": "public-read", "project_name": "O'Neil & Söhne"},
}


def write(template: Path, target: Path) -> None:
    """Bake every variant from `template`, and write its rendered files to `target`."""
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
