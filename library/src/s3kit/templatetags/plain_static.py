"""A template tag for pages that must come out right when the manifest of static files can't be read."""

from django import template
from django.conf import settings
from django.core.files.storage import storages

from s3kit.storages.static import StaticStorage

register = template.Library()


@register.simple_tag
def plain_static(name: str) -> str:
    """Return the address of a static file by its plain name, for which no manifest is needed."""
    storage = storages["staticfiles"]
    if isinstance(storage, StaticStorage) and not settings.DEBUG:
        return storage.address() + name
    return f"{settings.STATIC_URL}{name}"
