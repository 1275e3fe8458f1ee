"""Who may follow a lasting address: the site's own rule, or staff."""

from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.utils.module_loading import import_string

SETTING = "S3KIT_LINKS_PERMISSION"


def is_staff(request: HttpRequest, name: str, storage: str) -> bool:  # noqa: ARG001
    """Let active staff members read every file, which is the default.

    A name is no secret: code chooses many (invoices/2026-001.pdf), and a login alone says nothing of whose file
    it is.
    """
    user = getattr(request, "user", None)
    return bool(user and user.is_active and getattr(user, "is_staff", False))


def is_authenticated(request: HttpRequest, name: str, storage: str) -> bool:  # noqa: ARG001
    """Let whoever is logged in read every file, for sites whose users share all of them."""
    user = getattr(request, "user", None)
    return bool(user and user.is_authenticated)


def rule() -> Callable[[HttpRequest, str, str], object]:
    """Return the function in S3KIT_LINKS_PERMISSION; raise ImproperlyConfigured where there is none."""
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
            f"{SETTING} is {found!r}: set it to a function of (request, name, storage), or the path of one."
        )
    return found


def allowed(request: HttpRequest, name: str, storage: str) -> bool:
    """Tell whether the site lets this request read a file; only True counts as yes."""
    return rule()(request, name, storage) is True
