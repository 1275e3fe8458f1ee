"""The prompts, the answers of tests, and the names of secret files."""

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ROOT / "{{cookiecutter.project_slug}}"

QUESTIONS = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
PROMPTS = [name for name in QUESTIONS if not name.startswith("_")]

# The only files that contain answers. All others are copied unchanged.
RENDERED = {"pyproject.toml", "README.md", ".env.example"}

# Names of files that contain secrets. No commit and no image may contain them, in any folder.
SECRET_FILES = [
    f"{folder}{name}"
    for folder in ("", "certs/", "config/deep/er/")
    for name in (
        *(".env", ".env.production", ".env~", ".env.bak", ".envrc", "prod.env", "env.bak", ".env.example~"),
        *("private.pem", "site.key", "site.p12", "site.pfx", "id_rsa", "id_ed25519.bak"),
        *("site.sql.gz", "site.dump", "site.dump.gz", "db.sqlite3", "db.sqlite3-wal", "old.db"),
        *("settings.py~", "settings.py.orig", ".settings.py.swp", "#settings.py#", ".#settings.py"),
        *(".aws/credentials", "anna_accessKeys.csv"),
    )
]

# Answers without random parts, for golden copies and comparisons.
FIXED = {
    "project_name": "Acme Photos",
    "project_slug": "acme-photos",
    "aws_region": "eu-central-1",
    "static_bucket_name": "acme-photos-static-k3v9qz",
    "media_bucket_name": "acme-photos-media-k3v9qz",
}
