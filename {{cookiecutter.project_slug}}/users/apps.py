"""The app's entry in INSTALLED_APPS."""

from django.apps import AppConfig


class UsersConfig(AppConfig):
    """The users of the site."""

    name = "users"
