"""The environment that settings read: the process's variables, then those of a .env file."""

import os
from pathlib import Path
from typing import Any, ClassVar

import environ
from django.core.exceptions import ImproperlyConfigured

# Seconds until a mail server that does not answer is given up; Django's default is to wait for ever.
MAIL_TIMEOUT = 10


class Env(environ.Env):  # type: ignore[misc]  # it comes without types
    """django-environ, where a blank value counts as unset and an error names every missing variable."""

    ENVIRON: ClassVar[dict[str, str]] = {}

    @classmethod
    def load(cls, env_file: Path) -> "Env":
        """Return the environment, with `env_file` behind the process's own variables.

        The file's values also go to the process, because boto3 reads its own variables
        (AWS_PROFILE, AWS_ACCESS_KEY_ID and their like) from there and never from settings.
        """
        cls.ENVIRON = {}
        cls.read_env(env_file)
        for name, value in cls.ENVIRON.items():
            if value.strip() and not os.environ.get(name, "").strip():
                os.environ[name] = value
        cls.ENVIRON = {name: value for name, value in os.environ.items() if value.strip()}
        return cls()

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
