"""Measure `manage.py s3 manifest` in a generated project, against `manage.py check`, which loads the same site."""

import json
import os
import shutil
import statistics
import subprocess
import time
from pathlib import Path

from benchmarks import files

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "{{cookiecutter.project_slug}}"

HEADING = ["files", "`s3 manifest`, s", "`manage.py check`, s", "ratio"]


def measure(folder: Path, python: Path, sizes: list[int], rounds: int) -> list[list[str]]:
    """Return a row of medians for each size: how many times 2,000 files of packages, besides the project's own."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(
        TEMPLATE, folder, ignore=shutil.ignore_patterns(".env", "var", "__pycache__", "*.sqlite3")
    )
    return [_row(folder, python, size, rounds) for size in sizes]


def _row(folder: Path, python: Path, size: int, rounds: int) -> list[str]:
    files.write(folder / "static" / "bench", more=size)
    output = folder / "staticfiles.json"
    taken: dict[str, list[float]] = {"s3 manifest": [], "check": []}
    for _ in range(rounds + 1):  # the first round reads the files into the machine's cache
        for command, seconds in taken.items():
            began = time.monotonic()
            words = [python, "manage.py", *command.split()]
            subprocess.run(words, cwd=folder, env=_ENVIRONMENT, stdout=subprocess.DEVNULL, check=True)
            seconds.append(time.monotonic() - began)
    count = len(json.loads(output.read_text(encoding="utf-8"))["paths"])
    manifest, check = (statistics.median(seconds[1:]) for seconds in taken.values())
    return [f"{count:,}", f"{manifest:.2f}", f"{check:.2f}", f"{manifest / check:.1f}"]


_ENVIRONMENT = {
    "PATH": os.environ.get("PATH", ""),
    "DJANGO_ENV_FILE": os.devnull,
    "DJANGO_SECRET_KEY": "of no use",
    "DJANGO_ALLOWED_HOSTS": "127.0.0.1",
    "DJANGO_SITE_ORIGINS": "https://www.example.com",
    "AWS_S3_REGION_NAME": "eu-central-1",
    "AWS_STATIC_BUCKET_NAME": "bench-static",
    "AWS_MEDIA_BUCKET_NAME": "bench-media",
}
