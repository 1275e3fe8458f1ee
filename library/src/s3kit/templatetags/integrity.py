"""A template tag by which a browser refuses a script that is not the one that was published."""

from django import template
from django.core.files.storage import storages
from django.utils.html import format_html
from django.utils.safestring import SafeString

from s3kit.storages.static import StaticStorage

register = template.Library()


@register.simple_tag
def integrity(name: str) -> SafeString | str:
    """Return the attribute `integrity` of a static script, a space before it; nothing for local files.

    Whoever can write to the bucket, or to what stands before it, still can't run a script of theirs here.
    """
    storage = storages["staticfiles"]
    found = storage.integrity(name) if isinstance(storage, StaticStorage) else ""
    return format_html(' integrity="{}"', found) if found else ""
