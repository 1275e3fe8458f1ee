"""Who may read a file at its lasting URL: staff members, or the users that the site's own rule allows."""

from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.utils.module_loading import import_string

SETTING = "S3KIT_LINKS_PERMISSION"


def is_staff(request: HttpRequest, name: str, storage: str) -> bool:  # noqa: ARG001
    """Let active staff members read every file. This is the default.

    A name is no secret, because code chooses many names (invoices/2026-001.pdf), and a login doesn't mean that a file
    is the user's own.
    """
    user = getattr(request, "user", None)
    return bool(user and user.is_active and getattr(user, "is_staff", False))


def is_authenticated(request: HttpRequest, name: str, storage: str) -> bool:  # noqa: ARG001
    """Let every logged-in user read every file, for sites whose users share all files."""
    user = getattr(request, "user", None)
    return bool(user and user.is_authenticated)


def rule() -> Callable[[HttpRequest, str, str], object]:
    """Return the function in S3KIT_LINKS_PERMISSION; raise ImproperlyConfigured if it isn't a function."""
    found = getattr(settings, SETTING, None) or is_staff
    if isinstance(found, str):
        try:
            found = import_string(found)
        except ImportError as error:
            raise ImproperlyConfigured(
                f"{SETTING} is {found!r}, which can't be imported: {error}."
            ) from error
    if not callable(found):
        raise ImproperlyConfigured(
            f"{SETTING} is {found!r}: set it to a function that takes (request, name, storage), or to its dotted path."
        )
    return found


def allowed(request: HttpRequest, name: str, storage: str) -> bool:
    """Return whether this request may read a file. The rule must return True itself, not just a true value."""
    return rule()(request, name, storage) is True
