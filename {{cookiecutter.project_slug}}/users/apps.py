"""The app configuration."""

from django.apps import AppConfig


class UsersConfig(AppConfig):
    """The users of the site."""

    name = "users"
