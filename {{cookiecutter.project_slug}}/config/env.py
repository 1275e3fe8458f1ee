"""The environment that settings read: the process's variables, then those of a .env file."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import environ
from django.core.exceptions import ImproperlyConfigured

# Seconds until a mail server that does not answer is given up; Django's default is to wait for ever.
MAIL_TIMEOUT = 10

# libpq's: a server that does not answer is given up after five seconds, and one that vanished (its host died,
# the network parted) is noticed within a minute; by the system's own defaults it takes a quarter of an hour.
# Whoever wants TLS says so in the URL: ?sslmode=verify-full.
POSTGRESQL = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}


def _set(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if value.strip()}


class Env(environ.Env):  # type: ignore[misc]  # it comes without types
    """django-environ, where a blank value counts as unset and an error names every missing variable."""

    ENVIRON: ClassVar[dict[str, str]] = {}

    @classmethod
    def read(cls, env_file: Path) -> "Env":
        """Return the environment, with `env_file` behind the process's own variables, which stay."""
        cls.ENVIRON = {}
        cls.read_env(env_file)
        cls.ENVIRON = _set(cls.ENVIRON) | _set(os.environ)
        return cls()

    @classmethod
    def load(cls, env_file: Path) -> "Env":
        """Return the environment as `read` does, and hand it to the process.

        boto3 reads its own variables (AWS_PROFILE, AWS_ACCESS_KEY_ID and their like) from there and never
        from settings.
        """
        env = cls.read(env_file)
        os.environ |= cls.ENVIRON
        return env

    def text(self, name: str, default: str) -> str:
        """Return a variable as it stands; django-environ reads a leading `$` as another variable's name."""
        return self.ENVIRON.get(name, default)

    def require(self, *names: str, reason: str) -> None:
        """Raise one error that names all of `names` that are missing, and the reason they are needed."""
        missing = [name for name in names if name not in self.ENVIRON]
        if missing:
            raise ImproperlyConfigured(
                f"{reason}: set {' and '.join(missing)} in the environment or in .env."
            )


def env_file() -> Path:
    """Return the file of variables: the one of DJANGO_ENV_FILE, else .env beside manage.py."""
    return Path(os.environ.get("DJANGO_ENV_FILE") or Path(__file__).resolve().parent.parent / ".env")


def database(config: dict[str, Any]) -> dict[str, Any]:
    """Return django-environ's entry of DATABASES with what a site needs; options in its URL win."""
    options: dict[str, Any] = {}
    if config["ENGINE"] == "django.db.backends.sqlite3":
        # Readers don't wait for a writer, and a writer takes its lock at the start instead of failing later.
        options = {
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            "transaction_mode": "IMMEDIATE",
        }
        return config | {"OPTIONS": options | config.get("OPTIONS", {})}
    if config["ENGINE"] == "django.db.backends.postgresql":
        options = POSTGRESQL
    # Each of gunicorn's threads keeps its connection for a minute, and looks whether it still works.
    return config | {
        "OPTIONS": options | config.get("OPTIONS", {}),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }


def mailer(config: dict[str, Any]) -> dict[str, Any]:
    """Return django-environ's EMAIL_* settings as one entry of Django 6.1's MAILERS."""
    backend = config["EMAIL_BACKEND"]
    options: dict[str, Any] = {}
    if backend.endswith(".smtp.EmailBackend"):
        options = {
            "host": config["EMAIL_HOST"],
            "port": config["EMAIL_PORT"],
            "username": config["EMAIL_HOST_USER"],
            "password": config["EMAIL_HOST_PASSWORD"],
            "use_tls": config.get("EMAIL_USE_TLS", False),
            "use_ssl": config.get("EMAIL_USE_SSL", False),
            "timeout": MAIL_TIMEOUT,
        }
    elif backend.endswith(".filebased.EmailBackend"):
        options = {"file_path": config["EMAIL_FILE_PATH"]}
    return {"BACKEND": backend, "OPTIONS": options}
