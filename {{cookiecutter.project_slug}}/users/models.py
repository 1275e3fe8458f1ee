"""The user model."""

from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """A user of the site: Django's default user in a separate table, so you can add fields later."""
