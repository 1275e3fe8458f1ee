"""The user model."""

from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """A user of the site: Django's own, in a table of this project, so that fields can be added later."""
