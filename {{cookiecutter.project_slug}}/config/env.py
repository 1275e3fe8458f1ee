"""Reads the settings' environment variables, from the process and from a .env file."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured
from s3kit.serving.databases import PrivateDatabase

# libpq waits 15 minutes for a server that has vanished, so these limits are shorter.
# To require TLS, add ?sslmode=verify-full to DATABASE_URL.
POSTGRESQL = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}
# Readers don't wait for a writer, and a writer takes its lock at the start instead of failing later.
SQLITE = {
    "factory": PrivateDatabase,  # only its owner can read the file
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    "transaction_mode": "IMMEDIATE",
}


class Env(environ.Env):
    """django-environ's Env, except that it ignores blank values, and errors name all missing variables."""

    ENVIRON: dict[str, str] = {}

    @classmethod
    def read(cls, env_file: Path) -> "Env":
        """Return the variables of the process and of `env_file`. The process's override the file's."""
        cls.ENVIRON = {}
        cls.read_env(env_file)
        cls.ENVIRON = _without_blanks(cls.ENVIRON) | _without_blanks(os.environ)
        return cls()

    @classmethod
    def load(cls, env_file: Path) -> "Env":
        """Read the variables and export them to the process, because boto3 looks only there."""
        env = cls.read(env_file)
        os.environ |= cls.ENVIRON
        return env

    def text(self, name: str, default: str = "") -> str:
        """Return a variable unchanged. django-environ's `str` resolves a leading $ as another variable's name."""
        return self.ENVIRON.get(name, default)

    def texts(self, name: str) -> list[str]:
        """Return the comma-separated parts of a variable, without surrounding spaces and trailing slashes."""
        parts = (part.strip().rstrip("/") for part in self.text(name).split(","))
        return [part for part in parts if part]

    def choice(self, name: str, *choices: str, default: str) -> str:
        """Return a variable in lower case; raise ImproperlyConfigured if it is none of the choices."""
        value = self.text(name, default)
        if value.lower() not in choices:
            raise ImproperlyConfigured(f"{name} is {value!r}. Set it to one of: {', '.join(choices)}.")
        return value.lower()

    def require(self, *names: str, hint: str) -> None:
        """Raise one error that names all missing variables."""
        if missing := [name for name in names if name not in self.ENVIRON]:
            raise ImproperlyConfigured(
                f"Missing variables: {', '.join(missing)}. Set them in the environment or .env. {hint}"
            )


@contextmanager
def valid(name: str, example: str) -> Iterator[None]:
    """Replace a parser's exception with a message that does not show the value, which may be a secret."""
    try:
        yield
    except (KeyError, ValueError, ImproperlyConfigured):
        raise ImproperlyConfigured(f"{name} is not valid. Example: {example}") from None


def _without_blanks(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if value.strip()}


def env_file() -> Path:
    """Return the path of the .env file, which DJANGO_ENV_FILE can change."""
    return Path(os.environ.get("DJANGO_ENV_FILE") or Path(__file__).resolve().parent.parent / ".env")


def database(config: dict[str, Any]) -> dict[str, Any]:
    """Return an entry of DATABASES with this site's defaults. Options in the URL override them."""
    options = config.get("OPTIONS", {})
    if config["ENGINE"] == "django.db.backends.sqlite3":
        return config | {"OPTIONS": SQLITE | options}
    if config["ENGINE"] == "django.db.backends.postgresql":
        options = POSTGRESQL | options
    return config | {"OPTIONS": options, "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}


def mailer(config: dict[str, Any]) -> dict[str, Any]:
    """Return django-environ's EMAIL_* settings as an entry of Django 6.1's MAILERS."""
    options = {}
    if config["EMAIL_BACKEND"].endswith(".smtp.EmailBackend"):
        options = {
            "host": config["EMAIL_HOST"],
            "port": config["EMAIL_PORT"],
            "username": config["EMAIL_HOST_USER"],
            "password": config["EMAIL_HOST_PASSWORD"],
            "use_tls": config.get("EMAIL_USE_TLS", False),
            "use_ssl": config.get("EMAIL_USE_SSL", False),
            "timeout": config["EMAIL_TIMEOUT"],
        }
    elif config["EMAIL_BACKEND"].endswith(".filebased.EmailBackend"):
        options = {"file_path": config["EMAIL_FILE_PATH"]}
    return {"BACKEND": config["EMAIL_BACKEND"], "OPTIONS": options}
